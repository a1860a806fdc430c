//! Requests of all methods: decoded, checked, lowered to accesses, judged for a user, and executed if they only read.

use std::{cell::RefCell, sync::LazyLock};

use bytes::Bytes;
use prost::Message;
use proto::{
    etcdserverpb::{self as pb, InternalRaftRequest},
    health, v3electionpb, v3lockpb,
};
use rpc::{Method, validate};
use state::{Guarded, Subject};

use crate::{Target, input::Input, meter, twice, worlds::Machine};

pub(crate) const REQUEST: Target = Target {
    name: "grpc",
    what: "a request message of each of the 52 methods, for each kind of user",
    run,
    seeds,
    memory,
    len_max: 64 << 10,
};

/// Elements of lists are larger in memory than on the wire; the product takes [`proto::weight`] out of its budget before
/// it decodes.
fn memory(input: &[u8]) -> usize {
    let weight = match Method::ALL.get(usize::from(input.first().copied().unwrap_or(0)) % Method::ALL.len()) {
        Some(method) => {
            let (kind, _) = proto::json::method(&path(*method)).unwrap();
            proto::weight(kind.name(), input.get(2..).unwrap_or_default())
        }
        None => 0,
    };
    twice(input) + weight
}

fn path(method: Method) -> String {
    format!("/{}/{}", method.service(), method.name())
}

const TXN_OPS_MAX: usize = 128;

thread_local! {
    static MACHINE: RefCell<Machine> = RefCell::new(Machine::with_users());
}

/// Judges a request.
fn judge<T: Guarded>(machine: &Machine, subject: &Subject, request: &T) -> bool {
    machine.state.authorize(subject, request).is_ok()
}

fn read<Q: Message + prost::Name + Default>(bytes: &Bytes) -> Option<Q> {
    proto::decode(bytes.clone()).ok()
}

fn run(input: &[u8]) {
    let mut input = Input(input);
    let method = Method::ALL[input.choice(Method::ALL.len())];
    let subject = match input.choice(4) {
        0 => Subject::default(),
        1 => Subject { user: "root".into(), revision: 0 },
        2 => Subject { user: "user".into(), revision: u64::MAX },
        _ => Subject { user: "user".into(), revision: 1 },
    };
    let bytes = meter::aside(|| Bytes::copy_from_slice(input.0));
    MACHINE.with(|machine| {
        // The world is made at the first use.
        meter::aside(|| drop(machine.borrow()));
        decode_and_judge(&mut machine.borrow_mut(), method, &subject, &bytes);
    });
}

fn decode_and_judge(machine: &mut Machine, method: Method, subject: &Subject, bytes: &Bytes) {
    macro_rules! guarded {
        ($request:ty, $check:expr) => {{
            let Some(request) = read::<$request>(bytes) else { return };
            let check: fn(&$request) -> bool = $check;
            if check(&request) && judge(machine, subject, &request) { Some(request) } else { None }
        }};
    }
    /// Requests that are judged as the entries that they become.
    macro_rules! entry {
        ($field:ident: $request:ty) => {{
            let Some(request) = read::<$request>(bytes) else { return };
            let entry = InternalRaftRequest { $field: Some(request), ..InternalRaftRequest::default() };
            let _ = judge(machine, subject, &entry);
        }};
    }
    match method {
        Method::Range | Method::RangeStream => {
            let request = guarded!(pb::RangeRequest, |r| validate::range(r).is_ok()
                | validate::range_stream(r).is_ok());
            if let Some(request) = request
                && let Ok(mut answer) = machine.state.range(&request)
            {
                (0..answer.rows.len()).for_each(|i| drop(answer.rows.fetch(i)));
            }
        }
        Method::Txn => {
            let txn = guarded!(pb::TxnRequest, |r| validate::txn(r, TXN_OPS_MAX).is_ok());
            if let Some(txn) = txn.filter(state::is_read_only) {
                let _ = state::is_serializable(&txn);
                let _ = machine.state.read_only_txn(&txn);
            }
        }
        Method::Put => drop(guarded!(pb::PutRequest, |r| validate::put(r).is_ok())),
        Method::DeleteRange => {
            drop(guarded!(pb::DeleteRangeRequest, |r| validate::delete_range(r).is_ok()));
        }
        Method::Compact => drop(guarded!(pb::CompactionRequest, |_| true)),
        Method::Watch => {
            let Some(request) = read::<pb::WatchRequest>(bytes) else { return };
            if let Some(pb::watch_request::RequestUnion::CreateRequest(create)) = request.request_union {
                let _ = judge(machine, subject, &create);
            }
        }
        Method::LeaseGrant => drop(guarded!(pb::LeaseGrantRequest, |_| true)),
        Method::LeaseRevoke => drop(guarded!(pb::LeaseRevokeRequest, |_| true)),
        Method::LeaseKeepAlive => drop(guarded!(pb::LeaseKeepAliveRequest, |_| true)),
        Method::LeaseTimeToLive => drop(guarded!(pb::LeaseTimeToLiveRequest, |_| true)),
        Method::LeaseLeases => drop(guarded!(pb::LeaseLeasesRequest, |_| true)),
        Method::MemberAdd => {
            drop(guarded!(pb::MemberAddRequest, |r| validate::peer_urls(&r.peer_ur_ls).is_ok()));
        }
        Method::MemberRemove => drop(guarded!(pb::MemberRemoveRequest, |_| true)),
        Method::MemberUpdate => {
            drop(guarded!(pb::MemberUpdateRequest, |r| validate::peer_urls(&r.peer_ur_ls).is_ok()));
        }
        Method::MemberList => drop(guarded!(pb::MemberListRequest, |_| true)),
        Method::MemberPromote => drop(guarded!(pb::MemberPromoteRequest, |_| true)),
        Method::Alarm => drop(guarded!(pb::AlarmRequest, |r| validate::alarm(r).is_ok())),
        Method::Status => drop(guarded!(pb::StatusRequest, |_| true)),
        Method::Defragment => drop(guarded!(pb::DefragmentRequest, |_| true)),
        Method::Hash => drop(guarded!(pb::HashRequest, |_| true)),
        Method::HashKv => drop(guarded!(pb::HashKvRequest, |_| true)),
        Method::Snapshot => drop(guarded!(pb::SnapshotRequest, |_| true)),
        Method::MoveLeader => drop(guarded!(pb::MoveLeaderRequest, |_| true)),
        Method::Downgrade => {
            if let Some(request) = guarded!(pb::DowngradeRequest, |_| true) {
                let _ = cluster::parse_downgrade_target(&request.version);
            }
        }
        Method::AuthEnable => entry!(auth_enable: pb::AuthEnableRequest),
        Method::AuthDisable => entry!(auth_disable: pb::AuthDisableRequest),
        Method::AuthStatus => entry!(auth_status: pb::AuthStatusRequest),
        Method::Authenticate => drop(read::<pb::AuthenticateRequest>(bytes)),
        Method::UserAdd => entry!(auth_user_add: pb::AuthUserAddRequest),
        Method::UserGet => entry!(auth_user_get: pb::AuthUserGetRequest),
        Method::UserList => entry!(auth_user_list: pb::AuthUserListRequest),
        Method::UserDelete => entry!(auth_user_delete: pb::AuthUserDeleteRequest),
        Method::UserChangePassword => entry!(auth_user_change_password: pb::AuthUserChangePasswordRequest),
        Method::UserGrantRole => entry!(auth_user_grant_role: pb::AuthUserGrantRoleRequest),
        Method::UserRevokeRole => entry!(auth_user_revoke_role: pb::AuthUserRevokeRoleRequest),
        Method::RoleAdd => entry!(auth_role_add: pb::AuthRoleAddRequest),
        Method::RoleGet => entry!(auth_role_get: pb::AuthRoleGetRequest),
        Method::RoleList => entry!(auth_role_list: pb::AuthRoleListRequest),
        Method::RoleDelete => entry!(auth_role_delete: pb::AuthRoleDeleteRequest),
        Method::RoleGrantPermission => entry!(auth_role_grant_permission: pb::AuthRoleGrantPermissionRequest),
        Method::RoleRevokePermission => {
            entry!(auth_role_revoke_permission: pb::AuthRoleRevokePermissionRequest);
        }
        Method::Lock => drop(guarded!(v3lockpb::LockRequest, |_| true)),
        Method::Unlock => drop(guarded!(v3lockpb::UnlockRequest, |_| true)),
        Method::Campaign => drop(guarded!(v3electionpb::CampaignRequest, |_| true)),
        Method::Proclaim => drop(guarded!(v3electionpb::ProclaimRequest, |_| true)),
        Method::Leader | Method::Observe => drop(guarded!(v3electionpb::LeaderRequest, |_| true)),
        Method::Resign => drop(guarded!(v3electionpb::ResignRequest, |_| true)),
        Method::HealthCheck | Method::HealthWatch => drop(read::<health::HealthCheckRequest>(bytes)),
        Method::HealthList => drop(read::<health::HealthListRequest>(bytes)),
    }
}

/// Requests with every field set, as JSON: short to write, and the seeds of two targets.
pub(crate) const SAMPLES: &[(Method, &str)] = &[
    (
        Method::Range,
        r#"{"key":"YQ==","range_end":"Yw==","limit":"3","revision":"2","sort_order":"DESCEND","sort_target":"MOD","serializable":true,"keys_only":true,"count_only":true,"min_mod_revision":"1","max_mod_revision":"9","min_create_revision":"1","max_create_revision":"9"}"#,
    ),
    (Method::Range, r#"{"key":"AA==","range_end":"AA=="}"#),
    (Method::RangeStream, r#"{"key":"YQ==","range_end":"AA==","limit":"3"}"#),
    (Method::Put, r#"{"key":"Yg==","value":"dmFsdWU=","lease":"7","prev_kv":true}"#),
    (Method::Put, r#"{"key":"Yg==","ignore_value":true,"ignore_lease":true}"#),
    (Method::DeleteRange, r#"{"key":"YQ==","range_end":"AA==","prev_kv":true}"#),
    (
        Method::Txn,
        r#"{"compare":[{"result":"GREATER","target":"VALUE","key":"YQ==","value":"dg==","range_end":"Yw=="},{"target":"LEASE","key":"Yg==","lease":"7"},{"target":"VERSION","key":"Yg==","version":"1"}],"success":[{"request_range":{"key":"YQ=="}},{"request_put":{"key":"Yg==","value":"dg=="}},{"request_delete_range":{"key":"Yw=="}},{"request_txn":{"compare":[{"target":"MOD","key":"YQ==","mod_revision":"5"}],"success":[{"request_range":{"key":"YQ=="}}],"failure":[{"request_txn":{}}]}}],"failure":[{"request_range":{"key":"YQ=="}}]}"#,
    ),
    (
        Method::Txn,
        r#"{"compare":[{"target":"CREATE","key":"YQ==","create_revision":"0"}],"success":[{"request_range":{"key":"YQ=="}}]}"#,
    ),
    (Method::Compact, r#"{"revision":"3","physical":true}"#),
    (
        Method::Watch,
        r#"{"create_request":{"key":"YQ==","range_end":"Yg==","start_revision":"2","progress_notify":true,"filters":["NOPUT","NODELETE"],"prev_kv":true,"watch_id":"4","fragment":true}}"#,
    ),
    (Method::Watch, r#"{"cancel_request":{"watch_id":"4"}}"#),
    (Method::Watch, r#"{"progress_request":{}}"#),
    (Method::LeaseGrant, r#"{"TTL":"60","ID":"9"}"#),
    (Method::LeaseRevoke, r#"{"ID":"7"}"#),
    (Method::LeaseKeepAlive, r#"{"ID":"7"}"#),
    (Method::LeaseTimeToLive, r#"{"ID":"7","keys":true}"#),
    (Method::LeaseLeases, "{}"),
    (Method::MemberAdd, r#"{"peerURLs":["http://127.0.0.1:2380","unix://a"],"isLearner":true}"#),
    (Method::MemberRemove, r#"{"ID":"10501334649042878790"}"#),
    (Method::MemberUpdate, r#"{"ID":"1","peerURLs":["http://127.0.0.1:2380"]}"#),
    (Method::MemberList, r#"{"linearizable":true}"#),
    (Method::MemberPromote, r#"{"ID":"1"}"#),
    (Method::Alarm, r#"{"action":"ACTIVATE","memberID":"1","alarm":"NOSPACE"}"#),
    (Method::Status, "{}"),
    (Method::Defragment, "{}"),
    (Method::Hash, "{}"),
    (Method::HashKv, r#"{"revision":"3"}"#),
    (Method::Snapshot, "{}"),
    (Method::MoveLeader, r#"{"targetID":"1"}"#),
    (Method::Downgrade, r#"{"action":"ENABLE","version":"3.6.0"}"#),
    (Method::AuthEnable, "{}"),
    (Method::AuthDisable, "{}"),
    (Method::AuthStatus, "{}"),
    (Method::Authenticate, r#"{"name":"root","password":"secret"}"#),
    (
        Method::UserAdd,
        r#"{"name":"new","password":"secret","options":{"no_password":true},"hashedPassword":"aGFzaA=="}"#,
    ),
    (Method::UserGet, r#"{"name":"user"}"#),
    (Method::UserList, "{}"),
    (Method::UserDelete, r#"{"name":"user"}"#),
    (Method::UserChangePassword, r#"{"name":"user","password":"other","hashedPassword":"aGFzaA=="}"#),
    (Method::UserGrantRole, r#"{"user":"user","role":"role"}"#),
    (Method::UserRevokeRole, r#"{"name":"user","role":"role"}"#),
    (Method::RoleAdd, r#"{"name":"other"}"#),
    (Method::RoleGet, r#"{"role":"role"}"#),
    (Method::RoleList, "{}"),
    (Method::RoleDelete, r#"{"role":"role"}"#),
    (
        Method::RoleGrantPermission,
        r#"{"name":"role","perm":{"permType":"READWRITE","key":"YQ==","range_end":"Yg=="}}"#,
    ),
    (Method::RoleRevokePermission, r#"{"role":"role","key":"YQ==","range_end":"Yg=="}"#),
    (Method::Lock, r#"{"name":"bG9jaw==","lease":"7"}"#),
    (Method::Unlock, r#"{"key":"bG9jay83"}"#),
    (Method::Campaign, r#"{"name":"ZQ==","lease":"7","value":"dg=="}"#),
    (Method::Proclaim, r#"{"leader":{"name":"ZQ==","key":"ZS83","rev":"3","lease":"7"},"value":"dg=="}"#),
    (Method::Leader, r#"{"name":"ZQ=="}"#),
    (Method::Observe, r#"{"name":"ZQ=="}"#),
    (Method::Resign, r#"{"leader":{"name":"ZQ==","key":"ZS83","rev":"3","lease":"7"}}"#),
    (Method::HealthCheck, r#"{"service":"x"}"#),
    (Method::HealthList, "{}"),
];

/// A sample as a message.
pub(crate) fn encoded(method: Method, json: &str) -> Vec<u8> {
    let (kind, _) = proto::json::method(&path(method)).unwrap();
    kind.read(json.as_bytes()).unwrap()
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, (method, json)) in SAMPLES.iter().enumerate() {
        let message = encoded(*method, json);
        seeds.push([&[*method as u8, (number % 4) as u8][..], &message].concat());
    }
    // Transactions within each other, and as many operations as there is room for.
    let mut nested = Vec::new();
    for _ in 0..100 {
        let txn = pb::TxnRequest::decode(&nested[..]).unwrap_or_default();
        let op = pb::RequestOp { request: Some(pb::request_op::Request::RequestTxn(txn)) };
        nested = pb::TxnRequest { success: vec![op], ..Default::default() }.encode_to_vec();
    }
    seeds.push([&[Method::Txn as u8, 1][..], &nested].concat());
    seeds.push([&[Method::Txn as u8, 1][..], &[0x12, 0].repeat(20_000)].concat());
    seeds.push([&[Method::MemberAdd as u8, 1][..], &[0x0a, 0].repeat(20_000)].concat());
    seeds.push(
        [
            &[Method::Watch as u8, 1][..],
            &[&[0x0a, 0xa0, 0x9c, 1, 0x2a, 0x9c, 0x9c, 1][..], &[0; 20_000]].concat(),
        ]
        .concat(),
    );
    seeds
}

/// Replies are read by `client`, from a discovery service or by tools, and shown as JSON.
pub(crate) const REPLY: Target = Target {
    name: "reply",
    what: "a reply message of each method, decoded and written as JSON in pieces",
    run: run_reply,
    seeds: reply_seeds,
    memory: reply_memory,
    len_max: 16 << 10,
};

/// JSON is longer than its message: names of fields up to 20 letters for two bytes, and every number in quotes; what is
/// written so far is doubled when it grows. The gateway passes it on piece by piece.
fn reply_memory(input: &[u8]) -> usize {
    100 * input.len() + (64 << 10)
}

fn run_reply(input: &[u8]) {
    static METHODS: LazyLock<Vec<proto::json::Type>> = LazyLock::new(|| {
        Method::ALL.iter().map(|method| proto::json::method(&path(*method)).unwrap().1).collect()
    });
    let mut input = Input(input);
    let kind = METHODS[input.choice(METHODS.len())];
    let style = if input.flag() { proto::json::Style::Message } else { proto::json::Style::Within };
    let step = usize::from(input.byte()).max(1);
    let mut writer = proto::json::Writer::new(kind, style);
    let mut out = Vec::new();
    for piece in input.0.chunks(step) {
        if writer.push(piece, &mut out).is_err() {
            return;
        }
    }
    let _ = writer.finish(&mut out);
}

fn reply_seeds() -> Vec<Vec<u8>> {
    let kv = proto::mvccpb::KeyValue {
        key: "key".into(),
        value: "value".into(),
        create_revision: 1,
        mod_revision: i64::MAX,
        version: 1,
        lease: -1,
    };
    let header = Some(pb::ResponseHeader { cluster_id: u64::MAX, member_id: 2, revision: 3, raft_term: 4 });
    let range = pb::RangeResponse { header, kvs: vec![kv.clone(); 3], more: true, count: 9 };
    let event = proto::mvccpb::Event { r#type: 1, kv: Some(kv.clone()), prev_kv: Some(kv) };
    let watch = pb::WatchResponse { header, watch_id: 1, events: vec![event], ..Default::default() };
    let inner = pb::ResponseOp { response: Some(pb::response_op::Response::ResponseRange(range.clone())) };
    let txn = pb::TxnResponse { header, succeeded: true, responses: vec![inner] };
    let members = vec![pb::Member { id: 1, name: "m".into(), ..Default::default() }];
    let list = pb::MemberListResponse { header, members };
    [
        (Method::Range, range.encode_to_vec()),
        (Method::Watch, watch.encode_to_vec()),
        (Method::Txn, txn.encode_to_vec()),
        (Method::MemberList, list.encode_to_vec()),
    ]
    .into_iter()
    .map(|(method, message)| [&[method as u8, 0, 7][..], &message].concat())
    .collect()
}
