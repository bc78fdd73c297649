//! Whether this process was forked from the one that made a loop.
//!
//! A forked child has copies of the loop's memory and shares its descriptors: a wait there would steal the
//! parent's events, and a deregistration make the parent deaf. So the loop asks before it touches the
//! poller. On Linux it looks at a page that the kernel wipes in children, however they were forked; that
//! costs a load. Elsewhere it compares process ids.

use std::fmt;
use std::io;

/// The process that made something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    id: u32,
    /// Where to look whether it is this one, without a call.
    page: imp::Page,
}

/// This process was forked from the one that made the event loop, which is of no use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forked;

impl fmt::Display for Forked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this process was forked from the one that made the event loop: make a new event loop \
             here, and leave this one alone",
        )
    }
}

impl std::error::Error for Forked {}

impl From<Forked> for io::Error {
    fn from(forked: Forked) -> Self {
        Self::other(forked)
    }
}

impl Stamp {
    /// Returns the stamp of this process.
    pub(crate) fn here() -> Self {
        let (id, page) = imp::here();
        Self { id, page }
    }

    /// Whether this process is another one, forked since.
    #[inline]
    pub(crate) fn is_foreign(self) -> bool {
        imp::differs(self.id, self.page)
    }

    /// An error in a process forked since.
    #[inline]
    pub(crate) fn check(self) -> Result<(), Forked> {
        if self.is_foreign() { Err(Forked) } else { Ok(()) }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod imp {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use crate::kernel::wiped_on_fork;

    /// Holds the id of the process that looked last, and zero in every new child. `None`: no such page to
    /// be had, before Linux 4.14.
    pub(super) type Page = Option<&'static AtomicU32>;

    static PAGE: OnceLock<Page> = OnceLock::new();

    pub(super) fn here() -> (u32, Page) {
        let id = std::process::id();
        let page = *PAGE.get_or_init(wiped_on_fork);
        if let Some(page) = page {
            page.store(id, Ordering::Relaxed);
        }
        (id, page)
    }

    #[inline]
    pub(super) fn differs(id: u32, page: Page) -> bool {
        match page {
            Some(page) => page.load(Ordering::Relaxed) != id,
            None => std::process::id() != id,
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod imp {
    pub(super) type Page = ();

    pub(super) fn here() -> (u32, Page) {
        (std::process::id(), ())
    }

    pub(super) fn differs(id: u32, (): Page) -> bool {
        // A process is not forked on Windows, and everywhere else asking is one cheap call.
        cfg!(unix) && std::process::id() != id
    }
}
