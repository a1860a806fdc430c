//! The members, the network between them, and the next random thing to happen.

use bytes::Bytes;
use consensus::{Change, ChangeKind, ConfChangeV2, MemLog, Message, MessageKind, RoleKind, Transition};
use types::raft::{ConfState, HardState, Snapshot, SnapshotMeta};

use crate::{
    checks::Checks,
    member::{Member, Read},
    random::Random,
};

/// What kind of cluster it is.
pub(crate) struct Scenario {
    pub(crate) asynchronous: bool,
    /// With pre-votes and check-quorum.
    pub(crate) guarded: bool,
    /// With bounds so small that each of them is reached all the time.
    pub(crate) tiny: bool,
    pub(crate) conf_changes: bool,
}

impl Default for Scenario {
    fn default() -> Scenario {
        Scenario { asynchronous: true, guarded: true, tiny: false, conf_changes: false }
    }
}

const MEMBERS: u64 = 5;

pub(crate) struct Cluster {
    members: Vec<Member>,
    network: Vec<Message>,
    /// Members with different values cannot talk.
    side: Vec<u64>,
    checks: Checks,
    random: Random,
    conf_changes: bool,
    guarded: bool,
    proposals: u64,
    /// Everything that was delivered, as a digest.
    trace: u64,
}

impl Cluster {
    /// Three voters that share a snapshot; with conf changes, two more members who know nothing yet.
    pub(crate) fn new(scenario: &Scenario, random: Random) -> Cluster {
        let conf_state = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
        let meta = SnapshotMeta { index: 1, term: 1, conf_state };
        let founded = Snapshot { meta, data: Bytes::copy_from_slice(&[0; 8]) };
        let disk = |id| {
            let snapshot = if id <= 3 { founded.clone() } else { Snapshot::default() };
            MemLog::restore(HardState::default(), snapshot, vec![]).expect("no entries, no gap")
        };
        let count = if scenario.conf_changes { MEMBERS } else { 3 };
        Cluster {
            members: (1..=count).map(|id| Member::new(id, disk(id), scenario)).collect(),
            network: Vec::new(),
            side: vec![0; count as usize],
            checks: Checks::default(),
            random,
            conf_changes: scenario.conf_changes,
            guarded: scenario.guarded,
            proposals: 0,
            trace: 0,
        }
    }

    pub(crate) fn applied(&self) -> u64 {
        self.checks.applied_max()
    }

    pub(crate) fn trace(&self) -> (u64, u64) {
        (self.trace, self.applied())
    }

    fn any_member(&mut self) -> usize {
        self.random.below(self.members.len() as u64) as usize
    }

    pub(crate) fn random_step(&mut self) {
        let at = self.any_member();
        match self.random.below(1000) {
            0..450 => self.deliver_any(),
            450..730 => self.work(at),
            730..800 => self.tick(at),
            800..880 => self.propose(at),
            880..920 => self.read(at),
            920..926 => self.transfer(at),
            926..940 => self.members[at].compact(self.random.below(8)),
            940..944 => self.side[at] = self.random.below(2),
            944..948 => self.side.fill(0),
            948..951 => self.members[at].crash(),
            951..971 => self.restart(at),
            971..986 if self.conf_changes => self.change_conf(at),
            986..990 => self.campaign(at),
            _ => self.check_logs(),
        }
    }

    /// Delivers, loses or doubles some message.
    fn deliver_any(&mut self) {
        if self.network.is_empty() {
            return;
        }
        // Mostly the oldest: a network that reorders everything makes no progress.
        let oldest = self.random.percent(70);
        let at = if oldest { 0 } else { self.random.below(self.network.len() as u64) as usize };
        let message = self.network.remove(at);
        let (from, to) = (message.from as usize - 1, message.to as usize - 1);
        let cut = self.side.get(from) != self.side.get(to);
        if cut || self.members[to].node.is_none() || self.random.percent(4) {
            self.lose(&message);
            return;
        }
        if self.random.percent(4) {
            self.network.push(message.clone());
        }
        self.deliver(message);
    }

    fn lose(&mut self, message: &Message) {
        let to = message.to;
        match message.kind {
            MessageKind::Snapshot => self.report_snapshot(message, false),
            _ if self.random.percent(30) => {
                self.members[message.from as usize - 1].input(&mut self.checks, |node| {
                    node.report_unreachable(to);
                    Ok(())
                });
            }
            _ => {}
        }
    }

    fn report_snapshot(&mut self, message: &Message, delivered: bool) {
        let to = message.to;
        self.members[message.from as usize - 1].input(&mut self.checks, |node| {
            node.report_snapshot(to, delivered);
            Ok(())
        });
    }

    fn deliver(&mut self, message: Message) {
        for number in [message.to, message.from, message.term, message.index, message.kind.number() as u64] {
            self.trace = (self.trace ^ number).wrapping_mul(0x0100_0000_01b3);
        }
        if message.kind == MessageKind::Snapshot {
            self.report_snapshot(&message, true);
        }
        let to = message.to as usize - 1;
        self.members[to].input(&mut self.checks, |node| node.step(message));
    }

    /// One of the member's threads does something.
    fn work(&mut self, at: usize) {
        let member = &mut self.members[at];
        let messages = match self.random.below(3) {
            0 => member.append_one(&mut self.checks).unwrap_or_default(),
            1 => {
                member.apply_one(&mut self.checks);
                Vec::new()
            }
            _ => member.take_ready(&mut self.checks),
        };
        self.network.extend(messages);
        assert!(self.network.len() < 200_000, "messages pile up");
    }

    fn tick(&mut self, at: usize) {
        self.members[at].input(&mut self.checks, |node| {
            node.tick();
            Ok(())
        });
    }

    fn propose(&mut self, at: usize) {
        let count = 1 + self.random.below(4);
        let first = self.proposals;
        self.proposals += count;
        let batch = (first..first + count).map(|number| Bytes::from(format!("entry {number}")));
        self.members[at].input(&mut self.checks, |node| node.propose_batch(batch));
    }

    fn read(&mut self, at: usize) {
        let at_least = self.checks.applied_max();
        let name = Bytes::copy_from_slice(&self.random.next().to_le_bytes());
        let member = &mut self.members[at];
        if member.node.is_some() {
            member.reads.push(Read { name: name.clone(), at_least });
        }
        member.input(&mut self.checks, |node| {
            node.read_index(name);
            Ok(())
        });
    }

    fn transfer(&mut self, at: usize) {
        let to = 1 + self.any_member() as u64;
        self.members[at].input(&mut self.checks, |node| {
            node.transfer_leader(to);
            Ok(())
        });
    }

    fn campaign(&mut self, at: usize) {
        self.members[at].input(&mut self.checks, |node| node.campaign());
    }

    fn restart(&mut self, at: usize) {
        if self.members[at].node.is_none() {
            self.members[at].start();
        }
    }

    fn change_conf(&mut self, at: usize) {
        let kinds = [ChangeKind::AddVoter, ChangeKind::AddVoter, ChangeKind::AddLearner, ChangeKind::Remove];
        let count = self.random.below(4);
        let mut any_change = || {
            let kind = kinds[self.random.below(4) as usize];
            Change { kind, id: 1 + self.random.below(MEMBERS) }
        };
        let changes = (0..count).map(|_| any_change()).collect();
        let transitions = [Transition::Auto, Transition::JointImplicit, Transition::JointExplicit];
        let transition =
            if count == 0 { Transition::Auto } else { transitions[self.random.below(3) as usize] };
        let change = ConfChangeV2 { transition, changes, ..ConfChangeV2::default() };
        self.members[at].input(&mut self.checks, |node| node.propose_conf_change(change));
    }

    fn check_logs(&mut self) {
        for (position, member) in self.members.iter().enumerate() {
            for other in &self.members[..position] {
                Checks::logs_match(member.disk(), other.disk());
            }
        }
    }

    /// The network delivers everything in order, everybody is up: there must be progress, for everybody in
    /// the configuration.
    pub(crate) fn heal(&mut self) {
        self.side.fill(0);
        (0..self.members.len()).for_each(|at| self.restart(at));
        for round in 0..400 {
            (0..self.members.len()).for_each(|at| self.tick(at));
            self.settle();
            if round % 40 == 39 {
                let Some(leader) = self.leader() else {
                    (0..self.members.len()).for_each(|at| self.restart(at));
                    continue;
                };
                self.propose(leader);
                self.settle();
            }
        }
        self.check_logs();
        if self.conf_changes && !self.guarded {
            // A removed member raises the terms of others, which the leader never hears of.
            return;
        }
        let Some(leader) = self.leader() else {
            assert!(self.waits_for_removed_members(), "a healed cluster has a leader");
            return;
        };
        let (applied, conf_state) = (self.members[leader].applied, self.members[leader].conf_state.clone());
        assert_eq!(applied, self.checks.applied_max(), "the leader has applied everything");
        for id in conf_state.voters.iter().chain(&conf_state.learners) {
            assert_eq!(self.members[*id as usize - 1].applied, applied, "member {id} did not catch up");
        }
    }

    /// Whether a voter that does not know the newest configuration needs votes of members that it removed,
    /// which have longer logs, so they refuse, and are no voters, so they do not campaign. Upstream's way of
    /// changing configurations (when applied, not when appended) allows that after a crash.
    fn waits_for_removed_members(&self) -> bool {
        self.members.iter().zip(1..).any(|(member, id)| {
            let state = &member.conf_state;
            member.applied > 0 && !state.voters.contains(&id) && !state.voters_outgoing.contains(&id)
        })
    }

    /// Lets everybody work and delivers all messages until nothing is left.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            for at in 0..self.members.len() {
                let member = &mut self.members[at];
                self.network.extend(member.take_ready(&mut self.checks));
                while let Some(messages) = member.append_one(&mut self.checks) {
                    self.network.extend(messages);
                }
                while member.apply_one(&mut self.checks) {}
            }
            let messages = std::mem::take(&mut self.network);
            if messages.is_empty() && self.members.iter().all(Member::is_idle) {
                return;
            }
            for message in messages {
                match self.members[message.to as usize - 1].node {
                    Some(_) => self.deliver(message),
                    None => self.lose(&message),
                }
            }
        }
        panic!("the cluster talks for ever");
    }

    /// The leader of the highest term.
    fn leader(&self) -> Option<usize> {
        let leading = |member: &Member| {
            let status = member.node.as_ref()?.basic_status();
            (status.soft_state.role == RoleKind::Leader).then_some(status.hard_state.term)
        };
        let terms = self.members.iter().enumerate().filter_map(|(at, member)| Some((leading(member)?, at)));
        terms.max().map(|(_, at)| at)
    }
}
