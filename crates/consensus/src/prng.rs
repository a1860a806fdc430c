//! The node's own random numbers: SplitMix64 from a seed, so that a run can be repeated exactly.

/// A sequence of numbers that its seed determines. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Prng(u64);

impl Prng {
    /// Members must not draw the same timeouts, or they campaign at the same time for ever. So the id is mixed
    /// in, and in a way that no seed made from the id undoes.
    pub(crate) fn new(seed: u64, id: u64) -> Prng {
        Prng(Prng(seed).next().wrapping_add(Prng(id).next().rotate_left(32)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0. The bias of 2^-32 at most does not matter for timeouts.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let high = self.next() >> 32;
        ((high * u64::from(bound)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_determines_the_sequence_and_every_value_occurs() {
        let (mut a, mut b, mut c) = (Prng::new(7, 1), Prng::new(7, 1), Prng::new(7, 2));
        let mut seen = [0; 10];
        let mut same_as_other_member = 0;
        for _ in 0..1000 {
            let value = a.below(10);
            assert_eq!(value, b.below(10));
            same_as_other_member += u32::from(value == c.below(10));
            seen[value as usize] += 1;
        }
        assert!(seen.iter().all(|&n| n > 50), "{seen:?}");
        assert!(same_as_other_member < 200);
    }
}
