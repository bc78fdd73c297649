//! Inotify as a source: a descriptor that a library of others reads.
//!
//! Run with `cargo run --bin host_inotify FOLDER`, and change something in the folder. Ctrl-C ends it.

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    use inotify::{Inotify, WatchMask};
    use loopline::EventLoop;
    use loopline::callback::Next;
    use loopline::io::{FdSource, Interest, Trigger};

    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let watch = Inotify::init()?;
    watch.watches().add(&folder, WatchMask::CREATE | WatchMask::DELETE | WatchMask::CLOSE_WRITE)?;

    let mut event_loop = EventLoop::<u64>::new()?;
    // The library empties it and tells nobody, hence the trigger; so it can be used in any way it likes.
    let source = FdSource::with_trigger(watch, Interest::READABLE, Trigger::Foreign);
    event_loop.handle().insert(source, |event, source, seen| {
        event.expect("inotify can be waited for");
        let mut buffer = [0; 4096];
        match source.get_mut().read_events(&mut buffer) {
            Ok(events) => {
                for event in events {
                    *seen += 1;
                    println!("{:?} {:?}", event.mask, event.name.unwrap_or_default());
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => {
                eprintln!("inotify: {error}");
                return Next::Stop;
            }
        }
        Next::Keep
    })?;
    println!("watching {folder}");
    let mut seen = 0;
    let ended = event_loop.run_until(&mut seen, loopline::signal::ctrl_c())?;
    println!("{seen} changes");
    ended
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("inotify is Linux's");
}
