//! Echo servers: each prints where it listens, and serves until it is killed. 4 KiB of buffer, one task
//! or one closure a connection, `TCP_NODELAY` as each has it.

use std::io;
use std::net::SocketAddr;

/// Prints where the server listens; `load` reads it.
fn announce(address: SocketAddr) {
    println!("listening on {address}");
}

const ANY: &str = "127.0.0.1:0";

/// Runs the server of that peer.
pub fn serve(peer: &str) -> io::Result<()> {
    match peer {
        "loopline" => loopline_server(),
        "loopline-callback" => loopline_callbacks(),
        "tokio" => tokio_server(),
        "monoio" => monoio_server(),
        "smol" => smol_server(),
        "calloop" => calloop_server(),
        "mio" => mio_by_hand(),
        "raw" => raw_epoll(),
        _ => Err(io::Error::other("no such echo server")),
    }
}

fn loopline_server() -> io::Result<()> {
    loopline::block_on(async {
        let listener = loopline::net::TcpListener::bind(ANY).await?;
        announce(listener.local_addr()?);
        loop {
            let (stream, _peer) = listener.accept().await?;
            loopline::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            });
        }
    })
}

/// The listener as a callback, the connections as tasks: a connection's answer may have to wait.
fn loopline_callbacks() -> io::Result<()> {
    use loopline::callback::Next;
    let mut event_loop = loopline::EventLoop::<u64>::new()?;
    let handle = event_loop.handle();
    let listener = event_loop.run_until(&mut 0, loopline::net::TcpListener::bind(ANY))??;
    announce(listener.local_addr()?);
    handle.insert(listener.into_incoming(), move |stream, _, served| {
        *served += 1;
        let Ok(stream) = stream else { return Next::Keep };
        handle.spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..n]).await.is_err() {
                    break;
                }
            }
        });
        Next::Keep
    })?;
    Ok(event_loop.run(&mut 0)?)
}

fn tokio_server() -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(Default::default())?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(ANY).await?;
        announce(listener.local_addr()?);
        loop {
            let (mut stream, _peer) = listener.accept().await?;
            tokio::task::spawn_local(async move {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            });
        }
    })
}

fn monoio_server() -> io::Result<()> {
    use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
    let mut runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build()?;
    runtime.block_on(async {
        let listener = monoio::net::TcpListener::bind(ANY)?;
        announce(listener.local_addr()?);
        loop {
            let (mut stream, _peer) = listener.accept().await?;
            monoio::spawn(async move {
                let mut buffer = Vec::with_capacity(4096);
                loop {
                    let (read, filled) = stream.read(buffer).await;
                    if !matches!(read, Ok(1..)) {
                        break;
                    }
                    let (written, emptied) = stream.write_all(filled).await;
                    if written.is_err() {
                        break;
                    }
                    buffer = emptied;
                }
            });
        }
    })
}

fn smol_server() -> io::Result<()> {
    use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
    let executor = async_executor::LocalExecutor::new().leak();
    async_io::block_on(executor.run(async {
        let listener = async_net::TcpListener::bind(ANY).await?;
        announce(listener.local_addr()?);
        loop {
            let (mut stream, _peer) = listener.accept().await?;
            executor
                .spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..n]).await.is_err() {
                            break;
                        }
                    }
                })
                .detach();
        }
    }))
}

fn calloop_server() -> io::Result<()> {
    use calloop::generic::Generic;
    use calloop::{Interest, Mode, PostAction};
    use std::io::{Read, Write};
    let mut event_loop = calloop::EventLoop::<'static, ()>::try_new()?;
    let handle = event_loop.handle();
    let listener = std::net::TcpListener::bind(ANY)?;
    listener.set_nonblocking(true)?;
    announce(listener.local_addr()?);
    let streams = handle.clone();
    let accept = Generic::new(listener, Interest::READ, Mode::Level);
    let inserted = handle.insert_source(accept, move |_, listener, ()| {
        while let Ok((stream, _peer)) = listener.accept() {
            stream.set_nonblocking(true)?;
            let source = Generic::new(stream, Interest::READ, Mode::Level);
            let mut buffer = [0; 4096];
            let inserted = streams.insert_source(source, move |_, stream, ()| {
                let mut stream = &**stream;
                Ok(match stream.read(&mut buffer) {
                    Ok(0) => PostAction::Remove,
                    // What does not fit is the client's loss here: requests are small.
                    Ok(n) => stream
                        .write_all(&buffer[..n])
                        .map_or(PostAction::Remove, |()| PostAction::Continue),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => PostAction::Continue,
                    Err(_) => PostAction::Remove,
                })
            });
            inserted.map_err(|error| io::Error::other(error.to_string()))?;
        }
        Ok(PostAction::Continue)
    });
    inserted.map_err(|error| io::Error::other(error.to_string()))?;
    loop {
        event_loop.dispatch(None, &mut ()).map_err(io::Error::other)?;
    }
}

/// mio as one writes it by hand: closures by token, edge-triggered, a short read ends the reading.
fn mio_by_hand() -> io::Result<()> {
    use mio::{Events, Interest, Poll, Token};
    use std::io::{Read, Write};
    type Handler = Box<dyn FnMut() -> bool>;
    const LISTENER: Token = Token(usize::MAX - 1);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = mio::net::TcpListener::bind(ANY.parse().expect("an address"))?;
    announce(listener.local_addr()?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut handlers: slab::Slab<Option<Handler>> = slab::Slab::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _peer)) = listener.accept() {
                    let entry = handlers.vacant_entry();
                    poll.registry().register(
                        &mut stream,
                        Token(entry.key()),
                        Interest::READABLE,
                    )?;
                    let mut buffer = [0; 4096];
                    entry.insert(Some(Box::new(move || {
                        loop {
                            match stream.read(&mut buffer) {
                                Ok(0) => return false,
                                Ok(n) => {
                                    if stream.write_all(&buffer[..n]).is_err() {
                                        return false;
                                    }
                                    if n < buffer.len() {
                                        return true;
                                    }
                                }
                                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
                            }
                        }
                    })));
                }
                continue;
            }
            let key = event.token().0;
            let Some(mut handler) = handlers.get_mut(key).and_then(Option::take) else { continue };
            // A closed peer needs no further event: edge-triggered, a short read and the end in one
            // event would lose it.
            if handler() && (!event.is_read_closed() || handler()) {
                handlers[key] = Some(handler);
            } else {
                handlers.remove(key);
            }
        }
    }
}

/// epoll and nothing else, level-triggered: the floor.
fn raw_epoll() -> io::Result<()> {
    use std::os::fd::AsRawFd;
    fn check(result: libc::c_int) -> io::Result<libc::c_int> {
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
    }
    let listener = std::net::TcpListener::bind(ANY)?;
    listener.set_nonblocking(true)?;
    announce(listener.local_addr()?);
    // SAFETY: system calls on descriptors this function owns and buffers of its own, here and below.
    let epoll = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    let add = |fd: libc::c_int| {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 };
        // SAFETY: as above.
        check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) })
    };
    add(listener.as_raw_fd())?;
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 1024];
    let mut buffer = [0_u8; 4096];
    loop {
        // SAFETY: as above.
        let ready = check(unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), 1024, -1) })?;
        for event in &events[..ready as usize] {
            let fd = event.u64 as libc::c_int;
            if fd == listener.as_raw_fd() {
                loop {
                    let (none, flags) =
                        (std::ptr::null_mut(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
                    // SAFETY: as above.
                    let stream = unsafe { libc::accept4(fd, none, std::ptr::null_mut(), flags) };
                    if stream < 0 {
                        break;
                    }
                    add(stream)?;
                }
                continue;
            }
            // SAFETY: as above.
            let n = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            // SAFETY: as above; n is in the buffer.
            if n <= 0
                || unsafe { libc::send(fd, buffer.as_ptr().cast(), n as usize, libc::MSG_NOSIGNAL) }
                    != n
            {
                // SAFETY: as above; nothing uses the descriptor after this.
                unsafe { libc::close(fd) };
            }
        }
    }
}
