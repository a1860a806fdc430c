//! A member in memory, whose behaviour tests choose by keys and knobs.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use proto::{
    etcdserverpb::{self as pb, watch_request::RequestUnion},
    mvccpb::KeyValue,
};
use tokio::sync::mpsc;

use crate::{
    member::{
        AuthCall, AuthReply, Authenticated, Body, Caller, Chunks, Credentials, Image, Login, Member,
        WatchFrame, WatchInput, WatchOutput,
    },
    status::Reason,
};

/// What tests turn and read.
#[derive(Debug, Default)]
pub(super) struct Knobs {
    pub(super) leaderless: AtomicBool,
    pub(super) learner: AtomicBool,
    pub(super) stalled: AtomicBool,
    pub(super) auth: AtomicBool,
    pub(super) alarms: Mutex<Vec<pb::AlarmMember>>,
    /// Fails every range with this.
    pub(super) range_error: Mutex<Option<Reason>>,
    pub(super) pairs: Mutex<BTreeMap<Bytes, Bytes>>,
    pub(super) last_caller: Mutex<Caller>,
    /// Of every call.
    pub(super) callers: Mutex<Vec<Caller>>,
    /// Lets a transaction about a key below `late/` have its answer.
    pub(super) late: tokio::sync::Notify,
    /// Transactions with compares.
    pub(super) txns: Mutex<Vec<pb::TxnRequest>>,
    pub(super) last_auth: Mutex<Option<AuthCall>>,
    /// Of user `alice`.
    pub(super) password_hash: Mutex<String>,
    /// How often a token is refused because the auth store has moved on.
    pub(super) stale_logins: AtomicU64,
    /// Calls that began, and calls that were dropped before their answer.
    pub(super) hanging: AtomicU64,
    pub(super) abandoned: AtomicU64,
    /// Requests of watch streams that were handed over.
    pub(super) watch_requests: AtomicU64,
    /// Frames of watch streams that were taken.
    pub(super) frames_taken: AtomicU64,
    pub(super) watches_closed: AtomicU64,
}

#[derive(Clone)]
pub(super) struct Fake {
    knobs: Arc<Knobs>,
}

impl Fake {
    pub(super) fn new(knobs: Arc<Knobs>) -> Fake {
        Fake { knobs }
    }

    fn note(&self, caller: Caller) {
        self.knobs.callers.lock().unwrap().push(caller.clone());
        *self.knobs.last_caller.lock().unwrap() = caller;
    }

    /// Never answers.
    async fn hang(&self) {
        struct OnDrop<'a>(&'a Knobs);
        impl Drop for OnDrop<'_> {
            fn drop(&mut self) {
                self.0.abandoned.fetch_add(1, SeqCst);
            }
        }
        let _guard = OnDrop(&self.knobs);
        self.knobs.hanging.fetch_add(1, SeqCst);
        std::future::pending::<()>().await;
    }
}

pub(super) fn header() -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { cluster_id: 1, member_id: 2, revision: 3, raft_term: 4 })
}

/// A `RangeResponse` of `rows` equal pairs, encoded row by row.
pub(super) struct Rows {
    header: Bytes,
    row: Bytes,
    left: usize,
    /// Breaks off with an error after this many rows.
    fails_after: Option<usize>,
}

impl Rows {
    fn new(kv: KeyValue, rows: usize, fails_after: Option<usize>) -> Rows {
        let header = pb::RangeResponse { header: header(), ..Default::default() }.encode_to_vec().into();
        let row = pb::RangeResponse { kvs: vec![kv], ..Default::default() }.encode_to_vec().into();
        Rows { header, row, left: rows, fails_after }
    }
}

impl Body for Rows {
    fn encoded_len(&self) -> usize {
        self.header.len() + self.left * self.row.len()
    }

    async fn next_piece(&mut self, max_bytes: usize) -> Result<Option<Bytes>, Reason> {
        let mut piece = std::mem::take(&mut self.header).to_vec();
        while self.left > 0 && piece.len() < max_bytes {
            if let Some(left) = &mut self.fails_after {
                *left = left.checked_sub(1).ok_or_else(|| Reason::Other("bad page".into()))?;
            }
            piece.extend_from_slice(&self.row);
            self.left -= 1;
        }
        Ok((!piece.is_empty()).then(|| piece.into()))
    }
}

pub(super) struct FakeChunks {
    left: usize,
}

impl Chunks for FakeChunks {
    type Chunk = Rows;

    async fn next(&mut self) -> Result<Option<Rows>, Reason> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let kv = KeyValue { key: "k".into(), value: vec![b'v'; 1000].into(), ..Default::default() };
        Ok(Some(Rows::new(kv, 30, None)))
    }
}

pub(super) struct FakeImage(pub(super) u64);

impl Image for FakeImage {
    fn file_len(&self) -> u64 {
        self.0
    }

    fn version(&self) -> &str {
        "3.7.0"
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Reason> {
        let n = usize::try_from(self.0 - offset).unwrap().min(buf.len()).min(50_000);
        for (i, byte) in buf[..n].iter_mut().enumerate() {
            *byte = image_byte(offset + i as u64);
        }
        Ok(n)
    }
}

pub(super) fn image_byte(offset: u64) -> u8 {
    (offset % 251) as u8
}

pub(super) struct FakeInput(mpsc::UnboundedSender<pb::WatchRequest>, Arc<Knobs>);

impl WatchInput for FakeInput {
    fn send(&self, request: pb::WatchRequest) {
        self.1.watch_requests.fetch_add(1, SeqCst);
        // The output may be gone already.
        let _ = self.0.send(request);
    }
}

/// Answers a create with a created reply, and then without end with events of as many bytes as the key says.
pub(super) struct FakeOutput {
    requests: mpsc::UnboundedReceiver<pb::WatchRequest>,
    event: Option<Bytes>,
    knobs: Arc<Knobs>,
}

impl FakeOutput {
    async fn request(&mut self) -> Option<RequestUnion> {
        if self.event.is_some() {
            return self.requests.try_recv().ok()?.request_union;
        }
        match self.requests.recv().await {
            Some(request) => request.request_union,
            None => std::future::pending().await,
        }
    }
}

/// A response in two parts.
pub(super) struct FakeFrame {
    head: Bytes,
    events: Bytes,
}

impl WatchFrame for FakeFrame {
    fn head(&self) -> &[u8] {
        &self.head
    }

    fn body(&self) -> &Bytes {
        &self.events
    }

    fn events(&self) -> usize {
        usize::from(!self.events.is_empty())
    }
}

impl WatchOutput for FakeOutput {
    type Frame = FakeFrame;

    async fn next(&mut self) -> Option<Result<FakeFrame, Reason>> {
        loop {
            match self.request().await {
                Some(RequestUnion::CreateRequest(create)) => {
                    let key = String::from_utf8(create.key.to_vec()).unwrap();
                    self.event = key.parse().ok().map(event_bytes);
                    let head = pb::WatchResponse { header: header(), created: true, ..Default::default() };
                    return Some(Ok(FakeFrame { head: head.encode_to_vec().into(), events: Bytes::new() }));
                }
                Some(RequestUnion::CancelRequest(_)) => return Some(Err(Reason::WatchCanceled)),
                Some(RequestUnion::ProgressRequest(_)) => {}
                None => {
                    let Some(events) = self.event.clone() else { continue };
                    self.knobs.frames_taken.fetch_add(1, SeqCst);
                    let head = pb::WatchResponse { header: header(), watch_id: 7, ..Default::default() };
                    return Some(Ok(FakeFrame { head: head.encode_to_vec().into(), events }));
                }
            }
        }
    }
}

impl Drop for FakeOutput {
    fn drop(&mut self) {
        self.knobs.watches_closed.fetch_add(1, SeqCst);
    }
}

/// A range that has found one key.
fn created(create_revision: i64) -> pb::ResponseOp {
    let kvs = vec![KeyValue { create_revision, ..Default::default() }];
    let range = pb::RangeResponse { kvs, ..Default::default() };
    pb::ResponseOp { response: Some(pb::response_op::Response::ResponseRange(range)) }
}

fn event_bytes(len: usize) -> Bytes {
    let kv = KeyValue { key: "k".into(), value: vec![b'e'; len].into(), ..Default::default() };
    let event = proto::mvccpb::Event { kv: Some(kv), ..Default::default() };
    pb::WatchResponse { events: vec![event], ..Default::default() }.encode_to_vec().into()
}

macro_rules! answer {
    ($($method:ident: $request:ident -> $reply:ident;)*) => {
        $(
            async fn $method(&self, caller: Caller, _: pb::$request) -> Result<pb::$reply, Reason> {
                self.note(caller);
                let mut reply = pb::$reply::default();
                reply.header = header();
                Ok(reply)
            }
        )*
    };
}

impl Member for Fake {
    type Range = Rows;
    type Chunks = FakeChunks;
    type Image = FakeImage;
    type WatchInput = FakeInput;
    type WatchOutput = FakeOutput;

    async fn drive(&self) {
        std::future::pending::<()>().await;
    }

    fn has_leader(&self) -> bool {
        !self.knobs.leaderless.load(SeqCst)
    }

    fn disk_stalled(&self) -> Option<Duration> {
        self.knobs.stalled.load(SeqCst).then(|| Duration::from_millis(1500))
    }

    fn is_learner(&self) -> bool {
        self.knobs.learner.load(SeqCst)
    }

    fn auth_enabled(&self) -> bool {
        self.knobs.auth.load(SeqCst)
    }

    fn user_of_token(&self, token: &str) -> Option<String> {
        token.strip_prefix("of-").map(str::to_owned)
    }

    async fn alarms(&self) -> Result<Vec<pb::AlarmMember>, Reason> {
        Ok(self.knobs.alarms.lock().unwrap().clone())
    }

    /// Key `rows:N` gives N pairs of 1,000 bytes, `broken` fails in the middle, others what was put.
    async fn range(&self, caller: Caller, request: pb::RangeRequest) -> Result<Rows, Reason> {
        self.note(caller);
        if let Some(reason) = &*self.knobs.range_error.lock().unwrap() {
            return Err(reason.clone());
        }
        let key = String::from_utf8(request.key.to_vec()).unwrap();
        let value = |len: usize| Bytes::from(vec![b'v'; len]);
        let kv = |value| KeyValue { key: request.key.clone(), value, ..Default::default() };
        if key == "hang" {
            self.hang().await;
        }
        if let Some(rows) = key.strip_prefix("rows:") {
            return Ok(Rows::new(kv(value(1000)), rows.parse().unwrap(), None));
        }
        if key == "broken" {
            return Ok(Rows::new(kv(value(1000)), 1000, Some(200)));
        }
        let found = self.knobs.pairs.lock().unwrap().get(&request.key).cloned();
        Ok(Rows::new(kv(found.clone().unwrap_or_default()), usize::from(found.is_some()), None))
    }

    fn range_stream(&self, caller: Caller, request: pb::RangeRequest, _: usize) -> FakeChunks {
        self.note(caller);
        FakeChunks { left: request.key.len() }
    }

    /// Key `hang` never resolves, `full` is refused.
    async fn put(&self, caller: Caller, request: pb::PutRequest) -> Result<pb::PutResponse, Reason> {
        self.note(caller);
        match &request.key[..] {
            b"hang" => self.hang().await,
            b"full" => return Err(Reason::NoSpace),
            _ => {
                self.knobs.pairs.lock().unwrap().insert(request.key, request.value);
            }
        }
        Ok(pb::PutResponse { header: header(), ..Default::default() })
    }

    /// Holds what is compared, except for keys below `a/`: there one was created at 5, and another at 4 before it.
    async fn txn(&self, caller: Caller, request: pb::TxnRequest) -> Result<pb::TxnResponse, Reason> {
        self.note(caller);
        let mut reply = pb::TxnResponse { header: header(), ..Default::default() };
        if let Some(compare) = request.compare.first() {
            reply.succeeded = !compare.key.starts_with(b"a/");
            reply.responses = if reply.succeeded { [3, 3] } else { [5, 4] }.map(created).into();
            let is_late = compare.key.starts_with(b"late/");
            self.knobs.txns.lock().unwrap().push(request);
            if is_late {
                self.knobs.late.notified().await;
            }
        }
        Ok(reply)
    }

    /// Lease 0 is refused, lease 1 is gone.
    async fn lease_keep_alive(
        &self,
        caller: Caller,
        request: pb::LeaseKeepAliveRequest,
    ) -> Result<pb::LeaseKeepAliveResponse, Reason> {
        self.note(caller);
        let ttl = match request.id {
            0 => return Err(Reason::NotPrimary),
            1 => 0,
            _ => 60,
        };
        Ok(pb::LeaseKeepAliveResponse { header: header(), id: request.id, ttl })
    }

    async fn snapshot(&self, caller: Caller, _: pb::SnapshotRequest) -> Result<FakeImage, Reason> {
        self.note(caller);
        Ok(FakeImage(3 << 20))
    }

    async fn auth(&self, caller: Caller, call: AuthCall) -> Result<AuthReply, Reason> {
        self.note(caller);
        *self.knobs.last_auth.lock().unwrap() = Some(call.clone());
        macro_rules! mirror {
            ($($variant:ident)*) => {
                match call {
                    $(AuthCall::$variant(_) => {
                        let mut reply = AuthReply::$variant(Default::default());
                        if let AuthReply::$variant(reply) = &mut reply {
                            reply.header = header();
                        }
                        reply
                    })*
                }
            };
        }
        Ok(mirror!(
            Enable Disable Status UserAdd UserGet UserList UserDelete UserChangePassword UserGrantRole
            UserRevokeRole RoleAdd RoleGet RoleList RoleDelete RoleGrantPermission RoleRevokePermission
        ))
    }

    async fn credentials(&self, user: String) -> Result<Credentials, Reason> {
        if user != "alice" {
            return Err(Reason::AuthFailed);
        }
        let hash = self.knobs.password_hash.lock().unwrap().clone().into();
        Ok(Credentials { hash, auth_revision: 9 })
    }

    async fn authenticate(&self, login: Login) -> Result<Authenticated, Reason> {
        let stale = self.knobs.stale_logins.load(SeqCst) > 0;
        if stale {
            self.knobs.stale_logins.fetch_sub(1, SeqCst);
        }
        let token = Some(format!("{}.9", login.token_prefix)).filter(|_| !login.token_prefix.is_empty());
        let auth_revision = if stale { 10 } else { 9 };
        Ok(Authenticated { header: header().unwrap_or_default(), token, auth_revision })
    }

    fn open_watch(&self, caller: Caller) -> (FakeInput, FakeOutput) {
        self.note(caller);
        let (sender, requests) = mpsc::unbounded_channel();
        (
            FakeInput(sender, Arc::clone(&self.knobs)),
            FakeOutput { requests, event: None, knobs: Arc::clone(&self.knobs) },
        )
    }

    answer! {
        delete_range: DeleteRangeRequest -> DeleteRangeResponse;
        compact: CompactionRequest -> CompactionResponse;
        lease_grant: LeaseGrantRequest -> LeaseGrantResponse;
        lease_revoke: LeaseRevokeRequest -> LeaseRevokeResponse;
        lease_time_to_live: LeaseTimeToLiveRequest -> LeaseTimeToLiveResponse;
        lease_leases: LeaseLeasesRequest -> LeaseLeasesResponse;
        member_list: MemberListRequest -> MemberListResponse;
        member_add: MemberAddRequest -> MemberAddResponse;
        member_remove: MemberRemoveRequest -> MemberRemoveResponse;
        member_update: MemberUpdateRequest -> MemberUpdateResponse;
        member_promote: MemberPromoteRequest -> MemberPromoteResponse;
        alarm: AlarmRequest -> AlarmResponse;
        status: StatusRequest -> StatusResponse;
        defragment: DefragmentRequest -> DefragmentResponse;
        hash: HashRequest -> HashResponse;
        hash_kv: HashKvRequest -> HashKvResponse;
        move_leader: MoveLeaderRequest -> MoveLeaderResponse;
        downgrade: DowngradeRequest -> DowngradeResponse;
    }
}
