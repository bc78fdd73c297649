//! Pausing a callback loses nothing, whatever its source is: what comes meanwhile is told after `resume`.
#![cfg(all(unix, feature = "net"))]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use loopline::callback::{self, Next, Stream};
use loopline::io::{FdSource, Interest, Trigger};
use loopline::net::{UnixListener, UnixStream as Connection};
use loopline::time::{self, Timer};
use loopline::{Control, Handle, yield_now};
use support::{TestLoop, built, closes_clean, event_loop, paused};

/// How often the callback ran.
type Count = u32;

fn turns(event_loop: &mut TestLoop<Count>, count: &mut Count) {
    for _ in 0..4 {
        event_loop.turn(count, Duration::from_millis(1)).unwrap();
    }
}

/// Inserts a source, fires it while it is paused, and looks whether that is told. `paused_first`: before it
/// was ever polled.
fn loses_nothing<Src: Stream + Unpin + 'static>(
    name: &str,
    paused_first: bool,
    make: impl FnOnce(Handle<Count>) -> (Src, Box<dyn FnOnce()>),
) {
    let mut event_loop = event_loop::<Count>();
    let handle = event_loop.handle();
    let mut count = 0;
    // Some sources want to be made inside a turn.
    let made = event_loop.run_until(&mut count, async move { make(handle) });
    let (source, fire) = made.unwrap();
    let control: Control = handle
        .insert(source, |_, _, count: &mut Count| {
            *count += 1;
            Next::Keep
        })
        .unwrap()
        .control();
    if !paused_first {
        turns(&mut event_loop, &mut count);
    }
    assert!(control.pause() && control.is_paused());
    turns(&mut event_loop, &mut count);
    fire();
    turns(&mut event_loop, &mut count);
    assert_eq!(count, 0, "{name}: called though it is paused");
    assert!(control.resume());
    // A process takes its time to end; nothing else is waited for.
    for _ in 0..3_000 {
        if count > 0 {
            break;
        }
        event_loop.turn(&mut count, Duration::from_millis(10)).unwrap();
    }
    turns(&mut event_loop, &mut count);
    assert_eq!(count, 1, "{name}, paused first: {paused_first}");
    // By its source's end, where it has ended.
    control.cancel();

    closes_clean(event_loop);
}

/// Reads what is there, so that it is told once.
struct Drained(FdSource<UnixStream>);

impl Stream for Drained {
    type Item = usize;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<usize>> {
        loop {
            let event = std::task::ready!(std::pin::Pin::new(&mut self.0).poll_next(cx));
            let Some(event) = event else { return std::task::Poll::Ready(None) };
            event.unwrap();
            let mut read = 0;
            while let Ok(n @ 1..) = self.0.try_io(|mut fd| fd.read(&mut [0; 8])) {
                read += n;
            }
            self.0.rearm();
            if read > 0 {
                return std::task::Poll::Ready(Some(read));
            }
        }
    }
}

// contract 3, 16; fault 51
#[test]
fn a_descriptor_is_told_after_the_pause_whatever_its_trigger() {
    for trigger in [Trigger::Level, Trigger::Edge, Trigger::OneShot, Trigger::Foreign] {
        for first in [false, true] {
            loses_nothing(&format!("{trigger:?}"), first, |_| {
                let (near, mut far) = UnixStream::pair().unwrap();
                near.set_nonblocking(true).unwrap();
                let source = FdSource::with_trigger(near, Interest::READABLE, trigger);
                // Twice, with a turn between: an edge that was not told, and another.
                let fire = move || {
                    far.write_all(b"x").unwrap();
                    far.write_all(b"y").unwrap();
                    // Stays open for the rest of the process: its end would be an event.
                    std::mem::forget(far);
                };
                (Drained(source), Box::new(fire))
            });
        }
    }
}

// contract 16, 23; fault 51
#[test]
fn channels_pings_futures_and_connections_are_told_after_the_pause() {
    for first in [false, true] {
        loses_nothing("channel", first, |_| {
            let (sender, receiver) = callback::channel();
            (receiver, Box::new(move || sender.send(1).unwrap()))
        });
        loses_nothing("bounded channel", first, |_| {
            let (sender, receiver) = callback::sync_channel(1);
            (receiver, Box::new(move || sender.try_send(1).unwrap()))
        });
        loses_nothing("channel from a thread", first, |_| {
            let (sender, receiver) = callback::channel();
            let thread =
                move || std::thread::spawn(move || sender.send(1).unwrap()).join().unwrap();
            (receiver, Box::new(thread))
        });
        loses_nothing("ping", first, |_| {
            let (ping, source) = callback::ping();
            (source, Box::new(move || ping.ping()))
        });
        loses_nothing("future", first, |_| {
            let (answer, question) = loopline::sync::oneshot::channel();
            (callback::once(question), Box::new(move || answer.send(1).unwrap()))
        });
        loses_nothing("controlled timer", first, |_| {
            let never = Timer::after(Duration::MAX);
            let (timer, control) = callback::controlled(never);
            let fire = move || {
                control.with(|timer| timer.set_after(Duration::ZERO)).unwrap();
            };
            (timer, Box::new(fire))
        });
        let folder = std::env::temp_dir().join(format!("loopline-{}-pause", std::process::id()));
        let path = Rc::new(folder);
        let at = path.clone();
        loses_nothing("connection", first, move |_| {
            let listener = UnixListener::bind(&*at).unwrap();
            let connect = move || drop(UnixStream::connect(&*at).unwrap());
            (listener.into_incoming(), Box::new(connect))
        });
        std::fs::remove_file(&*path).unwrap();
    }
}

// contract 16, 42
#[test]
fn a_timer_that_comes_due_during_a_pause_fires_after_it_and_says_how_late() {
    let ms = Duration::from_millis;
    let mut event_loop = paused::<Vec<Duration>>();
    let handle = event_loop.handle();
    let insert = handle.insert(Timer::every(ms(10)), |tick, _, late: &mut Vec<Duration>| {
        late.push(tick.late());
        Next::Keep
    });
    let control = insert.unwrap().control();
    let mut late = Vec::new();
    let script = async move {
        let _hold = time::hold();
        // Armed in this turn.
        time::advance(Duration::ZERO).await;
        time::advance(ms(5)).await;
        control.pause();
        time::advance(ms(7)).await;
        time::advance(ms(10)).await;
        assert!(handle.with(|late| late.is_empty()));
        control.resume();
        time::advance(Duration::ZERO).await;
        control.cancel();
    };
    event_loop.run_until(&mut late, script).unwrap();
    assert_eq!(late, [ms(12), ms(2)]);
    closes_clean(event_loop);
}

// contract 53
#[cfg(feature = "signal")]
#[test]
fn a_signal_is_told_after_the_pause() {
    use loopline::signal::unix::{SignalKind, signal};

    for first in [false, true] {
        loses_nothing("signal", first, |_| {
            let raise = || {
                // SAFETY: it is handled: a subscription is alive.
                assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
            };
            (signal(SignalKind::user_defined2()).unwrap(), Box::new(raise))
        });
    }
}

// contract 55
#[cfg(feature = "process")]
#[test]
fn a_childs_end_is_told_after_the_pause() {
    for first in [false, true] {
        loses_nothing("child", first, |_| {
            let mut cat = loopline::process::Command::new("cat");
            let mut exit = cat.stdin(std::process::Stdio::piped()).spawn().unwrap().into_exit();
            let stdin = exit.child_mut().stdin.take();
            // It ends with its input; until then the pause lasts.
            let fire = move || {
                drop(stdin);
            };
            (exit, Box::new(fire))
        });
    }
}

// contract 16
#[test]
fn a_source_that_pauses_itself_between_two_pieces_of_a_message_gets_the_other_one() {
    let mut event_loop = event_loop::<Vec<u8>>();
    let handle = event_loop.handle();
    let (near, far) = Connection::pair().unwrap();
    let lines = futures::io::BufReader::new(near);
    let lines = futures::io::AsyncBufReadExt::lines(lines);
    let insert = handle.insert(lines, |line, _, seen: &mut Vec<u8>| {
        seen.extend(line.unwrap().bytes());
        Next::Pause
    });
    let control = insert.unwrap().control();
    let resumed = handle.spawn(async move {
        // Both lines in one packet: the second is in the buffer, and the descriptor silent.
        far.write_all(b"1\n2\n").await.unwrap();
        for wanted in [&b"1"[..], b"12"] {
            while handle.with(|seen| seen.len()) < wanted.len() {
                time::sleep(Duration::from_micros(50)).await;
            }
            assert_eq!(handle.with(|seen| seen.clone()), wanted);
            assert!(control.is_paused() && control.resume() && !control.is_paused());
        }
        drop(far);
    });
    let mut seen = Vec::new();
    // In time, or not at all.
    let resumed = async { time::timeout(Duration::from_secs(30), resumed).await };
    event_loop.run_until(&mut seen, resumed).unwrap().unwrap().unwrap();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(seen, b"12");
    closes_clean(event_loop);
}

// contract 17
#[test]
fn a_source_that_is_paused_and_resumed_in_its_first_turn_still_waits_for_the_next() {
    let mut event_loop = built::<Vec<u64>>(|builder| {
        // A turn that is not ended by a slow machine.
        builder.items_per_check(1).time_per_turn(Duration::from_secs(60))
    });
    let handle = event_loop.handle();
    let lane = handle.add_lane(1).unwrap();
    handle.item().lane(lane).spawn(async move {
        let turn = handle.stats().turns;
        let told = handle.insert(callback::once(async {}), move |(), _, turns: &mut Vec<u64>| {
            turns.push(handle.stats().turns - turn);
            Next::Keep
        });
        let control = told.unwrap().control();
        control.pause();
        // There is work in this lane alone, and the loop looks for some between two items.
        yield_now().await;
        control.resume();
        yield_now().await;
        assert_eq!(handle.stats().turns, turn);
    });
    let mut turns = Vec::new();
    event_loop.run(&mut turns).unwrap();
    assert_eq!(turns, [1]);
    closes_clean(event_loop);
}
