//! The Auth service. Passwords are hashed and checked here, off the network thread, so that no clear text and no
//! slow hashing reaches the core (contract/semantics.md 7.2, 7.3).

use std::{sync::Arc, time::SystemTime};

use proto::etcdserverpb::{
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthenticateRequest, AuthenticateResponse,
};

use crate::{
    call::Call,
    config::{Common, Notice},
    exchange::End,
    member::{AuthCall, AuthReply, Authenticated, Login, Member},
    method::Method,
    status::Reason,
    tokens::Tokens,
};

use super::unary;

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
    let common = Arc::clone(&call.thread.common);
    let run = async |m: &M, c, mut r: AuthUserAddRequest| {
        let password = std::mem::take(&mut r.password);
        if !r.options.as_ref().is_some_and(|options| options.no_password) {
            r.hashed_password = common.passwords.hash(password).await?;
        }
        match m.auth(c, AuthCall::UserAdd(r)).await? {
            AuthReply::UserAdd(reply) => Ok(reply),
            other => Err(wrong_reply(&other)),
        }
    };
    unary(call, |_| Ok(()), run).await
}

async fn user_change_password<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    let common = Arc::clone(&call.thread.common);
    let run = async |m: &M, c, mut r: AuthUserChangePasswordRequest| {
        let password = std::mem::take(&mut r.password);
        if !password.is_empty() {
            r.hashed_password = common.passwords.hash(password).await?;
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
    let common = Arc::clone(&call.thread.common);
    let run = async |m: &M, _, r: AuthenticateRequest| {
        let login = log_in(m, &common, &r).await;
        match &login {
            Ok(_) | Err(Reason::AuthNotEnabled) => {}
            Err(reason) => {
                let (user, error) = (r.name.clone(), reason.to_string());
                (common.notify)(Notice::LoginFailed { user, error });
            }
        }
        login
    };
    unary(call, |_| Ok(()), run).await
}

async fn log_in<M: Member>(
    member: &M,
    common: &Arc<Common>,
    request: &AuthenticateRequest,
) -> Result<AuthenticateResponse, Reason> {
    for _ in 0..LOGIN_ATTEMPTS_MAX {
        let credentials = member.credentials(request.name.clone()).await?;
        if !common.passwords.verify(request.password.clone(), credentials.hash).await? {
            return Err(Reason::AuthFailed);
        }
        let login = Login { user: request.name.clone(), token_prefix: common.tokens.prefix()? };
        let Authenticated { header, token, auth_revision } = member.authenticate(login).await?;
        let token = match token {
            Some(token) => token,
            None => sign(common, request.name.clone(), auth_revision).await?,
        };
        if auth_revision == credentials.auth_revision {
            return Ok(AuthenticateResponse { header: Some(header), token });
        }
    }
    Err(Reason::AuthOldRevision)
}

/// A token of the kinds that nobody has to remember.
async fn sign(common: &Arc<Common>, user: String, revision: u64) -> Result<String, Reason> {
    let Tokens::Signed(signer) = &*common.tokens else { return Err(Reason::AuthFailed) };
    if !signer.signs() {
        return Err(Reason::VerifyOnlyKey);
    }
    let now = SystemTime::now();
    let signed = if signer.signs_slowly() {
        let tokens = Arc::clone(&common.tokens);
        let work = move || match &*tokens {
            Tokens::Signed(signer) => signer.sign(&user, revision, now),
            Tokens::Simple | Tokens::None => None,
        };
        common.passwords.run(work).await?
    } else {
        signer.sign(&user, revision, now)
    };
    signed.ok_or_else(|| Reason::Other("a token cannot be signed".into()))
}
