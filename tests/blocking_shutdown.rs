//! The end of a loop that has jobs out: nothing waits for them, and what did not begin is dropped.

mod support;

use std::cell::RefCell;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ThreadId};
use std::time::Duration;

use loopline::{Handle, JoinHandle};
use support::{block_on, built, closes_clean, ends_with_items, event_loop, scaled};

/// Tells on which thread it is dropped.
struct Witness(Sender<ThreadId>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.send(thread::current().id()).unwrap();
    }
}

/// A job that runs until the sender is dropped, and then gives an output that tells of its drop.
struct Stuck {
    end: Sender<()>,
    dropped: Receiver<ThreadId>,
    thread: ThreadId,
    job: JoinHandle<Witness>,
}

fn stuck(handle: Handle<()>) -> Stuck {
    let (end, gate) = channel::<()>();
    let (begin, begun) = channel();
    let (tell, dropped) = channel();
    let job = handle.spawn_blocking(move || {
        begin.send(thread::current().id()).unwrap();
        gate.recv().unwrap_err();
        Witness(tell)
    });
    Stuck { end, dropped, thread: begun.recv().unwrap(), job }
}

// contract 38, 51; fault 87
#[test]
fn a_loop_ends_while_its_jobs_are_stuck_and_drops_those_that_wait() {
    let event_loop = built::<()>(|builder| builder.blocking_threads(2));
    let handle = event_loop.handle();
    let (one, two) = (stuck(handle), stuck(handle));
    let witness = Arc::new(());
    let queued: Vec<_> = (0..scaled(100_000))
        .map(|_| {
            let inside = witness.clone();
            handle.spawn_blocking(move || unreachable!("{inside:?} has begun"))
        })
        .collect();
    // With handles and without.
    let kept = queued.into_iter().step_by(2).collect::<Vec<_>>();
    // It would be for ever if it waited.
    ends_with_items(event_loop, 2 + scaled(100_000));
    assert_eq!(Arc::strong_count(&witness), 1, "closures are left");
    for job in kept {
        assert!(job.is_finished());
    }
    for stuck in [one, two] {
        assert!(block_on(stuck.job).err().unwrap().is_cancelled());
        assert!(stuck.dropped.try_recv().is_err(), "it runs still");
        drop(stuck.end);
        assert_eq!(stuck.dropped.recv(), Ok(stuck.thread));
    }
}

// contract 31; fault 55, 88
#[test]
fn the_output_of_a_job_that_outlives_its_loop_is_dropped_on_its_thread() {
    for with_handle in [true, false] {
        let event_loop = event_loop::<()>();
        let stuck = stuck(event_loop.handle());
        let kept = if with_handle { Some(stuck.job) } else { None };
        ends_with_items(event_loop, 1);
        drop(stuck.end);
        assert_eq!(stuck.dropped.recv(), Ok(stuck.thread));
        assert!(kept.is_none_or(|job| job.is_finished()));
    }
}

// fault 88
#[test]
fn a_job_that_ends_while_its_loop_does_gives_its_output_to_one_of_them() {
    for _ in 0..scaled(500) {
        let mut event_loop = event_loop::<()>();
        let stuck = stuck(event_loop.handle());
        event_loop.turn(&mut (), Duration::ZERO).unwrap();
        let end = stuck.end;
        let ends = thread::spawn(move || drop(end));
        drop(event_loop.unguarded());
        drop(stuck.job);
        // Once, wherever.
        let by = stuck.dropped.recv().unwrap();
        assert!(by == stuck.thread || by == thread::current().id());
        assert!(stuck.dropped.recv().is_err());
        ends.join().unwrap();
    }
}

/// Ends a stuck job when it is dropped, and hears what the job's thread does then.
struct Ends(Option<Sender<()>>, Receiver<&'static str>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0 = None;
        assert_eq!(self.1.recv(), Ok("the thread ended"));
    }
}

/// Says that its thread ended.
struct ThreadEnd(Sender<&'static str>);

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        // Nobody hears it if the test has failed.
        let _ = self.0.send("the thread ended");
    }
}

// contract 38; fault 87
#[test]
fn no_job_begins_once_the_loop_began_to_end() {
    thread_local! {
        static LAST: RefCell<Option<ThreadEnd>> = const { RefCell::new(None) };
    }
    let event_loop = built::<()>(|builder| builder.blocking_threads(1));
    let handle = event_loop.handle();
    let (end, gate) = channel::<()>();
    let (tell, told) = channel();
    let (begin, begun) = channel();
    let queued_tells = tell.clone();
    let running = handle.spawn_blocking(move || {
        LAST.set(Some(ThreadEnd(tell)));
        begin.send(()).unwrap();
        gate.recv().unwrap_err();
    });
    begun.recv().unwrap();
    let queued = handle.spawn_blocking(move || queued_tells.send("a queued job began").unwrap());
    // The newest item, so the first to be cancelled: the jobs' tasks live while it is dropped.
    let ends = Ends(Some(end), told);
    let last = handle.spawn(async move {
        let _ends = ends;
        std::future::pending::<()>().await;
    });
    ends_with_items(event_loop, 3);
    let ended = block_on(async { (running.await, queued.await, last.await) });
    assert!(ended.1.unwrap_err().is_cancelled());
    assert!(ended.2.unwrap_err().is_cancelled(), "the job began");
}

thread_local! {
    static LAST: RefCell<Option<Witness>> = const { RefCell::new(None) };
}

// contract 51
#[test]
fn a_thread_ends_soon_after_its_loop_and_after_its_idle_time() {
    for idle in [Duration::ZERO, Duration::from_secs(3600)] {
        let mut event_loop = built::<()>(|builder| builder.blocking_idle(idle));
        let (tell, dropped) = channel();
        let job = event_loop.handle().spawn_blocking(move || {
            LAST.set(Some(Witness(tell)));
            thread::current().id()
        });
        let thread = event_loop.block_on(job).unwrap().unwrap();
        if idle.is_zero() {
            assert_eq!(dropped.recv(), Ok(thread));
        }
        closes_clean(event_loop);
        if !idle.is_zero() {
            assert_eq!(dropped.recv(), Ok(thread));
        }
    }
}

/// Set for the process that the test below starts.
const CHILD: &str = "LOOPLINE_BLOCKING_CHILD";

// contract 51; fault 87
#[test]
fn a_process_ends_while_a_job_is_stuck() {
    if std::env::var_os(CHILD).is_some() {
        let handle = {
            let event_loop = event_loop::<()>().unguarded();
            let stuck = stuck(event_loop.handle());
            std::mem::forget(stuck.end);
            stuck.job
        };
        assert!(handle.is_finished());
        return;
    }
    let name = "a_process_ends_while_a_job_is_stuck";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads", "1"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
}
