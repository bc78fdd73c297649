//! `Child`: a process that was started, and its pipes.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::process::{Child as StdChild, ExitStatus, Output};
use std::task::Poll;

use rustix::process::Signal;

use super::exit::Exit;
use super::orphans;
use super::stdin::ChildStdin;
use super::stdout::{ChildStderr, ChildStdout};
use super::watch::Watch;
use crate::signal::SignalKind;

/// A child process.
///
/// All methods but those that consume it take `&self`: one task may wait while another kills. Dropped, it
/// is left to the loop; see the [module](super).
///
/// ```compile_fail
/// fn needs_send<T: Send>() {}
/// needs_send::<loopline_io::process::Child>();
/// ```
///
/// ```
/// fn needs_nothing<T>() {}
/// needs_nothing::<loopline_io::process::Child>();
/// ```
pub struct Child {
    /// The pipe to its standard input, if one was asked for.
    pub stdin: Option<ChildStdin>,
    /// The pipe from its standard output, if one was asked for.
    pub stdout: Option<ChildStdout>,
    /// The pipe from its standard error, if one was asked for.
    pub stderr: Option<ChildStderr>,
    /// Taken only by the drop.
    watch: Option<Watch>,
    kill_on_drop: bool,
}

impl Child {
    pub(super) fn new(std: StdChild, kill_on_drop: bool) -> io::Result<Self> {
        Self::with(std, Watch::new, kill_on_drop)
    }

    fn with(
        mut std: StdChild,
        watch: impl FnOnce(StdChild) -> Watch,
        kill_on_drop: bool,
    ) -> io::Result<Self> {
        let (stdin, stdout, stderr) = (std.stdin.take(), std.stdout.take(), std.stderr.take());
        let watch = Some(watch(std));
        // From here on a failure leaves it to the loop.
        let mut child = Self { stdin: None, stdout: None, stderr: None, watch, kill_on_drop };
        child.stdin = stdin.map(ChildStdin::own).transpose()?;
        child.stdout = stdout.map(ChildStdout::own).transpose()?;
        child.stderr = stderr.map(ChildStderr::own).transpose()?;
        Ok(child)
    }

    /// Takes over a child of the standard library, and makes its pipes non-blocking.
    ///
    /// # Errors
    ///
    /// If they cannot be made so. The child is then left to the loop, as if it was dropped.
    pub fn from_std(child: StdChild) -> io::Result<Self> {
        let child = Self::with(child, Watch::of_std, false)?;
        // They may have been duplicated before.
        child.stdin.iter().for_each(ChildStdin::lend);
        child.stdout.iter().for_each(ChildStdout::lend);
        child.stderr.iter().for_each(ChildStderr::lend);
        Ok(child)
    }

    pub(super) fn watch(&self) -> &Watch {
        self.watch.as_ref().expect("taken only by the drop")
    }

    /// Closes the pipe to the child if it was not taken out: the child may wait for its end.
    pub(super) fn close_stdin(&self) {
        if let Some(stdin) = &self.stdin {
            stdin.close();
        }
    }

    /// Returns the process's number; `None` once it was seen to have ended, when the number may be
    /// another's.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.watch().id()
    }

    /// Waits for the child's end. Any number of tasks may, and may again: the status is kept.
    ///
    /// Closes the pipe to its standard input first, unless that was taken out of [`Child::stdin`]: a child
    /// that reads to the end would not end. It does not read the pipes from the child: one that writes more
    /// than fits waits for ever, unless somebody else reads; see [`Child::wait_with_output`]. Children of
    /// the child may live on.
    ///
    /// # Errors
    ///
    /// If its status is lost; see the [module](super). Or if the loop cannot wait.
    ///
    /// # Cancel safety
    ///
    /// Strict.
    pub async fn wait(&self) -> io::Result<ExitStatus> {
        self.close_stdin();
        self.watch().ended().await
    }

    /// Returns the child's status if it has ended.
    ///
    /// # Errors
    ///
    /// If its status is lost; see the [module](super).
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.watch().look()
    }

    /// Kills the child (SIGKILL), and does not wait for its end. One that has ended is no error.
    ///
    /// On Linux the signal cannot reach another process that got the child's number, whatever else
    /// happens in this process.
    ///
    /// # Errors
    ///
    /// If this process may not: the child runs as another user.
    pub fn start_kill(&self) -> io::Result<()> {
        self.watch().signal(Signal::KILL)
    }

    /// Sends the child a signal, such as SIGTERM, which asks it to end. One that has ended is no error.
    ///
    /// On Linux it cannot reach another process; as [`Child::start_kill`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a real-time signal or a number that is none. If this process may not.
    pub fn send_signal(&self, kind: SignalKind) -> io::Result<()> {
        let Some(signal) = Signal::from_named_raw(kind.as_raw_value()) else {
            let text = format!("signal {} cannot be sent to a child", kind.as_raw_value());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        self.watch().signal(signal)
    }

    /// Kills the child, and waits for its end.
    ///
    /// # Errors
    ///
    /// As [`Child::start_kill`] and [`Child::wait`].
    ///
    /// # Cancel safety
    ///
    /// Strict: it is killed by the first poll, and waiting can be taken up again.
    pub async fn kill(&self) -> io::Result<()> {
        self.start_kill()?;
        self.wait().await.map(drop)
    }

    /// Waits for the child's end, and for the end of both pipes from it, and returns what came out of them.
    ///
    /// A pipe ends when the last process that holds it has closed it. A child's child that inherits the
    /// pipes keeps this waiting, also after the child's end; [`Child::wait`] does not mind.
    ///
    /// # Errors
    ///
    /// As [`Child::wait`], or if reading fails.
    ///
    /// # Cancel safety
    ///
    /// None: the child is dropped, and what was read is lost.
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let ended = self.wait();
        let read_out = async {
            match &stdout {
                Some(stdout) => stdout.read_to_end(&mut out).await.map(drop),
                None => Ok(()),
            }
        };
        let read_err = async {
            match &stderr {
                Some(stderr) => stderr.read_to_end(&mut err).await.map(drop),
                None => Ok(()),
            }
        };
        let status = all_three(ended, read_out, read_err).await?;
        Ok(Output { status, stdout: out, stderr: err })
    }

    /// Makes a source of the child's end.
    pub fn into_exit(self) -> Exit {
        Exit::new(self)
    }
}

/// Awaits all, or the first that fails.
async fn all_three(
    status: impl Future<Output = io::Result<ExitStatus>>,
    one: impl Future<Output = io::Result<()>>,
    other: impl Future<Output = io::Result<()>>,
) -> io::Result<ExitStatus> {
    let (mut status, mut one, mut other) = (pin!(status), pin!(one), pin!(other));
    let (mut ended, mut one_done, mut other_done) = (None, false, false);
    poll_fn(|cx| {
        if ended.is_none() {
            if let Poll::Ready(status) = status.as_mut().poll(cx)? {
                ended = Some(status);
            }
        }
        if !one_done {
            one_done = one.as_mut().poll(cx)?.is_ready();
        }
        if !other_done {
            other_done = other.as_mut().poll(cx)?.is_ready();
        }
        match ended {
            Some(status) if one_done && other_done => Poll::Ready(Ok(status)),
            _ => Poll::Pending,
        }
    })
    .await
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(watch) = self.watch.take() else { return };
        if self.kill_on_drop {
            // It runs as another user, and was not to be killed then.
            let _ = watch.signal(Signal::KILL);
        }
        orphans::adopt(watch);
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("watch", &self.watch)
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .field("kill_on_drop", &self.kill_on_drop)
            .finish()
    }
}
