//! Crash loops: the process of one member ends soon after each start, as under a supervisor that starts again what cannot
//! stay. What others send to it may come late, and so be for a life that is over.

use crate::{
    options::{MILLIS, SECOND},
    world::{Event, World},
};

/// Which member, and until when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CrashLoop {
    place: usize,
    until: u64,
}

/// Messages to such a member that are held up, of a million.
const LATE: u64 = 150_000;

impl World {
    pub(crate) fn is_looping(&self, place: usize) -> bool {
        self.now < self.crash_loop.until && self.crash_loop.place == place && !self.settling
    }

    pub(crate) fn begin_loop(&mut self, place: usize) {
        let until = self.now + self.chance.around(10 * SECOND);
        self.crash_loop = CrashLoop { place, until };
        self.network.make_late(place, LATE, until);
        self.kill(place);
    }

    /// A life begins: in a loop it is a short one.
    pub(crate) fn loop_on(&mut self, place: usize) {
        if self.is_looping(place)
            && let Some(life) = &self.machines[place].life
        {
            let life = life.number;
            let soon = self.chance.between(20 * MILLIS, 2 * self.options.election_timeout());
            self.heap.plan(self.now + soon, Event::Looped { place, life });
        }
    }

    pub(crate) fn looped(&mut self, place: usize, life: u64) {
        if self.is_looping(place) && self.machines[place].life.as_ref().is_some_and(|now| now.number == life)
        {
            self.count("killed in a loop");
            self.kill(place);
        }
    }
}
