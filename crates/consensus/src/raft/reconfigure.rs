//! A new configuration takes effect.

use types::raft::ConfState;

use super::{Raft, core::Core, role::Role};
use crate::{
    LogStore,
    conf_change::{ConfChangeError, ConfChangeV2, Plan},
    journal::note,
    message::NO_NODE,
    tracker::Tracker,
};

impl<S: LogStore> Core<S> {
    pub(super) fn switch_to(&mut self, tracker: Tracker) {
        self.tracker = tracker;
        note!(self.journal, Info, "{:x} switched to configuration {}", self.id(), self.tracker.config);
    }
}

impl<S: LogStore> Raft<S> {
    /// Applies a committed conf change and gives the configuration after it.
    pub(crate) fn apply_conf_change(&mut self, change: &ConfChangeV2) -> Result<ConfState, ConfChangeError> {
        if self.core.log.has_pending_snapshot() {
            return Ok(self.core.tracker.config.conf_state());
        }
        let (tracker, last_index) = (&self.core.tracker, self.core.log.last().index);
        let tracker = match change.plan() {
            Plan::LeaveJoint => tracker.leave_joint(),
            Plan::EnterJoint { auto_leave } => tracker.enter_joint(last_index, auto_leave, &change.changes),
            Plan::Simple => tracker.simple(last_index, &change.changes),
        }?;
        self.core.switch_to(tracker);
        let conf_state = self.core.tracker.config.conf_state();

        let may_lead = self.core.tracker.may_lead(self.core.id());
        match &mut self.role {
            Role::Leader(_) if !may_lead && self.core.config.step_down_on_removal => {
                self.become_follower(self.core.term, NO_NODE);
            }
            // Removed or demoted, it goes on until somebody else is elected.
            Role::Leader(_) if !may_lead => {}
            Role::Leader(leader) => leader.on_new_config(&mut self.core),
            Role::Follower(_) | Role::Candidate(_) => {}
        }
        Ok(conf_state)
    }
}
