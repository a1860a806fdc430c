//! Disks that do not keep what they were given: bits, sectors and writes that go wrong, and whole disks.
//!
//! A member on such a disk is *hurt*: it may refuse to start, stop, or refuse an answer, and must never answer wrong,
//! which the checkers watch as ever. No more members are hurt at once than the cluster can do without. What the
//! product gives up, the operator takes over: the disk reads right again (a cable, a controller), and then the member
//! must come back with everything, or the member is removed and another one added.

use std::path::{Path, PathBuf};

use node::{BootError, PeerAddress, RunningCluster};
use types::ClusterId;
use vfs::{Fault, SimDisk};

use crate::{
    fault_kind::FaultKind,
    machine::{Machine, peer_url},
    options::SECOND,
    world::{Event, World},
};

/// What a disk did to its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hurt {
    /// It reads stored bytes wrong.
    Bytes,
    /// It has not stored a write, or somewhere else.
    Write,
    /// It is a new, empty one.
    Disk,
}

/// Bytes that read differently from how they were stored.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    path: PathBuf,
    offset: u64,
    stored: Vec<u8>,
    read: Vec<u8>,
}

const SECTOR: u64 = 512;
/// Writes within which one goes wrong.
const WRITES_MAX: u64 = 200;

impl Damage {
    /// Whether the disk reads right there again; not when somebody has written there since.
    fn undo(&self, disk: &SimDisk) -> bool {
        let found = disk.peek(&self.path, self.offset, self.read.len());
        found.is_ok_and(|found| found == self.read)
            && disk.poke(&self.path, self.offset, &self.stored).is_ok()
    }
}

impl World {
    /// Damages what a member has stored, or will store next.
    pub(crate) fn damage(&mut self, kind: FaultKind, place: usize) {
        if !self.can_do_without(place) {
            return;
        }
        self.count("member hurt");
        match kind {
            FaultKind::LostDisk => {
                self.kill(place);
                self.count(kind.name());
                self.machines[place].disk = SimDisk::new();
                self.machines[place].hurt = Some(Hurt::Disk);
            }
            FaultKind::LostWrite | FaultKind::MisdirectedWrite => {
                let machine = &mut self.machines[place];
                machine.hurt = Some(Hurt::Write);
                let forward = SECTOR << self.chance.below(6);
                let lost = kind == FaultKind::LostWrite;
                let fault = if lost { Fault::LostWrite } else { Fault::MisdirectedWrite { forward } };
                machine.disk.fail_at(machine.disk.io_count() + self.chance.below(WRITES_MAX), fault);
            }
            _ => {
                // At rest, or under a member that runs.
                if self.chance.one_in(2) {
                    self.kill(place);
                }
                let damages = self.draw_damage(kind, place);
                if !damages.is_empty() {
                    self.count(kind.name());
                }
                for damage in &damages {
                    self.trace.note(self.now, "stored bytes change", &[place as u64, damage.offset]);
                }
                let machine = &mut self.machines[place];
                damages.iter().for_each(|damage| {
                    let poked = machine.disk.poke(&damage.path, damage.offset, &damage.read);
                    debug_assert!(poked.is_ok(), "the file was there a moment ago");
                });
                machine.hurt = (!damages.is_empty()).then_some(Hurt::Bytes);
                // Who runs may write there, and then there is nothing to take back.
                machine.damages = if machine.life.is_none() { damages } else { Vec::new() };
            }
        }
    }

    /// Whether a quorum of members is well without this one, which is well now and has shown itself to the others.
    fn can_do_without(&self, place: usize) -> bool {
        let known = self.machines.iter().filter(|machine| !machine.gone).count();
        let well = self.machines.iter().filter(|machine| machine.is_well()).count();
        let alone = self.options.members == 1;
        self.machines[place].is_well() && (alone || well > known / 2 + 1) && !self.options.membership
    }

    fn draw_damage(&mut self, kind: FaultKind, place: usize) -> Vec<Damage> {
        let disk = self.machines[place].disk.clone();
        let Some(path) = self.draw_file(&disk) else { return Vec::new() };
        let end = disk.stored_end(&path).unwrap_or(0);
        let sectors = end / SECTOR;
        if sectors == 0 {
            return Vec::new();
        }
        let sector = self.chance.below(sectors);
        let other = self.chance.below(sectors);
        let bit = self.chance.below(SECTOR * 8);
        let change = |sector: u64, change: &dyn Fn(&mut Vec<u8>)| {
            let stored = disk.peek(&path, sector * SECTOR, SECTOR as usize).ok()?;
            let mut read = stored.clone();
            change(&mut read);
            (read != stored).then(|| Damage { path: path.clone(), offset: sector * SECTOR, stored, read })
        };
        let bytes = |sector: u64| disk.peek(&path, sector * SECTOR, SECTOR as usize).unwrap_or_default();
        let damages = match kind {
            FaultKind::ZeroedSector => vec![change(sector, &|read| read.fill(0))],
            FaultKind::SwappedSectors => {
                let (one, two) = (bytes(sector), bytes(other));
                vec![change(sector, &|read| *read = two.clone()), change(other, &|read| *read = one.clone())]
            }
            _ => vec![change(sector, &|read| read[(bit / 8) as usize] ^= 1 << (bit % 8))],
        };
        damages.into_iter().flatten().collect()
    }

    /// A file of the member: mostly the log or the database.
    fn draw_file(&mut self, disk: &SimDisk) -> Option<PathBuf> {
        let files = disk.files();
        let name = |path: &Path| path.to_string_lossy().into_owned();
        let of = |wanted: fn(&str) -> bool| -> Vec<PathBuf> {
            files.iter().filter(|path| wanted(&name(path))).cloned().collect()
        };
        let logs = of(|name| name.ends_with(".wal"));
        let databases = of(|name| name.ends_with("/db"));
        let choices = match self.chance.below(5) {
            0 | 1 => logs,
            2 | 3 => databases,
            _ => files,
        };
        if choices.is_empty() { None } else { Some(self.chance.pick(&choices).clone()) }
    }

    /// What the others say of the cluster to a member without a log; `None` when nobody can be asked.
    pub(crate) fn running_cluster(&self, place: usize) -> Option<RunningCluster> {
        let mut others = (0..self.machines.len()).filter(|other| *other != place);
        let asked = others.find(|other| self.machines[*other].published && self.is_up(*other))?;
        let life = self.machines[asked].life.as_ref()?;
        let id: ClusterId = life.stepped.handle().summary().cluster_id;
        let known = || self.machines.iter().filter(|machine| machine.id.0 != 0 && !machine.gone);
        let address = |machine: &Machine| PeerAddress { id: machine.id, urls: vec![peer_url(&machine.name)] };
        let started = known().filter(|machine| machine.published).map(|machine| machine.id).collect();
        Some(RunningCluster { id, members: known().map(address).collect(), started })
    }

    fn is_up(&self, place: usize) -> bool {
        self.machines[place].life.is_some() && self.machines[place].paused_until <= self.now
    }

    /// A hurt member does not start.
    pub(crate) fn refused(&mut self, place: usize, error: &BootError, givers: usize) {
        self.count("hurt member refused to start");
        if error.to_string().is_empty() {
            self.judge(crate::check::violation("a refusal without a reason"));
        }
        self.ended(place, None);
        if matches!(error, BootError::Unrepaired { .. }) {
            if givers == 0 && self.options.members > 1 && !self.settling {
                // It tries again: nobody was there.
                return self.count("repair waits for others");
            }
            self.count("repair was not possible");
        }
        self.take_care(place);
    }

    /// The operator takes care of a hurt member that has given up: it is well again, or will be replaced.
    pub(crate) fn take_care(&mut self, place: usize) {
        let mend = self.settling || self.options.members < 3 || self.chance.one_in(2);
        let machine = &mut self.machines[place];
        let bytes = machine.hurt == Some(Hurt::Bytes) && !machine.damages.is_empty();
        if bytes && mend && machine.damages.iter().rev().all(|damage| damage.undo(&machine.disk)) {
            machine.damages.clear();
            machine.hurt = None;
            return self.count("damage went away");
        }
        machine.broken = true;
        if self.options.members == 1 {
            // Nobody has what is lost.
            self.count("cluster of one lost");
            self.over = true;
        }
    }

    /// A life ends: whether its disk did what it was about to do, shows.
    pub(crate) fn look_at_writes(&mut self, place: usize) {
        let machine = &mut self.machines[place];
        let waits = |fault: &Fault| matches!(fault, Fault::LostWrite | Fault::MisdirectedWrite { .. });
        if machine.hurt == Some(Hurt::Write) && machine.disk.faults_left().iter().any(waits) {
            machine.hurt = None;
        }
    }

    /// Before the end: disks read right again where they can, and who stays hurt is left out.
    pub(crate) fn end_damage(&mut self) {
        for place in 0..self.machines.len() {
            let machine = &self.machines[place];
            if machine.hurt.is_none() || machine.broken {
                continue;
            }
            self.kill(place);
            if self.machines[place].hurt.is_some() {
                self.take_care(place);
            }
        }
    }

    /// Whether a machine without anything on its disk may start now; else it tries again.
    pub(crate) fn may_start(&mut self, place: usize) -> bool {
        if self.machines[place].broken {
            return false;
        }
        if self.machines[place].hurt == Some(Hurt::Disk) {
            let Some(running) = self.running_cluster(place) else {
                self.heap.plan(self.now + SECOND, Event::Start { place });
                return false;
            };
            self.machines[place].config.running_cluster = Some(running);
        }
        true
    }
}
