//! The rows of the buckets `auth`, `authUsers` and `authRoles` (contract/semantics.md 14.6).

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use proto::authpb;
use types::{Write, bucket};

use crate::AuthError;

const ON: &[u8] = &[1];
const OFF: &[u8] = &[0];

/// Every row of the three buckets, as read at start.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Of [`bucket::AUTH`].
    pub auth: Vec<(Bytes, Bytes)>,
    /// Of [`bucket::AUTH_USERS`].
    pub users: Vec<(Bytes, Bytes)>,
    /// Of [`bucket::AUTH_ROLES`].
    pub roles: Vec<(Bytes, Bytes)>,
}

impl Rows {
    /// Anything but a one is off.
    pub(crate) fn parse_enabled(&self) -> bool {
        self.auth_row(bucket::auth::ENABLED).is_some_and(|value| value == ON)
    }

    /// 0 when there is none.
    pub(crate) fn parse_revision(&self) -> Result<u64, AuthError> {
        let Some(value) = self.auth_row(bucket::auth::REVISION) else { return Ok(0) };
        let bytes: Result<[u8; 8], _> = value[..].try_into();
        let length = || format!("{} bytes instead of 8", value.len());
        bytes.map(u64::from_be_bytes).map_err(|_| corrupt(bucket::AUTH, bucket::auth::REVISION, length()))
    }

    pub(crate) fn parse_users(&self) -> Result<BTreeMap<String, authpb::User>, AuthError> {
        parse(bucket::AUTH_USERS, &self.users, |user: &authpb::User| &user.name)
    }

    pub(crate) fn parse_roles(&self) -> Result<BTreeMap<String, authpb::Role>, AuthError> {
        parse(bucket::AUTH_ROLES, &self.roles, |role: &authpb::Role| &role.name)
    }

    fn auth_row(&self, key: &[u8]) -> Option<&Bytes> {
        self.auth.iter().find(|(found, _)| found == key).map(|(_, value)| value)
    }
}

/// Decodes rows that lie under their own names. The values are copied first: what is decoded shares its
/// buffer, and must not keep a page of the file alive.
fn parse<M: Message + Default>(
    bucket: &'static str,
    rows: &[(Bytes, Bytes)],
    name: impl Fn(&M) -> &Bytes,
) -> Result<BTreeMap<String, M>, AuthError> {
    let row = |(key, value): &(Bytes, Bytes)| {
        let message = M::decode(Bytes::copy_from_slice(value));
        let message = message.map_err(|error| corrupt(bucket, key, error.to_string()))?;
        if name(&message) != key {
            return Err(corrupt(bucket, key, "holds a record of another name".to_owned()));
        }
        let text = std::str::from_utf8(key).map_err(|error| corrupt(bucket, key, error.to_string()))?;
        Ok((text.to_owned(), message))
    };
    rows.iter().map(row).collect()
}

pub(crate) fn enabled_row(enabled: bool) -> Write {
    let value = Bytes::from_static(if enabled { ON } else { OFF });
    Write::put(bucket::AUTH, Bytes::from_static(bucket::auth::ENABLED), value)
}

pub(crate) fn revision_row(revision: u64) -> Write {
    let value = Bytes::copy_from_slice(&revision.to_be_bytes());
    Write::put(bucket::AUTH, Bytes::from_static(bucket::auth::REVISION), value)
}

pub(crate) fn user_row(user: &authpb::User) -> Write {
    Write::put(bucket::AUTH_USERS, user.name.clone(), user.encode_to_vec())
}

pub(crate) fn delete_user_row(name: &str) -> Write {
    Write::delete(bucket::AUTH_USERS, Bytes::copy_from_slice(name.as_bytes()))
}

pub(crate) fn role_row(role: &authpb::Role) -> Write {
    Write::put(bucket::AUTH_ROLES, role.name.clone(), role.encode_to_vec())
}

pub(crate) fn delete_role_row(name: &str) -> Write {
    Write::delete(bucket::AUTH_ROLES, Bytes::copy_from_slice(name.as_bytes()))
}

fn corrupt(bucket: &'static str, key: &[u8], reason: String) -> AuthError {
    AuthError::Corrupt { bucket, key: String::from_utf8_lossy(key).into_owned(), reason }
}
