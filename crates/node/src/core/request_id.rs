//! Ids of proposals: unique in the cluster and across restarts (contract/internal_messages.tsv, RequestHeader.ID).

/// 16 bits of the member id, 40 bits of milliseconds at start, 8 bits of counter; the counter runs over into
/// the time, so that 256 ids a millisecond can be drawn for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestIds {
    prefix: u64,
    suffix: u64,
}

const SUFFIX_BITS: u32 = 48;
const COUNTER_BITS: u32 = 8;
const SUFFIX_MASK: u64 = (1 << SUFFIX_BITS) - 1;

impl RequestIds {
    /// `unix_ms` is the wall clock at start.
    pub(crate) fn new(member_id: u64, unix_ms: u64) -> RequestIds {
        RequestIds {
            prefix: (member_id & 0xffff) << SUFFIX_BITS,
            suffix: (unix_ms << COUNTER_BITS) & SUFFIX_MASK,
        }
    }

    /// The next id; never 0.
    pub(crate) fn next(&mut self) -> u64 {
        self.suffix = (self.suffix + 1) & SUFFIX_MASK;
        match self.prefix | self.suffix {
            0 => self.next(),
            id => id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_carry_member_and_time() {
        let mut ids = RequestIds::new(0xabcd_1234, 0x12_3456_789a);
        let first = ids.next();
        assert_eq!(first, (0x1234 << 48) | (0x12_3456_789a << 8) | 1);
        let mut last = first;
        for _ in 0..1000 {
            let id = ids.next();
            assert!(id > last);
            last = id;
        }
    }

    #[test]
    fn wraps_without_ever_giving_zero() {
        let mut ids = RequestIds { prefix: 0, suffix: SUFFIX_MASK };
        assert_eq!(ids.next(), 1);
    }
}
