//! What operators ask of a member: status, hashes, snapshots, defragmentation, leadership, downgrade.

use mvcc::{HashKv, HashStep, KvHash};
use proto::{
    etcdserverpb::{
        AlarmType, DefragmentResponse, DowngradeInfo, DowngradeRequest, DowngradeResponse, HashKvResponse,
        HashResponse, InternalRaftRequest, StatusResponse, downgrade_request::DowngradeAction,
    },
    membershippb::DowngradeInfoSetRequest,
};
use telemetry::{line, log, metrics};
use types::Moment;

use super::{Core, outbox::ReplyTo};
use crate::{
    api::{Error, SnapshotImage, call::Reply},
    backend_thread::BackendJob,
    reader_thread::ReadJob,
};

/// Keys that one step of planning a hash looks at.
const HASH_KEYS_PER_STEP: usize = 4096;

/// What waits until the file holds everything that was applied when it was asked for.
#[derive(Debug)]
pub(crate) enum AfterFlush {
    /// A client's snapshot.
    Snapshot(ReplyTo),
    /// A snapshot for another member, and the message that goes with it.
    PeerSnapshot(Box<consensus::Message>),
    /// A hash over everything.
    Hash(ReplyTo),
    /// A hash over keys that has to be computed.
    HashKv(ReplyTo, Box<mvcc::HashPlan>),
}

/// The running defragmentation.
#[derive(Debug, Default)]
pub(crate) struct Defragmentation {
    /// Waits for its end; nobody while none is running.
    waiting: Vec<ReplyTo>,
    begun: Moment,
    /// Of the file, when it began: its size, and bytes of that in use.
    before: (u64, u64),
}

impl Core {
    pub(super) fn status(&self) -> Reply {
        let raft = self.raft.basic_status();
        let mut errors = Vec::new();
        if raft.soft_state.leader == 0 {
            errors.push("etcdserver: no leader".to_string());
        }
        for alarm in self.state.alarms(AlarmType::None) {
            let mut text = String::new();
            if alarm.member_id != 0 {
                text.push_str(&format!("memberID:{} ", alarm.member_id));
            }
            text.push_str(&format!("alarm:{}", alarm.alarm().as_str_name()));
            errors.push(text);
        }
        let cluster = self.state.cluster();
        let downgrade = cluster.downgrade();
        Reply::Status(StatusResponse {
            header: Some(self.header()),
            version: self.config.release.text().to_string(),
            db_size: self.persist.backend_size() as i64,
            leader: raft.soft_state.leader,
            raft_index: raft.hard_state.commit,
            raft_term: raft.hard_state.term,
            raft_applied_index: self.state.applied(),
            errors,
            db_size_in_use: self.persist.backend_in_use() as i64,
            is_learner: cluster.member(self.member_id).is_some_and(|member| member.is_learner),
            storage_version: self.state.storage_version().map(|v| v.to_string()).unwrap_or_default(),
            db_size_quota: self.config.quota_reported,
            downgrade_info: Some(DowngradeInfo {
                enabled: downgrade.enabled,
                target_version: downgrade.target.clone(),
            }),
        })
    }

    pub(super) fn snapshot(&mut self, reply_to: ReplyTo) {
        self.after_flush(AfterFlush::Snapshot(reply_to));
    }

    pub(super) fn hash(&mut self, reply_to: ReplyTo) {
        self.after_flush(AfterFlush::Hash(reply_to));
    }

    pub(super) fn hash_kv(&mut self, reply_to: ReplyTo, revision: i64) {
        match self.state.store_mut().hash_kv(revision) {
            Ok(HashKv::Stored(hash)) => self.hash_kv_done(reply_to, Ok(hash)),
            Ok(HashKv::Plan(plan)) => self.after_flush(AfterFlush::HashKv(reply_to, plan)),
            Err(error) => {
                let failure = state::Failure::from(error);
                self.outbox.reply(reply_to, Err(failure.into()));
            }
        }
    }

    /// Goes on with what has waited for the file.
    pub(super) fn run_after_flush(&mut self, after: AfterFlush) {
        match after {
            AfterFlush::Snapshot(reply_to) => {
                let version = self.state.storage_version().map(|v| v.to_string()).unwrap_or_default();
                let answer =
                    self.persist.committed.image().map_err(|e| Error::Storage(e.to_string())).map(|image| {
                        let image = SnapshotImage::new(image, version);
                        line!(Info, "sending database snapshot to client",
                            "total-bytes" => image.len(),
                            "size" => log::size(image.len()),
                            "storage-version" => image.version());
                        Reply::Snapshot(image)
                    });
                self.outbox.reply(reply_to, answer);
            }
            AfterFlush::PeerSnapshot(message) => self.send_snapshot(*message),
            AfterFlush::Hash(reply_to) => match mvcc::hash_all(&self.persist.committed) {
                Ok(hash) => self.reader.send(ReadJob::Hash { reply_to, hash: Box::new(hash) }),
                Err(error) => self.outbox.reply(reply_to, Err(Error::Storage(error.to_string()))),
            },
            AfterFlush::HashKv(reply_to, plan) => self.plan_hash(reply_to, plan),
        }
    }

    /// Plans a hash. Its steps look at keys that were superseded since the last compaction, which are few; the
    /// rows themselves are read elsewhere.
    fn plan_hash(&mut self, reply_to: ReplyTo, mut plan: Box<mvcc::HashPlan>) {
        loop {
            match self.state.store().hash_step(plan, HASH_KEYS_PER_STEP) {
                HashStep::Working(rest) => plan = rest,
                HashStep::Waiting { plan, .. } => {
                    self.begin_compaction();
                    self.after_compaction_batch(AfterFlush::HashKv(reply_to, plan));
                    return;
                }
                HashStep::Ready(job) => {
                    self.reader.send(ReadJob::HashKv { reply_to, job });
                    return;
                }
            }
        }
    }

    pub(super) fn hash_kv_done(&mut self, reply_to: ReplyTo, result: Result<KvHash, String>) {
        if let Err(reason) = &result {
            self.damaged(reason);
        }
        let answer = result.map_err(Error::Storage).map(|hash| {
            Reply::HashKv(HashKvResponse {
                header: Some(self.header()),
                hash: hash.hash,
                compact_revision: hash.compacted,
                hash_revision: hash.revision,
            })
        });
        self.outbox.reply(reply_to, answer);
    }

    pub(super) fn hash_done(&mut self, reply_to: ReplyTo, result: Result<u32, String>) {
        let header = Some(self.header());
        let answer = result.map_err(Error::Storage).map(|hash| Reply::Hash(HashResponse { header, hash }));
        self.outbox.reply(reply_to, answer);
    }

    pub(super) fn defragment(&mut self, reply_to: ReplyTo) {
        if self.defragmentation.waiting.is_empty() {
            let (size, in_use) = (self.persist.backend_size(), self.persist.backend_in_use());
            self.defragmentation.begun = self.now;
            self.defragmentation.before = (size, in_use);
            line!(Info, "starting defragment");
            line!(Info, "defragmenting",
                "path" => self.config.db_path().display().to_string(),
                "current-db-size-bytes" => size,
                "current-db-size" => log::size(size),
                "current-db-size-in-use-bytes" => in_use,
                "current-db-size-in-use" => log::size(in_use));
            metrics().disk_defrag_inflight.set(1);
            self.backend.send(BackendJob::Defragment);
        }
        self.defragmentation.waiting.push(reply_to);
    }

    pub(super) fn defragment_step_done(&mut self, done: bool) {
        if !done {
            self.backend.send(BackendJob::Defragment);
            return;
        }
        metrics().disk_defrag_inflight.set(0);
        let took = self.now.since(self.defragmentation.begun);
        metrics().disk_backend_defrag_duration_seconds.observe(took.as_secs_f64());
        let (size, in_use) = (self.persist.backend_size(), self.persist.backend_in_use());
        let (size_before, in_use_before) = self.defragmentation.before;
        line!(Info, "finished defragmenting directory",
            "path" => self.config.db_path().display().to_string(),
            "current-db-size-bytes-diff" => size as i64 - size_before as i64,
            "current-db-size-bytes" => size,
            "current-db-size" => log::size(size),
            "current-db-size-in-use-bytes-diff" => in_use as i64 - in_use_before as i64,
            "current-db-size-in-use-bytes" => in_use,
            "current-db-size-in-use" => log::size(in_use),
            "took" => log::duration(took));
        line!(Info, "finished defragment");
        for reply_to in std::mem::take(&mut self.defragmentation.waiting) {
            self.outbox.reply(reply_to, Ok(Reply::Defragment(DefragmentResponse { header: None })));
        }
    }

    /// Judges a downgrade request, after the read barrier. Enabling and cancelling are proposed: they are answered
    /// when they are applied.
    pub(super) fn downgrade(
        &mut self,
        reply_to: &ReplyTo,
        request: &DowngradeRequest,
    ) -> Option<Result<Reply, Error>> {
        let Ok(action) = DowngradeAction::try_from(request.action) else {
            return Some(Err(Error::UnknownMethod));
        };
        let cluster = self.state.cluster();
        let change = match action {
            DowngradeAction::Cancel if cluster.downgrade().enabled => {
                DowngradeInfoSetRequest { enabled: false, ver: String::new() }
            }
            // Nothing to cancel is no error to the client (contract/errors.tsv, ErrGRPCNoInflightDowngrade).
            DowngradeAction::Cancel => return Some(Ok(self.downgrade_reply())),
            DowngradeAction::Validate | DowngradeAction::Enable => {
                let target = match cluster.validate_downgrade(&request.version) {
                    Ok(target) => target,
                    Err(rejection) => return Some(Err(Error::Downgrade(rejection))),
                };
                if action == DowngradeAction::Validate {
                    return Some(Ok(self.downgrade_reply()));
                }
                DowngradeInfoSetRequest { enabled: true, ver: target.to_string() }
            }
        };
        let request =
            InternalRaftRequest { downgrade_info_set: Some(change), ..InternalRaftRequest::default() };
        self.propose(reply_to.clone(), request, state::Subject::default());
        None
    }

    /// The cluster version, as all downgrade requests are answered.
    pub(super) fn downgrade_reply(&self) -> Reply {
        let version = self.state.cluster().version().map(|v| v.cluster_text()).unwrap_or_default();
        Reply::Downgrade(DowngradeResponse { header: Some(self.header()), version })
    }
}
