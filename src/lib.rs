#![doc = include_str!("../README.md")]

pub use loopline_runtime::{
    Builder, Cancelled, Clock, Control, CurrentError, EventLoop, Handle, InsertError,
    InsertErrorKind, ItemBuilder, JoinError, JoinHandle, PanicPolicy, Remote, RemoteJoin, RunError,
    StateError, Stats, TaskId, Turn, WaitError, block_on, spawn, spawn_blocking, task_local,
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
        AccessError, Cancelled, Control, JoinError, JoinHandle, LocalKey, TaskId, TaskLocalFuture,
        spawn, spawn_blocking, yield_now,
    };
}
