use consensus::{MemLog, Message, MessageKind, RawNode, ReadMode};
use types::raft::{Entry, HardState};

use crate::group::{Group, config, founded};

#[test]
fn reads_are_answered_on_every_member() {
    let mut group = Group::led(3, |_| {});
    group.propose(1, "x");
    group.settle();
    for id in 1..=3 {
        group.read(id, "a");
        group.read(id, "b");
        group.settle();
        assert_eq!(group.answered(id), [("a", 3), ("b", 3)], "member {id}");
    }
}

#[test]
fn a_leader_without_quorum_answers_nothing_until_it_is_confirmed() {
    let mut group = Group::led(3, |_| {});
    group.cut.extend([2, 3]);
    for _ in 0..3 {
        group.read(1, "r");
    }
    group.tick(1, 5);
    assert!(group.answered(1).is_empty());
    group.cut.remove(&2);
    group.tick(1, 1);
    assert_eq!(group.answered(1).len(), 3, "one heartbeat confirms all that wait");
}

#[test]
fn a_deposed_leader_never_answers() {
    let mut group = Group::led(3, |_| {});
    group.cut.insert(1);
    group.read(1, "stale");
    group.node(2).campaign().unwrap();
    group.settle();
    group.propose(2, "newer");
    group.settle();
    group.cut.clear();
    group.tick(1, 2);
    group.tick(2, 2);
    assert!(group.answered(1).is_empty());
}

#[test]
fn a_lease_answers_at_once() {
    let mut group = Group::led(3, |config| {
        (config.check_quorum, config.read_mode) = (true, ReadMode::LeaseBased);
    });
    group.cut.extend([2, 3]);
    group.read(1, "r");
    group.settle();
    assert_eq!(group.answered(1), [("r", 2)]);
    group.node(2).forget_leader();
    assert_eq!(group.node(2).leader(), 1, "the lease counts on its followers");
}

/// Entry 2 was committed and acknowledged before the crash; that it was is not on the disk.
#[test]
fn also_a_lone_voter_commits_in_its_term_before_it_answers() {
    let mut log = founded(&[1]);
    log.append(vec![Entry { term: 1, index: 2, ..Entry::default() }]).unwrap();
    log.set_hard_state(HardState { term: 1, vote: 1, commit: 1 });
    let mut node = RawNode::new(config(1), log).unwrap();
    node.campaign().unwrap();
    let mut answers = Vec::new();
    let mut work = |node: &mut RawNode<MemLog>| {
        let ready = node.ready();
        answers.extend(ready.read_states.into_iter().map(|state| state.index));
        ready.append.unwrap_or_default()
    };
    let vote = work(&mut node);
    assert!(node.persisted(vote.responses, vote.ack).is_empty());
    node.read_index("early".into());
    let empty_entry = work(&mut node);
    node.store_mut().append(empty_entry.entries).unwrap();
    node.persisted(empty_entry.responses, empty_entry.ack);
    node.read_index("late".into());
    work(&mut node);
    assert_eq!(answers, [3, 3], "the early one waited for the leader's own entry");
}

#[test]
fn answers_that_make_no_sense_are_ignored() {
    let mut group = Group::led(3, |_| {});
    let term = group.node(1).basic_status().hard_state.term;
    let entries = vec![Entry::default(); 2];
    let answer =
        Message { kind: MessageKind::ReadIndexResp, from: 1, to: 2, term, entries, ..Message::default() };
    group.node(2).step(answer).unwrap();
    group.cut.extend([2, 3]);
    group.read(1, "r");
    group.settle();
    for context in [&b"short"[..], &[0xff; 9], &[0; 8]] {
        let kind = MessageKind::HeartbeatResp;
        let context = context.to_vec().into();
        group.node(1).step(Message { kind, from: 2, to: 1, term, context, ..Message::default() }).unwrap();
    }
    group.settle();
    assert!(group.answered(1).is_empty() && group.answered(2).is_empty());
}
