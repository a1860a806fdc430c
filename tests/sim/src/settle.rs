//! The end of a run: everything is healed, and then the cluster must come to itself. Members agree, take writes, hold
//! what was acknowledged, and watchers get what they are owed; leases that nobody renews end.

use bytes::Bytes;
use proto::etcdserverpb::{self as pb, alarm_request::AlarmAction};

use crate::{
    call::{Answer, Ask},
    check::{Checked, violation},
    machine::Life,
    options::{MILLIS, SECOND},
    world::World,
};

/// Time between two looks.
const LOOK: u64 = 250 * MILLIS;

impl World {
    /// See the module.
    pub(crate) fn settle(&mut self) -> Checked {
        self.settling = true;
        self.network.calm();
        self.end_hogs();
        self.end_damage();
        if self.over {
            return Ok(());
        }
        self.disturbances += 1;
        self.reach_changed();
        for place in 0..self.machines.len() {
            let machine = &mut self.machines[place];
            machine.paused_until = 0;
            machine.stalled_until = 0;
            machine.disk.clear_faults();
            if let Some(life) = &machine.life {
                // Slow watchers are not slow any more.
                life.wake();
            }
            self.poll(place);
            self.touch(place);
        }
        // Calls may wait for as long as the members allow, then leaders are chosen.
        let patience = 40 * SECOND + 30 * self.options.election_timeout();
        self.wait("all members agree", patience, World::agrees)?;
        self.clear_alarms()?;
        for place in self.staying() {
            self.write(place)?;
        }
        self.wait("all members agree again", patience, World::agrees)?;
        self.compare_members()?;
        self.wait("watchers have everything", patience, World::watchers_are_served)?;
        self.wait_for_leases()
    }

    /// Waits until `done`, for no longer than `patience`.
    fn wait(&mut self, what: &str, patience: u64, done: impl Fn(&World) -> bool) -> Checked {
        let deadline = self.now + patience;
        while !done(self) {
            if self.now > deadline {
                return violation(format!("in vain: {what}; {}", self.describe()));
            }
            let next = self.now + LOOK;
            self.run_until(next)?;
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let figures = self.machines.iter().map(|machine| {
            let waiting =
                |life: &Life| life.calls.iter().map(|open| open.ask.name()).collect::<Vec<_>>().join(", ");
            let life = machine.life.as_ref();
            life.map(|life| (machine.id, waiting(life), life.stepped.queue_lengths(), life.stepped.figures()))
        });
        let owed = self.watchers.iter().map(|watcher| watcher.watched.owed(&self.history.model));
        format!("{:?}, owed {:?}", figures.collect::<Vec<_>>(), owed.collect::<Vec<_>>())
    }

    /// All members run, have one leader, and have applied everything; no call waits.
    fn agrees(&self) -> bool {
        let mut leaders = std::collections::BTreeSet::new();
        let committed = self.raft.committed();
        let mut staying = self.machines.iter().filter(|machine| !machine.leaving && !machine.broken);
        let whole = staying.all(|machine| {
            let Some(life) = &machine.life else { return false };
            let Some(figures) = life.stepped.figures() else { return false };
            leaders.insert(figures.leader);
            figures.leader != 0 && figures.applied == committed && life.calls.is_empty()
        });
        whole && leaders.len() == 1
    }

    /// Places whose members nobody wants to be rid of.
    fn staying(&self) -> Vec<usize> {
        let stays = |place: &usize| !self.machines[*place].leaving && !self.machines[*place].broken;
        (0..self.machines.len()).filter(stays).collect()
    }

    fn watchers_are_served(&self) -> bool {
        // A member that was removed, and has not been told, serves its watchers what it has.
        let counts = |place: usize| !self.machines[place].leaving && !self.machines[place].broken;
        let mut watchers = self.watchers.iter().filter(|watcher| watcher.at.is_none_or(counts));
        watchers.all(|watcher| watcher.watched.owed(&self.history.model).is_none())
    }

    /// Asks a member until it answers.
    fn insist(&mut self, place: usize, ask: Ask) -> Result<Answer, crate::check::Violation> {
        let deadline = self.now + 30 * SECOND;
        loop {
            self.probe(place, ask.clone());
            while !self.probed.contains_key(&place) {
                let next = self.now + LOOK / 10;
                self.run_until(next)?;
                if self.now > deadline {
                    return violation(format!("{place} does not answer {ask:?}; {}", self.describe()));
                }
                if !self.is_probed(place) {
                    // Its member has ended, or has not started yet: asked again.
                    break;
                }
            }
            match self.probed.remove(&place) {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(error)) if self.now > deadline => {
                    return violation(format!("{place} answers {ask:?} with {error}"));
                }
                _ => {}
            }
        }
    }

    /// Nothing can be written while an alarm is on.
    fn clear_alarms(&mut self) -> Checked {
        let Some(place) = self.staying().first().copied() else { return Ok(()) };
        while let Some((alarm, member_id)) = self.history.model.alarms.now().first().copied() {
            let action = AlarmAction::Deactivate as i32;
            self.insist(place, Ask::Alarm(pb::AlarmRequest { action, member_id, alarm }))?;
        }
        Ok(())
    }

    fn write(&mut self, place: usize) -> Checked {
        let put = pb::PutRequest {
            key: format!("last-{place}").into(),
            value: self.seed.to_string().into(),
            ..pb::PutRequest::default()
        };
        self.insist(place, Ask::Put(put)).map(drop)
    }

    /// Every member holds every pair, as the model has it (the history checks the answers), and hashes it equally.
    fn compare_members(&mut self) -> Checked {
        let revision = self.history.model.revision;
        for place in self.staying() {
            let everything = pb::RangeRequest {
                key: Bytes::from_static(b"\0"),
                range_end: Bytes::from_static(b"\0"),
                serializable: true,
                ..pb::RangeRequest::default()
            };
            let answer = self.insist(place, Ask::Range(everything))?;
            if answer.revision() < revision {
                return violation(format!("{place} is at revision {}, not {revision}", answer.revision()));
            }
            self.insist(place, Ask::HashKv(pb::HashKvRequest { revision }))?;
        }
        if self.history.acked() > self.history.model.revision {
            return violation("an acknowledged revision is gone");
        }
        Ok(())
    }

    /// Leases that nobody renews any more end.
    fn wait_for_leases(&mut self) -> Checked {
        let ttl = self.leases.ttl_max();
        let drift = ttl / 1_000_000 * self.options.drift;
        // A new leader starts them anew; it looks twice a second, and the log takes its time.
        let grace = drift + 2 * self.options.election_timeout() + 5 * SECOND + 20 * self.options.disk_delay;
        let begun = self.now;
        let until = self.now + ttl + grace;
        self.run_until(until)?;
        let overdue: Vec<i64> = self.leases.overdue(begun + ttl + grace, grace).collect();
        if !overdue.is_empty() {
            return violation(format!("leases {overdue:x?} do not expire; {}", self.describe()));
        }
        Ok(())
    }
}
