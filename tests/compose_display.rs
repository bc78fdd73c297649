//! The hooks around the wait inside a composed source: the shape of a Wayland connection, whose readers on
//! several threads each announce that they will read before they wait, and must read or take it back after.
#![cfg(all(unix, feature = "net"))]

#[path = "support/display.rs"]
mod display;
mod support;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use display::{Display, compositor, of};
use loopline::callback::{AfterPark, BeforePark, Next, Stream, after_park, before_park};
use loopline::io::{FdSource, Interest, Trigger};
use loopline::time::{Timer, sleep};
use support::{closes_clean, event_loop, paused, scaled};

/// One queue of the display as a source of events.
struct Queue {
    display: Arc<Display>,
    number: usize,
    readable: FdSource<UnixStream>,
    before: BeforePark,
    after: AfterPark,
    /// Whether a read is announced.
    prepared: bool,
}

impl Queue {
    fn new(display: Arc<Display>, number: usize) -> Self {
        // Each loop has a descriptor of its own; all are emptied by whoever reads.
        let fd = display.socket.try_clone().unwrap();
        let readable = FdSource::with_trigger(fd, Interest::READABLE, Trigger::Foreign);
        let (before, after) = (before_park(), after_park());
        Self { display, number, readable, before, after, prepared: false }
    }
}

impl Stream for Queue {
    type Item = u8;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u8>> {
        let this = &mut *self;
        loop {
            if this.prepared {
                ready!(Pin::new(&mut this.after).poll_next(cx));
                this.prepared = false;
                match Pin::new(&mut this.readable).poll_next(cx) {
                    Poll::Ready(_) => this.display.read(),
                    Poll::Pending => this.display.cancel(),
                }
            }
            if let Some(event) = this.display.next(this.number) {
                return Poll::Ready(Some(event));
            }
            if this.display.state.lock().unwrap().closed {
                return Poll::Ready(None);
            }
            ready!(Pin::new(&mut this.before).poll_next(cx));
            if Pin::new(&mut this.readable).poll_next(cx).is_ready() {
                // Known from before, and told: nothing would end this wait. After it the system is asked anew.
                cx.waker().wake_by_ref();
            }
            this.prepared = this.display.prepare(this.number);
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.prepared {
            self.display.cancel();
        }
    }
}

/// Reads a queue on a loop of its own thread, until `last` or the end; beside it the loop is busy.
fn reader(display: &Arc<Display>, number: usize, last: Option<u8>) -> Vec<u8> {
    let mut event_loop = event_loop::<Vec<u8>>();
    let handle = event_loop.handle();
    let queue = Queue::new(display.clone(), number);
    let insert = handle.insert(queue, move |event, _queue, seen: &mut Vec<u8>| {
        seen.push(event);
        if last == Some(event) { Next::Stop } else { Next::Keep }
    });
    let join = insert.unwrap();
    // Ends waits that nothing came for: each has to be taken back.
    handle.item().background().spawn(async {
        loop {
            sleep(Duration::from_micros(300)).await;
        }
    });
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    drop(event_loop.run_until(&mut seen, join).unwrap().unwrap());
    support::ends_with_timers(event_loop, 1, 1, 0);
    seen
}

// contract 16, 20, 29
#[test]
fn two_readers_of_one_display_on_two_threads_each_get_their_events_in_order() {
    let events: Vec<u8> = (0..scaled(20_000)).map(|n| (n * 7 % 251) as u8).collect();
    let (near, far) = UnixStream::pair().unwrap();
    let display = Display::new(near);
    let seen: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let readers: Vec<_> = [0, 1]
            .map(|number| (number, display.clone()))
            .into_iter()
            .map(|(number, display)| scope.spawn(move || reader(&display, number, None)))
            .collect();
        compositor(far, &events);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    assert!(seen[0] == of(&events, 0) && seen[1] == of(&events, 1));
    let state = display.state.lock().unwrap();
    assert_eq!(state.readers, 0, "an announcement is left");
    assert!(state.reads > 0);
}

// contract 16
#[test]
fn a_reader_that_stops_takes_its_announcement_back_and_blocks_nobody() {
    // 255 is odd and the last of the second reader, early; the first goes on alone.
    let early: Vec<u8> = (0..100).collect();
    let late: Vec<u8> = (0..scaled(5_000)).map(|n| (n % 100 * 2) as u8).collect();
    let events = [early, vec![255], late].concat();
    let (near, far) = UnixStream::pair().unwrap();
    let display = Display::new(near);
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| reader(&display, 0, None));
        let second = scope.spawn(|| reader(&display, 1, Some(255)));
        compositor(far, &events);
        (first.join().unwrap(), second.join().unwrap())
    });
    assert!(first == of(&events, 0) && second == of(&events, 1));
    assert_eq!(display.state.lock().unwrap().readers, 0, "an announcement is left");
}

// contract 16, 21
#[test]
fn whatever_ends_the_wait_every_announcement_is_answered() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let display = Display::new(near);
    let mut event_loop = event_loop::<Vec<u8>>();
    let handle = event_loop.handle();
    let queue = Queue::new(display.clone(), 0);
    let insert = handle.insert(queue, |event, _queue, seen: &mut Vec<u8>| {
        seen.push(event);
        Next::Keep
    });
    let item = insert.unwrap().control();
    let readers = || display.state.lock().unwrap().readers;
    let mut seen = Vec::new();
    // A wait of no length, one with a timer's end, one with a panic of another hook, one with a stop.
    let panicking = handle.insert(before_park(), |(), _, _| -> Next { panic!("the test's own") });
    drop(panicking.unwrap());
    for limit in [0, 0, 1, 0] {
        event_loop.turn(&mut seen, Duration::from_millis(limit)).unwrap();
        assert_eq!(readers(), 0);
    }
    handle.stop();
    event_loop.run(&mut seen).unwrap();
    assert_eq!(readers(), 0);
    far.write_all(&[2, 4]).unwrap();
    event_loop.turn(&mut seen, Duration::from_secs(10)).unwrap();
    assert_eq!((readers(), seen.as_slice()), (0, &[2, 4][..]));
    assert!(item.cancel());
    closes_clean(event_loop);
}

// contract 16
#[test]
fn a_reader_that_is_paused_in_between_keeps_its_announcement_until_it_is_resumed() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let display = Display::new(near);
    let mut event_loop = event_loop::<Vec<u8>>();
    let handle = event_loop.handle();
    let insert = handle.insert(Queue::new(display.clone(), 0), |event, _queue, seen| {
        seen.push(event);
        Next::Keep
    });
    let item = insert.unwrap().control();
    let mut seen = Vec::new();
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    // It is polled after the reader, and before the wait.
    let pausing = handle.insert(before_park(), move |(), _, _| {
        assert!(item.pause());
        Next::Stop
    });
    let readers = || display.state.lock().unwrap().readers;
    for _ in 0..3 {
        event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    }
    assert!(pausing.unwrap().is_finished());
    far.write_all(&[2]).unwrap();
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    assert_eq!((readers(), seen.len()), (1, 0));
    assert!(item.resume());
    while seen.is_empty() {
        event_loop.turn(&mut seen, Duration::from_secs(10)).unwrap();
    }
    assert_eq!((readers(), seen.as_slice()), (0, &[2][..]));
    assert!(item.cancel());
    closes_clean(event_loop);
}

// contract 2, 3
#[test]
fn what_came_while_no_read_was_announced_ends_the_wait_in_which_one_is() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let display = Display::new(near);
    let mut event_loop = paused::<Vec<u8>>();
    let queue = Queue::new(display.clone(), 0);
    let insert = event_loop.handle().insert(queue, |event, _queue, seen: &mut Vec<u8>| {
        seen.push(event);
        Next::Keep
    });
    let late = event_loop.handle().insert(Timer::after(Duration::from_secs(3600)), |_, _, seen| {
        seen.push(0);
        Next::Stop
    });
    let mut seen = Vec::new();
    for _ in 0..3 {
        event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    }
    // Nothing is announced in the wait that learns of the 4, for the sake of the 2.
    display.state.lock().unwrap().quicker = Some(2);
    far.write_all(&[4]).unwrap();
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    assert_eq!(seen, [2]);
    while seen.len() == 1 {
        event_loop.turn(&mut seen, None).unwrap();
    }
    assert_eq!(seen, [2, 4]);
    assert!(insert.unwrap().control().cancel() && late.unwrap().control().cancel());
    closes_clean(event_loop);
}
