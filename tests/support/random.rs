//! Chance that can be repeated.
#![allow(dead_code, unreachable_pub)] // each test file is a crate and uses a part

/// A generator with the seed of `LOOPLINE_SEED`, or one of its own; printed, for a test that fails.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        let seed = std::env::var("LOOPLINE_SEED").ok().and_then(|text| text.parse().ok());
        let seed: u64 = seed.unwrap_or(0x10c5);
        println!("LOOPLINE_SEED={seed}");
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }
}
