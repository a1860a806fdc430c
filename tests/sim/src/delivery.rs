//! What members send each other, on its way and at its end.

use consensus::Message;
use node::PeerInput;
use types::MemberId;

use crate::{
    fault_kind::FaultKind,
    faults::pairs,
    network::Sent,
    options::MILLIS,
    trace::digest,
    world::{Event, World},
};

/// A member is told at most so often that another cannot be reached.
const UNREACHABLE_PAUSE: u64 = 100 * MILLIS;

impl World {
    fn place_of(&self, id: u64) -> Option<usize> {
        self.machines.iter().position(|machine| machine.id == MemberId(id))
    }

    /// Puts what a member sends on its way.
    pub(crate) fn send(&mut self, from: usize) {
        for sent in self.machines[from].door.take_sent() {
            match sent {
                Sent::Message(message) => {
                    let checked = self.raft.sent(&message);
                    self.judge(checked);
                    let Some(to) = self.place_of(message.to) else { continue };
                    let arrivals = self.network.arrivals(self.now, from, to, message.kind);
                    if arrivals.is_empty() {
                        self.unreachable(from, to);
                    }
                    for at in arrivals {
                        self.heap.plan(at, Event::Message { from, to, message: message.clone() });
                    }
                }
                Sent::Snapshot(message, image) => {
                    let Some(to) = self.place_of(message.to) else { continue };
                    let mut file = vec![0; image.len() as usize];
                    let whole = image.read_at(0, &mut file).is_ok_and(|read| read == file.len());
                    match self.network.arrival_of_database(self.now, from, to) {
                        Some(at) if whole => {
                            self.count("database sent");
                            let sum = digest(&file);
                            self.heap.plan(at, Event::Snapshot { from, to, message, file, sum });
                        }
                        _ => self.snapshot_sent(from, message.to, false),
                    }
                }
            }
        }
    }

    fn unreachable(&mut self, from: usize, to: usize) {
        let about = self.machines[to].id;
        let machine = &mut self.machines[from];
        if machine.unreachable_told_at + UNREACHABLE_PAUSE <= self.now {
            machine.unreachable_told_at = self.now;
            let input = PeerInput::Unreachable(about);
            self.heap.plan(self.now + self.options.delay, Event::Told { place: from, input });
        }
    }

    fn snapshot_sent(&mut self, from: usize, to: u64, delivered: bool) {
        let input = PeerInput::SnapshotSent { to: MemberId(to), delivered };
        self.heap.plan(self.now + self.options.delay, Event::Told { place: from, input });
    }

    pub(crate) fn tell(&mut self, place: usize, input: PeerInput) {
        if let Some(life) = &self.machines[place].life {
            life.stepped.handle().peer_input(input);
            self.touch(place);
        }
    }

    pub(crate) fn message(&mut self, from: usize, to: usize, message: Message) {
        let Message { kind, term, index, commit, log_term, .. } = message;
        let entries = message.entries.iter().fold(0, |sum, entry| sum ^ digest(&entry.data) ^ entry.index);
        let facts = [from as u64, to as u64, kind as u64, term, index, commit, log_term, entries];
        self.trace.note(self.now, "message", &facts);
        if self.machines[to].life.is_none() || self.network.is_cut(from, to) {
            return self.unreachable(from, to);
        }
        self.tell(to, PeerInput::Messages(vec![message]));
    }

    pub(crate) fn snapshot(&mut self, from: usize, to: usize, message: Message, mut file: Vec<u8>, sum: u64) {
        let damaged = std::mem::take(&mut self.damage_next) && !file.is_empty();
        if damaged {
            let bit = self.chance.below(file.len() as u64 * 8);
            file[(bit / 8) as usize] ^= 1 << (bit % 8);
            self.count(FaultKind::DamagedDatabase.name());
        }
        let index = message.snapshot.as_ref().map_or(0, |snapshot| snapshot.meta.index);
        self.trace.note(self.now, "database", &[from as u64, to as u64, index, digest(&file)]);
        let open = self.machines[to].life.is_some() && !self.network.is_cut(from, to);
        // The transport has a checksum of its own (`peer`): a value that has changed shows in no other way.
        let whole = digest(&file) == sum;
        if !whole {
            self.count("database refused");
        }
        let received =
            open && whole && crate::receive::receive(&self.machines[to].disk, index, &file).is_ok();
        if self.machines[to].disk.power_lost() {
            self.power_lost(to);
        }
        self.snapshot_sent(from, message.to, received);
        if received {
            self.count("database received");
            self.tell(to, PeerInput::Messages(vec![message]));
        }
    }

    /// Ways were cut or mended, members came or went: doors say who can be reached.
    pub(crate) fn reach_changed(&mut self) {
        for (one, other) in pairs(self.machines.len()) {
            let open = self.machines[other].life.is_some()
                && !self.network.is_cut(one, other)
                && !self.network.is_cut(other, one);
            let id = self.machines[other].id;
            self.machines[one].set_clock(self.now);
            self.machines[one].set_reach(id, open);
        }
    }
}
