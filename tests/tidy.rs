//! The rules of the house that a build can check: layers, sizes, headers, words, unsafe code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of `runtime/src` by level: each imports only from lower levels.
const LEVELS: &[&[&str]] = &[
    &[
        "segments",
        "clock",
        "chance",
        "state",
        "budget",
        "timers",
        "labels",
        "insert_error",
        "waits",
        "locals",
    ],
    &["run_queue", "item", "config", "yield_now"],
    &["inbox"],
    &["mailbox", "wake", "pool"],
    &["reactor", "phases", "task"],
    &["shared"],
    &["current", "items", "turn"],
    &["join", "sleep", "phase", "registration", "outside", "waiters"],
    &["spawn", "sync"],
    &["channel"],
    &["timeout", "interval", "callback", "blocking"],
    &["handle", "time"],
    &["event_loop", "remote"],
    &["builder"],
    &["entry"],
];

/// The only files of the runtime with atomics.
const ATOMICS: &[&str] = &["runtime/src/inbox.rs"];

/// The library files that may hold unsafe code; six at most.
const UNSAFE: &[&str] = &[
    "io/src/signal.rs",
    "runtime/src/reactor/epoll.rs",
    "runtime/src/state.rs",
    "runtime/src/task.rs",
    "runtime/src/wake.rs",
];

/// Words that name a concept the design has another word for.
const BANNED: &[&str] = &["executor", "driver", "scheduler", "util", "mgr"];

const FILE_LINES: usize = 400;
/// Tests are lists of sentences, read one at a time.
const TEST_FILE_LINES: usize = 800;
/// Files that are longer for a reason.
const LONG_FILES: &[(&str, &str)] = &[];
const FUNCTION_LINES: usize = 70;
/// A model test holds its model.
const TEST_FUNCTION_LINES: usize = 100;

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
        // What a macro names, its user imports.
        let text = text.replace("$crate::", "");
        let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        for other in code.flat_map(|line| line.split("crate::").skip(1)) {
            let other: String =
                other.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
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
                if BANNED.contains(&word.as_str()) {
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

#[test]
fn the_clock_is_read_in_one_file() {
    let allowed = ["runtime/src/clock.rs"];
    let wrong: Vec<_> = sources(&["runtime/src", "io/src"])
        .into_iter()
        .filter(|(name, _)| !is_test(name) && !allowed.contains(&name.as_str()))
        .flat_map(|(name, text)| {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let hits =
                code.filter(|line| line.contains("Instant::now") || line.contains("SystemTime"));
            hits.map(|line| format!("{name}: {}", line.trim())).collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
