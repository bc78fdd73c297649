#![doc = include_str!("../README.md")]

pub use loopline_runtime::{
    Builder, Cancelled, Child, ChildBuilder, Clock, Control, CurrentError, Deadlock, EventLoop,
    Graced, Graceful, Handle, InsertError, InsertErrorKind, ItemBuilder, JoinError, JoinHandle,
    Lane, LaneError, PanicPolicy, Remote, RemoteJoin, RunError, Scope, Scoped, StateError, Stats,
    Straggler, TaskId, Turn, Wait, WaitError, block_on, closing, scope, spawn, try_scope,
    yield_now,
};

#[cfg(feature = "macros")]
pub use loopline_macros::{main, test};

pub use loopline_runtime::callback;
pub use loopline_runtime::sync;
pub use loopline_runtime::time;

#[cfg(feature = "net")]
pub use loopline_io::net;

/// Pollable descriptors as sources.
#[cfg(all(unix, feature = "net"))]
pub mod io {
    pub use loopline_io::fd::{FdSource, Interest, Readiness};
}

#[cfg(all(unix, feature = "process"))]
pub use loopline_io::process;

#[cfg(all(unix, feature = "signal"))]
pub use loopline_io::signal;

/// How a turn works, and what is promised.
#[doc = include_str!("guide.md")]
pub mod guide {}

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
    pub use loopline_runtime::{
        CancellationToken, Cancelled, Control, DropGuard, DropGuardRef, JoinError, JoinHandle,
        TaskId, WaitForCancellationFuture, WaitForCancellationFutureOwned, spawn, yield_now,
    };
}
