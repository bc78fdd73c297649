//! Channels between two tasks of one thread, written once for all libraries.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::task::Poll;

use crate::measure::{Plan, thread_cpu};
use crate::peer::Peer;

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

pub struct Ours;
pub struct Tokio;
pub struct LocalSync;
pub struct LocalChannel;

macro_rules! channels {
    ($library:ident, $($mpsc:ident)::*) => {
        impl Channels for $library {
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

        impl Oneshot for $library {
            type Sender = oneshots::$library::Sender<u64>;
            type Receiver = oneshots::$library::Receiver<u64>;

            #[inline]
            fn oneshot() -> (Self::Sender, Self::Receiver) {
                oneshots::$library::channel()
            }

            #[inline]
            fn answer(sender: Self::Sender, message: u64) {
                sender.send(message).expect("the receiver lives");
            }
        }
    };
}

mod local_bounded {
    pub use local_sync::mpsc::bounded::{Rx as Receiver, Tx as Sender, channel};
}

mod oneshots {
    #![allow(non_snake_case)]
    pub use local_sync::oneshot as LocalSync;
    pub use loopline::sync::oneshot as Ours;
    pub use tokio::sync::oneshot as Tokio;
}

channels!(Ours, loopline::sync::mpsc);
channels!(Tokio, tokio::sync::mpsc);
channels!(LocalSync, local_bounded);

macro_rules! unbounded {
    ($library:ident, $sender:path, $receiver:path, $channel:expr) => {
        impl Unbounded for $library {
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

unbounded!(
    Ours,
    loopline::sync::mpsc::UnboundedSender<T>,
    loopline::sync::mpsc::UnboundedReceiver<T>,
    loopline::sync::mpsc::unbounded_channel()
);
unbounded!(
    Tokio,
    tokio::sync::mpsc::UnboundedSender<T>,
    tokio::sync::mpsc::UnboundedReceiver<T>,
    tokio::sync::mpsc::unbounded_channel()
);
unbounded!(
    LocalSync,
    local_sync::mpsc::unbounded::Tx<T>,
    local_sync::mpsc::unbounded::Rx<T>,
    local_sync::mpsc::unbounded::channel()
);
unbounded!(
    LocalChannel,
    local_channel::mpsc::Sender<T>,
    local_channel::mpsc::Receiver<T>,
    local_channel::mpsc::channel()
);

/// Runs `work` for each round, in a task, and reports what a message took.
fn rounds<P: Peer, F>(plan: Plan, work: impl Fn(P, usize) -> F + 'static)
where
    F: Future<Output = ()> + 'static,
{
    P::run(move |peer| async move {
        for counted in plan.rounds() {
            let began = thread_cpu();
            work(peer, plan.operations).await;
            plan.report(counted, thread_cpu() - began);
        }
    });
}

/// One task sends, one receives.
pub fn bounded<P: Peer, C: Channels>(plan: Plan, capacity: usize) {
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
pub fn unbounded<P: Peer, C: Unbounded>(plan: Plan) {
    rounds::<P, _>(plan, move |peer, operations| async move {
        let (sender, mut receiver) = C::unbounded::<u64>();
        let sending = peer.spawn(async move {
            for n in 0..operations as u64 {
                C::send(&sender, n);
                if n % 64 == 63 {
                    crate::task::yield_once().await;
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
pub fn request<P: Peer, C: Unbounded + Oneshot>(plan: Plan) {
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
pub fn oneshot<P: Peer, C: Oneshot>(plan: Plan) {
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
pub fn oneshot_alone<P: Peer, C: Oneshot>(plan: Plan) {
    rounds::<P, _>(plan, move |_, operations| async move {
        for n in 0..operations as u64 {
            let (answer, answered) = C::oneshot();
            let mut answered = pin!(answered);
            poll_fn(|cx| Poll::Ready(assert!(answered.as_mut().poll(cx).is_pending()))).await;
            C::answer(answer, n);
            black_box(answered.await);
            if n % 64 == 63 {
                crate::task::yield_once().await;
            }
        }
    });
}
