//! `select!`, `join!` and `try_join!`: several futures in one task, and what the macros expand to.
//!
//! Each is an ordinary macro: the futures are locals of the task, pinned there, polled in turn by one
//! closure. Nothing is allocated, nothing is spawned, and no unsafe code goes into the user's crate.
//!
//! The branches get their names from a list that the entry rules hand on, `(index Variant local)`, which
//! is used up from the front; what is left of it says how many there are.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::budget;
use crate::chance::any_of;
use crate::current::with_current;

mod branches;
mod join;
mod select;
mod try_join;

/// Picks the branch that a fair `select!` of `n` polls first, by the seed of the loop if it has one.
#[inline]
#[must_use]
pub fn any_branch(n: u32) -> u32 {
    with_current(|shared| match shared {
        Some(shared) => shared.chance.any_of(n),
        None => any_of(n),
    })
}

/// The branch that a biased `select!` polls first.
#[inline]
#[must_use]
pub fn first_branch(_n: u32) -> u32 {
    0
}

/// Returns the branch that is `next` places behind `first`, of `n` in a ring.
#[inline]
#[must_use]
pub fn round(first: u32, next: u32, n: u32) -> u32 {
    let place = first + next;
    if place < n { place } else { place - n }
}

/// Which branch of a fair `join!` goes first, each in its turn: one that uses up the budget every time
/// would starve those behind it.
#[derive(Debug, Default)]
pub struct FairTurns(u32);

impl FairTurns {
    /// Returns the branch of `n` to begin with.
    #[inline]
    pub fn turn(&mut self, n: u32) -> u32 {
        let first = self.0;
        self.0 = if first + 1 == n { 0 } else { first + 1 };
        first
    }
}

/// The branch of a biased `join!` that goes first.
#[derive(Debug, Default)]
pub struct FirstAlways;

impl FirstAlways {
    /// Returns the first.
    #[inline]
    pub fn turn(&mut self, _n: u32) -> u32 {
        0
    }
}

/// Pending, with one wake, if the budget of this poll is used up: the branches would only say the same,
/// each with a wake of its own.
#[inline]
pub fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    // Not spent: that is for the leaves.
    let _permit = ready!(budget::poll_proceed(cx));
    Poll::Ready(())
}

pin_project! {
    /// A branch of `join!`: a future, later its output.
    #[project = BranchProjection]
    #[project_replace = TakenBranch]
    #[derive(Debug)]
    #[allow(missing_docs)] // of fields: no place for them here, and nobody reads them
    pub enum Branch<F: Future> {
        /// It runs.
        Running {
            #[pin]
            future: F,
        },
        /// It has ended.
        Ended { output: F::Output },
        /// Its output was taken.
        Taken,
    }
}

/// Makes a branch of `join!`.
#[inline]
pub fn branch<F: IntoFuture>(future: F) -> Branch<F::IntoFuture> {
    Branch::Running { future: future.into_future() }
}

impl<F: Future> Branch<F> {
    /// Returns the output, once.
    #[inline]
    pub fn take(mut self: Pin<&mut Self>) -> F::Output {
        match self.as_mut().project() {
            BranchProjection::Ended { .. } => {}
            _ => unreachable!("all branches have ended, and each output is taken once"),
        }
        match self.project_replace(Self::Taken) {
            TakenBranch::Ended { output } => output,
            _ => unreachable!("looked at just above"),
        }
    }
}

impl<F: Future> Future for Branch<F> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let BranchProjection::Running { future } = self.as_mut().project() {
            let output = ready!(future.poll(cx));
            self.set(Self::Ended { output });
        }
        Poll::Ready(())
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Branch<F> {
    /// Returns what a `try_join!` gives if this branch has ended with an error.
    #[inline]
    pub fn take_failure<U>(mut self: Pin<&mut Self>) -> Option<Result<U, E>> {
        match self.as_mut().project() {
            BranchProjection::Ended { output: Err(_) } => self.take().err().map(Err),
            _ => None,
        }
    }

    /// Returns what the branch ended with, which is no error.
    #[inline]
    pub fn take_success(self: Pin<&mut Self>) -> T {
        match self.take().ok() {
            Some(output) => output,
            None => unreachable!("failures were taken before"),
        }
    }
}
