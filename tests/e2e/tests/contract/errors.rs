//! contract/errors.tsv: each error that one member can give is brought about, and its code and text are compared.
//! Errors of the start are in `startup`.

use std::time::Duration;

use e2e::{client::Status, server::Server};
use proto::{
    authpb::permission::Type,
    etcdserverpb::{
        self as pb, AlarmRequest, AlarmType, DowngradeRequest, LeaseGrantRequest, RangeRequest,
        RangeStreamResponse, TxnRequest, WatchCreateRequest,
        alarm_request::AlarmAction,
        downgrade_request::DowngradeAction,
        range_request::{SortOrder, SortTarget},
    },
};

use crate::{
    common::*,
    gaps::KNOWN_GAPS,
    grpc::auth::{self, grant_permission, grant_role, revoke_permission, revoke_role, role_add, user_add},
};

e2e::cases! { KNOWN_GAPS;
    keys => "errors" ["ErrGRPCEmptyKey", "ErrGRPCKeyNotFound", "ErrGRPCValueProvided", "ErrGRPCLeaseProvided"];
    txns => "errors" ["ErrGRPCTooManyOps", "ErrGRPCDuplicateKey"];
    api_version => "errors" ["ErrGRPCInvalidClientAPIVersion"];
    sort_options => "errors" ["ErrGRPCInvalidSortOption", "RangeStream sort", "RangeStream filter"];
    revisions => "errors" ["ErrGRPCCompacted", "ErrGRPCFutureRev"];
    no_space => "errors" ["ErrGRPCNoSpace"];
    corrupt => "errors" ["ErrGRPCCorrupt"];
    leases => "errors" ["ErrGRPCLeaseNotFound", "ErrGRPCLeaseExist", "ErrGRPCLeaseTTLTooLarge"];
    member_urls => "errors" ["ErrGRPCMemberBadURLs"];
    sizes => "errors" ["ErrGRPCRequestTooLarge", "grpc recv limit"];
    auth_users => "errors" ["ErrGRPCUserAlreadyExist", "ErrGRPCUserEmpty", "ErrGRPCUserNotFound", "auth.ErrNoPasswordUser"];
    auth_roles => "errors" [
        "ErrGRPCRoleAlreadyExist", "ErrGRPCRoleNotFound", "ErrGRPCRoleEmpty", "ErrGRPCRoleNotGranted",
        "ErrGRPCPermissionNotGiven", "ErrGRPCPermissionNotGranted", "ErrGRPCInvalidAuthMgmt",
    ];
    auth_enable => "errors" ["ErrGRPCRootUserNotExist", "ErrGRPCRootRoleNotExist"];
    auth_is_off => "errors" ["ErrGRPCAuthNotEnabled"];
    auth_token => "errors" ["ErrGRPCInvalidAuthToken", "watch token"];
    auth_nobody => "errors" ["ErrGRPCUserEmpty", "watch no user"];
    leader_transferee => "errors" ["ErrGRPCBadLeaderTransferee"];
    downgrades => "errors" [
        "ErrGRPCWrongDowngradeVersionFormat", "ErrGRPCInvalidDowngradeTargetVersion", "ErrGRPCDowngradeInProcess",
        "ErrGRPCNoInflightDowngrade", "errors.ErrUnknownMethod",
    ];
    deadlines => "errors" ["context.DeadlineExceeded"];
    unknown_paths => "errors" ["unknown service", "unknown method"];
    health => "errors" ["health unknown"];
    watches => "errors" ["watch dup id", "watch empty range", "watch negative start"];
    stopping => "errors" ["ErrGRPCStopped"];
}

fn keys() {
    let server = Server::shared();
    let client = server.client();
    let empty = promised("ErrGRPCEmptyKey");
    assert_eq!(client.fails(range("")), empty);
    assert_eq!(client.fails(put("", "v")), empty);
    assert_eq!(client.fails(delete("")), empty);
    assert_eq!(stream_range(&server, range("")), Err(empty.clone()));
    for op in [range_op(""), put_op("", ""), delete_op(""), txn_op(txn(vec![put_op("", "")]))] {
        let branch = vec![op];
        assert_eq!(client.fails(TxnRequest { success: branch.clone(), ..Default::default() }), empty);
        assert_eq!(
            client.fails(TxnRequest { failure: branch, ..Default::default() }),
            empty,
            "checked although not run"
        );
    }
    assert_eq!(
        client.fails(TxnRequest { compare: vec![pb::Compare::default()], ..Default::default() }),
        empty
    );

    let not_found = promised("ErrGRPCKeyNotFound");
    assert_eq!(client.fails(pb::PutRequest { ignore_value: true, ..put("errors/absent", "") }), not_found);
    assert_eq!(client.fails(pb::PutRequest { ignore_lease: true, ..put("errors/absent", "v") }), not_found);
    assert_eq!(client.fails(txn(vec![pb::RequestOp::default()])), not_found, "an operation without content");
    assert_eq!(get(&client, "errors/absent"), None);

    put_ok(&client, "errors/k", "v");
    let value = pb::PutRequest { ignore_value: true, ..put("errors/k", "v") };
    assert_eq!(client.fails(value), promised("ErrGRPCValueProvided"));
    let lease = pb::PutRequest { ignore_lease: true, lease: 1, ..put("errors/k", "v") };
    assert_eq!(client.fails(lease), promised("ErrGRPCLeaseProvided"));
}

/// 3.4, 3.6.
fn txns() {
    let server = Server::shared();
    let client = server.client();
    let gets = |count: usize| vec![range_op("k"); count];
    let too_many = promised("ErrGRPCTooManyOps");
    client.ok(txn(gets(128)));
    assert_eq!(client.fails(txn(gets(129))), too_many);
    assert_eq!(client.fails(TxnRequest { failure: gets(129), ..Default::default() }), too_many);
    let compare = pb::Compare { key: text("k"), ..Default::default() };
    assert_eq!(client.fails(TxnRequest { compare: vec![compare; 129], ..Default::default() }), too_many);
    // A nested transaction gets what its parent leaves.
    let nested = |inner: usize| txn([vec![txn_op(txn(gets(inner)))], gets(99)].concat());
    client.ok(nested(28));
    assert_eq!(client.fails(nested(29)), too_many);

    let duplicate = promised("ErrGRPCDuplicateKey");
    let put_in = |key| txn_op(txn(vec![put_op(key, "")]));
    let range_delete = |key, end| pb::DeleteRangeRequest { range_end: text(end), ..delete(key) };
    let delete_range_op = |key, end| pb::RequestOp {
        request: Some(pb::request_op::Request::RequestDeleteRange(range_delete(key, end))),
    };
    for ops in [
        vec![put_op("dup", "1"), put_op("dup", "2")],
        vec![put_op("dup", ""), delete_op("dup")],
        vec![delete_range_op("a", "z"), put_op("dup", "")],
        vec![put_in("dup"), put_op("dup", "")],
        vec![put_in("dup"), put_in("dup")],
        vec![delete_op("dup"), put_in("dup")],
        vec![txn_op(txn(vec![delete_op("dup")])), put_in("dup")],
    ] {
        assert_eq!(client.fails(txn(ops.clone())), duplicate, "{ops:?}");
        assert_eq!(client.fails(TxnRequest { failure: ops, ..Default::default() }), duplicate);
    }
    let exclusive = TxnRequest {
        success: vec![put_op("dup", "")],
        failure: vec![put_op("dup", "")],
        ..Default::default()
    };
    client.ok(txn(vec![txn_op(exclusive)]));
    client.ok(txn(vec![delete_op("dup"), delete_range_op("d", "e")]));
    client.ok(txn(vec![put_in("dup"), txn_op(txn(vec![delete_op("dup")]))]));
    // What from-key deletes is not seen by the rule; the later one wins.
    client.ok(txn(vec![delete_range_op("dup", "\0"), put_op("dup", "stays")]));
    assert_eq!(get(&client, "dup").as_deref(), Some("stays"));
    let small = Server::start(&["--max-txn-ops=2"]);
    assert_eq!(small.client().fails(txn(gets(3))), too_many);
}

fn api_version() {
    let server = Server::shared();
    let client = server.client();
    let invalid = promised("ErrGRPCInvalidClientAPIVersion");
    assert_eq!(client.with("client-api-version", b"3.\xff").fails(range("k")), invalid);
    client.with("client-api-version", b"3.7").ok(range("k"));
    let counted = server.metrics();
    let labels = [("type", "unary"), ("client_api_version", "3.7")];
    assert!(counted.value("etcd_server_client_requests_total", &labels) >= 1.0);
}

fn stream_range(server: &Server, request: RangeRequest) -> Result<Vec<RangeStreamResponse>, Status> {
    let client = server.client();
    let mut stream = client.open::<RangeRequest, RangeStreamResponse>("etcdserverpb.KV/RangeStream");
    stream.send(&request);
    stream.finish();
    stream.rest()
}

/// 2.12, 2.13.
fn sort_options() {
    let server = Server::shared();
    let client = server.client();
    let invalid = promised("ErrGRPCInvalidSortOption");
    for (sort_order, sort_target) in [(3, 0), (-1, 0), (0, 5), (1, 99), (i32::MAX, i32::MIN)] {
        let request = RangeRequest { sort_order, sort_target, ..range("k") };
        assert_eq!(client.fails(request.clone()), invalid);
        assert_eq!(stream_range(&server, request.clone()), Err(invalid.clone()));
        let op = pb::RequestOp { request: Some(pb::request_op::Request::RequestRange(request)) };
        assert_eq!(client.fails(txn(vec![op])), invalid);
    }
    let sorted = |order: SortOrder, target: SortTarget| RangeRequest {
        sort_order: order as i32,
        sort_target: target as i32,
        ..range("k")
    };
    let (ascend, descend) = (SortOrder::Ascend, SortOrder::Descend);
    for request in [sorted(descend, SortTarget::Key), sorted(ascend, SortTarget::Mod)] {
        assert_eq!(stream_range(&server, request), Err(promised("RangeStream sort")));
    }
    assert!(stream_range(&server, sorted(ascend, SortTarget::Key)).is_ok());
    for request in [
        RangeRequest { min_mod_revision: 1, ..range("k") },
        RangeRequest { max_mod_revision: 1, ..range("k") },
        RangeRequest { min_create_revision: 1, ..range("k") },
        RangeRequest { max_create_revision: 1, ..range("k") },
    ] {
        assert_eq!(stream_range(&server, request), Err(promised("RangeStream filter")));
    }
}

/// 2.3, 2.4, 4.1.
fn revisions() {
    let server = Server::start(&[]);
    let client = server.client();
    put_ok(&client, "k", "2");
    put_ok(&client, "k", "3");
    let at = |revision| RangeRequest { revision, ..range("k") };
    let in_txn = |revision| {
        txn(vec![pb::RequestOp { request: Some(pb::request_op::Request::RequestRange(at(revision))) }])
    };
    let future = promised("ErrGRPCFutureRev");
    assert_eq!(client.fails(at(4)), future);
    assert_eq!(client.fails(in_txn(4)), future);
    assert_eq!(client.fails(compact(4)), future);
    assert_eq!(stream_range(&server, at(4)), Err(future.clone()));
    client.ok(in_txn(-1));
    let compacted = promised("ErrGRPCCompacted");
    assert_eq!(client.fails(in_txn(-2)), compacted);
    client.ok(compact(3));
    assert_eq!(client.fails(at(2)), compacted);
    assert_eq!(client.fails(in_txn(2)), compacted);
    assert_eq!(client.fails(in_txn(-1)), compacted);
    assert_eq!(client.fails(compact(3)), compacted);
    assert_eq!(stream_range(&server, at(2)), Err(compacted));
    // A transaction that fails at its check has changed nothing.
    let half = txn(vec![put_op("new", ""), in_txn(2).success.remove(0)]);
    assert_eq!(client.fails(half), promised("ErrGRPCCompacted"));
    assert_eq!((get(&client, "new"), revision(&client.ok(range("k")).header)), (None, 3));
}

/// 9.1, 9.2.
fn no_space() {
    let server = Server::start(&["--quota-backend-bytes=200000"]);
    let client = server.client();
    let no_space = promised("ErrGRPCNoSpace");
    let value = "x".repeat(50_000);
    let mut written = 0;
    let refused = loop {
        match client.call(put(&format!("k{written}"), &value)) {
            Ok(_) => written += 1,
            Err(status) => break status,
        }
        // The size counts once it is committed, which a busy disk delays.
        assert!(written < 2_000, "the quota is never reached");
    };
    assert_eq!(refused, no_space);
    assert!(written > 0);
    let raised = e2e::server::poll(|| {
        let alarms = client.ok(AlarmRequest { action: AlarmAction::Get as i32, ..Default::default() }).alarms;
        alarms.first().copied()
    });
    let own = client.ok(pb::MemberListRequest::default()).members[0].id;
    assert_eq!(raised, Some(pb::AlarmMember { member_id: own, alarm: AlarmType::Nospace as i32 }));
    assert_eq!(client.fails(put("tiny", "")), no_space);
    assert_eq!(client.fails(LeaseGrantRequest { ttl: 10, id: 0 }), no_space);
    assert_eq!(client.fails(txn(vec![put_op("tiny", "")])), no_space);
    // What takes no room still works.
    client.ok(txn(vec![range_op("k0"), delete_op("k0")]));
    client.ok(pb::DeleteRangeRequest { range_end: after("k"), ..delete("k") });
    let now = revision(&client.ok(range("k2")).header);
    client.ok(pb::CompactionRequest { revision: now, physical: true });
    client.ok(pb::DefragmentRequest {});
    assert_eq!(client.fails(put("tiny", "")), no_space, "only clearing the alarm helps");
    let clear = AlarmRequest {
        action: AlarmAction::Deactivate as i32,
        member_id: own,
        alarm: AlarmType::Nospace as i32,
    };
    client.ok(clear);
    put_ok(&client, "tiny", "");
}

/// 9.3.
fn corrupt() {
    let server = Server::start(&[]);
    let client = server.client();
    put_ok(&client, "k", "v");
    let lease = grant(&client, 100);
    let raise =
        AlarmRequest { action: AlarmAction::Activate as i32, member_id: 3, alarm: AlarmType::Corrupt as i32 };
    client.ok(raise);
    let corrupt = promised("ErrGRPCCorrupt");
    assert_eq!(client.fails(put("k", "w")), corrupt);
    assert_eq!(client.fails(delete("k")), corrupt);
    assert_eq!(client.fails(txn(vec![put_op("k", "w")])), corrupt);
    assert_eq!(client.fails(compact(1)), corrupt);
    assert_eq!(client.fails(LeaseGrantRequest { ttl: 10, id: 0 }), corrupt);
    assert_eq!(client.fails(pb::LeaseRevokeRequest { id: lease }), corrupt);
    assert_eq!(get(&client, "k").as_deref(), Some("v"));
    client.ok(txn(vec![range_op("k")]));
    client.ok(user_add("someone"));
    assert_eq!(spaced(&client.ok(pb::StatusRequest {}).errors), ["memberID:3 alarm:CORRUPT"]);
}

/// 1.10, 6.1.
fn leases() {
    let server = Server::shared();
    let client = server.client();
    let not_found = promised("ErrGRPCLeaseNotFound");
    assert_eq!(client.fails(pb::PutRequest { lease: 123_456, ..put("errors/lease", "v") }), not_found);
    assert_eq!(get(&client, "errors/lease"), None);
    assert_eq!(client.fails(pb::LeaseRevokeRequest { id: 123_456 }), not_found);
    client.ok(LeaseGrantRequest { ttl: 100, id: 314 });
    assert_eq!(client.fails(LeaseGrantRequest { ttl: 100, id: 314 }), promised("ErrGRPCLeaseExist"));
    let too_large = LeaseGrantRequest { ttl: 9_000_000_001, id: 0 };
    assert_eq!(client.fails(too_large), promised("ErrGRPCLeaseTTLTooLarge"));
}

fn member_urls() {
    let server = Server::shared();
    let client = server.client();
    let bad = promised("ErrGRPCMemberBadURLs");
    for urls in
        [&[][..], &["nonsense"], &["ftp://h:1"], &["http://h"], &["http://h:1/path"], &["http://h:1", "x"]]
    {
        let request = pb::MemberAddRequest {
            peer_ur_ls: urls.iter().map(|url| (*url).to_owned()).collect(),
            is_learner: false,
        };
        assert_eq!(client.fails(request), bad, "{urls:?}");
    }
}

/// 9.11.
fn sizes() {
    let server = Server::shared();
    let client = server.client();
    let limit = 1_572_864;
    client.ok(put("errors/large", &"x".repeat(limit - 100)));
    assert_eq!(client.fails(put("errors/large", &"x".repeat(limit))), promised("ErrGRPCRequestTooLarge"));
    let received = limit + 524_288;
    let request = put("errors/large", &"x".repeat(received));
    let size = prost::Message::encoded_len(&request);
    let text = format!("grpc: received message larger than max ({size} vs. {received})");
    assert_eq!(client.fails(request), Status::new(code::RESOURCE_EXHAUSTED, &text));
    assert_eq!(promised("grpc recv limit").code, code::RESOURCE_EXHAUSTED);
    client.ok(delete("errors/large"));
    let small = Server::start(&["--max-request-bytes=1000"]);
    let client = small.client();
    assert_eq!(client.fails(put("k", &"x".repeat(1000))), promised("ErrGRPCRequestTooLarge"));
}

/// 7.2, 7.12.
fn auth_users() {
    let server = auth::server();
    let client = server.client();
    client.ok(user_add("u"));
    assert_eq!(client.fails(user_add("u")), promised("ErrGRPCUserAlreadyExist"));
    assert_eq!(client.fails(user_add("")), promised("ErrGRPCUserEmpty"));
    let not_found = promised("ErrGRPCUserNotFound");
    assert_eq!(client.fails(pb::AuthUserGetRequest { name: "x".into() }), not_found);
    assert_eq!(client.fails(pb::AuthUserDeleteRequest { name: "x".into() }), not_found);
    assert_eq!(client.fails(grant_role("x", "r")), not_found);
    assert_eq!(client.fails(revoke_role("x", "r")), not_found);
    let change = |name: &str, password: &str, hashed: &str| pb::AuthUserChangePasswordRequest {
        name: name.into(),
        password: password.into(),
        hashed_password: hashed.into(),
    };
    assert_eq!(client.fails(change("x", "p", "")), not_found);
    assert_eq!(client.fails(change("u", "", "!not base64!")), promised("auth.ErrNoPasswordUser"));
}

/// 7.12, 7.13.
fn auth_roles() {
    let server = auth::server();
    let client = server.client();
    client.ok(role_add("r"));
    client.ok(user_add("u"));
    assert_eq!(client.fails(role_add("r")), promised("ErrGRPCRoleAlreadyExist"));
    assert_eq!(client.fails(role_add("")), promised("ErrGRPCRoleEmpty"));
    let not_found = promised("ErrGRPCRoleNotFound");
    assert_eq!(client.fails(pb::AuthRoleGetRequest { role: "x".into() }), not_found);
    assert_eq!(client.fails(pb::AuthRoleDeleteRequest { role: "x".into() }), not_found);
    assert_eq!(client.fails(grant_role("u", "x")), not_found);
    assert_eq!(client.fails(grant_permission("x", Type::Read, "k", "")), not_found);
    assert_eq!(client.fails(revoke_permission("x", "k", "")), not_found);
    assert_eq!(client.fails(revoke_role("u", "r")), promised("ErrGRPCRoleNotGranted"));
    let no_permission = pb::AuthRoleGrantPermissionRequest { name: "r".into(), perm: None };
    assert_eq!(client.fails(no_permission), promised("ErrGRPCPermissionNotGiven"));
    client.ok(grant_permission("r", Type::Read, "k", "m"));
    assert_eq!(client.fails(revoke_permission("r", "k", "")), promised("ErrGRPCPermissionNotGranted"));
    let invalid = promised("ErrGRPCInvalidAuthMgmt");
    assert_eq!(client.fails(grant_permission("r", Type::Read, "m", "k")), invalid);
    assert_eq!(client.fails(grant_permission("r", Type::Read, "m", "m")), invalid);
    assert_eq!(client.fails(grant_permission("r", Type::Read, "", "")), invalid);
}

/// 7.1.
fn auth_enable() {
    let server = auth::server();
    let client = server.client();
    assert_eq!(client.fails(pb::AuthEnableRequest {}), promised("ErrGRPCRootUserNotExist"));
    client.ok(user_add("root"));
    assert_eq!(client.fails(pb::AuthEnableRequest {}), promised("ErrGRPCRootRoleNotExist"));
    assert!(!client.ok(pb::AuthStatusRequest {}).enabled);
}

fn auth_is_off() {
    let server = Server::shared();
    let login = pb::AuthenticateRequest { name: "root".into(), password: "x".into() };
    assert_eq!(server.client().fails(login), promised("ErrGRPCAuthNotEnabled"));
}

/// 7.6: an invalid token is an error, not nobody; ignored while auth is off.
fn auth_token() {
    let server = auth::server();
    let client = server.client();
    client.with("token", b"nonsense").ok(range("k"));
    auth::enable(&client);
    let invalid = promised("ErrGRPCInvalidAuthToken");
    for (name, value) in [("token", "abc.1"), ("authorization", "abc.1"), ("authorization", "Bearer abc.1")] {
        let client = client.with(name, value.as_bytes());
        assert_eq!(client.fails(range("k")), invalid, "{name}: {value}");
        assert_eq!(client.fails(put("k", "")), invalid);
        assert_eq!(client.fails(pb::AuthUserListRequest {}), invalid);
    }
    let mut stream = watch(&client.with("token", b"abc.1"));
    refused_watch(&mut stream, create("k"), &promised("watch token").message);
}

/// 7.7, 5.15.
fn auth_nobody() {
    let server = auth::server();
    let client = server.client();
    auth::enable(&client);
    assert_eq!(client.fails(put("k", "")), promised("ErrGRPCUserEmpty"));
    refused_watch(&mut watch(&client), create("k"), &promised("watch no user").message);
}

fn leader_transferee() {
    let server = Server::shared();
    let client = server.client();
    for target_id in [0, 12345] {
        let status = client.fails(pb::MoveLeaderRequest { target_id });
        assert_eq!(status, promised("ErrGRPCBadLeaderTransferee"), "{target_id}");
    }
}

/// 9.10.
fn downgrades() {
    let server = Server::start(&[]);
    let client = server.client();
    let ask = |action: DowngradeAction, version: &str| DowngradeRequest {
        action: action as i32,
        version: version.into(),
    };
    let (validate, enable, cancel) =
        (DowngradeAction::Validate, DowngradeAction::Enable, DowngradeAction::Cancel);
    for version in ["", "3", "x.y", "3.6.x"] {
        for action in [validate, enable] {
            let status = client.fails(ask(action, version));
            assert_eq!(status, promised("ErrGRPCWrongDowngradeVersionFormat"), "{version:?}");
        }
    }
    for version in ["3.7", "3.5.0", "3.8", "2.6"] {
        let status = client.fails(ask(validate, version));
        assert_eq!(status, promised("ErrGRPCInvalidDowngradeTargetVersion"), "{version}");
    }
    // Cancelling what is not there is logged, and answered with OK.
    assert_eq!(client.ok(ask(cancel, "")).version, "3.7");
    client.ok(ask(enable, "3.6"));
    for action in [validate, enable] {
        assert_eq!(client.fails(ask(action, "3.6")), promised("ErrGRPCDowngradeInProcess"));
    }
    client.ok(ask(cancel, ""));
    let undefined = DowngradeRequest { action: 3, version: "3.6".into() };
    assert_eq!(client.fails(undefined), promised("errors.ErrUnknownMethod"));
}

/// etcd resets the stream instead, and the client's library gives its caller the same code and text.
fn deadlines() {
    let server = Server::shared();
    let client = server.client();
    let begun = std::time::Instant::now();
    let mut stream = watch(&client.with("grpc-timeout", b"50m"));
    create_ok(&mut stream, create("errors/deadline"));
    assert_eq!(stream.next(), Err(promised("context.DeadlineExceeded")));
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

fn unknown_paths() {
    let server = Server::shared();
    let client = server.client();
    let ask = |method| client.unary::<pb::PutResponse>(method, Vec::new()).map(drop);
    let row = promised("unknown service");
    assert_eq!(
        ask("etcdserverpb.Nothing/Put"),
        Err(Status::new(row.code, "unknown service etcdserverpb.Nothing"))
    );
    let row = promised("unknown method");
    let text = "unknown method Nothing for service etcdserverpb.KV";
    assert_eq!(ask("etcdserverpb.KV/Nothing"), Err(Status::new(row.code, text)));
    // 11.7: reflection is not registered.
    let reflection = "grpc.reflection.v1.ServerReflection";
    let text = format!("unknown service {reflection}");
    let answer = ask(&format!("{reflection}/ServerReflectionInfo"));
    assert_eq!(answer, Err(Status::new(code::UNIMPLEMENTED, &text)));
}

fn health() {
    let server = Server::shared();
    let request = proto::health::HealthCheckRequest { service: "etcdserverpb.KV".into() };
    assert_eq!(server.client().fails(request), promised("health unknown"));
}

fn refused_watch(stream: &mut WatchStream, create: WatchCreateRequest, reason: &str) {
    stream.send(&create_request(create));
    let refused = stream.message();
    assert_eq!((refused.created, refused.canceled, refused.watch_id), (true, true, -1), "{refused:?}");
    assert_eq!((refused.cancel_reason.as_str(), refused.compact_revision), (reason, 0));
}

/// 5.2, 5.4, 5.6.
fn watches() {
    let server = Server::shared();
    let client = server.client();
    let mut stream = watch(&client);
    create_ok(&mut stream, WatchCreateRequest { watch_id: 5, ..create("k") });
    let duplicate = WatchCreateRequest { watch_id: 5, ..create("k") };
    refused_watch(&mut stream, duplicate, &promised("watch dup id").message);
    for (key, end) in [("k", "k"), ("k", "a"), ("", "\0\0")] {
        let empty = WatchCreateRequest { range_end: text(end), ..create(key) };
        if key.is_empty() {
            // An empty key is taken as "\0".
            create_ok(&mut stream, empty);
        } else {
            refused_watch(&mut stream, empty, &promised("watch empty range").message);
        }
    }
    for start_revision in [-1, i64::MIN] {
        let negative = WatchCreateRequest { start_revision, ..create("k") };
        refused_watch(&mut stream, negative, &promised("watch negative start").message);
    }
}

/// A call that is under way when the server stops. etcd says so to new calls, and closes the connection under old
/// ones; a client takes both alike.
fn stopping() {
    let mut server = Server::start(&[]);
    let client = server.client();
    let mut stream = watch(&client);
    create_ok(&mut stream, create("k"));
    server.signal("TERM");
    let end = stream.next();
    server.wait();
    assert_eq!(end, Err(promised("ErrGRPCStopped")));
}
