//! Whatever a node is told, in whatever role, it does not panic.
//!
//! One node of a group of three gets arbitrary messages, mixed with what makes it follow, campaign and lead, with
//! ticks, requests and storage reports. Numbers are small or extreme, so that they hit terms and indexes in use
//! as well as the ends of their range.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use bytes::Bytes;
use consensus::{
    AppendWork, ApplyWork, Change, ChangeKind, ConfChange, ConfChangeV2, Config, Level, MemLog, Message,
    MessageKind, RawNode, ReadMode, RoleKind, Transition,
};
use proptest::prelude::*;
use types::raft::{ConfState, Entry, EntryKind, HardState, Snapshot, SnapshotMeta};

#[derive(Clone, Debug)]
enum Action {
    Step(Message),
    StepOwn(Message),
    /// A message that continues the node's own state: the leader's next append, the grant of a vote.
    Plausible(Plausible),
    Tick(u8),
    Campaign,
    Propose(u8),
    ProposeConfChange(ConfChangeV2),
    ApplyConfChange(ConfChangeV2),
    Read,
    Transfer(u64),
    Forget,
    Unreachable(u64),
    SnapshotReport(u64, bool),
    Work,
    Compact,
}

#[derive(Clone, Debug)]
enum Plausible {
    /// Everybody grants what the node asks for.
    Grants,
    /// A leader appends entries of these kinds at the end of the log.
    Append(Vec<EntryKind>),
    /// A follower has everything.
    Acknowledge(u64),
    /// A follower answers the last heartbeat.
    HeartbeatResp(u64),
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0u64..8,
        1 => any::<u64>(),
        1 => (0u64..3).prop_map(|n| u64::MAX - n),
        1 => (0u64..3).prop_map(|n| (1 << 63) + n),
    ]
}

fn payload() -> impl Strategy<Value = Bytes> {
    let change = any_change().prop_map(|change| change.encode());
    prop_oneof![
        Just(Bytes::new()),
        proptest::collection::vec(any::<u8>(), 0..12).prop_map(Bytes::from),
        change
    ]
}

fn kind() -> impl Strategy<Value = EntryKind> {
    prop_oneof![
        4 => Just(EntryKind::Normal),
        1 => Just(EntryKind::ConfChange),
        1 => Just(EntryKind::ConfChangeV2),
    ]
}

fn any_change() -> impl Strategy<Value = ConfChangeV2> {
    let kinds =
        prop_oneof![Just(ChangeKind::AddVoter), Just(ChangeKind::AddLearner), Just(ChangeKind::Remove)];
    let change = (kinds, number()).prop_map(|(kind, id)| Change { kind, id });
    let transition = prop_oneof![
        Just(Transition::Auto),
        Just(Transition::JointImplicit),
        Just(Transition::JointExplicit),
    ];
    (transition, proptest::collection::vec(change, 0..3)).prop_map(|(transition, changes)| ConfChangeV2 {
        transition,
        changes,
        context: Bytes::new(),
    })
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let arbitrary = (number(), number(), kind(), payload()).prop_map(|(term, index, kind, data)| Entry {
        term,
        index,
        kind,
        data,
    });
    let in_order = (number(), number(), 0u64..4).prop_map(|(term, first, count)| {
        let indexes = (0..count).map(|offset| first.wrapping_add(offset));
        indexes.map(|index| Entry { term, index, ..Entry::default() }).collect()
    });
    prop_oneof![proptest::collection::vec(arbitrary, 0..4), in_order]
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let ids = || proptest::collection::vec(number(), 0..4);
    let sane = Just(ConfState { voters: vec![1, 2, 3], ..ConfState::default() });
    let wild = (ids(), ids(), ids(), ids(), any::<bool>()).prop_map(|(v, l, o, n, auto_leave)| ConfState {
        voters: v,
        learners: l,
        voters_outgoing: o,
        learners_next: n,
        auto_leave,
    });
    (number(), number(), prop_oneof![sane, wild]).prop_map(|(index, term, conf_state)| Snapshot {
        meta: SnapshotMeta { index, term, conf_state },
        data: Bytes::new(),
    })
}

fn message() -> impl Strategy<Value = Message> {
    let kinds = proptest::sample::select(MessageKind::ALL.to_vec());
    let numbers = (number(), number(), number(), number(), number(), number());
    let context = prop_oneof![
        payload(),
        Just(Bytes::from_static(b"CampaignTransfer")),
        number().prop_map(|n| Bytes::copy_from_slice(&n.to_le_bytes())),
    ];
    let rest = (entries(), proptest::option::of(snapshot()), any::<bool>(), context, number());
    (kinds, numbers, rest).prop_map(|(kind, numbers, rest)| {
        let (from, term, log_term, index, commit, reject_hint) = numbers;
        let (entries, snapshot, reject, context, to) = rest;
        let snapshot = snapshot.map(Box::new);
        Message {
            kind,
            to,
            from,
            term,
            log_term,
            index,
            entries,
            commit,
            snapshot,
            reject,
            reject_hint,
            context,
        }
    })
}

fn action() -> impl Strategy<Value = Action> {
    let member = || prop_oneof![1u64..5, number()];
    let plausible = prop_oneof![
        Just(Plausible::Grants),
        proptest::collection::vec(kind(), 0..4).prop_map(Plausible::Append),
        (2u64..4).prop_map(Plausible::Acknowledge),
        (2u64..4).prop_map(Plausible::HeartbeatResp),
    ];
    prop_oneof![
        8 => message().prop_map(Action::Step),
        1 => message().prop_map(Action::StepOwn),
        8 => plausible.prop_map(Action::Plausible),
        2 => (1u8..30).prop_map(Action::Tick),
        2 => Just(Action::Campaign),
        3 => (0u8..4).prop_map(Action::Propose),
        1 => any_change().prop_map(Action::ProposeConfChange),
        1 => any_change().prop_map(Action::ApplyConfChange),
        1 => Just(Action::Read),
        1 => member().prop_map(Action::Transfer),
        1 => Just(Action::Forget),
        1 => member().prop_map(Action::Unreachable),
        1 => (member(), any::<bool>()).prop_map(|(id, delivered)| Action::SnapshotReport(id, delivered)),
        6 => Just(Action::Work),
        1 => Just(Action::Compact),
    ]
}

/// The node under test, with its driver.
struct Target {
    node: RawNode<MemLog>,
    asynchronous: bool,
    applied: u64,
    conf_state: ConfState,
}

impl Target {
    fn new(bits: u8) -> Target {
        let conf_state = ConfState { voters: vec![1, 2, 3], learners: vec![4], ..ConfState::default() };
        let meta = SnapshotMeta { index: 2, term: 1, conf_state: conf_state.clone() };
        let snapshot = Snapshot { meta, data: Bytes::new() };
        let log = MemLog::restore(HardState::default(), snapshot, vec![]).unwrap();
        let on = |bit: u8| bits & (1 << bit) != 0;
        let config = Config {
            async_storage_writes: on(0),
            check_quorum: on(1) || on(2),
            pre_vote: on(3),
            read_mode: if on(2) { ReadMode::LeaseBased } else { ReadMode::Safe },
            step_down_on_removal: on(4),
            conf_change_validation: on(5),
            inflight_messages_max: if on(6) { 1 } else { 256 },
            message_bytes_max: if on(7) { 0 } else { 1 << 20 },
            uncommitted_bytes_max: if on(6) { 10 } else { 0 },
            log_level: Level::Debug,
            ..Config::new(1)
        };
        let asynchronous = config.async_storage_writes;
        Target { node: RawNode::new(config, log).unwrap(), asynchronous, applied: 2, conf_state }
    }

    fn act(&mut self, action: Action) {
        let node = &mut self.node;
        match action {
            Action::Step(message) => drop(node.step(message)),
            Action::StepOwn(message) => drop(node.step_own(message)),
            Action::Plausible(what) => self.plausible(what),
            Action::Tick(count) => (0..count).for_each(|_| node.tick()),
            Action::Campaign => drop(node.campaign()),
            Action::Propose(count) => {
                drop(node.propose_batch((0..count).map(|_| Bytes::from_static(b"proposal"))));
            }
            Action::ProposeConfChange(change) => drop(node.propose_conf_change(change)),
            Action::ApplyConfChange(change) => drop(node.apply_conf_change(change)),
            Action::Read => node.read_index(Bytes::from_static(b"read")),
            Action::Transfer(to) => node.transfer_leader(to),
            Action::Forget => node.forget_leader(),
            Action::Unreachable(id) => node.report_unreachable(id),
            Action::SnapshotReport(id, delivered) => node.report_snapshot(id, delivered),
            Action::Work => self.work(),
            Action::Compact => {
                let (index, conf_state) = (self.applied, self.conf_state.clone());
                let _ = node.store_mut().create_snapshot(index, Some(conf_state), Bytes::new());
                let _ = node.store_mut().compact(index);
            }
        }
        self.node.take_log_lines();
    }

    fn plausible(&mut self, what: Plausible) {
        let status = self.node.basic_status();
        let (term, last) = (status.hard_state.term, status.last_index);
        let message = |kind, from| Message { kind, from, to: 1, term, ..Message::default() };
        match what {
            Plausible::Grants => {
                for from in [2, 3] {
                    let pre =
                        Message { term: term.saturating_add(1), ..message(MessageKind::PreVoteResp, from) };
                    drop(self.node.step(pre));
                    let term = self.node.basic_status().hard_state.term;
                    drop(self.node.step(Message { term, ..message(MessageKind::VoteResp, from) }));
                }
            }
            Plausible::Append(kinds) => {
                let log_term = self.node.term(last).unwrap_or(0);
                let term = term.max(log_term).max(1);
                let entries: Vec<Entry> = (last + 1..)
                    .zip(kinds)
                    .map(|(index, kind)| Entry { term, index, kind, ..Entry::default() })
                    .collect();
                let commit = last + entries.len() as u64;
                let append = message(MessageKind::Append, 2);
                drop(self.node.step(Message { term, log_term, index: last, entries, commit, ..append }));
            }
            Plausible::Acknowledge(from) => {
                drop(self.node.step(Message { index: last, ..message(MessageKind::AppendResp, from) }));
            }
            Plausible::HeartbeatResp(from) => {
                let context = Bytes::copy_from_slice(&1u64.to_le_bytes());
                drop(self.node.step(Message { context, ..message(MessageKind::HeartbeatResp, from) }));
            }
        }
    }

    fn work(&mut self) {
        let ready = self.node.ready();
        if let Some(work) = ready.append {
            self.append(work);
        }
        if let Some(ApplyWork { entries, ack }) = ready.apply {
            for entry in entries {
                self.applied = entry.index;
                if let Ok(Some(change)) = ConfChangeV2::from_entry(&entry)
                    && let Ok(conf_state) = self.node.apply_conf_change(change)
                {
                    self.conf_state = conf_state;
                }
            }
            ack.iter().for_each(|ack| self.node.applied(ack));
        }
        if !self.asynchronous {
            self.node.advance();
        }
    }

    fn append(&mut self, work: AppendWork) {
        if let Some(snapshot) = &work.snapshot {
            self.applied = snapshot.meta.index;
            self.conf_state = snapshot.meta.conf_state.clone();
            self.node.store_mut().apply_snapshot(snapshot.clone()).unwrap();
        }
        self.node.store_mut().append(work.entries).unwrap();
        drop(self.node.persisted(work.responses, work.ack));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(4000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_panics(bits in any::<u8>(), actions in proptest::collection::vec(action(), 1..50)) {
        let mut target = Target::new(bits);
        actions.into_iter().for_each(|action| target.act(action));
        prop_assert_eq!(target.node.fault(), None);
        let status = target.node.basic_status();
        prop_assert!(status.applied <= status.hard_state.commit && status.hard_state.commit <= status.last_index);
    }
}

#[test]
fn the_actions_reach_every_role() {
    let mut target = Target::new(0b1000);
    let role = |target: &Target| target.node.basic_status().soft_state.role;
    target.act(Action::Campaign);
    assert_eq!(role(&target), RoleKind::PreCandidate);
    target.act(Action::Work);
    target.act(Action::Plausible(Plausible::Grants));
    target.act(Action::Work);
    assert_eq!(role(&target), RoleKind::Leader);
    target.act(Action::Propose(1));
    target.act(Action::Plausible(Plausible::Acknowledge(2)));
    for _ in 0..3 {
        target.act(Action::Work);
    }
    assert!(target.applied > 2);
    let change = Change { kind: ChangeKind::Remove, id: 4 };
    target.act(Action::ProposeConfChange(ConfChange { change, ..ConfChange::default() }.into()));
    target.act(Action::Plausible(Plausible::Append(vec![EntryKind::Normal])));
    assert_eq!(role(&target), RoleKind::Leader, "a second leader of the term is ignored");
}
