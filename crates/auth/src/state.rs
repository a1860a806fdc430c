//! The state, switching auth on and off, and questions about users.

use std::collections::BTreeMap;

use proto::authpb;
use types::{
    Write,
    mutant::{self, Mutant},
};

use crate::{
    Applied, AuthError, ROOT, RangeSet, Rejection, Right, Rows, Tokens,
    rows::{enabled_row, revision_row},
};

/// Revision of a store that nothing was done to yet.
const FIRST_REVISION: u64 = 1;

/// Users, roles, and whether they count.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    pub(crate) enabled: bool,
    /// Grows by one with every change of users, roles or permissions, and when auth is switched off. Never 0.
    pub(crate) revision: u64,
    /// By name, as stored. Invariant: role names are sorted.
    pub(crate) users: BTreeMap<String, authpb::User>,
    /// By name, as stored. Invariant: permissions are sorted by key.
    pub(crate) roles: BTreeMap<String, authpb::Role>,
    /// What each user was granted by the roles it holds. Derived: every method that changes a user's roles or
    /// a role's permissions calls [`Auth::refresh_user`] or [`Auth::refresh_holders`].
    grants: BTreeMap<String, Grants>,
}

/// What one user may do to keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Grants {
    read: RangeSet,
    write: RangeSet,
}

/// Nobody was granted anything.
static NOTHING: RangeSet = RangeSet::EMPTY;

/// What a password is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential<'a> {
    /// The bcrypt hash.
    pub hash: &'a [u8],
    /// The auth revision now: when it has moved after the slow comparison, the comparison starts over.
    pub revision: u64,
}

impl Default for Auth {
    /// Off, with nobody in it.
    fn default() -> Auth {
        Auth {
            enabled: false,
            revision: FIRST_REVISION,
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            grants: BTreeMap::new(),
        }
    }
}

impl Auth {
    /// The state of a backend's rows, and what must be written to it: the first revision, in a new file.
    ///
    /// # Errors
    /// `Corrupt` for a row that etcd does not write.
    pub fn restore(rows: &Rows) -> Result<(Auth, Vec<Write>), AuthError> {
        let stored = rows.parse_revision()?;
        let mut auth = Auth {
            enabled: rows.parse_enabled(),
            revision: if mutant::is_on(Mutant::AuthRevisionLost) {
                FIRST_REVISION
            } else {
                stored.max(FIRST_REVISION)
            },
            users: rows.parse_users()?,
            roles: rows.parse_roles()?,
            grants: BTreeMap::new(),
        };
        let names: Vec<String> = auth.users.keys().cloned().collect();
        if !mutant::is_on(Mutant::GrantsForgotten) {
            names.iter().for_each(|name| auth.refresh_user(name));
        }
        let writes = if stored == 0 { vec![revision_row(auth.revision)] } else { Vec::new() };
        Ok((auth, writes))
    }

    /// Switches auth on; the revision stays. Nothing happens when it is on.
    ///
    /// # Errors
    /// `RootUserNotExist`, or `RootRoleNotExist` when user root lacks role root.
    pub fn enable(&mut self) -> Result<Applied, Rejection> {
        if self.enabled {
            return Ok(Applied::default());
        }
        if !self.has_user(ROOT) {
            return Err(Rejection::RootUserNotExist);
        }
        if !self.is_root(ROOT) {
            return Err(Rejection::RootRoleNotExist);
        }
        self.enabled = true;
        Ok(Applied::writes(vec![enabled_row(true)]))
    }

    /// Switches auth off. Nothing happens when it is off.
    pub fn disable(&mut self) -> Applied {
        if !self.enabled {
            return Applied::default();
        }
        self.enabled = false;
        let writes = vec![enabled_row(false), self.next_revision()];
        Applied { writes, tokens: Tokens::DropAll }
    }

    /// Whether a token may be made out to `user`, whose password was checked before; returns the auth revision
    /// that belongs into it.
    ///
    /// # Errors
    /// `AuthNotEnabled`, or `AuthFailed` for a user that is gone or has no password.
    pub fn authenticate(&self, user: &str) -> Result<u64, Rejection> {
        match self.credential(user) {
            Ok(credential) => Ok(credential.revision),
            Err(Rejection::NoPasswordUser) => Err(Rejection::AuthFailed),
            Err(rejection) => Err(rejection),
        }
    }

    /// What the password of `user` is compared with.
    ///
    /// # Errors
    /// `AuthNotEnabled`, `AuthFailed` for an unknown user, `NoPasswordUser`.
    pub fn credential(&self, user: &str) -> Result<Credential<'_>, Rejection> {
        if !self.enabled {
            return Err(Rejection::AuthNotEnabled);
        }
        let user = self.users.get(user).ok_or(Rejection::AuthFailed)?;
        if has_no_password(user) {
            return Err(Rejection::NoPasswordUser);
        }
        Ok(Credential { hash: &user.password, revision: self.revision })
    }

    /// Whether auth is on.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The auth revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether there is such a user.
    pub fn has_user(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    /// Whether `user` holds `role`.
    pub fn holds(&self, user: &str, role: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.roles.iter().any(|held| held == role))
    }

    /// Whether `user` may do everything.
    pub fn is_root(&self, user: &str) -> bool {
        self.holds(user, ROOT)
    }

    /// The keys that `user`'s roles give it a right to; role root is not among them.
    pub fn grants(&self, user: &str, right: Right) -> &RangeSet {
        match (self.grants.get(user), right) {
            (Some(grants), Right::Read) => &grants.read,
            (Some(grants), Right::Write) => &grants.write,
            (None, _) => &NOTHING,
        }
    }

    /// Moves to the next revision and returns its row.
    pub(crate) fn next_revision(&mut self) -> Write {
        // It cannot get there by counting; a damaged row must not stop us either.
        self.revision = self.revision.wrapping_add(1).max(FIRST_REVISION);
        revision_row(self.revision)
    }

    /// Brings a user's grants up to date, after a change of its roles.
    pub(crate) fn refresh_user(&mut self, name: &str) {
        let grants = self.users.get(name).map(|user| Grants {
            read: self.union_of(&user.roles, Right::Read),
            write: self.union_of(&user.roles, Right::Write),
        });
        match grants {
            Some(grants) => self.grants.insert(name.to_owned(), grants),
            None => self.grants.remove(name),
        };
    }

    /// Brings the grants of all who hold `role` up to date, after a change of its permissions.
    pub(crate) fn refresh_holders(&mut self, role: &str) {
        let holders: Vec<String> = self.users.keys().filter(|user| self.holds(user, role)).cloned().collect();
        holders.iter().for_each(|user| self.refresh_user(user));
    }

    fn union_of(&self, roles: &[String], right: Right) -> RangeSet {
        let held = roles.iter().filter_map(|role| self.roles.get(role));
        let permissions = held.flat_map(|role| &role.key_permission);
        let granting = permissions.filter(|permission| gives(permission.perm_type, right));
        RangeSet::union(
            granting
                .map(|permission| types::KeyRange::new(permission.key.clone(), permission.range_end.clone())),
        )
    }
}

/// Whether a permission of that type number gives the right; an unknown number gives none.
fn gives(perm_type: i32, right: Right) -> bool {
    use authpb::permission::Type;
    matches!(
        (Type::try_from(perm_type), right),
        (Ok(Type::Readwrite), _) | (Ok(Type::Read), Right::Read) | (Ok(Type::Write), Right::Write)
    )
}

/// Whether the user can only use a certificate.
pub(crate) fn has_no_password(user: &authpb::User) -> bool {
    user.options.as_ref().is_some_and(|options| options.no_password)
}

#[cfg(test)]
pub(crate) mod tests;
