//! Users and roles.

use client::prefix_end;
use cmdline::golang::quote;
use proto::{
    authpb::{Permission, permission::Type},
    etcdserverpb as pb,
};

use super::{Fields, NO_FIELDS, Printer};
use crate::fail::Done;

/// A reply with nothing but a header.
macro_rules! header_only {
    ($($name:ident: $reply:ident,)*) => {$(
        pub(crate) fn $name(&self, text: String, reply: &pb::$reply) -> Done {
            let fields = |fields: &mut Fields| fields.header(reply.header.as_ref());
            self.message(reply, || text.into_bytes(), Some(fields))
        }
    )*};
}

impl Printer {
    header_only! {
        role_add: AuthRoleAddResponse,
        role_delete: AuthRoleDeleteResponse,
        role_grant: AuthRoleGrantPermissionResponse,
        role_revoke: AuthRoleRevokePermissionResponse,
        user_add: AuthUserAddResponse,
        user_delete: AuthUserDeleteResponse,
        user_password: AuthUserChangePasswordResponse,
        user_grant: AuthUserGrantRoleResponse,
        user_revoke: AuthUserRevokeRoleResponse,
    }

    pub(crate) fn role_get(&self, name: &str, reply: &pb::AuthRoleGetResponse) -> Done {
        let fields = |fields: &mut Fields| {
            fields.header(reply.header.as_ref());
            for permission in &reply.perm {
                let kind = permission.perm_type().as_str_name();
                // Two blanks: upstream prints one of its own.
                fields.line(&format!("\"PermType\" :  {kind}"));
                fields.quoted("Key", &permission.key);
                fields.quoted("RangeEnd", &permission.range_end);
            }
        };
        self.message(reply, || role_text(name, &reply.perm), Some(fields))
    }

    pub(crate) fn role_list(&self, reply: &pb::AuthRoleListResponse) -> Done {
        let fields = |fields: &mut Fields| {
            fields.header(reply.header.as_ref());
            let roles: String = reply.roles.iter().map(|role| format!(" {}", quote(role))).collect();
            fields.line(&format!("\"Roles\" :{roles}"));
        };
        self.message(reply, || lines(&reply.roles), Some(fields))
    }

    pub(crate) fn user_get(&self, name: &str, reply: &pb::AuthUserGetResponse) -> Done {
        let roles = || reply.roles.iter().map(|role| format!(" {role}")).collect::<String>();
        self.message(reply, || format!("User: {name}\nRoles:{}\n", roles()).into_bytes(), NO_FIELDS)
    }

    pub(crate) fn user_list(&self, reply: &pb::AuthUserListResponse) -> Done {
        self.message(reply, || lines(&reply.users), NO_FIELDS)
    }

    pub(crate) fn auth_status(&self, reply: &pb::AuthStatusResponse) -> Done {
        let simple = || {
            let text =
                format!("Authentication Status: {}\nAuthRevision: {}\n", reply.enabled, reply.auth_revision);
            text.into_bytes()
        };
        self.message(reply, simple, NO_FIELDS)
    }
}

fn lines(names: &[String]) -> Vec<u8> {
    names.iter().map(|name| format!("{name}\n")).collect::<String>().into_bytes()
}

fn role_text(name: &str, permissions: &[Permission]) -> Vec<u8> {
    let mut out = format!("Role {name}\n").into_bytes();
    // The role root may do everything, and has no permission for it.
    let all = name == "root" && permissions.is_empty();
    for (title, one) in [("KV Read:\n", Type::Read), ("KV Write:\n", Type::Write)] {
        out.extend_from_slice(title.as_bytes());
        if all {
            out.extend_from_slice(b"\t[, <open ended>\n");
        }
        for permission in permissions {
            if permission.perm_type() == one || permission.perm_type() == Type::Readwrite {
                out.extend(range_text(permission));
            }
        }
    }
    out
}

fn range_text(permission: &Permission) -> Vec<u8> {
    let (key, end) = (&permission.key, &permission.range_end);
    if end.is_empty() {
        return [b"\t", &key[..], b"\n"].concat();
    }
    let mut out = match &end[..] {
        b"\0" => [b"\t[", &key[..], b", <open ended>"].concat(),
        end => [b"\t[", &key[..], b", ", end, b")"].concat(),
    };
    if !key.is_empty() && prefix_end(key) == end[..] {
        out.extend([b" (prefix ", &key[..], b")"].concat());
    }
    out.push(b'\n');
    out
}
