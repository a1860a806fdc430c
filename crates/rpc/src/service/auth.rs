//! The Auth service. Passwords are hashed and checked here, off the network thread, so that no clear text and no
//! slow hashing reaches the core (contract/semantics.md 7.2, 7.3).

use base64::{Engine, engine::general_purpose::STANDARD};
use proto::etcdserverpb::{AuthUserAddRequest, AuthUserChangePasswordRequest, AuthenticateRequest};

use crate::{
    call::Call,
    exchange::End,
    member::{AuthCall, AuthReply, Member},
    method::Method,
    status::Reason,
};

use super::unary;

/// Longer passwords are refused, as by Go's bcrypt; bytes.
const PASSWORD_BYTES_MAX: usize = 72;
/// How often a login starts over because the auth store changed meanwhile.
const LOGIN_ATTEMPTS_MAX: usize = 10;

pub(super) async fn dispatch<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    macro_rules! pass {
        ($variant:ident) => {
            unary(
                call,
                |_| Ok(()),
                async |m: &M, c, r| match m.auth(c, AuthCall::$variant(r)).await? {
                    AuthReply::$variant(reply) => Ok(reply),
                    other => Err(wrong_reply(&other)),
                },
            )
            .await
        };
    }
    match call.method {
        Method::Authenticate => authenticate(call).await,
        Method::UserAdd => user_add(call).await,
        Method::UserChangePassword => user_change_password(call).await,
        Method::AuthEnable => pass!(Enable),
        Method::AuthDisable => pass!(Disable),
        Method::AuthStatus => pass!(Status),
        Method::UserGet => pass!(UserGet),
        Method::UserList => pass!(UserList),
        Method::UserDelete => pass!(UserDelete),
        Method::UserGrantRole => pass!(UserGrantRole),
        Method::UserRevokeRole => pass!(UserRevokeRole),
        Method::RoleAdd => pass!(RoleAdd),
        Method::RoleGet => pass!(RoleGet),
        Method::RoleList => pass!(RoleList),
        Method::RoleDelete => pass!(RoleDelete),
        Method::RoleGrantPermission => pass!(RoleGrantPermission),
        Method::RoleRevokePermission => pass!(RoleRevokePermission),
        other => unreachable!("{other:?} is no method of the Auth service"),
    }
}

fn wrong_reply(reply: &AuthReply) -> Reason {
    Reason::Other(format!("the member answered with another reply: {reply:?}"))
}

async fn user_add<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    let cost = call.thread.common.bcrypt_cost;
    let run = async |m: &M, c, mut r: AuthUserAddRequest| {
        let password = std::mem::take(&mut r.password);
        if !r.options.as_ref().is_some_and(|options| options.no_password) {
            r.hashed_password = hash(password, cost).await?;
        }
        match m.auth(c, AuthCall::UserAdd(r)).await? {
            AuthReply::UserAdd(reply) => Ok(reply),
            other => Err(wrong_reply(&other)),
        }
    };
    unary(call, |_| Ok(()), run).await
}

async fn user_change_password<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    let cost = call.thread.common.bcrypt_cost;
    let run = async |m: &M, c, mut r: AuthUserChangePasswordRequest| {
        let password = std::mem::take(&mut r.password);
        if !password.is_empty() {
            r.hashed_password = hash(password, cost).await?;
        }
        match m.auth(c, AuthCall::UserChangePassword(r)).await? {
            AuthReply::UserChangePassword(reply) => Ok(reply),
            other => Err(wrong_reply(&other)),
        }
    };
    unary(call, |_| Ok(()), run).await
}

/// Checks the password against the member's own store, then has a token assigned everywhere; from the start
/// again when the auth store has changed in between.
async fn authenticate<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    let run = async |m: &M, _, r: AuthenticateRequest| {
        for _ in 0..LOGIN_ATTEMPTS_MAX {
            let credentials = m.credentials(r.name.clone()).await?;
            let hash = String::from_utf8(credentials.hash.to_vec()).map_err(|_| Reason::AuthFailed)?;
            if !verify(r.password.clone(), hash).await? {
                return Err(Reason::AuthFailed);
            }
            match m.issue_token(r.name.clone(), credentials.auth_revision).await {
                Err(Reason::AuthOldRevision) => {}
                issued => return issued,
            }
        }
        Err(Reason::AuthOldRevision)
    };
    unary(call, |_| Ok(()), run).await
}

/// The base64 of a bcrypt hash in the variant that etcd writes.
async fn hash(password: String, cost: u32) -> Result<String, Reason> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Reason::Other("bcrypt: password length exceeds 72 bytes".into()));
    }
    blocking(move || {
        let hashed = bcrypt::hash_with_result(password, cost).map_err(|e| Reason::Other(e.to_string()))?;
        Ok(STANDARD.encode(hashed.format_for_version(bcrypt::Version::TwoA)))
    })
    .await
}

/// Whether a password belongs to a hash. A hash that is none belongs to no password.
async fn verify(password: String, hash: String) -> Result<bool, Reason> {
    blocking(move || Ok(bcrypt::verify(password, &hash).unwrap_or(false))).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Reason> + Send + 'static,
) -> Result<T, Reason> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panicked) => Err(Reason::Other(panicked.to_string())),
    }
}
