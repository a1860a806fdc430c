//! An operator who changes the membership: adds a learner, starts it, promotes it, removes somebody, one step at a time,
//! each after a look at the list of members. What became of a step that was not answered, the next look tells.

use node::{Config, PeerAddress, RunningCluster};
use proto::etcdserverpb as pb;
use types::{ClusterId, MemberId};

use crate::{
    call::{Answer, Ask, Outcome},
    clients::OPERATOR,
    machine::{Machine, peer_url},
    options::SECOND,
    world::{Event, World},
};

/// Members are added up to so many beyond the first.
const MEMBERS_MORE: usize = 2;

/// The name of the machine that a peer URL leads to.
fn name_in(url: &str) -> String {
    url.trim_start_matches("http://").trim_end_matches(":2380").to_string()
}

impl World {
    /// The operator looks.
    pub(crate) fn operate(&mut self) {
        if self.settling {
            return;
        }
        let needed = self.options.membership || self.machines.iter().any(|machine| machine.broken);
        let pause = if needed { self.load.random.around(5 * SECOND) } else { 5 * SECOND };
        self.heap.plan(self.now + pause, Event::Operator);
        if self.operator_waits || !needed {
            return;
        }
        let Some(place) = self.leader() else { return };
        self.ask_as_operator(place, Ask::Members(pb::MemberListRequest { linearizable: true }));
    }

    fn ask_as_operator(&mut self, place: usize, ask: Ask) {
        self.operator_waits = true;
        self.call(OPERATOR, place, ask);
    }

    /// The member that the operator asked is gone.
    pub(crate) fn operator_lost(&mut self) {
        self.operator_waits = false;
    }

    /// What the operator was told.
    pub(crate) fn operator_told(&mut self, place: usize, outcome: &Outcome) {
        self.operator_waits = false;
        if matches!(outcome, Err(node::Error::Unhealthy)) {
            // Refused at once, so nobody leaves who has not left already.
            self.machines
                .iter_mut()
                .filter(|machine| !machine.gone)
                .for_each(|machine| machine.leaving = false);
        }
        if let Ok(Answer::Members(list)) = outcome
            && !self.settling
        {
            let cluster = list.header.as_ref().map_or(0, |header| header.cluster_id);
            self.follow(&list.members);
            let started = self.start_added(cluster, &list.members);
            if !started {
                self.next_step(place, &list.members);
            }
        }
    }

    /// Machines of members that are none any more are taken away.
    fn follow(&mut self, members: &[pb::Member]) {
        for place in 0..self.machines.len() {
            let machine = &mut self.machines[place];
            machine.voter |= members.iter().any(|member| member.id == machine.id.0 && !member.is_learner);
            let known = members.iter().any(|member| member.id == machine.id.0);
            if machine.id.0 != 0 && !known && machine.leaving {
                machine.gone = true;
                self.kill(place);
            }
        }
    }

    /// Members that nobody has started yet get a machine; whether there were any.
    fn start_added(&mut self, cluster: u64, members: &[pb::Member]) -> bool {
        let mut any = false;
        for member in members {
            let Some(url) = member.peer_ur_ls.first() else { continue };
            if self.machines.iter().any(|machine| peer_url(&machine.name) == *url) {
                continue;
            }
            let name = name_in(url);
            let mut machine = self.joining(name, cluster, members);
            machine.id = MemberId(member.id);
            self.machines.push(machine);
            let place = self.machines.len() - 1;
            self.trace.note(self.now, "join", &[place as u64, member.id]);
            self.heap.plan(self.now + SECOND, Event::Start { place });
            any = true;
        }
        any
    }

    fn joining(&mut self, name: String, cluster: u64, members: &[pb::Member]) -> Machine {
        let address =
            |member: &pb::Member| PeerAddress { id: MemberId(member.id), urls: member.peer_ur_ls.clone() };
        let pair = |member: &pb::Member| {
            // Those that have not started yet have not said their names.
            format!("{}={}", name_in(&member.peer_ur_ls[0]), member.peer_ur_ls[0])
        };
        let initial: Vec<String> = members.iter().map(pair).collect();
        let running = RunningCluster {
            id: ClusterId(cluster),
            members: members.iter().map(address).collect(),
            started: Vec::new(),
        };
        let names = [name];
        let mut machine = Machine::new(0, &names, &self.options);
        machine.config = Config {
            initial_cluster: initial.join(","),
            join_existing: true,
            running_cluster: Some(running),
            ..machine.config
        };
        machine.voter = false;
        let drift = self.options.drift;
        machine.drift = self.chance.between(0, 2 * drift) as i64 - drift as i64;
        machine
    }

    fn next_step(&mut self, place: usize, members: &[pb::Member]) {
        let broken = |member: &&pb::Member| {
            self.machines.iter().any(|machine| machine.broken && machine.id.0 == member.id)
        };
        if let Some(id) = members.iter().find(broken).map(|member| member.id) {
            self.count("hurt member replaced");
            let ask = self.removal(id);
            return self.ask_as_operator(place, ask);
        }
        let whole = members.len() >= self.options.members && members.iter().all(|member| !member.is_learner);
        if whole && !self.options.membership {
            return;
        }
        if let Some(learner) = members.iter().find(|member| member.is_learner) {
            let id = learner.id;
            let ask = if self.options.membership && self.load.random.one_in(8) {
                self.removal(id)
            } else {
                Ask::Promote(pb::MemberPromoteRequest { id })
            };
            return self.ask_as_operator(place, ask);
        }
        let most = self.options.members + MEMBERS_MORE;
        let add = members.len() < 3 || !self.options.membership || self.load.random.one_in(2);
        let ask = if members.len() < most && add {
            let url = peer_url(&format!("m{}", self.machines.len()));
            // A voter that nobody has started yet must not cost the quorum: without one, nobody can be asked for it.
            let is_learner = members.len() < 3 || !self.options.membership || !self.load.random.one_in(4);
            Ask::Add(pb::MemberAddRequest { peer_ur_ls: vec![url], is_learner })
        } else if members.len() > 1 {
            let id = self.load.random.pick(members).id;
            self.removal(id)
        } else {
            return;
        };
        self.ask_as_operator(place, ask);
    }

    fn removal(&mut self, id: u64) -> Ask {
        if let Some(machine) = self.machines.iter_mut().find(|machine| machine.id.0 == id) {
            machine.leaving = true;
        }
        Ask::Remove(pb::MemberRemoveRequest { id })
    }
}
