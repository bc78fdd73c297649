//! A library in a program of C, which opens it by dlopen: each function runs event loops and returns 0,
//! or the number of the first check that failed.

use std::ffi::c_int;
use std::io::{ErrorKind, IoSlice};
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use loopline::net::{TcpListener, TcpStream, UnixStream};
use loopline::process::Command;
use loopline::{EventLoop, RunError};

const TWO: [&[u8]; 2] = [b"two ", b"parts"];

/// Writes by every way to those who are gone: SIGPIPE, which is not ignored in C, must not end the host.
#[unsafe(no_mangle)]
pub extern "C" fn writes_to_nobody() -> c_int {
    loopline::block_on(async {
        let gone = |result: std::io::Result<usize>| matches!(result, Err(error) if error.kind() == ErrorKind::BrokenPipe);
        let two = TWO.map(IoSlice::new);
        let mut checks = Vec::new();

        let (unix, peer) = UnixStream::pair().unwrap();
        drop(peer);
        checks.push(gone(unix.write(b"x").await));
        checks.push(gone(unix.write_vectored(&two).await));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        far.write_all(b"unread").await.unwrap();
        near.readable().await.unwrap();
        drop(near);
        // A reset, as bytes were left unread: one error tells of it, the rest are broken pipes.
        let _ = far.read(&mut [0; 8]).await;
        checks.push(gone(far.write(b"x").await));
        checks.push(gone(far.write_vectored(&two).await));

        let (sender, receiver) = loopline::io::pipe().unwrap();
        drop(receiver);
        checks.push(gone(sender.write(b"x").await));
        checks.push(gone(sender.write_vectored(&two).await));

        let mut child = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        child.wait().await.unwrap();
        checks.push(gone(stdin.write(b"x").await));
        checks.push(gone(stdin.write_vectored(&two).await));
        first_failure(&checks)
    })
}

/// Writes to a standard output whose reader has gone.
#[unsafe(no_mangle)]
pub extern "C" fn prints_to_nobody() -> c_int {
    loopline::block_on(async {
        let mut last = Ok(());
        // More than a pipe holds: else all may be written before the reader has gone.
        for _ in 0..100_000 {
            last = loopline::io::stdout().write_all(b"a line that nobody reads\n").await;
            if last.is_err() {
                break;
            }
        }
        c_int::from(!matches!(last, Err(error) if error.kind() == ErrorKind::BrokenPipe))
    })
}

/// Started with the standard descriptors closed: none of ours takes their numbers, and nothing that is
/// printed goes into one of ours.
#[unsafe(no_mangle)]
pub extern "C" fn standard_descriptors_are_closed() -> c_int {
    let mut event_loop = EventLoop::<()>::new().unwrap();
    let done = event_loop.block_on(async {
        let (one, other) = UnixStream::pair().unwrap();
        let numbers = [one.as_raw_fd(), other.as_raw_fd()];
        let ours = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
            let entry = entry.unwrap();
            let number: c_int = entry.file_name().to_str()?.parse().ok()?;
            let target = std::fs::read_link(entry.path()).ok()?;
            (number <= 2).then(|| target.to_string_lossy().into_owned())
        });
        let ours: Vec<String> = ours.filter(|target| target != "/dev/null").collect();
        // As a panic's text would be, and by our own.
        eprintln!("for standard error: longer than eight bytes");
        let _ = loopline::io::stdout().write_all(b"for standard output").await;
        let read = loopline::io::stdin().read(&mut [0; 8]).await;
        let _ = loopline::time::timeout(Duration::from_millis(20), other.readable()).await;
        first_failure(&[
            numbers.iter().all(|number| *number > 2),
            ours.is_empty(),
            matches!(read, Ok(0) | Err(_)),
            other.try_read(&mut [0; 8]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock),
        ])
    });
    done.unwrap()
}

/// What the parent of a fork left.
static PARENTS: Mutex<Option<Parents>> = Mutex::new(None);

struct Parents {
    event_loop: EventLoop<()>,
    near: UnixStream,
    far: UnixStream,
}

// Used by one thread at a time, which is the one that made it, or its copy in a forked child.
unsafe impl Send for Parents {}

/// Makes a loop that the host keeps over a fork.
#[unsafe(no_mangle)]
pub extern "C" fn before_fork() -> c_int {
    let mut event_loop = EventLoop::<()>::new().unwrap();
    let (near, far) = event_loop.block_on(async { UnixStream::pair().unwrap() }).unwrap();
    // It waits once, so the poller knows it.
    let waited = event_loop.block_on(async {
        loopline::time::timeout(Duration::from_millis(1), far.read(&mut [0; 8])).await.is_err()
    });
    *PARENTS.lock().unwrap() = Some(Parents { event_loop, near, far });
    c_int::from(!waited.unwrap())
}

/// In the child: the loop says that it was forked, drops, and a new one works.
#[unsafe(no_mangle)]
pub extern "C" fn in_child() -> c_int {
    let Some(mut parents) = PARENTS.lock().unwrap().take() else { return 100 };
    let refused = matches!(parents.event_loop.block_on(async {}), Err(RunError::Forked));
    drop(parents);
    let works = loopline::block_on(async {
        let (one, other) = UnixStream::pair().unwrap();
        one.write_all(b"child").await.unwrap();
        let mut got = [0; 5];
        other.read_exact(&mut got).await.unwrap();
        &got == b"child"
    });
    first_failure(&[refused, works])
}

/// In the parent afterwards: it still hears of its sockets.
#[unsafe(no_mangle)]
pub extern "C" fn after_fork() -> c_int {
    let Some(mut parents) = PARENTS.lock().unwrap().take() else { return 100 };
    let Parents { event_loop, near, far } = &mut parents;
    let heard = event_loop.block_on(async {
        let mut got = [0; 6];
        let reading =
            async { loopline::time::timeout(Duration::from_secs(10), far.read(&mut got)).await };
        let writing = async {
            loopline::time::sleep(Duration::from_millis(5)).await;
            near.write_all(b"parent").await
        };
        let (read, written) = futures::join!(reading, writing);
        matches!(read, Ok(Ok(6))) && written.is_ok()
    });
    c_int::from(!heard.unwrap())
}

/// The number of the first check that does not hold, or 0.
fn first_failure(checks: &[bool]) -> c_int {
    checks.iter().position(|held| !held).map_or(0, |n| n as c_int + 1)
}
