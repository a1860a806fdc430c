//! Randomness from the seed. Each part of the simulation has a stream of its own, so that a change in one does not
//! move the others.

/// A generator (SplitMix64): the same numbers on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of that name.
    pub(crate) fn stream(seed: u64, name: &str) -> Random {
        let mixed = name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut random = Random(mixed);
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..bound`; 0 when there is none.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// One of `low..=high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True `parts` times of a million.
    pub(crate) fn chance(&mut self, parts_per_million: u64) -> bool {
        parts_per_million > 0 && self.below(1_000_000) < parts_per_million
    }

    /// True once in so many times.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`, which are some.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// A place in `weights` with the chance of its weight; `None` when all are zero.
    pub(crate) fn weighted(&mut self, weights: &[u64]) -> Option<usize> {
        let sum: u64 = weights.iter().sum();
        let mut at = self.below(sum);
        weights.iter().position(|weight| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        })
    }

    /// Around `mean`, between a fifth and the fourfold, small values more often: gaps between events.
    pub(crate) fn around(&mut self, mean: u64) -> u64 {
        let fifth = mean / 5;
        match self.below(10) {
            0..7 => self.between(fifth, mean),
            7..9 => self.between(mean, 2 * mean),
            _ => self.between(2 * mean, 4 * mean),
        }
    }
}
