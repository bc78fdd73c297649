//! The little of libuv that a loop of it needs which another loop runs; and timers, to have something to run.
//!
//! The functions are declared by hand, so that no program that reads C's headers is needed.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ffi::{c_int, c_uint, c_void};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::time::Duration;

type Callback = unsafe extern "C" fn(*mut c_void);

#[link(name = "uv")]
unsafe extern "C" {
    fn uv_loop_size() -> usize;
    fn uv_loop_init(uv: *mut c_void) -> c_int;
    fn uv_loop_close(uv: *mut c_void) -> c_int;
    fn uv_loop_alive(uv: *const c_void) -> c_int;
    fn uv_run(uv: *mut c_void, mode: c_uint) -> c_int;
    fn uv_update_time(uv: *mut c_void);
    fn uv_backend_fd(uv: *const c_void) -> c_int;
    fn uv_backend_timeout(uv: *const c_void) -> c_int;
    fn uv_handle_size(kind: c_uint) -> usize;
    fn uv_handle_set_data(handle: *mut c_void, data: *mut c_void);
    fn uv_handle_get_data(handle: *const c_void) -> *mut c_void;
    fn uv_close(handle: *mut c_void, closed: Option<Callback>);
    fn uv_timer_init(uv: *mut c_void, handle: *mut c_void) -> c_int;
    fn uv_timer_start(handle: *mut c_void, due: Callback, after: u64, period: u64) -> c_int;
    fn uv_async_init(uv: *mut c_void, handle: *mut c_void, due: Callback) -> c_int;
    fn uv_async_send(handle: *mut c_void) -> c_int;
}

const RUN_NOWAIT: c_uint = 2;
const ASYNC: c_uint = 1;
const TIMER: c_uint = 13;

/// A loop of libuv on this thread.
#[derive(Debug)]
pub struct Uv {
    /// Zeroed memory of its size, initialised by it.
    uv: NonNull<c_void>,
}

impl Uv {
    /// Makes a loop.
    ///
    /// # Errors
    ///
    /// If libuv cannot.
    pub fn new() -> io::Result<Self> {
        // SAFETY: as much as it asks for.
        let uv = allocate(unsafe { uv_loop_size() });
        // SAFETY: memory for a loop.
        match unsafe { uv_loop_init(uv.as_ptr()) } {
            0 => Ok(Self { uv }),
            error => Err(io::Error::from_raw_os_error(-error)),
        }
    }

    /// Runs what is due, without waiting. Its descriptor is silent before this was called once.
    pub fn run(&self) {
        // SAFETY: the loop lives, and its callbacks do not run it.
        unsafe { uv_run(self.uv.as_ptr(), RUN_NOWAIT) };
    }

    /// Returns how long a wait that begins now may last; `None`: until the descriptor is readable.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        // SAFETY: the loop lives. It reckons from when it last looked at the clock.
        let timeout = unsafe {
            uv_update_time(self.uv.as_ptr());
            uv_backend_timeout(self.uv.as_ptr())
        };
        u64::try_from(timeout).ok().map(Duration::from_millis)
    }

    /// Whether it has anything to run for.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        // SAFETY: the loop lives.
        unsafe { uv_loop_alive(self.uv.as_ptr()) != 0 }
    }

    /// Calls `due` after some time and then once a period, until it returns false.
    pub fn every(&self, period: Duration, due: impl FnMut() -> bool + 'static) {
        let handle = self.handle(TIMER, due);
        let period = period.as_millis() as u64;
        // SAFETY: memory for a timer, which lives until it is closed.
        let error = unsafe {
            uv_timer_init(self.uv.as_ptr(), handle);
            uv_timer_start(handle, on_due, period, period)
        };
        assert_eq!(error, 0);
    }

    /// Calls `due` after other threads asked for it, until it returns false. It must not be asked for any
    /// more after that.
    pub fn asked_by_threads(&self, due: impl FnMut() -> bool + 'static) -> Ask {
        let handle = self.handle(ASYNC, due);
        // SAFETY: memory for such a handle, which lives until it is closed.
        let error = unsafe { uv_async_init(self.uv.as_ptr(), handle, on_due) };
        assert_eq!(error, 0);
        Ask(handle)
    }

    fn handle(&self, kind: c_uint, due: impl FnMut() -> bool + 'static) -> *mut c_void {
        // SAFETY: as much as it asks for.
        let handle = allocate(unsafe { uv_handle_size(kind) }).as_ptr();
        let due = Box::new(Due { kind, due: Box::new(due) });
        // SAFETY: memory for a handle.
        unsafe { uv_handle_set_data(handle, Box::into_raw(due).cast()) };
        handle
    }
}

impl AsFd for Uv {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the loop lives, and keeps its descriptor as long.
        unsafe { BorrowedFd::borrow_raw(uv_backend_fd(self.uv.as_ptr())) }
    }
}

impl Drop for Uv {
    fn drop(&mut self) {
        // SAFETY: the loop lives. One that has handles left cannot be closed, and is leaked with them.
        unsafe {
            self.run(); // handles may be closing
            if uv_loop_close(self.uv.as_ptr()) == 0 {
                free(self.uv.as_ptr(), uv_loop_size());
            }
        }
    }
}

/// Asks for a callback of a loop, from any thread.
#[derive(Debug)]
pub struct Ask(*mut c_void);

// SAFETY: `uv_async_send` may be called on any thread, and is all that is called.
unsafe impl Send for Ask {}

impl Ask {
    /// Asks.
    pub fn ask(&self) {
        // SAFETY: the handle lives until its callback returned false, and the caller knows.
        unsafe { uv_async_send(self.0) };
    }
}

/// What hangs on a handle.
struct Due {
    kind: c_uint,
    due: Box<dyn FnMut() -> bool>,
}

/// Called by libuv with a handle of `Uv::handle`.
unsafe extern "C" fn on_due(handle: *mut c_void) {
    // SAFETY: set in `Uv::handle`, freed in `on_closed`.
    let due = unsafe { &mut *uv_handle_get_data(handle).cast::<Due>() };
    if !(due.due)() {
        // SAFETY: not closed before, as a closed handle has no callbacks.
        unsafe { uv_close(handle, Some(on_closed)) };
    }
}

unsafe extern "C" fn on_closed(handle: *mut c_void) {
    // SAFETY: the last that libuv does with the handle.
    unsafe {
        let due = Box::from_raw(uv_handle_get_data(handle).cast::<Due>());
        free(handle, uv_handle_size(due.kind));
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a size that libuv asks for")
}

fn allocate(size: usize) -> NonNull<c_void> {
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc_zeroed(layout(size)) };
    NonNull::new(memory.cast()).unwrap_or_else(|| handle_alloc_error(layout(size)))
}

unsafe fn free(memory: *mut c_void, size: usize) {
    // SAFETY: by `allocate`, of the same size.
    unsafe { dealloc(memory.cast(), layout(size)) };
}
