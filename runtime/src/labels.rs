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

/// A label for an item that is yet to be made. It brings what gives it, so a program in which nobody makes
/// one has no table of labels in it.
#[derive(Clone)]
pub(crate) struct Label {
    text: Cow<'static, str>,
    give: fn(Key, Cow<'static, str>),
}

impl Label {
    pub(crate) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), give: set }
    }

    /// Labels an item.
    pub(crate) fn give(self, key: Key) {
        (self.give)(key, self.text);
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// What is done with the labels of a thread that has some.
trait Given {
    fn set(&mut self, key: Key, label: Cow<'static, str>);
    fn get(&self, key: Key) -> Option<Cow<'static, str>>;
    fn remove(&mut self, key: Key);
    fn mirror(&mut self) -> Mirror;
}

thread_local! {
    /// Of all loops of this thread; an entry goes with its item's memory. None before the first.
    static LABELS: RefCell<Option<Box<dyn Given>>> = const { RefCell::new(None) };
}

fn set(key: Key, label: Cow<'static, str>) {
    // An error: this thread's locals are being destroyed, and nobody will ask.
    let _ = LABELS.try_with(|labels| {
        labels.borrow_mut().get_or_insert_with(Labels::none).set(key, label);
    });
}

/// Returns an item's label.
pub(crate) fn get(key: Key) -> Option<Cow<'static, str>> {
    LABELS.try_with(|labels| labels.borrow().as_ref()?.get(key)).ok().flatten()
}

/// Forgets an item's label.
pub(crate) fn remove(key: Key) {
    // As in `set`.
    let _ = LABELS.try_with(|labels| {
        if let Some(labels) = &mut *labels.borrow_mut() {
            labels.remove(key);
        }
    });
}

/// The labels of one thread.
struct Labels {
    own: Table,
    /// Kept up as long as a watchdog reads it.
    mirror: Option<Weak<Shown>>,
}

impl Labels {
    fn none() -> Box<dyn Given> {
        Box::new(Self { own: BTreeMap::new(), mirror: None })
    }

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

impl Given for Labels {
    fn set(&mut self, key: Key, label: Cow<'static, str>) {
        self.show(|shown| drop(shown.insert(key, label.clone())));
        self.own.insert(key, label);
    }

    fn get(&self, key: Key) -> Option<Cow<'static, str>> {
        self.own.get(&key).cloned()
    }

    fn remove(&mut self, key: Key) {
        self.show(|shown| drop(shown.remove(&key)));
        self.own.remove(&key);
    }

    fn mirror(&mut self) -> Mirror {
        let living = self.mirror.as_ref().and_then(Weak::upgrade);
        let mirror =
            living.filter(|mirror| !mirror.stamp.is_foreign()).unwrap_or_else(Shown::nothing);
        self.mirror = Some(Arc::downgrade(&mirror));
        Mirror(mirror)
    }
}

/// What another thread may see of this one's labels.
struct Shown {
    table: Mutex<Table>,
    stamp: Stamp,
}

impl Shown {
    fn nothing() -> Arc<Self> {
        Arc::new(Self { table: Mutex::default(), stamp: Stamp::here() })
    }

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
    let mirror =
        LABELS.try_with(|labels| labels.borrow_mut().get_or_insert_with(Labels::none).mirror());
    // An error as in `set`.
    mirror.unwrap_or_else(|_| Mirror(Shown::nothing()))
}
