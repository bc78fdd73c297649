//! What the scenario does, step by step.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use loopline::io::{Async, FdSource, Interest, pipe};
use loopline::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use loopline::process::Command;
use loopline::signal::SignalKind;
use loopline::time::{sleep, timeout};
use loopline::{EventLoop, Guest, Handle, try_join};

type Step = (&'static str, Pin<Box<dyn Future<Output = io::Result<()>>>>);

/// Returns what a run does, in order.
pub fn steps() -> Vec<Step> {
    vec![
        ("tcp", Box::pin(tcp())),
        ("udp", Box::pin(udp())),
        ("unix", Box::pin(unix())),
        ("descriptors", Box::pin(descriptors())),
        ("registers", Box::pin(registers())),
        ("guest", Box::pin(guest())),
        ("timer", Box::pin(timer())),
        ("blocking", Box::pin(blocking())),
        ("remote", Box::pin(remote())),
        ("pipe", Box::pin(pipes())),
        ("child", Box::pin(child())),
        ("signal", Box::pin(signal())),
        ("file", Box::pin(file())),
    ]
}

async fn tcp() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let client = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(b"there and ").await?;
        let parts = [io::IoSlice::new(b"ba"), io::IoSlice::new(b"ck")];
        let taken = stream.write_vectored(&parts).await?;
        stream.write_all(&b"back"[taken..]).await?;
        stream.shutdown().await?;
        let mut got = Vec::new();
        let mut buf = [0; 64];
        while let n @ 1.. = stream.read(&mut buf).await? {
            got.extend_from_slice(&buf[..n]);
        }
        // The other side may have ended by an error; it is told there. What came is in order.
        assert!(b"there and back".starts_with(&got), "{got:?}");
        Ok(got.len())
    };
    let server = async {
        let (stream, _) = listener.accept().await?;
        let mut buf = [0; 64];
        while let n @ 1.. = stream.read(&mut buf).await? {
            sleep(Duration::from_millis(1)).await;
            stream.write_all(&buf[..n]).await?;
        }
        stream.shutdown().await
    };
    let (came, ()) = try_join!(client, server)?;
    assert_eq!(came, 14, "no error, and bytes are missing");
    Ok(())
}

async fn udp() -> io::Result<()> {
    let (one, other) =
        (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    let mut buf = [0; 16];
    let target = other.local_addr()?;
    let (sent, (came, from)) =
        try_join!(one.send_to(b"datagram", target), other.recv_from(&mut buf))?;
    assert_eq!((sent, came, from), (8, 8, one.local_addr()?));
    Ok(())
}

async fn unix() -> io::Result<()> {
    let (one, other) = UnixStream::pair()?;
    let reading = loopline::spawn(async move {
        let mut got = [0; 4];
        other.read_exact(&mut got).await.map(|_| got)
    });
    sleep(Duration::ZERO).await;
    let written = one.write_all(b"pair").await;
    // The reader gets the end if not the bytes.
    drop(one);
    let read = reading.await.map_err(io::Error::other)?;
    written?;
    assert_eq!(&read?, b"pair");
    Ok(())
}

/// Descriptors over a socket of the Unix kind, as messages.
async fn descriptors() -> io::Result<()> {
    let (one, other) = UnixStream::pair()?;
    let (sender, receiver) = pipe()?;
    let mut buf = [0; 1];
    let fds = [sender.as_fd()];
    let (sent, came) = try_join!(one.send_fds(b"x", &fds), other.recv_fds(&mut buf, 1))?;
    assert_eq!((sent, came.len, came.fds.len()), (1, 1, 1));
    drop((sender, came));
    assert_eq!(receiver.read(&mut buf).await?, 0, "both duplicates are closed");
    Ok(())
}

/// A registration that fails gives back what it was of, and is tried again.
async fn registers() -> io::Result<()> {
    let (one, other) = std::os::unix::net::UnixStream::pair()?;
    let (socket, failed) = match Async::try_with_interest(other, Interest::READABLE) {
        Ok(socket) => (socket, None),
        Err(error) => {
            let (other, error) = error.into_parts();
            (Async::try_with_interest(other, Interest::READABLE)?, Some(error))
        }
    };
    std::io::Write::write_all(&mut &one, b"x")?;
    let mut error = None;
    while let Err(e) =
        timeout(Duration::from_secs(5), socket.readable()).await.expect("a wake").map(drop)
    {
        assert!(error.is_none(), "twice: {e}");
        error = Some(e);
    }
    let mut got = [0; 1];
    let n = std::io::Read::read(&mut socket.get_ref(), &mut got)?;
    assert_eq!((n, &got), (1, b"x"));
    let _ = socket.into_inner();
    failed.or(error).map_or(Ok(()), Err)
}

/// A loop inside this one: what fails is told by its turn, or by the source that waits for it.
async fn guest() -> io::Result<()> {
    let guest = Rc::new(EventLoop::<u32>::new()?.into_guest());
    let handle = guest.handle();
    drop(handle.spawn(async move {
        for _ in 0..3 {
            sleep(Duration::from_millis(1)).await;
            handle.with(|count| *count += 1);
        }
    }));
    let mut source = FdSource::new(Inside(guest.clone()), Interest::READABLE);
    let mut count = 0;
    while !guest.is_finished() {
        source.next().await.expect("a source without end")?;
        guest.turn(&mut count)?;
    }
    assert_eq!(count, 3);
    Ok(())
}

/// A guest in the place of a descriptor.
struct Inside(Rc<Guest<u32>>);

impl AsFd for Inside {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

async fn timer() -> io::Result<()> {
    let before = std::time::Instant::now();
    sleep(Duration::from_millis(3)).await;
    assert!(before.elapsed() >= Duration::from_millis(3), "too early");
    assert!(timeout(Duration::from_millis(1), std::future::pending::<()>()).await.is_err());
    Ok(())
}

async fn blocking() -> io::Result<()> {
    let seven = loopline::spawn_blocking(|| 7).await.map_err(io::Error::other)?;
    assert_eq!(seven, 7);
    Ok(())
}

async fn remote() -> io::Result<()> {
    let remote = Handle::<()>::try_current().map_err(io::Error::other)?.remote();
    let (sender, receiver) = loopline::sync::oneshot::channel();
    let sender = std::rc::Rc::new(std::cell::Cell::new(Some(sender)));
    KEPT.with(|kept| kept.set(sender.take()));
    let thread = std::thread::Builder::new().spawn(move || {
        std::thread::sleep(Duration::from_millis(2));
        let join =
            remote.spawn(|_| async { KEPT.with(|kept| kept.take()).map(|kept| kept.send(7)) });
        drop(join);
    });
    let thread = thread.inspect_err(|_| drop(KEPT.with(|kept| kept.take())))?;
    let got = receiver.await;
    thread.join().expect("a thread that does not panic");
    assert_eq!(got.map_err(io::Error::other)?, 7);
    Ok(())
}

thread_local! {
    static KEPT: std::cell::Cell<Option<loopline::sync::oneshot::Sender<i32>>> =
        const { std::cell::Cell::new(None) };
}

async fn pipes() -> io::Result<()> {
    let (sender, receiver) = pipe()?;
    let mut got = [0; 4];
    let writing = async {
        sleep(Duration::from_millis(1)).await;
        sender.write_all(b"pipe").await
    };
    try_join!(receiver.read_exact(&mut got), writing)?;
    assert_eq!(&got, b"pipe");
    // Few bytes: neither side does a part of it.
    assert_eq!(sender.write_vectored(&[IoSlice::new(b"pi"), IoSlice::new(b"pe")]).await?, 4);
    let (mut head, mut tail) = ([0; 1], [0; 8]);
    let mut bufs = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
    assert_eq!(receiver.read_vectored(&mut bufs).await?, 4);
    assert_eq!((&head, &tail[..3]), (b"p", &b"ipe"[..]));
    Ok(())
}

async fn child() -> io::Result<()> {
    let mut command = Command::new("/bin/cat");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"cat").await?;
    stdin.close();
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        // What failed was a call of its own.
        return Err(io::Error::other(format!("the child's status: {}", output.status)));
    }
    assert_eq!(output.stdout, b"cat");
    // Should the system say that it is no child of ours, it ends by itself.
    let long = Command::new("/bin/sleep").arg("2").kill_on_drop(true).spawn()?;
    long.kill().await?;
    Ok(())
}

async fn signal() -> io::Result<()> {
    let mut usr1 = loopline::signal::signal(SignalKind::user_defined1())?;
    // SAFETY: takes an integer; the handler is installed.
    unsafe { libc::raise(libc::SIGUSR1) };
    assert!(usr1.recv().await.is_some());
    Ok(())
}

async fn file() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("loopline-scenario-{}", std::process::id()));
    let written = loopline::fs::write(&path, b"file").await;
    let read = loopline::fs::read(&path).await;
    let removed = loopline::fs::remove_file(&path).await;
    if removed.is_err() {
        let _ = std::fs::remove_file(&path);
    }
    written?;
    assert_eq!(read?, b"file");
    removed
}
