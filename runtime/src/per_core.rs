//! One event loop on each of several threads: the way past one core.

use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::closing_wait::closing;
use crate::current::with_current;
use crate::entry::run_for;
use crate::event_loop::EventLoop;
use crate::item::Payload;
use crate::remote::Remote;
use crate::sleep::sleep;

/// Runs one event loop on each of `cores` threads, as many as the machine has if that is 0, and on each
/// the future that `run` makes. Returns their outputs in the order of the cores, once all have ended.
///
/// Nothing is shared between the loops but what `run` captures, so they need no locks. Servers open one
/// listener on each with SO_REUSEPORT, and the kernel spreads new connections; unevenly for few of them.
/// One machine beyond that is the job of what stands in front: a balancer for TCP, a broker for messages.
///
/// **The end.** When the future of a core is done, tasks it has spawned are asked to end
/// ([`closing`](crate::closing)) and have 10 s for it ([`PerCore::grace`]). When one core fails or panics, or
/// [`Core::close`] is called, [`closing`](crate::closing) is ready on all cores, and those that have not
/// ended after the grace are stopped.
///
/// # Errors
///
/// The first error: of a future, or of an event loop that could not be made.
///
/// # Panics
///
/// Goes on with the panic of a core after the others have ended.
///
/// # Examples
///
/// ```
/// let numbers = loopline_runtime::per_core(2, |core| async move {
///     // .. bind with SO_REUSEPORT, and accept until core.closing() ..
///     Ok(core.index() * 10)
/// })?;
/// assert_eq!(numbers, [0, 10]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn per_core<F, Fut, T>(cores: usize, run: F) -> io::Result<Vec<T>>
where
    F: Fn(Core) -> Fut + Sync,
    Fut: Future<Output = io::Result<T>>,
    T: Send,
{
    PerCore::new(cores).run(run)
}

/// The settings of [`per_core`].
///
/// # Examples
///
/// ```
/// use loopline_runtime::PerCore;
/// use std::time::Duration;
///
/// let squares = PerCore::new(3)
///     .grace(Duration::from_secs(1))
///     .run(|core| async move { Ok(core.index() * core.index()) })?;
/// assert_eq!(squares, [0, 1, 4]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing runs before `run`"]
pub struct PerCore {
    cores: usize,
    grace: Duration,
}

impl PerCore {
    /// Starts with that many threads, as many as the machine has cores if it is 0.
    pub fn new(cores: usize) -> Self {
        let machine = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let cores = if cores == 0 { machine() } else { cores };
        Self { cores, grace: Duration::from_secs(10) }
    }

    /// Sets how long tasks have to end when their core does, and cores when another has failed or
    /// [`Core::close`] was called. Default: 10 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Runs; as [`per_core`].
    ///
    /// # Errors
    ///
    /// The first error: of a future, or of an event loop that could not be made.
    ///
    /// # Panics
    ///
    /// Goes on with the panic of a core after the others have ended.
    pub fn run<F, Fut, T>(self, run: F) -> io::Result<Vec<T>>
    where
        F: Fn(Core) -> Fut + Sync,
        Fut: Future<Output = io::Result<T>>,
        T: Send,
    {
        let group = Arc::new(Group::default());
        let ended: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.cores)
                .map(|index| {
                    let core = Core { index, count: self.cores, group: group.clone() };
                    let run = &run;
                    let name = format!("loopline-core-{index}");
                    thread::Builder::new().name(name).spawn_scoped(scope, move || {
                        let group = core.group.clone();
                        let ended = catch_unwind(AssertUnwindSafe(|| self.run_core(core, run)));
                        group.ended(ended)
                    })
                })
                .collect();
            let join = |thread: io::Result<thread::ScopedJoinHandle<'_, Option<T>>>| match thread {
                Ok(thread) => thread.join().unwrap_or(None),
                Err(error) => group.ended(Ok(Err(error))),
            };
            threads.into_iter().map(join).collect()
        });
        match group.lock().failure.take() {
            Some(Failure::Panic(payload)) => resume_unwind(payload),
            Some(Failure::Error(error)) => Err(error),
            // Without a failure each has an output.
            None => Ok(ended.into_iter().flatten().collect()),
        }
    }

    /// What runs on one thread.
    fn run_core<F, Fut, T>(self, core: Core, run: &F) -> io::Result<T>
    where
        F: Fn(Core) -> Fut,
        Fut: Future<Output = io::Result<T>>,
    {
        let event_loop =
            EventLoop::<()>::builder().label(format!("core {}", core.index)).build()?;
        let handle = event_loop.handle();
        core.group.join(handle.remote());
        let grace = self.grace;
        // Stops the loop if the others fail and its own future does not end in time.
        let limit = handle.item().label("the end of all cores").background().spawn(async move {
            closing().await;
            sleep(grace).await;
            handle.stop();
        });
        let (event_loop, output) = run_for(event_loop, run(core));
        let output = output??;
        // From here on the tasks' own grace counts.
        drop(limit.cancel());
        event_loop.shutdown(&mut (), grace)?;
        Ok(output)
    }
}

/// One of the threads of [`per_core`]: cloneable, and may be sent to other threads.
#[derive(Clone)]
pub struct Core {
    index: usize,
    count: usize,
    group: Arc<Group>,
}

impl Core {
    /// Returns which of the cores this is, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns how many cores there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Asks all cores to end: [`closing`](crate::closing) is ready on each.
    pub fn close(&self) {
        self.group.close();
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("index", &self.index).field("count", &self.count).finish()
    }
}

/// Why all cores end.
enum Failure {
    Error(io::Error),
    Panic(Payload),
}

/// What the cores share.
#[derive(Default)]
struct Group(Mutex<State>);

#[derive(Default)]
struct State {
    closing: bool,
    remotes: Vec<Remote<()>>,
    /// The first.
    failure: Option<Failure>,
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a loop in, which is told at once if the end was called for already.
    fn join(&self, remote: Remote<()>) {
        let mut state = self.lock();
        if state.closing {
            tell(&remote);
        }
        state.remotes.push(remote);
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        state.remotes.iter().for_each(tell);
    }

    /// Notes how a core ended; a failure ends the others.
    fn ended<T>(&self, ended: Result<io::Result<T>, Payload>) -> Option<T> {
        let failure = match ended {
            Ok(Ok(output)) => return Some(output),
            Ok(Err(error)) => Failure::Error(error),
            Err(payload) => Failure::Panic(payload),
        };
        let mut state = self.lock();
        if state.failure.is_none() {
            state.failure = Some(failure);
        }
        drop(state);
        self.close();
        None
    }
}

/// Asks one loop to end. A loop that is gone has ended.
fn tell(remote: &Remote<()>) {
    let _ = remote.spawn(|_| async {
        with_current(|shared| {
            shared.map(|shared| shared.closing.ask(|waiter| shared.wake_waiter(waiter)))
        });
    });
}
