//! A guest in GLib's main loop: by its descriptor, or as a source that GLib asks before each of its waits.

use std::os::fd::AsRawFd;

use glib::source::unix_fd_add_local_full;
use glib::{ControlFlow, IOCondition, Priority, SourceId};
use loopline::{Guest, Turn};

pub use self::source::attach_source;

mod source;

/// Runs a guest whenever its descriptor is readable, in GLib's default context; `each` is called after
/// every turn. Removing the source drops the guest.
///
/// Below the priority of everything else, so that a busy guest does not starve the host's idle sources.
pub fn attach<S: 'static>(
    guest: Guest<S>,
    mut state: S,
    mut each: impl FnMut(&Guest<S>, &mut S, Turn) -> ControlFlow + 'static,
) -> SourceId {
    let fd = guest.as_raw_fd();
    let turn = move |_, _| match guest.turn(&mut state) {
        Ok(turn) => each(&guest, &mut state, turn),
        Err(error) => {
            eprintln!("error: {error}");
            ControlFlow::Break
        }
    };
    unix_fd_add_local_full(fd, Priority::DEFAULT_IDLE, IOCondition::IN, turn)
}
