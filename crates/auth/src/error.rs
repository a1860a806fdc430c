//! Why a request is refused, and what stops a member.

/// A reply, equal on every member. Variants carry the names of contract/errors.tsv; texts are those that
/// upstream uses inside (what clients see is decided where errors become statuses).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Enable without user root.
    #[error("auth: root user does not exist")]
    RootUserNotExist,
    /// Enable while user root lacks role root.
    #[error("auth: root user does not have root role")]
    RootRoleNotExist,
    /// Adding a user that is there.
    #[error("auth: user already exists")]
    UserAlreadyExist,
    /// Adding a user without a name; also a guarded request without credentials.
    #[error("auth: user name is empty")]
    UserEmpty,
    /// No such user.
    #[error("auth: user not found")]
    UserNotFound,
    /// Adding a role that is there.
    #[error("auth: role already exists")]
    RoleAlreadyExist,
    /// No such role.
    #[error("auth: role not found")]
    RoleNotFound,
    /// Adding a role without a name.
    #[error("auth: role name is empty")]
    RoleEmpty,
    /// Granting no permission at all.
    #[error("auth: permission not given")]
    PermissionNotGiven,
    /// Unknown user or wrong password: the two are not told apart.
    #[error("auth: authentication failed, invalid user ID or password")]
    AuthFailed,
    /// A password where none can be: the user logs in by certificate, or the hash of an entry is no base64.
    #[error("auth: authentication failed, password was given for no password user")]
    NoPasswordUser,
    /// Outside what the user was granted; not root; or the user is gone.
    #[error("auth: permission denied")]
    PermissionDenied,
    /// Revoking a role that the user lacks.
    #[error("auth: role is not granted to the user")]
    RoleNotGranted,
    /// Revoking a range that the role lacks.
    #[error("auth: permission is not granted to the role")]
    PermissionNotGranted,
    /// Logging in while auth is off.
    #[error("auth: authentication is not enabled")]
    AuthNotEnabled,
    /// The credentials were checked at an older auth revision.
    #[error("auth: revision in header is old")]
    OldRevision,
    /// Taking root away while auth is on; a range that no key can be in.
    #[error("auth: invalid auth management")]
    InvalidAuthMgmt,
    /// An entry of etcd 3.4 or older, with a password in clear text. Every member would hash it differently.
    #[error("auth: entry carries a clear-text password")]
    ClearTextPassword,
}

/// What stops a member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A row that etcd does not write.
    #[error("bucket {bucket}: row {key:?}: {reason}")]
    Corrupt {
        /// Which bucket.
        bucket: &'static str,
        /// Key of the row, as text.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}
