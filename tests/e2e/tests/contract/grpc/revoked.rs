//! Permissions that are taken away while somebody uses them.

use e2e::{binary::is_etcd, client::Client, server::Server};
use proto::{authpb::permission::Type, etcdserverpb as pb};

use super::{
    auth::{grant_permission, revoke_permission, revoke_role, server},
    login::{login, people},
};
use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    open_watches_go_on => "grpc" [];
    open_watches_end_where_that_is_wanted => "grpc" [];
    a_large_range_ends => "grpc" [];
    chunks_of_a_range_end => "grpc" [];
}

/// What [`people`] has given ann to read with.
const ROLE: &str = "ann-READ";

/// Watchers of ann: 1 on what is going to be taken from her, 2 on what she keeps.
fn watch_both(root: &Client, ann: &Client) -> WatchStream {
    root.ok(grant_permission(ROLE, Type::Read, "z", ""));
    let mut stream = watch(ann);
    create_ok(&mut stream, pb::WatchCreateRequest { watch_id: 1, range_end: text("m"), ..create("k") });
    create_ok(&mut stream, pb::WatchCreateRequest { watch_id: 2, ..create("z") });
    stream
}

/// Upstream's way, which is ours by default.
fn open_watches_go_on() {
    let server = server();
    let client = server.client();
    let root = people(&client);
    root.ok(grant_permission(ROLE, Type::Read, "z", ""));
    let mut stream = watch_both(&root, &login(&client, "ann"));
    root.ok(revoke_permission(ROLE, "k", "m"));
    put_ok(&root, "k", "1");
    let event = stream.message();
    assert_eq!((event.watch_id, events(&event).len(), event.canceled), (1, 1, false), "{event:?}");
}

fn open_watches_end_where_that_is_wanted() {
    if is_etcd() {
        return;
    }
    let takes: [fn(&Client); 3] = [
        |root| {
            root.ok(revoke_permission(ROLE, "k", "m"));
        },
        |root| {
            // What she keeps comes from another role.
            root.ok(super::auth::role_add("other"));
            root.ok(grant_permission("other", Type::Read, "z", ""));
            root.ok(super::auth::grant_role("ann", "other"));
            root.ok(revoke_role("ann", ROLE));
        },
        |root| {
            root.ok(super::auth::role_add("other"));
            root.ok(grant_permission("other", Type::Read, "z", ""));
            root.ok(super::auth::grant_role("ann", "other"));
            root.ok(pb::AuthRoleDeleteRequest { role: ROLE.into() });
        },
    ];
    for take in takes {
        let server = Server::start(&["--bcrypt-cost=4", "--auth-end-revoked-watches"]);
        let client = server.client();
        let root = people(&client);
        let mut stream = watch_both(&root, &login(&client, "ann"));
        let mut all = watch(&root);
        create_ok(&mut all, pb::WatchCreateRequest { range_end: text("\0"), ..create("\0") });
        put_ok(&root, "k", "before");
        take(&root);
        for (key, value) in [("k", "behind"), ("z", "kept")] {
            put_ok(&root, key, value);
        }
        let before = stream.message();
        assert_eq!((before.watch_id, before.events.len(), before.canceled), (1, 1, false), "{before:?}");
        let end = stream.message();
        assert_eq!((end.watch_id, end.canceled, end.events.len()), (1, true, 0), "{end:?}");
        assert_eq!(end.cancel_reason, promised("watch perm").message);
        let kept = stream.message();
        assert_eq!((kept.watch_id, kept.events.len(), kept.canceled), (2, 1, false), "{kept:?}");
        // A new one is refused for the same reason.
        super::login::refused_watch(&login(&client, "ann"), create("k"), "watch perm");
        // Root has seen all of it.
        let mut seen = 0;
        while seen < 3 {
            seen += all.message().events.len();
        }
    }
}

/// Rows of four kilobytes, more than are listed at once: those that are leave no room in the sockets for the others.
fn put_rows(root: &Client) {
    const ROWS: usize = 6_000;
    let value = "v".repeat(4_000);
    for chunk in (0..ROWS).collect::<Vec<_>>().chunks(100) {
        root.ok(txn(chunk.iter().map(|n| put_op(&format!("k{n:05}"), &value)).collect()));
    }
}

fn rows() -> pb::RangeRequest {
    pb::RangeRequest { range_end: text("m"), ..range("k") }
}

/// Upstream lists all rows before it answers, and refuses when permissions have changed by then; what it has begun to
/// send it sends. We list as the client reads, and stop where the permission ended: the rest of the message is missing.
fn a_large_range_ends() {
    let server = server();
    let client = server.client();
    let root = people(&client);
    put_rows(&root);
    for taken in [false, true] {
        let ann = login(&client, "ann");
        let mut reading = ann.open::<pb::RangeRequest, pb::RangeResponse>("etcdserverpb.KV/Range");
        reading.send(&rows());
        reading.finish();
        reading.opened();
        if taken {
            root.ok(revoke_permission(ROLE, "k", "m"));
        } else {
            // Changes as much, and takes nothing from her.
            root.ok(grant_permission(ROLE, Type::Read, "z", ""));
        }
        match reading.next() {
            Ok(reply) => {
                assert!(!taken || is_etcd(), "everything came");
                assert_eq!(reply.unwrap().kvs.len(), 6_000);
            }
            Err(status) => assert!(taken && status.message.contains("internal error"), "{status}"),
        }
    }
}

/// Each chunk is judged: what comes ends with a status.
fn chunks_of_a_range_end() {
    let server = server();
    let client = server.client();
    let root = people(&client);
    put_rows(&root);
    let ann = login(&client, "ann");
    let mut reading = ann.open::<pb::RangeRequest, pb::RangeStreamResponse>("etcdserverpb.KV/RangeStream");
    reading.send(&rows());
    reading.finish();
    reading.opened();
    root.ok(revoke_permission(ROLE, "k", "m"));
    let refused = reading.rest().unwrap_err();
    let expected = ["ErrGRPCPermissionDenied", "ErrGRPCAuthOldRevision"].map(promised);
    assert!(expected.contains(&refused), "{refused}");
    // And so does the next one.
    assert!(expected.contains(&ann.fails(rows())));
}
