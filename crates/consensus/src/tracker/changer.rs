//! From one configuration to the next (Raft thesis, section 4.3).
//!
//! Each function takes the current members, checks the change and gives the members after it; nothing is
//! changed in place, so a refused change leaves no trace.

use types::raft::ConfState;

use super::{Progress, Tracker};
use crate::conf_change::{Change, ChangeKind, ConfChangeError};

type Changed = Result<Tracker, ConfChangeError>;

impl Tracker {
    /// Applies changes that alter at most one voter.
    ///
    /// `last_index` is the end of the log: where probing of new members begins.
    ///
    /// # Errors
    /// In a joint configuration, when more than one voter changes, or when no voter would be left.
    pub fn simple(&self, last_index: u64, changes: &[Change]) -> Changed {
        if self.config.voters.is_joint() {
            return Err(ConfChangeError::SimpleInJoint);
        }
        let mut next = self.clone();
        next.apply(last_index, changes)?;
        let (before, after) = (&self.config.voters.incoming.0, &next.config.voters.incoming.0);
        if before.symmetric_difference(after).count() > 1 {
            return Err(ConfChangeError::ManyVoters);
        }
        next.checked()
    }

    /// Makes the current voters the outgoing half and applies the changes to the incoming half.
    ///
    /// # Errors
    /// When the configuration is joint already, has no voter, or would have none.
    pub fn enter_joint(&self, last_index: u64, auto_leave: bool, changes: &[Change]) -> Changed {
        if self.config.voters.is_joint() {
            return Err(ConfChangeError::AlreadyJoint);
        }
        if self.config.voters.incoming.0.is_empty() {
            return Err(ConfChangeError::JointFromNothing);
        }
        let mut next = self.clone();
        next.config.voters.outgoing = next.config.voters.incoming.clone();
        next.apply(last_index, changes)?;
        next.config.auto_leave = auto_leave;
        next.checked()
    }

    /// Ends a joint configuration: the incoming half decides alone, staged learners become learners.
    ///
    /// # Errors
    /// When the configuration is not joint.
    pub fn leave_joint(&self) -> Changed {
        if !self.config.voters.is_joint() {
            return Err(ConfChangeError::NotJoint);
        }
        let mut next = self.clone();
        for id in std::mem::take(&mut next.config.learners_next) {
            next.config.learners.insert(id);
            if let Some(progress) = next.progress.get_mut(&id) {
                progress.is_learner = true;
            }
        }
        next.config.voters.outgoing.0.clear();
        next.config.auto_leave = false;
        let (voters, learners) = (&next.config.voters.incoming.0, &next.config.learners);
        next.progress.retain(|id, _| voters.contains(id) || learners.contains(id));
        next.checked()
    }

    /// Builds a stored configuration by the changes that lead to it from nothing.
    ///
    /// # Errors
    /// When no sequence of changes gives exactly that configuration.
    pub(crate) fn restore(&self, last_index: u64, stored: &ConfState) -> Changed {
        let all = |kind, ids: &[u64]| ids.iter().map(|&id| Change { kind, id }).collect::<Vec<_>>();
        let mut incoming = all(ChangeKind::Remove, &stored.voters_outgoing);
        incoming.extend(all(ChangeKind::AddVoter, &stored.voters));
        incoming.extend(all(ChangeKind::AddLearner, &stored.learners));
        incoming.extend(all(ChangeKind::AddLearner, &stored.learners_next));

        let mut tracker = self.emptied();
        if stored.voters_outgoing.is_empty() {
            tracker.apply_restored(last_index, &incoming)?;
        } else {
            tracker.apply_restored(last_index, &all(ChangeKind::AddVoter, &stored.voters_outgoing))?;
            tracker = tracker.enter_joint(last_index, stored.auto_leave, &incoming)?;
        }
        if !tracker.config.equals(stored) {
            return Err(ConfChangeError::NotReproducible);
        }
        Ok(tracker)
    }

    /// All changes at once, from nothing: no bound on voters that change, and nothing to do is fine.
    fn apply_restored(&mut self, last_index: u64, changes: &[Change]) -> Result<(), ConfChangeError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.apply(last_index, changes)
    }

    fn apply(&mut self, last_index: u64, changes: &[Change]) -> Result<(), ConfChangeError> {
        for change in changes {
            // etcd sets the id of a change that it refuses at application to zero: nothing to do.
            if change.id == 0 {
                continue;
            }
            match change.kind {
                ChangeKind::AddVoter => self.make_voter(last_index, change.id),
                ChangeKind::AddLearner => self.make_learner(last_index, change.id),
                ChangeKind::Remove => self.remove(change.id),
                ChangeKind::Update => {}
            }
        }
        if self.config.voters.incoming.0.is_empty() {
            return Err(ConfChangeError::NoVoters);
        }
        Ok(())
    }

    fn make_voter(&mut self, last_index: u64, id: u64) {
        let fresh = self.newcomer(last_index, false);
        self.progress.entry(id).or_insert(fresh).is_learner = false;
        self.config.learners.remove(&id);
        self.config.learners_next.remove(&id);
        self.config.voters.incoming.0.insert(id);
    }

    /// A voter of the outgoing half votes until the joint configuration ends, so it is only staged.
    fn make_learner(&mut self, last_index: u64, id: u64) {
        let fresh = self.newcomer(last_index, true);
        let progress = self.progress.entry(id).or_insert(fresh);
        self.config.voters.incoming.0.remove(&id);
        if self.config.voters.outgoing.0.contains(&id) {
            self.config.learners_next.insert(id);
        } else {
            progress.is_learner = true;
            self.config.learners.insert(id);
        }
    }

    fn remove(&mut self, id: u64) {
        self.config.voters.incoming.0.remove(&id);
        self.config.learners.remove(&id);
        self.config.learners_next.remove(&id);
        if !self.config.voters.outgoing.0.contains(&id) {
            self.progress.remove(&id);
        }
    }

    /// Counted as heard, so that a check of the quorum does not depose the leader before the newcomer had
    /// a chance to answer.
    fn newcomer(&self, last_index: u64, is_learner: bool) -> Progress {
        Progress::new(last_index, is_learner, true, self.window())
    }

    /// Asserts what only a bug here could break.
    fn checked(self) -> Changed {
        let config = &self.config;
        let voters = config.voters.ids();
        let known = voters.iter().chain(&config.learners).chain(&config.learners_next);
        assert!(known.into_iter().all(|id| self.progress.contains_key(id)), "{config}: no progress");
        assert!(config.learners.is_disjoint(&voters), "{config}: a learner votes");
        assert!(config.learners_next.is_subset(&config.voters.outgoing.0), "{config}: staged, not outgoing");
        let marked = self.progress.iter().filter(|(_, progress)| progress.is_learner).map(|(id, _)| id);
        assert!(marked.eq(&config.learners), "{config}: learners are marked otherwise");
        assert!(config.voters.is_joint() || !config.auto_leave, "{config}: leaves nothing");
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_change() -> impl Strategy<Value = Change> {
        let kind = prop_oneof![
            Just(ChangeKind::AddVoter),
            Just(ChangeKind::AddLearner),
            Just(ChangeKind::Remove),
            Just(ChangeKind::Update),
        ];
        (kind, 0u64..6).prop_map(|(kind, id)| Change { kind, id })
    }

    proptest! {
        #[test]
        fn a_joint_change_ends_where_simple_ones_end(changes in proptest::collection::vec(any_change(), 1..8)) {
            let base = Tracker::new(10, u64::MAX)
                .simple(1, &[Change { kind: ChangeKind::AddVoter, id: 9 }]).unwrap();
            let one_by_one = changes.iter().try_fold(base.clone(), |t, change| t.simple(1, &[*change]));
            let Ok(one_by_one) = one_by_one else { return Ok(()) };
            let joint = base.enter_joint(1, false, &changes).unwrap().leave_joint().unwrap();
            prop_assert_eq!(joint.config, one_by_one.config);
            prop_assert!(joint.progress.keys().eq(one_by_one.progress.keys()));
        }

        #[test]
        fn what_changes_produce_can_be_restored(
            first in proptest::collection::vec(any_change(), 0..6),
            second in proptest::collection::vec(any_change(), 0..6),
            auto_leave in any::<bool>(),
        ) {
            let base = Tracker::new(10, u64::MAX)
                .simple(1, &[Change { kind: ChangeKind::AddVoter, id: 9 }]).unwrap();
            let Ok(joint) = base.enter_joint(1, false, &first) else { return Ok(()) };
            let settled = joint.leave_joint().unwrap();
            let mut all = vec![settled.clone()];
            all.extend(settled.enter_joint(1, auto_leave, &second));
            for tracker in all {
                let restored = Tracker::new(10, u64::MAX).restore(1, &tracker.config.conf_state()).unwrap();
                prop_assert_eq!(&restored.config, &tracker.config);
                prop_assert!(restored.progress.keys().eq(tracker.progress.keys()));
            }
        }
    }

    #[test]
    fn stored_nonsense_is_refused() {
        let state =
            |voters: &[u64], learners: &[u64], outgoing: &[u64], next: &[u64], auto_leave| ConfState {
                voters: voters.to_vec(),
                learners: learners.to_vec(),
                voters_outgoing: outgoing.to_vec(),
                learners_next: next.to_vec(),
                auto_leave,
            };
        for (case, bad) in [
            state(&[1, 1], &[], &[], &[], false),
            state(&[0], &[], &[], &[], false),
            state(&[1], &[1], &[], &[], false),
            state(&[], &[2], &[], &[], false),
            state(&[1], &[], &[], &[2], false),
            state(&[1], &[], &[], &[], true),
            state(&[], &[], &[1], &[], false),
            state(&[1], &[2], &[2], &[], false),
        ]
        .iter()
        .enumerate()
        {
            assert!(Tracker::new(10, u64::MAX).restore(1, bad).is_err(), "case {case}: {bad:?}");
        }
        assert!(Tracker::new(10, u64::MAX).restore(1, &ConfState::default()).is_ok(), "before any bootstrap");
    }
}
