//! Calls that wait until everything that was committed when they came is applied: before, this member does not know
//! what they ask about.

use std::time::Duration;

use proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseTimeToLiveRequest};
use types::{MemberId, Moment};

use super::{Core, outbox::ReplyTo};
use crate::api::{Caller, Error, call::Request};

/// How long they wait (upstream: `applyTimeout`).
const PATIENCE: Duration = Duration::from_secs(1);

/// What is done then.
#[derive(Debug)]
pub(crate) enum AfterApply {
    Promote(MemberId),
    /// Judged once more then: keys may have come to the lease.
    Renew(Caller, LeaseKeepAliveRequest),
    /// Likewise.
    TimeToLive(Caller, LeaseTimeToLiveRequest),
}

/// A call that waits.
#[derive(Debug)]
pub(crate) struct AppliedWait {
    reply_to: ReplyTo,
    committed: u64,
    deadline: Moment,
    then: AfterApply,
}

impl AppliedWait {
    pub(super) fn reply_to(self) -> ReplyTo {
        self.reply_to
    }
}

impl Core {
    /// Whether something committed is not applied yet.
    pub(super) fn lags(&self) -> bool {
        self.raft.basic_status().hard_state.commit > self.state.applied()
    }

    /// Does something once all that is committed now is applied.
    pub(super) fn after_apply(&mut self, reply_to: ReplyTo, then: AfterApply) {
        let committed = self.raft.basic_status().hard_state.commit;
        let deadline = self.now + PATIENCE;
        self.applied_waits.push(AppliedWait { reply_to, committed, deadline, then });
    }

    /// Goes on with what has waited long enough for entries to be applied.
    pub(super) fn run_applied_waits(&mut self) {
        if self.applied_waits.is_empty() {
            return;
        }
        let applied = self.state.applied();
        let due = self.applied_waits.extract_if(.., |waiting| waiting.committed <= applied);
        for AppliedWait { reply_to, then, .. } in due.collect::<Vec<_>>() {
            match then {
                AfterApply::Promote(id) => self.promote_now(reply_to, id),
                AfterApply::Renew(caller, request) => {
                    self.run_read(reply_to, caller, Request::LeaseKeepAlive(request));
                }
                AfterApply::TimeToLive(caller, request) => {
                    self.run_read(reply_to, caller, Request::LeaseTimeToLive(request));
                }
            }
        }
    }

    pub(super) fn expire_applied_waits(&mut self) {
        let now = self.now;
        for waiting in self.applied_waits.extract_if(.., |waiting| waiting.deadline <= now) {
            self.outbox.reply(waiting.reply_to, Err(Error::TimeoutWaitApplied));
        }
    }
}
