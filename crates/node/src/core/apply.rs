//! What happens around applying an entry: answers, watchers, raft, leases.

use std::time::Duration;

use bytes::Bytes;
use consensus::ConfChange;
use prost::Message;
use proto::etcdserverpb as pb;
use state::{Applied, Effect, Rejection};
use telemetry::{line, log, metrics};
use types::raft::Entry;

use super::{Core, told};
use crate::{
    api::{AuthReply, Authenticated, Error, call::Reply},
    config::TokenKind,
};

impl Core {
    /// Applies committed entries, in order.
    pub(super) fn apply_committed(&mut self, entries: &[Entry]) {
        for entry in entries {
            // After a restart raft hands out again what the file has already.
            if entry.index <= self.state.applied() {
                continue;
            }
            let begun = self.clock.now();
            let mark = self.state.mark();
            match self.state.apply(entry) {
                Ok(applied) => {
                    if let Some(written) = &mut self.written {
                        written.push((entry.index, self.state.writes_since(mark).cloned().collect()));
                    }
                    if !applied.operation.is_empty() {
                        let took = self.clock.now().since(begun);
                        let success = matches!(&applied.outcome, Ok(_) | Err(Rejection::Compacted));
                        self.meters.applied(applied.operation, took.as_secs_f64(), success);
                        if applied.outcome.is_ok() {
                            told::tell(applied.operation, entry);
                        }
                        if took > self.config.warning_apply {
                            self.applied_slowly(&applied, entry, took);
                        }
                    }
                    self.applied(applied);
                }
                Err(error) => {
                    self.mark_damaged();
                    self.fault(error);
                    return;
                }
            }
        }
        self.refresh_watch_header();
        let store = self.state.store();
        metrics().debugging_mvcc_current_revision.set(store.revision());
        metrics().debugging_mvcc_keys_total.set(store.key_count() as i64);
        metrics().server_proposals_applied_total.set(self.state.applied() as i64);
        metrics().server_proposals_committed_total.set(self.raft.basic_status().hard_state.commit as i64);
        if self.state.leases().is_primary() {
            self.state.leases_mut().arm(self.now);
        }
    }

    /// From now on, keeps what entries write until it is taken.
    pub(crate) fn keep_written(&mut self) {
        self.written = Some(Vec::new());
    }

    /// What each entry has written that was applied since the last call, by index.
    pub(crate) fn take_written(&mut self) -> Vec<(u64, Vec<types::Write>)> {
        self.written.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn applied_slowly(&self, applied: &Applied, entry: &Entry, took: Duration) {
        metrics().server_slow_apply_total.inc();
        line!(
            Warn,
            "apply request took too long",
            "took" => log::duration(took),
            "expected-duration" => log::duration(self.config.warning_apply),
            "prefix" => "",
            "request" => format!("{} of {} bytes at index {}", applied.operation, entry.data.len(), entry.index),
            "response" => "",
            "error" => applied.outcome.as_ref().err().map(ToString::to_string),
        );
    }

    fn applied(&mut self, applied: Applied) {
        let Applied { request_id, outcome, changes, effect, operation } = applied;
        if !changes.is_empty() {
            self.refresh_watch_header();
            self.notify_watchers(&changes);
        }
        if let Ok(state::Reply::LeaseGrant(granted)) = &outcome {
            metrics().debugging_lease_ttl_total.observe(granted.ttl as f64);
        }
        if let (Err(error), Some(Effect::ConfChange(..))) = (&outcome, &effect) {
            line!(Error, "Validation on configuration change failed",
                "shouldApplyV3" => true, "error" => error.to_string());
        }
        let token = self.token_of(&outcome);
        let wait_for_compaction = self.carry_out(effect);
        self.publication_applied(request_id);
        let Some(waiter) = self.waiters.take(request_id) else {
            self.lease_entry_applied();
            return;
        };
        if let Some(change) = waiter.change {
            self.lease_entry_applied();
            return self.answer_change(waiter.reply_to, *change, outcome);
        }
        self.meters.answered(operation, self.now.since(waiter.since).as_secs_f64(), outcome.is_ok());
        let answer = match outcome {
            Ok(state::Reply::Authenticated { .. }) => Ok(self.authenticated(token)),
            Ok(reply) => Ok(self.reply(reply)),
            Err(rejection) => Err(Error::Rejected(rejection)),
        };
        self.lease_entry_applied();
        if wait_for_compaction {
            self.answer_after_compaction(waiter.reply_to, answer);
        } else {
            self.outbox.reply(waiter.reply_to, answer);
        }
    }

    /// `true` when the answer waits until compaction is done.
    fn carry_out(&mut self, effect: Option<Effect>) -> bool {
        match effect {
            None => {}
            Some(Effect::NewTerm) => self.new_term(),
            Some(Effect::ConfChange(wire, change)) => {
                self.tell_raft(&wire.encode_to_vec().into());
                if let Some(change) = change {
                    self.member_changed(&change);
                }
            }
            Some(Effect::Compacted { physical, revision }) => {
                self.begin_compaction();
                self.auto_compaction.tell_completed(revision, self.now);
                return physical;
            }
            Some(Effect::WaitForCompaction) => return self.is_compacting(),
            Some(Effect::ClusterVersion { version, lowered }) => {
                let before = self.summary.cluster_version();
                let before = before.as_deref().and_then(|text| text.strip_suffix(".0"));
                self.tell_cluster_version(before, &version.cluster_text());
                metrics().cluster_version.with(&[&version.cluster_text()]).set(1);
                if lowered {
                    self.persist.lowered(self.state.applied());
                }
                self.migrate_storage();
            }
            Some(Effect::Alarms) => {
                self.alarms_changed();
                self.meter_alarms();
            }
            Some(Effect::Tokens(tokens)) => {
                match tokens {
                    auth::Tokens::Keep => {}
                    auth::Tokens::DropUser(user) => self.tokens.forget_user(&user),
                    auth::Tokens::DropAll => self.tokens.clear(),
                }
                metrics().debugging_auth_revision.set(self.state.auth().revision() as i64);
                self.end_revoked_watches();
            }
        }
        false
    }

    /// Makes out the token of an applied login. Members with other kinds of tokens propose logins without one: what
    /// would be left of it could be guessed.
    fn token_of(&mut self, outcome: &Result<state::Reply, Rejection>) -> Option<String> {
        let Ok(state::Reply::Authenticated { user, simple_token: prefix }) = outcome else { return None };
        let is_simple = matches!(self.config.tokens, TokenKind::Simple { .. });
        if !is_simple || prefix.is_empty() {
            return None;
        }
        let token = format!("{prefix}.{}", self.state.applied());
        self.tokens.assign(token.clone(), user, self.now);
        Some(token)
    }

    fn authenticated(&self, token: Option<String>) -> Reply {
        let auth_revision = self.state.auth().revision();
        Reply::Authenticate(Authenticated { header: self.header(), token, auth_revision })
    }

    fn tell_raft(&mut self, data: &Bytes) {
        let change = match ConfChange::decode(data) {
            Ok(change) => change,
            Err(error) => {
                return self.fault(format!("a conf change that was applied is undecodable: {error}"));
            }
        };
        // With node id 0 it names nobody and changes nothing.
        if let Err(error) = self.raft.apply_conf_change(change) {
            self.fault(format!("raft refuses a conf change that was applied: {error}"));
        }
    }

    /// The leader of a new term has committed its first entry.
    fn new_term(&mut self) {
        if self.is_leader() {
            line!(Info, "became leader", "member" => self.member_id.to_string());
            let extend = self.config.election_timeout();
            self.state.leases_mut().promote(self.now, extend);
            self.publisher.retry();
        }
    }

    /// The client's form of an applied reply.
    fn reply(&self, reply: state::Reply) -> Reply {
        match reply {
            state::Reply::Put(mut reply) => {
                self.fill(&mut reply.header);
                Reply::Put(reply)
            }
            state::Reply::DeleteRange(mut reply) => {
                self.fill(&mut reply.header);
                Reply::DeleteRange(reply)
            }
            state::Reply::Txn(mut reply) => {
                self.fill(&mut reply.header);
                Reply::Txn(reply)
            }
            state::Reply::Compaction(mut reply) => {
                self.fill(&mut reply.header);
                Reply::Compact(reply)
            }
            state::Reply::LeaseGrant(mut reply) => {
                self.fill(&mut reply.header);
                Reply::LeaseGrant(reply)
            }
            state::Reply::LeaseRevoke(mut reply) => {
                self.fill(&mut reply.header);
                Reply::LeaseRevoke(reply)
            }
            state::Reply::Alarm(mut reply) => {
                self.fill(&mut reply.header);
                Reply::Alarm(reply)
            }
            state::Reply::Auth(reply) => Reply::Auth(self.auth_reply(reply)),
            // Of the requests without an answer of their own, clients can propose only this one.
            state::Reply::Nothing => self.downgrade_reply(),
            state::Reply::Range(_)
            | state::Reply::LeaseCheckpoint(_)
            | state::Reply::Authenticated { .. }
            | state::Reply::Membership => {
                unreachable!("nobody waits for {reply:?}: clients cannot propose it")
            }
        }
    }

    /// Headers of the Auth service are complete at apply, with the term before its own entry (11.2).
    fn auth_reply(&self, mut reply: AuthReply) -> AuthReply {
        *reply.header_mut() = pb::ResponseHeader { ..self.header() };
        reply
    }
}
