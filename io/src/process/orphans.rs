//! Children that were dropped while they ran: the loop waits for them in the background.

use std::sync::{Mutex, PoisonError};

use super::watch::{Loose, Watch};

/// Those that no loop waits for.
static ORPHANS: Mutex<Vec<Loose>> = Mutex::new(Vec::new());

/// A child that nobody holds.
struct Orphan(Option<Watch>);

/// Takes a child that was dropped.
pub(super) fn adopt(watch: Watch) {
    if !matches!(watch.look(), Ok(None)) {
        return;
    }
    let orphan = Orphan(Some(watch));
    let reaping = async move {
        if let Some(watch) = &orphan.0 {
            // An error: its status is lost, so it is reaped; or the loop cannot wait, then it is left.
            let _ = watch.ended().await;
        }
    };
    // No loop: dropped, and left for the next.
    drop(loopline_runtime::try_spawn_background(reaping));
}

impl Drop for Orphan {
    fn drop(&mut self) {
        let Some(watch) = self.0.take() else { return };
        if matches!(watch.look(), Ok(None)) {
            let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
            orphans.extend(watch.into_loose());
        }
    }
}

/// Looks after the children that no loop waits for.
pub(super) fn look() {
    let left = std::mem::take(&mut *ORPHANS.lock().unwrap_or_else(PoisonError::into_inner));
    left.into_iter().for_each(|loose| adopt(loose.into()));
}
