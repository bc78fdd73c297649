//! Situations that libuv's tests made known, on this loop.
#![cfg(all(unix, feature = "net"))] // descriptors

mod support;

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use loopline::callback::{self, Next, SourceControl};
use loopline::io::{FdSource, Interest, Readiness, Trigger};
use loopline::time::{self, MissedTickBehavior, Timer};
use loopline::{Control, Handle};
use support::{closes_clean, event_loop, operations, paused};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// A generator of numbers that a seed determines.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }
}

/// One end of a connection that does what it should, but at random: it reads and writes a little or until it
/// would block, by its source or past it, looks away, watches for something else for a moment, or stops
/// watching for a while.
struct End {
    random: Random,
    socket: UnixStream,
    /// Whether its trigger wants that after an event that was not used up.
    rearms: bool,
    /// How much it has to send, and to receive.
    to_send: usize,
    to_receive: usize,
    sent_end: bool,
    /// The end was told: what is left is read, in pieces too.
    told_end: bool,
    got_end: bool,
    interest: Option<Interest>,
    /// To be watched for again when the timer fires.
    later: Option<Interest>,
    control: Option<SourceControl<FdSource<UnixStream>>>,
    item: Option<Control>,
}

type Source = FdSource<UnixStream>;

impl End {
    fn read(&mut self, source: &Source, size: usize) -> io::Result<usize> {
        let mut buf = [0; 1024];
        let buf = &mut buf[..size];
        let n = match self.random.below(2) {
            0 => source.try_io_for(Interest::READABLE, |mut socket| socket.read(buf)),
            _ => self.socket.read(buf),
        }?;
        self.to_receive = self.to_receive.checked_sub(n).expect("no more than was sent");
        self.got_end |= n == 0;
        Ok(n)
    }

    fn write(&mut self, source: &Source, size: usize) -> io::Result<usize> {
        let buf = &[7; 2048][..size.min(self.to_send)];
        let n = match self.random.below(2) {
            0 => source.try_io_for(Interest::WRITABLE, |mut socket| socket.write(buf)),
            _ => self.socket.write(buf),
        }?;
        self.to_send -= n;
        Ok(n)
    }

    fn unwatch(&mut self, direction: Interest) {
        self.interest = self.interest.and_then(|interest| interest.remove(direction));
    }

    fn on_readable(&mut self, source: &mut Source) {
        match self.random.below(7) {
            0 | 1 => drop(self.read(source, 74)),
            2 | 3 => while self.read(source, 931).is_ok_and(|n| n > 0) {},
            4 => {}
            5 => self.look_away(Interest::READABLE),
            _ => self.fudge(source),
        }
        // Told once: it may have looked away from what it was told with.
        self.got_end |= self.told_end && self.to_receive == 0;
        if self.got_end {
            self.unwatch(Interest::READABLE);
        }
    }

    fn on_writable(&mut self, source: &mut Source) {
        if self.to_send == 0 {
            self.socket.shutdown(Shutdown::Write).unwrap();
            self.sent_end = true;
            return self.unwatch(Interest::WRITABLE);
        }
        match self.random.below(7) {
            0 | 1 => drop(self.write(source, 103)),
            2 | 3 => while self.to_send > 0 && self.write(source, 1234).is_ok() {},
            4 => {}
            5 => self.look_away(Interest::WRITABLE),
            _ => self.fudge(source),
        }
    }

    /// Stops watching, until the timer.
    fn look_away(&mut self, direction: Interest) {
        self.unwatch(direction);
        self.later = Some(self.later.map_or(direction, |later| later | direction));
    }

    fn fudge(&self, source: &mut Source) {
        source.set_interest(Interest::READABLE);
        source.set_interest(Interest::WRITABLE);
        source.set_interest(self.interest.unwrap_or(BOTH));
    }
}

fn on_event(event: io::Result<Readiness>, source: &mut Source, end: &mut End) -> Next {
    let event = event.unwrap();
    let before = end.interest.expect("it is paused if it watches for nothing");
    assert!(!event.readable || before.is_readable(), "{event:?} of {before:?}");
    assert!(!event.writable || before.is_writable(), "{event:?} of {before:?}");
    end.told_end |= event.read_closed;
    if event.readable || event.read_closed {
        end.on_readable(source);
    }
    if event.writable && !end.sent_end {
        end.on_writable(source);
    }
    if end.got_end && end.sent_end {
        return Next::Stop;
    }
    let Some(interest) = end.interest else { return Next::Pause };
    if interest != before {
        source.set_interest(interest);
    }
    if end.rearms {
        source.rearm();
    }
    Next::Keep
}

/// Has an end watch again for what it looked away from.
fn look_again(end: &mut End) {
    let Some(later) = end.later.take() else { return };
    if end.got_end && end.sent_end {
        return; // it has stopped since
    }
    let interest = end.interest.map_or(later, |interest| interest | later);
    end.interest = Some(interest);
    let control = end.control.as_ref().expect("it was inserted");
    control.with(|source| source.set_interest(interest)).expect("it is not over");
    end.item.expect("it was inserted").resume();
}

fn insert(
    handle: Handle<()>,
    socket: UnixStream,
    trigger: Trigger,
    seed: u64,
    bytes: usize,
) -> Rc<RefCell<End>> {
    socket.set_nonblocking(true).unwrap();
    let end = Rc::new(RefCell::new(End {
        random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        socket: socket.try_clone().unwrap(),
        rearms: matches!(trigger, Trigger::Edge | Trigger::OneShot),
        to_send: bytes,
        to_receive: bytes,
        sent_end: false,
        told_end: false,
        got_end: false,
        interest: Some(BOTH),
        later: None,
        control: None,
        item: None,
    }));
    let (source, control) = callback::controlled(FdSource::with_trigger(socket, BOTH, trigger));
    let own = end.clone();
    let inserted = handle.insert(source, move |event, source, ()| {
        let looked_away = own.borrow().later.is_some();
        let next = source.with(|source| on_event(event, source, &mut own.borrow_mut()));
        if own.borrow().later.is_some() && !looked_away {
            let own = own.clone();
            let again = Timer::after(Duration::from_millis(1));
            drop(handle.insert(again, move |_, _, ()| {
                look_again(&mut own.borrow_mut());
                Next::Stop
            }));
        }
        next
    });
    end.borrow_mut().control = Some(control);
    end.borrow_mut().item = Some(inserted.unwrap().control());
    end
}

// contract 2, 3, 5, 6
#[test]
fn two_ends_that_read_write_and_watch_at_random_get_all_bytes_and_both_ends() {
    const TRIGGERS: [Trigger; 4] =
        [Trigger::Level, Trigger::Edge, Trigger::OneShot, Trigger::Foreign];
    for seed in 1..=operations(20) as u64 {
        println!("seed {seed}");
        let trigger = TRIGGERS[seed as usize % TRIGGERS.len()];
        let mut event_loop = event_loop::<()>();
        let (near, far) = UnixStream::pair().unwrap();
        let ends = [(near, seed), (far, seed << 32)]
            .map(|(socket, seed)| insert(event_loop.handle(), socket, trigger, seed, 1 << 14));
        event_loop.run(&mut ()).unwrap();
        for end in ends {
            let end = end.borrow();
            assert_eq!((end.to_send, end.to_receive), (0, 0), "seed {seed}");
            assert!(end.got_end && end.sent_end, "seed {seed}");
        }
        closes_clean(event_loop);
    }
}

// contract 42
#[test]
fn a_period_that_begins_anew_each_time_does_not_end_until_it_is_left_alone() {
    let mut event_loop = paused::<Vec<(&str, u128)>>();
    let handle = event_loop.handle();
    let start = handle.now();
    let ms = Duration::from_millis;
    let (second, again) = callback::controlled(Timer::every(ms(100)));
    let late = handle.insert(second, move |tick, timer, seen| {
        seen.push(("second", (tick.now - start).as_millis()));
        // Not at once: it fires once more.
        timer.with(|timer| match timer.period() {
            Some(_) => timer.set_period(None),
            None => assert_eq!(timer.deadline(), None),
        });
        Next::Keep
    });
    drop(late.unwrap());
    let mut ticks = 0;
    let first = handle.insert(Timer::every(ms(50)), move |tick, timer, seen| {
        ticks += 1;
        seen.push(("first", (tick.now - start).as_millis()));
        assert_eq!(timer.deadline(), Some(tick.now + ms(50)));
        again.with(|second| second.set_after(second.period().unwrap())).unwrap();
        if ticks == 3 { Next::Stop } else { Next::Keep }
    });
    drop(first.unwrap());
    let mut seen = Vec::new();
    event_loop.run(&mut seen).unwrap();
    let expected =
        [("first", 50), ("first", 100), ("first", 150), ("second", 250), ("second", 350)];
    assert_eq!(seen, expected);
    closes_clean(event_loop);
}

// contract 42
#[test]
fn a_period_that_was_missed_by_far_is_told_once_if_it_may_be_late() {
    let mut event_loop = paused::<u32>();
    let timer =
        Timer::every(Duration::from_millis(10)).missed_tick_behavior(MissedTickBehavior::Delay);
    let insert = event_loop.handle().insert(timer, |_, _, ticks| {
        *ticks += 1;
        Next::Keep
    });
    let mut ticks = 0;
    event_loop.turn(&mut ticks, Duration::ZERO).unwrap();
    let far = async { time::advance(Duration::from_millis(25)).await };
    event_loop.run_until(&mut ticks, far).unwrap();
    event_loop.turn(&mut ticks, Duration::ZERO).unwrap();
    assert_eq!(ticks, 1);
    drop(insert.unwrap().cancel());
    closes_clean(event_loop);
}

type Log = Vec<&'static str>;

// contract 17
#[test]
fn what_is_ended_around_a_wait_is_over_before_the_next_and_the_run_ends_with_it() {
    let mut event_loop = event_loop::<Log>();
    let handle = event_loop.handle();
    let never = Timer::after(Duration::from_secs(100_000));
    let never = handle.insert(never, |_, _, _| unreachable!("it is closed")).unwrap();
    let control = never.control();
    let at_once = handle.insert(Timer::after(Duration::ZERO), |_, _, log: &mut Log| {
        log.push("timer");
        Next::Keep
    });
    let check = handle.insert(callback::after_park(), move |(), _, log: &mut Log| {
        log.push("check");
        assert!(control.cancel() && control.is_finished());
        Next::Stop
    });
    let mut log = Log::new();
    event_loop.run(&mut log).unwrap();
    // Timers come after the wait and what stands around it.
    assert_eq!(log, ["check", "timer"]);
    assert!(at_once.unwrap().is_finished() && check.unwrap().is_finished());
    assert!(event_loop.is_finished());
    closes_clean(event_loop);
    drop(never);
}

// contract 16, 17
#[test]
fn an_observer_may_begin_and_end_others_of_its_phase_and_the_new_ones_wait_for_the_next_turn() {
    let mut event_loop = event_loop::<Log>();
    let handle = event_loop.handle();
    let idle = handle.insert(callback::idle(), |_, _, _: &mut Log| Next::Keep).unwrap();
    let other = Rc::new(RefCell::new(None::<Control>));
    let first = {
        let other = other.clone();
        handle.insert(callback::before_park(), move |(), _, log: &mut Log| {
            log.push("first");
            match other.take() {
                // Later in the order of this phase: it was to be told of this very wait.
                Some(other) => assert!(other.cancel()),
                None => {
                    let made = handle.insert(callback::before_park(), |(), _, log: &mut Log| {
                        log.push("second");
                        Next::Keep
                    });
                    *other.borrow_mut() = Some(made.unwrap().control());
                }
            }
            Next::Keep
        })
    };
    let mut log = Log::new();
    for _ in 0..6 {
        event_loop.turn(&mut log, Duration::ZERO).unwrap();
        log.push("|");
    }
    // Each second one is made, joins in that turn, and is ended before the wait of the next.
    assert_eq!(log, ["|", "first", "|", "first", "|", "first", "|", "first", "|", "first", "|"]);
    for item in [first.unwrap().control(), idle.control()] {
        assert!(item.cancel());
    }
    if let Some(other) = other.take() {
        other.cancel();
    }
    closes_clean(event_loop);
}

// contract 22
#[test]
fn a_run_that_an_observer_stops_ends_after_its_turn_and_the_next_goes_on_from_there() {
    let mut event_loop = event_loop::<u32>();
    let handle = event_loop.handle();
    let before = handle.insert(callback::before_park(), move |(), _, waits: &mut u32| {
        *waits += 1;
        if *waits == 3 {
            handle.stop();
        }
        if *waits == 10 { Next::Stop } else { Next::Keep }
    });
    // Keeps the turns from waiting.
    let timer = handle.insert(
        callback::idle(),
        |_, _, waits| {
            if *waits == 10 { Next::Stop } else { Next::Keep }
        },
    );
    let mut waits = 0;
    event_loop.run(&mut waits).unwrap();
    assert_eq!(waits, 3);
    assert!(!event_loop.is_finished());
    event_loop.run(&mut waits).unwrap();
    assert_eq!(waits, 10);
    assert!(before.unwrap().is_finished() && timer.unwrap().is_finished());
    assert!(event_loop.is_finished());
    closes_clean(event_loop);
}

// contract 12, 15
#[test]
fn a_descriptor_whose_source_was_cancelled_is_given_to_another_in_the_same_callback() {
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let near = Rc::new(near);
    let mut event_loop = event_loop::<Log>();
    let handle = event_loop.handle();
    let first = FdSource::new(near.clone(), Interest::READABLE);
    let first = handle.insert(first, |event, _, log: &mut Log| {
        assert!(event.unwrap().readable);
        log.push("first");
        Next::Keep
    });
    let first = first.unwrap().control();
    let mut log = Log::new();
    event_loop.turn(&mut log, Duration::ZERO).unwrap();
    let (ping, pings) = callback::ping();
    let change = handle.insert(pings, move |(), _, log: &mut Log| {
        log.push("change");
        assert!(first.cancel());
        let second = FdSource::new(near.clone(), Interest::READABLE);
        let second = handle.insert(second, |event, source, log: &mut Log| {
            assert!(event.unwrap().readable);
            source.try_io(|near| (&**near).read(&mut [0; 8])).unwrap();
            log.push("second");
            Next::Stop
        });
        drop(second.unwrap());
        Next::Stop
    });
    ping.ping();
    event_loop.turn(&mut log, Duration::ZERO).unwrap();
    far.write_all(b"both").unwrap();
    event_loop.run(&mut log).unwrap();
    assert_eq!(log, ["change", "second"]);
    drop(change);
    closes_clean(event_loop);
}
