//! The world: machines, network, clients, and the heap of what happens next. It alone moves time.

use std::collections::BTreeMap;

use consensus::Message;
use node::{PeerInput, stepping::Part};

use crate::{
    check::{
        Checked, Violation, history::History, leases::LeaseChecks, locks::LockChecks, raft::RaftChecks,
        violation,
    },
    load::Load,
    lockers::Locker,
    machine::Machine,
    network::Network,
    options::{MILLIS, Options, SECOND},
    random::Random,
    trace::Trace,
    watchers::Watcher,
};

/// What can happen.
pub(crate) enum Event {
    /// A core's turn.
    Turn { place: usize, life: u64 },
    /// A worker has done its jobs.
    Work { place: usize, life: u64, part: Part },
    /// A message arrives.
    Message { from: usize, to: usize, message: Message },
    /// A database arrives, with the message that belongs to it.
    Snapshot { from: usize, to: usize, message: Message, file: Vec<u8>, sum: u64 },
    /// A member is told something about the way to another.
    Told { place: usize, input: PeerInput },
    /// A member starts.
    Start { place: usize },
    /// A client makes its next call.
    Client { client: usize },
    /// A watcher without a stream opens one, or a slow one looks what has come.
    Watcher { watcher: usize },
    /// The operator looks at the members.
    Operator,
    /// Something goes wrong.
    Strike,
    /// The same, beside the usual pace.
    Accident,
    /// A member looks after the room on its disk.
    Tend { place: usize, life: u64 },
    /// Somebody else eats what is free on a disk, or stops that.
    Hog { place: usize },
    /// A leader that was marked is lost.
    Hunted { place: usize, life: u64 },
    /// A member whose process ends again and again does so.
    Looped { place: usize, life: u64 },
    /// A flapping partition changes.
    Flap { number: u64 },
    /// The network is whole again.
    Mend { number: u64 },
}

/// See the module.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    /// Nanoseconds since the beginning.
    pub(crate) now: u64,
    pub(crate) heap: crate::heap::Heap<Event>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) network: Network,
    /// Draws faults and what they do.
    pub(crate) chance: Random,
    /// Draws how long the disks take.
    disk_time: Random,
    pub(crate) load: Load,
    pub(crate) watchers: Vec<Watcher>,
    pub(crate) raft: RaftChecks,
    pub(crate) history: History,
    pub(crate) leases: LeaseChecks,
    pub(crate) locks: LockChecks,
    pub(crate) lockers: Vec<Locker>,
    pub(crate) trace: Trace,
    pub(crate) counters: BTreeMap<&'static str, u64>,
    /// Disturbances of the network so far.
    pub(crate) disturbances: u64,
    /// Calls that clients have ready.
    pub(crate) next_calls: BTreeMap<usize, crate::call::Ask>,
    pub(crate) hunt: crate::hunt::Hunt,
    pub(crate) crash_loop: crate::loops::CrashLoop,
    /// The operator waits for an answer.
    pub(crate) operator_waits: bool,
    /// The next database that arrives has a bit wrong.
    pub(crate) damage_next: bool,
    /// The end is near: nothing goes wrong any more, and clients ask nothing new.
    pub(crate) settling: bool,
    /// Answers to the simulator's own calls, by machine.
    pub(crate) probed: BTreeMap<usize, crate::call::Outcome>,
    /// Nothing is left to try: the only copy is damaged.
    pub(crate) over: bool,
    pub(crate) violation: Option<Violation>,
}

/// What a turn takes at least, in nanoseconds: so time passes for who does nothing but take turns.
const TURN_MIN: u64 = 1_000;
/// Turns in a row for which nothing has come and no time was waited for.
const SPINS_MAX: u32 = 1_000;
/// How long a core takes to begin a turn, at most, in nanoseconds.
const TURN_DELAY_MAX: u64 = 50_000;
/// A write that waits for space tries again so often.
const SPACE_PAUSE: u64 = 100 * MILLIS;

impl World {
    pub(crate) fn new(seed: u64, options: Options) -> World {
        let names: Vec<String> = (0..options.members).map(|place| format!("m{place}")).collect();
        let mut chance = Random::stream(seed, "faults");
        let mut machines: Vec<Machine> =
            (0..options.members).map(|place| Machine::new(place, &names, &options)).collect();
        for machine in &mut machines {
            machine.drift = chance.between(0, 2 * options.drift) as i64 - options.drift as i64;
        }
        let mut world = World {
            seed,
            now: 0,
            heap: crate::heap::Heap::new(),
            machines,
            network: Network::new(seed, &options),
            chance,
            disk_time: Random::stream(seed, "disk"),
            load: Load::new(seed, &options),
            watchers: Vec::new(),
            raft: RaftChecks::default(),
            history: History::new(),
            leases: LeaseChecks::new(options.drift),
            locks: LockChecks::default(),
            lockers: Vec::new(),
            trace: Trace::default(),
            counters: BTreeMap::new(),
            disturbances: 0,
            next_calls: BTreeMap::new(),
            hunt: crate::hunt::Hunt::default(),
            crash_loop: crate::loops::CrashLoop::default(),
            operator_waits: false,
            damage_next: false,
            settling: false,
            probed: BTreeMap::new(),
            over: false,
            violation: None,
            options,
        };
        for place in 0..world.machines.len() {
            let at = world.chance.below(SECOND);
            world.heap.plan(at, Event::Start { place });
        }
        world.plan_clients();
        world.plan_lockers();
        world.heap.plan(10 * SECOND, Event::Strike);
        if world.options.membership || world.options.members > 2 {
            world.heap.plan(12 * SECOND, Event::Operator);
        }
        world
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counters.entry(what).or_default() += 1;
    }

    /// Lets time pass up to `until`, or to the first violation.
    pub(crate) fn run_until(&mut self, until: u64) -> Checked {
        while self.now < until && !self.over {
            let Some((at, event)) = self.heap.next() else { return violation("nothing happens any more") };
            self.now = at;
            self.happen(event);
            if let Some(violation) = self.violation.take() {
                return Err(violation);
            }
        }
        Ok(())
    }

    /// Notes a violation. The first one counts.
    pub(crate) fn judge(&mut self, checked: Checked) {
        if let Err(violation) = checked {
            self.violation.get_or_insert(violation);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Turn { place, life } => self.turn(place, life),
            Event::Work { place, life, part } => self.work(place, life, part),
            Event::Message { from, to, message } => self.message(from, to, message),
            Event::Snapshot { from, to, message, file, sum } => self.snapshot(from, to, message, file, sum),
            Event::Told { place, input } => self.tell(place, input),
            Event::Start { place } => self.start(place),
            Event::Client { client } => self.client(client),
            Event::Watcher { watcher } => self.watcher(watcher),
            Event::Operator => self.operate(),
            Event::Strike | Event::Accident if self.settling => {}
            Event::Accident => self.accident(),
            Event::Strike => {
                self.strike();
                let gap = self.chance.around(self.options.fault_gap);
                self.heap.plan(self.now + gap, Event::Strike);
            }
            Event::Tend { place, life } => self.tend(place, life),
            Event::Hog { place } => self.hog(place),
            Event::Hunted { place, life } => self.hunted(place, life),
            Event::Looped { place, life } => self.looped(place, life),
            Event::Flap { number } => self.flap(number),
            Event::Mend { number } => self.mend(number),
        }
    }

    /// Plans what a machine does next.
    pub(crate) fn touch(&mut self, place: usize) {
        let machine = &mut self.machines[place];
        let (paused, stalled) = (machine.paused_until, machine.stalled_until);
        let due = match &machine.life {
            None => return,
            Some(life) if life.stepped.has_inputs() => Some(self.now + self.disk_time.below(TURN_DELAY_MAX)),
            Some(life) => life.stepped.next_wake().map(|moment| machine.world_time(moment)),
        };
        let Some(life) = &mut machine.life else { return };
        let spins = !life.stepped.has_inputs() && due.is_some_and(|due| due <= self.now);
        life.spins = if spins { life.spins + 1 } else { 0 };
        if life.spins > SPINS_MAX {
            let what = format!("{} wants a turn at once, again and again", machine.name);
            return self.judge(violation(what));
        }
        let due = due.map(|due| due.max(self.now + TURN_MIN).max(paused));
        if let Some(due) = due
            && life.turn_at.is_none_or(|at| due < at)
        {
            life.turn_at = Some(due);
            self.heap.plan(due, Event::Turn { place, life: life.number });
        }
        for part in Part::ALL {
            if !life.busy[part as usize] && life.stepped.take_jobs(part) {
                life.busy[part as usize] = true;
                let usual = self.options.disk_delay;
                let takes = self.disk_time.between(usual / 4, usual);
                let done = (self.now.max(stalled) + takes).max(paused);
                self.heap.plan(done, Event::Work { place, life: life.number, part });
            }
        }
    }

    /// Whether the machine is paused; the event is planned again for when it goes on then.
    fn is_paused(&mut self, place: usize, again: impl FnOnce() -> Event) -> bool {
        let until = self.machines[place].paused_until;
        let paused = until > self.now;
        if paused {
            self.heap.plan(until, again());
        }
        paused
    }

    fn turn(&mut self, place: usize, number: u64) {
        let now = self.now;
        let Some(life) = &mut self.machines[place].life else { return };
        if life.number != number || life.turn_at != Some(now) {
            return;
        }
        life.turn_at = None;
        if self.machines[place].paused_until > now {
            return self.touch(place);
        }
        self.machines[place].set_clock(now);
        if let Some(life) = &mut self.machines[place].life {
            life.stepped.turn();
        }
        self.after_step(place);
    }

    fn work(&mut self, place: usize, number: u64, part: Part) {
        let now = self.now;
        let stalled = self.machines[place].stalled_until;
        if self.is_paused(place, || Event::Work { place, life: number, part }) {
            return;
        }
        let machine = &mut self.machines[place];
        let Some(life) = machine.life.as_mut().filter(|life| life.number == number) else { return };
        if stalled > now && part != Part::Reader {
            return self.heap.plan(stalled, Event::Work { place, life: number, part });
        }
        let waits = life.stepped.work(part, machine.filled);
        life.busy[part as usize] = waits;
        if waits {
            // For space on the disk.
            self.heap.plan(now + SPACE_PAUSE, Event::Work { place, life: number, part });
        }
        self.trace.note(now, "work", &[place as u64, part as u64, machine.disk.io_count()]);
        if machine.disk.power_lost() {
            return self.power_lost(place);
        }
        self.touch(place);
    }

    /// After a turn of a core: checks what it stands at, sends what it wants sent, tells clients.
    pub(crate) fn after_step(&mut self, place: usize) {
        if self.machines[place].disk.power_lost() {
            return self.power_lost(place);
        }
        let machine = &mut self.machines[place];
        machine.published |= machine.life.as_ref().is_some_and(|life| life.stepped.take_published());
        let checked = self.absorb(place);
        self.judge(checked);
        self.mark_leader(place);
        self.send(place);
        self.poll(place);
        self.check_ended(place);
        self.touch(place);
    }
}
