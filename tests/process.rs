//! Children: what they are given, what comes from them, who waits and who kills.
#![cfg(unix)] // processes

#[path = "support/net.rs"]
mod net;
mod support;

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::rc::Rc;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use loopline::callback::Next;
use loopline::process::{Child, ChildStdin, ChildStdout, Command};
use loopline::signal::SignalKind;
use loopline::spawn;
use net::{poll_once, soon};
use support::{block_on, closes_clean, event_loop};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// A child that lives until its input is closed.
fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Not by a shell, which may leave it behind when it is killed.
fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("60");
    command
}

async fn said(command: &mut Command) -> String {
    let output = soon(command.output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn a_child_is_started_as_it_was_told() {
    block_on(async {
        assert_eq!(said(Command::new("printf").arg("%s-").args(["a", "b"])).await, "a-b-");
        assert_eq!(said(shell("pwd").current_dir("/")).await, "/");
        let mut command = shell("echo $ONE $TWO $THREE");
        command.env("ONE", "1").envs([("TWO", "2"), ("THREE", "3")]).env_remove("TWO");
        assert_eq!(said(&mut command).await, "1 3");
        assert_eq!(said(shell("echo ${ONE-none}").env("ONE", "1").env_clear()).await, "none");
        assert_eq!(said(shell("echo $0").arg0("name")).await, "name");
        assert_eq!(said(shell("cat").stdin(Stdio::null())).await, "");
        let mut group = shell("ps -o pid= -o pgid= -p $$ 2>/dev/null || echo 1 1");
        let ids = said(group.process_group(0)).await;
        let ids: Vec<_> = ids.split_whitespace().collect();
        assert_eq!(ids[0], ids[1], "it leads a group of its own");
        let status = soon(shell("exit 7").status()).await.unwrap();
        assert_eq!(status.code(), Some(7));
        let error = Command::new("/no/such/program").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = soon(Command::new("/no/such/program").output()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn the_standard_librarys_command_is_inside() {
    let mut command = Command::from(std::process::Command::new("echo"));
    command.as_std_mut().arg("one");
    assert!(
        !command.kill_on_drop(true).get_kill_on_drop() || command.as_std().get_args().len() == 1
    );
    let std = command.into_std();
    assert_eq!(std.get_program(), "echo");
}

#[test]
fn a_child_is_started_by_a_function_of_ones_own() {
    block_on(async {
        let mut command = shell("exit 3");
        let child = command.spawn_with(|std| std.arg("0").spawn()).unwrap();
        assert_eq!(soon(child.wait()).await.unwrap().code(), Some(3));
        let error = command.spawn_with(|_| Err(ErrorKind::OutOfMemory.into())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    });
}

#[test]
fn a_child_is_written_to_and_read_from() {
    block_on(async {
        let mut child = cat();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut buf = [0; 5];
        for word in [b"first", b"other"] {
            assert_eq!(stdout.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
            stdin.write_all(word).await.unwrap();
            soon(stdout.readable()).await.unwrap();
            soon(stdout.read_exact(&mut buf)).await.unwrap();
            assert_eq!(&buf, word);
        }
        stdin.writable().await.unwrap();
        assert_eq!(stdin.try_write(b"end").unwrap(), 3);
        stdin.shutdown().await.unwrap();
        let error = stdin.write(b"more").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let mut text = "the ".to_owned();
        assert_eq!(soon(stdout.read_to_string(&mut text)).await.unwrap(), 3);
        assert_eq!(text, "the end");
        assert!(soon(child.wait()).await.unwrap().success());
    });
}

#[test]
fn much_output_on_both_pipes_is_collected() {
    block_on(async {
        let script = "head -c 1000000 /dev/zero & head -c 700000 /dev/zero >&2; wait; exit 5";
        let output = soon(shell(script).output()).await.unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (1_000_000, 700_000));
        assert_eq!(output.status.code(), Some(5));
    });
}

#[test]
fn a_writer_waits_for_room_and_hears_that_nobody_reads() {
    block_on(async {
        let mut child = sleeper().stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let writing = spawn(async move { stdin.write_all(&vec![7; 1 << 20]).await });
        loopline::yield_now().await;
        assert!(!writing.is_finished());
        soon(child.kill()).await.unwrap();
        let error = soon(writing).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_traits_of_futures_io_work_too() {
    block_on(async {
        let mut child = cat();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        AsyncWriteExt::write_all(&mut stdin, b"by ").await.unwrap();
        AsyncWriteExt::write_all(&mut &stdin, b"trait").await.unwrap();
        AsyncWriteExt::flush(&mut stdin).await.unwrap();
        AsyncWriteExt::close(&mut stdin).await.unwrap();
        let mut text = String::new();
        soon(AsyncReadExt::read_to_string(&mut stdout, &mut text)).await.unwrap();
        assert_eq!(text, "by trait");
        soon(child.wait()).await.unwrap();
    });
}

#[test]
fn waiting_closes_the_pipe_to_the_child_that_was_not_taken_out() {
    block_on(async {
        let child = cat();
        child.stdin.as_ref().unwrap().write_all(b"rest").await.unwrap();
        assert!(soon(child.wait()).await.unwrap().success());
        let error = child.stdin.as_ref().unwrap().write(b"more").await.unwrap_err();
        assert!(error.to_string().contains("was closed"), "{error}");
        let mut text = String::new();
        soon(child.stdout.as_ref().unwrap().read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, "rest");
    });
}

// contract 55
#[test]
fn a_child_is_waited_for_from_two_places_and_the_status_is_kept() {
    block_on(async {
        let mut child = cat();
        let stdin = child.stdin.take();
        let child = Rc::new(child);
        let waits: Vec<_> = (0..3)
            .map(|_| {
                let child = child.clone();
                spawn(async move { child.wait().await })
            })
            .collect();
        loopline::yield_now().await;
        assert!(child.try_wait().unwrap().is_none());
        assert!(child.id().is_some());
        drop(stdin);
        for wait in waits {
            assert!(soon(wait).await.unwrap().unwrap().success());
        }
        assert!(child.wait().await.unwrap().success());
        assert!(child.try_wait().unwrap().unwrap().success());
        assert_eq!(child.id(), None, "it is reaped, and its number may be another's");
    });
}

// contract 55
#[test]
fn one_who_looks_does_not_take_the_end_from_those_who_wait() {
    block_on(async {
        let mut child = cat();
        let stdin = child.stdin.take();
        let child = Rc::new(child);
        let other = child.clone();
        let waits = spawn(async move { other.wait().await });
        loopline::yield_now().await;
        drop(stdin);
        while child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        assert!(soon(waits).await.unwrap().unwrap().success());
    });
}

// contract 40
#[test]
fn a_wait_that_is_given_up_loses_nothing() {
    block_on(async {
        for polls in 0..4 {
            let mut child = cat();
            let stdin = child.stdin.take();
            {
                let mut wait = std::pin::pin!(child.wait());
                for _ in 0..polls {
                    assert!(poll_once(&mut wait).await.is_pending());
                }
            }
            drop(stdin);
            assert!(soon(child.wait()).await.unwrap().success());
        }
    });
}

#[test]
fn a_child_is_killed_and_killing_it_again_is_fine() {
    block_on(async {
        let child = sleeper().spawn().unwrap();
        child.start_kill().unwrap();
        child.start_kill().unwrap();
        let status = soon(child.wait()).await.unwrap();
        assert_eq!((status.code(), status.signal()), (None, Some(libc::SIGKILL)));
        child.start_kill().unwrap();
        soon(child.kill()).await.unwrap();
        // Not the hang-up, which nohup has ignored for us and our children.
        let child = sleeper().spawn().unwrap();
        child.send_signal(SignalKind::user_defined1()).unwrap();
        assert_eq!(soon(child.wait()).await.unwrap().signal(), Some(libc::SIGUSR1));
        child.send_signal(SignalKind::user_defined1()).unwrap();
        let error = child.send_signal(SignalKind::from_raw(-1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // By its own, which is told too.
        let status = soon(shell("kill -TERM $$").status()).await.unwrap();
        assert_eq!(status.signal(), Some(libc::SIGTERM));
    });
}

#[test]
fn a_childs_end_is_a_source() {
    let mut event_loop = event_loop::<Vec<i32>>();
    let handle = event_loop.handle();
    for code in 1..=3 {
        let child = shell(&format!("exit {code}")).spawn().unwrap();
        let insert = handle.insert(child.into_exit(), |status, exit, seen: &mut Vec<i32>| {
            assert_eq!(exit.child().id(), None);
            seen.push(status.unwrap().code().unwrap());
            Next::Keep
        });
        drop(insert.unwrap());
    }
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3]);
    closes_clean(event_loop);
    block_on(async {
        let mut exit = cat().into_exit();
        assert!(exit.child_mut().stdout.take().is_some());
        assert!(soon(StreamExt::next(&mut exit)).await.unwrap().unwrap().success());
        assert!(exit.next().await.is_none());
        assert!(exit.into_child().wait().await.unwrap().success());
    });
}

#[test]
fn a_child_of_the_standard_library_is_taken_over() {
    block_on(async {
        let mut std = std::process::Command::new("cat");
        let std = std.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let child = Child::from_std(std).unwrap();
        child.stdin.as_ref().unwrap().write_all(b"over").await.unwrap();
        let output = soon(child.wait_with_output()).await.unwrap();
        assert_eq!(output.stdout, b"over");
        // One that was reaped before.
        let mut std = std::process::Command::new("true").spawn().unwrap();
        std.wait().unwrap();
        let child = Child::from_std(std).unwrap();
        assert_eq!(child.id(), None);
        assert!(child.wait().await.unwrap().success());
        // Its pipes alone.
        let mut std = std::process::Command::new("cat");
        let mut std = std.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = ChildStdin::from_std(std.stdin.take().unwrap()).unwrap();
        let stdout = ChildStdout::from_std(std.stdout.take().unwrap()).unwrap();
        stdin.write_all(b"pipes").await.unwrap();
        drop(stdin);
        let mut bytes = Vec::new();
        soon(stdout.read_to_end(&mut bytes)).await.unwrap();
        assert_eq!(bytes, b"pipes");
        std.wait().unwrap();
    });
}

#[test]
fn children_are_connected_by_their_pipes() {
    block_on(async {
        let mut first = shell("echo hello").stdout(Stdio::piped()).spawn().unwrap();
        let pipe: Stdio = first.stdout.take().unwrap().try_into().unwrap();
        assert_eq!(said(Command::new("tr").args(["a-z", "A-Z"]).stdin(pipe)).await, "HELLO");
        assert!(soon(first.wait()).await.unwrap().success());
        // And the descriptor blocks again.
        let mut child = cat();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (stdin, stdout) = (stdin.into_owned_fd().unwrap(), stdout.into_owned_fd().unwrap());
        let reading = std::thread::spawn(move || {
            std::io::read_to_string(std::fs::File::from(stdout)).unwrap()
        });
        std::io::Write::write_all(&mut std::fs::File::from(stdin), b"blocking").unwrap();
        assert_eq!(reading.join().unwrap(), "blocking");
        assert!(soon(child.wait()).await.unwrap().success());
    });
}

// contract 49
// fault 44
#[test]
#[cfg(target_os = "linux")]
fn a_child_inherits_no_descriptor_no_mask_and_the_default_for_sigpipe() {
    block_on(async {
        // Descriptors of ours, and a signal that is awaited.
        let other = cat();
        let _term = loopline::signal::signal(SignalKind::terminate()).unwrap();
        let text = said(&mut shell("ls -l /proc/self/fd; cat /proc/self/status")).await;
        let set = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
        };
        assert_eq!((set("SigBlk"), set("SigCgt")), (0, 0));
        assert_eq!(set("SigIgn") & (1 << (libc::SIGPIPE - 1)), 0);
        // The first three, the directory that `ls` reads, and what this process was given to pass on.
        let open = text.lines().filter(|line| line.contains(" -> ")).count();
        let passed_on = (3..1024).filter(|fd| {
            // SAFETY: asks for the flags of a descriptor, which may be none.
            let flags = unsafe { libc::fcntl(*fd, libc::F_GETFD) };
            flags != -1 && flags & libc::FD_CLOEXEC == 0
        });
        assert_eq!(open, 4 + passed_on.count(), "{text}");
        soon(other.kill()).await.unwrap();
        // And so a pipeline whose reader goes ends quietly.
        let status = soon(shell("yes | head -n 1 > /dev/null").status()).await.unwrap();
        assert!(status.success());
    });
}
