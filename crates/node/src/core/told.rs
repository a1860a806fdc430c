//! Log lines about what was applied, in etcd's words: operators and their tools search for them.

use proto::etcdserverpb::{AlarmRequest, InternalRaftRequest, alarm_request::AlarmAction};
use telemetry::line;
use types::{MemberId, raft::Entry};

use super::Core;

/// An entry took effect.
pub(super) fn tell(operation: &str, entry: &Entry) {
    // Few entries are worth a line, and only those are decoded once more.
    if operation != "Alarm" && !operation.starts_with("Auth") {
        return;
    }
    if let Ok(request) = proto::decode::<InternalRaftRequest>(entry.data.clone()) {
        match &request.alarm {
            Some(alarm) => tell_alarm(alarm),
            None => tell_auth(&request),
        }
    }
}

fn tell_alarm(request: &AlarmRequest) {
    let (alarm, from) = (request.alarm().as_str_name(), MemberId(request.member_id).to_string());
    match request.action() {
        AlarmAction::Get => {}
        AlarmAction::Activate => line!(Warn, "alarm raised", "alarm" => alarm, "from" => from),
        AlarmAction::Deactivate => line!(Warn, "alarm disarmed", "alarm" => alarm, "from" => from),
    }
}

/// Names only: what a role may do is told, passwords are not.
fn tell_auth(request: &InternalRaftRequest) {
    if request.auth_enable.is_some() {
        line!(Info, "enabled authentication");
    } else if request.auth_disable.is_some() {
        line!(Info, "disabled authentication");
    } else if let Some(user) = &request.auth_user_add {
        line!(Info, "added a user", "user-name" => user.name.as_str());
    } else if let Some(user) = &request.auth_user_delete {
        line!(Info, "deleted a user", "user-name" => user.name.as_str());
    } else if let Some(user) = &request.auth_user_change_password {
        line!(Info, "changed a password of a user", "user-name" => user.name.as_str());
    } else if let Some(grant) = &request.auth_user_grant_role {
        line!(Info, "granted a role to a user",
            "user-name" => grant.user.as_str(), "added-role-name" => grant.role.as_str());
    } else if let Some(revoke) = &request.auth_user_revoke_role {
        line!(Info, "revoked a role from a user",
            "user-name" => revoke.name.as_str(), "revoked-role-name" => revoke.role.as_str());
    } else if let Some(role) = &request.auth_role_add {
        line!(Info, "created a role", "role-name" => role.name.as_str());
    } else if let Some(role) = &request.auth_role_delete {
        line!(Info, "deleted a role", "role-name" => role.role.as_str());
    } else if let Some(grant) = &request.auth_role_grant_permission {
        let permission = grant.perm.clone().unwrap_or_default();
        line!(Info, "granted/updated a permission to a user",
            "user-name" => grant.name.as_str(),
            "permission-name" => permission.perm_type().as_str_name(),
            "key" => String::from_utf8_lossy(&permission.key),
            "range-end" => String::from_utf8_lossy(&permission.range_end));
    } else if let Some(revoke) = &request.auth_role_revoke_permission {
        line!(Info, "revoked a permission on range",
            "role-name" => revoke.role.as_str(),
            "key" => String::from_utf8_lossy(&revoke.key),
            "range-end" => String::from_utf8_lossy(&revoke.range_end));
    }
}

impl Core {
    /// The version of the cluster was set, from `before`, by an entry.
    pub(super) fn tell_cluster_version(&self, before: Option<&str>, version: &str) {
        let (cluster, member) = (self.cluster_id.to_string(), self.member_id.to_string());
        match before {
            None => line!(Info, "set initial cluster version",
                "cluster-id" => cluster, "local-member-id" => member, "cluster-version" => version),
            Some(before) => line!(Info, "updated cluster version",
                "cluster-id" => cluster, "local-member-id" => member, "from" => before, "to" => version),
        }
        line!(Info, "enabled capabilities for version", "cluster-version" => version);
    }
}
