//! The hunt for leaders: whoever comes to lead is lost soon after, before its log is the others', and comes back soon.
//! Terms follow each other fast, and logs end differently on every member.

use crate::{
    options::MILLIS,
    world::{Event, World},
};

/// What the hunt knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hunt {
    until: u64,
    /// The last term whose leader was seen.
    term: u64,
}

impl Hunt {
    /// It goes on until then.
    pub(crate) fn until(self, until: u64) -> Hunt {
        Hunt { until, ..self }
    }
}

impl World {
    pub(crate) fn is_hunting(&self) -> bool {
        self.now < self.hunt.until && !self.settling
    }

    /// After a turn: a member that has come to lead is marked.
    pub(crate) fn mark_leader(&mut self, place: usize) {
        if !self.is_hunting() {
            return;
        }
        let Some(life) = &self.machines[place].life else { return };
        let Some(figures) = life.stepped.figures() else { return };
        if figures.leader != self.machines[place].id.0 || figures.term <= self.hunt.term {
            return;
        }
        self.hunt.term = figures.term;
        let life = life.number;
        // About as long as a few messages and syncs take.
        let soon = self.chance.below(6 * self.options.delay + 4 * self.options.disk_delay);
        self.heap.plan(self.now + soon, Event::Hunted { place, life });
    }

    /// It is lost: dead, or cut off with what it has just written.
    pub(crate) fn hunted(&mut self, place: usize, life: u64) {
        if self.settling || self.machines[place].life.as_ref().is_none_or(|now| now.number != life) {
            return;
        }
        self.count("leader hunted down");
        match self.chance.below(3) {
            0 => self.lose_power(place),
            1 => self.kill(place),
            _ => {
                let timeout = self.options.election_timeout();
                let lasts = timeout + self.chance.below(timeout) + MILLIS;
                self.isolate(place, lasts);
            }
        }
    }

    /// How long a member is down.
    pub(crate) fn time_down(&mut self, place: usize, usual: u64) -> u64 {
        let usual = if self.is_looping(place) {
            usual / 20
        } else if self.is_hunting() {
            usual / 4
        } else {
            usual
        };
        self.chance.around(usual)
    }
}
