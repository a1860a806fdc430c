//! Kinds of faults.

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A machine loses power now.
    PowerLoss,
    /// A machine loses power at one of its next I/Os.
    PowerLossAtIo,
    /// All machines lose power at once.
    Blackout,
    /// A member is killed; its machine goes on.
    Kill,
    /// A member is stopped gracefully.
    Stop,
    /// Nothing runs on a machine for a while.
    Pause,
    /// Two groups do not hear each other.
    Partition,
    /// Nobody hears one member, and it hears nobody.
    Isolation,
    /// One member hears another, but not the other way round.
    OneWay,
    /// Each member hears only its neighbours.
    Ring,
    /// A partition that comes and goes.
    Flapping,
    /// Much is lost on some ways.
    Loss,
    /// A disk finishes nothing for a while.
    DiskStall,
    /// A write fails at one of the next I/Os.
    WriteFails,
    /// A sync fails, and what it should have made durable never will be.
    SyncFails,
    /// The next database that is sent is damaged on its way.
    DamagedDatabase,
    /// For a while, whoever comes to lead is lost soon after.
    Hunt,
    /// For a while, a member's process ends soon after each start, and what is sent to it may come late.
    CrashLoop,
    /// A bit of what a member has stored changes.
    BitRot,
    /// A sector of what a member has stored is zeros.
    ZeroedSector,
    /// Two sectors of a file change places.
    SwappedSectors,
    /// A write says that it is done, and stores nothing.
    LostWrite,
    /// A write goes some sectors too far.
    MisdirectedWrite,
    /// A machine gets a new disk.
    LostDisk,
    /// Somebody else eats what is free on a disk, for a while.
    FullDisk,
    /// A read fails, or brings a wrong bit, once.
    BadRead,
    /// A wall clock jumps, forward or back.
    ClockJump,
    /// A clock changes its pace.
    Drift,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 28] = [
        FaultKind::PowerLoss,
        FaultKind::PowerLossAtIo,
        FaultKind::Blackout,
        FaultKind::Kill,
        FaultKind::Stop,
        FaultKind::Pause,
        FaultKind::Partition,
        FaultKind::Isolation,
        FaultKind::OneWay,
        FaultKind::Ring,
        FaultKind::Flapping,
        FaultKind::Loss,
        FaultKind::DiskStall,
        FaultKind::WriteFails,
        FaultKind::SyncFails,
        FaultKind::DamagedDatabase,
        FaultKind::Hunt,
        FaultKind::CrashLoop,
        FaultKind::BitRot,
        FaultKind::ZeroedSector,
        FaultKind::SwappedSectors,
        FaultKind::LostWrite,
        FaultKind::MisdirectedWrite,
        FaultKind::LostDisk,
        FaultKind::FullDisk,
        FaultKind::BadRead,
        FaultKind::ClockJump,
        FaultKind::Drift,
    ];

    /// Whether it means anything in a cluster of that size.
    pub(crate) fn fits(self, members: usize) -> bool {
        match self {
            FaultKind::Partition
            | FaultKind::Isolation
            | FaultKind::OneWay
            | FaultKind::Flapping
            | FaultKind::Loss
            | FaultKind::DamagedDatabase
            | FaultKind::Hunt
            | FaultKind::CrashLoop => members > 1,
            FaultKind::LostDisk | FaultKind::LostWrite | FaultKind::MisdirectedWrite => members > 2,
            FaultKind::Ring => members > 3,
            _ => true,
        }
    }

    /// Whether it ends members at once.
    pub(crate) fn ends_members(self) -> bool {
        matches!(
            self,
            FaultKind::PowerLoss
                | FaultKind::PowerLossAtIo
                | FaultKind::Blackout
                | FaultKind::Kill
                | FaultKind::Stop
        )
    }

    /// Whether it has happened as soon as it is drawn. Others are counted when they come true: a disk may do nothing any
    /// more, no database may be sent, or too few members be well.
    pub(crate) fn happens_at_once(self) -> bool {
        !matches!(
            self,
            FaultKind::PowerLossAtIo
                | FaultKind::WriteFails
                | FaultKind::SyncFails
                | FaultKind::DamagedDatabase
                | FaultKind::BitRot
                | FaultKind::ZeroedSector
                | FaultKind::SwappedSectors
                | FaultKind::LostWrite
                | FaultKind::MisdirectedWrite
                | FaultKind::LostDisk
                | FaultKind::BadRead
        )
    }

    /// Whether it happens between members, or to all of them.
    pub(crate) fn is_of_network(self) -> bool {
        matches!(
            self,
            FaultKind::Blackout
                | FaultKind::Partition
                | FaultKind::Isolation
                | FaultKind::OneWay
                | FaultKind::Ring
                | FaultKind::Flapping
                | FaultKind::Loss
                | FaultKind::Hunt
        )
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            FaultKind::PowerLoss => "power loss",
            FaultKind::PowerLossAtIo => "power loss at an I/O",
            FaultKind::Blackout => "power loss of all",
            FaultKind::Kill => "kill",
            FaultKind::Stop => "graceful stop",
            FaultKind::Pause => "pause",
            FaultKind::Partition => "partition",
            FaultKind::Isolation => "isolation",
            FaultKind::OneWay => "one-way cut",
            FaultKind::Ring => "ring",
            FaultKind::Flapping => "flapping partition",
            FaultKind::Loss => "lossy ways",
            FaultKind::DiskStall => "disk stall",
            FaultKind::WriteFails => "failed write",
            FaultKind::SyncFails => "failed sync",
            FaultKind::DamagedDatabase => "damaged database",
            FaultKind::Hunt => "hunt for leaders",
            FaultKind::CrashLoop => "crash loop",
            FaultKind::BitRot => "bit rot",
            FaultKind::ZeroedSector => "zeroed sector",
            FaultKind::SwappedSectors => "swapped sectors",
            FaultKind::LostWrite => "lost write",
            FaultKind::MisdirectedWrite => "misdirected write",
            FaultKind::LostDisk => "lost disk",
            FaultKind::FullDisk => "full disk",
            FaultKind::BadRead => "bad read",
            FaultKind::ClockJump => "wall clock jump",
            FaultKind::Drift => "change of clock pace",
        }
    }
}
