//! A guest as a `GSource` of its own kind: the same functions that a program in C would write.

use std::cell::RefCell;
use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Instant;

use glib::ffi::{self, GIOCondition, GSource, GSourceFuncs, gboolean, gpointer};
use glib::translate::from_glib;
use glib::{ControlFlow, SourceId};
use loopline::{Guest, Prepared, Turn};

/// As [`attach`](super::attach), by a source that tells GLib before each wait how long it may be. Cheaper: the
/// guest need not make its descriptor readable for what it can say itself.
pub fn attach_source<S: 'static>(
    guest: Guest<S>,
    state: S,
    each: impl FnMut(&Guest<S>, &mut S, Turn) -> ControlFlow + 'static,
) -> SourceId {
    let fd = guest.as_raw_fd();
    let hosted: Box<dyn Hosted> = Box::new(Both { guest, rest: RefCell::new((state, each)) });
    let size = u32::try_from(size_of::<Source>()).expect("a small struct");
    // SAFETY: the functions are those of a `Source`, which begins with a `GSource`. GLib allocates `size`
    // zeroed bytes, and keeps them until `finalize`.
    unsafe {
        let source = ffi::g_source_new((&raw const FUNCTIONS).cast_mut(), size);
        let own = source.cast::<Source>();
        (&raw mut (*own).hosted).write(Box::into_raw(hosted));
        (*own).tag = ffi::g_source_add_unix_fd(source, fd, ffi::G_IO_IN);
        ffi::g_source_set_priority(source, ffi::G_PRIORITY_DEFAULT_IDLE);
        let id = ffi::g_source_attach(source, ptr::null_mut());
        ffi::g_source_unref(source);
        from_glib(id)
    }
}

#[repr(C)]
struct Source {
    base: GSource,
    /// What GLib calls our descriptor.
    tag: gpointer,
    /// Owned. GLib never looks at it.
    hosted: *mut dyn Hosted,
}

static FUNCTIONS: GSourceFuncs = GSourceFuncs {
    prepare: Some(prepare),
    check: Some(check),
    dispatch: Some(dispatch),
    finalize: Some(finalize),
    closure_callback: None,
    closure_marshal: None,
};

/// A guest and what its turns need.
trait Hosted {
    fn prepare(&self) -> Prepared;
    fn is_ready(&self) -> bool;
    fn turn(&self) -> ControlFlow;
}

struct Both<S: 'static, F> {
    guest: Guest<S>,
    rest: RefCell<(S, F)>,
}

impl<S, F: FnMut(&Guest<S>, &mut S, Turn) -> ControlFlow> Hosted for Both<S, F> {
    fn prepare(&self) -> Prepared {
        self.guest.prepare()
    }

    fn is_ready(&self) -> bool {
        self.guest.is_ready()
    }

    fn turn(&self) -> ControlFlow {
        // GLib does not dispatch a source inside its own dispatch.
        let (state, each) = &mut *self.rest.borrow_mut();
        match self.guest.turn(state) {
            Ok(turn) => each(&self.guest, state, turn),
            Err(error) => {
                eprintln!("error: {error}");
                ControlFlow::Break
            }
        }
    }
}

/// The hosted guest of a source that is not finalized.
unsafe fn hosted<'a>(source: *mut GSource) -> &'a dyn Hosted {
    // SAFETY: GLib calls these functions with sources made above, which own what they point to.
    unsafe { &*(*source.cast::<Source>()).hosted }
}

unsafe extern "C" fn prepare(source: *mut GSource, timeout: *mut c_int) -> gboolean {
    // SAFETY: see `hosted`.
    let prepared = unsafe { hosted(source) }.prepare();
    let wait = prepared.deadline.map(|at| at.saturating_duration_since(Instant::now()));
    let milliseconds = match wait {
        _ if prepared.ready => 0,
        None => -1,
        // Rounded up: a turn before the deadline would be for nothing.
        Some(wait) => c_int::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX),
    };
    // SAFETY: where GLib wants it.
    unsafe { *timeout = milliseconds };
    gboolean::from(prepared.ready || milliseconds == 0)
}

unsafe extern "C" fn check(source: *mut GSource) -> gboolean {
    // SAFETY: the tag is that of this source's descriptor; and see `hosted`.
    let (events, hosted): (GIOCondition, _) = unsafe {
        let tag = (*source.cast::<Source>()).tag;
        (ffi::g_source_query_unix_fd(source, tag), hosted(source))
    };
    gboolean::from(events & ffi::G_IO_IN != 0 || hosted.is_ready())
}

unsafe extern "C" fn dispatch(
    source: *mut GSource,
    _callback: ffi::GSourceFunc,
    _data: gpointer,
) -> gboolean {
    // SAFETY: see `hosted`. A panic ends the process here, as in any function called from C.
    match unsafe { hosted(source) }.turn() {
        ControlFlow::Continue => ffi::GTRUE,
        ControlFlow::Break => ffi::GFALSE,
    }
}

unsafe extern "C" fn finalize(source: *mut GSource) {
    // SAFETY: called once, at the end; nothing points to it any more.
    drop(unsafe { Box::from_raw((*source.cast::<Source>()).hosted) });
}
