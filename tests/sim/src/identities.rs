//! Who the clients are, and how an administrator changes what they may do.

use bytes::Bytes;
use node::AuthCall;
use proto::{
    authpb::{self, permission::Type},
    etcdserverpb as pb,
};

use crate::{call::Who, check::users::Users, load::Load};

const USERS: [&str; 4] = ["root", "ann", "bob", "eve"];
const ROLES: [&str; 3] = ["red", "green", "blue"];

impl Load {
    /// Who makes the next call; `users` is how things stand. Most logged in just now, some at an older revision.
    pub(crate) fn who(&mut self, users: &Users) -> Who {
        if !self.users || self.random.one_in(20) {
            return Who::nobody();
        }
        let name = if self.random.one_in(3) { USERS[0] } else { *self.random.pick(&USERS) };
        let fresh = self.random.below(8) > 0;
        let login = self.logins.entry(name).or_insert(users.revision);
        if fresh {
            *login = users.revision;
        }
        Who::User { name: name.into(), revision: *login }
    }

    /// The administrator.
    pub(crate) fn root(&self, users: &Users) -> Who {
        Who::User { name: USERS[0].into(), revision: users.revision }
    }

    /// A change of users, roles or permissions. Authentication is on more often than off.
    pub(crate) fn change_of_users(&mut self) -> AuthCall {
        if let Some(first) = self.first_change() {
            return first;
        }
        let name = self.random.pick(&USERS).to_string();
        let role = self.random.pick(&ROLES).to_string();
        let role_or_root = if self.random.one_in(3) { USERS[0].to_string() } else { role.clone() };
        match self.random.below(24) {
            0..6 => AuthCall::UserAdd(pb::AuthUserAddRequest {
                name,
                options: Some(authpb::UserAddOptions { no_password: true }),
                ..pb::AuthUserAddRequest::default()
            }),
            6 => AuthCall::UserDelete(pb::AuthUserDeleteRequest { name }),
            7..11 => AuthCall::UserGrantRole(pb::AuthUserGrantRoleRequest { user: name, role: role_or_root }),
            11 => AuthCall::UserRevokeRole(pb::AuthUserRevokeRoleRequest { name, role: role_or_root }),
            12..14 => AuthCall::RoleAdd(pb::AuthRoleAddRequest { name: role }),
            14 => AuthCall::RoleDelete(pb::AuthRoleDeleteRequest { role }),
            15..19 => {
                let (key, range_end) = self.granted_range();
                let types = [Type::Read, Type::Write, Type::Readwrite];
                let perm_type = *self.random.pick(&types) as i32;
                let perm = Some(authpb::Permission { perm_type, key, range_end });
                AuthCall::RoleGrantPermission(pb::AuthRoleGrantPermissionRequest { name: role, perm })
            }
            19 => {
                let (key, range_end) = self.granted_range();
                let request = pb::AuthRoleRevokePermissionRequest { role, key, range_end };
                AuthCall::RoleRevokePermission(request)
            }
            20..23 => AuthCall::Enable(pb::AuthEnableRequest {}),
            _ => AuthCall::Disable(pb::AuthDisableRequest {}),
        }
    }

    /// What it takes before authentication can be switched on, and something for everybody to be allowed.
    fn first_change(&mut self) -> Option<AuthCall> {
        let step = self.changes_of_users;
        self.changes_of_users += 1;
        let add = |name: &str| {
            AuthCall::UserAdd(pb::AuthUserAddRequest {
                name: name.into(),
                options: Some(authpb::UserAddOptions { no_password: true }),
                ..pb::AuthUserAddRequest::default()
            })
        };
        let grant = |user: &str, role: &str| {
            AuthCall::UserGrantRole(pb::AuthUserGrantRoleRequest { user: user.into(), role: role.into() })
        };
        Some(match step {
            0 | 1 => add(USERS[0]),
            2 | 3 => grant(USERS[0], USERS[0]),
            4 => add(USERS[1]),
            5 => add(USERS[2]),
            6 => AuthCall::RoleAdd(pb::AuthRoleAddRequest { name: ROLES[0].into() }),
            7 => {
                let (key, range_end) = self.granted_range();
                let perm = Some(authpb::Permission { perm_type: Type::Readwrite as i32, key, range_end });
                let name = ROLES[0].into();
                AuthCall::RoleGrantPermission(pb::AuthRoleGrantPermissionRequest { name, perm })
            }
            8 => grant(USERS[1], ROLES[0]),
            9 | 10 => AuthCall::Enable(pb::AuthEnableRequest {}),
            _ => return None,
        })
    }

    /// One of few ranges, so that grants overlap, meet, and are taken back. Each key begins one of them only.
    fn granted_range(&mut self) -> (Bytes, Bytes) {
        let ranges: [(&'static [u8], &'static [u8]); 6] = [
            (b"key-000000", b""),
            (b"key-000001", b"key-000003"),
            (b"key-000003", b"key-000100"),
            (b"key-000000\0", b"key-000001"),
            (b"key-", b"key."),
            (b"key-000002", b"\0"),
        ];
        let (key, end) = *self.random.pick(&ranges);
        (Bytes::from_static(key), Bytes::from_static(end))
    }
}
