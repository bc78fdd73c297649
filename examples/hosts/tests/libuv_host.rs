//! libuv as the host of a loop: `uv_poll` on the guest's descriptor. The few declarations it takes stand here.

#[path = "../../../tests/support/mod.rs"]
mod support;
#[path = "../../../tests/support/work.rs"]
mod work;

use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::thread;

use loopline::Guest;
use support::{TestLoop, closes_clean, event_loop, scaled};
use work::workload;

const UV_RUN_DEFAULT: c_int = 0;
const UV_READABLE: c_int = 1;
const UV_POLL: c_int = 8;

type PollCallback = unsafe extern "C" fn(*mut Poll, c_int, c_int);

/// The head of every `uv_handle_t`.
#[repr(C)]
struct Poll {
    data: *mut c_void,
}

#[link(name = "uv")]
unsafe extern "C" {
    fn uv_loop_size() -> usize;
    fn uv_loop_init(host: *mut c_void) -> c_int;
    fn uv_loop_close(host: *mut c_void) -> c_int;
    fn uv_run(host: *mut c_void, mode: c_int) -> c_int;
    fn uv_handle_size(kind: c_int) -> usize;
    fn uv_handle_type_name(kind: c_int) -> *const std::ffi::c_char;
    fn uv_poll_init(host: *mut c_void, handle: *mut Poll, fd: c_int) -> c_int;
    fn uv_poll_start(handle: *mut Poll, events: c_int, callback: PollCallback) -> c_int;
    fn uv_poll_stop(handle: *mut Poll) -> c_int;
    fn uv_close(handle: *mut Poll, closed: Option<unsafe extern "C" fn(*mut Poll)>);
}

struct Host {
    guest: Guest<usize>,
    count: usize,
    turns: usize,
}

unsafe extern "C" fn on_readable(handle: *mut Poll, status: c_int, _events: c_int) {
    // SAFETY: set below, and alive until `uv_run` has returned.
    let host = unsafe { &mut *(*handle).data.cast::<Host>() };
    assert_eq!(status, 0);
    host.guest.turn(&mut host.count).unwrap();
    host.turns += 1;
    if host.guest.is_finished() {
        // SAFETY: a handle that was started.
        unsafe { uv_poll_stop(handle) };
    }
}

// contract 23, 57
#[test]
fn libuv_drives_a_guest_by_its_descriptor() {
    let event_loop = event_loop::<usize>();
    let (expected, outside) = workload(event_loop.handle(), scaled(20_000));
    let mut host = Host { guest: event_loop.lend(), count: 0, turns: 0 };
    let outside = thread::spawn(outside);
    // SAFETY: buffers as large as libuv says, aligned as malloc does, and kept until the loop is closed.
    unsafe {
        assert_eq!(std::ffi::CStr::from_ptr(uv_handle_type_name(UV_POLL)), c"poll");
        let uv = libc::calloc(1, uv_loop_size());
        let handle = libc::calloc(1, uv_handle_size(UV_POLL)).cast::<Poll>();
        assert_eq!(uv_loop_init(uv), 0);
        assert_eq!(uv_poll_init(uv, handle, host.guest.as_raw_fd()), 0);
        (*handle).data = (&raw mut host).cast();
        assert_eq!(uv_poll_start(handle, UV_READABLE, on_readable), 0);
        // Returns once nothing is watched any more.
        assert_eq!(uv_run(uv, UV_RUN_DEFAULT), 0);
        uv_close(handle, None);
        assert_eq!(uv_run(uv, UV_RUN_DEFAULT), 0);
        assert_eq!(uv_loop_close(uv), 0);
        libc::free(handle.cast());
        libc::free(uv);
    }
    outside.join().unwrap();
    assert_eq!(host.count, expected);
    closes_clean(TestLoop::take_back(host.guest));
}
