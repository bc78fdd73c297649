//! `SendSleep`: a sleep whose type is `Send`, which works on its loop's thread only.

mod support;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use loopline::Handle;
use loopline::time::{self, SendSleep, sleep};
use support::{block_on, block_on_paused};

async fn poll_once(sleep: &mut SendSleep) -> Poll<()> {
    let mut sleep = pin!(sleep);
    std::future::poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx))).await
}

#[test]
fn it_ends_at_the_deadline_of_the_sleep_it_was() {
    block_on_paused(async {
        let start = time::now();
        let sleep: Pin<Box<dyn Future<Output = ()> + Send + Sync>> =
            Box::pin(sleep(Duration::from_secs(7)).into_send());
        sleep.await;
        assert_eq!(time::now() - start, Duration::from_secs(7));
    });
}

#[test]
fn an_armed_timer_goes_along_and_a_reset_moves_it() {
    block_on_paused(async {
        let handle = Handle::<()>::try_current().unwrap();
        let start = time::now();
        let mut armed = sleep(Duration::from_secs(7));
        let first = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut armed).poll(cx))).await;
        assert!(first.is_pending());
        let mut sent = armed.into_send();
        assert_eq!(handle.stats().timers, 1);
        assert!(poll_once(&mut sent).await.is_pending());
        sent.reset(start + Duration::from_secs(9));
        assert_eq!(handle.stats().timers, 1);
        sent.await;
        assert_eq!(time::now() - start, Duration::from_secs(9));
        assert_eq!(handle.stats().timers, 0);
    });
}

#[test]
fn dropped_at_home_it_frees_its_timer() {
    block_on(async {
        let handle = Handle::<()>::try_current().unwrap();
        let mut sent = sleep(Duration::from_secs(3600)).into_send();
        assert!(poll_once(&mut sent).await.is_pending());
        assert_eq!(handle.stats().timers, 1);
        drop(sent);
        assert_eq!(handle.stats().timers, 0);
    });
}

#[test]
fn on_another_thread_it_panics_when_polled_even_if_a_loop_runs_there() {
    block_on(async {
        for a_loop_there in [false, true] {
            let sent = sleep(Duration::ZERO).into_send();
            let there = std::thread::spawn(move || {
                let mut sent = sent;
                let mut poll = || {
                    let _ = Pin::new(&mut sent).poll(&mut Context::from_waker(Waker::noop()));
                };
                if a_loop_there { block_on(async { poll() }) } else { poll() }
            });
            let payload = there.join().unwrap_err();
            let text = payload.downcast_ref::<&str>().unwrap();
            assert!(text.contains("or is another thread's"), "{text}");
        }
    });
}

#[test]
fn on_another_thread_a_reset_does_nothing() {
    block_on_paused(async {
        let start = time::now();
        for armed in [false, true] {
            let mut sent = sleep(Duration::from_secs(7)).into_send();
            if armed {
                assert!(poll_once(&mut sent).await.is_pending());
            }
            let there = std::thread::spawn(move || {
                sent.reset(Instant::now());
                sent
            });
            there.join().unwrap().await;
        }
        assert_eq!(time::now() - start, Duration::from_secs(14));
    });
}
