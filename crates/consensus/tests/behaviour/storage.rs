use bytes::Bytes;
use consensus::{
    AppendWork, Change, ChangeKind, ConfChange, Config, Error, LogStore, MemLog, Message, MessageKind,
    RawNode, StartError, StoreError,
};
use types::raft::{ConfState, Entry, HardState, Snapshot, SnapshotMeta};

use crate::group::{config, founded};

fn append(from: u64, term: u64, entries: &[(u64, u64)], commit: u64) -> Message {
    let entries: Vec<Entry> =
        entries.iter().map(|&(term, index)| Entry { term, index, ..Entry::default() }).collect();
    let index = entries[0].index - 1;
    Message {
        kind: MessageKind::Append,
        from,
        to: 1,
        term,
        log_term: 1,
        index,
        entries,
        commit,
        ..Message::default()
    }
}

/// The ABA problem: three writes of entry 2 are under way, by leaders of terms 2, 3 and 4, the first and the
/// third of them the same entry. Word of the first must not be taken for word of the third.
#[test]
fn word_of_a_write_from_an_earlier_term_is_not_believed() {
    let mut node = RawNode::new(config(1), founded(&[1, 2, 3])).unwrap();
    let works: Vec<AppendWork> = [(2, 2, 2), (3, 3, 3), (2, 4, 2)]
        .into_iter()
        .map(|(from, term, entry_term)| {
            node.step(append(from, term, &[(entry_term, 2)], 2 * u64::from(term == 4))).unwrap();
            node.ready().append.unwrap()
        })
        .collect();
    assert_eq!(works.iter().map(|work| work.entries[0].term).collect::<Vec<_>>(), [2, 3, 2]);
    let mut works = works.into_iter();
    let mut done = |node: &mut RawNode<MemLog>| {
        let work = works.next().unwrap();
        node.store_mut().append(work.entries).unwrap();
        node.persisted(work.responses, work.ack);
        node.ready().apply.map(|work| work.entries[0].term)
    };
    assert_eq!(done(&mut node), None, "the second write is about to replace it");
    assert_eq!(done(&mut node), None);
    assert_eq!(done(&mut node), Some(2));
}

#[test]
fn promises_wait_for_the_disk_and_appends_do_not() {
    let mut node = RawNode::new(config(1), founded(&[1, 2, 3])).unwrap();
    node.step(append(2, 2, &[(2, 2)], 0)).unwrap();
    let ready = node.ready();
    assert!(ready.messages.is_empty() && ready.must_sync);
    let work = ready.append.unwrap();
    let kinds: Vec<_> = work.responses.iter().map(|message| (message.kind, message.to)).collect();
    assert_eq!(kinds, [(MessageKind::AppendResp, 2)]);
    assert_eq!(work.hard_state, Some(HardState { term: 2, vote: 0, commit: 1 }));
    node.step(Message { entries: vec![], ..append(2, 2, &[(2, 2)], 1) }).unwrap();
    let again = node.ready();
    assert!(!again.must_sync, "nothing to promise but what waits already");
    assert!(again.messages.is_empty(), "it promises entry 2, which is not durable");
}

/// The snapshot stands for everything handed out before it, and its configuration holds from then on.
#[test]
fn a_snapshot_outdates_conf_changes_that_were_handed_out() {
    let mut node = RawNode::new(config(1), founded(&[1, 2, 3])).unwrap();
    let conf_state = ConfState { voters: vec![1, 2, 3, 4], ..ConfState::default() };
    let meta = SnapshotMeta { index: 9, term: 1, conf_state: conf_state.clone() };
    let snapshot = Some(Box::new(Snapshot { meta, data: Bytes::new() }));
    let message =
        Message { kind: MessageKind::Snapshot, from: 2, to: 1, term: 2, snapshot, ..Message::default() };
    node.step(message).unwrap();
    let add = Change { kind: ChangeKind::AddVoter, id: 4 };
    let remove = Change { kind: ChangeKind::Remove, id: 4 };
    for change in [add, remove] {
        let late = node.apply_conf_change(ConfChange { change, ..ConfChange::default() });
        assert_eq!(late, Ok(conf_state.clone()));
    }
    let work = node.ready().append.unwrap();
    node.store_mut().apply_snapshot(work.snapshot.unwrap()).unwrap();
    node.persisted(work.responses, work.ack);
    let change = node.apply_conf_change(ConfChange { change: remove, ..ConfChange::default() });
    assert_eq!(change.unwrap().voters, [1, 2, 3]);
}

/// Entries come as far as the store lets them.
struct Failing {
    inner: MemLog,
    broken: bool,
}

impl LogStore for Failing {
    fn initial_state(&self) -> Result<(HardState, ConfState), StoreError> {
        self.inner.initial_state()
    }

    fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, StoreError> {
        if self.broken {
            return Err(StoreError::Failed("unreadable".to_string()));
        }
        self.inner.entries(low, high, bytes_max)
    }

    fn term(&self, index: u64) -> Result<u64, StoreError> {
        self.inner.term(index)
    }

    fn first_index(&self) -> u64 {
        self.inner.first_index()
    }

    fn last_index(&self) -> u64 {
        self.inner.last_index()
    }

    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.inner.snapshot()
    }
}

#[test]
fn a_node_whose_store_fails_takes_no_further_input() {
    let mut inner = founded(&[1, 2, 3]);
    inner.append(vec![Entry { term: 1, index: 2, ..Entry::default() }]).unwrap();
    inner.set_hard_state(HardState { term: 1, vote: 0, commit: 2 });
    let mut node = RawNode::new(config(1), Failing { inner, broken: true }).unwrap();
    assert!(node.has_ready());
    assert_eq!(node.ready(), consensus::Ready::default());
    let fault = StoreError::Failed("unreadable".to_string());
    assert_eq!(node.fault(), Some(&fault));
    node.store_mut().broken = false;
    assert!(!node.has_ready(), "it does not come back");
    assert_eq!(node.campaign(), Err(Error::Store(fault.clone())));
    assert_eq!(node.propose(Bytes::new()), Err(Error::Store(fault)));
    for _ in 0..100 {
        node.tick();
    }
    assert_eq!(node.basic_status().hard_state.term, 1);
}

#[test]
fn a_state_that_does_not_fit_together_is_refused() {
    let start = |commit, applied| {
        let mut log = founded(&[1]);
        log.append(vec![Entry { term: 1, index: 2, ..Entry::default() }]).unwrap();
        log.set_hard_state(HardState { term: 1, vote: 0, commit });
        RawNode::new(Config { applied, ..config(1) }, log).map(|_| ())
    };
    assert_eq!(start(2, 2), Ok(()));
    assert_eq!(start(2, 0), Ok(()));
    for (commit, applied) in [(0, 0), (3, 0), (1, 2), (2, 3)] {
        assert!(matches!(start(commit, applied), Err(StartError::State { .. })), "{commit} {applied}");
    }
    assert!(matches!(RawNode::new(config(1), founded(&[1, 1])), Err(StartError::ConfState(_))));
}
