#![doc = include_str!("../README.md")]

pub use loopline_runtime::{
    Builder, Cancelled, Child, ChildBuilder, Clock, Control, Core, CurrentError, Deadlock,
    EventLoop, Graced, Graceful, Handle, InsertError, InsertErrorKind, ItemBuilder, JoinError,
    JoinHandle, JoinSet, Lane, LaneError, PanicPolicy, PerCore, Remote, RemoteJoin, RunError,
    Scope, Scoped, StateError, Stats, Straggler, TaskId, Turn, Wait, WaitError, block_on, closing,
    join, per_core, scope, select, spawn, spawn_blocking, task_local, try_join, try_scope,
    yield_now,
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

/// Copying between readers and writers, and pollable descriptors as sources.
#[cfg(feature = "net")]
pub mod io {
    pub use loopline_io::copy::{Copied, CopyBidirectional, copy, copy_bidirectional, copy_buf};
    #[cfg(unix)]
    pub use loopline_io::fd::{FdSource, Interest, Readiness};
}

#[cfg(all(unix, feature = "signal"))]
pub use loopline_io::signal;

#[cfg(feature = "extra")]
pub mod extra;

/// How a turn works, and what is promised.
#[doc = include_str!("guide.md")]
pub mod guide {
    #[doc = include_str!("work.md")]
    pub mod work {}

    #[doc = include_str!("bytes.md")]
    pub mod bytes {}
}

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
