//! Callbacks on mio by hand, as one writes them for one program: closures by token, edge-triggered, a short
//! read ends the reading; timers in a `BTreeMap`; a `Mutex<Vec>` and mio's waker across threads; a queue
//! of closures in place of tasks.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use peers::callback::{Descriptors, Timers, drain, run_descriptors, run_timers};
use peers::echo::{ANY, announce};
use peers::measure::{Plan, thread_cpu};
use peers::peer::{Crosses, Echo};
use peers::program::Asked;
use peers::work::cross;

fn main() {
    let asked = Asked::read();
    let a = &asked;
    asked.known(
        a.echo::<ByHand>()
            || run_timers::<ByHand>(a)
            || cross::run::<ByHand>(a)
            || run_descriptors::<ByHand>(a)
            || queue(a),
    );
}

const LISTENER: Token = Token(usize::MAX - 1);

type Closure = Box<dyn FnOnce()>;
type Handler = Box<dyn FnMut() -> bool>;

struct ByHand {
    poll: Poll,
    events: Events,
    handlers: Slab<Option<Handler>>,
    timers: BTreeMap<(Instant, u64), Closure>,
    made: u64,
}

impl ByHand {
    fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            handlers: Slab::new(),
            timers: BTreeMap::new(),
            made: 0,
        })
    }

    /// Waits and calls what is ready, then what is due.
    fn turn(&mut self, wait: bool) -> io::Result<()> {
        let until = |(deadline, _): &(Instant, u64)| deadline.duration_since(Instant::now());
        let timeout = match self.timers.keys().next() {
            _ if !wait => Some(Duration::ZERO),
            Some(first) => Some(until(first)),
            None => None,
        };
        self.poll.poll(&mut self.events, timeout)?;
        for event in &self.events {
            let key = event.token().0;
            let Some(mut handler) = self.handlers.get_mut(key).and_then(Option::take) else {
                continue;
            };
            // A closed peer needs no further event: edge-triggered, a short read and the end in one
            // event would lose it.
            if handler() && (!event.is_read_closed() || handler()) {
                self.handlers[key] = Some(handler);
            } else {
                self.handlers.remove(key);
            }
        }
        if !self.timers.is_empty() {
            let now = Instant::now();
            while let Some(first) = self.timers.first_entry() {
                if first.key().0 > now {
                    break;
                }
                first.remove()();
            }
        }
        Ok(())
    }
}

impl Timers for ByHand {
    type Key = (Instant, u64);

    fn new() -> Self {
        Self::new().expect("descriptors are left")
    }

    #[inline]
    fn insert(&mut self, deadline: Instant, fired: impl FnOnce() + 'static) -> Self::Key {
        self.made += 1;
        self.timers.insert((deadline, self.made), Box::new(fired));
        (deadline, self.made)
    }

    #[inline]
    fn cancel(&mut self, key: Self::Key) {
        self.timers.remove(&key);
    }

    fn turn(&mut self, wait: bool) {
        self.turn(wait).expect("the poller works");
    }
}

impl Descriptors for ByHand {
    fn new() -> Self {
        Self::new().expect("descriptors are left")
    }

    fn add(&mut self, fd: OwnedFd, events: Rc<Cell<usize>>) {
        let entry = self.handlers.vacant_entry();
        let (raw, token) = (fd.as_raw_fd(), Token(entry.key()));
        let registered =
            self.poll.registry().register(&mut SourceFd(&raw), token, Interest::READABLE);
        registered.expect("it can be polled");
        entry.insert(Some(Box::new(move || {
            if drain(&fd).is_ok() {
                events.set(events.get() + 1);
            }
            true
        })));
    }

    fn turn(&mut self) {
        self.turn(false).expect("the poller works");
    }
}

struct Inbox {
    items: Mutex<Vec<u64>>,
    waker: Waker,
}

impl Crosses for ByHand {
    type Sender = Arc<Inbox>;

    fn send(sender: &Self::Sender, item: u64) {
        let mut items = sender.items.lock().unwrap();
        items.push(item);
        if items.len() == 1 {
            drop(items);
            sender.waker.wake().expect("the poller works");
        }
    }

    fn receive(
        _: bool,
        start: impl FnOnce(Self::Sender),
        mut received: impl FnMut(u64) -> bool + 'static,
    ) {
        let mut this = Self::new().expect("descriptors are left");
        let waker = Waker::new(this.poll.registry(), LISTENER).expect("descriptors are left");
        let inbox = Arc::new(Inbox { items: Mutex::new(Vec::new()), waker });
        start(inbox.clone());
        let mut items = Vec::new();
        loop {
            this.turn(true).expect("the poller works");
            std::mem::swap(&mut items, &mut *inbox.items.lock().unwrap());
            for item in items.drain(..) {
                if received(item) {
                    return;
                }
            }
        }
    }
}

/// A queue of closures, in place of tasks: `detached:BATCH`, and `yield` and `pingpong`, in which a closure
/// that is known queues itself or another one.
fn queue(asked: &Asked) -> bool {
    let plan = asked.plan;
    match asked.case.as_str() {
        "detached" => detached(plan, asked.parameter),
        "yield" => known(plan, asked.parameter.max(1)),
        "pingpong" => known(plan, 2),
        _ => return false,
    }
    true
}

fn detached(plan: Plan, batch: usize) {
    for counted in plan.rounds() {
        let began = thread_cpu();
        let mut queue: VecDeque<Closure> = VecDeque::new();
        let ran = Rc::new(Cell::new(0));
        for _ in 0..plan.operations / batch {
            for _ in 0..batch {
                let ran = ran.clone();
                queue.push_back(Box::new(move || ran.set(ran.get() + 1)));
            }
            while let Some(closure) = queue.pop_front() {
                closure();
            }
        }
        assert_eq!(ran.get(), plan.operations / batch * batch);
        plan.report(counted, thread_cpu() - began);
    }
}

/// That many closures in a table; each queues the next by its number.
fn known(plan: Plan, closures: usize) {
    type Known = Box<dyn FnMut(&mut VecDeque<usize>)>;
    let mut table: Slab<Option<Known>> = Slab::new();
    let calls = Rc::new(Cell::new(0));
    for n in 0..closures {
        let calls = calls.clone();
        table.insert(Some(Box::new(move |queue: &mut VecDeque<usize>| {
            calls.set(calls.get() + 1);
            queue.push_back((n + 1) % closures);
        })));
    }
    for counted in plan.rounds() {
        let began = thread_cpu();
        let mut queue = VecDeque::from([0]);
        calls.set(0);
        while calls.get() < plan.operations {
            let Some(key) = queue.pop_front() else { break };
            let Some(mut closure) = table.get_mut(key).and_then(Option::take) else { continue };
            closure(&mut queue);
            if let Some(place) = table.get_mut(key) {
                *place = Some(closure);
            }
        }
        plan.report(counted, thread_cpu() - began);
    }
}

impl Echo for ByHand {
    fn serve<const BUFFER: usize>() -> io::Result<()> {
        let mut this = Self::new()?;
        let mut listener = mio::net::TcpListener::bind(ANY.parse().expect("an address"))?;
        announce(listener.local_addr()?);
        this.poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        loop {
            this.turn(true)?;
            if this.events.iter().any(|event| event.token() == LISTENER) {
                while let Ok((mut stream, _peer)) = listener.accept() {
                    let entry = this.handlers.vacant_entry();
                    let token = Token(entry.key());
                    this.poll.registry().register(&mut stream, token, Interest::READABLE)?;
                    let mut buffer = [0; BUFFER];
                    entry.insert(Some(Box::new(move || echo(&mut stream, &mut buffer))));
                }
            }
        }
    }
}

/// Returns whether there is more to come.
fn echo(stream: &mut mio::net::TcpStream, buffer: &mut [u8]) -> bool {
    loop {
        match stream.read(buffer) {
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
}
