//! Host names: `lookup_host`, and the few threads on which the system's resolver runs.
//!
//! getaddrinfo blocks and cannot be cancelled, so it has threads of its own: four for each thread with
//! event loops, started when there is a name to look up and ended when there is none. Nobody joins them.
//! One that is stuck holds up neither its loop, nor the jobs of `spawn_blocking`, nor the exit.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::catch_unwind;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use loopline_runtime::sync::remote::oneshot::{self, Receiver, Sender};
use loopline_runtime::time::hold;

use super::addr::{Addrs, ToAddrs, resolve};

/// Lookups at once; the others wait in line.
const THREADS: usize = 4;

/// Looks a host name up: the addresses to try, in the system's order.
///
/// The system's resolver does it (files, DNS, whatever it is set up for), on a thread; what is an address
/// already is returned at once. There is no limit in time but the resolver's: put it into a
/// [`timeout`](loopline_runtime::time::timeout). Four lookups run at once for each thread with event loops.
/// A paused clock does not jump while one is under way.
///
/// # Errors
///
/// What the resolver says, such as that there is no such name; `InvalidInput` for text that is neither an
/// address nor a name, each with a port.
///
/// # Panics
///
/// If no event loop runs on this thread.
///
/// # Cancel safety
///
/// Strict. A lookup that has begun goes on by itself on its thread, which nobody waits for.
///
/// # Examples
///
/// ```
/// # loopline_runtime::block_on(async {
/// use loopline_io::net::lookup_host;
///
/// for addr in lookup_host(("127.0.0.1", 80)).await? {
///     assert_eq!(addr.to_string(), "127.0.0.1:80");
/// }
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub async fn lookup_host(host: impl ToAddrs) -> io::Result<impl Iterator<Item = SocketAddr>> {
    resolve(&host).await.map(Vec::into_iter)
}

/// Asks the system for the addresses of a name.
pub(super) async fn lookup(host: &str, port: u16) -> io::Result<Addrs> {
    let addrs = CREW.with_borrow_mut(|crew| {
        let crew = crew.get_or_insert_with(|| Crew::new(ask_the_system));
        // In a forked child there are none of the threads, and the lock may be held for ever.
        if crew.process != process::id() {
            *crew = Crew::new(ask_the_system);
        }
        crew.submit(host.to_owned(), port)
    });
    wait(addrs?, host).await
}

async fn wait(addrs: Receiver<io::Result<Addrs>>, host: &str) -> io::Result<Addrs> {
    let _hold = hold();
    match addrs.await {
        Ok(Ok(addrs)) if addrs.is_empty() => {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address")))
        }
        Ok(result) => result,
        Err(_) => Err(io::Error::other(format!("the lookup of `{host}` panicked"))),
    }
}

/// What asks; in tests one that is stuck.
type Ask = fn(&str, u16) -> io::Result<Addrs>;

fn ask_the_system(host: &str, port: u16) -> io::Result<Addrs> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}

thread_local! {
    static CREW: RefCell<Option<Crew>> = const { RefCell::new(None) };
}

/// The threads that look up for one thread with event loops.
struct Crew {
    shared: Arc<Mutex<State>>,
    ask: Ask,
    /// The process they are in.
    process: u32,
}

struct State {
    /// Not begun.
    jobs: VecDeque<Job>,
    /// Threads alive.
    threads: usize,
}

struct Job {
    host: String,
    port: u16,
    answer: Sender<io::Result<Addrs>>,
}

impl Crew {
    fn new(ask: Ask) -> Self {
        let state = State { jobs: VecDeque::new(), threads: 0 };
        Self { shared: Arc::new(Mutex::new(state)), ask, process: process::id() }
    }

    fn submit(&self, host: String, port: u16) -> io::Result<Receiver<io::Result<Addrs>>> {
        let (answer, answered) = oneshot::channel();
        let mut state = lock(&self.shared);
        state.jobs.push_back(Job { host, port, answer });
        if state.threads == THREADS {
            return Ok(answered);
        }
        state.threads += 1;
        drop(state);
        let (shared, ask) = (self.shared.clone(), self.ask);
        let started = thread::Builder::new()
            .name("loopline-lookup".to_owned())
            .spawn(move || work(&shared, ask));
        if let Err(error) = started {
            let mut state = lock(&self.shared);
            state.threads -= 1;
            // Another thread takes it, if there is one.
            if state.threads == 0 {
                let job = state.jobs.pop_back();
                drop(state);
                drop(job);
                return Err(error);
            }
        }
        Ok(answered)
    }
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing that panics runs under it.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The life of a thread.
fn work(shared: &Mutex<State>, ask: Ask) {
    while let Some(Job { host, port, answer }) = next(shared) {
        // Nobody waits for a lookup that was dropped while it stood in line.
        if answer.is_closed() {
            continue;
        }
        // A panic is told by dropping the sender, and leaves the thread to the others in line.
        if let Ok(found) = catch_unwind(|| ask(&host, port)) {
            // Given back if it was dropped meanwhile.
            let _ = answer.send(found);
        }
    }
}

/// Takes a job, or leaves in the same breath: none is left behind.
fn next(shared: &Mutex<State>) -> Option<Job> {
    let mut state = lock(shared);
    let job = state.jobs.pop_front();
    if job.is_none() {
        state.threads -= 1;
    }
    job
}

#[cfg(test)]
mod tests;
