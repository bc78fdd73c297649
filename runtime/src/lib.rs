//! The event loop of [Loopline](https://docs.rs/loopline): items, wakers, timers and callbacks on one
//! thread. Most programs depend on `loopline`, which adds sockets and the entry macros; this crate
//! alone is for those that want only the loop.
//!
//! # How it is built
//!
//! A loop runs turns: it parks in the poller, collects what happened as item numbers, and runs the
//! items. The modules below stand in the order in which a newcomer should read them, from the outside in;
//! `tests/tidy.rs` holds the exact levels, each of which imports only from lower ones.
//!
//! One readiness event goes down once and up once. `event_loop` calls `turn`, which computes how long
//! it may wait and lets `reactor` park. An event's token finds a ledger; its bits are set and its waiter
//! taken out. `wake` turns the waiter into a slot of the `run_queue`. The turn's round pops the slot,
//! `items` polls what is in it, `task` polls the future, the future's read finds its ledger ready, and
//! the line after `.await` runs; or the closure of a `callback`, which is a task like any other.
//!
//! Who owns what: `Shared` is everything of one loop. Tasks own their futures and outputs, the loop owns
//! the tasks, handles share them. Wakers own nothing: they are numbers. Timers, ledgers and phases hold
//! wakers, never pointers into futures.

#![cfg_attr(docsrs, feature(doc_cfg))]

// Made and run.
mod builder;
mod entry;
mod event_loop;
mod guest;
mod turn;

// Front doors.
mod blocking;
mod handle;
mod lane;
mod per_core;
mod remote;
mod shutdown;
mod spawn;
pub mod time;

// What users await, call back and hold.
pub mod callback;
mod cancellation;
mod channel;
mod closing;
mod closing_wait;
mod interval;
mod join;
mod join_set;
mod macros;
mod once;
mod phase;
mod race;
pub mod registration;
mod scope;
mod sleep;
mod straggler;
pub mod sync;
mod timeout;
mod yield_now;

// One loop: its insides, how the thread finds it, what happens to its items.
mod current;
mod deadlock;
mod hosting;
mod items;
mod shared;

// Parts that know nothing of the loop.
mod phases;
mod pool;
mod reactor;
mod task;
mod timers;

// Wakes, and who waits for them.
mod inbox;
mod mailbox;
mod outside;
mod run_queue;
mod wait_list;
mod waiters;
mod waits;
mod wake;

// Leaves.
pub mod budget;
mod chance;
mod clock;
mod config;
mod fork;
mod host;
mod insert_error;
mod item;
mod labels;
mod locals;
mod segments;
mod state;

pub use blocking::spawn_blocking;
pub use builder::Builder;
pub use cancellation::{
    CancellationToken, DropGuard, DropGuardRef, WaitForCancellationFuture,
    WaitForCancellationFutureOwned,
};
pub use clock::Clock;
pub use closing_wait::closing;
pub use config::{PanicPolicy, Stats};
pub use current::CurrentError;
pub use deadlock::{Deadlock, Wait};
pub use entry::block_on;
pub use event_loop::{EventLoop, RunError, Turn};
pub use guest::{Guest, Prepared, Until};
pub use handle::{Handle, ItemBuilder};
pub use insert_error::{InsertError, InsertErrorKind};
pub use item::TaskId;
pub use join::{Cancelled, Control, JoinError, JoinHandle};
pub use join_set::JoinSet;
pub use lane::{Lane, LaneError};
pub use locals::{AccessError, LocalKey, TaskLocalFuture};
pub use per_core::{Core, PerCore, per_core};
pub use race::race;
pub use remote::{Remote, RemoteJoin, WaitError};
pub use scope::{Child, ChildBuilder, Graced, Graceful, Scope, Scoped, scope, try_scope};
pub use spawn::{spawn, try_spawn_background};
pub use state::StateError;
pub use straggler::Straggler;
pub use yield_now::{need_yield, yield_now};

/// What the macros expand to; not for anybody else.
#[doc(hidden)]
pub mod __private {
    pub use std::future::{Future, IntoFuture, poll_fn};
    pub use std::option::Option::Some;
    pub use std::pin::pin;
    pub use std::result::Result::Ok;
    pub use std::task::{Poll, ready};
    pub use std::{compile_error, panic, unreachable};

    pub use crate::entry::{TestOptions, main, test};
    pub use crate::locals::new as local_key;
    pub use crate::macros::{
        Branch, FairTurns, FirstAlways, any_branch, branch, first_branch, poll_budget, round,
    };
}
