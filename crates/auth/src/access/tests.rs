use types::LeaseId;

use super::*;
use crate::state::tests::{AuthBuilder, range};

fn subject(user: &str, revision: u64) -> Subject {
    Subject { user: user.to_owned(), revision }
}

fn no_leases(_: WhichLeases, _: &mut dyn FnMut(&[u8]) -> Result<(), Rejection>) -> Result<(), Rejection> {
    Ok(())
}

/// Lease 1 holds `a` and `b`, lease 2 `z`.
fn leases(
    which: WhichLeases,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let attached = [(1, "a"), (1, "b"), (2, "z")];
    let asked = |id| which == WhichLeases::All || which == WhichLeases::One(LeaseId(id));
    attached.iter().filter(|(id, _)| asked(*id)).try_for_each(|(_, key)| visit(key.as_bytes()))
}

/// root has role root; alice reads and writes `a`..`c`; bob reads everything; carol has no role.
fn auth() -> Auth {
    AuthBuilder::default()
        .user("root", &["root"])
        .role("ac", &[(2, "a", "c")])
        .role("all", &[(0, "\0", "\0")])
        .user("alice", &["ac"])
        .user("bob", &["all"])
        .user("carol", &[])
        .enabled()
}

#[test]
fn everything_passes_while_auth_is_off() {
    let mut auth = auth();
    auth.disable();
    for access in [
        Access::Admin,
        Access::Authenticated,
        Access::Keys(Right::Write, range("a", "")),
        Access::LeaseKeys(Right::Write, WhichLeases::All),
        Access::AdminOrSelf("x".into()),
    ] {
        assert_eq!(auth.check(&Subject::default(), &access, &leases), Ok(()), "{access:?}");
    }
}

#[test]
fn key_access_by_subject() {
    let auth = auth();
    let now = auth.revision();
    let read = |key, end| Access::Keys(Right::Read, range(key, end));
    let write = |key, end| Access::Keys(Right::Write, range(key, end));
    for (who, access, expected) in [
        (subject("alice", now), write("a", ""), Ok(())),
        (subject("alice", now), write("a", "c"), Ok(())),
        (subject("alice", now), write("a", "d"), Err(Rejection::PermissionDenied)),
        (subject("alice", now), read("a", "\0"), Err(Rejection::PermissionDenied)),
        (subject("bob", now), read("a", "\0"), Ok(())),
        (subject("bob", now), write("a", ""), Err(Rejection::PermissionDenied)),
        (subject("carol", now), read("a", ""), Err(Rejection::PermissionDenied)),
        (subject("root", now), write("\0", "\0"), Ok(())),
        // The revision is judged before the user is looked up.
        (subject("", 0), read("a", ""), Err(Rejection::UserEmpty)),
        (subject("alice", 0), read("a", ""), Err(Rejection::UserEmpty)),
        (subject("nobody", 0), read("a", ""), Err(Rejection::UserEmpty)),
        (subject("alice", now - 1), read("a", ""), Err(Rejection::OldRevision)),
        (subject("root", now - 1), read("a", ""), Err(Rejection::OldRevision)),
        (subject("nobody", now - 1), read("a", ""), Err(Rejection::OldRevision)),
        (subject("nobody", now), read("a", ""), Err(Rejection::PermissionDenied)),
        // A member that lags behind may see a newer one.
        (subject("alice", now + 1), read("a", ""), Ok(())),
    ] {
        assert_eq!(auth.check(&who, &access, &no_leases), expected, "{who:?} {access:?}");
    }
}

#[test]
fn admin_access_goes_by_name_only() {
    let auth = auth();
    for (user, expected) in [
        ("", Err(Rejection::UserEmpty)),
        ("nobody", Err(Rejection::UserNotFound)),
        ("alice", Err(Rejection::PermissionDenied)),
        ("root", Ok(())),
    ] {
        assert_eq!(auth.check(&subject(user, 0), &Access::Admin, &no_leases), expected, "{user}");
    }
}

#[test]
fn users_may_see_themselves_and_holders_their_roles() {
    let auth = auth();
    let same = |user: &str| Access::AdminOrSelf(user.to_owned());
    let holder = |role: &str| Access::AdminOrHolder(role.to_owned());
    for (user, access, expected) in [
        ("alice", same("alice"), Ok(())),
        ("alice", same("bob"), Err(Rejection::PermissionDenied)),
        ("root", same("bob"), Ok(())),
        ("", same("bob"), Err(Rejection::UserEmpty)),
        ("", same(""), Ok(())),
        ("nobody", same("bob"), Err(Rejection::UserNotFound)),
        ("alice", holder("ac"), Ok(())),
        ("alice", holder("all"), Err(Rejection::PermissionDenied)),
        ("root", holder("all"), Ok(())),
        ("nobody", holder("ac"), Err(Rejection::UserNotFound)),
    ] {
        assert_eq!(auth.check(&subject(user, 1), &access, &no_leases), expected, "{user} {access:?}");
    }
}

#[test]
fn credentials_are_any_revision_but_0() {
    let auth = auth();
    let check = |revision| auth.check(&subject("nobody", revision), &Access::Authenticated, &no_leases);
    assert_eq!(check(0), Err(Rejection::UserEmpty));
    assert_eq!(check(1), Ok(()));
}

#[test]
fn lease_access_needs_every_attached_key_but_not_from_root() {
    let auth = auth();
    let now = auth.revision();
    let one = |right, id| Access::LeaseKeys(right, WhichLeases::One(LeaseId(id)));
    let all = Access::LeaseKeys(Right::Read, WhichLeases::All);
    for (who, access, expected) in [
        (subject("alice", now), one(Right::Write, 1), Ok(())),
        (subject("alice", now), one(Right::Write, 2), Err(Rejection::PermissionDenied)),
        (subject("alice", now), one(Right::Write, 3), Ok(())),
        (subject("alice", now - 1), one(Right::Write, 1), Err(Rejection::OldRevision)),
        (subject("", 0), one(Right::Write, 1), Err(Rejection::UserEmpty)),
        (subject("", 0), one(Right::Write, 3), Ok(())),
        (subject("bob", now), one(Right::Write, 1), Err(Rejection::PermissionDenied)),
        (subject("bob", now), one(Right::Read, 1), Ok(())),
        (subject("bob", now), all.clone(), Ok(())),
        (subject("alice", now), all.clone(), Err(Rejection::PermissionDenied)),
        (subject("root", now), all.clone(), Ok(())),
        // Expiry is revoked in root's name; a change of auth in between must not hold it up.
        (subject("root", 0), one(Right::Write, 2), Ok(())),
    ] {
        assert_eq!(auth.check(&who, &access, &leases), expected, "{who:?} {access:?}");
    }
}

#[test]
fn authorize_hands_the_request_back() {
    use proto::etcdserverpb::{DeleteRangeRequest, PutRequest};
    let auth = auth();
    let alice = subject("alice", auth.revision());
    let put = |key: &'static str, lease| PutRequest { key: key.into(), lease, ..PutRequest::default() };
    let authorized = auth.authorize(&alice, put("a", 0), &leases).unwrap();
    assert_eq!(authorized.request().key, "a");
    assert_eq!(authorized.into_request(), put("a", 0));
    assert_eq!(auth.authorize(&alice, &put("c", 0), &leases), Err(Rejection::PermissionDenied));
    // Attaching to a lease that holds a key of somebody else.
    assert!(auth.authorize(&alice, &put("a", 1), &leases).is_ok());
    assert_eq!(auth.authorize(&alice, &put("a", 2), &leases), Err(Rejection::PermissionDenied));
    // bob may read but not delete; previous values need reading.
    let bob = subject("bob", auth.revision());
    let delete = DeleteRangeRequest { key: "a".into(), prev_kv: true, ..DeleteRangeRequest::default() };
    assert_eq!(auth.authorize(&bob, &delete, &leases), Err(Rejection::PermissionDenied));
}
