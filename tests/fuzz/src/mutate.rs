//! Changes inputs, the same way each time.

/// A small generator: xorshift64*.
pub struct Dice(u64);

impl Dice {
    /// Throws that follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`; 0 when that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        if end == 0 { 0 } else { number as usize % end }
    }
}

/// Bytes and numbers at which decoders go wrong.
const EDGES: [&[u8]; 12] = [
    &[0],
    &[0xff],
    &[0x7f],
    &[0x80],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0, 0, 0, 0, 0, 0, 0, 0x80],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0, 0, 0, 0, 0, 0, 0, 0],
    b"\"\\u0000",
];

/// An input made of one of `seeds`, at most `len_max` bytes long.
#[must_use]
pub fn mutated(seeds: &[Vec<u8>], dice: &mut Dice, len_max: usize) -> Vec<u8> {
    let empty = Vec::new();
    let one_of = |dice: &mut Dice| seeds.get(dice.below(seeds.len())).unwrap_or(&empty);
    let mut bytes = one_of(dice).clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + 1 + dice.below(16)).min(bytes.len());
        match dice.below(8) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            2 if at < bytes.len() => bytes[at] = dice.below(256) as u8,
            3 => drop(bytes.splice(at..at, EDGES[dice.below(EDGES.len())].iter().copied())),
            4 => {
                let edge = EDGES[dice.below(EDGES.len())];
                let end = (at + edge.len()).min(bytes.len());
                bytes.splice(at..end, edge.iter().copied());
            }
            5 => drop(bytes.drain(at..end)),
            6 => {
                let twice = bytes[at..end].repeat(1 + dice.below(4));
                bytes.splice(at..at, twice);
            }
            _ => {
                let other = one_of(dice);
                let from = dice.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes.truncate(len_max);
    bytes
}
