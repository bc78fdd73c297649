//! GLib's main context as one source of our loop: timers, idle callbacks and futures of GLib beside a TCP
//! server of ours, on one thread.
//!
//! Run with `cargo run --features glib --bin host_glib`; it needs GLib's headers (Debian: libglib2.0-dev).
//! Then send it lines: `nc 127.0.0.1 PORT`. A line `quit` ends it.

use std::time::Duration;

use bridges::GlibContext;
use futures::AsyncBufReadExt;
use futures::io::BufReader;
use glib::{ControlFlow, MainContext};
use loopline::callback::Next;
use loopline::net::TcpListener;
use loopline::{EventLoop, Handle};

/// Lines that came, by TCP.
struct State {
    lines: u32,
}

fn main() -> std::io::Result<()> {
    let mut event_loop = EventLoop::<State>::new()?;
    let handle = event_loop.handle();

    let context = MainContext::default();
    handle.item().label("GLib").insert(GlibContext::new(&context)?, |event, glib, _state| {
        event.expect("the context can be waited for");
        glib.dispatch();
        Next::Keep
    })?;

    // A callback of GLib runs inside ours, which has the state: it asks for it a moment later.
    glib::timeout_add_local(Duration::from_secs(1), move || {
        handle.defer(|state| println!("GLib's second, after {} lines", state.lines));
        ControlFlow::Continue
    });
    context.spawn_local(async {
        glib::timeout_future(Duration::from_millis(500)).await;
        println!("a future of GLib's");
    });

    let mut state = State { lines: 0 };
    let serving = event_loop.run_until(&mut state, serve(handle));
    serving?
}

/// Counts lines, of one client after the other, until one of them is `quit`.
async fn serve(handle: Handle<State>) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _peer) = listener.accept().await?;
        let mut lines = BufReader::new(&stream);
        let mut line = String::new();
        while lines.read_line(&mut line).await? > 0 {
            if line.trim_end() == "quit" {
                return Ok(());
            }
            handle.with(|state| state.lines += 1);
            line.clear();
        }
    }
}
