//! A group of nodes whose disks are instantaneous, and a network that a test can cut.

use std::collections::BTreeSet;

use bytes::Bytes;
use consensus::{ConfChangeV2, Config, MemLog, Message, MessageKind, RawNode, ReadState, RoleKind};
use types::raft::{ConfState, Entry, EntryKind, HardState, Snapshot, SnapshotMeta};

/// Settings that tests start from: no pre-vote, no check-quorum, ten ticks to an election.
pub(crate) fn config(id: u64) -> Config {
    Config { applied: 1, check_quorum: false, pre_vote: false, ..Config::new(id) }
}

/// A log that begins after a snapshot at index 1, term 1, with these voters.
pub(crate) fn founded(voters: &[u64]) -> MemLog {
    let conf_state = ConfState { voters: voters.to_vec(), ..ConfState::default() };
    let meta = SnapshotMeta { index: 1, term: 1, conf_state };
    MemLog::restore(HardState::default(), Snapshot { meta, data: Bytes::new() }, vec![]).unwrap()
}

/// Rounds of messages after which a group should have come to rest.
const ROUNDS_MAX: usize = 1000;

pub(crate) struct Group {
    pub(crate) nodes: Vec<RawNode<MemLog>>,
    /// What each node applied that was not empty, as text.
    pub(crate) applied: Vec<Vec<String>>,
    pub(crate) reads: Vec<Vec<ReadState>>,
    /// Members that get and send nothing.
    pub(crate) cut: BTreeSet<u64>,
    /// Everything that was delivered.
    pub(crate) delivered: Vec<Message>,
}

impl Group {
    /// Nodes 1 to `count`, all voters, after changes to their settings. Node 1 leads.
    pub(crate) fn led(count: u64, adjust: impl Fn(&mut Config)) -> Group {
        let mut group = Group::new(count, adjust);
        group.node(1).campaign().unwrap();
        group.settle();
        assert_eq!(group.role(1), RoleKind::Leader);
        group.delivered.clear();
        group
    }

    pub(crate) fn new(count: u64, adjust: impl Fn(&mut Config)) -> Group {
        let voters: Vec<u64> = (1..=count).collect();
        let start = |&id: &u64| {
            let mut config = config(id);
            adjust(&mut config);
            RawNode::new(config, founded(&voters)).unwrap()
        };
        Group {
            nodes: voters.iter().map(start).collect(),
            applied: vec![Vec::new(); count as usize],
            reads: vec![Vec::new(); count as usize],
            cut: BTreeSet::new(),
            delivered: Vec::new(),
        }
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut RawNode<MemLog> {
        &mut self.nodes[id as usize - 1]
    }

    pub(crate) fn role(&self, id: u64) -> RoleKind {
        self.nodes[id as usize - 1].basic_status().soft_state.role
    }

    pub(crate) fn commit(&self, id: u64) -> u64 {
        self.nodes[id as usize - 1].basic_status().hard_state.commit
    }

    pub(crate) fn propose(&mut self, id: u64, text: &str) {
        self.node(id).propose(Bytes::copy_from_slice(text.as_bytes())).unwrap();
    }

    pub(crate) fn read(&mut self, id: u64, name: &'static str) {
        self.node(id).read_index(Bytes::from_static(name.as_bytes()));
    }

    /// The reads that a node has answered, as name and index.
    pub(crate) fn answered(&self, id: u64) -> Vec<(&str, u64)> {
        let states = self.reads[id as usize - 1].iter();
        states.map(|state| (std::str::from_utf8(&state.context).unwrap(), state.index)).collect()
    }

    pub(crate) fn tick(&mut self, id: u64, count: u32) {
        for _ in 0..count {
            self.node(id).tick();
            self.settle();
        }
    }

    /// Lets everybody work and talk until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut messages = Vec::new();
            for at in 0..self.nodes.len() {
                self.work(at, &mut messages);
            }
            if messages.is_empty() {
                return;
            }
            for message in messages {
                self.deliver(message);
            }
        }
        panic!("the group talks for ever");
    }

    fn deliver(&mut self, message: Message) {
        if self.cut.contains(&message.from) || self.cut.contains(&message.to) {
            if message.kind == MessageKind::Snapshot {
                let to = message.to;
                self.node(message.from).report_snapshot(to, false);
            }
            return;
        }
        self.delivered.push(message.clone());
        // Refused replies of members that were removed are part of the game.
        let _ = self.node(message.to).step(message);
    }

    fn work(&mut self, at: usize, messages: &mut Vec<Message>) {
        let node = &mut self.nodes[at];
        for _ in 0..ROUNDS_MAX {
            if !node.has_ready() {
                return;
            }
            let ready = node.ready();
            messages.extend(ready.messages);
            self.reads[at].extend(ready.read_states);
            if let Some(work) = ready.append {
                if let Some(snapshot) = work.snapshot {
                    node.store_mut().apply_snapshot(snapshot).unwrap();
                }
                node.store_mut().append(work.entries).unwrap();
                messages.extend(node.persisted(work.responses, work.ack));
            }
            if let Some(work) = ready.apply {
                for entry in &work.entries {
                    apply(node, entry, &mut self.applied[at]);
                }
                work.ack.iter().for_each(|ack| node.applied(ack));
            }
        }
        panic!("a node is busy with itself for ever");
    }
}

fn apply(node: &mut RawNode<MemLog>, entry: &Entry, applied: &mut Vec<String>) {
    match ConfChangeV2::from_entry(entry).unwrap() {
        Some(change) => {
            applied.push(node.apply_conf_change(change).map(|_| "conf change".to_string()).unwrap());
        }
        None if entry.data.is_empty() => {}
        None => {
            assert_eq!(entry.kind, EntryKind::Normal);
            applied.push(String::from_utf8(entry.data.to_vec()).unwrap());
        }
    }
}
