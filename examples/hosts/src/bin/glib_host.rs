//! A loop inside GLib's: GLib ticks by its own timer, the guest talks TCP, in one thread. A GTK program does
//! the same with GTK's main loop.
//!
//! ```text
//! cargo run --features glib --bin glib_host
//! ```

use std::io;
use std::time::Duration;

use glib::{ControlFlow, MainLoop};
use hosts::glib_host::attach;
use loopline::net::{TcpListener, TcpStream};
use loopline::time::sleep;
use loopline::{EventLoop, Handle};

/// What the guest's tasks leave for the host.
type Lines = Vec<String>;

fn main() -> io::Result<()> {
    let guest = EventLoop::<Lines>::new()?.into_guest();
    guest.handle().spawn(network(guest.handle()));
    let main_loop = MainLoop::new(None, false);
    glib::timeout_add_local(Duration::from_millis(20), || {
        println!("GLib ticks");
        ControlFlow::Continue
    });
    let quits = main_loop.clone();
    attach(guest, Lines::new(), move |guest, lines, _turn| {
        lines.drain(..).for_each(|line| println!("{line}"));
        if guest.is_finished() {
            quits.quit();
            return ControlFlow::Break;
        }
        ControlFlow::Continue
    });
    main_loop.run();
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
