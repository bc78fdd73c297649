//! Chance: the one source of randomness, used only for order that is not promised.
//!
//! Without a seed nothing is permuted. With one (`LOOPLINE_SEED`, `#[loopline::test(shuffle)]`,
//! `Builder::seed`) a run can be repeated. `select!` has to be fair without a seed too: see [`any_of`].

use std::cell::Cell;

/// A seeded generator (splitmix64), or none.
#[derive(Debug)]
pub(crate) struct Chance {
    seed: Option<u64>,
    state: Cell<u64>,
}

impl Chance {
    /// Takes the seed given, else the one in `LOOPLINE_SEED`, else none.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        let seed = seed.or_else(seed_from_environment);
        Self { seed, state: Cell::new(seed.unwrap_or(0)) }
    }

    pub(crate) fn seed(&self) -> Option<u64> {
        self.seed
    }

    pub(crate) fn is_seeded(&self) -> bool {
        self.seed.is_some()
    }

    fn next(&self) -> u64 {
        step(&self.state)
    }

    /// Picks one of `n` by the seed, or if there is none by the thread's own numbers.
    #[inline]
    pub(crate) fn any_of(&self, n: u32) -> u32 {
        if self.is_seeded() { scale(self.next(), n) } else { any_of(n) }
    }

    /// Permutes the slice (Fisher-Yates) if there is a seed.
    pub(crate) fn shuffle<T>(&self, items: &mut [T]) {
        if !self.is_seeded() {
            return;
        }
        for i in (1..items.len()).rev() {
            // The bias of a modulo by at most 2^32 out of 2^64 cannot be seen in a test run.
            items.swap(i, (self.next() % (i as u64 + 1)) as usize);
        }
    }
}

thread_local! {
    /// Where this thread is in its own numbers. They start the same on each, and come from nowhere else:
    /// a run is what it would be the next time.
    static OWN: Cell<u64> = const { Cell::new(0) };
}

/// Picks one of `n`, each as often as the others.
///
/// Not in turn: two choices made one after the other, again and again, would then always meet the same.
#[inline]
pub(crate) fn any_of(n: u32) -> u32 {
    scale(OWN.with(step), n)
}

/// Takes the next number (splitmix64).
#[inline]
pub(crate) fn step(state: &Cell<u64>) -> u64 {
    let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    state.set(next);
    let mut z = next;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Scales a number down to one of `n`.
#[inline]
fn scale(number: u64, n: u32) -> u32 {
    (((number >> 32) * u64::from(n)) >> 32) as u32
}

/// Reads `LOOPLINE_SEED`: a decimal or 0x-prefixed number.
pub(crate) fn seed_from_environment() -> Option<u64> {
    let text = std::env::var("LOOPLINE_SEED").ok().filter(|text| !text.is_empty())?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    // A seed that does not parse must not silently mean "no seed": the run would not be the one asked for.
    Some(parsed.unwrap_or_else(|_| {
        panic!("LOOPLINE_SEED is {text:?}: write a number, decimal or 0x-prefixed")
    }))
}

/// Makes a new seed for a test that asks for any.
pub(crate) fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
