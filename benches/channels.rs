//! What does a message between two tasks of one loop cost?
//!
//! Measured: a send, a receive, and the wakes and polls that the capacity makes necessary: two of each
//! for every message at capacity 1, two for 64 messages at 64. Left out: making the channel, but for
//! `oneshot`, where that is an allocation for each; the poller, but for one look in 1,024 polls.
//!
//! Run: `cargo bench --bench channels`

mod support;

use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use loopline::sync::{mpsc, oneshot};
use support::{Suite, thread_cpu, yield_once};

/// Runs the tasks of a case, and returns what that took.
fn timed_on_loop(suite: &Suite, work: impl Future<Output = ()> + 'static) -> Duration {
    let all = async {
        let began = thread_cpu();
        loopline::spawn(work).await.expect("it ends");
        thread_cpu() - began
    };
    suite.event_loop::<()>().block_on(all).expect("nothing stops the loop")
}

/// Receives everything.
async fn receive(mut receiver: mpsc::Receiver<u64>) {
    let mut sum = 0;
    while let Some(n) = receiver.recv().await {
        sum += n;
    }
    black_box(sum);
}

async fn bounded(capacity: usize, messages: usize) {
    let (sender, receiver) = mpsc::channel(capacity);
    let receiving = loopline::spawn(receive(receiver));
    for n in 0..messages as u64 {
        sender.send(n).await.expect("the receiver lives");
    }
    drop(sender);
    receiving.await.expect("it ends");
}

/// As `bounded`, with a permit for each message.
async fn reserved(capacity: usize, messages: usize) {
    let (sender, receiver) = mpsc::channel(capacity);
    let receiving = loopline::spawn(receive(receiver));
    for n in 0..messages as u64 {
        sender.reserve().await.expect("the receiver lives").send(n);
    }
    drop(sender);
    receiving.await.expect("it ends");
}

/// The receiver runs every 64 messages.
async fn unbounded(messages: usize) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let receiving = loopline::spawn(async move {
        let mut sum = 0;
        while let Some(n) = receiver.recv().await {
            sum += n;
        }
        black_box(sum);
    });
    for n in 0..messages as u64 {
        sender.send(n).expect("the receiver lives");
        if n % 64 == 63 {
            yield_once().await;
        }
    }
    drop(sender);
    receiving.await.expect("it ends");
}

/// 8 senders wait in line for one place.
async fn crowded(messages: usize) {
    let (sender, receiver) = mpsc::channel(1);
    let receiving = loopline::spawn(receive(receiver));
    for _ in 0..8 {
        let sender = sender.clone();
        loopline::spawn(async move {
            for n in 0..messages as u64 / 8 {
                sender.send(n).await.expect("the receiver lives");
            }
        });
    }
    drop(sender);
    receiving.await.expect("it ends");
}

/// Awaits an answer of another task, which gets the questions by a channel.
async fn request(messages: usize) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<oneshot::Sender<u64>>();
    let answering = loopline::spawn(async move {
        let mut answers = 0;
        while let Some(answer) = receiver.recv().await {
            answer.send(answers).expect("it is waited for");
            answers += 1;
        }
    });
    for _ in 0..messages {
        let (answer, answered) = oneshot::channel();
        sender.send(answer).expect("the receiver lives");
        black_box(answered.await.expect("an answer"));
    }
    drop(sender);
    answering.await.expect("it ends");
}

/// The channel alone: made, waited at, answered and read by one task.
async fn alone(messages: usize) {
    for n in 0..messages as u64 {
        let (answer, answered) = oneshot::channel();
        let mut answered = pin!(answered);
        let waits = poll_fn(|cx| Poll::Ready(answered.as_mut().poll(cx).is_pending())).await;
        assert!(waits);
        answer.send(n).expect("it is waited for");
        black_box(answered.await.expect("an answer"));
        if n % 64 == 63 {
            yield_once().await;
        }
    }
}

fn main() {
    let suite = Suite::new("ns CPU per message");
    suite.case("capacity 1", 500_000, |n| timed_on_loop(&suite, bounded(1, n)));
    suite.case("capacity 64", 2_000_000, |n| timed_on_loop(&suite, bounded(64, n)));
    suite.case("capacity 64, a permit each", 2_000_000, |n| timed_on_loop(&suite, reserved(64, n)));
    suite.case("unbounded", 2_000_000, |n| timed_on_loop(&suite, unbounded(n)));
    suite.case("8 senders, capacity 1", 500_000, |n| timed_on_loop(&suite, crowded(n)));
    suite.case("oneshot, request and answer", 500_000, |n| timed_on_loop(&suite, request(n)));
    suite.case("oneshot alone", 1_000_000, |n| timed_on_loop(&suite, alone(n)));
}
