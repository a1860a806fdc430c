use std::collections::BTreeMap;

use bytes::Bytes;
use proto::membershippb;

use super::*;
use crate::{Door, METHODS};

const CONTRACT: &str = include_str!("../../../../contract/grpc.tsv");

fn keys(right: Right, key: &'static str, end: &'static str) -> Access {
    Access::Keys(right, KeyRange::new(key, end))
}

fn read(key: &'static str, end: &'static str) -> Access {
    keys(Right::Read, key, end)
}

fn write(key: &'static str, end: &'static str) -> Access {
    keys(Right::Write, key, end)
}

fn lease(right: Right, id: i64) -> Access {
    Access::LeaseKeys(right, WhichLeases::One(LeaseId(id)))
}

fn put(key: &'static str, lease: i64, prev_kv: bool) -> pb::PutRequest {
    pb::PutRequest { key: key.into(), lease, prev_kv, ..pb::PutRequest::default() }
}

fn delete(key: &'static str, end: &'static str, prev_kv: bool) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv }
}

fn range(key: &'static str, end: &'static str) -> pb::RangeRequest {
    pb::RangeRequest { key: key.into(), range_end: end.into(), ..pb::RangeRequest::default() }
}

fn op(request: Op) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

#[test]
fn puts_and_deletes() {
    assert_eq!(put("k", 0, false).accesses(), [write("k", "")]);
    assert_eq!(put("k", 7, true).accesses(), [write("k", ""), lease(Right::Write, 7), read("k", "")]);
    assert_eq!(delete("k", "m", false).accesses(), [write("k", "m")]);
    assert_eq!(delete("k", "\0", true).accesses(), [write("k", "\0"), read("k", "\0")]);
    assert_eq!(range("k", "m").accesses(), [read("k", "m")]);
}

#[test]
fn txns_count_both_branches_at_every_depth() {
    let compare = |key: &'static str, end: &'static str| pb::Compare {
        key: key.into(),
        range_end: end.into(),
        ..pb::Compare::default()
    };
    let inner = pb::TxnRequest {
        compare: vec![compare("c2", "c3")],
        success: vec![op(Op::RequestPut(put("s2", 9, true)))],
        failure: vec![op(Op::RequestDeleteRange(delete("f2", "f3", true)))],
    };
    let outer = pb::TxnRequest {
        compare: vec![compare("c1", "")],
        success: vec![op(Op::RequestRange(range("s1", ""))), pb::RequestOp { request: None }],
        failure: vec![op(Op::RequestTxn(inner)), op(Op::RequestPut(put("f1", 0, false)))],
    };
    let expected = [
        read("c1", ""),
        read("s1", ""),
        read("c2", "c3"),
        write("s2", ""),
        lease(Right::Write, 9),
        read("s2", ""),
        write("f2", "f3"),
        read("f2", "f3"),
        write("f1", ""),
    ];
    assert_eq!(outer.accesses(), expected);
    let entry = InternalRaftRequest { txn: Some(outer), ..InternalRaftRequest::default() };
    assert_eq!(entry.accesses(), expected);
}

#[test]
fn watches_are_judged_as_sent() {
    let watch = pb::WatchCreateRequest { range_end: Bytes::from_static(b"\0"), ..Default::default() };
    assert_eq!(watch.accesses(), [read("", "\0")]);
}

#[test]
fn alarms_are_read_by_anybody_and_changed_by_root() {
    for (action, expected) in
        [(0, Access::Authenticated), (1, Access::Admin), (2, Access::Admin), (7, Access::Admin)]
    {
        let request = pb::AlarmRequest { action, ..pb::AlarmRequest::default() };
        assert_eq!(request.accesses(), [expected], "{action}");
    }
}

#[test]
fn lease_calls() {
    let ttl = |keys| pb::LeaseTimeToLiveRequest { id: 3, keys }.accesses();
    assert_eq!(ttl(false), [Access::Authenticated]);
    assert_eq!(ttl(true), [Access::Authenticated, lease(Right::Read, 3)]);
    let keep_alive = pb::LeaseKeepAliveRequest { id: 3 }.accesses();
    assert_eq!(keep_alive, [Access::Authenticated, lease(Right::Write, 3)]);
    let all = Access::LeaseKeys(Right::Read, WhichLeases::All);
    assert_eq!(pb::LeaseLeasesRequest {}.accesses(), [Access::Authenticated, all]);
}

fn entry(set: impl FnOnce(&mut InternalRaftRequest)) -> Vec<Access> {
    let mut request = InternalRaftRequest::default();
    set(&mut request);
    request.accesses()
}

/// What the server proposes by itself carries no credentials, so it needs none when applied.
#[test]
fn entries_of_the_server_itself_need_nothing() {
    for needs in [
        entry(|r| r.compaction = Some(Default::default())),
        entry(|r| r.lease_grant = Some(Default::default())),
        entry(|r| r.lease_checkpoint = Some(Default::default())),
        entry(|r| r.alarm = Some(pb::AlarmRequest { action: 1, ..Default::default() })),
        entry(|r| r.auth_status = Some(Default::default())),
        entry(|r| r.authenticate = Some(Default::default())),
        entry(|r| r.cluster_version_set = Some(membershippb::ClusterVersionSetRequest::default())),
        entry(|r| r.cluster_member_attr_set = Some(Default::default())),
        entry(|r| r.downgrade_info_set = Some(Default::default())),
        entry(|r| r.downgrade_version_test = Some(Default::default())),
        entry(|_| {}),
    ] {
        assert_eq!(needs, []);
    }
}

/// What each method needs, first (`.0`) and when executed (`.1`), for an empty request.
fn needs_by_method() -> BTreeMap<&'static str, (Vec<Access>, Vec<Access>)> {
    let first = |request: &dyn Guarded| (request.accesses(), Vec::new());
    let executed = |needs: Vec<Access>| (Vec::new(), needs);
    let revoke = entry(|r| r.lease_revoke = Some(Default::default()));
    BTreeMap::from([
        ("KV/Range", executed(pb::RangeRequest::default().accesses())),
        ("KV/RangeStream", executed(pb::RangeRequest::default().accesses())),
        ("KV/Put", executed(entry(|r| r.put = Some(Default::default())))),
        ("KV/DeleteRange", executed(entry(|r| r.delete_range = Some(Default::default())))),
        ("KV/Txn", executed(entry(|r| r.txn = Some(Default::default())))),
        ("KV/Compact", first(&pb::CompactionRequest::default())),
        ("Watch/Watch", executed(pb::WatchCreateRequest::default().accesses())),
        ("Lease/LeaseGrant", first(&pb::LeaseGrantRequest::default())),
        ("Lease/LeaseRevoke", (pb::LeaseRevokeRequest::default().accesses(), revoke)),
        ("Lease/LeaseKeepAlive", first(&pb::LeaseKeepAliveRequest::default())),
        ("Lease/LeaseTimeToLive", first(&pb::LeaseTimeToLiveRequest::default())),
        ("Lease/LeaseLeases", first(&pb::LeaseLeasesRequest::default())),
        ("Cluster/MemberAdd", first(&pb::MemberAddRequest::default())),
        ("Cluster/MemberRemove", first(&pb::MemberRemoveRequest::default())),
        ("Cluster/MemberUpdate", first(&pb::MemberUpdateRequest::default())),
        ("Cluster/MemberList", first(&pb::MemberListRequest::default())),
        ("Cluster/MemberPromote", first(&pb::MemberPromoteRequest::default())),
        ("Maintenance/Alarm", first(&pb::AlarmRequest::default())),
        ("Maintenance/Status", first(&pb::StatusRequest::default())),
        ("Maintenance/Defragment", first(&pb::DefragmentRequest::default())),
        ("Maintenance/Hash", first(&pb::HashRequest::default())),
        ("Maintenance/HashKV", first(&pb::HashKvRequest::default())),
        ("Maintenance/Snapshot", first(&pb::SnapshotRequest::default())),
        ("Maintenance/MoveLeader", first(&pb::MoveLeaderRequest::default())),
        ("Maintenance/Downgrade", first(&pb::DowngradeRequest::default())),
        ("Auth/AuthEnable", executed(entry(|r| r.auth_enable = Some(Default::default())))),
        ("Auth/AuthDisable", executed(entry(|r| r.auth_disable = Some(Default::default())))),
        ("Auth/UserAdd", executed(entry(|r| r.auth_user_add = Some(Default::default())))),
        ("Auth/UserGet", executed(entry(|r| r.auth_user_get = Some(Default::default())))),
        ("Auth/UserList", executed(entry(|r| r.auth_user_list = Some(Default::default())))),
        ("Auth/UserDelete", executed(entry(|r| r.auth_user_delete = Some(Default::default())))),
        (
            "Auth/UserChangePassword",
            executed(entry(|r| r.auth_user_change_password = Some(Default::default()))),
        ),
        ("Auth/UserGrantRole", executed(entry(|r| r.auth_user_grant_role = Some(Default::default())))),
        ("Auth/UserRevokeRole", executed(entry(|r| r.auth_user_revoke_role = Some(Default::default())))),
        ("Auth/RoleAdd", executed(entry(|r| r.auth_role_add = Some(Default::default())))),
        ("Auth/RoleGet", executed(entry(|r| r.auth_role_get = Some(Default::default())))),
        ("Auth/RoleList", executed(entry(|r| r.auth_role_list = Some(Default::default())))),
        ("Auth/RoleDelete", executed(entry(|r| r.auth_role_delete = Some(Default::default())))),
        (
            "Auth/RoleGrantPermission",
            executed(entry(|r| r.auth_role_grant_permission = Some(Default::default()))),
        ),
        (
            "Auth/RoleRevokePermission",
            executed(entry(|r| r.auth_role_revoke_permission = Some(Default::default()))),
        ),
    ])
}

/// The contract's classes, in our words, for an empty request.
fn class(name: &str) -> Vec<Access> {
    match name {
        "read" => vec![read("", "")],
        "write" => vec![write("", "")],
        "admin" => vec![Access::Admin],
        "admin|self" => vec![Access::AdminOrSelf(String::new())],
        "admin|holder" => vec![Access::AdminOrHolder(String::new())],
        // An empty txn needs nothing; alarm GET is what an empty alarm request is.
        "read+write" => vec![],
        "authenticated" | "authenticated(+read)" | "authenticated|admin" => vec![Access::Authenticated],
        "authenticated+write" => vec![Access::Authenticated, lease(Right::Write, 0)],
        "authenticated+read" => {
            vec![Access::Authenticated, Access::LeaseKeys(Right::Read, WhichLeases::All)]
        }
        other => panic!("unknown class {other}"),
    }
}

#[test]
fn every_guarded_method_needs_what_the_contract_says() {
    let needs = needs_by_method();
    let doors: BTreeMap<&str, Door> = METHODS.into_iter().collect();
    let mut checked = 0;
    for line in CONTRACT.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let door = doors[format!("{}/{}", columns[0], columns[1]).as_str()];
        if matches!(door, Door::Open | Door::Inner) {
            continue;
        }
        let name = format!("{}/{}", columns[0].rsplit('.').next().unwrap(), columns[1]);
        let (first, executed) = needs.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not judged"));
        assert_eq!([&first[..], executed].concat(), class(columns[8]), "{name}");
        assert_eq!(first.is_empty(), door == Door::Executed, "{name}");
        assert_eq!(!executed.is_empty(), door != Door::First && name != "KV/Txn", "{name}");
        checked += 1;
    }
    assert_eq!(checked, needs.len());
}

#[test]
fn calls_made_in_the_name_of_the_client_need_nothing_themselves() {
    assert_eq!(v3lockpb::LockRequest::default().accesses(), []);
    assert_eq!(v3electionpb::LeaderRequest::default().accesses(), []);
}
