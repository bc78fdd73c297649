//! One child until it is reaped: looked at, waited for, signalled. It alone reaps it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::{Child as StdChild, ExitStatus};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use loopline_runtime::budget;
use loopline_runtime::registration::{Direction, Registration, WaitKey};

use rustix::process::{Pid, Signal, kill_process};

use super::deaths::Deaths;
use crate::adapter::Adapter;

/// A child that was spawned.
pub(super) struct Watch {
    /// Without its pipes.
    child: RefCell<StdChild>,
    state: Cell<State>,
    /// Readable once the child has ended. Kept when it was reaped: it wakes those who still wait.
    pidfd: Option<Adapter<OwnedFd>>,
    /// What wakes where there is no pidfd; once somebody waits.
    deaths: RefCell<Option<Rc<Deaths>>>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Until it was seen to have ended: its number is its own.
    Running,
    Reaped(ExitStatus),
    /// It has ended, and somebody else has its status.
    Lost,
}

impl Watch {
    /// Takes a child that was just spawned.
    pub(super) fn new(child: StdChild) -> Self {
        let (state, pidfd) = pidfd::open(&child);
        Self::from_parts(child, state, pidfd)
    }

    /// Takes a child that may have been reaped through what is given here.
    pub(super) fn of_std(mut child: StdChild) -> Self {
        match child.try_wait() {
            Ok(Some(status)) => Self::from_parts(child, State::Reaped(status), None),
            Err(error) if is_lost(&error) => Self::from_parts(child, State::Lost, None),
            _ => Self::new(child),
        }
    }

    fn from_parts(child: StdChild, state: State, pidfd: Option<OwnedFd>) -> Self {
        let pidfd = pidfd.map(Adapter::unready);
        Self {
            child: RefCell::new(child),
            state: Cell::new(state),
            pidfd,
            deaths: RefCell::new(None),
        }
    }

    /// Takes a running child off the loop; `None` if it was reaped.
    pub(super) fn into_loose(self) -> Option<Loose> {
        if !matches!(self.state.get(), State::Running) {
            return None;
        }
        let pidfd = self.pidfd.and_then(|adapter| adapter.into_inner().ok());
        Some(Loose { child: self.child.into_inner(), pidfd })
    }

    /// Returns the child's number, until it was reaped.
    pub(super) fn id(&self) -> Option<u32> {
        matches!(self.state.get(), State::Running).then(|| self.child.borrow().id())
    }

    /// Looks whether the child has ended, and reaps it if so.
    pub(super) fn look(&self) -> io::Result<Option<ExitStatus>> {
        match self.state.get() {
            State::Reaped(status) => return Ok(Some(status)),
            State::Lost => return Err(lost()),
            State::Running => {}
        }
        let ended = match &self.pidfd {
            Some(pidfd) => pidfd::reap(pidfd.cell().as_ref()),
            None => self.child.borrow_mut().try_wait(),
        };
        match ended {
            Ok(Some(status)) => self.state.set(State::Reaped(status)),
            Err(error) if is_lost(&error) => {
                self.state.set(State::Lost);
                return Err(lost());
            }
            _ => {}
        }
        ended
    }

    /// Sends the child a signal, if it has not ended.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        if !matches!(self.state.get(), State::Running) {
            return Ok(());
        }
        match &self.pidfd {
            Some(pidfd) => pidfd::signal(pidfd.cell().as_ref(), signal),
            // Its number is its own as long as nobody else reaps it.
            None => match self.look() {
                Ok(None) => Ok(kill_process(Pid::from_child(&self.child.borrow()), signal)?),
                _ => Ok(()),
            },
        }
    }

    /// Waits for the child's end. Any number may wait.
    pub(super) fn ended(&self) -> Ended<'_> {
        Ended { watch: self, key: WaitKey::new() }
    }

    pub(super) fn poll_ended(
        &self,
        key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<ExitStatus>> {
        let permit = ready!(budget::poll_proceed(cx));
        let waited = match self.look() {
            Ok(None) => match &self.pidfd {
                Some(pidfd) => wait(pidfd, key, cx),
                None => match ready!(self.poll_death(key, cx)) {
                    Ok(status) => Ok(Some(status)),
                    Err(error) => Err(error),
                },
            },
            looked => looked,
        };
        match waited {
            Ok(None) => Poll::Pending,
            Ok(Some(status)) => {
                permit.spend();
                Poll::Ready(Ok(status))
            }
            Err(error) => {
                permit.spend();
                Poll::Ready(Err(error))
            }
        }
    }

    /// Waits for the death of any child, and looks whether it was this one.
    fn poll_death(&self, key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        let here = self.deaths.borrow().clone().filter(|deaths| deaths.is_usable());
        let deaths = match here {
            Some(deaths) => deaths,
            None => {
                // A wait elsewhere has ended with that loop, or ends now.
                self.unwait(key);
                let deaths = Deaths::here()?;
                *self.deaths.borrow_mut() = Some(deaths.clone());
                deaths
            }
        };
        // In this order: a death after the look is told.
        deaths.settle();
        match self.look() {
            Ok(None) => match wait(deaths.adapter(), key, cx) {
                Ok(_) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            Ok(Some(status)) => Poll::Ready(Ok(status)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn unwait(&self, key: &mut WaitKey) {
        if let Some(pidfd) = &self.pidfd {
            pidfd.registration().unwait(Direction::Read, key);
        } else if let Some(deaths) = &*self.deaths.borrow() {
            deaths.adapter().registration().unwait(Direction::Read, key);
        }
    }
}

/// Waits for the next event of a descriptor, whatever was told before.
fn wait<T: crate::sys::Pollable>(
    adapter: &Adapter<T>,
    key: &mut WaitKey,
    cx: &mut Context<'_>,
) -> io::Result<Option<ExitStatus>> {
    let registration: &Registration = adapter.registration();
    registration.clear(Direction::Read);
    adapter.wait(Direction::Read, key, cx).map(|()| None)
}

fn is_lost(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ECHILD)
}

#[cold]
fn lost() -> io::Error {
    io::Error::other(
        "the child has ended and its status is lost: SIGCHLD is ignored, or something in this process \
         waits for just any child",
    )
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("id", &self.child.borrow().id())
            .field("state", &self.state.get())
            .finish_non_exhaustive()
    }
}

/// Waits for a child's end.
pub(super) struct Ended<'a> {
    watch: &'a Watch,
    key: WaitKey,
}

impl Future for Ended<'_> {
    type Output = io::Result<ExitStatus>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.watch.poll_ended(&mut this.key, cx)
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.watch.unwait(&mut self.key);
    }
}

/// A running child that no loop has.
pub(super) struct Loose {
    child: StdChild,
    pidfd: Option<OwnedFd>,
}

impl From<Loose> for Watch {
    fn from(loose: Loose) -> Self {
        Self::from_parts(loose.child, State::Running, loose.pidfd)
    }
}

/// Processes by descriptor.
#[cfg(target_os = "linux")]
mod pidfd {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child as StdChild, ExitStatus};

    use rustix::io::Errno;
    use rustix::process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
    };

    use super::State;

    /// Opens the descriptor of a child that was not reaped by this module.
    ///
    /// None on old kernels, where a filter forbids it, and when descriptors have run out.
    pub(super) fn open(child: &StdChild) -> (State, Option<OwnedFd>) {
        let pidfd = match pidfd_open(Pid::from_child(child), PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return (State::Lost, None),
            Err(_) => return (State::Running, None),
        };
        // If somebody else has reaped the child, its number may be another's.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd)), look) {
            Ok(_) => (State::Running, Some(pidfd)),
            Err(Errno::CHILD) => (State::Lost, None),
            Err(_) => (State::Running, None),
        }
    }

    pub(super) fn reap(pidfd: &OwnedFd) -> io::Result<Option<ExitStatus>> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let Some(ended) = waitid(WaitId::PidFd(std::os::fd::AsFd::as_fd(pidfd)), look)? else {
            return Ok(None);
        };
        // As wait(2) encodes it.
        let raw = match (ended.exit_status(), ended.terminating_signal()) {
            (Some(code), _) => (code & 0xff) << 8,
            (None, Some(signal)) if ended.dumped() => signal | 0x80,
            (None, Some(signal)) => signal,
            (None, None) => return Ok(None),
        };
        Ok(Some(ExitStatus::from_raw(raw)))
    }

    pub(super) fn signal(pidfd: &OwnedFd, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(pidfd, signal) {
            // It has ended, and somebody else has reaped it.
            Err(Errno::SRCH) => Ok(()),
            result => Ok(result?),
        }
    }
}

/// There are no such descriptors here.
#[cfg(not(target_os = "linux"))]
mod pidfd {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::process::{Child as StdChild, ExitStatus};

    use rustix::process::Signal;

    use super::State;

    pub(super) fn open(_: &StdChild) -> (State, Option<OwnedFd>) {
        (State::Running, None)
    }

    pub(super) fn reap(_: &OwnedFd) -> io::Result<Option<ExitStatus>> {
        unreachable!("none was opened")
    }

    pub(super) fn signal(_: &OwnedFd, _: Signal) -> io::Result<()> {
        unreachable!("none was opened")
    }
}
