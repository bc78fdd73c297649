//! The rules of the house that a build can check: layers, sizes, headers, words, unsafe code, and
//! that every test ends its loops.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The files of `runtime/src` by level: each imports only from lower levels.
const LEVELS: &[&[&str]] = &[
    &["kernel"],
    &["fork"],
    &[
        "counted",
        "segments",
        "clock",
        "chance",
        "state",
        "budget",
        "timers",
        "labels",
        "insert_error",
        "waits",
        "once",
        "locals",
        "running",
    ],
    &["run_queue", "item", "config", "host", "mischief"],
    &["straggler"],
    &["inbox"],
    &["mailbox", "wake", "pool", "watchdog"],
    &["reactor", "phases", "task", "wait_list"],
    &["closing"],
    &["shared"],
    &["hosting", "panics"],
    &["current", "items"],
    &["background"],
    &["turn"],
    &["join", "sleep", "phase", "registration", "outside", "waiters", "deadlock"],
    &["yield_now", "macros", "boot", "controlled"],
    &["race"],
    &["spawn", "sync", "cancellation", "closing_wait"],
    &["channel", "scope"],
    &["timeout", "interval", "callback", "blocking"],
    &["timer", "item_builder"],
    &["handle", "time"],
    &["lane", "shutdown"],
    &["event_loop", "remote", "join_set"],
    &["builder", "guest"],
    &["entry"],
    &["per_core"],
];

/// The only files of the runtime with atomics: what other threads or processes say to the loop, and what
/// the loop says to its watchdog's thread.
const ATOMICS: &[&str] = &[
    "runtime/src/inbox.rs",
    "runtime/src/fork.rs",
    "runtime/src/kernel.rs",
    "runtime/src/running.rs",
    "runtime/src/state.rs",
    "runtime/src/watchdog.rs",
    "runtime/src/watchdog/guard.rs",
    "runtime/src/watchdog/pulse.rs",
];

/// The library files that may hold unsafe code; six at most.
const UNSAFE: &[&str] = &[
    "io/src/sys/calls.rs",
    "runtime/src/counted.rs",
    "runtime/src/kernel.rs",
    "runtime/src/state.rs",
    "runtime/src/task.rs",
    "runtime/src/wake.rs",
];

/// Words that name a concept the design has another word for.
const BANNED: &[&str] = &["executor", "driver", "scheduler", "util", "mgr"];
/// Where such a word is the name of something of others.
const FOREIGN: &[(&str, &str)] = &[("io/src/hyper_rt.rs", "executor")];

const FILE_LINES: usize = 400;
/// Tests are lists of sentences, read one at a time.
const TEST_FILE_LINES: usize = 500;
/// Files that are longer for a reason.
const LONG_FILES: &[(&str, &str)] = &[("tests/tidy.rs", "the rules, and their tables")];
const FUNCTION_LINES: usize = 70;
/// A model test holds its model.
const TEST_FUNCTION_LINES: usize = 100;

/// What of tests/support makes a loop, and what ends one by looking at its counters.
const MAKERS: &[&str] = &["event_loop", "built", "paused", "seeded"];
const ENDS: &[&str] = &[
    "closes_clean",
    "ends_with_items",
    "ends_with_registrations",
    "shuts_down",
    "shuts_down_guest",
    "ends_with_waiting",
    "ends_with_timers",
    "block_on",
    "block_on_paused",
    "nothing_left_here",
];

/// What only tests/support may write: a loop past its guard.
const UNGUARDED: &[&str] =
    &["EventLoop::new", "::builder()", ".build()", "loopline::block_on(", ".unguarded()"];

/// Tests, or helpers, with a loop that support did not make or whose end it does not see.
const END_OTHERWISE: &[(&str, &str)] = &[
    ("a_test_may_panic_as_it_should", "ends by panic"),
    ("block_on_inside_a_task_is_a_clear_error", "ends by panic: the inner loop is never made"),
    ("a_run_inside_a_task_is_an_error_and_the_outer_loop_goes_on", "the free block_on's refusal"),
    ("futures_left_by_block_on_are_dropped_inside_their_loop", "the free block_on's own loop"),
    ("a_loop_whose_owner_panics_is_shut_down_by_the_unwinding", "dropped by the unwinding"),
    ("a_loop_in_a_thread_local_is_shut_down_as_its_thread_ends", "dropped by the thread's end"),
    ("a_loop_in_a_thread_local_is_woken_and_dropped_as_its_thread_ends", "the same"),
    ("a_loop_made_in_the_destructor_of_a_thread_local_works", "looks at it from inside"),
    ("process_exit_inside_a_task_does_not_deadlock", "ends by exit"),
    ("the_abort_policy_prints_and_aborts", "ends by abort"),
    ("a_process_ends_while_a_job_is_stuck", "dropped by the end of main"),
    ("a_job_that_ends_while_its_loop_does_gives_its_output_to_one_of_them", "one item or none"),
    ("the_parent_hears_of_its_sockets_after_a_child_dropped_everything", "a copy in a child"),
    ("the_watchdog_is_the_parents_and_a_child_may_have_one_of_its_own", "a copy in a child"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files of the packages, with their paths from the root.
fn sources(folders: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target" && name != "peers") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

fn library() -> BTreeMap<String, String> {
    sources(&["src", "runtime/src", "runtime/macros/src", "io/src"])
}

fn is_test(name: &str) -> bool {
    name.contains("/tests") || name.starts_with("tests/") || name.ends_with("loom.rs")
}

/// The packaged crate has no siblings to look at.
fn in_workspace() -> bool {
    root().join("runtime/src").is_dir()
}

#[test]
fn each_file_of_the_runtime_imports_only_from_lower_levels() {
    if !in_workspace() {
        return;
    }
    let level = |module: &str| LEVELS.iter().position(|files| files.contains(&module));
    let mut wrong = Vec::new();
    for (name, text) in sources(&["runtime/src"]) {
        let module = name["runtime/src/".len()..].split(['/', '.']).next().unwrap().to_owned();
        if is_test(&name) || module == "lib" {
            continue;
        }
        let Some(own) = level(&module) else {
            wrong.push(format!("{module} stands in no level"));
            continue;
        };
        // What an exported macro names by `$crate` is public.
        let text = text.replace("$crate::", "");
        let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        for other in code.flat_map(|line| line.split("crate::").skip(1)).flat_map(imported) {
            let public_name = other.chars().next().is_some_and(char::is_uppercase);
            match level(&other) {
                _ if public_name || other == module => {}
                Some(level) if level < own => {}
                _ => wrong.push(format!("{module} (level {own}) imports {other}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The modules named behind `crate::`, one or a group in braces.
fn imported(path: &str) -> Vec<String> {
    let group = path.strip_prefix('{').and_then(|rest| rest.split('}').next());
    let names = group.map_or(vec![path], |group| group.split(',').map(str::trim).collect());
    let name = |path: &str| -> String {
        path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    names.into_iter().map(name).collect()
}

#[test]
fn files_and_functions_are_short() {
    let mut wrong = Vec::new();
    for (name, text) in sources(&["src", "runtime", "io", "tests", "examples", "benches"]) {
        let lines = text.lines().count();
        let test = is_test(&name) || name.starts_with("benches/");
        let (file_most, function_most) = match test {
            true => (TEST_FILE_LINES, TEST_FUNCTION_LINES),
            false => (FILE_LINES, FUNCTION_LINES),
        };
        if lines > file_most && !LONG_FILES.iter().any(|(long, _)| *long == name) {
            wrong.push(format!("{name} has {lines} lines"));
        }
        for (function, lines) in functions(&text) {
            if lines > function_most {
                wrong.push(format!("{name}: {function} has {lines} lines"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The functions of a formatted file and their lengths: from `fn` to the brace in its column.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let is_function = line
            .trim_start()
            .split(' ')
            .take_while(|word| !word.starts_with("//"))
            .take(5)
            .any(|word| word == "fn");
        if !is_function || line.ends_with(';') {
            continue;
        }
        let end = lines[start..].iter().position(|l| l.trim() == "}" && l.len() == indent + 1);
        if let Some(length) = end {
            found.push((line.trim().to_owned(), length + 1));
        }
    }
    found
}

#[test]
fn every_file_says_at_its_head_what_it_is() {
    let all = sources(&["src", "runtime", "io", "tests", "examples", "benches"]);
    let missing = |text: &&String| !text.starts_with("//!") && !text.starts_with("#![doc");
    let wrong: Vec<_> =
        all.iter().filter(|(_, text)| missing(text)).map(|(name, _)| name).collect();
    assert!(wrong.is_empty(), "no `//!` header: {wrong:#?}");
}

#[test]
fn one_word_stands_for_one_concept() {
    let mut wrong = Vec::new();
    for (name, text) in library() {
        for (number, line) in text.lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
            for word in words {
                let foreign = FOREIGN.contains(&(name.as_str(), word.as_str()));
                if BANNED.contains(&word.as_str()) && !foreign {
                    wrong.push(format!("{name}:{}: {word}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_code_stands_in_few_named_files_and_is_argued() {
    let mut holders = Vec::new();
    let mut wrong = Vec::new();
    for (name, text) in library() {
        if is_test(&name) {
            continue;
        }
        let code: Vec<&str> = text.lines().map(str::trim_start).collect();
        let is_comment = |line: &str| line.starts_with("//");
        let opens = |line: &str| !is_comment(line) && line.contains("unsafe {");
        let blocks = code.iter().filter(|line| opens(line)).count();
        let argued = code.iter().filter(|line| line.starts_with("// SAFETY:")).count();
        if blocks > argued {
            wrong.push(format!("{name}: {blocks} unsafe blocks, {argued} arguments"));
        }
        if code
            .iter()
            .any(|line| !is_comment(line) && (line.contains("unsafe ") || line.contains("unsafe{")))
        {
            // The macros crate names the keyword in messages.
            if !name.starts_with("runtime/macros") {
                holders.push(name);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        holders.len() <= 6 && holders.iter().all(|name| UNSAFE.contains(&name.as_str())),
        "{holders:#?}"
    );
}

#[test]
fn atomics_of_the_runtime_stand_in_the_inbox() {
    let mut holders: Vec<_> = sources(&["runtime/src"])
        .into_iter()
        .filter(|(name, text)| !is_test(name) && text.contains("sync::atomic"))
        .map(|(name, _)| name)
        .collect();
    // inbox.rs imports them in two ways, for loom and for real.
    holders.retain(|name| !ATOMICS.contains(&name.as_str()));
    assert!(holders.is_empty(), "{holders:#?}");
}

/// What moves bytes or takes connections.
const MOVES: &[&str] = &["read", "write", "recv", "send", "peek", "accept"];
const HOW: &[&str] = &["", "_from", "_to", "_vectored", "_with_flags"];
/// The files that only Unix compiles, where the poller watches descriptors and need not see each operation.
const UNIX_ALONE: &[&str] = &[
    "io/src/fd",
    "io/src/pipe",
    "io/src/process",
    "io/src/signal",
    "io/src/stdio",
    "io/src/net/unix_",
];

// contract 58
#[test]
fn where_mio_must_see_would_block_all_bytes_go_through_its_types() {
    if !in_workspace() {
        return;
    }
    let mut wrong = Vec::new();
    let files = sources(&["io/src"]);
    // There a source is one of mio's, whose operations tell it; and a short read does not count as one.
    assert!(files["io/src/sys/windows.rs"].contains("trait Pollable: Source {}"));
    assert!(files["io/src/sys/windows.rs"].contains("impl<T: Source> Pollable for T {}"));
    let short_read = files["io/src/net/stream.rs"].split("SHORT_READ_EMPTIES: bool").nth(1);
    assert!(!short_read.expect("the platforms with edges").contains("windows"));
    for (name, text) in files {
        if is_test(&name) || UNIX_ALONE.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        for (number, line) in lines.enumerate() {
            // The socket behind mio's type, which mio would not know of.
            let behind = line.contains("os::windows::io") || line.contains("raw_socket");
            // Past the adapter's three ways, which take the operation as a closure.
            let past =
                line.split(".cell().get().").skip(1).chain(line.split("with_socket(").skip(1));
            let moves = |rest: &str| {
                let words = rest.split(|c: char| !c.is_alphanumeric() && c != '_');
                let moves = |word: &str| {
                    MOVES.iter().filter_map(|m| word.strip_prefix(m)).any(|how| HOW.contains(&how))
                };
                words.into_iter().any(moves)
            };
            if behind || past.into_iter().any(moves) {
                wrong.push(format!("{name}, code line {number}: {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_clock_is_read_in_one_place() {
    let allowed = ["runtime/src/clock.rs", "runtime/src/clock/system.rs", "runtime/src/kernel.rs"];
    let readings = ["Instant::now", "SystemTime", "monotonic_now"];
    let wrong: Vec<_> = sources(&["runtime/src", "io/src"])
        .into_iter()
        .filter(|(name, _)| !is_test(name) && !allowed.contains(&name.as_str()))
        .flat_map(|(name, text)| {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let hits = code.filter(|line| readings.iter().any(|reading| line.contains(reading)));
            hits.map(|line| format!("{name}: {}", line.trim())).collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A function at the left margin of a test file, without comments.
struct TestFunction {
    name: String,
    attributes: String,
    code: String,
}

impl TestFunction {
    fn is_test(&self) -> bool {
        self.attributes.contains("#[test]") || self.attributes.contains("#[loopline::test")
    }

    /// Whether a loop is made for it by an attribute.
    fn has_loop_of_its_own(&self) -> bool {
        self.attributes.contains("#[loopline::")
    }

    /// Whether it calls one of these functions, or hands one to another.
    fn calls(&self, names: &[impl AsRef<str>]) -> bool {
        names.iter().map(AsRef::as_ref).any(|name| {
            self.code.match_indices(name).any(|(at, _)| {
                let (before, after) = (&self.code[..at], &self.code[at + name.len()..]);
                let whole = match before.strip_suffix("support::") {
                    Some(_) => true,
                    None => !before.ends_with(|c: char| c.is_alphanumeric() || "_.:".contains(c)),
                };
                whole && ["(", "::<", ")"].iter().any(|next| after.starts_with(next))
            })
        })
    }
}

/// The functions of a formatted test file.
fn test_functions(text: &str) -> Vec<TestFunction> {
    let mut found: Vec<TestFunction> = Vec::new();
    let (mut attributes, mut open) = (String::new(), false);
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        if !open && line.starts_with("#[") {
            attributes.push_str(line);
        } else if !open
            && line.split(' ').take_while(|word| *word != "{").any(|word| word == "fn")
            && !line.starts_with(' ')
        {
            let name = line.split("fn ").nth(1).unwrap().split(['(', '<']).next().unwrap();
            let attributes = std::mem::take(&mut attributes);
            found.push(TestFunction { name: name.to_owned(), attributes, code: String::new() });
            open = !line.ends_with('}');
        } else if open {
            let code = &mut found.last_mut().unwrap().code;
            code.push_str(line);
            code.push('\n');
            open = line != "}";
        } else {
            attributes.clear();
        }
    }
    found
}

/// The names of functions that do something themselves or by others of their file.
fn with_callers(
    functions: &[TestFunction],
    does: impl Fn(&TestFunction) -> bool,
) -> BTreeSet<&str> {
    let named = |function: &&TestFunction| does(function);
    let mut names: BTreeSet<&str> =
        functions.iter().filter(named).map(|function| &*function.name).collect();
    loop {
        let known: Vec<&str> = names.iter().copied().collect();
        names.extend(functions.iter().filter(|f| f.calls(&known)).map(|f| &*f.name));
        if names.len() == known.len() {
            return names;
        }
    }
}

#[test]
fn each_promise_of_the_runtimes_page_names_tests_that_there_are() {
    if !in_workspace() {
        return;
    }
    let page = fs::read_to_string(root().join("runtime/src/lib.rs")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1);
    let named: Vec<&str> = rows
        .filter_map(|row| row.split(" | ").nth(1))
        .flat_map(|tests| tests.split('`').skip(1).step_by(2))
        .collect();
    assert!(named.len() > 20, "{} tests named: this looks past them", named.len());
    let all: String = sources(&["tests"]).into_values().collect();
    let missing: Vec<_> =
        named.iter().filter(|name| !all.contains(&format!("fn {name}()"))).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_test_that_has_a_loop_ends_it_by_a_look_at_its_counters() {
    let (mut wrong, mut excused, mut tests) = (Vec::new(), BTreeSet::new(), 0);
    let mut complain = |file: &str, name: &str, what: &str| match END_OTHERWISE
        .iter()
        .find(|(excuse, _)| *excuse == name)
    {
        Some((name, _)) => drop(excused.insert(*name)),
        None => wrong.push(format!("{file}: {name} {what}")),
    };
    for (file, text) in sources(&["tests"]) {
        if file.starts_with("tests/support/") || file == "tests/tidy.rs" {
            continue;
        }
        let functions = test_functions(&text);
        let marks = text.lines().filter(|line| {
            let line = line.trim_start();
            line.starts_with("#[test]") || line.starts_with("#[loopline::test")
        });
        let seen = functions.iter().filter(|function| function.is_test()).count();
        if seen != marks.count() {
            complain(&file, "a test", "does not stand at the left margin, where this looks");
        }
        tests += seen;
        // Under another path the words of UNGUARDED would not show.
        for import in text.split("\nuse ").skip(1).filter_map(|rest| rest.split(';').next()) {
            if import.starts_with("loopline") && import.contains("block_on") {
                complain(&file, "an import", "takes the library's block_on for support's");
            }
        }
        for function in &functions {
            if let Some(word) = UNGUARDED.iter().find(|word| function.code.contains(**word)) {
                complain(&file, &function.name, &format!("has {word}, which is support's"));
            }
        }
        let make = with_callers(&functions, |f| f.has_loop_of_its_own() || f.calls(MAKERS));
        let end = with_callers(&functions, |f| f.calls(ENDS));
        for function in functions.iter().filter(|f| f.is_test() && make.contains(&*f.name)) {
            if !end.contains(&*function.name) {
                complain(&file, &function.name, "makes a loop and does not end by support's");
            }
        }
    }
    assert!(tests > 100, "{tests} tests found: this looks past them");
    assert!(wrong.is_empty(), "{wrong:#?}");
    let idle = END_OTHERWISE.iter().filter(|(name, _)| !excused.contains(name));
    assert_eq!(idle.map(|(name, _)| name).collect::<Vec<_>>(), <[&&str; 0]>::default());
}
