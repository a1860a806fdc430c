//! Entries about roles and their permissions.

use bytes::Bytes;
use proto::{authpb, etcdserverpb as pb};
use types::{KeyRange, Write};

use crate::{
    Applied, Auth, ROOT, Rejection,
    rows::{delete_role_row, role_row},
};

impl Auth {
    /// Adds a role without permissions.
    ///
    /// # Errors
    /// `RoleEmpty`, `RoleAlreadyExist`.
    pub fn add_role(&mut self, request: &pb::AuthRoleAddRequest) -> Result<Applied, Rejection> {
        if request.name.is_empty() {
            return Err(Rejection::RoleEmpty);
        }
        if self.roles.contains_key(&request.name) {
            return Err(Rejection::RoleAlreadyExist);
        }
        let name = Bytes::copy_from_slice(request.name.as_bytes());
        let role = authpb::Role { name, key_permission: Vec::new() };
        Ok(Applied::writes(self.put_role(&request.name, role)))
    }

    /// Deletes a role and takes it from all users.
    ///
    /// # Errors
    /// `InvalidAuthMgmt` for root while auth is on, `RoleNotFound`.
    pub fn delete_role(&mut self, request: &pb::AuthRoleDeleteRequest) -> Result<Applied, Rejection> {
        if self.enabled && request.role == ROOT {
            return Err(Rejection::InvalidAuthMgmt);
        }
        self.roles.remove(&request.role).ok_or(Rejection::RoleNotFound)?;
        let mut writes = vec![delete_role_row(&request.role)];
        writes.extend(self.strip_role(&request.role));
        writes.push(self.next_revision());
        Ok(Applied::writes(writes))
    }

    /// Grants a role a right to a range, or replaces the right that it has to exactly that range.
    ///
    /// Looks for that range only at the first permission with its key, as upstream does: a second range with
    /// the same start may so be there twice (contract/semantics.md 7.13).
    ///
    /// # Errors
    /// `PermissionNotGiven`, `InvalidAuthMgmt` for a range that no key can be in, `RoleNotFound`.
    pub fn grant_permission(
        &mut self,
        request: &pb::AuthRoleGrantPermissionRequest,
    ) -> Result<Applied, Rejection> {
        let granted = request.perm.as_ref().ok_or(Rejection::PermissionNotGiven)?;
        // Copies: the state must not hold on to the buffer that the entry was decoded from.
        let permission = authpb::Permission {
            perm_type: granted.perm_type,
            key: Bytes::copy_from_slice(&granted.key),
            range_end: Bytes::copy_from_slice(&granted.range_end),
        };
        let range = KeyRange::new(permission.key.clone(), permission.range_end.clone());
        if range.key.is_empty() || range.is_empty() {
            return Err(Rejection::InvalidAuthMgmt);
        }
        let mut role = self.role(&request.name)?.clone();
        let held = &mut role.key_permission;
        let first = held.partition_point(|other| other.key < permission.key);
        match held.get_mut(first) {
            Some(same) if same.key == permission.key && same.range_end == permission.range_end => {
                same.perm_type = permission.perm_type;
            }
            _ => {
                let place = held.partition_point(|other| other.key <= permission.key);
                held.insert(place, permission);
            }
        }
        Ok(Applied::writes(self.put_role(&request.name, role)))
    }

    /// Takes the permission for exactly this range from a role.
    ///
    /// # Errors
    /// `RoleNotFound`, `PermissionNotGranted`.
    pub fn revoke_permission(
        &mut self,
        request: &pb::AuthRoleRevokePermissionRequest,
    ) -> Result<Applied, Rejection> {
        let mut role = self.role(&request.role)?.clone();
        let before = role.key_permission.len();
        role.key_permission.retain(|held| held.key != request.key || held.range_end != request.range_end);
        if role.key_permission.len() == before {
            return Err(Rejection::PermissionNotGranted);
        }
        Ok(Applied::writes(self.put_role(&request.role, role)))
    }

    /// What a role permits, sorted by key; role root, if it exists, everything.
    ///
    /// # Errors
    /// `RoleNotFound`.
    pub fn permissions_of(&self, role: &str) -> Result<Vec<authpb::Permission>, Rejection> {
        let found = self.role(role)?;
        Ok(if role == ROOT { vec![everything()] } else { found.key_permission.clone() })
    }

    /// All roles, in byte order.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.keys().map(String::as_str)
    }

    fn role(&self, name: &str) -> Result<&authpb::Role, Rejection> {
        self.roles.get(name).ok_or(Rejection::RoleNotFound)
    }

    fn put_role(&mut self, name: &str, role: authpb::Role) -> Vec<Write> {
        let row = role_row(&role);
        self.roles.insert(name.to_owned(), role);
        self.refresh_holders(name);
        vec![row, self.next_revision()]
    }
}

/// What clients are told about role root; stored nowhere.
fn everything() -> authpb::Permission {
    authpb::Permission {
        perm_type: authpb::permission::Type::Readwrite.into(),
        key: Bytes::new(),
        range_end: Bytes::from_static(&[0]),
    }
}
