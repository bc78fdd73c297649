//! What the loop should do, in plain collections: a queue of numbers, timers in a map, no loop.

use std::collections::{BTreeMap, VecDeque};

/// What a task does when it is polled next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    WakeSelf,
    Wake(usize),
    Finish,
    Panic,
    Cancel(usize),
}

/// What a callback is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message {
    Plain(u32),
    Pause,
    Stop,
    Panic,
    Cancel(usize),
    Wake(usize),
    Spawn(usize),
}

/// What items note of themselves. Descriptors do not: among those no order is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Ran(usize),
    Received(usize, u32),
    Fired(usize, u64),
}

/// The number a message is noted with, for the log.
pub(crate) fn number(message: Message) -> u32 {
    match message {
        Message::Plain(n) => n,
        Message::Pause => u32::MAX,
        Message::Stop => u32::MAX - 1,
        Message::Panic => u32::MAX - 2,
        Message::Cancel(_) => u32::MAX - 3,
        Message::Wake(_) => u32::MAX - 4,
        Message::Spawn(_) => u32::MAX - 5,
    }
}

#[derive(Debug)]
pub(crate) enum Kind {
    Task,
    Channel(VecDeque<Message>),
    Timer {
        /// Set anew, to so long from when it is polled.
        set: Option<u64>,
        /// What it waits for: a deadline and the order of setting.
        armed: Option<(u64, u64)>,
        fired: bool,
        /// What the callback sets it to each time it fired.
        again: VecDeque<u64>,
    },
    /// A descriptor: not in the queue of the model.
    Fd,
}

#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    listed: bool,
    woken: bool,
    pub(crate) paused: bool,
}

/// The loop.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) items: BTreeMap<usize, Item>,
    pub(crate) steps: BTreeMap<usize, Step>,
    queue: VecDeque<usize>,
    next_turn: VecDeque<usize>,
    timers: BTreeMap<(u64, u64), usize>,
    set: u64,
    pub(crate) now: u64,
    pub(crate) log: Vec<Entry>,
}

impl Model {
    pub(crate) fn spawn(&mut self, id: usize) {
        self.items.insert(id, Item { kind: Kind::Task, listed: true, woken: true, paused: false });
        self.queue.push_back(id);
    }

    pub(crate) fn insert(&mut self, id: usize, kind: Kind) {
        let queued = !matches!(kind, Kind::Fd);
        self.items.insert(id, Item { kind, listed: queued, woken: queued, paused: false });
        if queued {
            self.next_turn.push_back(id);
        }
    }

    pub(crate) fn wake(&mut self, id: usize) {
        let Some(item) = self.items.get_mut(&id) else { return };
        if !std::mem::replace(&mut item.woken, true) && !item.paused && !item.listed {
            item.listed = true;
            self.queue.push_back(id);
        }
    }

    pub(crate) fn send(&mut self, id: usize, message: Message) {
        if let Some(Item { kind: Kind::Channel(messages), .. }) = self.items.get_mut(&id) {
            messages.push_back(message);
            self.wake(id);
        }
    }

    pub(crate) fn set_timer(&mut self, id: usize, after: u64) {
        if let Some(Item { kind: Kind::Timer { set, .. }, .. }) = self.items.get_mut(&id) {
            *set = Some(after);
            self.wake(id);
        }
    }

    pub(crate) fn pause(&mut self, id: usize) {
        if let Some(item) = self.items.get_mut(&id) {
            item.paused = true;
        }
    }

    pub(crate) fn resume(&mut self, id: usize) {
        let Some(item) = self.items.get_mut(&id) else { return };
        let woken = item.woken;
        if std::mem::take(&mut item.paused) && woken && !item.listed {
            item.listed = true;
            self.queue.push_back(id);
        }
    }

    pub(crate) fn remove(&mut self, id: usize) {
        self.steps.remove(&id);
        if let Some(Item { kind: Kind::Timer { armed: Some(key), .. }, .. }) =
            self.items.remove(&id)
        {
            self.timers.remove(&key);
        }
    }

    /// Runs the rest of this turn, and then turns until nothing is queued.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some(id) = self.queue.pop_front() {
                let Some(item) = self.items.get_mut(&id) else { continue };
                item.listed = false;
                if item.woken && !item.paused {
                    item.woken = false;
                    self.run(id);
                }
            }
            self.queue.append(&mut self.next_turn);
            self.fire();
            if self.queue.is_empty() {
                return;
            }
        }
    }

    pub(crate) fn advance(&mut self, by: u64) {
        self.now += by;
    }

    /// Wakes whose deadline has come, in order.
    fn fire(&mut self) {
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= self.now)
        {
            let id = entry.remove();
            if let Some(Item { kind: Kind::Timer { armed, fired, .. }, .. }) =
                self.items.get_mut(&id)
            {
                *armed = None;
                *fired = true;
            }
            self.wake(id);
        }
    }

    fn run(&mut self, id: usize) {
        match &mut self.items.get_mut(&id).expect("it runs").kind {
            Kind::Task => {
                self.log.push(Entry::Ran(id));
                match self.steps.remove(&id) {
                    None => {}
                    Some(Step::WakeSelf) => self.wake(id),
                    Some(Step::Wake(other)) => self.wake(other),
                    Some(Step::Cancel(other)) => self.remove(other),
                    Some(Step::Finish | Step::Panic) => self.remove(id),
                }
            }
            Kind::Channel(_) => self.receive(id),
            Kind::Timer { .. } => self.run_timer(id),
            Kind::Fd => unreachable!("never queued"),
        }
    }

    fn receive(&mut self, id: usize) {
        loop {
            let Some(Item { kind: Kind::Channel(messages), paused, .. }) = self.items.get_mut(&id)
            else {
                return;
            };
            let Some(message) = messages.pop_front().filter(|_| !*paused) else { return };
            self.log.push(Entry::Received(id, number(message)));
            match message {
                Message::Plain(_) => {}
                Message::Pause => {
                    // Its own wake, for what is left to receive, is remembered.
                    self.pause(id);
                    self.wake(id);
                    return;
                }
                Message::Stop | Message::Panic => return self.remove(id),
                Message::Cancel(other) => self.remove(other),
                Message::Wake(other) => self.wake(other),
                Message::Spawn(other) => self.spawn(other),
            }
        }
    }

    fn run_timer(&mut self, id: usize) {
        loop {
            let now = self.now;
            let Some(Item { kind: Kind::Timer { set, armed, fired, again }, .. }) =
                self.items.get_mut(&id)
            else {
                return;
            };
            if let Some(after) = set.take() {
                let key = (now + after, self.set);
                self.set += 1;
                *fired = false;
                if let Some(old) = armed.replace(key) {
                    self.timers.remove(&old);
                }
                self.timers.insert(key, id);
                return;
            }
            if !std::mem::take(fired) {
                return;
            }
            self.log.push(Entry::Fired(id, now));
            match again.pop_front() {
                Some(after) => {
                    *set = Some(after);
                    // The control that the callback uses has it polled once more.
                    self.wake(id);
                }
                None => return self.remove(id),
            }
        }
    }
}
