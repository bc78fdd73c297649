//! Channels between two tasks of one thread, written once for all libraries.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::task::Poll;

use super::{rounds, yield_once};
use crate::measure::Plan;
use crate::peer::Peer;
use crate::program::Asked;

/// The channels of one library, for numbers and for senders of answers.
pub trait Channels: 'static {
    type Sender: Clone + 'static;
    type Receiver: 'static;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, message: u64) -> impl Future<Output = ()>;
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>>;
}

/// Channels without a capacity.
pub trait Unbounded: 'static {
    type Sender<T: 'static>: 'static;
    type Receiver<T: 'static>: 'static;

    fn unbounded<T: 'static>() -> (Self::Sender<T>, Self::Receiver<T>);
    fn send<T: 'static>(sender: &Self::Sender<T>, message: T);
    fn recv<T: 'static>(receiver: &mut Self::Receiver<T>) -> impl Future<Output = Option<T>>;
}

/// Channels for one number.
pub trait Oneshot: 'static {
    type Sender: 'static;
    type Receiver: Future + 'static;

    fn oneshot() -> (Self::Sender, Self::Receiver);
    fn answer(sender: Self::Sender, message: u64);
}

/// The traits above for one library, for libraries whose names are alike: the bounded channel's module, the
/// unbounded one's types, the oneshot's module.
#[macro_export]
macro_rules! channels {
    ($library:ident, $($mpsc:ident)::*, ($sender:path, $receiver:path, $channel:expr), $($oneshot:ident)::*) => {
        impl $crate::work::channel::Channels for $library {
            type Sender = $($mpsc)::*::Sender<u64>;
            type Receiver = $($mpsc)::*::Receiver<u64>;

            #[inline]
            fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
                $($mpsc)::*::channel(capacity)
            }

            #[inline]
            async fn send(sender: &Self::Sender, message: u64) {
                sender.send(message).await.ok().expect("the receiver lives");
            }

            #[inline]
            fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>> {
                receiver.recv()
            }
        }

        impl $crate::work::channel::Oneshot for $library {
            type Sender = $($oneshot)::*::Sender<u64>;
            type Receiver = $($oneshot)::*::Receiver<u64>;

            #[inline]
            fn oneshot() -> (Self::Sender, Self::Receiver) {
                $($oneshot)::*::channel()
            }

            #[inline]
            fn answer(sender: Self::Sender, message: u64) {
                sender.send(message).expect("the receiver lives");
            }
        }

        $crate::unbounded!($library, $sender, $receiver, $channel);
    };
}

/// [`Unbounded`] alone.
#[macro_export]
macro_rules! unbounded {
    ($library:ident, $sender:path, $receiver:path, $channel:expr) => {
        impl $crate::work::channel::Unbounded for $library {
            type Sender<T: 'static> = $sender;
            type Receiver<T: 'static> = $receiver;

            #[inline]
            fn unbounded<T: 'static>() -> (Self::Sender<T>, Self::Receiver<T>) {
                $channel
            }

            #[inline]
            fn send<T: 'static>(sender: &Self::Sender<T>, message: T) {
                sender.send(message).ok().expect("the receiver lives");
            }

            #[inline]
            fn recv<T: 'static>(
                receiver: &mut Self::Receiver<T>,
            ) -> impl Future<Output = Option<T>> {
                receiver.recv()
            }
        }
    };
}

/// `channel:CAPACITY`, `channel_unbounded`, `oneshot`, `oneshot_request`, `oneshot_alone`.
pub fn run<P: Peer, C: Channels + Unbounded + Oneshot>(asked: &Asked) -> bool {
    let plan = asked.plan;
    match asked.case.as_str() {
        "channel" => bounded::<P, C>(plan, asked.parameter),
        "oneshot" => oneshot::<P, C>(plan),
        "oneshot_request" => request::<P, C>(plan),
        "oneshot_alone" => oneshot_alone::<P, C>(plan),
        _ => return run_unbounded::<P, C>(asked),
    }
    true
}

/// `channel_unbounded`, for a library that has no other.
pub fn run_unbounded<P: Peer, C: Unbounded>(asked: &Asked) -> bool {
    if asked.case != "channel_unbounded" {
        return false;
    }
    unbounded::<P, C>(asked.plan);
    true
}

/// One task sends, one receives.
fn bounded<P: Peer, C: Channels>(plan: Plan, capacity: usize) {
    rounds::<P, _>(plan, move |peer, operations| async move {
        let (sender, mut receiver) = C::bounded(capacity);
        let sending = peer.spawn(async move {
            for n in 0..operations as u64 {
                C::send(&sender, n).await;
            }
            0
        });
        let receiving = peer.spawn(async move {
            let mut sum = 0;
            while let Some(n) = C::recv(&mut receiver).await {
                sum += n;
            }
            black_box(sum)
        });
        sending.await;
        receiving.await;
    });
}

/// One task sends and lets the other run every 64 messages.
fn unbounded<P: Peer, C: Unbounded>(plan: Plan) {
    rounds::<P, _>(plan, move |peer, operations| async move {
        let (sender, mut receiver) = C::unbounded::<u64>();
        let sending = peer.spawn(async move {
            for n in 0..operations as u64 {
                C::send(&sender, n);
                if n % 64 == 63 {
                    yield_once().await;
                }
            }
            0
        });
        let receiving = peer.spawn(async move {
            let mut sum = 0;
            while let Some(n) = C::recv(&mut receiver).await {
                sum += n;
            }
            black_box(sum)
        });
        sending.await;
        receiving.await;
    });
}

/// One task asks and awaits, the other answers; each question is a oneshot sender in a channel of the same
/// library.
fn request<P: Peer, C: Unbounded + Oneshot>(plan: Plan) {
    rounds::<P, _>(plan, move |peer, operations| async move {
        let (sender, mut receiver) = <C as Unbounded>::unbounded::<<C as Oneshot>::Sender>();
        let answering = peer.spawn(async move {
            let mut answers = 0;
            while let Some(answer) = C::recv(&mut receiver).await {
                C::answer(answer, answers);
                answers += 1;
            }
            answers
        });
        let asking = peer.spawn(async move {
            for _ in 0..operations {
                let (answer, answered) = C::oneshot();
                <C as Unbounded>::send(&sender, answer);
                black_box(answered.await);
            }
            0
        });
        asking.await;
        answering.await;
    });
}

/// A task awaits the answer of another that it spawns for it.
fn oneshot<P: Peer, C: Oneshot>(plan: Plan) {
    rounds::<P, _>(plan, move |peer, operations| async move {
        for n in 0..operations as u64 {
            let (answer, answered) = C::oneshot();
            peer.detach(async move {
                C::answer(answer, n);
                n
            });
            black_box(answered.await);
        }
    });
}

/// A channel is made, waited at, answered and read, all by one task: the channel alone.
fn oneshot_alone<P: Peer, C: Oneshot>(plan: Plan) {
    rounds::<P, _>(plan, move |_, operations| async move {
        for n in 0..operations as u64 {
            let (answer, answered) = C::oneshot();
            let mut answered = pin!(answered);
            poll_fn(|cx| Poll::Ready(assert!(answered.as_mut().poll(cx).is_pending()))).await;
            C::answer(answer, n);
            black_box(answered.await);
            if n % 64 == 63 {
                yield_once().await;
            }
        }
    });
}
