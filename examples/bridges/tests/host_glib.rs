//! GLib's main context on our loop.

#[path = "../../../tests/support/mod.rs"]
mod support;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bridges::GlibContext;
use glib::{ControlFlow, IOCondition, MainContext, SourceId};
use loopline::callback::Next;
use loopline::net::{TcpListener, TcpStream};
use loopline::sync::oneshot;
use loopline::time::{sleep, timeout};
use loopline::{Control, Handle, StateError};
use support::{TestLoop, closes_clean, event_loop};

const SOON: Duration = Duration::from_secs(20);

/// The default context, for one test at a time: GLib's functions for one thread put their sources there.
fn default_context() -> (MainContext, MutexGuard<'static, ()>) {
    static ALONE: Mutex<()> = Mutex::new(());
    (MainContext::default(), ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

fn host<S: 'static>(event_loop: &TestLoop<S>, context: &MainContext) -> Control {
    let source = GlibContext::new(context).unwrap();
    let hosted = event_loop.handle().item().label("GLib").insert(source, |event, glib, _state| {
        event.unwrap();
        glib.dispatch();
        Next::Keep
    });
    hosted.unwrap().control()
}

// contract 16
#[test]
fn timers_idles_descriptors_and_futures_of_glib_run_beside_ours() {
    let mut event_loop = event_loop::<()>();
    let (context, _alone) = default_context();
    let hosted = host(&event_loop, &context);
    let (near, mut far) = UnixStream::pair().unwrap();
    let log = Rc::new(RefCell::new(Vec::new()));
    let said = log.clone();
    let say = move |text: &'static str| said.borrow_mut().push(text);
    let (timer, idle, read, spawned) = (say.clone(), say.clone(), say.clone(), say);
    let mut left = 3;
    glib::timeout_add_local(Duration::from_millis(2), move || {
        timer("timer");
        left -= 1;
        if left == 0 { ControlFlow::Break } else { ControlFlow::Continue }
    });
    glib::idle_add_local_once(move || idle("idle"));
    glib::unix_fd_add_local(near.as_raw_fd(), IOCondition::IN, move |_, _| {
        let mut byte = [0];
        (&near).read_exact(&mut byte).unwrap();
        read("read");
        if byte == *b"." { ControlFlow::Break } else { ControlFlow::Continue }
    });
    context.spawn_local(async move {
        glib::timeout_future(Duration::from_millis(1)).await;
        spawned("future");
    });
    let ours = event_loop.handle().spawn(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"hello").await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
        // Two bytes at once, and one later: the context reads one each time.
        far.write_all(b"ab").unwrap();
        sleep(Duration::from_millis(5)).await;
        far.write_all(b".").unwrap();
    });
    let seen = log.clone();
    event_loop
        .block_on(async move {
            ours.await.unwrap();
            while seen.borrow().len() < 8 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .unwrap();
    let mut log = log.take();
    log.sort_unstable();
    assert_eq!(log, ["future", "idle", "read", "read", "read", "timer", "timer", "timer"]);
    hosted.cancel();
    closes_clean(event_loop);
}

// contract 23
#[test]
fn another_thread_wakes_a_context_that_our_loop_waits_for() {
    let mut event_loop = event_loop::<u32>();
    let (context, _alone) = default_context();
    let hosted = host(&event_loop, &context);
    let main = thread::current().id();
    let sender = thread::spawn(move || {
        context.invoke(move || {
            assert_eq!(thread::current().id(), main);
            // Inside the callback that hosts the context, which has the state.
            let handle = Handle::<u32>::try_current().unwrap();
            assert_eq!(handle.try_with(|_| ()), Err(StateError::AlreadyLent));
            handle.defer(move |count| {
                *count += 1;
                handle.stop();
            });
        });
    });
    let mut count = 0;
    event_loop.run(&mut count).unwrap();
    assert_eq!(count, 1);
    sender.join().unwrap();
    hosted.cancel();
    closes_clean(event_loop);
}

// contract 20, 26
#[test]
fn an_idle_context_costs_no_turns_and_a_busy_one_starves_nobody() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let (context, _alone) = default_context();
    let hosted = host(&event_loop, &context);
    event_loop.block_on(async { sleep(Duration::from_millis(5)).await }).unwrap();
    let before = handle.stats().turns;
    event_loop.block_on(async { sleep(Duration::from_millis(50)).await }).unwrap();
    let turns = handle.stats().turns - before;
    assert!(turns <= 5, "{turns} turns while nothing happened");
    // One that always has something to dispatch.
    let runs = Rc::new(Cell::new(0));
    let counted = runs.clone();
    let busy = glib::idle_add_local(move || {
        counted.set(counted.get() + 1);
        ControlFlow::Continue
    });
    event_loop.block_on(async { sleep(Duration::from_millis(5)).await }).unwrap();
    assert!(runs.get() > 5, "{} runs", runs.get());
    busy.remove();
    hosted.cancel();
    closes_clean(event_loop);
}

/// A source of GLib's for one descriptor, that may be dispatched inside its own dispatch; so GLib does not
/// wake itself after each, which would hide what is looked at here.
fn recursing(fd: RawFd, mut call: impl FnMut() -> ControlFlow + 'static) -> SourceId {
    let id = glib::unix_fd_add_local(fd, IOCondition::IN, move |_, _| call());
    // SAFETY: the source was just put into the default context, which is this thread's.
    unsafe {
        let context = glib::ffi::g_main_context_default();
        let source = glib::ffi::g_main_context_find_source_by_id(context, id.as_raw());
        glib::ffi::g_source_set_can_recurse(source, glib::ffi::GTRUE);
    }
    id
}

// contract 16
#[test]
fn a_regular_file_is_always_ready_as_it_is_to_glib() {
    let mut event_loop = event_loop::<()>();
    let (context, _alone) = default_context();
    let hosted = host(&event_loop, &context);
    let file = std::fs::File::open("/proc/self/stat").unwrap();
    let (done, is_done) = oneshot::channel();
    let (mut calls, mut done) = (0, Some(done));
    recursing(file.as_raw_fd(), move || {
        calls += 1;
        if calls < 10 {
            return ControlFlow::Continue;
        }
        done.take().unwrap().send(()).unwrap();
        ControlFlow::Break
    });
    event_loop.block_on(async { timeout(SOON, is_done).await.unwrap().unwrap() }).unwrap();
    hosted.cancel();
    closes_clean(event_loop);
}

/// Gives a socket this number, or the next one if another test was faster.
fn with_number(socket: UnixStream, number: RawFd) -> UnixStream {
    // SAFETY: takes integers; what it returns is a new descriptor, or refused by `from_raw_fd`.
    unsafe {
        let moved = libc::fcntl(socket.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number);
        UnixStream::from_raw_fd(moved)
    }
}

// contract 20
#[test]
fn a_descriptor_that_was_closed_keeps_nobody_busy_though_a_duplicate_lives() {
    let mut event_loop = event_loop::<()>();
    let handle = event_loop.handle();
    let (context, _alone) = default_context();
    let hosted = host(&event_loop, &context);
    let (near, mut far) = UnixStream::pair().unwrap();
    let duplicate = near.try_clone().unwrap();
    let fd = near.as_raw_fd();
    let source = glib::unix_fd_add_local(fd, IOCondition::IN, |_, _| ControlFlow::Continue);
    event_loop.block_on(async { sleep(Duration::from_millis(1)).await }).unwrap();
    source.remove();
    drop(near);
    far.write_all(b"x").unwrap();
    let before = handle.stats().turns;
    event_loop.block_on(async { sleep(Duration::from_millis(50)).await }).unwrap();
    let turns = handle.stats().turns - before;
    assert!(turns <= 10, "{turns} turns while nothing happened");
    // One that has its number is told of.
    let (near, mut far) = UnixStream::pair().unwrap();
    let near = with_number(near, fd);
    let (done, is_done) = oneshot::channel();
    let mut done = Some(done);
    recursing(near.as_raw_fd(), move || {
        (&near).read_exact(&mut [0]).unwrap();
        done.take().unwrap().send(()).unwrap();
        ControlFlow::Break
    });
    far.write_all(b"x").unwrap();
    event_loop.block_on(async { timeout(SOON, is_done).await.unwrap().unwrap() }).unwrap();
    hosted.cancel();
    drop(duplicate);
    closes_clean(event_loop);
}
