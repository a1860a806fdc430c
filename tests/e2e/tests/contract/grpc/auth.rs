//! Auth, as far as it goes without tokens.

use e2e::{client::Client, server::Server};
use proto::{
    authpb::{Permission, UserAddOptions, permission::Type},
    etcdserverpb::{self as pb, AuthStatusRequest},
};

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    users_are_added_listed_and_deleted => "grpc" [
        "etcdserverpb.Auth/UserAdd", "etcdserverpb.Auth/UserList", "etcdserverpb.Auth/UserDelete",
        "etcdserverpb.Auth/UserChangePassword", "etcdserverpb.Auth/AuthStatus",
    ];
    roles_are_added_listed_and_deleted => "grpc" [
        "etcdserverpb.Auth/RoleAdd", "etcdserverpb.Auth/RoleList", "etcdserverpb.Auth/RoleDelete",
    ];
    roles_are_granted_and_revoked => "grpc" [
        "etcdserverpb.Auth/UserGet", "etcdserverpb.Auth/UserGrantRole", "etcdserverpb.Auth/UserRevokeRole",
    ];
    permissions_are_granted_and_revoked => "grpc" [
        "etcdserverpb.Auth/RoleGet", "etcdserverpb.Auth/RoleGrantPermission",
        "etcdserverpb.Auth/RoleRevokePermission",
    ];
    disabling_what_is_off_changes_the_revision => "grpc" ["etcdserverpb.Auth/AuthDisable"];
    enabling_shuts_the_door => "grpc" ["etcdserverpb.Auth/AuthEnable", "etcdserverpb.Auth/AuthStatus"];
}

pub(crate) fn user_add(name: &str) -> pb::AuthUserAddRequest {
    pb::AuthUserAddRequest { name: name.into(), password: "secret".into(), ..Default::default() }
}

pub(crate) fn role_add(name: &str) -> pb::AuthRoleAddRequest {
    pb::AuthRoleAddRequest { name: name.into() }
}

pub(crate) fn grant_role(user: &str, role: &str) -> pb::AuthUserGrantRoleRequest {
    pb::AuthUserGrantRoleRequest { user: user.into(), role: role.into() }
}

pub(crate) fn revoke_role(user: &str, role: &str) -> pb::AuthUserRevokeRoleRequest {
    pb::AuthUserRevokeRoleRequest { name: user.into(), role: role.into() }
}

pub(crate) fn grant_permission(
    role: &str,
    kind: Type,
    key: &str,
    end: &str,
) -> pb::AuthRoleGrantPermissionRequest {
    let perm = Permission { perm_type: kind as i32, key: text(key), range_end: text(end) };
    pb::AuthRoleGrantPermissionRequest { name: role.into(), perm: Some(perm) }
}

pub(crate) fn revoke_permission(role: &str, key: &str, end: &str) -> pb::AuthRoleRevokePermissionRequest {
    pb::AuthRoleRevokePermissionRequest { role: role.into(), key: text(key), range_end: text(end) }
}

/// A server whose bcrypt is as cheap as it can be.
pub(crate) fn server() -> Server {
    Server::start(&["--bcrypt-cost=4"])
}

/// Enables auth, with user root.
pub(crate) fn enable(client: &Client) {
    client.ok(user_add("root"));
    client.ok(role_add("root"));
    client.ok(grant_role("root", "root"));
    client.ok(pb::AuthEnableRequest {});
}

fn auth_revision(client: &Client) -> u64 {
    client.ok(AuthStatusRequest {}).auth_revision
}

/// 7.1, 7.2, 7.14.
fn users_are_added_listed_and_deleted() {
    let server = server();
    let client = server.client();
    let status = client.ok(AuthStatusRequest {});
    assert_eq!((status.enabled, status.auth_revision, revision(&status.header)), (false, 1, 1));
    let users = || client.ok(pb::AuthUserListRequest {}).users;
    assert_eq!(users(), [""; 0]);
    assert_eq!(revision(&client.ok(user_add("zoe")).header), 1, "users have no revision");
    let no_password = pb::AuthUserAddRequest {
        name: "ann".into(),
        options: Some(UserAddOptions { no_password: true }),
        ..Default::default()
    };
    client.ok(no_password);
    assert_eq!((users(), auth_revision(&client)), (vec!["ann".into(), "zoe".to_owned()], 3));
    let change = |name: &str| pb::AuthUserChangePasswordRequest {
        name: name.into(),
        password: "other".into(),
        ..Default::default()
    };
    client.ok(change("zoe"));
    client.ok(change("ann"));
    assert_eq!(auth_revision(&client), 5);
    client.ok(pb::AuthUserDeleteRequest { name: "zoe".into() });
    assert_eq!((users(), auth_revision(&client)), (vec!["ann".to_owned()], 6));
    assert_eq!(server.metrics().value("etcd_debugging_auth_revision", &[]), 6.0);
}

fn roles_are_added_listed_and_deleted() {
    let server = server();
    let client = server.client();
    let roles = || client.ok(pb::AuthRoleListRequest {}).roles;
    assert_eq!(roles(), [""; 0]);
    for name in ["w", "r"] {
        client.ok(role_add(name));
    }
    assert_eq!(roles(), ["r", "w"]);
    client.ok(user_add("u"));
    client.ok(grant_role("u", "w"));
    client.ok(pb::AuthRoleDeleteRequest { role: "w".into() });
    assert_eq!(roles(), ["r"]);
    let user = client.ok(pb::AuthUserGetRequest { name: "u".into() });
    assert_eq!(user.roles, [""; 0], "a role that is deleted is taken from its users");
}

/// 7.12.
fn roles_are_granted_and_revoked() {
    let server = server();
    let client = server.client();
    client.ok(user_add("u"));
    for role in ["b", "a"] {
        client.ok(role_add(role));
        client.ok(grant_role("u", role));
    }
    let roles = || client.ok(pb::AuthUserGetRequest { name: "u".into() }).roles;
    assert_eq!(roles(), ["a", "b"]);
    let before = auth_revision(&client);
    client.ok(grant_role("u", "a"));
    assert_eq!((roles().len(), auth_revision(&client)), (2, before), "a role that is held already");
    client.ok(grant_role("u", "root"));
    assert_eq!(roles(), ["a", "b", "root"], "root needs no role record");
    client.ok(revoke_role("u", "a"));
    assert_eq!((roles(), auth_revision(&client)), (vec!["b".into(), "root".to_owned()], before + 2));
}

/// 7.13.
fn permissions_are_granted_and_revoked() {
    let server = server();
    let client = server.client();
    client.ok(role_add("r"));
    client.ok(grant_permission("r", Type::Write, "k", "m"));
    client.ok(grant_permission("r", Type::Read, "a", ""));
    client.ok(grant_permission("r", Type::Readwrite, "z", "\0"));
    client.ok(grant_permission("r", Type::Readwrite, "a", ""));
    let permissions = || -> Vec<(i32, String, String)> {
        let perm = client.ok(pb::AuthRoleGetRequest { role: "r".into() }).perm;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        perm.iter().map(|p| (p.perm_type, text(&p.key), text(&p.range_end))).collect()
    };
    let expected = |kind: Type, key: &str, end: &str| (kind as i32, key.to_owned(), end.to_owned());
    let (a, k, z) = (
        expected(Type::Readwrite, "a", ""),
        expected(Type::Write, "k", "m"),
        expected(Type::Readwrite, "z", "\0"),
    );
    assert_eq!(permissions(), [a.clone(), k, z.clone()], "by key; an equal range gets the new kind");
    client.ok(revoke_permission("r", "k", "m"));
    assert_eq!(permissions(), [a, z]);
    client.ok(role_add("root"));
    let root = client.ok(pb::AuthRoleGetRequest { role: "root".into() }).perm;
    let all = Permission { perm_type: Type::Readwrite as i32, key: text(""), range_end: text("\0") };
    assert_eq!(root, [all]);
}

fn disabling_what_is_off_changes_the_revision() {
    let server = server();
    let client = server.client();
    client.ok(pb::AuthDisableRequest {});
    let status = client.ok(AuthStatusRequest {});
    assert_eq!((status.enabled, status.auth_revision), (false, 1), "there was nothing to disable");
}

/// 7.1, 7.7, 7.11.
fn enabling_shuts_the_door() {
    let dir = tempfile::TempDir::new().unwrap();
    let server = Server::start_on(dir.path(), &["--bcrypt-cost=4"]).unwrap();
    let client = server.client();
    put_ok(&client, "k", "v");
    enable(&client);
    let check = |server: &Server| {
        let client = server.client();
        let status = client.ok(AuthStatusRequest {});
        assert_eq!((status.enabled, status.auth_revision), (true, 4), "enabling does not count");
        let nobody = promised("ErrGRPCUserEmpty");
        assert_eq!(client.fails(range("k")), nobody);
        assert_eq!(client.fails(put("k", "w")), nobody);
        assert_eq!(client.fails(pb::AuthDisableRequest {}), nobody);
        assert_eq!(client.fails(pb::MemberListRequest::default()), nobody);
        assert_eq!(client.fails(pb::StatusRequest {}), nobody);
        assert_eq!(client.fails(compact(1)), nobody);
        assert_eq!(client.fails(pb::LeaseGrantRequest { ttl: 10, id: 1 }), nobody);
        assert_eq!(server.get("/health").status, 200, "health needs no credentials");
        assert_eq!(server.get("/readyz").status, 200);
        client.ok(proto::health::HealthCheckRequest::default());
    };
    check(&server);
    server.stop();
    let server = Server::start_on(dir.path(), &["--bcrypt-cost=4"]).unwrap();
    check(&server);
}
