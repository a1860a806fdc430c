//! What goes wrong, drawn from the seed.

use vfs::{CrashPlan, Fault};

use crate::{
    fault_kind::FaultKind,
    options::{MILLIS, SECOND},
    world::{Event, World},
};

/// I/Os within which a planned power loss happens.
const CRASH_IOS_MAX: u64 = 300;
/// Reads within which one goes wrong: about as many as a start makes.
const START_READS: u64 = 60;
/// How often a flapping partition changes.
const FLAPS: u64 = 8;

impl World {
    /// One fault of those that the seed has.
    pub(crate) fn strike(&mut self) {
        let kinds = self.options.faults.clone();
        if kinds.is_empty() {
            return;
        }
        let kind = *self.chance.pick(&kinds);
        self.strike_with(kind);
    }

    /// A member ends, if the seed has such faults: what it has just done must be there when it comes back.
    pub(crate) fn accident(&mut self) {
        let mut kinds = self.options.faults.clone();
        kinds.retain(|kind| kind.ends_members());
        if !kinds.is_empty() {
            let kind = *self.chance.pick(&kinds);
            self.strike_with(kind);
        }
    }

    /// Leaders are hit more often than others: much depends on them.
    fn victim(&mut self) -> usize {
        let any = self.chance.below(self.machines.len() as u64) as usize;
        if self.chance.one_in(2) { self.leader().unwrap_or(any) } else { any }
    }

    fn strike_with(&mut self, kind: FaultKind) {
        let place = self.victim();
        if kind.happens_at_once() && (kind.is_of_network() || self.machines[place].life.is_some()) {
            self.count(kind.name());
        }
        self.trace.note(self.now, kind.name(), &[place as u64]);
        match kind {
            FaultKind::PowerLoss => self.lose_power(place),
            FaultKind::PowerLossAtIo => {
                let disk = &self.machines[place].disk;
                let at = disk.io_count() + self.chance.below(CRASH_IOS_MAX);
                disk.fail_at(at, Fault::Crash);
            }
            FaultKind::Blackout => (0..self.machines.len()).for_each(|place| self.lose_power(place)),
            FaultKind::Kill => self.kill(place),
            FaultKind::Stop => {
                if let Some(life) = &self.machines[place].life {
                    life.stepped.stop();
                }
                self.touch(place);
            }
            FaultKind::Pause => {
                let until = self.now + self.chance.around(3 * SECOND);
                self.machines[place].paused_until = until;
            }
            FaultKind::DiskStall => {
                let until = self.now + self.chance.around(3 * SECOND);
                self.machines[place].stalled_until = until;
            }
            FaultKind::WriteFails => self.fail_io(place, Fault::Eio),
            FaultKind::SyncFails => self.fail_io(place, Fault::SyncFails),
            FaultKind::DamagedDatabase => self.damage_next = true,
            FaultKind::Hunt => {
                let lasts = self.chance.around(10 * self.options.election_timeout());
                self.hunt = self.hunt.until(self.now + lasts);
            }
            FaultKind::BitRot
            | FaultKind::ZeroedSector
            | FaultKind::SwappedSectors
            | FaultKind::LostWrite
            | FaultKind::MisdirectedWrite
            | FaultKind::LostDisk => self.damage(kind, place),
            FaultKind::FullDisk => self.fill(place),
            FaultKind::CrashLoop => self.begin_loop(place),
            FaultKind::BadRead => self.read_badly(place),
            FaultKind::ClockJump => {
                let jump = self.chance.between(0, 7_200_000) as i64 - 3_600_000;
                self.machines[place].wall_off += jump;
            }
            FaultKind::Drift => self.change_pace(place),
            FaultKind::Partition
            | FaultKind::Isolation
            | FaultKind::OneWay
            | FaultKind::Ring
            | FaultKind::Flapping
            | FaultKind::Loss => self.disturb(kind, place),
        }
    }

    /// One of the next I/Os fails; the member stops for it, and comes back.
    fn fail_io(&mut self, place: usize, fault: Fault) {
        let machine = &mut self.machines[place];
        machine.may_fail = true;
        let at = machine.disk.io_count() + self.chance.below(CRASH_IOS_MAX);
        machine.disk.fail_at(at, fault);
    }

    /// A read goes wrong, once: under a member that runs, or while it starts.
    fn read_badly(&mut self, place: usize) {
        let fault = match self.chance.below(3) {
            0 => Fault::ReadEio,
            1 => Fault::ReadBitFlip { bit: self.chance.next() },
            _ => Fault::ShortRead { bytes: self.chance.between(1, 4096) as usize },
        };
        if self.chance.one_in(2) {
            self.kill(place);
        }
        let machine = &mut self.machines[place];
        machine.may_fail = true;
        machine.disk.fail_read_at(machine.disk.read_count() + self.chance.below(START_READS), fault);
    }

    /// Counts what a disk has done to its member since the last call.
    pub(crate) fn count_fired(&mut self, place: usize) {
        for fault in self.machines[place].disk.take_fired() {
            self.trace.note(self.now, "disk fault", &[place as u64, self.machines[place].disk.io_count()]);
            self.count(match fault {
                Fault::Crash => FaultKind::PowerLossAtIo.name(),
                Fault::Eio => FaultKind::WriteFails.name(),
                Fault::SyncFails => FaultKind::SyncFails.name(),
                Fault::LostWrite => FaultKind::LostWrite.name(),
                Fault::MisdirectedWrite { .. } => FaultKind::MisdirectedWrite.name(),
                Fault::ReadEio => "failed read",
                Fault::ReadBitFlip { .. } => "read of a wrong bit",
                Fault::ShortRead { .. } => "short read",
                Fault::Enospc | Fault::BitFlip { .. } => "another fault of a disk",
            });
        }
    }

    /// What a power loss may leave on the disk.
    pub(crate) fn crash_plan(&mut self) -> CrashPlan {
        let seed = self.chance.next();
        match self.chance.below(5) {
            0 => CrashPlan::LoseUnsynced,
            1 => CrashPlan::KeepUnsynced,
            2 => CrashPlan::TearLast { seed },
            _ => CrashPlan::Seeded { seed },
        }
    }

    fn change_pace(&mut self, place: usize) {
        // A clock that changes its pace must not go back: the member is started again with the new one.
        let drift = self.options.drift;
        self.machines[place].drift = self.chance.between(0, 2 * drift) as i64 - drift as i64;
        self.kill(place);
    }

    fn disturb(&mut self, kind: FaultKind, place: usize) {
        self.network.mend();
        self.disturbances += 1;
        let members = self.machines.len();
        let lasts = self.chance.around(8 * SECOND);
        match kind {
            FaultKind::Partition => self.split(),
            FaultKind::Isolation => self.cut_between(|one, _| one == place),
            FaultKind::OneWay => {
                let other = (place + 1 + self.chance.below(members as u64 - 1) as usize) % members;
                self.network.cut(place, other);
                // Or from everybody, or to everybody.
                match self.chance.below(3) {
                    0 => {}
                    1 => (0..members).for_each(|other| self.network.cut(place, other)),
                    _ => (0..members).for_each(|other| self.network.cut(other, place)),
                }
            }
            FaultKind::Ring => self.cut_between(|one, other| {
                let apart = one.abs_diff(other);
                apart > 1 && apart < members - 1
            }),
            FaultKind::Flapping => {
                self.split();
                for flap in 1..=FLAPS {
                    let number = self.disturbances;
                    self.heap.plan(self.now + lasts / FLAPS * flap, Event::Flap { number });
                }
            }
            FaultKind::Loss => {
                for (one, other) in pairs(members) {
                    let loss = *self.chance.pick(&[0, 50_000, 300_000, 700_000]);
                    self.network.make_lossy(one, other, loss);
                }
            }
            _ => unreachable!("{kind:?} does not disturb the network"),
        }
        self.mend_after(lasts);
    }

    /// Nobody hears one member for a while, and it hears nobody.
    pub(crate) fn isolate(&mut self, place: usize, lasts: u64) {
        self.network.mend();
        self.disturbances += 1;
        self.cut_between(|one, _| one == place);
        self.mend_after(lasts);
    }

    fn mend_after(&mut self, lasts: u64) {
        self.reach_changed();
        let number = self.disturbances;
        self.heap.plan(self.now + lasts + MILLIS, Event::Mend { number });
    }

    /// A flapping partition comes or goes.
    pub(crate) fn flap(&mut self, number: u64) {
        if number == self.disturbances {
            self.network.mend();
            if self.chance.one_in(2) {
                self.split();
            }
            self.reach_changed();
        }
    }

    /// A disturbance of the network ends, unless another one came after it.
    pub(crate) fn mend(&mut self, number: u64) {
        if number == self.disturbances {
            self.network.mend();
            self.reach_changed();
        }
    }

    fn split(&mut self) {
        let side: Vec<bool> = self.machines.iter().map(|_| self.chance.one_in(2)).collect();
        self.cut_between(|one, other| side[one] != side[other]);
    }

    /// Cuts both ways between all pairs for which `apart` is true in either order.
    fn cut_between(&mut self, apart: impl Fn(usize, usize) -> bool) {
        for (one, other) in pairs(self.machines.len()) {
            if apart(one, other) || apart(other, one) {
                self.network.cut(one, other);
            }
        }
    }
}

/// All ordered pairs of two different places.
pub(crate) fn pairs(members: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..members).flat_map(move |one| (0..members).map(move |other| (one, other))).filter(|(a, b)| a != b)
}
