//! A seed permutes what is not promised, the same way each time; what is promised stays as it is.
#![cfg(unix)] // descriptors and their options

mod support;

use std::cell::RefCell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::rc::Rc;
use std::task::Waker;
use std::thread;
use std::time::Duration;

use loopline::callback::{Next, channel};
use loopline::io::{FdSource, Interest};
use loopline::time::{self, sleep, sleep_until};
use support::{TestLoop, closes_clean, event_loop, nothing_left_here, seeded};

const COUNT: usize = 32;

fn in_order() -> Vec<usize> {
    (0..COUNT).collect()
}

/// The order in which sources that are ready in one poll are called.
fn order_of_events(mut event_loop: TestLoop<Vec<usize>>) -> Vec<usize> {
    let mut seen = Vec::new();
    let mut ends = Vec::new();
    for n in 0..COUNT {
        let (near, far) = UnixStream::pair().unwrap();
        ends.push(far);
        let source = FdSource::new(near, Interest::READABLE);
        let insert = event_loop.handle().insert(source, move |_, _, seen: &mut Vec<usize>| {
            seen.push(n);
            Next::Stop
        });
        drop(insert.unwrap());
    }
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    ends.iter_mut().for_each(|far| far.write_all(b"x").unwrap());
    event_loop.run(&mut seen).unwrap();
    closes_clean(event_loop);
    seen
}

#[test]
fn sources_ready_in_one_poll_run_in_an_order_of_the_seed() {
    let plain = event_loop();
    if plain.handle().seed().is_none() {
        assert_eq!(order_of_events(plain), in_order(), "as they became ready");
    } else {
        closes_clean(plain);
    }
    let orders: Vec<_> = (1..=5).map(|seed| order_of_events(seeded(seed))).collect();
    for (n, order) in orders.iter().enumerate() {
        assert_eq!(*order, order_of_events(seeded(n as u64 + 1)), "the same seed, the same order");
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, in_order(), "none lost, none twice");
        assert_ne!(*order, in_order());
    }
    assert_ne!(orders[0], orders[1], "another seed, another order");
}

/// The order in which tasks run that another thread woke while the loop did not look.
fn order_of_wakes(mut event_loop: TestLoop<Vec<usize>>) -> Vec<usize> {
    let handle = event_loop.handle();
    let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
    for n in 0..COUNT {
        let wakers = wakers.clone();
        let mut first = true;
        handle.spawn(async move {
            std::future::poll_fn(|cx| {
                wakers.borrow_mut().push(cx.waker().clone());
                match std::mem::take(&mut first) {
                    true => std::task::Poll::Pending,
                    false => std::task::Poll::Ready(()),
                }
            })
            .await;
            handle.with(|seen| seen.push(n));
        });
    }
    let mut seen = Vec::new();
    event_loop.turn(&mut seen, Duration::ZERO).unwrap();
    let woken = wakers.take();
    thread::spawn(move || woken.into_iter().rev().for_each(Waker::wake)).join().unwrap();
    event_loop.run(&mut seen).unwrap();
    closes_clean(event_loop);
    seen
}

#[test]
fn wakes_from_other_threads_run_in_an_order_of_the_seed() {
    let order = order_of_wakes(seeded(11));
    assert_eq!(order, order_of_wakes(seeded(11)));
    assert_ne!(order, order_of_wakes(seeded(12)));
    let mut sorted = order;
    sorted.sort_unstable();
    assert_eq!(sorted, in_order());
}

// contract 29
#[test]
fn a_seed_leaves_alone_what_is_promised() {
    for seed in 0..20 {
        let mut event_loop = seeded::<Vec<usize>>(seed);
        let handle = event_loop.handle();
        let mut seen = Vec::new();
        // Tasks spawned and woken at home.
        for n in 0..COUNT {
            handle.spawn(async move {
                loopline::yield_now().await;
                handle.with(|seen| seen.push(n));
            });
        }
        event_loop.run(&mut seen).unwrap();
        assert_eq!(std::mem::take(&mut seen), in_order(), "home wakes");
        // Messages of one sender.
        let (sender, receiver) = channel();
        let insert = handle.insert(receiver, |n, _, seen: &mut Vec<usize>| {
            seen.push(n);
            Next::Keep
        });
        drop(insert.unwrap());
        let thread = thread::spawn(move || (0..COUNT).for_each(|n| sender.send(n).unwrap()));
        event_loop.run(&mut seen).unwrap();
        thread.join().unwrap();
        assert_eq!(std::mem::take(&mut seen), in_order(), "messages of one sender");
        // Equal deadlines.
        let deadlines = async {
            let deadline = time::now() + Duration::from_millis(2);
            for n in 0..COUNT {
                handle.spawn(async move {
                    sleep_until(deadline).await;
                    handle.with(|seen| seen.push(n));
                });
            }
            sleep(Duration::from_millis(4)).await;
        };
        event_loop.run_until(&mut seen, deadlines).unwrap();
        event_loop.run(&mut seen).unwrap();
        assert_eq!(seen, in_order(), "equal deadlines");
        closes_clean(event_loop);
    }
}

/// Which seed the loops of this process get; printed for `a_seed_comes_from_the_environment`.
#[test]
fn seed_of_this_process() {
    let event_loop = event_loop::<()>();
    println!("seed {:?}", event_loop.handle().seed());
    closes_clean(event_loop);
}

#[loopline::test(shuffle)]
async fn a_shuffled_test_prints_its_seed() {
    assert!(loopline::Handle::<()>::try_current().unwrap().seed().is_some());
    nothing_left_here();
}

#[loopline::test(shuffle = 0x2a)]
async fn a_test_may_fix_its_seed() {
    assert_eq!(loopline::Handle::<()>::try_current().unwrap().seed(), Some(42));
    nothing_left_here();
}

/// Runs one test of this file with a seed in the environment; returns what it printed.
fn run_with_seed(test: &str, seed: &str) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("LOOPLINE_SEED", seed);
    let done = command.output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    (done.status.success(), text.into_owned())
}

#[test]
fn a_seed_comes_from_the_environment() {
    for (seed, wanted) in [("7", "seed Some(7)"), ("0xff", "seed Some(255)")] {
        let (passed, text) = run_with_seed("seed_of_this_process", seed);
        assert!(passed && text.contains(wanted), "{text}");
    }
    let (passed, text) = run_with_seed("a_shuffled_test_prints_its_seed", "99");
    assert!(passed && text.contains("LOOPLINE_SEED=99"), "{text}");
    let (passed, text) = run_with_seed("seed_of_this_process", "lucky");
    assert!(!passed && text.contains("write a number, decimal or 0x-prefixed"), "{text}");
}
