//! A loop inside calloop's, as one source: a compositor keeps its loop and gets async networking on the same
//! thread.
//!
//! ```text
//! cargo run --bin calloop_host
//! ```

use std::time::Duration;

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{Interest, Mode, PostAction};
use loopline::net::{TcpListener, TcpStream};
use loopline::time::sleep;
use loopline::{EventLoop, Handle};

/// What the guest's tasks leave for the host.
type Lines = Vec<String>;

/// The host's state, which holds the guest's.
#[derive(Default)]
struct Host {
    lines: Lines,
    done: bool,
}

fn main() -> Result<(), calloop::Error> {
    let mut host_loop = calloop::EventLoop::<Host>::try_new()?;
    let guest = EventLoop::<Lines>::new()?.into_guest();
    guest.handle().spawn(network(guest.handle()));

    // By level or by edge: the guest's descriptor suits both.
    let source = Generic::new(guest, Interest::READ, Mode::Level);
    let inserted = host_loop.handle().insert_source(source, |_, guest, host: &mut Host| {
        guest.turn(&mut host.lines)?;
        host.lines.drain(..).for_each(|line| println!("{line}"));
        host.done = guest.is_finished();
        Ok(if host.done { PostAction::Remove } else { PostAction::Continue })
    });
    inserted.map_err(|error| error.error)?;
    let tick = Timer::from_duration(Duration::from_millis(20));
    let inserted = host_loop.handle().insert_source(tick, |_, (), _| {
        println!("calloop ticks");
        TimeoutAction::ToDuration(Duration::from_millis(20))
    });
    inserted.map_err(|error| error.error)?;

    let mut host = Host::default();
    while !host.done {
        host_loop.dispatch(None, &mut host)?;
    }
    Ok(())
}

/// Ordinary code for a loop: it does not know that it runs inside another one.
async fn network(handle: Handle<Lines>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    handle.spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let mut buf = [0; 16];
        while let Ok(n @ 1..) = stream.read(&mut buf).await {
            stream.write_all(&buf[..n]).await.expect("a client that listens");
        }
    });
    let stream = TcpStream::connect(address).await.expect("a server");
    for n in 1..=5 {
        stream.write_all(b"echo").await.expect("a server that listens");
        stream.read_exact(&mut [0; 4]).await.expect("an answer");
        handle.with(|lines| lines.push(format!("answer {n} over TCP")));
        sleep(Duration::from_millis(15)).await;
    }
}
