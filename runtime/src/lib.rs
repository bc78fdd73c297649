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
//! # A turn
//!
//! ```text
//!         ┌── before-park streams, before every wait, a zero one too; what they queue makes the timeout 0
//!  park   │   timeout = 0 if anything is queued or left ready, else until the next deadline
//!         │   PARKED, re-check the inbox, wait here and only here; EINTR retries with the remaining time
//!         ├── `now` is refreshed; poller events -> readiness -> item numbers (no user code);
//!         │   then after-park streams, before other user code
//! collect │   due timers, in (deadline, insertion) order     (no user code; foreign wakers are called after all borrows end)
//!         │   inbox from other threads, bounded              (no user code)
//!   run   │   rounds: a round is what was queued when it began, FIFO, lane by lane; an item runs at most once
//!         │   a round. Rounds follow without touching the poller until the queue is empty, or the check every
//!         │   64 items finds 50 us gone or a timer due, or 1,024 items have run.
//!         │   (Paused or seeded clock: only the count.)
//!   idle  └── idle items, only if nothing is queued, told how long they have
//! ```
//!
//! Callbacks and tasks are items alike; [`callback::before_park`], [`callback::after_park`] and
//! [`callback::idle`] are the observers of its phases. What is promised of it, and which test in `tests/`
//! stands for each:
//!
//! | promised | test |
//! |---|---|
//! | the phases come in this order | `a_turn_goes_through_its_phases_in_the_order_that_is_drawn` |
//! | before-park and after-park streams stand around every wait like brackets, also one of no length, or that fails, or in which another of them panics | `before_park_and_after_park_stand_around_every_wait_like_brackets`, `whatever_ends_the_wait_every_announcement_is_answered` |
//! | what is queued before the wait makes it a mere look | `what_before_park_queues_is_run_without_waiting` |
//! | idle streams fire when nothing else is queued, and starve nobody | `idle_fires_when_nothing_is_queued_and_does_not_starve_the_rest` |
//! | items run in the order in which they were woken, at most once a round | `an_item_runs_once_a_round_also_when_it_cancels_another_of_that_round`, `wakes_between_two_turns_on_the_loops_own_thread_keep_their_order`, `random_operations_on_a_loop_do_what_the_model_does` |
//! | equal deadlines fire in the order in which they were set | `callbacks_of_one_instant_run_in_the_order_in_which_their_timers_were_set` |
//! | a timer is never early | `of_ten_thousand_random_sleeps_none_ends_early` |
//! | messages of one sender stay in order; among sources there is no order, but in one lane that of their wakes | `messages_of_each_of_many_threads_stay_in_their_order_whatever_the_channel` |
//! | within a lane all is as without lanes; a full one delays the others by a stated bound | `callbacks_in_a_full_lane_keep_their_order_and_let_those_of_another_through`, `a_flooded_lane_delays_another_by_no_more_than_the_stated_bound` |
//! | what is cancelled never runs again, whatever is queued for it | `a_source_that_was_removed_while_it_was_queued_never_runs` |
//! | a source or timer inserted runs in the next turn at the earliest, a task in the next round | `sources_inserted_in_a_callback_run_in_the_next_turn_at_the_earliest`, `a_source_inserted_by_a_task_runs_in_the_next_turn_and_a_task_in_this_one` |
//! | `defer` runs at the head of the next round, `next_turn` in the next turn | `what_was_deferred_runs_at_the_head_of_the_next_round_in_order`, `next_turn_waits_for_a_look_at_the_poller_however_much_is_queued` |
//! | a paused item loses no event | `a_descriptor_is_told_after_the_pause_whatever_its_trigger`, `channels_pings_futures_and_connections_are_told_after_the_pause`, `a_timer_that_comes_due_during_a_pause_fires_after_it_and_says_how_late` |
//! | however busy the loop, poller, timers and other threads are looked at within the numbers above | `a_callback_of_a_flooded_socket_lets_others_through`, `a_turn_ends_after_1024_items_where_time_does_not_end_it` |
//! | `stop`, wakes and pings are remembered, whenever they come | `stop_before_a_run_ends_it_after_one_turn`, `a_wake_at_home_between_turns_ends_the_next_wait` |
//! | callbacks and tasks are the same thing | `callbacks_tasks_and_a_mix_of_both_leave_one_identical_trace` |
//! | a turn costs nothing for descriptors that are silent | `a_turn_costs_the_same_with_nineteen_thousand_idle_descriptors` |
//!
//! # Ownership
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
mod item_builder;
mod lane;
mod panics;
mod per_core;
mod remote;
mod shutdown;
mod spawn;
pub mod time;

// What users await, call back and hold.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod boot;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "boot/absent.rs"]
mod boot;
pub mod callback;
mod cancellation;
mod channel;
mod closing;
mod closing_wait;
mod controlled;
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
mod timer;
mod yield_now;

// One loop: its insides, how the thread finds it, what happens to its items.
mod background;
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
mod watchdog;

// Wakes, and who waits for them.
mod inbox;
mod mailbox;
mod outside;
mod run_queue;
mod running;
mod wait_list;
mod waiters;
mod waits;
mod wake;

// Leaves.
pub mod budget;
mod chance;
mod clock;
mod config;
mod counted;
mod fork;
mod host;
mod insert_error;
mod item;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod kernel;
mod labels;
mod locals;
#[cfg(loopline_mischief)]
#[doc(hidden)]
pub mod mischief;
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
pub use handle::Handle;
pub use insert_error::{InsertError, InsertErrorKind};
pub use item::TaskId;
pub use item_builder::ItemBuilder;
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
pub use watchdog::{Blocked, Watchdog};
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
