use bytes::Bytes;
use proptest::prelude::*;
use proto::etcdserverpb as pb;
use types::{KeyRange, bucket};

use super::*;

pub(crate) fn range(key: &'static str, end: &'static str) -> KeyRange {
    KeyRange::new(key, end)
}

/// Builds states the way entries do.
#[derive(Default)]
pub(crate) struct AuthBuilder(Auth);

impl AuthBuilder {
    pub(crate) fn user(mut self, name: &str, roles: &[&str]) -> Self {
        self.0.add_user(&user_add(name, "aGFzaA==")).unwrap();
        for role in roles {
            self.0.grant_role(&grant_role(name, role)).unwrap();
        }
        self
    }

    pub(crate) fn role(mut self, name: &str, permissions: &[(i32, &'static str, &'static str)]) -> Self {
        self.0.add_role(&pb::AuthRoleAddRequest { name: name.to_owned() }).unwrap();
        for &(perm_type, key, end) in permissions {
            self.0.grant_permission(&grant(name, perm_type, key, end)).unwrap();
        }
        self
    }

    pub(crate) fn enabled(mut self) -> Auth {
        self.0.enable().unwrap();
        self.0
    }
}

fn user_add(name: &str, hashed_password: &str) -> pb::AuthUserAddRequest {
    pb::AuthUserAddRequest {
        name: name.to_owned(),
        hashed_password: hashed_password.to_owned(),
        ..pb::AuthUserAddRequest::default()
    }
}

fn no_password(name: &str) -> pb::AuthUserAddRequest {
    let options = Some(authpb::UserAddOptions { no_password: true });
    pb::AuthUserAddRequest { options, ..user_add(name, "") }
}

fn change_password(name: &str, hashed_password: &str) -> pb::AuthUserChangePasswordRequest {
    pb::AuthUserChangePasswordRequest {
        name: name.to_owned(),
        hashed_password: hashed_password.to_owned(),
        ..pb::AuthUserChangePasswordRequest::default()
    }
}

fn grant_role(user: &str, role: &str) -> pb::AuthUserGrantRoleRequest {
    pb::AuthUserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() }
}

fn revoke_role(name: &str, role: &str) -> pb::AuthUserRevokeRoleRequest {
    pb::AuthUserRevokeRoleRequest { name: name.to_owned(), role: role.to_owned() }
}

fn delete_user(name: &str) -> pb::AuthUserDeleteRequest {
    pb::AuthUserDeleteRequest { name: name.to_owned() }
}

fn delete_role(role: &str) -> pb::AuthRoleDeleteRequest {
    pb::AuthRoleDeleteRequest { role: role.to_owned() }
}

fn add_role(name: &str) -> pb::AuthRoleAddRequest {
    pb::AuthRoleAddRequest { name: name.to_owned() }
}

fn grant(
    role: &str,
    perm_type: i32,
    key: &'static str,
    end: &'static str,
) -> pb::AuthRoleGrantPermissionRequest {
    let perm = authpb::Permission { perm_type, key: key.into(), range_end: end.into() };
    pb::AuthRoleGrantPermissionRequest { name: role.to_owned(), perm: Some(perm) }
}

fn revoke(role: &str, key: &'static str, end: &'static str) -> pb::AuthRoleRevokePermissionRequest {
    pb::AuthRoleRevokePermissionRequest { role: role.to_owned(), key: key.into(), range_end: end.into() }
}

/// (type, key, end) of a role's permissions.
fn held(auth: &Auth, role: &str) -> Vec<(i32, String, String)> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let permissions = auth.permissions_of(role).unwrap();
    permissions.iter().map(|p| (p.perm_type, text(&p.key), text(&p.range_end))).collect()
}

#[test]
fn enabling_needs_root_with_role_root_and_keeps_the_revision() {
    let mut auth = Auth::default();
    assert_eq!(auth.enable(), Err(Rejection::RootUserNotExist));
    auth.add_user(&user_add(ROOT, "aA==")).unwrap();
    assert_eq!(auth.enable(), Err(Rejection::RootRoleNotExist));
    // The record of role root may be missing.
    auth.grant_role(&grant_role(ROOT, ROOT)).unwrap();
    let revision = auth.revision();
    assert_eq!(auth.enable().unwrap().writes, [Write::put(bucket::AUTH, "authEnabled", &[1][..])]);
    assert_eq!(auth.enable(), Ok(Applied::default()));
    assert_eq!((auth.is_enabled(), auth.revision()), (true, revision));

    let disabled = auth.disable();
    assert_eq!(disabled.tokens, Tokens::DropAll);
    assert_eq!(
        disabled.writes,
        [
            Write::put(bucket::AUTH, "authEnabled", &[0][..]),
            Write::put(bucket::AUTH, "authRevision", (revision + 1).to_be_bytes().to_vec()),
        ]
    );
    assert_eq!(auth.disable(), Applied::default());
    assert_eq!(auth.revision(), revision + 1);
}

#[test]
fn every_change_moves_the_revision_once() {
    let mut auth = AuthBuilder::default().user("root", &["root"]).role("r", &[]).user("u", &["r"]).enabled();
    let mut expect =
        |step: &str, delta: u64, change: &mut dyn FnMut(&mut Auth) -> Result<Applied, Rejection>| {
            let before = auth.revision();
            let result = change(&mut auth);
            assert_eq!(auth.revision(), before + delta, "{step}");
            let rows = result.map(|applied| applied.writes).unwrap_or_default();
            let revisions = rows.iter().filter(|write| write.key == "authRevision").count();
            assert_eq!(revisions as u64, delta, "{step}");
        };
    expect("add user", 1, &mut |a| a.add_user(&user_add("v", "aA==")));
    expect("add it again", 0, &mut |a| a.add_user(&user_add("v", "aA==")));
    expect("change password", 1, &mut |a| a.change_password(&change_password("v", "aB==")));
    expect("grant role", 1, &mut |a| a.grant_role(&grant_role("v", "r")));
    expect("grant it again", 0, &mut |a| a.grant_role(&grant_role("v", "r")));
    expect("grant unknown", 0, &mut |a| a.grant_role(&grant_role("v", "x")));
    expect("grant permission", 1, &mut |a| a.grant_permission(&grant("r", 0, "a", "b")));
    expect("grant the same", 1, &mut |a| a.grant_permission(&grant("r", 0, "a", "b")));
    expect("revoke permission", 1, &mut |a| a.revoke_permission(&revoke("r", "a", "b")));
    expect("revoke it again", 0, &mut |a| a.revoke_permission(&revoke("r", "a", "b")));
    expect("revoke role", 1, &mut |a| a.revoke_role(&revoke_role("v", "r")));
    expect("revoke it again", 0, &mut |a| a.revoke_role(&revoke_role("v", "r")));
    expect("add role", 1, &mut |a| a.add_role(&add_role("s")));
    expect("delete role of two users", 1, &mut |a| a.delete_role(&delete_role("r")));
    expect("delete user", 1, &mut |a| a.delete_user(&delete_user("v")));
    expect("enable", 0, &mut |a| a.enable());
}

#[test]
fn refusals() {
    let mut auth = AuthBuilder::default()
        .user("root", &["root"])
        .role("root", &[])
        .role("r", &[])
        .user("u", &[])
        .enabled();
    let before = auth.clone();
    let none = pb::AuthRoleGrantPermissionRequest { name: "r".into(), perm: None };
    for (result, expected) in [
        (auth.add_user(&user_add("", "aA==")), Rejection::UserEmpty),
        (auth.add_user(&user_add("u", "!")), Rejection::UserAlreadyExist),
        (auth.add_user(&user_add("v", "!")), Rejection::NoPasswordUser),
        (auth.delete_user(&delete_user("root")), Rejection::InvalidAuthMgmt),
        (auth.delete_user(&delete_user("x")), Rejection::UserNotFound),
        (auth.change_password(&change_password("x", "!")), Rejection::UserNotFound),
        (auth.change_password(&change_password("u", "!")), Rejection::NoPasswordUser),
        (auth.grant_role(&grant_role("x", "y")), Rejection::UserNotFound),
        (auth.grant_role(&grant_role("u", "y")), Rejection::RoleNotFound),
        (auth.revoke_role(&revoke_role("root", "root")), Rejection::InvalidAuthMgmt),
        (auth.revoke_role(&revoke_role("x", "r")), Rejection::UserNotFound),
        (auth.revoke_role(&revoke_role("u", "r")), Rejection::RoleNotGranted),
        (auth.add_role(&add_role("")), Rejection::RoleEmpty),
        (auth.add_role(&add_role("r")), Rejection::RoleAlreadyExist),
        (auth.delete_role(&delete_role("root")), Rejection::InvalidAuthMgmt),
        (auth.delete_role(&delete_role("x")), Rejection::RoleNotFound),
        (auth.grant_permission(&none), Rejection::PermissionNotGiven),
        (auth.grant_permission(&grant("x", 0, "", "")), Rejection::InvalidAuthMgmt),
        (auth.grant_permission(&grant("x", 0, "b", "a")), Rejection::InvalidAuthMgmt),
        (auth.grant_permission(&grant("x", 0, "b", "b")), Rejection::InvalidAuthMgmt),
        (auth.grant_permission(&grant("x", 0, "b", "\0")), Rejection::RoleNotFound),
        (auth.revoke_permission(&revoke("x", "a", "")), Rejection::RoleNotFound),
        (auth.revoke_permission(&revoke("r", "a", "")), Rejection::PermissionNotGranted),
    ] {
        assert_eq!(result, Err(expected));
    }
    assert_eq!(auth, before);
    // Off, root is like any other.
    auth.disable();
    auth.revoke_role(&revoke_role("root", "root")).unwrap();
    auth.delete_user(&delete_user("root")).unwrap();
    auth.delete_role(&delete_role("root")).unwrap();
}

#[test]
fn passwords_are_stored_raw() {
    let mut auth = Auth::default();
    for (name, hashed, stored) in [
        ("padded", "aGFzaA==", Some(&b"hash"[..])),
        ("empty", "", Some(b"")),
        ("trailing bits", "aGFzaB==", Some(b"hash")),
        ("line ends", "aGFz\r\naA==\n", Some(b"hash")),
        ("unpadded", "aGFzaA", None),
        ("url alphabet", "_-__", None),
        ("no base64", "$2a$10$", None),
    ] {
        let added = auth.add_user(&user_add(name, hashed));
        assert_eq!(added.is_ok(), stored.is_some(), "{name}");
        if let Some(stored) = stored {
            assert_eq!(auth.users[name].password, stored, "{name}");
        }
    }
    let clear = pb::AuthUserAddRequest { password: "secret".into(), ..user_add("old", "") };
    assert_eq!(auth.add_user(&clear), Err(Rejection::ClearTextPassword));
}

#[test]
fn users_without_password_never_get_one() {
    let mut auth = AuthBuilder::default().user("root", &["root"]).enabled();
    // Not even looked at: it is no base64.
    auth.add_user(&pb::AuthUserAddRequest { hashed_password: "!".into(), ..no_password("cert") }).unwrap();
    let changed = auth.change_password(&change_password("cert", "!")).unwrap();
    assert_eq!(changed.tokens, Tokens::DropUser("cert".into()));
    assert_eq!(auth.users["cert"].password, "");
    assert_eq!(auth.credential("cert"), Err(Rejection::NoPasswordUser));
    assert_eq!(auth.authenticate("cert"), Err(Rejection::AuthFailed));
    assert_eq!(auth.credential("nobody"), Err(Rejection::AuthFailed));
    let revision = auth.revision();
    assert_eq!(auth.credential("root"), Ok(Credential { hash: b"hash", revision }));
    assert_eq!(auth.authenticate("root"), Ok(revision));
    auth.disable();
    assert_eq!(auth.credential("root"), Err(Rejection::AuthNotEnabled));
    assert_eq!(auth.authenticate("nobody"), Err(Rejection::AuthNotEnabled));
}

#[test]
fn rows_are_etcds() {
    let mut auth = Auth::default();
    let added = auth.add_user(&user_add("u", "aGFzaA==")).unwrap();
    // authpb.User: name, password, and an empty options message, which upstream always stores.
    let user = Write::put(bucket::AUTH_USERS, "u", &b"\x0a\x01u\x12\x04hash\x22\x00"[..]);
    let revision = |number: u8| Write::put(bucket::AUTH, "authRevision", vec![0, 0, 0, 0, 0, 0, 0, number]);
    assert_eq!(added.writes, [user, revision(2)]);
    let added = auth.add_user(&no_password("c")).unwrap();
    assert_eq!(added.writes[0], Write::put(bucket::AUTH_USERS, "c", &b"\x0a\x01c\x22\x02\x08\x01"[..]));
    auth.add_role(&add_role("s")).unwrap();
    let added = auth.add_role(&add_role("r")).unwrap();
    assert_eq!(added.writes, [Write::put(bucket::AUTH_ROLES, "r", &b"\x0a\x01r"[..]), revision(5)]);
    let granted = auth.grant_permission(&grant("r", 2, "a", "\0")).unwrap();
    let role = &b"\x0a\x01r\x12\x08\x08\x02\x12\x01a\x1a\x01\x00"[..];
    assert_eq!(granted.writes[0], Write::put(bucket::AUTH_ROLES, "r", role));
    auth.grant_role(&grant_role("u", "s")).unwrap();
    let granted = auth.grant_role(&grant_role("u", "r")).unwrap();
    let user = &b"\x0a\x01u\x12\x04hash\x1a\x01r\x1a\x01s\x22\x00"[..];
    assert_eq!(granted.writes[0], Write::put(bucket::AUTH_USERS, "u", user));
    let deleted = auth.delete_role(&delete_role("r")).unwrap();
    assert_eq!(
        deleted.writes,
        [
            Write::delete(bucket::AUTH_ROLES, "r"),
            Write::put(bucket::AUTH_USERS, "u", &b"\x0a\x01u\x12\x04hash\x1a\x01s\x22\x00"[..]),
            revision(9),
        ]
    );
    let deleted = auth.delete_user(&delete_user("u")).unwrap();
    assert_eq!(deleted.writes, [Write::delete(bucket::AUTH_USERS, "u"), revision(10)]);
    assert_eq!(deleted.tokens, Tokens::DropUser("u".into()));
}

#[test]
fn permissions_are_sorted_and_only_the_first_of_a_key_is_replaced() {
    let mut auth = AuthBuilder::default().role("r", &[(0, "b", ""), (1, "a", "c"), (0, "a", "")]).0;
    let text = |list: &[(i32, &str, &str)]| -> Vec<_> {
        list.iter().map(|&(kind, key, end)| (kind, key.to_owned(), end.to_owned())).collect()
    };
    assert_eq!(held(&auth, "r"), text(&[(1, "a", "c"), (0, "a", ""), (0, "b", "")]));
    auth.grant_permission(&grant("r", 2, "a", "c")).unwrap();
    assert_eq!(held(&auth, "r"), text(&[(2, "a", "c"), (0, "a", ""), (0, "b", "")]));
    // Not the first with key "a": there twice from now on, and both go at once.
    auth.grant_permission(&grant("r", 1, "a", "")).unwrap();
    assert_eq!(held(&auth, "r"), text(&[(2, "a", "c"), (0, "a", ""), (1, "a", ""), (0, "b", "")]));
    auth.revoke_permission(&revoke("r", "a", "")).unwrap();
    assert_eq!(held(&auth, "r"), text(&[(2, "a", "c"), (0, "b", "")]));
}

#[test]
fn role_root_shows_everything_but_only_when_it_exists() {
    let mut auth = AuthBuilder::default().user("root", &["root"]).0;
    assert_eq!(auth.permissions_of(ROOT), Err(Rejection::RoleNotFound));
    auth.add_role(&add_role(ROOT)).unwrap();
    auth.grant_permission(&grant(ROOT, 0, "a", "")).unwrap();
    assert_eq!(held(&auth, ROOT), [(2, String::new(), "\0".to_owned())]);
    assert_eq!(auth.roles_of("root"), Ok(&["root".to_owned()][..]));
    assert_eq!(auth.roles_of("x"), Err(Rejection::UserNotFound));
}

#[test]
fn a_new_file_gets_its_first_revision() {
    let (auth, writes) = Auth::restore(&Rows::default()).unwrap();
    assert_eq!(auth, Auth::default());
    assert_eq!(writes, [Write::put(bucket::AUTH, "authRevision", vec![0, 0, 0, 0, 0, 0, 0, 1])]);
    let row = |key: &'static str, value: &'static [u8]| vec![(Bytes::from(key), Bytes::from(value))];
    let (auth, writes) =
        Auth::restore(&Rows { auth: row("authRevision", &[0, 0, 0, 0, 0, 0, 0, 9]), ..Rows::default() })
            .unwrap();
    assert_eq!((auth.revision(), auth.is_enabled(), writes.len()), (9, false, 0));
    for rows in [
        Rows { auth: row("authRevision", &[9]), ..Rows::default() },
        Rows { users: row("u", b"\x0a\x01v"), ..Rows::default() },
        Rows { users: row("u", b"\xff"), ..Rows::default() },
        Rows { roles: row("r", b""), ..Rows::default() },
        Rows {
            roles: vec![(Bytes::from_static(b"\xfe"), Bytes::from_static(b"\x0a\x01\xfe"))],
            ..Rows::default()
        },
    ] {
        assert!(matches!(Auth::restore(&rows), Err(AuthError::Corrupt { .. })), "{rows:?}");
    }
}

/// The auth buckets of a directory written by etcd 3.7.1.
#[test]
fn reads_what_etcd_wrote_and_would_write_the_same() {
    let row = |key: &'static str, value: &str| (Bytes::from(key), Bytes::from(hex(value)));
    let rows = Rows {
        auth: vec![row("authEnabled", "01"), row("authRevision", "000000000000000f")],
        roles: vec![
            row("reader", "0a06726561646572120c12046b65792f1a046b657930"),
            row("root", "0a04726f6f74"),
            row(
                "writer",
                "0a067772697465721210080212056b65792f311a056b65792f35120a0801120673696e676c65120612017a1a0100",
            ),
        ],
        users: vec![
            row(
                "bob",
                "0a03626f62123c243261243130244b7a6f53487154652f6571337444516976494832634f5a37416665585074526c4e\
                 703841303954504d77712f4d776c487a457630571a067772697465722200",
            ),
            row("certonly", "0a08636572746f6e6c7922020801"),
            row(
                "root",
                "0a04726f6f74123c24326124313024546e4b726850377451594f5349444a74506f59587775567143755a4f714b5556\
                 7137336c78647a66526465755951733356363759361a04726f6f742200",
            ),
        ],
    };
    let (auth, writes) = Auth::restore(&rows).unwrap();
    assert_eq!((auth.is_enabled(), auth.revision(), writes), (true, 15, vec![]));
    let kept = |list: &[(Bytes, Bytes)], write: Write| list.contains(&(write.key, write.value.unwrap()));
    assert!(auth.users.values().all(|user| kept(&rows.users, crate::rows::user_row(user))));
    assert!(auth.roles.values().all(|role| kept(&rows.roles, crate::rows::role_row(role))));
    let hash = auth.credential("bob").unwrap().hash;
    assert!(hash.starts_with(b"$2a$10$") && hash.len() == 60);
    let write = auth.grants("bob", Right::Write);
    assert!(write.covers(&range("key/1", "key/5")) && write.contains(b"single"));
    assert!(!write.contains(b"key/5") && !write.contains(b"zz"));
    assert!(auth.grants("bob", Right::Read).covers(&range("z", "\0")));
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().map(|byte| (byte as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn unknown_permission_types_grant_nothing() {
    let auth = AuthBuilder::default().role("r", &[(7, "a", ""), (-1, "b", "")]).user("u", &["r"]).0;
    assert_eq!(held(&auth, "r").len(), 2);
    for right in [Right::Read, Right::Write] {
        assert_eq!(*auth.grants("u", right), RangeSet::default());
    }
}

#[derive(Clone, Debug)]
enum Op {
    AddUser(u8),
    DeleteUser(u8),
    GrantRole(u8, u8),
    RevokeRole(u8, u8),
    AddRole(u8),
    DeleteRole(u8),
    Grant(u8, i32, &'static str, &'static str),
    Revoke(u8, &'static str, &'static str),
    Toggle,
}

fn op() -> impl Strategy<Value = Op> {
    let user = 0u8..3;
    let role = 0u8..3;
    let key = prop::sample::select(vec!["a", "a\0", "b", "c"]);
    let end = prop::sample::select(vec!["", "\0", "b", "c", "d"]);
    prop_oneof![
        2 => user.clone().prop_map(Op::AddUser),
        1 => user.clone().prop_map(Op::DeleteUser),
        4 => (user.clone(), role.clone()).prop_map(|(user, role)| Op::GrantRole(user, role)),
        1 => (user, role.clone()).prop_map(|(user, role)| Op::RevokeRole(user, role)),
        2 => role.clone().prop_map(Op::AddRole),
        1 => role.clone().prop_map(Op::DeleteRole),
        6 => (role.clone(), 0i32..3, key.clone(), end.clone())
            .prop_map(|(role, kind, key, end)| Op::Grant(role, kind, key, end)),
        2 => (role, key, end).prop_map(|(role, key, end)| Op::Revoke(role, key, end)),
        1 => Just(Op::Toggle),
    ]
}

fn run(auth: &mut Auth, op: Op) -> Vec<Write> {
    // Role 0 is root.
    let role = |n: u8| if n == 0 { ROOT.to_owned() } else { format!("r{n}") };
    let user = |n: u8| if n == 0 { ROOT.to_owned() } else { format!("u{n}") };
    let before = auth.clone();
    let result = match op {
        Op::AddUser(n) => auth.add_user(&user_add(&user(n), "aA==")),
        Op::DeleteUser(n) => auth.delete_user(&delete_user(&user(n))),
        Op::GrantRole(n, m) => auth.grant_role(&grant_role(&user(n), &role(m))),
        Op::RevokeRole(n, m) => auth.revoke_role(&revoke_role(&user(n), &role(m))),
        Op::AddRole(n) => auth.add_role(&add_role(&role(n))),
        Op::DeleteRole(n) => auth.delete_role(&delete_role(&role(n))),
        Op::Grant(n, kind, key, end) => auth.grant_permission(&grant(&role(n), kind, key, end)),
        Op::Revoke(n, key, end) => auth.revoke_permission(&revoke(&role(n), key, end)),
        Op::Toggle if auth.is_enabled() => Ok(auth.disable()),
        Op::Toggle => auth.enable(),
    };
    result.map(|applied| applied.writes).unwrap_or_else(|_| {
        assert_eq!(*auth, before, "a refused entry changes nothing");
        Vec::new()
    })
}

/// Looks every time through every permission of every role that the user holds.
fn naive(auth: &Auth, user: &str, right: Right, key: &[u8]) -> bool {
    auth.users.get(user).is_some_and(|user| {
        user.roles.iter().filter_map(|role| auth.roles.get(role)).flat_map(|role| &role.key_permission).any(
            |permission| {
                let matches =
                    permission.perm_type == 2 || (permission.perm_type == 1) == (right == Right::Write);
                matches && KeyRange::new(permission.key.clone(), permission.range_end.clone()).contains(key)
            },
        )
    })
}

proptest! {
    /// In any order of entries: what is cached equals asking role by role, key by key, and what was written
    /// restores the same state.
    #[test]
    fn grants_agree_with_roles_and_rows_restore_the_state(ops in prop::collection::vec(op(), 1..60)) {
        let mut auth = Auth::default();
        let mut buckets: BTreeMap<&str, BTreeMap<Bytes, Bytes>> = BTreeMap::new();
        buckets.entry(bucket::AUTH).or_default().insert("authRevision".into(), revision_row(1).value.unwrap());
        for op in ops {
            for write in run(&mut auth, op) {
                let rows = buckets.entry(write.bucket).or_default();
                match write.value {
                    Some(value) => rows.insert(write.key, value),
                    None => rows.remove(&write.key),
                };
            }
            for user in ["root", "u1", "u2"] {
                for right in [Right::Read, Right::Write] {
                    for key in ["a", "a\0", "a\0\0", "b", "bb", "c", "cc", "d", "e"] {
                        let naive = naive(&auth, user, right, key.as_bytes());
                        prop_assert_eq!(auth.grants(user, right).contains(key.as_bytes()), naive);
                    }
                }
            }
        }
        let mut rows = |bucket| buckets.entry(bucket).or_default().clone().into_iter().collect();
        let rows = Rows {
            auth: rows(bucket::AUTH),
            users: rows(bucket::AUTH_USERS),
            roles: rows(bucket::AUTH_ROLES),
        };
        prop_assert_eq!(Auth::restore(&rows).unwrap(), (auth, vec![]));
    }
}
