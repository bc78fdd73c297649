//! The same on an event loop: items that note what happens to them in the loop's state.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use loopline::callback::{Next, Sender, SourceControl, channel, controlled};
use loopline::io::{FdSource, Interest};
use loopline::time::{self, Timer};
use loopline::{Control, Handle};

use crate::model::{Entry, Message, Step, number};

/// What a descriptor's callback saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) bytes: usize,
    pub(crate) ended: bool,
}

/// The state of the loop.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) log: Vec<Entry>,
    pub(crate) start: Option<Instant>,
    pub(crate) steps: BTreeMap<usize, Step>,
    pub(crate) controls: BTreeMap<usize, Control>,
    pub(crate) wakers: BTreeMap<usize, Waker>,
    pub(crate) senders: BTreeMap<usize, Sender<Message>>,
    pub(crate) timers: BTreeMap<usize, SourceControl<Timer>>,
    pub(crate) seen: BTreeMap<usize, Seen>,
    pub(crate) far_ends: BTreeMap<usize, UnixStream>,
    /// Duplicates of descriptors, which outlive them for a while.
    pub(crate) duplicates: VecDeque<UnixStream>,
}

pub(crate) type Home = Handle<World>;

impl World {
    pub(crate) fn cancel(&self, id: usize) {
        if let Some(control) = self.controls.get(&id) {
            control.cancel();
        }
    }

    pub(crate) fn wake(&self, id: usize) {
        if let Some(waker) = self.wakers.get(&id) {
            waker.wake_by_ref();
        }
    }
}

pub(crate) fn spawn(handle: Home, world: &mut World, id: usize) {
    let task = handle.spawn(poll_fn(move |cx| {
        let step = handle.with(|world| {
            world.log.push(Entry::Ran(id));
            world.wakers.insert(id, cx.waker().clone());
            world.steps.remove(&id)
        });
        match step {
            None => {}
            Some(Step::WakeSelf) => cx.waker().wake_by_ref(),
            Some(Step::Wake(other)) => handle.with(|world| world.wake(other)),
            Some(Step::Cancel(other)) => handle.with(|world| world.cancel(other)),
            Some(Step::Finish) => return Poll::Ready(()),
            Some(Step::Panic) => panic!("the test's own"),
        }
        Poll::Pending
    }));
    world.controls.insert(id, task.control());
}

pub(crate) fn insert_channel(handle: Home, world: &mut World, id: usize) {
    let (sender, receiver) = channel();
    let insert = handle.insert(receiver, move |message, _, world: &mut World| {
        world.log.push(Entry::Received(id, number(message)));
        match message {
            Message::Plain(_) => {}
            Message::Pause => return Next::Pause,
            Message::Stop => return Next::Stop,
            Message::Panic => panic!("the test's own"),
            Message::Cancel(other) => world.cancel(other),
            Message::Wake(other) => world.wake(other),
            Message::Spawn(other) => spawn(handle, world, other),
        }
        Next::Keep
    });
    world.controls.insert(id, insert.unwrap().control());
    world.senders.insert(id, sender);
}

pub(crate) fn insert_timer(
    handle: Home,
    world: &mut World,
    id: usize,
    after: u64,
    mut again: VecDeque<u64>,
) {
    let (timer, control) = controlled(Timer::after(Duration::from_nanos(after)));
    let own = control.clone();
    let insert = handle.insert(timer, move |tick, _, world: &mut World| {
        let now = time::now() - world.start.unwrap();
        world.log.push(Entry::Fired(id, now.as_nanos() as u64));
        assert!(tick.deadline <= time::now(), "early");
        if let Some(after) = again.pop_front() {
            own.with(|timer| timer.set_after(Duration::from_nanos(after)));
        }
        Next::Keep
    });
    world.controls.insert(id, insert.unwrap().control());
    world.timers.insert(id, control);
}

pub(crate) fn insert_fd(handle: Home, world: &mut World, id: usize, duplicate: bool) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    if duplicate {
        world.duplicates.push_back(near.try_clone().unwrap());
    }
    let source = FdSource::new(near, Interest::READABLE);
    let insert = handle.insert(source, move |event, source, world: &mut World| {
        let event = event.unwrap();
        let seen = world.seen.entry(id).or_default();
        assert!(!(event.read_closed && seen.ended), "an end told twice");
        let mut buf = [0; 16];
        loop {
            match source.try_io(|mut near| near.read(&mut buf)) {
                Ok(0) => break seen.ended = true,
                Ok(n) => {
                    assert!(buf[..n].iter().all(|byte| *byte == id as u8), "another's bytes");
                    seen.bytes += n;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        Next::Keep
    });
    world.controls.insert(id, insert.unwrap().control());
    world.far_ends.insert(id, far);
}

/// Writes bytes that say whose they are.
pub(crate) fn write(world: &World, id: usize, len: usize) {
    let Some(mut far) = world.far_ends.get(&id) else { return };
    // Nobody reads any more where the source is gone without a duplicate.
    let _ = far.write(&vec![id as u8; len]);
}

pub(crate) fn half_close(world: &World, id: usize) {
    if let Some(far) = world.far_ends.get(&id) {
        let _ = far.shutdown(Shutdown::Write);
    }
}
