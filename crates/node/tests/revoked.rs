//! What open watches make of a permission that is taken away.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use std::{path::Path, sync::Arc};

use node::{
    Caller, Config, Error, Port,
    api::{AuthCall, WatchInput, WatchOutput},
};
use proto::{
    authpb::{Permission, UserAddOptions, permission::Type},
    etcdserverpb::{
        AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest,
        AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest, AuthUserAddRequest,
        AuthUserDeleteRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest, PutRequest, RangeRequest,
        RequestOp, TxnRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
        request_op::Request, watch_request::RequestUnion,
    },
};
use state::Rejection;
use support::{run, start_with};
use vfs::SimDisk;

const DENIED: &str = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";

fn named(name: &str) -> Caller {
    Caller { common_name: Some(name.into()), ..Caller::default() }
}

fn change(port: &Port, call: AuthCall) {
    run(port, port.auth(named("root"), call)).unwrap();
}

fn add_user(port: &Port, name: &str, role: &str) {
    let options = Some(UserAddOptions { no_password: true });
    let add = AuthUserAddRequest { name: name.into(), options, ..AuthUserAddRequest::default() };
    change(port, AuthCall::UserAdd(add));
    let grant = AuthUserGrantRoleRequest { user: name.into(), role: role.into() };
    change(port, AuthCall::UserGrantRole(grant));
}

fn grant(port: &Port, key: &str, end: &str) {
    let permission = Permission {
        perm_type: Type::Read.into(),
        key: key.to_owned().into(),
        range_end: end.to_owned().into(),
    };
    let request = AuthRoleGrantPermissionRequest { name: "reader".into(), perm: Some(permission) };
    change(port, AuthCall::RoleGrantPermission(request));
}

fn revoke(port: &Port, key: &str, end: &str) {
    let (role, key, range_end) = ("reader".into(), key.to_owned().into(), end.to_owned().into());
    change(port, AuthCall::RoleRevokePermission(AuthRoleRevokePermissionRequest { role, key, range_end }));
}

fn put(port: &Port, key: &str) -> i64 {
    let request = PutRequest { key: key.to_owned().into(), ..PutRequest::default() };
    run(port, port.put(named("root"), request)).unwrap().header.unwrap().revision
}

/// A member with authentication on, root, and a user whose role lets it read `a` to `c` and `x`.
fn world(end_revoked_watches: bool) -> node::Member {
    let config = Config { end_revoked_watches, ..support::config(Path::new("/data")) };
    let member = start_with(config, Arc::new(SimDisk::new()));
    let port = member.handle().port();
    for role in ["root", "reader"] {
        change(&port, AuthCall::RoleAdd(AuthRoleAddRequest { name: role.into() }));
    }
    add_user(&port, "root", "root");
    add_user(&port, "eve", "reader");
    grant(&port, "a", "c");
    grant(&port, "x", "");
    change(&port, AuthCall::Enable(AuthEnableRequest {}));
    member
}

/// A stream with watchers 1 on `a` to `c`, and 2 on `x`.
fn watch(port: &Port, caller: Caller) -> (WatchInput, WatchOutput) {
    let (input, mut output) = port.open_watch(caller);
    for (watch_id, key, end) in [(1, "a", "c"), (2, "x", "")] {
        let (key, range_end) = (key.to_owned().into(), end.to_owned().into());
        let create = WatchCreateRequest { key, range_end, watch_id, ..WatchCreateRequest::default() };
        input.send(WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) });
        assert!(next(port, &mut output).created);
    }
    (input, output)
}

fn next(port: &Port, output: &mut WatchOutput) -> WatchResponse {
    let frame = run(port, output.next()).unwrap().unwrap();
    prost::Message::decode(&[frame.head(), frame.body()].concat()[..]).unwrap()
}

/// Everything until now: revisions of events and ends, by watcher.
fn told(port: &Port, input: &WatchInput, output: &mut WatchOutput) -> Vec<(i64, Result<i64, String>)> {
    let progress = RequestUnion::ProgressRequest(WatchProgressRequest {});
    input.send(WatchRequest { request_union: Some(progress) });
    let mut told = Vec::new();
    loop {
        let response = next(port, output);
        if response.canceled {
            told.push((response.watch_id, Err(response.cancel_reason)));
        } else if response.events.is_empty() {
            return told;
        } else {
            let revisions = response.events.into_iter().map(|event| event.kv.unwrap().mod_revision);
            told.extend(revisions.map(|revision| (response.watch_id, Ok(revision))));
        }
    }
}

#[test]
fn a_revoked_permission_ends_the_watch_with_the_entry_that_revokes_it() {
    let member = world(true);
    let port = member.handle().port();
    let (input, mut output) = watch(&port, named("eve"));
    let (root_input, mut root_output) = watch(&port, named("root"));
    let before = put(&port, "b");
    // One that still covers the whole range ends nothing.
    grant(&port, "\0", "\0");
    revoke(&port, "a", "c");
    let between = put(&port, "b");
    revoke(&port, "\0", "\0");
    put(&port, "b");
    let x = put(&port, "x");
    let expected = [(1, Ok(before)), (1, Ok(between)), (1, Err(DENIED.to_owned())), (2, Ok(x))];
    assert_eq!(told(&port, &input, &mut output), expected);
    assert_eq!(told(&port, &root_input, &mut root_output).len(), 4, "root sees all of it");
    // A permission that comes back is no watch that comes back.
    grant(&port, "a", "c");
    put(&port, "b");
    assert_eq!(told(&port, &input, &mut output), []);
    member.stop().unwrap();
}

#[test]
fn whatever_takes_a_permission_away_ends_the_watch() {
    let eve = || "eve".to_owned();
    let takes: [fn(String) -> AuthCall; 3] = [
        |user| AuthCall::UserRevokeRole(AuthUserRevokeRoleRequest { name: user, role: "reader".into() }),
        |user| AuthCall::UserDelete(AuthUserDeleteRequest { name: user }),
        |_| AuthCall::RoleDelete(AuthRoleDeleteRequest { role: "reader".into() }),
    ];
    for take in takes {
        let member = world(true);
        let port = member.handle().port();
        let (_input, mut output) = watch(&port, named("eve"));
        change(&port, take(eve()));
        put(&port, "b");
        put(&port, "x");
        let mut ended = [next(&port, &mut output), next(&port, &mut output)];
        ended.sort_by_key(|response| response.watch_id);
        for (watch_id, response) in (1..).zip(ended) {
            assert_eq!((response.watch_id, response.canceled), (watch_id, true));
            assert_eq!(response.cancel_reason, DENIED);
        }
        member.stop().unwrap();
    }
}

/// Who watched before there were permissions is judged when there are.
#[test]
fn switching_authentication_on_ends_what_nobody_may_watch() {
    let member = world(true);
    let port = member.handle().port();
    change(&port, AuthCall::Disable(AuthDisableRequest {}));
    let (_nobodys, mut nobody) = watch(&port, Caller::default());
    let (input, mut eve) = watch(&port, named("eve"));
    change(&port, AuthCall::Enable(AuthEnableRequest {}));
    let revision = put(&port, "a");
    assert_eq!(told(&port, &input, &mut eve), [(1, Ok(revision))]);
    assert!(next(&port, &mut nobody).canceled && next(&port, &mut nobody).canceled);
    member.stop().unwrap();
}

#[test]
fn without_the_option_a_watch_goes_on() {
    let member = world(false);
    let port = member.handle().port();
    let (input, mut output) = watch(&port, named("eve"));
    revoke(&port, "a", "c");
    let revision = put(&port, "b");
    assert_eq!(told(&port, &input, &mut output), [(1, Ok(revision))]);
    member.stop().unwrap();
}

/// Rows of a range that a slice holds, and some more.
const ROWS: usize = 5_000;

fn put_rows(port: &Port) {
    for chunk in (0..ROWS).collect::<Vec<_>>().chunks(100) {
        let puts = chunk.iter().map(|n| RequestOp {
            request: Some(Request::RequestPut(PutRequest {
                key: format!("a{n:05}").into(),
                ..PutRequest::default()
            })),
        });
        let txn = TxnRequest { success: puts.collect(), ..TxnRequest::default() };
        run(port, port.txn(named("root"), txn)).unwrap();
    }
}

/// Begins to read `a` to `c`, lets `change` happen, and reads on: how much came, and how much was announced.
fn read_across(user: &str, change: impl FnOnce(&Port)) -> Result<(), (usize, usize, Error)> {
    let member = world(false);
    let port = member.handle().port();
    put_rows(&port);
    let all = RangeRequest { key: "a".into(), range_end: "c".into(), ..RangeRequest::default() };
    let mut reply = run(&port, port.range(named(user), all)).unwrap();
    let announced = reply.encoded_len();
    let mut got = run(&port, reply.next_piece(1_000)).unwrap().unwrap().len();
    change(&port);
    let result = loop {
        match run(&port, reply.next_piece(1_000)) {
            Ok(Some(piece)) => got += piece.len(),
            Ok(None) => break Ok(()),
            Err(error) => break Err((got, announced, error)),
        }
    };
    assert!(result.is_err() || got == announced, "{got} of {announced} bytes");
    drop(reply);
    member.stop().unwrap();
    result
}

#[test]
fn a_permission_that_is_taken_away_ends_a_large_range_under_way() {
    let (got, announced, error) = read_across("eve", |port| revoke(port, "a", "c")).unwrap_err();
    let denied = Rejection::Auth(auth::Rejection::PermissionDenied);
    assert!(matches!(&error, Error::Rejected(rejection) if *rejection == denied), "{error:?}");
    // What had been listed when it was taken away goes out, and no more.
    assert!(got < announced, "{got} of {announced}");
    // So does whatever else takes it away.
    let gone = |port: &Port| change(port, AuthCall::UserDelete(AuthUserDeleteRequest { name: "eve".into() }));
    assert!(read_across("eve", gone).is_err());
}

#[test]
fn other_changes_let_a_large_range_go_on() {
    read_across("eve", |port| revoke(port, "x", "")).unwrap();
    read_across("eve", |port| {
        revoke(port, "a", "c");
        grant(port, "a", "d");
    })
    .unwrap();
    read_across("root", |port| revoke(port, "a", "c")).unwrap();
    read_across("eve", |port| change(port, AuthCall::Disable(AuthDisableRequest {}))).unwrap();
}
