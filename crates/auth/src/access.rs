//! Who asks, what is asked for, and the answer.

use proto::etcdserverpb::RequestHeader;
use types::{KeyRange, LeaseId};

use crate::{Auth, Guarded, RangeSet, Rejection};

/// Who stands behind a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// User name; empty without credentials.
    pub user: String,
    /// The auth revision at which the credentials were checked; 0 without credentials.
    pub revision: u64,
}

impl From<&RequestHeader> for Subject {
    fn from(header: &RequestHeader) -> Subject {
        Subject { user: header.username.clone(), revision: header.auth_revision }
    }
}

/// What can be done to keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Seeing keys and values.
    Read,
    /// Putting and deleting.
    Write,
}

/// Something that a request needs. All of a request's needs must be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Any credentials.
    Authenticated,
    /// Role root. The auth revision is not looked at.
    Admin,
    /// Role root, or being this user.
    AdminOrSelf(String),
    /// Role root, or holding this role.
    AdminOrHolder(String),
    /// A right to every key of a range.
    Keys(Right, KeyRange),
    /// A right to every key attached to leases. Role root is exempt, whatever its auth revision.
    LeaseKeys(Right, WhichLeases),
}

/// The leases whose keys are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichLeases {
    /// One, which may not exist.
    One(LeaseId),
    /// All there are.
    All,
}

/// Shows the keys attached to leases, one after the other, until the visitor refuses one.
pub type LeaseKeys<'a> =
    dyn Fn(WhichLeases, &mut dyn FnMut(&[u8]) -> Result<(), Rejection>) -> Result<(), Rejection> + 'a;

/// A request that was judged and may be executed. Only [`Auth::authorize`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorized<T>(T);

impl<T> Authorized<T> {
    /// The request.
    pub fn request(&self) -> &T {
        &self.0
    }

    /// The request.
    pub fn into_request(self) -> T {
        self.0
    }
}

impl Auth {
    /// Judges a request against the state as it is now; while auth is off everything passes.
    ///
    /// # Errors
    /// The first need that is not met.
    pub fn authorize<T: Guarded>(
        &self,
        subject: &Subject,
        request: T,
        lease_keys: &LeaseKeys<'_>,
    ) -> Result<Authorized<T>, Rejection> {
        if self.is_enabled() {
            for access in request.accesses() {
                self.check(subject, &access, lease_keys)?;
            }
        }
        Ok(Authorized(request))
    }

    /// Judges one need.
    ///
    /// # Errors
    /// `UserEmpty` without credentials, `OldRevision`, `PermissionDenied`; for admin needs `UserNotFound` when
    /// the user is gone.
    pub fn check(
        &self,
        subject: &Subject,
        access: &Access,
        lease_keys: &LeaseKeys<'_>,
    ) -> Result<(), Rejection> {
        if !self.is_enabled() {
            return Ok(());
        }
        match access {
            Access::Authenticated if subject.revision == 0 => Err(Rejection::UserEmpty),
            Access::Authenticated => Ok(()),
            Access::Admin => self.check_admin(subject),
            Access::AdminOrSelf(user) if *user == subject.user => Ok(()),
            Access::AdminOrHolder(role) if self.holds(&subject.user, role) => Ok(()),
            Access::AdminOrSelf(_) | Access::AdminOrHolder(_) => self.check_admin(subject),
            Access::Keys(right, range) => self.check_keys(subject, *right, |granted| granted.covers(range)),
            Access::LeaseKeys(..) if self.check_admin(subject).is_ok() => Ok(()),
            Access::LeaseKeys(right, which) => lease_keys(*which, &mut |key| {
                self.check_keys(subject, *right, |granted| granted.contains(key))
            }),
        }
    }

    fn check_admin(&self, subject: &Subject) -> Result<(), Rejection> {
        if subject.user.is_empty() {
            return Err(Rejection::UserEmpty);
        }
        if !self.has_user(&subject.user) {
            return Err(Rejection::UserNotFound);
        }
        if self.is_root(&subject.user) { Ok(()) } else { Err(Rejection::PermissionDenied) }
    }

    fn check_keys(
        &self,
        subject: &Subject,
        right: Right,
        covered: impl FnOnce(&RangeSet) -> bool,
    ) -> Result<(), Rejection> {
        if subject.revision == 0 {
            return Err(Rejection::UserEmpty);
        }
        if subject.revision < self.revision() {
            return Err(Rejection::OldRevision);
        }
        if self.is_root(&subject.user) || covered(self.grants(&subject.user, right)) {
            return Ok(());
        }
        Err(Rejection::PermissionDenied)
    }
}

#[cfg(test)]
mod tests;
