//! Full disks: somebody else eats whatever is free on a machine's disk, for a while. The member goes on with what it has
//! kept in reserve; what it refuses, it must take again when there is room.

use crate::{
    options::{MILLIS, SECOND},
    world::{Event, World},
};

/// How often a member looks at the room on its disk.
const TEND: u64 = 500 * MILLIS;
/// What may be refused for so long after a disk was full: the reserve grows first.
const AFTERMATH: u64 = 20 * SECOND;

impl World {
    /// A life begins: it looks after its room.
    pub(crate) fn begin_tending(&mut self, place: usize) {
        if self.options.reserve_bytes > 0
            && let Some(life) = &self.machines[place].life
        {
            let life = life.number;
            self.heap.plan(self.now + TEND, Event::Tend { place, life });
        }
    }

    pub(crate) fn tend(&mut self, place: usize, life: u64) {
        let machine = &mut self.machines[place];
        let Some(alive) = machine.life.as_mut().filter(|alive| alive.number == life) else { return };
        if machine.paused_until <= self.now {
            alive.stepped.tend_space();
        }
        self.heap.plan(self.now + TEND, Event::Tend { place, life });
        if self.machines[place].disk.power_lost() {
            self.power_lost(place);
        }
    }

    /// Somebody begins to eat what is free.
    pub(crate) fn fill(&mut self, place: usize) {
        let until = self.now + self.chance.around(10 * SECOND);
        let begun = self.machines[place].full_until > self.now;
        self.machines[place].full_until = until;
        if !begun {
            self.count("disk filled");
            self.hog(place);
        }
    }

    pub(crate) fn hog(&mut self, place: usize) {
        let full = self.machines[place].full_until > self.now;
        let spare = self.chance.below(64 << 10);
        self.machines[place].filled = full;
        let disk = &self.machines[place].disk;
        // What the member gives back is eaten, too, a little later.
        disk.set_capacity(full.then(|| disk.used() + spare));
        if !full {
            self.count("disk freed");
        }
        if full {
            let soon = self.chance.between(50, 500) * MILLIS;
            self.heap.plan(self.now + soon, Event::Hog { place });
        }
    }

    /// Whether some disk was full not long before `at`, or since.
    pub(crate) fn was_full(&self, at: u64) -> bool {
        self.machines.iter().any(|machine| machine.full_until > 0 && machine.full_until + AFTERMATH > at)
    }

    /// Nobody eats any more.
    pub(crate) fn end_hogs(&mut self) {
        for machine in &mut self.machines {
            machine.full_until = machine.full_until.min(self.now);
            machine.filled = false;
            machine.disk.set_capacity(None);
        }
    }
}
