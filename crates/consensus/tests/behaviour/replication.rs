use bytes::Bytes;
use consensus::{Error, Message, MessageKind, RawNode, RoleKind, tracker::Flow};
use types::raft::{Entry, HardState, Snapshot, SnapshotMeta};

use crate::group::{Group, config, founded};

/// Raft paper, figure 8: an entry of an earlier term that a quorum has may still be replaced.
#[test]
fn entries_of_earlier_terms_are_committed_only_with_one_of_the_own_term() {
    let mut log = founded(&[1, 2, 3]);
    log.append(vec![Entry { term: 2, index: 2, ..Entry::default() }]).unwrap();
    log.set_hard_state(HardState { term: 3, vote: 3, commit: 1 });
    let mut node = RawNode::new(config(1), log).unwrap();
    node.campaign().unwrap();
    let from_2 = |kind, index| Message { kind, from: 2, to: 1, term: 4, index, ..Message::default() };
    let vote = node.ready().append.unwrap();
    node.persisted(vote.responses, vote.ack);
    node.step(from_2(MessageKind::VoteResp, 0)).unwrap();
    assert_eq!(node.basic_status().soft_state.role, RoleKind::Leader);
    let work = node.ready().append.unwrap();
    node.store_mut().append(work.entries).unwrap();
    node.persisted(work.responses, work.ack);
    node.step(from_2(MessageKind::AppendResp, 2)).unwrap();
    assert_eq!(node.basic_status().hard_state.commit, 1, "two of three have entry 2, of term 2");
    node.step(from_2(MessageKind::AppendResp, 3)).unwrap();
    assert_eq!(node.basic_status().hard_state.commit, 3);
}

#[test]
fn followers_forward_proposals_unless_told_not_to() {
    let mut group = Group::led(3, |config| config.proposal_forwarding = config.id != 3);
    group.propose(2, "through 2");
    assert_eq!(group.node(3).propose(Bytes::from_static(b"x")), Err(Error::ProposalDropped));
    group.settle();
    assert!(group.applied.iter().all(|applied| applied == &["through 2"]));
    let mut alone = Group::new(3, |_| {});
    assert_eq!(alone.node(1).propose(Bytes::new()), Err(Error::ProposalDropped), "no leader");
}

#[test]
fn a_batch_is_one_message_per_follower_and_all_or_nothing() {
    let mut group = Group::led(3, |config| config.uncommitted_bytes_max = 10);
    let batch = ["aaaa", "bbbb"].map(|text| Bytes::from_static(text.as_bytes()));
    group.cut.extend([2, 3]);
    group.node(1).propose_batch(batch.clone()).unwrap();
    assert_eq!(group.node(1).propose_batch(batch.clone()), Err(Error::ProposalDropped), "8 + 8 > 10");
    group.node(1).propose_batch([Bytes::new()]).unwrap();
    group.node(1).propose_batch([]).unwrap();
    group.cut.clear();
    group.settle();
    let appends = |group: &Group| {
        let to_2 = group.delivered.iter().filter(|m| m.kind == MessageKind::Append && m.to == 2);
        to_2.map(|m| m.entries.len()).filter(|&count| count > 0).collect::<Vec<_>>()
    };
    assert_eq!(appends(&group), [2, 1]);
    assert_eq!(group.applied[2], ["aaaa", "bbbb"]);
    group.node(1).propose_batch(batch).unwrap();
    group.settle();
    assert_eq!(group.applied[2].len(), 4, "what is applied makes room");
}

#[test]
fn a_silent_follower_gets_no_more_than_the_window_holds() {
    type Adjust = fn(&mut consensus::Config);
    let cases: [(Adjust, usize); 3] = [
        (|config| config.inflight_messages_max = 4, 4),
        (|config| (config.inflight_bytes_max, config.message_bytes_max) = (30, 30), 3),
        (|config| config.message_bytes_max = 0, 9),
    ];
    for (adjust, expected) in cases {
        let mut group = Group::led(2, adjust);
        let sent: usize = (0..9)
            .map(|_| {
                group.propose(1, "0123456789");
                let ready = group.node(1).ready();
                ready.messages.iter().filter(|message| !message.entries.is_empty()).count()
            })
            .sum();
        assert_eq!(sent, expected);
    }
}

#[test]
fn large_appends_are_cut_to_size() {
    let mut group = Group::led(2, |config| config.message_bytes_max = 40);
    group.cut.insert(2);
    for _ in 0..9 {
        group.propose(1, "0123456789");
    }
    group.settle();
    group.node(1).report_unreachable(2);
    group.cut.clear();
    group.tick(1, 2);
    let counts: Vec<usize> = group
        .delivered
        .iter()
        .filter(|message| message.kind == MessageKind::Append && !message.entries.is_empty())
        .map(|message| message.entries.len())
        .collect();
    assert_eq!(counts, [2, 2, 2, 2, 1], "16 bytes each");
    assert_eq!(group.applied[1].len(), 9);
}

#[test]
fn a_follower_that_needs_compacted_entries_gets_a_snapshot() {
    let mut group = Group::led(3, |_| {});
    group.cut.insert(3);
    for text in ["a", "b", "c"] {
        group.propose(1, text);
    }
    group.settle();
    let store = group.node(1).store_mut();
    store.create_snapshot(5, None, Bytes::from_static(b"state")).unwrap();
    store.compact(5).unwrap();
    group.propose(1, "d");
    group.settle();
    group.node(1).report_unreachable(3);
    group.tick(1, 2);
    group.cut.clear();
    group.tick(1, 1);
    assert_eq!(group.applied[2], ["d"], "the snapshot has the rest");
    let node = group.node(3);
    assert_eq!(node.store().last_snapshot().data, "state");
    assert_eq!((node.basic_status().first_index, node.basic_status().applied), (6, 6));
    assert_eq!(group.node(1).status().progress[&3].flow, Flow::Replicate);
}

/// A probe of a long diverged tail takes a round per term, not per entry.
#[test]
fn diverged_tails_are_found_quickly() {
    let mut mine = founded(&[1, 2, 3]);
    let tail = |term, count: u64| (2..2 + count).map(move |index| Entry { term, index, ..Entry::default() });
    mine.append(tail(3, 100).collect()).unwrap();
    mine.set_hard_state(HardState { term: 3, vote: 0, commit: 1 });
    let mut theirs = founded(&[1, 2, 3]);
    theirs.append(tail(2, 200).collect()).unwrap();
    theirs.set_hard_state(HardState { term: 2, vote: 0, commit: 1 });
    let mut group = Group::new(3, |_| {});
    group.nodes[0] = RawNode::new(config(1), mine).unwrap();
    group.nodes[1] = RawNode::new(config(2), theirs).unwrap();
    group.node(1).campaign().unwrap();
    group.settle();
    assert_eq!((group.role(1), group.commit(2)), (RoleKind::Leader, 102));
    let rejections = group.delivered.iter().filter(|message| message.from == 2 && message.reject);
    assert_eq!(rejections.count(), 1);
}

#[test]
fn a_commit_index_beyond_the_log_is_reported_and_changes_nothing() {
    let mut group = Group::led(3, |_| {});
    group.propose(1, "x");
    group.settle();
    let before = group.node(2).basic_status();
    let term = before.hard_state.term;
    let heartbeat = Message { kind: MessageKind::Heartbeat, from: 1, to: 2, term, ..Message::default() };
    let beyond = group.node(2).step(Message { commit: 9, ..heartbeat });
    assert!(matches!(beyond, Err(Error::Diverged(_))), "{beyond:?}");
    assert_eq!(group.node(2).basic_status(), before);
}

#[test]
fn messages_that_no_member_sends_are_refused() {
    let mut group = Group::led(3, |_| {});
    let term = group.node(1).basic_status().hard_state.term;
    let base = Message { from: 2, to: 1, term, ..Message::default() };
    let entry = |index| Entry { term: 1, index, ..Entry::default() };
    let bad = [
        Message { kind: MessageKind::Append, from: 0, ..base.clone() },
        Message { kind: MessageKind::Append, from: 1, ..base.clone() },
        Message { kind: MessageKind::Vote, term: 0, ..base.clone() },
        Message { kind: MessageKind::Vote, from: u64::MAX, ..base.clone() },
        Message { kind: MessageKind::Propose, term: 0, ..base.clone() },
        Message { kind: MessageKind::Propose, entries: vec![entry(1)], ..base.clone() },
        Message { kind: MessageKind::ReadIndex, term: 0, ..base.clone() },
        Message { kind: MessageKind::Append, index: 4, entries: vec![entry(6)], ..base.clone() },
        Message { kind: MessageKind::Append, log_term: 2, index: 4, entries: vec![entry(5)], ..base.clone() },
        Message { kind: MessageKind::Append, index: u64::MAX, entries: vec![entry(0)], ..base.clone() },
        Message { kind: MessageKind::AppendResp, index: 99, ..base.clone() },
        Message {
            kind: MessageKind::Snapshot,
            snapshot: Some(Box::new(Snapshot {
                meta: SnapshotMeta { index: 9, term: term + 1, ..SnapshotMeta::default() },
                data: Bytes::new(),
            })),
            ..base
        },
    ];
    let before = group.node(1).status();
    for message in bad {
        let kind = message.kind;
        let result = group.node(1).step(message);
        assert!(matches!(result, Err(Error::Malformed { .. })), "{kind}: {result:?}");
    }
    let stranger = Message { kind: MessageKind::AppendResp, from: 9, to: 1, term, ..Message::default() };
    assert_eq!(group.node(1).step(stranger), Err(Error::UnknownPeer));
    let mut after = group.node(1).status();
    after.progress = before.progress.clone();
    assert_eq!(after, before);
}
