//! The same workloads on Loopline and on its peers.
//!
//! `task` holds the workloads, written once against the trait `Peer`; `peer` implements it for each
//! runtime, in the shape in which that runtime is at its best; `channel` compares channels; `foreign` holds what needs a second
//! thread; `echo` and `load` are the servers and the client, the program `http` another server. `measure` reads clocks.

pub mod channel;
pub mod echo;
pub mod foreign;
pub mod load;
pub mod measure;
pub mod peer;
pub mod task;
