//! Deadlines by the boot clock, which goes on while the machine is suspended. Linux and Android.
//!
//! A timer that goes by it has an ordinary alarm as well, as long from now: unless the machine is
//! suspended meanwhile, that is all it needs, for the boot clock is never the slower one. After a
//! suspension the kernel's timer on its own clock, a descriptor that is never read, is first.

use std::io;
use std::os::fd::AsRawFd;
use std::task::Context;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::clock::{NEVER, Nanos};
use crate::current::{with_current, with_loop};
use crate::kernel::{BootAlarm, boot_now};
use crate::reactor::{Direction, WaitKey};
use crate::registration::Registration;
use crate::wake;

/// A deadline by the boot clock, on one loop.
#[derive(Debug)]
pub(crate) struct BootWatch {
    loop_id: u64,
    deadline: Nanos,
    /// When to ring: the deadline and what slack adds.
    ring_at: Nanos,
    /// Whether the deadline is one of a paused clock: that and the system's do not compare.
    paused: bool,
    bell: Bell,
}

/// What wakes a loop after a suspension.
#[derive(Debug)]
enum Bell {
    Unmade,
    Made(Ringing),
    /// The system gave none. Not asked again: the timer has its ordinary alarm.
    Refused,
}

#[derive(Debug)]
struct Ringing {
    alarm: BootAlarm,
    registration: Registration,
    key: WaitKey,
    set_to: Nanos,
}

impl BootWatch {
    pub(crate) fn new(loop_id: u64) -> Self {
        Self { loop_id, deadline: NEVER, ring_at: NEVER, paused: false, bell: Bell::Unmade }
    }

    /// The time of the clock while it is paused: the loop's, and what it was suspended for.
    fn paused_now(&self) -> Option<Nanos> {
        with_loop(self.loop_id, |shared| shared.and_then(|shared| shared.clock.paused_boot()))
    }

    /// Reads the boot clock.
    pub(crate) fn now(&self) -> Nanos {
        self.paused_now().unwrap_or_else(boot_now)
    }

    /// Returns the deadline and the time. If the clock was paused or resumed since it was set, the two do not
    /// compare: then the deadline is now.
    pub(crate) fn reckon(&self) -> (Nanos, Nanos) {
        let paused_now = self.paused_now();
        let now = paused_now.unwrap_or_else(boot_now);
        (if self.paused == paused_now.is_some() { self.deadline } else { now }, now)
    }

    /// Sets the deadline, and when to ring at the latest.
    pub(crate) fn set(&mut self, deadline: Nanos, ring_at: Nanos) {
        self.paused = self.paused_now().is_some();
        self.deadline = deadline;
        self.ring_at = ring_at;
    }

    pub(crate) fn is_due(&self) -> bool {
        match self.paused_now() {
            Some(now) => self.paused && now >= self.ring_at,
            None => !self.paused && boot_now() >= self.ring_at,
        }
    }

    /// Wakes the task when the deadline has come by way of a suspension. Returns how long is left, if
    /// the clock is paused: each suspension makes it shorter, and nothing rings.
    pub(crate) fn wait(&mut self, cx: &Context<'_>) -> Option<Nanos> {
        if let Some(now) = self.paused_now() {
            with_loop(self.loop_id, |shared| {
                if let Some(shared) = shared {
                    shared.clock.await_suspension(wake::copy(cx.waker()));
                }
            });
            return self.paused.then(|| self.ring_at.saturating_sub(now));
        }
        let here = with_current(|shared| shared.is_some_and(|shared| shared.id == self.loop_id));
        if here && self.ring_at != NEVER {
            self.ring(cx);
        }
        None
    }

    fn ring(&mut self, cx: &Context<'_>) {
        if let Bell::Unmade = self.bell {
            self.bell = Ringing::new().map_or(Bell::Refused, Bell::Made);
        }
        if let Bell::Made(ringing) = &mut self.bell {
            if ringing.wait(self.ring_at, cx).is_err() {
                self.bell = Bell::Refused;
            }
        }
    }
}

impl Ringing {
    fn new() -> io::Result<Self> {
        let (alarm, registration) = (BootAlarm::new()?, Registration::unready());
        let number = alarm.as_raw_fd();
        let mut source = SourceFd(&number);
        registration.register(Some(number), &mut |registry: &Registry, token: Token| {
            registry.register(&mut source, token, Interest::READABLE)
        })?;
        registration.watch(Direction::Read)?;
        Ok(Self { alarm, registration, key: WaitKey::last_poller(), set_to: NEVER })
    }

    fn wait(&mut self, at: Nanos, cx: &Context<'_>) -> io::Result<()> {
        if self.set_to != at {
            self.alarm.set(at)?;
            self.set_to = at;
        }
        self.registration.watch(Direction::Read)?;
        // It rang for an earlier deadline, if it did: the clock was looked at since.
        self.registration.clear_open(Direction::Read);
        self.registration.wait(Direction::Read, &mut self.key, cx);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
