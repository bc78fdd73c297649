//! Labels of items, apart from the items: few have one, and the others should not pay for it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// An item's id, which no other item of the process has.
pub(crate) type Key = u64;

thread_local! {
    /// Of all loops of this thread; an entry goes with its item's memory.
    static LABELS: RefCell<BTreeMap<Key, Cow<'static, str>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Labels an item.
pub(crate) fn set(key: Key, label: Cow<'static, str>) {
    // An error: this thread's locals are being destroyed, and nobody will ask.
    let _ = LABELS.try_with(|labels| labels.borrow_mut().insert(key, label));
}

/// Returns an item's label.
pub(crate) fn get(key: Key) -> Option<Cow<'static, str>> {
    LABELS.try_with(|labels| labels.borrow().get(&key).cloned()).ok().flatten()
}

/// Forgets an item's label.
pub(crate) fn remove(key: Key) {
    // As in `set`.
    let _ = LABELS.try_with(|labels| labels.borrow_mut().remove(&key));
}
