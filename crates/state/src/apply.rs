//! Applying one entry: decode, skip what the file has already, judge, execute, answer.

use auth::Tokens;
use cluster::{Change, ClusterError, Version};
use mvcc::Change as KeyChange;
use prost::Message;
use proto::{etcdserverpb as pb, raftpb};
use types::{
    KeyRange, LeaseId, MemberId,
    raft::{Entry, EntryKind},
};

use crate::{
    Failure, Rejection, State,
    counts::operation,
    kv::{self, KvTxn},
    txn::{self, header},
};

/// What came of one entry.
#[derive(Debug)]
pub struct Applied {
    /// Wakes whoever proposed it; 0 for entries that nobody waits for.
    pub request_id: u64,
    /// The answer to whoever proposed it.
    pub outcome: Result<Reply, Rejection>,
    /// Changes of keys, in order, all at one main revision.
    pub changes: Vec<KeyChange>,
    /// What the caller has to do about it.
    pub effect: Option<Effect>,
    /// Name of the request, for metrics; empty for entries that carry none.
    pub operation: &'static str,
}

/// The answer to an applied request. Headers carry only a revision, except those of [`Reply::Auth`], which
/// are filled by the caller with the facts of this moment too.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "one variant per request")]
pub enum Reply {
    Range(pb::RangeResponse),
    Put(pb::PutResponse),
    DeleteRange(pb::DeleteRangeResponse),
    Txn(pb::TxnResponse),
    Compaction(pb::CompactionResponse),
    LeaseGrant(pb::LeaseGrantResponse),
    LeaseRevoke(pb::LeaseRevokeResponse),
    LeaseCheckpoint(pb::LeaseCheckpointResponse),
    Alarm(pb::AlarmResponse),
    Auth(AuthReply),
    /// A token was assigned; which one is the business of the token store.
    Authenticated {
        user: String,
        simple_token: String,
    },
    /// Membership changed; the members are in the state.
    Membership,
    /// Versions and attributes have no answer.
    Nothing,
}

macro_rules! auth_replies {
    ($($variant:ident($reply:ident);)*) => {
        /// Answers of the Auth service, one variant per method.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "one variant per method, named like it")]
        pub enum AuthReply {
            $($variant(pb::$reply),)*
        }

        impl AuthReply {
            /// The header, to be filled.
            pub fn header_mut(&mut self) -> &mut pb::ResponseHeader {
                match self {
                    $(AuthReply::$variant(reply) => reply.header.get_or_insert_default(),)*
                }
            }
        }
    };
}

auth_replies! {
    Enable(AuthEnableResponse);
    Disable(AuthDisableResponse);
    Status(AuthStatusResponse);
    UserAdd(AuthUserAddResponse);
    UserGet(AuthUserGetResponse);
    UserList(AuthUserListResponse);
    UserDelete(AuthUserDeleteResponse);
    UserChangePassword(AuthUserChangePasswordResponse);
    UserGrantRole(AuthUserGrantRoleResponse);
    UserRevokeRole(AuthUserRevokeRoleResponse);
    RoleAdd(AuthRoleAddResponse);
    RoleGet(AuthRoleGetResponse);
    RoleList(AuthRoleListResponse);
    RoleDelete(AuthRoleDeleteResponse);
    RoleGrantPermission(AuthRoleGrantPermissionResponse);
    RoleRevokePermission(AuthRoleRevokePermissionResponse);
}

/// What the caller has to do about an applied entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A leader of a new term committed its first entry.
    NewTerm,
    /// Tell raft about this conf change; with node id 0 when it was refused.
    ConfChange(raftpb::ConfChange, Option<Change>),
    /// History up to this revision can be deleted; `physical` answers wait until it is.
    Compacted {
        /// The compacted revision.
        revision: i64,
        /// Whether the answer waits for the deletion.
        physical: bool,
    },
    /// A `physical` compaction was refused, as another one had gone further: the answer waits until that is done.
    WaitForCompaction,
    /// The cluster version was set.
    ClusterVersion {
        /// The new version.
        version: Version,
        /// It went down: make a raft snapshot at once.
        lowered: bool,
    },
    /// An alarm was raised or cleared.
    Alarms,
    /// Tokens that were handed out end, or all stay.
    Tokens(Tokens),
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Rejected(rejection) => Rejection::Cluster(rejection).into(),
            stop => Failure::Fatal(stop.to_string()),
        }
    }
}

/// What executing a request gives.
pub(crate) type Done = Result<(Reply, Vec<KeyChange>, Option<Effect>), Failure>;

fn done(reply: Reply) -> Done {
    Ok((reply, Vec::new(), None))
}

impl State {
    /// Applies the next committed entry.
    ///
    /// # Errors
    /// A text, when this member cannot go on: the entry is no etcd entry, or the backend failed. Nothing may
    /// be applied after that.
    ///
    /// # Panics
    /// When `entry` is not the next one.
    pub fn apply(&mut self, entry: &Entry) -> Result<Applied, String> {
        assert_eq!(entry.index, self.applied + 1, "entries are applied in order, each once");
        let applied = match entry.kind {
            EntryKind::Normal if entry.data.is_empty() => Ok(Applied {
                request_id: 0,
                outcome: Ok(Reply::Nothing),
                changes: Vec::new(),
                effect: Some(Effect::NewTerm),
                operation: "",
            }),
            EntryKind::Normal => self.apply_request(entry),
            EntryKind::ConfChange => self.apply_conf_change(entry),
            EntryKind::ConfChangeV2 => {
                Err("it is a conf change of version 2, which etcd never writes".into())
            }
        };
        let applied =
            applied.map_err(|reason| format!("entry {} cannot be applied: {reason}", entry.index))?;
        self.applied = entry.index;
        self.term = entry.term;
        self.touched = true;
        Ok(applied)
    }

    fn apply_request(&mut self, entry: &Entry) -> Result<Applied, String> {
        let request = proto::decode::<pb::InternalRaftRequest>(entry.data.clone())
            .map_err(|e| format!("it is no InternalRaftRequest: {e}"))?;
        let request_id = match &request.header {
            Some(header) if header.id != 0 => header.id,
            _ => request.id,
        };
        let operation = operation(&request);
        let physical = request.compaction.as_ref().is_some_and(|compaction| compaction.physical);
        let result = self
            .refuse_alarmed(&request)
            .and_then(|()| self.authorize_entry(&request))
            .map_err(Failure::from)
            .and_then(|()| self.execute(request));
        match result {
            Ok((reply, changes, effect)) => {
                Ok(Applied { request_id, outcome: Ok(reply), changes, effect, operation })
            }
            Err(Failure::Rejected(rejection)) => {
                let waits = physical && rejection == Rejection::Compacted;
                let effect = waits.then_some(Effect::WaitForCompaction);
                Ok(Applied { request_id, outcome: Err(rejection), changes: Vec::new(), effect, operation })
            }
            Err(Failure::Fatal(reason)) => Err(reason),
        }
    }

    fn execute(&mut self, request: pb::InternalRaftRequest) -> Done {
        if let Some(version) = request.cluster_version_set {
            return self.set_cluster_version(&version);
        }
        if let Some(attributes) = request.cluster_member_attr_set {
            let writes = self.cluster.set_attributes(&attributes)?;
            self.writes.extend(writes);
            return done(Reply::Nothing);
        }
        if let Some(downgrade) = request.downgrade_info_set {
            let writes = self.cluster.set_downgrade(&downgrade);
            self.writes.extend(writes);
            return done(Reply::Nothing);
        }
        if request.downgrade_version_test.is_some() {
            return done(Reply::Nothing);
        }
        if let Some(range) = request.range {
            return done(Reply::Range(txn::run_range(&self.store, &range)?));
        }
        if let Some(put) = request.put {
            return self.put(&put);
        }
        if let Some(delete) = request.delete_range {
            return self.delete_range(&delete);
        }
        if let Some(txn) = request.txn {
            return self.txn(&txn);
        }
        if let Some(compaction) = request.compaction {
            return self.compact(&compaction);
        }
        if let Some(grant) = request.lease_grant {
            return self.grant(&grant);
        }
        if let Some(revoke) = request.lease_revoke {
            return self.revoke(&revoke);
        }
        if let Some(checkpoints) = request.lease_checkpoint {
            return self.checkpoint(&checkpoints);
        }
        if let Some(alarm) = request.alarm {
            let (alarms, writes) = self.alarms.apply(&alarm);
            let effect = (!writes.is_empty()).then_some(Effect::Alarms);
            self.writes.extend(writes);
            return Ok((Reply::Alarm(pb::AlarmResponse { header: None, alarms }), Vec::new(), effect));
        }
        self.execute_auth(request)
    }

    fn put(&mut self, put: &pb::PutRequest) -> Done {
        kv::check_put(&self.store, &self.leases, put)?;
        let mut txn = KvTxn::begin(&mut self.store, &mut self.leases);
        let reply = txn.put(put)?;
        let (changes, counts) = txn.finish();
        self.counts.add(counts);
        Ok((Reply::Put(reply), changes, None))
    }

    fn delete_range(&mut self, delete: &pb::DeleteRangeRequest) -> Done {
        let mut txn = KvTxn::begin(&mut self.store, &mut self.leases);
        let reply = txn.delete_range(delete)?;
        let (changes, counts) = txn.finish();
        self.counts.add(counts);
        Ok((Reply::DeleteRange(reply), changes, None))
    }

    fn txn(&mut self, request: &pb::TxnRequest) -> Done {
        let (reply, changes, counts) = txn::run(&mut self.store, &mut self.leases, request)?;
        self.counts.add(counts);
        Ok((Reply::Txn(reply), changes, None))
    }

    fn compact(&mut self, request: &pb::CompactionRequest) -> Done {
        self.store.compact(request.revision)?;
        let reply = pb::CompactionResponse { header: header(self.store.revision()) };
        let effect = Effect::Compacted { revision: request.revision, physical: request.physical };
        Ok((Reply::Compaction(reply), Vec::new(), Some(effect)))
    }

    fn grant(&mut self, request: &pb::LeaseGrantRequest) -> Done {
        let granted = self.leases.grant(LeaseId(request.id), request.ttl)?;
        self.writes.extend(granted.writes);
        self.counts.leases_granted += 1;
        done(Reply::LeaseGrant(pb::LeaseGrantResponse {
            header: header(self.store.revision()),
            id: request.id,
            ttl: granted.ttl_secs,
            error: String::new(),
        }))
    }

    fn revoke(&mut self, request: &pb::LeaseRevokeRequest) -> Done {
        let revoked = self.leases.revoke(LeaseId(request.id))?;
        self.writes.extend(revoked.writes);
        let mut txn = KvTxn::begin(&mut self.store, &mut self.leases);
        for key in &revoked.keys {
            txn.delete(&KeyRange::single(bytes::Bytes::copy_from_slice(key)));
        }
        let (changes, counts) = txn.finish();
        self.counts.add(counts);
        self.counts.leases_revoked += 1;
        let reply = pb::LeaseRevokeResponse { header: header(self.store.revision()) };
        Ok((Reply::LeaseRevoke(reply), changes, None))
    }

    fn checkpoint(&mut self, request: &pb::LeaseCheckpointRequest) -> Done {
        let persist = self.settings.lease_checkpoint_persist
            || self.cluster.version().is_some_and(|version| version >= CHECKPOINTS_KEPT_SINCE);
        for checkpoint in &request.checkpoints {
            let write = self.leases.checkpoint(LeaseId(checkpoint.id), checkpoint.remaining_ttl, persist);
            self.writes.extend(write);
        }
        done(Reply::LeaseCheckpoint(pb::LeaseCheckpointResponse { header: header(self.store.revision()) }))
    }

    fn set_cluster_version(&mut self, request: &proto::membershippb::ClusterVersionSetRequest) -> Done {
        let set = self.cluster.set_version(request, self.settings.server_version)?;
        let effect = Effect::ClusterVersion { version: set.version, lowered: set.lowered() };
        self.writes.extend(set.writes);
        Ok((Reply::Nothing, Vec::new(), Some(effect)))
    }

    fn apply_conf_change(&mut self, entry: &Entry) -> Result<Applied, String> {
        let wire = raftpb::ConfChange::decode(entry.data.clone())
            .map_err(|e| format!("it is no ConfChange: {e}"))?;
        let request_id = wire.id.unwrap_or(0);
        let (outcome, told, change) = match self.cluster.change(&wire) {
            Ok(changed) => {
                self.writes.extend(changed.writes);
                self.writes.push(cluster::conf_state_row(&self.cluster.conf_state()));
                (Ok(Reply::Membership), wire, Some(changed.change))
            }
            Err(ClusterError::Rejected(rejection)) => {
                // Raft must be told of every conf change; about nobody, when the cluster refused it.
                let nobody = raftpb::ConfChange { node_id: Some(0), ..wire };
                (Err(Rejection::Cluster(rejection)), nobody, None)
            }
            Err(stop) => return Err(stop.to_string()),
        };
        let effect = Some(Effect::ConfChange(told, change));
        Ok(Applied { request_id, outcome, changes: Vec::new(), effect, operation: "" })
    }

    /// The member of that id, for the caller's own bookkeeping.
    pub fn is_member(&self, id: MemberId) -> bool {
        self.cluster.member(id).is_some()
    }

    /// What an alarm that is on stands in the way of, whoever asks: upstream looks at alarms before permissions.
    fn refuse_alarmed(&self, request: &pb::InternalRaftRequest) -> Result<(), Rejection> {
        let r = request;
        let puts = r.put.is_some() || r.lease_grant.is_some() || r.txn.as_ref().is_some_and(has_put);
        let touches_keys = puts || r.range.is_some() || r.delete_range.is_some() || r.txn.is_some();
        let stops_when_corrupt = touches_keys || r.compaction.is_some() || r.lease_revoke.is_some();
        if stops_when_corrupt && self.alarms.any(pb::AlarmType::Corrupt) {
            Err(Rejection::Corrupt)
        } else if puts && self.alarms.any(pb::AlarmType::Nospace) {
            Err(Rejection::NoSpace)
        } else {
            Ok(())
        }
    }
}

/// From this cluster version on, checkpoints of leases are written to the file (contract/semantics.md 6.9).
const CHECKPOINTS_KEPT_SINCE: Version = Version::new(3, 6, 0);

/// Whether any branch puts, at any depth.
fn has_put(txn: &pb::TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
        Some(pb::request_op::Request::RequestPut(_)) => true,
        Some(pb::request_op::Request::RequestTxn(inner)) => has_put(inner),
        _ => false,
    })
}
