//! What can go wrong, and how the caller chooses it.

use std::path::PathBuf;

/// A fault, planted with [`SimDisk::fail_at`](super::SimDisk::fail_at). Each fires once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Power goes: a write or name change is issued (a crash may keep it), a sync is not done, and this call and
    /// all later ones fail with "power lost".
    Crash,
    /// The mutating call does nothing and fails with `EIO`; a sync fails as with `SyncFails`.
    Eio,
    /// The mutating call fails with `ENOSPC`; of a write, the first half is stored.
    Enospc,
    /// The next sync fails with `EIO`, and what it should have made durable never becomes so by a later sync,
    /// though reads still see it: what Linux file systems do (reliability.md G).
    SyncFails,
    /// The next write stores one bit wrong; counted from the start of the written bytes, modulo their number.
    BitFlip {
        /// Which bit.
        bit: u64,
    },
    /// The next write reports success and stores nothing.
    LostWrite,
    /// The next write goes `forward` bytes too far.
    MisdirectedWrite {
        /// Distance in bytes.
        forward: u64,
    },
    /// The next read returns at most so many bytes; 0 looks like the end of the file.
    ShortRead {
        /// Upper bound of what it returns.
        bytes: usize,
    },
    /// The next read fails with `EIO`.
    ReadEio,
    /// The next read returns one bit wrong; counted from the start of the bytes read, modulo their number.
    ReadBitFlip {
        /// Which bit.
        bit: u64,
    },
}

/// The kinds of calls, as far as faults tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Read,
    Write,
    Sync,
    /// Names, lengths.
    Other,
}

impl Fault {
    /// Whether this fault can fire at a call of this kind.
    pub(super) fn applies_to(self, call: Call) -> bool {
        match self {
            Fault::Crash | Fault::Eio | Fault::Enospc => call != Call::Read,
            Fault::SyncFails => call == Call::Sync,
            Fault::BitFlip { .. } | Fault::LostWrite | Fault::MisdirectedWrite { .. } => call == Call::Write,
            Fault::ShortRead { .. } | Fault::ReadEio | Fault::ReadBitFlip { .. } => call == Call::Read,
        }
    }
}

/// What becomes of one change that was not durable when the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never happened.
    Lost,
    /// It happened.
    Kept,
    /// A write: each 512-byte sector of the file kept or lost by the bits of a generator with this seed, and the
    /// length perhaps grown without the bytes. A change of name or length happens whole, or (even seed) not.
    Torn {
        /// Seed of the generator.
        seed: u64,
    },
}

/// Chooses the [`Fate`] of everything that is not durable when the power goes.
#[derive(Clone, Debug)]
pub enum CrashPlan {
    /// Only what was synced survives.
    LoseUnsynced,
    /// Everything survives.
    KeepUnsynced,
    /// Everything survives, but the last write of bytes is torn.
    TearLast {
        /// Seed of the tear.
        seed: u64,
    },
    /// Each change by itself lost, kept or torn: any subset, in any combination.
    Seeded {
        /// Seed of the choices.
        seed: u64,
    },
    /// By position in [`SimDisk::unsynced`](super::SimDisk::unsynced); those beyond the end are lost.
    Each(Vec<Fate>),
}

/// A change that is not durable yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// Bytes of a file.
    Write {
        /// A live name of the file; `None` once removed.
        path: Option<PathBuf>,
        /// Where.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// Length of a file.
    SetLen {
        /// A live name of the file; `None` once removed.
        path: Option<PathBuf>,
        /// The new length.
        len: u64,
    },
    /// A name in a directory came, went or moved.
    Name {
        /// The name that came, or that went if none came.
        name: String,
    },
}

impl CrashPlan {
    /// The fate of the change at `position` of the `unsynced` list.
    pub(super) fn fates(&self, unsynced: &[Unsynced]) -> Vec<Fate> {
        let last_write = unsynced.iter().rposition(|u| matches!(u, Unsynced::Write { .. }));
        let mut random = Random::new(match self {
            CrashPlan::Seeded { seed } => *seed,
            _ => 0,
        });
        let fate = |position| match self {
            CrashPlan::LoseUnsynced => Fate::Lost,
            CrashPlan::KeepUnsynced => Fate::Kept,
            CrashPlan::TearLast { seed } if Some(position) == last_write => Fate::Torn { seed: *seed },
            CrashPlan::TearLast { .. } => Fate::Kept,
            CrashPlan::Seeded { .. } => match random.next() % 3 {
                0 => Fate::Lost,
                1 => Fate::Kept,
                _ => Fate::Torn { seed: random.next() },
            },
            CrashPlan::Each(fates) => fates.get(position).copied().unwrap_or(Fate::Lost),
        };
        (0..unsynced.len()).map(fate).collect()
    }
}

/// SplitMix64: small, good enough for choices, and the same everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
