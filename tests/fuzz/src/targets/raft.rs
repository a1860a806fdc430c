//! One node of a group, and whatever it is told, in whatever role.

use bytes::Bytes;
use consensus::{
    AppendWork, ApplyWork, Change, ChangeKind, ConfChangeV2, Config, MemLog, Message, MessageKind, RawNode,
    ReadMode, Transition,
};
use peer::fuzzing;
use types::raft::{ConfState, Entry, EntryKind, HardState, Snapshot, SnapshotMeta};

use super::peer::messages;
use crate::{
    Target,
    input::{Input, long},
    meter,
};

pub(crate) const STEP: Target = Target {
    name: "raft",
    what: "any messages, ticks, proposals and reports, in any order, in any role",
    run,
    seeds,
    memory,
    len_max: 2 << 10,
};

/// Two bytes are 29 ticks, each a message to every member, which are kept until the driver of the node takes them: here
/// that may be never, in the product it is at the end of each turn.
fn memory(input: &[u8]) -> usize {
    (16 << 10) * input.len() + (512 << 10)
}

struct Node {
    raw: RawNode<MemLog>,
    asynchronous: bool,
    applied: u64,
    conf_state: ConfState,
}

fn run(input: &[u8]) {
    let mut input = Input(input);
    let mut node = Node::new(input.byte());
    while !input.is_empty() {
        node.act(&mut input);
        assert_eq!(node.raw.fault(), None);
        node.raw.take_log_lines();
        let status = node.raw.basic_status();
        let (commit, last) = (status.hard_state.commit, status.last_index);
        assert!(status.applied <= commit && commit <= last, "{} {commit} {last}", status.applied);
    }
    meter::aside(|| drop(node));
}

fn ids(input: &mut Input<'_>) -> Vec<u64> {
    (0..input.choice(4)).map(|_| input.number()).collect()
}

fn entries(input: &mut Input<'_>) -> Vec<Entry> {
    let kinds = [EntryKind::Normal, EntryKind::Normal, EntryKind::ConfChange, EntryKind::ConfChangeV2];
    let (in_order, term, first) = (input.flag(), input.number(), input.number());
    let entry = |number: u64, input: &mut Input<'_>| {
        let kind = kinds[input.choice(kinds.len())];
        if in_order {
            return Entry { term, index: first.wrapping_add(number), kind, data: Bytes::new() };
        }
        Entry { term: input.number(), index: input.number(), kind, data: input.bytes() }
    };
    (0..input.choice(4) as u64).map(|number| entry(number, input)).collect()
}

fn change(input: &mut Input<'_>) -> ConfChangeV2 {
    let kinds = [ChangeKind::AddVoter, ChangeKind::AddLearner, ChangeKind::Remove];
    let transitions = [Transition::Auto, Transition::JointImplicit, Transition::JointExplicit];
    let transition = transitions[input.choice(3)];
    let changes =
        (0..input.choice(4)).map(|_| Change { kind: kinds[input.choice(3)], id: input.number() }).collect();
    ConfChangeV2 { transition, changes, context: Bytes::new() }
}

fn message(input: &mut Input<'_>) -> Message {
    let kind = MessageKind::ALL[input.choice(MessageKind::ALL.len())];
    let flags = input.byte();
    let conf_state = match flags & 2 {
        0 => ConfState { voters: vec![1, 2, 3], ..ConfState::default() },
        _ => ConfState {
            voters: ids(input),
            learners: ids(input),
            voters_outgoing: ids(input),
            learners_next: ids(input),
            auto_leave: flags & 4 != 0,
        },
    };
    let meta = SnapshotMeta { index: input.number(), term: input.number(), conf_state };
    Message {
        kind,
        to: 1,
        from: input.number(),
        term: input.number(),
        log_term: input.number(),
        index: input.number(),
        commit: input.number(),
        reject: flags & 8 != 0,
        reject_hint: input.number(),
        entries: if flags & 16 != 0 { entries(input) } else { Vec::new() },
        snapshot: (flags & 32 != 0).then(|| Box::new(Snapshot { meta, data: Bytes::new() })),
        context: match flags & 0xc0 {
            0 => Bytes::new(),
            0x40 => Bytes::from_static(b"CampaignTransfer"),
            _ => input.bytes(),
        },
    }
}

impl Node {
    fn new(bits: u8) -> Node {
        let conf_state = ConfState { voters: vec![1, 2, 3], learners: vec![4], ..ConfState::default() };
        let meta = SnapshotMeta { index: 2, term: 1, conf_state: conf_state.clone() };
        let log = MemLog::restore(HardState::default(), Snapshot { meta, data: Bytes::new() }, vec![]);
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
            ..Config::new(1)
        };
        let asynchronous = config.async_storage_writes;
        Node { raw: RawNode::new(config, log.unwrap()).unwrap(), asynchronous, applied: 2, conf_state }
    }

    fn act(&mut self, input: &mut Input<'_>) {
        let raw = &mut self.raw;
        match input.choice(20) {
            0..=3 => drop(raw.step(message(input))),
            // As the wire has it.
            4 => {
                if let Some(message) = fuzzing::message(input.long()) {
                    drop(raw.step(message));
                }
            }
            5 => drop(raw.step_own(message(input))),
            6 => (0..input.choice(30)).for_each(|_| raw.tick()),
            7 => drop(raw.campaign()),
            8 => drop(raw.propose_batch((0..input.choice(4)).map(|_| Bytes::from_static(b"proposal")))),
            9 => drop(raw.propose_conf_change(change(input))),
            10 => drop(raw.apply_conf_change(change(input))),
            11 => raw.read_index(Bytes::from_static(b"read")),
            12 => raw.transfer_leader(input.number()),
            13 => raw.forget_leader(),
            14 => raw.report_unreachable(input.number()),
            15 => {
                let (id, delivered) = (input.number(), input.flag());
                raw.report_snapshot(id, delivered);
            }
            16 => {
                let _ = raw.store_mut().create_snapshot(
                    self.applied,
                    Some(self.conf_state.clone()),
                    Bytes::new(),
                );
                let _ = raw.store_mut().compact(self.applied);
            }
            17 => self.grant(),
            18 => self.continue_log(input),
            _ => self.work(),
        }
    }

    /// Everybody grants what the node asks for.
    fn grant(&mut self) {
        for from in [2, 3] {
            for kind in [MessageKind::PreVoteResp, MessageKind::VoteResp] {
                let term = self.raw.basic_status().hard_state.term;
                let term = if kind == MessageKind::PreVoteResp { term.saturating_add(1) } else { term };
                drop(self.raw.step(Message { kind, from, to: 1, term, ..Message::default() }));
            }
        }
    }

    /// A leader goes on where the log ends, or a follower has all of it.
    fn continue_log(&mut self, input: &mut Input<'_>) {
        let status = self.raw.basic_status();
        let (term, last) = (status.hard_state.term, status.last_index);
        let log_term = self.raw.term(last).unwrap_or(0);
        let term = term.max(log_term).max(1);
        let message = match input.choice(3) {
            0 => {
                let count = input.choice(4) as u64;
                let indexes = last.saturating_add(1)..last.saturating_add(1).saturating_add(count);
                let entries = indexes.map(|index| Entry { term, index, ..Entry::default() }).collect();
                let commit = last.saturating_add(count);
                Message {
                    kind: MessageKind::Append,
                    log_term,
                    index: last,
                    entries,
                    commit,
                    ..Message::default()
                }
            }
            1 => Message { kind: MessageKind::AppendResp, index: last, ..Message::default() },
            _ => Message {
                kind: MessageKind::HeartbeatResp,
                context: Bytes::copy_from_slice(&1u64.to_le_bytes()),
                ..Message::default()
            },
        };
        drop(self.raw.step(Message { from: 2 + input.choice(2) as u64, to: 1, term, ..message }));
    }

    fn work(&mut self) {
        let ready = self.raw.ready();
        if let Some(AppendWork { snapshot, entries, responses, ack, .. }) = ready.append {
            if let Some(snapshot) = snapshot {
                self.applied = snapshot.meta.index;
                self.conf_state = snapshot.meta.conf_state.clone();
                self.raw.store_mut().apply_snapshot(snapshot).unwrap();
            }
            self.raw.store_mut().append(entries).unwrap();
            drop(self.raw.persisted(responses, ack));
        }
        if let Some(ApplyWork { entries, ack }) = ready.apply {
            for entry in entries {
                self.applied = entry.index;
                if let Ok(Some(change)) = ConfChangeV2::from_entry(&entry)
                    && let Ok(conf_state) = self.raw.apply_conf_change(change)
                {
                    self.conf_state = conf_state;
                }
            }
            ack.iter().for_each(|ack| self.raw.applied(ack));
        }
        if !self.asynchronous {
            self.raw.advance();
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let lead = [7, 19, 17, 19, 8, 3, 19, 18, 1, 0, 19, 19];
    let mut all = Vec::new();
    for bits in [0u8, 1, 0b1000, 0b0100_1001, 0b1111_1111] {
        all.push(
            [&[bits][..], &lead, &[9, 0, 1, 2, 4, 19, 18, 1, 1, 19, 16, 12, 2, 6, 20, 11, 18, 2, 0, 19]]
                .concat(),
        );
        all.push([&[bits][..], &[18, 0, 3, 0, 19, 18, 0, 1, 1, 19, 6, 15, 7, 19, 17, 19]].concat());
    }
    // Very many ticks, and nobody takes the messages.
    all.push([&[8, 7, 19, 17][..], &[0x5b; 16], &[0x20], &[0x92; 36], &[2]].concat());
    for message in messages() {
        all.push([&[8][..], &lead, &[4], &long(&message), &[19]].concat());
    }
    all
}
