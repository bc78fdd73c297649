#![doc = include_str!("../README.md")]
// The guide's links lead to features too.
#![cfg_attr(
    not(all(unix, feature = "process", feature = "fd", feature = "fs", feature = "extra")),
    allow(rustdoc::broken_intra_doc_links)
)]

pub use loopline_runtime::{
    Blocked, Builder, Cancelled, Child, ChildBuilder, Clock, Control, Core, CurrentError, Deadlock,
    EventLoop, Graced, Graceful, Guest, Handle, InsertError, InsertErrorKind, ItemBuilder,
    JoinError, JoinHandle, JoinSet, Lane, LaneError, PanicPolicy, PerCore, Prepared, Remote,
    RemoteJoin, RunError, Scope, Scoped, StateError, Stats, Straggler, TaskId, Turn, Until, Wait,
    WaitError, Watchdog, block_on, closing, join, per_core, race, scope, select, spawn,
    spawn_blocking, task_local, try_join, try_scope, yield_now,
};

#[cfg(feature = "macros")]
pub use loopline_macros::{main, test};

pub use loopline_runtime::callback;
pub use loopline_runtime::sync;
pub use loopline_runtime::time;

#[cfg(feature = "net")]
pub use loopline_io::net;

#[cfg(feature = "fs")]
pub use loopline_io::fs;

/// Lines of readers; copying between readers and writers; pollable descriptors as sources or awaited, pipes, standard input
/// and output.
#[cfg(feature = "net")]
pub mod io {
    pub use loopline_io::copy::{Copied, CopyBidirectional, copy, copy_bidirectional, copy_buf};
    #[cfg(all(unix, feature = "fd"))]
    pub use loopline_io::fd::{
        Async, AsyncReadyGuard, AsyncReadyMutGuard, AsyncRegisterError, TryIoError,
    };
    #[cfg(unix)]
    pub use loopline_io::fd::{
        FdSource, ForeignLoop, ForeignReader, Interest, Readiness, Ready, Trigger,
    };
    #[cfg(any(feature = "hyper", feature = "tokio-io"))]
    pub use loopline_io::here::Here;
    pub use loopline_io::lines::{LineTooLong, Lines};
    #[cfg(all(unix, feature = "fd"))]
    pub use loopline_io::pipe::{self, pipe};
    #[cfg(all(unix, feature = "fd"))]
    pub use loopline_io::stdio::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
}

#[cfg(all(unix, feature = "process"))]
pub use loopline_io::process;

#[cfg(all(unix, feature = "signal"))]
pub use loopline_io::signal;

#[cfg(feature = "extra")]
pub mod extra;

#[cfg(feature = "hyper")]
pub use loopline_io::hyper_rt;

/// Libraries of others on the loop: what works how, and what cannot run here.
// Its examples are compiled and run in examples/bridges, which has those libraries.
#[cfg(not(doctest))]
#[doc = include_str!("bridges.md")]
pub mod bridges {}

pub mod guide;

/// What the macros refuse, each case with one that compiles.
#[cfg(all(doctest, feature = "macros"))]
#[doc = include_str!("macro_errors.md")]
mod macro_errors {}

/// What the macros expand to; not for anybody else.
#[doc(hidden)]
pub use loopline_runtime::__private;

/// Tasks: spawning, awaiting, cancelling, yielding.
pub mod task {
    pub use loopline_runtime::budget;
    pub use loopline_runtime::budget::{Unconstrained, consume_budget, unconstrained};
    pub use loopline_runtime::{
        AccessError, CancellationToken, Cancelled, Control, DropGuard, DropGuardRef, JoinError,
        JoinHandle, JoinSet, LocalKey, TaskId, TaskLocalFuture, WaitForCancellationFuture,
        WaitForCancellationFutureOwned, need_yield, spawn, spawn_blocking, yield_now,
    };
}
