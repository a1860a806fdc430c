//! Clients: who asks what of which member, and what becomes of the answers.

use crate::{
    call::{Answer, Ask, Outcome, Who, call},
    load::Seen,
    lockers::LOCKERS,
    machine::{Life, OpenCall},
    options::{MILLIS, SECOND},
    world::{Event, World},
};

/// The simulator's own calls.
const PROBE: usize = usize::MAX;
/// Calls of who changes the membership.
pub(crate) const OPERATOR: usize = usize::MAX - 1;
/// Where clients are lively by turns: so many seconds of so many.
const BURST: u64 = 12;
const BURST_EVERY: u64 = 100;

impl World {
    /// Plans the first call of each client and the first stream of each watcher.
    pub(crate) fn plan_clients(&mut self) {
        for client in 0..self.options.clients {
            let at = 2 * SECOND + self.load.random.below(SECOND);
            self.heap.plan(at, Event::Client { client });
        }
        self.plan_watchers();
    }

    /// A place where a member runs; most clients find one that takes calls now, some wait at one that is paused.
    pub(crate) fn serving(&mut self) -> Option<usize> {
        let patient = self.load.random.one_in(3);
        let ready = |place: &usize| {
            let machine = &self.machines[*place];
            machine.life.is_some() && (patient || machine.paused_until <= self.now)
        };
        let places: Vec<usize> = (0..self.machines.len()).filter(ready).collect();
        if places.is_empty() { None } else { Some(*self.load.random.pick(&places)) }
    }

    /// A client makes its next call.
    pub(crate) fn client(&mut self, client: usize) {
        if self.settling {
            return;
        }
        if client >= LOCKERS {
            return self.locker(client);
        }
        let Some(mut place) = self.serving() else {
            return self.heap.plan(self.now + SECOND, Event::Client { client });
        };
        let ask = self.next_calls.remove(&client).unwrap_or_else(|| {
            let model = &self.history.model;
            let alarm = model.alarms.now().first().copied();
            let seen = Seen { revision: model.revision, compacted: model.compacted, alarm };
            let ids: Vec<u64> = self.machines.iter().map(|machine| machine.id.0).collect();
            self.load.draw(seen, &ids)
        });
        if let Ask::Range(range) = &ask
            && !range.serializable
            && let Some(near) = self.near_trouble()
            && self.load.random.one_in(2)
        {
            place = near;
        }
        if let Ask::Compact(_) = &ask
            && self.options.close
        {
            // Somebody begins to read what is about to go.
            self.move_watcher();
        }
        if let Ask::KeepAlive(_) | Ask::MoveLeader(_) = &ask
            && let Some(leader) = self.leader()
        {
            // Only a leader answers these; others pass them on outside of the core.
            place = leader;
        }
        if let Ask::Revoke(request) = &ask {
            self.leases.revoke_asked(request.id);
        }
        self.call(client, place, ask);
    }

    /// A place whose member takes itself for the leader.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.machines.iter().position(|machine| {
            let figures = machine.life.as_ref().and_then(|life| life.stepped.figures());
            figures.is_some_and(|figures| figures.leader == machine.id.0)
        })
    }

    /// A place that is more likely than others to tell what is long past: one that still takes itself for the leader, or
    /// one that starts again and again.
    fn near_trouble(&self) -> Option<usize> {
        let newest = self.raft.newest_term_led();
        self.machines.iter().enumerate().position(|(place, machine)| {
            let Some(life) = machine.life.as_ref().filter(|_| machine.paused_until <= self.now) else {
                return false;
            };
            let deposed = |figures: node::stepping::RaftFigures| {
                figures.leader == machine.id.0 && figures.term < newest
            };
            self.is_looping(place) || life.stepped.figures().is_some_and(deposed)
        })
    }

    /// A client's mean pause between two calls, now.
    fn think(&self) -> u64 {
        let calm = self.now / SECOND % BURST_EVERY >= BURST;
        if calm && self.options.lull > 0 { self.options.lull } else { self.options.think }
    }

    /// A call of the simulator itself; its answer is in `probed`.
    pub(crate) fn probe(&mut self, place: usize, ask: Ask) {
        self.probed.remove(&place);
        self.call(PROBE, place, ask);
    }

    /// Whether such a call has yet to be answered.
    pub(crate) fn is_probed(&self, place: usize) -> bool {
        let life = self.machines[place].life.as_ref();
        life.is_some_and(|life| life.calls.iter().any(|open| open.client == PROBE))
    }

    pub(crate) fn call(&mut self, client: usize, place: usize, ask: Ask) {
        let who = match &ask {
            _ if client >= LOCKERS => Who::Internal,
            // Nobody else may, mostly.
            Ask::Auth(_) | Ask::Alarm(_) if self.load.random.below(8) > 0 => {
                self.load.root(self.history.model.users.now())
            }
            _ => self.load.who(self.history.model.users.now()),
        };
        let applied = self.raft.applied_by(self.machines[place].id.0);
        let called = self.history.called(&ask, self.now, applied);
        let Some(life) = &mut self.machines[place].life else { return };
        let pending = call(life.port.clone(), &who, ask.clone());
        life.calls.push(OpenCall { client, who, ask, called, pending });
        life.wake();
        self.poll(place);
        self.touch(place);
    }

    /// Carries requests to a core and answers to clients.
    pub(crate) fn poll(&mut self, place: usize) {
        while let Some(life) = self.machines[place].life.as_mut().filter(|life| life.is_woken()) {
            let ended = life.poll();
            for (open, outcome) in ended {
                self.answered(place, open, outcome);
            }
            self.poll_streams(place, false);
        }
    }

    fn answered(&mut self, place: usize, open: OpenCall, outcome: Outcome) {
        let OpenCall { client, who, ask, mut called, .. } = open;
        let shown = outcome.as_ref().map_or(-1, Answer::revision);
        self.trace.note(self.now, "answer", &[place as u64, client as u64, shown as u64]);
        self.count(if outcome.is_ok() { ask.name() } else { "call failed" });
        if let Ok(Answer::KeepAlive(renewed)) = &outcome
            && renewed.header.as_ref().is_some_and(|header| header.raft_term < self.raft.newest_term_led())
        {
            // A leader that does not know yet that it is none need not know newer leases, in etcd neither.
            called.had_lease = false;
        }
        if let Err(node::Error::Storage(_)) = &outcome
            && self.machines[place].may_give_up()
        {
            self.count("hurt member refused to answer");
        } else if let Err(node::Error::Rejected(node::Rejection::NoSpace)) = &outcome
            && self.was_full(called.at)
        {
            self.count("refused for lack of space");
        } else {
            let checked = self.history.answered(&who, &ask, called, &outcome);
            self.judge(checked);
        }
        match (&ask, &outcome) {
            (Ask::Grant(_), Ok(Answer::Grant(grant))) => {
                if client < LOCKERS {
                    self.load.granted(grant.id);
                }
                // The answer may come when the lease has ended.
                if self.history.model.leases.contains_key(&grant.id) {
                    self.leases.promised(grant.id, grant.ttl, called.at);
                }
            }
            (Ask::KeepAlive(_), Ok(Answer::KeepAlive(renewed)))
                if renewed.ttl > 0 && self.history.model.leases.contains_key(&renewed.id) =>
            {
                self.leases.promised(renewed.id, renewed.ttl, called.at);
            }
            _ => {}
        }
        if client == PROBE {
            self.probed.insert(place, outcome);
        } else if client == OPERATOR {
            self.operator_told(place, &outcome);
        } else if client >= LOCKERS {
            self.locker_told(client, &ask, called, &outcome);
        } else {
            let think = self.think();
            let think = self.load.random.around(think);
            let think = if self.follow_up(client, &ask, &outcome) { think.min(MILLIS) } else { think };
            self.heap.plan(self.now + think, Event::Client { client });
        }
    }

    /// Whether the client has its next call ready. What follows a compaction closely may be a fault, too.
    fn follow_up(&mut self, client: usize, ask: &Ask, outcome: &Outcome) -> bool {
        let Ok(answer) = outcome else { return false };
        if !self.options.close || self.settling {
            return false;
        }
        if let Ask::Compact(_) = ask
            && !self.options.faults.is_empty()
            && self.chance.one_in(4)
        {
            let soon = self.chance.below(300 * MILLIS);
            self.heap.plan(self.now + soon, Event::Accident);
        }
        let next = self.load.follow(ask, answer.revision());
        let any = next.is_some();
        self.next_calls.extend(next.map(|next| (client, next)));
        any
    }

    /// The member is gone: nobody knows what became of the calls, and all streams are broken.
    pub(crate) fn abandon(&mut self, life: Life) {
        for open in &life.calls {
            self.count("call lost");
            if open.client == OPERATOR {
                self.operator_lost();
            } else if open.client != PROBE {
                let think = self.think();
                let think = self.load.random.around(think);
                self.heap.plan(self.now + think, Event::Client { client: open.client });
            }
        }
        for stream in &life.streams {
            self.watchers[stream.watcher].at = None;
            let pause = self.load.random.around(SECOND);
            self.heap.plan(self.now + pause, Event::Watcher { watcher: stream.watcher });
        }
    }
}
