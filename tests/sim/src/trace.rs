//! What happened, as one number: two runs of a seed are equal when every event is.

/// A running hash over all events. What goes in must not depend on the process: no addresses, no real time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    /// Prints each event to standard error, to find where two runs part.
    pub(crate) verbose: bool,
}

impl Trace {
    /// Notes an event at a time of the world, with everything that tells it from another.
    pub(crate) fn note(&mut self, now: u64, what: &str, facts: &[u64]) {
        self.events += 1;
        self.mix(now);
        what.bytes().for_each(|byte| self.mix(u64::from(byte)));
        facts.iter().for_each(|fact| self.mix(*fact));
        if self.verbose {
            eprintln!("{}.{:09} {what} {facts:x?}", now / 1_000_000_000, now % 1_000_000_000);
        }
    }

    fn mix(&mut self, fact: u64) {
        self.hash = (self.hash ^ fact).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }
}

/// A hash of bytes, for what goes into a trace or is compared between members.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    for word in words.by_ref() {
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    }
    for byte in words.remainder() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^ (hash >> 29)
}
