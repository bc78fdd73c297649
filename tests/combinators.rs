//! The futures crate's combinators run here, with wakers of their own.

mod support;

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use loopline::{JoinHandle, spawn, yield_now};
use support::{block_on, block_on_paused, scaled};

// contract 34
#[test]
fn futures_unordered_runs_here() {
    let outputs = block_on_paused(async {
        let mut all: FuturesUnordered<_> = (0..100_u64)
            .map(|n| async move {
                loopline::time::sleep(Duration::from_millis(100 - n)).await;
                yield_now().await;
                n
            })
            .collect();
        let mut outputs = Vec::new();
        while let Some(n) = all.next().await {
            outputs.push(n);
        }
        outputs
    });
    assert_eq!(outputs, (0..100).rev().collect::<Vec<_>>());
}

// contract 34, 27
#[test]
fn futures_unordered_of_handles_runs_here() {
    let sum = block_on(async {
        let all: FuturesUnordered<JoinHandle<usize>> = (0..scaled(10_000))
            .map(|n| {
                spawn(async move {
                    yield_now().await;
                    n
                })
            })
            .collect();
        all.fold(0, async |sum, n| sum + n.unwrap()).await
    });
    let many = scaled(10_000);
    assert_eq!(sum, many * (many - 1) / 2);
}

// contract 34
#[test]
fn join_all_and_select_run_here() {
    block_on_paused(async {
        let sleeps = (1..=10).map(|n| async move {
            loopline::time::sleep(Duration::from_secs(n)).await;
            n
        });
        assert_eq!(futures::future::join_all(sleeps).await, (1..=10).collect::<Vec<_>>());

        let slow = Box::pin(loopline::time::sleep(Duration::from_secs(2)));
        let task = spawn(async {
            loopline::time::sleep(Duration::from_secs(1)).await;
            "task"
        });
        match futures::future::select(slow, task).await {
            futures::future::Either::Left(_) => panic!("the shorter one comes first"),
            futures::future::Either::Right((output, slow)) => {
                assert_eq!(output.unwrap(), "task");
                slow.await;
            }
        }

        let mut first =
            Box::pin(futures::FutureExt::fuse(loopline::time::sleep(Duration::from_secs(1))));
        let mut second =
            Box::pin(futures::FutureExt::fuse(loopline::time::sleep(Duration::from_secs(2))));
        let mut order = Vec::new();
        loop {
            futures::select! {
                () = first => order.push("first"),
                () = second => order.push("second"),
                complete => break,
            }
        }
        assert_eq!(order, ["first", "second"]);
    });
}
