//! Labels of items, apart from the items: few have one, and the others should not pay for it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::fork::Stamp;

/// An item's id, which no other item of the process has.
pub(crate) type Key = u64;

type Table = BTreeMap<Key, Cow<'static, str>>;

/// The labels of one thread.
struct Labels {
    own: Table,
    /// Kept up as long as a watchdog reads it.
    mirror: Option<Weak<Shown>>,
}

thread_local! {
    /// Of all loops of this thread; an entry goes with its item's memory.
    static LABELS: RefCell<Labels> =
        const { RefCell::new(Labels { own: BTreeMap::new(), mirror: None }) };
}

/// Labels an item.
pub(crate) fn set(key: Key, label: Cow<'static, str>) {
    // An error: this thread's locals are being destroyed, and nobody will ask.
    let _ = LABELS.try_with(|labels| {
        let mut labels = labels.borrow_mut();
        labels.show(|shown| drop(shown.insert(key, label.clone())));
        labels.own.insert(key, label)
    });
}

/// Returns an item's label.
pub(crate) fn get(key: Key) -> Option<Cow<'static, str>> {
    LABELS.try_with(|labels| labels.borrow().own.get(&key).cloned()).ok().flatten()
}

/// Forgets an item's label.
pub(crate) fn remove(key: Key) {
    // As in `set`.
    let _ = LABELS.try_with(|labels| {
        let mut labels = labels.borrow_mut();
        labels.show(|shown| drop(shown.remove(&key)));
        labels.own.remove(&key)
    });
}

impl Labels {
    /// Changes the mirror, if there is one.
    fn show(&mut self, change: impl FnOnce(&mut Table)) {
        let Some(mirror) = &self.mirror else { return };
        match mirror.upgrade() {
            // In a forked child the lock may be held by a thread that is not there.
            Some(mirror) if !mirror.stamp.is_foreign() => change(&mut mirror.lock()),
            _ => self.mirror = None,
        }
    }
}

/// What another thread may see of this one's labels.
struct Shown {
    table: Mutex<Table>,
    stamp: Stamp,
}

impl Shown {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing under this lock panics.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The labels that a thread gives from now on, for others to read.
#[derive(Clone)]
pub(crate) struct Mirror(Arc<Shown>);

impl Mirror {
    /// Returns an item's label.
    pub(crate) fn get(&self, key: Key) -> Option<Cow<'static, str>> {
        self.0.lock().get(&key).cloned()
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").finish_non_exhaustive()
    }
}

/// Returns the mirror of this thread's labels.
pub(crate) fn mirror() -> Mirror {
    let stamp = Stamp::here();
    let fresh = || Arc::new(Shown { table: Mutex::default(), stamp });
    let mirror = LABELS.try_with(|labels| {
        let mut labels = labels.borrow_mut();
        let living = labels.mirror.as_ref().and_then(Weak::upgrade);
        let mirror = living.filter(|mirror| !mirror.stamp.is_foreign()).unwrap_or_else(fresh);
        labels.mirror = Some(Arc::downgrade(&mirror));
        mirror
    });
    // An error as in `set`.
    Mirror(mirror.unwrap_or_else(|_| fresh()))
}
