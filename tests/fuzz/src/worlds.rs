//! What decoded requests meet: a state with users and keys.

use std::{path::Path, sync::Arc, time::Duration};

use bolt::Db;
use bytes::Bytes;
use cluster::Version;
use prost::Message;
use proto::{
    authpb::{Permission, permission::Type},
    etcdserverpb::{self as pb, InternalRaftRequest},
};
use state::{Applied, Settings, State};
use types::{
    bucket,
    raft::{Entry, EntryKind},
};
use vfs::SimDisk;

pub(crate) fn settings() -> Settings {
    let leases =
        lease::Config { ttl_secs_min: 2, revoke_retry: Duration::from_secs(7), ..lease::Config::default() };
    Settings {
        server_version: Version::new(3, 7, 1),
        learners_max: 1,
        leases,
        lease_checkpoint_persist: false,
    }
}

/// An empty database with etcd's buckets.
pub(crate) fn empty_db() -> Db {
    let disk = Arc::new(SimDisk::new());
    let options = bolt::Options { page_size: 1024, cache_bytes: 1 << 20, ..bolt::Options::default() };
    let mut db = Db::open(disk, Path::new("/db"), options).unwrap();
    for name in bucket::ALL {
        db.create_bucket(name).unwrap();
    }
    db.commit().unwrap();
    db
}

/// A state, its file, and what it has applied.
pub(crate) struct Machine {
    pub(crate) db: Db,
    pub(crate) state: State,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        let db = empty_db();
        let state = State::open(db.snapshot(), settings()).unwrap();
        Machine { db, state }
    }

    /// With some keys, a lease, and two users: `root`, and `user`, who may read `a..c` and write `b`.
    pub(crate) fn with_users() -> Machine {
        let mut machine = Machine::new();
        let role = |name: &str| pb::AuthRoleAddRequest { name: name.into() };
        let user = |name: &str| pb::AuthUserAddRequest {
            name: name.into(),
            hashed_password: "aGFzaA==".into(),
            ..Default::default()
        };
        let grant =
            |user: &str, role: &str| pb::AuthUserGrantRoleRequest { user: user.into(), role: role.into() };
        let permit =
            |kind: Type, key: &'static [u8], end: &'static [u8]| pb::AuthRoleGrantPermissionRequest {
                name: "role".into(),
                perm: Some(Permission {
                    perm_type: kind as i32,
                    key: Bytes::from_static(key),
                    range_end: Bytes::from_static(end),
                }),
            };
        let put = |key: &'static [u8], lease| pb::PutRequest {
            key: Bytes::from_static(key),
            value: Bytes::from_static(b"value"),
            lease,
            ..Default::default()
        };
        let default = InternalRaftRequest::default;
        let requests = [
            InternalRaftRequest { lease_grant: Some(pb::LeaseGrantRequest { ttl: 60, id: 7 }), ..default() },
            InternalRaftRequest { put: Some(put(b"a", 0)), ..default() },
            InternalRaftRequest { put: Some(put(b"b", 7)), ..default() },
            InternalRaftRequest { put: Some(put(b"d", 0)), ..default() },
            InternalRaftRequest { auth_role_add: Some(role("root")), ..default() },
            InternalRaftRequest { auth_role_add: Some(role("role")), ..default() },
            InternalRaftRequest {
                auth_role_grant_permission: Some(permit(Type::Read, b"a", b"c")),
                ..default()
            },
            InternalRaftRequest {
                auth_role_grant_permission: Some(permit(Type::Write, b"b", b"")),
                ..default()
            },
            InternalRaftRequest { auth_user_add: Some(user("root")), ..default() },
            InternalRaftRequest { auth_user_add: Some(user("user")), ..default() },
            InternalRaftRequest { auth_user_grant_role: Some(grant("root", "root")), ..default() },
            InternalRaftRequest { auth_user_grant_role: Some(grant("user", "role")), ..default() },
            InternalRaftRequest { auth_enable: Some(pb::AuthEnableRequest {}), ..default() },
        ];
        for request in requests {
            let applied = machine.apply(&request.encode_to_vec()).unwrap();
            assert!(applied.outcome.is_ok(), "{:?}", applied.outcome);
        }
        machine.commit();
        machine
    }

    /// Applies an entry.
    pub(crate) fn apply(&mut self, data: &[u8]) -> Result<Applied, String> {
        let index = self.state.applied() + 1;
        self.state.apply(&Entry {
            term: 1,
            index,
            kind: EntryKind::Normal,
            data: Bytes::copy_from_slice(data),
        })
    }

    /// Writes everything applied so far to the file.
    pub(crate) fn commit(&mut self) {
        let sealed = self.state.seal();
        for write in &sealed.writes {
            self.db.apply(write).unwrap();
        }
        self.db.commit().unwrap();
        self.state.committed(sealed.batch, self.db.snapshot());
    }
}
