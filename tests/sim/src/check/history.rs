//! Linearizability by witness: each answer names a revision; it must be what the model says there, and that revision
//! must lie between call and answer. No search: a few lookups per answer.

use std::collections::BTreeMap;

use node::{AuthRejection, Error, LeaseError, Rejection};
use proto::etcdserverpb::{AlarmType, alarm_request::AlarmAction};

use super::{
    Checked,
    asks::{is_entry_of, leases_of, revisions_of},
    model::Model,
    users::{Need, Users, needs_of},
    violation,
    watch::Watched,
};
use crate::call::{Answer, Ask, Outcome, Who};

/// What every client knew when a call began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Called {
    pub(crate) at: u64,
    /// Highest revision that an answer had shown.
    acked: i64,
    /// Highest revision whose compaction was confirmed.
    compacted: i64,
    /// What every client knew was applied.
    index: u64,
    /// What the member that was asked had applied.
    applied: u64,
    /// The lease of the request was there, and whoever answers must know that.
    pub(crate) had_lease: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) model: Model,
    acked: i64,
    acked_compaction: i64,
    /// Hashes of the store, by revision and compacted revision.
    hashes: BTreeMap<(i64, i64), u32>,
    /// Answers compared.
    pub(crate) checked: u64,
}

impl History {
    pub(crate) fn new() -> History {
        History { model: Model::new(), acked: 1, acked_compaction: 0, hashes: BTreeMap::new(), checked: 0 }
    }

    /// Highest revision that an answer has shown.
    pub(crate) fn acked(&self) -> i64 {
        self.acked
    }

    /// A call begins.
    pub(crate) fn called(&self, ask: &Ask, at: u64, applied: u64) -> Called {
        let had_lease = leases_of(ask).iter().all(|id| self.model.leases.contains_key(id));
        let (acked, compacted) = (self.acked, self.acked_compaction);
        Called { at, acked, compacted, index: self.model.index, applied, had_lease }
    }

    /// A call has ended.
    pub(crate) fn answered(&mut self, who: &Who, ask: &Ask, called: Called, outcome: &Outcome) -> Checked {
        match outcome {
            Ok(answer) => {
                self.checked += 1;
                self.check_permission(who, ask, called, answer)?;
                self.check(ask, called, answer)
            }
            // The membership has no model yet.
            Err(Error::Rejected(Rejection::Cluster(_))) => Ok(()),
            Err(Error::Rejected(Rejection::Auth(rejection))) => {
                self.check_denial(who, ask, called, rejection)
            }
            Err(Error::Rejected(rejection)) => self.check_rejection(ask, called, rejection),
            Err(Error::Storage(reason)) => violation(format!("{ask:?}: {reason}")),
            // It happened, or not, or will.
            Err(_) => Ok(()),
        }
    }

    /// An answer is for whom it was allowed, at some place of the log that the call can have been carried out at.
    fn check_permission(&self, who: &Who, ask: &Ask, called: Called, answer: &Answer) -> Checked {
        // What was written, the log says.
        if *who == Who::Internal || answer.has_written() {
            return Ok(());
        }
        // A compaction or alarm is judged by the member that is asked, as of what it has applied, and not again in the log, as in
        // etcd (contract/semantics.md 7.9). Likewise whether it is anybody at all who grants or revokes a lease: the log is only
        // asked about the keys of the lease, and this one had none.
        let by_member = matches!(ask, Ask::Compact(_) | Ask::Alarm(_) | Ask::Grant(_) | Ask::Revoke(_));
        let alone = ask.is_serializable() || by_member;
        let from = if alone { called.applied } else { called.index };
        let needs = needs_of(ask);
        if self.model.users.since(from).any(|users| users.grant(who, &needs, |_| None)) {
            return Ok(());
        }
        violation(format!("{ask:?} of {who:?} is answered, and was never allowed"))
    }

    /// A watcher is let in, or refused, as of some place of the log that the member can have been at.
    pub(crate) fn check_watch(
        &self,
        who: &Who,
        applied: u64,
        watched: &Watched,
        refused: Option<&str>,
    ) -> Checked {
        let needs = [Need::Read(watched.key.clone(), watched.range_end.clone())];
        let mut users = self.model.users.since(applied);
        let fair = match refused {
            None => users.any(|users| users.grant(who, &needs, |_| None)),
            Some(reason) => users.any(|users| {
                let stale = matches!(who, Who::User { revision, .. } if *revision != users.revision);
                let old = reason.contains("revision of auth store is old");
                users.enabled && if old { stale } else { !users.grant(who, &needs, |_| None) }
            }),
        };
        if fair {
            return Ok(());
        }
        violation(format!("a watch of {who:?} on {needs:?} is judged wrongly: {refused:?}"))
    }

    /// A refusal is right as of some place of the log that the member can have been at.
    fn check_denial(&self, who: &Who, ask: &Ask, called: Called, rejection: &AuthRejection) -> Checked {
        let mut users = self.model.users.since(called.applied);
        let needs = needs_of(ask);
        let lease = needs.iter().any(|need| matches!(need, Need::Lease(_)));
        let other_revision = |users: &Users| {
            // Reads want exactly the revision of the member.
            matches!(who, Who::User { revision, .. } if users.enabled && *revision != users.revision)
        };
        // Who came while authentication was off is nobody when the entry is applied after it was switched on.
        let switched = self.model.users.since(called.applied).any(|users| !users.enabled);
        let fair = match rejection {
            AuthRejection::UserEmpty if switched => users.any(|users| users.enabled),
            AuthRejection::PermissionDenied | AuthRejection::UserEmpty => {
                users.any(|users| users.enabled && lease || !users.grant(who, &needs, |_| None))
            }
            AuthRejection::OldRevision => users.any(other_revision),
            // What is wrong with a change of users, its entry says; who has no user is not let in.
            _ => matches!(ask, Ask::Auth(_)) || users.any(|users| !users.grant(who, &needs, |_| None)),
        };
        // The operator is nobody, too, while authentication is off, and has credentials that grow old.
        let changed = self.model.users.since(called.applied).count() > 1;
        let fair = match (who, rejection) {
            (Who::Internal, AuthRejection::OldRevision) => changed,
            (Who::Internal, AuthRejection::UserEmpty) => fair && changed,
            (Who::Internal, _) => false,
            (Who::User { .. }, _) => fair,
        };
        if fair {
            return Ok(());
        }
        violation(format!("{ask:?} of {who:?} is refused: {rejection}"))
    }

    fn check(&mut self, ask: &Ask, called: Called, answer: &Answer) -> Checked {
        let revision = answer.revision();
        if revision > self.model.revision {
            return violation(format!("{ask:?} is told revision {revision}, which is not there yet"));
        }
        if !ask.is_serializable() {
            if revision < called.acked {
                return violation(format!(
                    "{ask:?} is told revision {revision}, and {} was known when it began",
                    called.acked
                ));
            }
            self.acked = self.acked.max(revision);
        }
        if answer.has_written() {
            return self.check_write(ask, called, answer, revision);
        }
        match (ask, answer) {
            (Ask::Range(request), _) => {
                if request.revision > 0 && request.revision < called.compacted && !request.serializable {
                    return violation(format!("{ask:?} answered below the compacted {}", called.compacted));
                }
                self.check_read(ask, answer, revision)
            }
            (Ask::Txn(_) | Ask::Delete(_), _) => self.check_read(ask, answer, revision),
            (Ask::Auth(change), _) => {
                if !self.model.users.has_done(called.index, |entry| is_entry_of(change, entry)) {
                    return violation(format!("{change:?} was answered, and is not in the log"));
                }
                Ok(())
            }
            (Ask::Alarm(request), Answer::Alarm(list)) => {
                let alarms = &self.model.alarms;
                let fair = match request.action() {
                    AlarmAction::Get => alarms.has_listed(called.index, request.alarm(), &list.alarms),
                    AlarmAction::Activate | AlarmAction::Deactivate => alarms.has_done(called.index, request),
                };
                if fair { Ok(()) } else { violation(format!("{ask:?} is told {list:?}")) }
            }
            (Ask::Compact(request), _) => {
                self.acked_compaction = self.acked_compaction.max(request.revision);
                Ok(())
            }
            (Ask::Grant(_), Answer::Grant(grant)) if !self.model.leases_seen.contains(&grant.id) => {
                violation(format!("lease {:x} was granted, and is not in the log", grant.id))
            }
            (Ask::Revoke(request), _) if self.model.leases.contains_key(&request.id) => {
                violation(format!("lease {:x} was revoked, and is there", request.id))
            }
            (Ask::KeepAlive(request), Answer::KeepAlive(renewed))
                if renewed.ttl == 0 && called.had_lease && self.model.leases.contains_key(&request.id) =>
            {
                violation(format!("lease {:x} is there, and the leader says that it is not", request.id))
            }
            (Ask::KeepAlive(request), Answer::KeepAlive(renewed))
                if renewed.ttl > 0 && !self.may_be_there(request.id, called.applied) =>
            {
                violation(format!(
                    "lease {:x} is renewed, and who does that knows that it is gone",
                    request.id
                ))
            }
            (Ask::HashKv(_), Answer::HashKv(hash)) => {
                let place = (hash.hash_revision, hash.compact_revision);
                // Where history was cut, who cut it remembers a hash without the tombstones there, as etcd does.
                if self.model.compactions.contains(&place.0) {
                    return Ok(());
                }
                let first = *self.hashes.entry(place).or_insert(hash.hash);
                if first != hash.hash {
                    return violation(format!("two members hash revision {} differently", place.0));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether a lease can be there for a member that had applied so much, or has come further since.
    fn may_be_there(&self, id: i64, applied: u64) -> bool {
        let ended = self.model.leases_ended.get(&id);
        self.model.leases_seen.contains(&id) && ended.is_none_or(|index| *index > applied)
    }

    fn check_write(&self, ask: &Ask, called: Called, answer: &Answer, revision: i64) -> Checked {
        if revision <= called.acked {
            return violation(format!("{ask:?} wrote {revision}, and {} was known", called.acked));
        }
        let Some(written) = self.model.written.get(&revision) else {
            return violation(format!("{ask:?} wrote {revision}, where the log has no write"));
        };
        if written.ask.as_ref() != Some(ask) {
            return violation(format!("{ask:?} wrote {revision}, where the log has {:?}", written.ask));
        }
        let answer = answer.clone().stripped();
        if written.answer.as_ref() != Some(&answer) {
            return violation(format!(
                "{ask:?} at index {} is told {answer:?}, not {:?}",
                written.index, written.answer
            ));
        }
        Ok(())
    }

    fn check_read(&mut self, ask: &Ask, answer: &Answer, revision: i64) -> Checked {
        let expected = self.model.read_only(ask, revision);
        let answer = answer.clone().stripped();
        if answer != expected {
            return violation(format!("{ask:?} at {revision} is told {answer:?}, not {expected:?}"));
        }
        Ok(())
    }

    fn check_rejection(&self, ask: &Ask, called: Called, rejection: &Rejection) -> Checked {
        let model = &self.model;
        let fair = match (rejection, ask) {
            (Rejection::Compacted, Ask::Compact(request)) => request.revision <= model.compacted,
            (Rejection::Compacted, _) => revisions_of(ask).iter().any(|at| *at > 0 && *at < model.compacted),
            (Rejection::FutureRevision, _) if ask.is_serializable() => true,
            (Rejection::FutureRevision, _) => revisions_of(ask).iter().any(|at| *at > called.acked),
            (Rejection::Lease(LeaseError::NotFound(_)), _) => {
                let there = leases_of(ask).iter().all(|id| model.leases.contains_key(id));
                !called.had_lease || !there
            }
            (Rejection::Lease(LeaseError::Exists(_)), Ask::Grant(request)) => {
                model.leases_seen.contains(&request.id)
            }
            (Rejection::KeyNotFound, _) => true,
            (Rejection::NoSpace, _) => model.alarms.was_on(AlarmType::Nospace, called.applied),
            (Rejection::Corrupt, _) => model.alarms.was_on(AlarmType::Corrupt, called.applied),
            _ => false,
        };
        if fair { Ok(()) } else { violation(format!("{ask:?} is refused: {rejection}")) }
    }
}
