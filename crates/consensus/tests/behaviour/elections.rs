use bytes::Bytes;
use consensus::{
    Change, ChangeKind, ConfChange, ConfChangeV2, Error, Message, MessageKind, RawNode, RoleKind,
};

use types::raft::{Entry, EntryKind, HardState};

use crate::group::{Group, config, founded};

#[test]
fn a_leader_that_hears_no_quorum_steps_down() {
    let mut group = Group::led(3, |config| config.check_quorum = true);
    group.cut.insert(2);
    group.tick(1, 40);
    assert_eq!(group.role(1), RoleKind::Leader, "one other voter suffices");
    group.cut.insert(3);
    group.tick(1, 20);
    assert_eq!(group.role(1), RoleKind::Follower);
}

#[test]
fn members_that_hear_a_leader_ignore_candidates() {
    let mut group = Group::led(3, |config| config.check_quorum = true);
    let term = group.node(1).basic_status().hard_state.term;
    group.node(3).campaign().unwrap();
    group.settle();
    assert_eq!((group.role(1), group.role(2)), (RoleKind::Leader, RoleKind::Follower));
    assert_eq!(group.node(2).basic_status().hard_state.term, term);
}

#[test]
fn a_pre_vote_that_fails_leaves_no_trace() {
    let mut group = Group::led(3, |config| config.pre_vote = true);
    group.cut.insert(3);
    let before = group.node(3).basic_status().hard_state;
    group.tick(3, 100);
    assert_eq!(group.node(3).basic_status().hard_state, before);
    group.cut.clear();
    group.propose(1, "x");
    group.settle();
    assert_eq!((group.role(1), group.applied[2].as_slice()), (RoleKind::Leader, &["x".to_string()][..]));
}

#[test]
fn leadership_goes_to_the_one_named_and_proposals_wait() {
    let mut group = Group::led(3, |config| (config.check_quorum, config.pre_vote) = (true, true));
    group.cut.insert(2);
    group.propose(1, "while 2 was away");
    group.settle();
    group.node(1).transfer_leader(2);
    assert_eq!(group.node(1).basic_status().transferee, 2);
    assert_eq!(group.node(1).propose(Bytes::from_static(b"x")), Err(Error::ProposalDropped));
    group.tick(1, 11);
    assert_eq!(group.node(1).basic_status().transferee, 0, "given up after an election timeout");
    group.cut.clear();
    group.tick(1, 2);
    // A follower passes the request on.
    group.node(3).transfer_leader(2);
    group.settle();
    assert_eq!((group.role(1), group.role(2)), (RoleKind::Follower, RoleKind::Leader));
    group.node(2).transfer_leader(2);
    group.node(2).transfer_leader(9);
    assert_eq!(group.node(2).basic_status().transferee, 0, "neither to itself nor to a stranger");
}

#[test]
fn only_one_conf_change_may_wait() {
    let mut group = Group::led(3, |_| {});
    let remove = |id| ConfChange { change: Change { kind: ChangeKind::Remove, id }, ..ConfChange::default() };
    group.node(1).propose_conf_change(remove(2)).unwrap();
    group.node(1).propose_conf_change(remove(3)).unwrap();
    // Leaving a joint configuration that does not hold makes no sense either.
    group.node(1).propose_conf_change(ConfChangeV2::default()).unwrap();
    group.settle();
    assert_eq!(group.node(1).status().config.voters.to_string(), "(1 3)");
    assert_eq!(group.applied[0], ["conf change"], "the others became empty entries");
    group.node(1).propose_conf_change(remove(3)).unwrap();
    group.settle();
    assert_eq!(group.node(1).status().config.voters.to_string(), "(1)");
}

#[test]
fn a_removed_leader_steps_down_if_told_so() {
    for step_down in [false, true] {
        let mut group = Group::led(3, |config| config.step_down_on_removal = step_down);
        let change = Change { kind: ChangeKind::Remove, id: 1 };
        group.node(1).propose_conf_change(ConfChange { change, ..ConfChange::default() }).unwrap();
        group.settle();
        let expected = if step_down { RoleKind::Follower } else { RoleKind::Leader };
        assert_eq!(group.role(1), expected);
        assert_eq!(group.node(1).propose(Bytes::new()), Err(Error::ProposalDropped));
        group.node(2).campaign().unwrap();
        group.settle();
        assert_eq!(group.role(2), RoleKind::Leader);
    }
}

#[test]
fn an_applied_conf_change_must_fit() {
    let mut node = RawNode::new(config(1), founded(&[1])).unwrap();
    let remove = Change { kind: ChangeKind::Remove, id: 1 };
    let refused = node.apply_conf_change(ConfChange { change: remove, ..ConfChange::default() });
    assert_eq!(refused.unwrap_err().to_string(), "removed all voters");
    assert_eq!(node.status().config.voters.to_string(), "(1)");
    // etcd marks a change that it refuses by member 0.
    let void = ConfChange { change: Change { id: 0, ..remove }, ..ConfChange::default() };
    assert_eq!(node.apply_conf_change(void).unwrap().voters, [1]);
}

/// It may be about to learn that it is no voter any more.
#[test]
fn a_member_with_a_conf_change_to_apply_does_not_campaign() {
    let change = Change { kind: ChangeKind::AddVoter, id: 2 };
    let data = ConfChange { change, ..ConfChange::default() }.encode();
    let mut log = founded(&[1]);
    log.append(vec![Entry { term: 1, index: 2, kind: EntryKind::ConfChange, data }]).unwrap();
    log.set_hard_state(HardState { term: 1, vote: 0, commit: 2 });
    let mut node = RawNode::new(config(1), log).unwrap();
    let role = |node: &RawNode<_>| node.basic_status().soft_state.role;
    node.campaign().unwrap();
    assert_eq!(role(&node), RoleKind::Follower);
    let work = node.ready().apply.unwrap();
    node.apply_conf_change(ConfChange::decode(&work.entries[0].data).unwrap()).unwrap();
    node.applied(&work.ack.unwrap());
    node.campaign().unwrap();
    assert_eq!(role(&node), RoleKind::Candidate);
}

#[test]
fn a_candidate_removed_while_votes_are_counted_does_not_lead() {
    let mut node = RawNode::new(config(1), founded(&[1, 2, 3])).unwrap();
    node.campaign().unwrap();
    let change = Change { kind: ChangeKind::Remove, id: 1 };
    node.apply_conf_change(ConfChange { change, ..ConfChange::default() }).unwrap();
    for from in [2, 3] {
        let vote = Message { kind: MessageKind::VoteResp, from, to: 1, term: 1, ..Message::default() };
        node.step(vote).unwrap();
    }
    assert_eq!(node.basic_status().soft_state.role, RoleKind::Follower);
}

#[test]
fn a_fresh_member_without_term_refuses_in_silence() {
    let mut node = RawNode::new(config(1), founded(&[1, 2, 3])).unwrap();
    let ask = Message { kind: MessageKind::PreVote, from: 2, to: 1, term: 1, ..Message::default() };
    node.step(ask).unwrap();
    assert!(!node.has_ready());
}
