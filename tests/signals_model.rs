//! Signals against a plain model: who subscribes, who is told, and what the process does without them.
#![cfg(unix)] // signals

mod support;

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use libc::c_int;
use loopline::signal::{SignalKind, Signals, signals};
use loopline::time::timeout;
use loopline::yield_now;
use support::{block_on, scaled};

const KINDS: [SignalKind; 3] =
    [SignalKind::user_defined1(), SignalKind::user_defined2(), SignalKind::window_change()];

/// What was there before: counts, whether somebody subscribes or not.
static BELOW: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

extern "C" fn below(signal: c_int) {
    let kind = KINDS.iter().position(|kind| kind.as_raw_value() == signal).unwrap();
    BELOW[kind].fetch_add(1, Ordering::Relaxed);
}

/// Random numbers, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// A subscriber, and what it must be told.
struct Modelled {
    signals: Signals,
    kinds: [bool; 3],
    pending: [bool; 3],
    given_back: bool,
}

impl Modelled {
    fn new(random: &mut Random) -> Self {
        let kinds = [(); 3].map(|()| random.below(2) == 0);
        let chosen = KINDS.into_iter().zip(kinds).filter(|(_, is_in)| *is_in);
        let signals = signals(chosen.map(|(kind, _)| kind)).unwrap();
        Self { signals, kinds, pending: [false; 3], given_back: false }
    }

    /// Polls once and compares.
    async fn look(&mut self) {
        // With a budget that is not used up.
        yield_now().await;
        let polled = poll_fn(|cx| Poll::Ready(self.signals.poll_recv(cx))).await;
        self.check(polled);
    }

    fn check(&mut self, polled: Poll<Option<SignalKind>>) {
        match polled {
            Poll::Ready(Some(kind)) => {
                let kind = KINDS.iter().position(|known| *known == kind).unwrap();
                assert!(std::mem::take(&mut self.pending[kind]), "told of what did not come");
            }
            Poll::Ready(None) => {
                assert!(self.given_back, "ended");
                assert_eq!(self.pending, [false; 3], "ended before all was told");
            }
            Poll::Pending => assert!(!self.given_back, "waits for ever"),
        }
    }

    /// Waits until all is told.
    async fn catch_up(&mut self) {
        while self.pending != [false; 3] {
            let told = timeout(Duration::from_secs(30), self.signals.recv()).await;
            self.check(Poll::Ready(told.expect("what came is told")));
        }
    }
}

// contract 53
#[test]
fn random_subscribers_are_told_what_a_model_says() {
    for kind in KINDS {
        // SAFETY: a sigaction is plain data; the handler touches atomics only.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = below as extern "C" fn(c_int) as usize;
            let null = std::ptr::null_mut();
            assert_eq!(libc::sigaction(kind.as_raw_value(), &raw const action, null), 0);
        }
    }
    let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(0x5EED_0053);
    println!("seed {seed}");
    let mut random = Random(seed.max(1));
    block_on(async {
        let mut all: Vec<Modelled> = Vec::new();
        let mut raised = [0; 3];
        for _ in 0..scaled(20_000) {
            let one = random.below(all.len().max(1));
            match random.below(12) {
                0 | 1 if all.len() < 20 => all.push(Modelled::new(&mut random)),
                2 if !all.is_empty() => drop(all.swap_remove(one)),
                3 if !all.is_empty() && random.below(3) == 0 => {
                    all[one].signals.give_back();
                    all[one].given_back = true;
                }
                4..=6 if !all.is_empty() => all[one].look().await,
                7 if !all.is_empty() => all[one].catch_up().await,
                8 => yield_now().await,
                _ => {
                    let kind = random.below(3);
                    raised[kind] += 1;
                    // SAFETY: takes an integer; a handler is installed.
                    unsafe { libc::raise(KINDS[kind].as_raw_value()) };
                    for one in all.iter_mut().filter(|one| one.kinds[kind] && !one.given_back) {
                        one.pending[kind] = true;
                    }
                }
            }
        }
        for one in &mut all {
            one.catch_up().await;
        }
        for (kind, raised) in raised.into_iter().enumerate() {
            assert_eq!(BELOW[kind].load(Ordering::Relaxed), raised, "the handler below");
        }
    });
}
