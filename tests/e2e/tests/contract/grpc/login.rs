//! Users who log in: tokens, and what they open (contract/semantics.md 7.3 to 7.11).

use std::fs;

use e2e::{
    client::Client,
    server::{Server, poll},
};
use proto::{authpb::permission::Type, etcdserverpb as pb};
use tempfile::TempDir;

use super::auth::{enable, grant_permission, grant_role, role_add, server, user_add};
use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    logging_in => "grpc" ["etcdserverpb.Auth/Authenticate"];
    logging_in_fails => "errors" ["ErrGRPCAuthFailed", "auth.ErrNoPasswordUser"];
    permissions => "errors" ["ErrGRPCPermissionDenied", "watch perm"];
    old_revisions => "errors" ["ErrGRPCAuthOldRevision", "watch auth rev"];
    verifying_only => "errors" ["auth.ErrVerifyOnly"];
    tokens_end => "flags" ["etcd --auth-token-ttl"];
    hashes_cost_what_is_asked_for => "flags" ["etcd --bcrypt-cost"];
    tokens_are_signed => "flags" ["etcd --auth-token"];
    passwords_are_written_nowhere => "grpc" [];
}

/// A user's connection.
pub(crate) fn login(client: &Client, user: &str) -> Client {
    client.with("token", token(client, user).as_bytes())
}

fn token(client: &Client, user: &str) -> String {
    client.ok(authenticate(user, "secret")).token
}

pub(crate) fn authenticate(user: &str, password: &str) -> pb::AuthenticateRequest {
    pb::AuthenticateRequest { name: user.into(), password: password.into() }
}

/// Lets `user` do that with the keys from `key` to `end`.
pub(crate) fn permit(root: &Client, user: &str, kind: Type, key: &str, end: &str) {
    let role = format!("{user}-{}", kind.as_str_name());
    root.ok(role_add(&role));
    root.ok(grant_permission(&role, kind, key, end));
    root.ok(grant_role(user, &role));
}

/// Enables auth with users root, ann, who may read k to m, bob, who may write them, and eve, who may nothing.
pub(crate) fn people(client: &Client) -> Client {
    for user in ["ann", "bob", "eve"] {
        client.ok(user_add(user));
    }
    permit(client, "ann", Type::Read, "k", "m");
    permit(client, "bob", Type::Write, "k", "m");
    enable(client);
    login(client, "root")
}

pub(crate) fn refused_watch(client: &Client, create: pb::WatchCreateRequest, row: &str) {
    let mut stream = watch(client);
    stream.send(&create_request(create));
    let refused = stream.message();
    assert_eq!((refused.created, refused.canceled, refused.watch_id), (true, true, -1), "{refused:?}");
    assert_eq!(refused.cancel_reason, promised(row).message);
}

fn logging_in() {
    let server = server();
    let client = server.client();
    people(&client);
    let reply = client.ok(authenticate("ann", "secret"));
    let header = reply.header.as_ref().unwrap();
    assert!(header.cluster_id != 0 && header.member_id != 0 && header.raft_term != 0, "{header:?}");
    let (prefix, index) = reply.token.split_once('.').unwrap();
    assert!(prefix.len() == 16 && prefix.bytes().all(|byte| byte.is_ascii_alphabetic()), "{}", reply.token);
    let root = login(&client, "root");
    let status = root.ok(pb::StatusRequest {});
    assert!(index.parse::<u64>().unwrap() < status.raft_applied_index, "the index of its own entry");
    put_ok(&root, "k", "v");
    for (name, value) in [
        ("token", reply.token.clone()),
        ("authorization", reply.token.clone()),
        ("authorization", format!("Bearer {}", reply.token)),
    ] {
        assert_eq!(get(&client.with(name, value.as_bytes()), "k").as_deref(), Some("v"), "{name}: {value}");
    }
    assert_ne!(token(&client, "ann"), reply.token, "each login has its own");
    // What a token is made of is not what makes it good.
    let forged = format!("{}.{}", &prefix[1..], index);
    let forged = client.with("token", forged.as_bytes());
    assert_eq!(forged.fails(range("k")), promised("ErrGRPCInvalidAuthToken"));
}

/// Nobody learns whether there is such a user, except of one without a password.
fn logging_in_fails() {
    let server = server();
    let client = server.client();
    let root = people(&client);
    for (user, password) in
        [("ann", "wrong"), ("ann", ""), ("nobody", "secret"), ("", "secret"), ("ann", "secret ")]
    {
        for _ in 0..2 {
            assert_eq!(client.fails(authenticate(user, password)), promised("ErrGRPCAuthFailed"), "{user}");
        }
    }
    root.ok(pb::AuthUserAddRequest {
        name: "machine".into(),
        options: Some(proto::authpb::UserAddOptions { no_password: true }),
        ..Default::default()
    });
    assert_eq!(client.fails(authenticate("machine", "")), promised("auth.ErrNoPasswordUser"));
}

/// 7.8, 7.10, 7.11.
fn permissions() {
    let server = server();
    let client = server.client();
    people(&client);
    let (ann, bob, eve) = (login(&client, "ann"), login(&client, "bob"), login(&client, "eve"));
    let denied = promised("ErrGRPCPermissionDenied");
    put_ok(&bob, "k", "v");
    assert_eq!(get(&ann, "k").as_deref(), Some("v"));
    for user in [&bob, &eve] {
        assert_eq!(user.fails(range("k")), denied);
        assert_eq!(user.fails(pb::RangeRequest { serializable: true, ..range("k") }), denied);
        assert_eq!(user.fails(txn(vec![range_op("k")])), denied);
        let mut stream =
            user.open::<pb::RangeRequest, pb::RangeStreamResponse>("etcdserverpb.KV/RangeStream");
        stream.send(&range("k"));
        assert_eq!(stream.next().unwrap_err(), denied);
        refused_watch(user, create("k"), "watch perm");
    }
    for user in [&ann, &eve] {
        assert_eq!(user.fails(put("k", "w")), denied);
        assert_eq!(user.fails(delete("k")), denied);
        assert_eq!(user.fails(txn(vec![put_op("k", "w")])), denied);
    }
    assert_eq!(ann.fails(range("m")), denied, "the end is exclusive");
    assert_eq!(bob.fails(pb::PutRequest { prev_kv: true, ..put("k", "w") }), denied);
    let mut stream = watch(&ann);
    create_ok(&mut stream, create("k"));
    let lease = grant(&eve, 600);
    bob.ok(pb::PutRequest { lease, ..put("k", "w") });
    assert_eq!(eve.fails(pb::LeaseRevokeRequest { id: lease }), denied);
    assert_eq!(ann.ok(pb::LeaseLeasesRequest {}).leases.len(), 1);
    assert_eq!(bob.fails(pb::LeaseLeasesRequest {}), denied);
}

/// A signed token counts while users and roles are as they were when it was made.
fn old_revisions() {
    let (server, _dir) = signing("HS256", "priv-key", b"a secret");
    let client = server.client();
    let root = people(&client);
    put_ok(&root, "k", "v");
    let ann = login(&client, "ann");
    assert_eq!(get(&ann, "k").as_deref(), Some("v"));
    root.ok(user_add("new"));
    let old = promised("ErrGRPCAuthOldRevision");
    assert_eq!(ann.fails(range("k")), old);
    assert_eq!(ann.fails(put("k", "w")), old);
    assert_eq!(ann.fails(txn(vec![put_op("k", "w")])), old);
    refused_watch(&ann, create("k"), "watch auth rev");
    // Administration goes by the name alone.
    root.ok(pb::AuthUserListRequest {});
    assert_eq!(get(&login(&client, "ann"), "k").as_deref(), Some("v"));
}

/// A server whose tokens are signed, with that file for the key.
fn signing(method: &str, option: &str, file: &[u8]) -> (Server, TempDir) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    fs::write(&path, file).unwrap();
    let flag = format!("--auth-token=jwt,sign-method={method},{option}={},ttl=1h", path.display());
    (Server::start(&["--bcrypt-cost=4", &flag]), dir)
}

const PUBLIC_KEY: &[u8] = include_bytes!("../../../../../crates/rpc/src/tokens/testdata/rsa.pub.pem");
const PRIVATE_KEY: &[u8] = include_bytes!("../../../../../crates/rpc/src/tokens/testdata/rsa.pem");

fn verifying_only() {
    let (server, _dir) = signing("RS256", "pub-key", PUBLIC_KEY);
    let client = server.client();
    enable(&client);
    assert_eq!(client.fails(authenticate("root", "wrong")), promised("ErrGRPCAuthFailed"));
    assert_eq!(client.fails(authenticate("root", "secret")), promised("auth.ErrVerifyOnly"));
}

fn tokens_are_signed() {
    for (method, key) in [("HS512", &b"a secret"[..]), ("RS256", PRIVATE_KEY), ("PS384", PRIVATE_KEY)] {
        let (server, _dir) = signing(method, "priv-key", key);
        let client = server.client();
        let root = people(&client);
        let token = token(&client, "ann");
        assert_eq!(token.split('.').count(), 3, "{token}");
        put_ok(&root, "k", method);
        let ann = client.with("token", token.as_bytes());
        assert_eq!(get(&ann, "k").as_deref(), Some(method));
        let (message, signature) = token.rsplit_once('.').unwrap();
        for wrong in [message.to_owned(), format!("{message}."), format!("{message}.AAAA{}", &signature[4..])]
        {
            let status = client.with("token", wrong.as_bytes()).fails(range("k"));
            assert_eq!(status, promised("ErrGRPCInvalidAuthToken"), "{method}: {wrong}");
        }
        // Another member made this one.
        let status = client.with("token", b"abcdefghijklmnop.1").fails(range("k"));
        assert_eq!(status, promised("ErrGRPCInvalidAuthToken"));
    }
    let refused = |flag: &str| e2e::server::run(&[flag, "--data-dir=/dev/null/e2e"], &[]).stderr;
    assert!(refused("--auth-token=jwt,sign-method=HS256").contains("auth: missing key data"));
    assert!(refused("--auth-token=jwt,priv-key=/dev/null").contains("auth: invalid auth options"));
}

/// 7.4: unused tokens end after their time, others with their user's password, their user, a restart, or all together.
fn tokens_end() {
    let dir = TempDir::new().unwrap();
    let flags = ["--bcrypt-cost=4", "--auth-token-ttl=2"];
    let server = Server::start_on(dir.path(), &flags).unwrap();
    let client = server.client();
    let root = people(&client);
    let invalid = promised("ErrGRPCInvalidAuthToken");
    let unused = login(&client, "ann");
    // A lease lasts longer than an unused token, and asking for it keeps root's alive.
    let lease = grant(&root, 3);
    let ended = poll(|| {
        let left = root.ok(pb::LeaseTimeToLiveRequest { id: lease, keys: false }).ttl;
        (left == -1).then_some(())
    });
    assert!(ended.is_some());
    assert_eq!(unused.fails(range("k")), invalid);
    assert_eq!(get(&root, "k"), None);
    let (ann, bob) = (login(&client, "ann"), login(&client, "bob"));
    root.ok(pb::AuthUserChangePasswordRequest {
        name: "ann".into(),
        password: "other".into(),
        ..Default::default()
    });
    assert_eq!(ann.fails(range("k")), invalid);
    assert_eq!(client.fails(authenticate("ann", "secret")), promised("ErrGRPCAuthFailed"), "not from memory");
    client.ok(authenticate("ann", "other"));
    put_ok(&bob, "k", "v");
    root.ok(pb::AuthUserDeleteRequest { name: "bob".into() });
    assert_eq!(bob.fails(put("k", "v")), invalid);
    let eve = login(&client, "eve");
    root.ok(pb::AuthDisableRequest {});
    eve.ok(range("k"));
    client.ok(pb::AuthEnableRequest {});
    assert_eq!(eve.fails(range("k")), invalid);
    let root = login(&client, "root");
    put_ok(&root, "k", "v");
    let kept = token(&client, "root");
    server.stop();
    let server = Server::start_on(dir.path(), &flags).unwrap();
    let client = server.client();
    assert_eq!(client.with("token", kept.as_bytes()).fails(range("k")), invalid);
    assert_eq!(get(&login(&client, "root"), "k").as_deref(), Some("v"));
}

/// The cost stands in the stored hash.
fn hashes_cost_what_is_asked_for() {
    for (flag, marks) in [("--bcrypt-cost=5", "$2a$05$"), ("--bcrypt-cost=3", "$2a$10$")] {
        let dir = TempDir::new().unwrap();
        let server = Server::start_on(dir.path(), &[flag]).unwrap();
        server.client().ok(user_add("ann"));
        server.stop();
        let db = fs::read(dir.path().join("member/snap/db")).unwrap();
        assert!(contains(&db, marks.as_bytes()), "{flag}");
    }
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// CVE-2021-28235 and GHSA-528j: neither log nor directory shows a password.
fn passwords_are_written_nowhere() {
    const PASSWORD: &str = "correct-horse-battery";
    let dir = TempDir::new().unwrap();
    let server = Server::start_on(dir.path(), &["--bcrypt-cost=4", "--log-level=debug"]).unwrap();
    let client = server.client();
    for name in ["ann", "root"] {
        let password = PASSWORD.into();
        client.ok(pb::AuthUserAddRequest { name: name.into(), password, ..Default::default() });
    }
    let change = || pb::AuthUserChangePasswordRequest {
        name: "ann".into(),
        password: PASSWORD.into(),
        ..Default::default()
    };
    client.ok(change());
    client.ok(grant_role("root", "root"));
    client.ok(pb::AuthEnableRequest {});
    client.ok(authenticate("ann", PASSWORD));
    client.fails(authenticate("nobody", PASSWORD));
    client.fails(change());
    let log = server.log();
    assert!(!log.contains(PASSWORD), "in the log");
    server.stop();
    let mut folders = vec![dir.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            assert!(!contains(&fs::read(&path).unwrap(), PASSWORD.as_bytes()), "in {}", path.display());
        }
    }
    assert!(files > 2, "log and database are among them");
}
