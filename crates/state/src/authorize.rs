//! Permissions at apply, and the entries of the Auth service.

use auth::{Guarded, LeaseKeys, Rejection as AuthRejection, Subject, WhichLeases};
use proto::etcdserverpb as pb;

use crate::{AuthReply, Effect, Failure, Rejection, Reply, State, apply::Done};

impl State {
    /// Judges a request of `subject` against permissions as they are now.
    ///
    /// # Errors
    /// The first thing that is not granted.
    pub fn authorize<T: Guarded>(
        &self,
        subject: &Subject,
        request: T,
    ) -> Result<auth::Authorized<T>, AuthRejection> {
        let lease_keys =
            |which: WhichLeases, visit: &mut dyn FnMut(&[u8]) -> Result<(), AuthRejection>| match which {
                WhichLeases::One(id) => self.leases.keys(id).try_for_each(|key| visit(key)),
                WhichLeases::All => self
                    .leases
                    .iter()
                    .flat_map(|lease| self.leases.keys(lease.id))
                    .try_for_each(|key| visit(key)),
            };
        let lease_keys: &LeaseKeys<'_> = &lease_keys;
        self.auth.authorize(subject, request, lease_keys)
    }

    /// Judges an entry by the user and auth revision stamped on it.
    pub(crate) fn authorize_entry(&self, request: &pb::InternalRaftRequest) -> Result<(), Rejection> {
        if !self.auth.is_enabled() {
            return Ok(());
        }
        let subject = request.header.as_ref().map(Subject::from).unwrap_or_default();
        self.authorize(&subject, request).map(drop).map_err(Rejection::Auth)
    }

    /// Carries out an entry of the Auth service.
    pub(crate) fn execute_auth(&mut self, request: pb::InternalRaftRequest) -> Done {
        let auth = &mut self.auth;
        let (reply, applied) = if request.auth_enable.is_some() {
            (AuthReply::Enable(Default::default()), auth.enable()?)
        } else if request.auth_disable.is_some() {
            (AuthReply::Disable(Default::default()), auth.disable())
        } else if let Some(request) = &request.auth_user_add {
            (AuthReply::UserAdd(Default::default()), auth.add_user(request)?)
        } else if let Some(request) = &request.auth_user_delete {
            (AuthReply::UserDelete(Default::default()), auth.delete_user(request)?)
        } else if let Some(request) = &request.auth_user_change_password {
            (AuthReply::UserChangePassword(Default::default()), auth.change_password(request)?)
        } else if let Some(request) = &request.auth_user_grant_role {
            (AuthReply::UserGrantRole(Default::default()), auth.grant_role(request)?)
        } else if let Some(request) = &request.auth_user_revoke_role {
            (AuthReply::UserRevokeRole(Default::default()), auth.revoke_role(request)?)
        } else if let Some(request) = &request.auth_role_add {
            (AuthReply::RoleAdd(Default::default()), auth.add_role(request)?)
        } else if let Some(request) = &request.auth_role_delete {
            (AuthReply::RoleDelete(Default::default()), auth.delete_role(request)?)
        } else if let Some(request) = &request.auth_role_grant_permission {
            (AuthReply::RoleGrantPermission(Default::default()), auth.grant_permission(request)?)
        } else if let Some(request) = &request.auth_role_revoke_permission {
            (AuthReply::RoleRevokePermission(Default::default()), auth.revoke_permission(request)?)
        } else {
            return self.ask_auth(&request);
        };
        self.writes.extend(applied.writes);
        let effect = Some(Effect::Tokens(applied.tokens));
        Ok((Reply::Auth(reply), Vec::new(), effect))
    }

    /// Answers an entry of the Auth service that changes nothing.
    fn ask_auth(&self, request: &pb::InternalRaftRequest) -> Done {
        let auth = &self.auth;
        let names = |names: &mut dyn Iterator<Item = &str>| names.map(str::to_string).collect::<Vec<_>>();
        let reply = if request.auth_status.is_some() {
            let (enabled, auth_revision) = (auth.is_enabled(), auth.revision());
            AuthReply::Status(pb::AuthStatusResponse { header: None, enabled, auth_revision })
        } else if let Some(request) = &request.auth_user_get {
            let roles = auth.roles_of(&request.name)?.to_vec();
            AuthReply::UserGet(pb::AuthUserGetResponse { header: None, roles })
        } else if let Some(request) = &request.auth_role_get {
            let perm = auth.permissions_of(&request.role)?;
            AuthReply::RoleGet(pb::AuthRoleGetResponse { header: None, perm })
        } else if request.auth_user_list.is_some() {
            AuthReply::UserList(pb::AuthUserListResponse { header: None, users: names(&mut auth.users()) })
        } else if request.auth_role_list.is_some() {
            AuthReply::RoleList(pb::AuthRoleListResponse { header: None, roles: names(&mut auth.roles()) })
        } else if let Some(request) = &request.authenticate {
            auth.authenticate(&request.name)?;
            let (user, simple_token) = (request.name.clone(), request.simple_token.clone());
            return Ok((Reply::Authenticated { user, simple_token }, Vec::new(), None));
        } else {
            return Err(Failure::Fatal("it holds no request that etcd 3.7 knows".into()));
        };
        Ok((Reply::Auth(reply), Vec::new(), None))
    }
}

impl From<AuthRejection> for Failure {
    fn from(rejection: AuthRejection) -> Self {
        Rejection::Auth(rejection).into()
    }
}
