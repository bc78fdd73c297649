//! The watchdog: a thread that names the item which blocks the loop, while it still does.
//!
//! The loop says by plain numbers what it is doing (`pulse`); the thread looks at them now and then, and
//! reports what has not changed for too long (`guard`). The loop never waits for the thread and reads no
//! clock for it. The thread owns nothing of the loop's, is never joined, and sleeps while the loop does.

use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, Thread};
use std::time::Duration;

use crate::inbox::Inbox;
use crate::item::{Header, TaskId};
use crate::labels;
use crate::running::Running;

pub(crate) use self::pulse::Pulse;
use self::pulse::{CHILD, DESTRUCTOR, MAIL, NOTHING, POLL, WAKER};

mod guard;
mod pulse;

/// What a watchdog does with what it finds.
type Report = Arc<dyn Fn(&Blocked) + Send + Sync>;

/// Says after how long an item that still blocks the loop is reported, and to whom: see
/// [`Builder::watchdog`](crate::Builder::watchdog).
///
/// # Examples
///
/// ```
/// use loopline_runtime::{EventLoop, Watchdog};
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// let (reports, culprits) = mpsc::channel();
/// let watchdog = Watchdog::after(Duration::from_millis(20))
///     .report(move |blocked| drop(reports.send(blocked.label.clone())));
/// let mut event_loop = EventLoop::<()>::builder().watchdog(watchdog).build()?;
/// let handle = event_loop.handle();
/// handle.item().label("stuck").spawn(async move {
///     // Blocks the loop until the watchdog has said who does.
///     assert_eq!(culprits.recv().unwrap().as_deref(), Some("stuck"));
/// });
/// event_loop.run(&mut ())?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Watchdog {
    limit: Duration,
    report: Option<Report>,
    /// `Watch::start`, which a program without a watchdog does not have.
    start: Start,
}

type Start = fn(Watchdog, &'static Inbox, Option<&str>) -> io::Result<Watch>;

impl Watchdog {
    /// Reports what has blocked the loop for `limit`, at least 1 ms. It is seen within a quarter of that, or
    /// 1 ms if that is more.
    pub fn after(limit: Duration) -> Self {
        Self { limit: limit.max(Duration::from_millis(1)), report: None, start: Watch::start }
    }

    /// Calls `report` instead of printing to standard error.
    ///
    /// It is called on the watchdog's thread, while the loop is blocked: so it cannot reach the loop, and
    /// must not wait for it. It may use the program's descriptors, which the thread then shares; each system call
    /// on one is dearer for that, as in any program with a second thread. The watchdog of a loop that ended may be about to call it one last time. A
    /// panic in it is dropped.
    pub fn report(mut self, report: impl Fn(&Blocked) + Send + Sync + 'static) -> Self {
        self.report = Some(Arc::new(report));
        self
    }

    /// Starts watching the loop of that inbox.
    pub(crate) fn start(
        self,
        inbox: &'static Inbox,
        loop_label: Option<&str>,
    ) -> io::Result<Watch> {
        (self.start)(self, inbox, loop_label)
    }
}

impl From<Duration> for Watchdog {
    fn from(limit: Duration) -> Self {
        Self::after(limit)
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("after", &self.limit).finish_non_exhaustive()
    }
}

/// Who blocks the loop, as a [`Watchdog`] sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Blocked {
    /// The label of the loop.
    pub loop_label: Option<String>,
    /// The number of the item, or of the scope's child; none for the future given to `block_on` or
    /// `run_until`, and for what is not an item.
    pub id: Option<TaskId>,
    /// The item's label.
    pub label: Option<String>,
    /// Where the item was made, or the loop was run.
    pub place: Option<&'static Location<'static>>,
    /// Whether the item was cancelled, or ended, and it is a destructor that blocks.
    pub in_destructor: bool,
    /// How long it has done so, at least.
    pub held: Duration,
    /// How often this was reported, this time included: once after the limit, then as the time doubles.
    pub times: u32,
    /// What it is if it is none of these.
    other: &'static str,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.loop_label.as_deref().unwrap_or("loopline"))?;
        if self.in_destructor {
            f.write_str("the destructor of ")?;
        }
        match self.id {
            Some(id) => write!(f, "item {id}")?,
            None => f.write_str(self.other)?,
        }
        if let Some(label) = &self.label {
            write!(f, " `{label}`")?;
        }
        if let Some(place) = self.place {
            write!(f, " made at {place}")?;
        }
        write!(f, " has blocked the loop for {:?}, and still does", self.held)
    }
}

/// The loop's end of its watchdog: says what runs.
pub(crate) struct Watch {
    pulse: Arc<Pulse>,
    thread: Thread,
}

impl Watch {
    /// Starts the thread.
    pub(crate) fn start(
        watchdog: Watchdog,
        inbox: &'static Inbox,
        loop_label: Option<&str>,
    ) -> io::Result<Self> {
        let pulse = Arc::new(Pulse::new(inbox, labels::mirror()));
        let guard = guard::Guard::new(pulse.clone(), watchdog, loop_label.map(String::from));
        let name = String::from("loopline-watchdog");
        let thread = thread::Builder::new().name(name).spawn(move || guard.run())?;
        Ok(Self { pulse, thread: thread.thread().clone() })
    }

    /// The witness of a run of items.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// The id of the item being polled.
    pub(crate) fn running(&self) -> &Running {
        &self.pulse.running
    }

    /// Says where the loop was run.
    pub(crate) fn names_root(&self, place: &'static Location<'static>) {
        self.pulse.root.set(Some(place));
    }

    /// Says that the root future's destructor runs.
    pub(crate) fn destroys_root(&self) {
        self.pulse.running.set(0);
        self.pulse.begin(POLL);
    }

    /// Says that no item is polled from now on.
    pub(crate) fn rests(&self) {
        self.pulse.begin(NOTHING);
    }

    /// Says that messages from other threads are taken.
    pub(crate) fn takes_mail(&self) {
        self.pulse.begin(MAIL);
    }

    /// Says that the loop has awoken. After the inbox says that it runs.
    pub(crate) fn awakes(&self) {
        // SeqCst: No Lost Sleeper.
        if self.pulse.asleep.load(Ordering::SeqCst) {
            self.pulse.asleep.store(false, Ordering::Relaxed);
            self.thread.unpark();
        }
    }

    /// Says that a child of a scope is polled, until the value is dropped.
    pub(crate) fn enters(&self, id: TaskId, place: &'static Location<'static>) -> Within<'_> {
        self.within(CHILD | id.0, Some(place))
    }

    /// Says that the future of this item is dropped, until the value is.
    pub(crate) fn destroys(&self, header: &Header) -> Within<'_> {
        self.within(DESTRUCTOR | header.id.0, Some(header.place))
    }

    /// Says that the output of the item that was polled last is dropped.
    pub(crate) fn drops_output(&self, header: &Header) {
        self.pulse.drop_output(header.id.0);
    }

    /// Says that a waker of another library is called, if no item runs that calls it.
    pub(crate) fn calls_waker(&self) -> Option<Within<'_>> {
        self.unless_busy(WAKER)
    }

    /// Says that messages from other threads are dropped, if no item runs that does so.
    pub(crate) fn drops_mail(&self) -> Option<Within<'_>> {
        self.unless_busy(MAIL)
    }

    fn unless_busy(&self, mark: u64) -> Option<Within<'_>> {
        (self.pulse.mark() == NOTHING).then(|| self.within(mark, None))
    }

    fn within(&self, mark: u64, place: Option<&'static Location<'static>>) -> Within<'_> {
        let pulse = &*self.pulse;
        let within = Within { pulse, mark: pulse.mark(), named: pulse.named.get() };
        pulse.begin_named(mark, place);
        within
    }

    /// How many times something was seen to block.
    pub(crate) fn count(&self) -> u64 {
        self.pulse.blocked.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Neither waits for the thread, which may not exist: in a forked child it does not.
        self.pulse.closed.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("blocked", &self.count()).finish_non_exhaustive()
    }
}

/// What the loop does for a while, before it goes on with what it did.
pub(crate) struct Within<'a> {
    pulse: &'a Pulse,
    mark: u64,
    named: Option<&'static Location<'static>>,
}

impl Drop for Within<'_> {
    fn drop(&mut self) {
        self.pulse.begin_named(self.mark, self.named);
    }
}

/// Who sees which items are polled. `Nobody` costs nothing, so a loop without a watchdog has turns of
/// its own.
pub(crate) trait Witness: Copy {
    /// A batch of polls begins.
    fn begins(self);
    /// Where the loop notes what is polled: in its `own` place if nobody else sees it.
    fn notes<'a>(self, own: &'a Running) -> &'a Running
    where
        Self: 'a;
    /// This item is polled.
    fn runs(self, item: &Header, own: &Running);
    /// The root future is polled.
    fn root(self);
}

/// There is no watchdog.
#[derive(Clone, Copy)]
pub(crate) struct Nobody;

impl Witness for Nobody {
    #[inline(always)]
    fn begins(self) {}

    #[inline(always)]
    fn notes<'a>(self, own: &'a Running) -> &'a Running
    where
        Self: 'a,
    {
        own
    }

    #[inline(always)]
    fn runs(self, item: &Header, own: &Running) {
        own.set(item.id.0);
    }

    #[inline(always)]
    fn root(self) {}
}

impl Witness for &Pulse {
    fn begins(self) {
        self.begin(POLL);
    }

    #[inline(always)]
    fn notes<'a>(self, _: &'a Running) -> &'a Running
    where
        Self: 'a,
    {
        &self.running
    }

    #[inline(always)]
    fn runs(self, item: &Header, _: &Running) {
        self.run(item.id.0, item.place);
    }

    #[inline(always)]
    fn root(self) {
        self.running.set(0);
    }
}
