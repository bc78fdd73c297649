//! The event loop of [Loopline](https://docs.rs/loopline): items, wakers, timers and callbacks on one
//! thread. Most programs depend on `loopline`, which adds sockets and the entry macros; this crate
//! alone is for those that want only the loop.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod event_loop;
mod turn;

mod builder;
pub mod callback;
mod current;
mod handle;
mod insert_error;
mod item;
mod items;
mod join;
mod remote;
mod shared;
mod spawn;
mod task;

mod inbox;
mod mailbox;
mod wake;

pub mod budget;
mod chance;
mod clock;
mod config;
mod labels;
mod phases;
mod reactor;
mod run_queue;
mod segments;
mod state;
mod timers;

mod channel;
mod entry;
mod interval;
mod phase;
pub mod registration;
mod sleep;
pub mod time;
mod timeout;
mod yield_now;

pub use builder::Builder;
pub use clock::Clock;
pub use config::{PanicPolicy, Stats};
pub use current::CurrentError;
pub use event_loop::{EventLoop, RunError, Turn, block_on};
pub use handle::{Handle, ItemBuilder};
pub use insert_error::{InsertError, InsertErrorKind};
pub use item::TaskId;
pub use join::{Cancelled, Control, JoinError, JoinHandle};
pub use remote::{Remote, RemoteJoin, WaitError};
pub use spawn::spawn;
pub use state::StateError;
pub use yield_now::yield_now;

/// What the macros expand to; not for anybody else.
#[doc(hidden)]
pub mod __private {
    pub use crate::entry::{TestOptions, main, test};
}
