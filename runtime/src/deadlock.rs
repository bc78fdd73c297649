//! A loop that nothing can wake any more says so instead of sleeping for ever.
//!
//! The turn asks `Shared::is_stuck` when it is about to wait without a deadline, so it costs busy loops
//! nothing. `explain` then polls each item once more, and takes what its leaves say they wait for.

use std::fmt;
use std::panic::{Location, catch_unwind};

use crate::item::TaskId;
use crate::run_queue::{MAIL, ROOT};
use crate::shared::{Root, Shared};
use crate::straggler::Straggler;
use crate::waits;

/// How often in a row a run asks items that go on only because they are asked.
const MOST_ASKED: u32 = 32;

/// What a child waits for whose scope did not ask it: that is forgotten, paused or not polled.
const ITS_SCOPE: &str = "its scope to be polled (Scope)";

/// What keeps the event loop from going on: every item waits for another, or for something that nobody
/// is left to do. The error of a run that would sleep for ever.
///
/// Reported only when nothing else could wake the loop: no timer (but one that is never due, as
/// `sleep(Duration::MAX)`, wakes nobody), no source that is waited for, no
/// [`Remote`](crate::Remote), no sending end for other threads that is waited for, and no future that gave
/// its waker to code of another library. [`Builder::detect_deadlock`](crate::Builder::detect_deadlock)
/// turns it off.
#[derive(Clone, Debug)]
pub struct Deadlock {
    waits: Vec<Wait>,
}

impl Deadlock {
    /// Returns who waits, oldest first; the future given to `block_on` or `run_until` before all.
    #[must_use]
    pub fn waits(&self) -> &[Wait] {
        &self.waits
    }
}

/// One item of a [`Deadlock`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Wait {
    /// The item's number; none for the future given to `block_on` or `run_until`.
    pub id: Option<TaskId>,
    /// The item's label.
    pub label: Option<String>,
    /// Where the item was made, or the loop was run.
    pub place: &'static Location<'static>,
    /// What it waits for, by the leaves that were polled: empty if they are not ours.
    pub waits_for: Vec<&'static str>,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "item {id}")?,
            None => f.write_str("the future that the loop runs for")?,
        }
        if let Some(label) = &self.label {
            write!(f, " `{label}`")?;
        }
        write!(f, ", made at {}, waits for ", self.place)?;
        if self.waits_for.is_empty() {
            return f.write_str("something that is not Loopline's");
        }
        for (n, what) in self.waits_for.iter().enumerate() {
            write!(f, "{}{what}", if n == 0 { "" } else { " and " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadlock: nothing can wake the event loop any more")?;
        self.waits.iter().try_for_each(|wait| write!(f, "\n  {wait}"))
    }
}

impl std::error::Error for Deadlock {}

/// Asks each item what it waits for. `None`: one of them went on, or woke another.
pub(crate) fn explain(
    shared: &Shared,
    root: Option<&mut Root<'_>>,
    place: &'static Location<'static>,
) -> Option<Deadlock> {
    let mut waits = Vec::new();
    let mut no_root = |_: &mut std::task::Context<'_>| std::task::Poll::Pending;
    let has_root = root.is_some();
    let root: &mut Root<'_> = root.unwrap_or(&mut no_root);
    let live = shared.live.get();
    drop(waits::take_children());
    if has_root {
        let waits_for = ask(shared, root, ROOT);
        waits.push(Wait { id: None, label: None, place, waits_for });
    }
    for (id, slot) in shared.items() {
        let Some((straggler, is_child)) = describe(shared, slot, id) else { continue };
        let waits_for = match shared.home.queue.is_paused(slot) {
            true => vec!["its pause to end (Control::resume)"],
            // By its scope, whose poll asked it.
            false if is_child => vec![ITS_SCOPE],
            false => ask(shared, root, slot),
        };
        let Straggler { id, label, place } = straggler;
        waits.push(Wait { id: Some(id), label, place, waits_for });
    }
    for (id, notes) in waits::take_children() {
        let Ok(at) = waits.binary_search_by_key(&Some(TaskId(id)), |wait| wait.id) else {
            continue;
        };
        if waits[at].waits_for == [ITS_SCOPE] {
            waits[at].waits_for = notes;
        }
    }
    let went_on = shared.has_work() || shared.live.get() != live;
    if !shared.is_stuck() || shared.stop.get() {
        return None;
    }
    let asked = shared.asked.replace(shared.asked.get() + 1);
    if went_on && asked < MOST_ASKED {
        return None;
    }
    shared.asked.set(0);
    Some(Deadlock { waits })
}

/// Polls one item, to hear what it waits for.
fn ask(shared: &Shared, root: &mut Root<'_>, slot: u32) -> Vec<&'static str> {
    debug_assert_ne!(slot, MAIL);
    let Some(entry) = shared.home.queue.take_out_of_order(slot) else { return Vec::new() };
    let item = shared.item_in(slot).map(|item| Straggler::of(item.header()));
    waits::ask(|| {
        let done = (shared.ways.get().alone)(shared, root, &entry);
        if done {
            // The root future is done: queued, so that the loop sees it.
            shared.home.queue.wake_any(ROOT);
        }
        if done || item.is_some() && shared.item_in(slot).is_none() {
            tell_of_lost_wake(shared, item);
        }
    })
}

/// Says that an item ended although nobody had woken it: next time it may not be asked.
#[cold]
fn tell_of_lost_wake(shared: &Shared, item: Option<Straggler>) {
    let name = shared.config.label.as_deref().unwrap_or("loopline");
    let who = item.map_or_else(|| String::from("the future it runs for"), |item| item.to_string());
    // `eprintln` panics if nobody reads standard error any more.
    let _ = catch_unwind(|| {
        eprintln!(
            "{name}: {who} would have waited for ever, though it could go on: nobody woke it"
        );
    });
}

/// Names an item, and says whether it stands for a scope's child.
fn describe(shared: &Shared, slot: u32, id: TaskId) -> Option<(Straggler, bool)> {
    let item = shared.item_in(slot)?;
    let header = item.header();
    (header.id == id).then(|| (Straggler::of(header), header.is_child()))
}
