//! The same workloads on Loopline and on its peers.
//!
//! - `peer`: what a runtime has to offer to be measured, one trait for each kind of work.
//! - `work`: the workloads, each written once against those traits.
//! - `bin/on-NAME.rs`: one program for each peer, which implements the traits in the shape in which that
//!   runtime is at its best, and serves echo as one would write it there.
//! - `../ours`: the same for Loopline, and hyper's hello world.
//! - `bin/load.rs`: the client of the servers.
//! - `program`: the command line of all `on-NAME`. `measure`: clocks and rounds.
//!
//! `../run` starts them and compares.

pub mod callback;
pub mod echo;
pub mod measure;
pub mod peer;
pub mod program;
pub mod work;
