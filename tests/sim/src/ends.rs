//! How lives begin and end: a start; power loss, a kill, a stop, a failure.

use node::stepping::Part;

use crate::{
    check::violation,
    machine::Life,
    options::SECOND,
    world::{Event, World},
};

/// Turns of workers in which they find their stop job, at most.
const LAST_TURNS_MAX: usize = 10_000;

impl World {
    /// A machine starts its member, if it may.
    pub(crate) fn start(&mut self, place: usize) {
        let life_seed = self.chance.next();
        let machine = &mut self.machines[place];
        if machine.life.is_some() || machine.gone || !self.may_start(place) {
            return;
        }
        let givers = self.bring_givers(place);
        let machine = &mut self.machines[place];
        self.trace.note(self.now, "start", &[place as u64]);
        match machine.start(self.now, life_seed) {
            Ok(()) => {
                machine.damages.clear();
                self.repaired(place);
                let machine = &mut self.machines[place];
                let figures = machine.life.as_ref().and_then(|life| life.stepped.figures());
                let id = machine.id.0;
                if let Some(figures) = figures {
                    let checked = self.raft.started(id, &figures);
                    self.judge(checked);
                }
                self.reach_changed();
                self.begin_tending(place);
                self.loop_on(place);
                self.after_step(place);
            }
            Err(_) if machine.disk.power_lost() => self.power_lost(place),
            // A member that was removed may know it.
            Err(_) if machine.may_fail || machine.leaving => self.ended(place, None),
            // Without a reserve from an earlier life there is nothing to begin with.
            Err(_) if machine.filled && !machine.published => self.ended(place, None),
            Err(error) if machine.hurt.is_some() => self.refused(place, &error, givers),
            Err(error) => {
                let what = format!("{} does not start: {error}", machine.name);
                self.judge(violation(what));
            }
        }
    }

    /// The power of a machine goes now.
    pub(crate) fn lose_power(&mut self, place: usize) {
        if self.machines[place].life.is_some() {
            self.power_lost(place);
        }
    }

    /// A machine has no power any more, now or since its last I/O.
    pub(crate) fn power_lost(&mut self, place: usize) {
        self.count("crash");
        self.count_fired(place);
        let plan = self.crash_plan();
        let machine = &mut self.machines[place];
        let image = machine.disk.crash(plan);
        // What the member still does to its disk while it goes is lost.
        let life = machine.life.take();
        machine.disk = image;
        self.ended(place, life);
    }

    /// The process ends; what it wrote is there for the next one.
    pub(crate) fn kill(&mut self, place: usize) {
        self.count_fired(place);
        let machine = &mut self.machines[place];
        if machine.life.is_some() {
            let image = machine.disk.kill();
            let life = machine.life.take();
            machine.disk = image;
            self.ended(place, life);
        }
    }

    pub(crate) fn ended(&mut self, place: usize, life: Option<Life>) {
        self.trace.note(self.now, "ended", &[place as u64]);
        self.count_fired(place);
        self.look_at_writes(place);
        let machine = &mut self.machines[place];
        machine.disk.clear_faults();
        machine.may_fail = false;
        machine.stalled_until = 0;
        machine.paused_until = 0;
        self.raft.ended(machine.id.0);
        if let Some(life) = life {
            self.abandon(life);
        }
        self.reach_changed();
        let down = if self.settling { SECOND } else { self.time_down(place, 4 * SECOND) };
        self.heap.plan(self.now + down, Event::Start { place });
    }

    /// Whether the member has ended by itself, as it was asked to or because it could not go on.
    pub(crate) fn check_ended(&mut self, place: usize) {
        let machine = &mut self.machines[place];
        let may_give_up = machine.may_give_up();
        let Some(life) = &mut machine.life else { return };
        let Some(result) = life.stepped.ended() else { return };
        let gave_up = result.is_err() && !machine.may_fail && machine.hurt.is_some();
        if let Err(reason) = result
            && !may_give_up
        {
            let what = format!("{} has stopped: {reason}", machine.name);
            return self.judge(violation(what));
        }
        let mut turns = 0;
        for part in Part::ALL {
            while life.stepped.take_jobs(part) && turns < LAST_TURNS_MAX {
                // Nothing waits for space any more.
                _ = life.stepped.work(part, false);
                turns += 1;
            }
        }
        if machine.disk.power_lost() {
            return self.power_lost(place);
        }
        let life = machine.life.take();
        self.ended(place, life);
        if gave_up && self.machines[place].hurt.is_some() {
            self.count("hurt member stopped");
            self.take_care(place);
        }
    }
}
