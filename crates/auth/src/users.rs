//! Entries about users. Each moves the auth revision when it changes something (contract/semantics.md 7.1).

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use proto::{authpb, etcdserverpb as pb};
use types::Write;

use crate::{
    Applied, Auth, ROOT, Rejection, Tokens,
    rows::{delete_user_row, user_row},
    state::has_no_password,
};

/// Go's standard encoding: padded, but forgiving about unused bits of the last character.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

impl Auth {
    /// Adds a user.
    ///
    /// # Errors
    /// `UserEmpty`, `UserAlreadyExist`, or a hashed password that is no base64.
    pub fn add_user(&mut self, request: &pb::AuthUserAddRequest) -> Result<Applied, Rejection> {
        if request.name.is_empty() {
            return Err(Rejection::UserEmpty);
        }
        if self.has_user(&request.name) {
            return Err(Rejection::UserAlreadyExist);
        }
        let mut user = authpb::User {
            name: Bytes::copy_from_slice(request.name.as_bytes()),
            options: Some(request.options.unwrap_or_default()),
            ..authpb::User::default()
        };
        if !has_no_password(&user) {
            user.password = hash_of(&request.password, &request.hashed_password)?;
        }
        Ok(Applied::writes(self.put_user(&request.name, user)))
    }

    /// Deletes a user.
    ///
    /// # Errors
    /// `InvalidAuthMgmt` for root while auth is on, `UserNotFound`.
    pub fn delete_user(&mut self, request: &pb::AuthUserDeleteRequest) -> Result<Applied, Rejection> {
        if self.enabled && request.name == ROOT {
            return Err(Rejection::InvalidAuthMgmt);
        }
        self.users.remove(&request.name).ok_or(Rejection::UserNotFound)?;
        self.refresh_user(&request.name);
        let writes = vec![delete_user_row(&request.name), self.next_revision()];
        Ok(Applied { writes, tokens: Tokens::DropUser(request.name.clone()) })
    }

    /// Replaces a user's password; one without password keeps having none.
    ///
    /// # Errors
    /// `UserNotFound`, or a hashed password that is no base64.
    pub fn change_password(
        &mut self,
        request: &pb::AuthUserChangePasswordRequest,
    ) -> Result<Applied, Rejection> {
        let mut user = self.user(&request.name)?.clone();
        user.password = if has_no_password(&user) {
            Bytes::new()
        } else {
            hash_of(&request.password, &request.hashed_password)?
        };
        let writes = self.put_user(&request.name, user);
        Ok(Applied { writes, tokens: Tokens::DropUser(request.name.clone()) })
    }

    /// Gives a user a role; nothing happens when it holds it already. Role root need not exist.
    ///
    /// # Errors
    /// `UserNotFound`, `RoleNotFound`.
    pub fn grant_role(&mut self, request: &pb::AuthUserGrantRoleRequest) -> Result<Applied, Rejection> {
        let mut user = self.user(&request.user)?.clone();
        if request.role != ROOT && !self.roles.contains_key(&request.role) {
            return Err(Rejection::RoleNotFound);
        }
        match user.roles.binary_search(&request.role) {
            Ok(_) => Ok(Applied::default()),
            Err(place) => {
                user.roles.insert(place, request.role.clone());
                Ok(Applied::writes(self.put_user(&request.user, user)))
            }
        }
    }

    /// Takes a role from a user.
    ///
    /// # Errors
    /// `InvalidAuthMgmt` for root of root while auth is on, `UserNotFound`, `RoleNotGranted`.
    pub fn revoke_role(&mut self, request: &pb::AuthUserRevokeRoleRequest) -> Result<Applied, Rejection> {
        if self.enabled && request.name == ROOT && request.role == ROOT {
            return Err(Rejection::InvalidAuthMgmt);
        }
        let mut user = self.user(&request.name)?.clone();
        if !self.holds(&request.name, &request.role) {
            return Err(Rejection::RoleNotGranted);
        }
        user.roles.retain(|role| *role != request.role);
        Ok(Applied::writes(self.put_user(&request.name, user)))
    }

    /// The roles that a user holds, sorted.
    ///
    /// # Errors
    /// `UserNotFound`.
    pub fn roles_of(&self, user: &str) -> Result<&[String], Rejection> {
        self.user(user).map(|user| user.roles.as_slice())
    }

    /// All users, in byte order.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(String::as_str)
    }

    fn user(&self, name: &str) -> Result<&authpb::User, Rejection> {
        self.users.get(name).ok_or(Rejection::UserNotFound)
    }

    fn put_user(&mut self, name: &str, user: authpb::User) -> Vec<Write> {
        let row = user_row(&user);
        self.users.insert(name.to_owned(), user);
        self.refresh_user(name);
        vec![row, self.next_revision()]
    }

    /// Takes a role that is no more from all who hold it, and returns their rows.
    pub(crate) fn strip_role(&mut self, role: &str) -> Vec<Write> {
        let holders: Vec<String> = self.users.keys().filter(|user| self.holds(user, role)).cloned().collect();
        let mut rows = Vec::with_capacity(holders.len());
        for name in holders {
            if let Some(user) = self.users.get_mut(&name) {
                user.roles.retain(|held| held != role);
                rows.push(user_row(user));
            }
            self.refresh_user(&name);
        }
        rows
    }
}

/// The bcrypt hash of an entry: base64 in its text, raw bytes here. Line ends inside are passed over, as Go
/// does.
fn hash_of(password: &str, hashed: &str) -> Result<Bytes, Rejection> {
    if hashed.is_empty() && !password.is_empty() {
        return Err(Rejection::ClearTextPassword);
    }
    let text: Vec<u8> = hashed.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    BASE64.decode(text).map(Bytes::from).map_err(|_| Rejection::NoPasswordUser)
}
