//! The deaths of children where there is no pidfd: SIGCHLD, one subscription for all children that are
//! awaited on one loop.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use crate::adapter::Adapter;
use crate::signal::subscription::Subscription;
use crate::sys::slots;

thread_local! {
    /// Those of this thread's loops.
    static ALL: RefCell<Vec<Weak<Deaths>>> = const { RefCell::new(Vec::new()) };
}

/// Readable when some child of this process has died.
#[derive(Debug)]
pub(super) struct Deaths {
    adapter: Adapter<Subscription>,
    /// The count of SIGCHLDs that was seen.
    seen: Cell<u32>,
}

impl Deaths {
    /// Returns the one of the loop that runs on this thread.
    pub(super) fn here() -> io::Result<Rc<Self>> {
        let found = ALL.try_with(|all| {
            let mut all = all.borrow_mut();
            all.retain(|deaths| deaths.strong_count() > 0);
            all.iter().filter_map(Weak::upgrade).find(|deaths| deaths.is_usable())
        });
        if let Some(deaths) = found.ok().flatten() {
            return Ok(deaths);
        }
        let seen = Cell::new(slots::count(libc::SIGCHLD));
        let adapter = Adapter::unready(Subscription::new(vec![libc::SIGCHLD])?);
        // Its pair stays open when it drops, so that does not end the registration.
        adapter.lend();
        let deaths = Rc::new(Self { adapter, seen });
        // An error: the thread ends. The next child makes one for itself.
        let _ = ALL.try_with(|all| all.borrow_mut().push(Rc::downgrade(&deaths)));
        Ok(deaths)
    }

    /// Whether the loop that runs on this thread hears of it.
    pub(super) fn is_usable(&self) -> bool {
        self.adapter.registration().is_here()
    }

    pub(super) fn adapter(&self) -> &Adapter<Subscription> {
        &self.adapter
    }

    /// Notes the deaths until now; who calls it looks at its child next.
    ///
    /// The first who notes one has all others look too: it takes the bytes that should wake them, but
    /// leaves one.
    pub(super) fn settle(&self) {
        let now = slots::count(libc::SIGCHLD);
        if self.seen.replace(now) != now {
            let subscription = self.adapter.cell().as_ref();
            subscription.drain();
            subscription.poke();
        }
    }
}
