//! One call of a client: judged, then proposed, queued behind the read barrier, or answered at once.

use bytes::Bytes;
use proto::etcdserverpb::{self as pb, InternalRaftRequest};
use state::{Failure, RangeAnswer, Rejection, Subject, is_read_only, is_serializable};
use types::MemberId;

use super::{Core, identity::Identity, outbox::ReplyTo, ranges::Reader};
use crate::api::{
    AuthCall, Caller, Credentials, Error,
    call::{Reply, Request},
    range_reply::RangeParts,
};

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Rejected(rejection) => Error::Rejected(rejection),
            Failure::Fatal(reason) => Error::Storage(reason),
        }
    }
}

/// Why a watcher is refused, as its cancel reason says it.
pub(super) fn watch_refusal(error: &Error) -> &'static str {
    match error {
        Error::InvalidToken => "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
        Error::Rejected(Rejection::Auth(auth::Rejection::UserEmpty)) => {
            "rpc error: code = InvalidArgument desc = etcdserver: user name is empty"
        }
        Error::Rejected(Rejection::Auth(auth::Rejection::OldRevision)) => {
            "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old"
        }
        _ => "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
    }
}

impl Core {
    pub(super) fn call(&mut self, reply_to: ReplyTo, caller: Caller, request: Request) {
        match self.identify(&caller) {
            Ok(Identity::Known(subject)) => self.dispatch(reply_to, caller, subject, request),
            Ok(Identity::Later(index)) => self.wait_for_token(index, reply_to, caller, request),
            Err(error) => self.outbox.reply(reply_to, Err(error)),
        }
    }

    fn dispatch(&mut self, reply_to: ReplyTo, caller: Caller, subject: Subject, request: Request) {
        macro_rules! guarded {
            ($request:expr) => {
                if let Err(error) = self.judge(&subject, $request) {
                    return self.outbox.reply(reply_to, Err(error));
                }
            };
        }
        match request {
            // Reads are judged when they are executed.
            Request::Range(range) if range.serializable => {
                self.run_read(reply_to, caller, Request::Range(range));
            }
            Request::Txn(txn) if is_read_only(&txn) && is_serializable(&txn) => {
                self.run_read(reply_to, caller, Request::Txn(txn));
            }
            Request::Range(range) => self.read_after_barrier(reply_to, caller, Request::Range(range)),
            Request::Txn(txn) if is_read_only(&txn) => {
                self.read_after_barrier(reply_to, caller, Request::Txn(txn));
            }
            Request::MemberList(list) if !list.linearizable => {
                self.run_read(reply_to, caller, Request::MemberList(list));
            }
            Request::MemberList(list) => {
                self.read_after_barrier(reply_to, caller, Request::MemberList(list));
            }
            Request::Credentials(user) => {
                self.read_after_barrier(reply_to, caller, Request::Credentials(user));
            }
            Request::Authenticate(login) => {
                let authenticate = pb::InternalAuthenticateRequest {
                    name: login.user,
                    password: String::new(),
                    simple_token: login.token_prefix,
                };
                self.propose_for(reply_to, Subject::default(), |r| r.authenticate = Some(authenticate));
            }
            // Judged when the range was begun, and again when permissions have changed since.
            Request::RangeRows(id) => {
                let answer = self.next_range_rows(id);
                self.outbox.reply(reply_to, answer);
            }
            Request::Put(put) => self.propose_for(reply_to, subject, |r| r.put = Some(put)),
            Request::DeleteRange(delete) => {
                self.propose_for(reply_to, subject, |r| r.delete_range = Some(delete));
            }
            Request::Txn(txn) => self.propose_for(reply_to, subject, |r| r.txn = Some(txn)),
            Request::Compact(compaction) => {
                guarded!(&compaction);
                self.propose_for(reply_to, subject, |r| r.compaction = Some(compaction));
            }
            Request::LeaseGrant(mut grant) => {
                guarded!(&grant);
                if grant.id == 0 {
                    grant.id = self.leases.new_id(&mut self.ids);
                }
                self.propose_for(reply_to, subject, |r| r.lease_grant = Some(grant));
            }
            Request::LeaseRevoke(revoke) => {
                guarded!(&revoke);
                self.propose_for(reply_to, subject, |r| r.lease_revoke = Some(revoke));
            }
            Request::LeaseKeepAlive(renew) => {
                guarded!(&renew);
                self.renew_lease(reply_to, caller, renew);
            }
            Request::LeaseTimeToLive(query) => {
                guarded!(&query);
                self.lease_time_to_live(reply_to, caller, query);
            }
            Request::LeaseLeases(query) => {
                guarded!(&query);
                let reply = self.lease_leases();
                self.outbox.reply(reply_to, Ok(reply));
            }
            Request::MemberAdd(add) => {
                guarded!(&add);
                self.add_member(reply_to, &add);
            }
            Request::MemberRemove(remove) => {
                guarded!(&remove);
                self.remove_member(reply_to, MemberId(remove.id));
            }
            Request::MemberUpdate(update) => {
                guarded!(&update);
                self.update_member(reply_to, update);
            }
            Request::MemberPromote(promote) => {
                guarded!(&promote);
                self.promote_member(reply_to, MemberId(promote.id));
            }
            Request::Alarm(alarm) => {
                guarded!(&alarm);
                self.propose_for(reply_to, subject, |r| r.alarm = Some(alarm));
            }
            Request::Status(status) => {
                guarded!(&status);
                let reply = self.status();
                self.outbox.reply(reply_to, Ok(reply));
            }
            Request::Defragment(defragment) => {
                guarded!(&defragment);
                self.defragment(reply_to);
            }
            Request::Hash(hash) => {
                guarded!(&hash);
                self.hash(reply_to);
            }
            Request::HashKv(hash) => {
                guarded!(&hash);
                self.hash_kv(reply_to, hash.revision);
            }
            Request::CompactionHashes(()) => {
                let hashes = self.state.store().compaction_hashes();
                self.outbox.reply(reply_to, Ok(Reply::CompactionHashes(hashes)));
            }
            Request::Snapshot(snapshot) => {
                guarded!(&snapshot);
                self.snapshot(reply_to);
            }
            Request::MoveLeader(transfer) => {
                guarded!(&transfer);
                self.move_leader(reply_to, MemberId(transfer.target_id));
            }
            Request::Downgrade(downgrade) => {
                guarded!(&downgrade);
                self.read_after_barrier(reply_to, caller, Request::Downgrade(downgrade));
            }
            Request::Auth(call) => self.propose_for(reply_to, subject, |r| put_auth_call(r, call)),
        }
    }

    fn propose_for(
        &mut self,
        reply_to: ReplyTo,
        subject: Subject,
        fill: impl FnOnce(&mut InternalRaftRequest),
    ) {
        let mut request = InternalRaftRequest::default();
        fill(&mut request);
        self.propose(reply_to, request, subject);
    }

    /// Runs a read on the state as it is, if that lets the caller.
    pub(super) fn run_read(&mut self, reply_to: ReplyTo, caller: Caller, request: Request) {
        let subject = match self.identify(&caller) {
            Ok(Identity::Known(subject)) => subject,
            Ok(Identity::Later(index)) => return self.wait_for_token(index, reply_to, caller, request),
            Err(error) => return self.outbox.reply(reply_to, Err(error)),
        };
        let judged = match &request {
            Request::Range(range) => self.judge_read(&subject, range),
            Request::Txn(txn) => self.judge_read(&subject, txn),
            Request::MemberList(list) => self.judge(&subject, list),
            Request::LeaseKeepAlive(renew) => self.judge(&subject, renew),
            Request::LeaseTimeToLive(query) => self.judge(&subject, query),
            Request::Downgrade(downgrade) => self.judge(&subject, downgrade),
            // Whoever asks for them has no credentials yet.
            Request::Credentials(_) => Ok(()),
            other => unreachable!("{other:?} is no read"),
        };
        if let Err(error) = judged {
            return self.outbox.reply(reply_to, Err(error));
        }
        let answer = match request {
            Request::Range(range) => {
                let begun = self.clock.now();
                let answer = self.range(subject, range);
                self.meters.ranged(self.clock.now().since(begun).as_secs_f64(), answer.is_ok());
                answer
            }
            Request::Txn(txn) => self.state.read_only_txn(&txn).map_err(Error::from).map(|mut reply| {
                self.fill(&mut reply.header);
                Reply::Txn(reply)
            }),
            Request::MemberList(_) => Ok(self.member_list_reply()),
            Request::LeaseKeepAlive(renew) => return self.renew_now(reply_to, &renew),
            Request::LeaseTimeToLive(query) => self.time_to_live_now(&query),
            Request::Credentials(user) => self.credentials(&user),
            Request::Downgrade(downgrade) => {
                let Some(answer) = self.downgrade(&reply_to, &downgrade) else { return };
                answer
            }
            other => unreachable!("{other:?} is no read"),
        };
        if let Err(Error::Storage(reason)) = &answer {
            self.damaged(reason);
        }
        self.outbox.reply(reply_to, answer);
    }

    /// The database does not give what it was given. With others to get it from, this member stops serving and starts
    /// anew, which repairs it; alone, it goes on with what is sound.
    pub(super) fn damaged(&mut self, reason: &str) {
        telemetry::line!(Error, "a read failed", "error" => reason);
        if self.mark_damaged() {
            self.fault(format!("the database is damaged: {reason}"));
        }
    }

    /// Lets the next start repair the database, if there is anybody to get one from; whether there is.
    pub(super) fn mark_damaged(&self) -> bool {
        let others = self.config.donors.is_some() && self.state.cluster().members().nth(1).is_some();
        if others {
            self.summary.set_damaged();
        }
        others
    }

    fn credentials(&self, user: &str) -> Result<Reply, Error> {
        let credential = self.state.auth().credential(user).map_err(Rejection::Auth)?;
        let hash = Bytes::copy_from_slice(credential.hash);
        Ok(Reply::Credentials(Credentials { hash, auth_revision: credential.revision }))
    }

    fn range(&mut self, subject: Subject, request: pb::RangeRequest) -> Result<Reply, Error> {
        let RangeAnswer { rows, more, count, revision, rest } = self.state.range(&request)?;
        let header = pb::ResponseHeader { revision, ..self.header() };
        let rest = rest.map(|rest| {
            let framed_bytes = rest.framed_bytes;
            let auth_revision = self.state.auth().revision();
            (self.ranges.keep(rest, Reader { subject, request, auth_revision }, self.now), framed_bytes)
        });
        Ok(Reply::Range(RangeParts { header, rows, more, count, rest }))
    }
}

fn put_auth_call(request: &mut InternalRaftRequest, call: AuthCall) {
    match call {
        AuthCall::Enable(call) => request.auth_enable = Some(call),
        AuthCall::Disable(call) => request.auth_disable = Some(call),
        AuthCall::Status(call) => request.auth_status = Some(call),
        AuthCall::UserAdd(call) => request.auth_user_add = Some(call),
        AuthCall::UserGet(call) => request.auth_user_get = Some(call),
        AuthCall::UserList(call) => request.auth_user_list = Some(call),
        AuthCall::UserDelete(call) => request.auth_user_delete = Some(call),
        AuthCall::UserChangePassword(call) => request.auth_user_change_password = Some(call),
        AuthCall::UserGrantRole(call) => request.auth_user_grant_role = Some(call),
        AuthCall::UserRevokeRole(call) => request.auth_user_revoke_role = Some(call),
        AuthCall::RoleAdd(call) => request.auth_role_add = Some(call),
        AuthCall::RoleGet(call) => request.auth_role_get = Some(call),
        AuthCall::RoleList(call) => request.auth_role_list = Some(call),
        AuthCall::RoleDelete(call) => request.auth_role_delete = Some(call),
        AuthCall::RoleGrantPermission(call) => request.auth_role_grant_permission = Some(call),
        AuthCall::RoleRevokePermission(call) => request.auth_role_revoke_permission = Some(call),
    }
}
