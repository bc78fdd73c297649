//! Sets of tasks.

use std::hint::black_box;

use super::rounds;
use crate::peer::Sets;
use crate::program::Asked;

/// `joinset:N`: N tasks are put into a set and taken out as they end; an operation is one task.
pub fn run<P: Sets>(asked: &Asked) -> bool {
    if asked.case != "joinset" {
        return false;
    }
    let batch = asked.parameter;
    rounds::<P, _>(asked.plan, move |peer, operations| async move {
        for _ in 0..operations / batch {
            let mut set = P::Set::default();
            for n in 0..batch as u64 {
                peer.add(&mut set, async move { black_box(n) });
            }
            while let Some(n) = P::next(&mut set).await {
                black_box(n);
            }
        }
    });
    true
}
