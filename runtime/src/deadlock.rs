//! A loop that nothing can wake any more says so instead of sleeping for ever.
//!
//! The turn asks `Shared::is_stuck` when it is about to wait without a deadline, so it costs busy loops
//! nothing. `explain` then polls each item once more, and takes what its leaves say they wait for.

use std::fmt;
use std::panic::Location;

use crate::item::TaskId;
use crate::run_queue::{MAIL, ROOT};
use crate::shared::Shared;
use crate::turn::{Root, has_work, poll};
use crate::waits;

/// What keeps the event loop from going on: every item waits for another, or for something that nobody
/// is left to do. The error of a run that would sleep for ever.
///
/// Reported only when nothing else could wake the loop: no timer, no source that is waited for, no
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
    if has_root {
        let waits_for = ask(shared, root, ROOT);
        waits.push(Wait { id: None, label: None, place, waits_for });
    }
    for (id, slot) in shared.items() {
        let Some((label, place)) = describe(shared, slot, id) else { continue };
        let waits_for = match shared.home.queue.is_paused(slot) {
            true => vec!["its pause to end (Control::resume)"],
            false => ask(shared, root, slot),
        };
        waits.push(Wait { id: Some(id), label, place, waits_for });
    }
    if has_work(shared) || !shared.is_stuck() || shared.stop.get() || waits.is_empty() {
        return None;
    }
    Some(Deadlock { waits })
}

/// Polls one item, to hear what it waits for.
fn ask(shared: &Shared, root: &mut Root<'_>, slot: u32) -> Vec<&'static str> {
    debug_assert_ne!(slot, MAIL);
    let Some(entry) = shared.home.queue.take_out_of_order(slot) else { return Vec::new() };
    waits::ask(|| {
        if poll(shared, root, &entry) {
            // The root future is done: queued, so that the loop sees it.
            shared.home.queue.wake_any(ROOT);
        }
    })
}

fn describe(
    shared: &Shared,
    slot: u32,
    id: TaskId,
) -> Option<(Option<String>, &'static Location<'static>)> {
    let item = shared.item_in(slot)?;
    let header = item.header();
    (header.id == id).then(|| (header.label().map(String::from), header.place))
}
