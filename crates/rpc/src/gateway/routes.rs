//! Which path is which method (contract/grpc.tsv).

use http::StatusCode;

use crate::{
    method::Method,
    status::{Code, Status},
};

/// Paths of the gateway begin like this; those of before version 3.4 like the second.
const PREFIX: &str = "/v3/";
const PREFIX_BETA: &str = "/v3beta/";

const ROUTES: &[(&str, Method)] = &[
    ("kv/range", Method::Range),
    ("kv/put", Method::Put),
    ("kv/deleterange", Method::DeleteRange),
    ("kv/txn", Method::Txn),
    ("kv/compaction", Method::Compact),
    ("watch", Method::Watch),
    ("lease/grant", Method::LeaseGrant),
    ("lease/revoke", Method::LeaseRevoke),
    ("kv/lease/revoke", Method::LeaseRevoke),
    ("lease/keepalive", Method::LeaseKeepAlive),
    ("lease/timetolive", Method::LeaseTimeToLive),
    ("kv/lease/timetolive", Method::LeaseTimeToLive),
    ("lease/leases", Method::LeaseLeases),
    ("kv/lease/leases", Method::LeaseLeases),
    ("cluster/member/add", Method::MemberAdd),
    ("cluster/member/remove", Method::MemberRemove),
    ("cluster/member/update", Method::MemberUpdate),
    ("cluster/member/list", Method::MemberList),
    ("cluster/member/promote", Method::MemberPromote),
    ("maintenance/alarm", Method::Alarm),
    ("maintenance/status", Method::Status),
    ("maintenance/defragment", Method::Defragment),
    ("maintenance/hash", Method::Hash),
    ("maintenance/hashkv", Method::HashKv),
    ("maintenance/snapshot", Method::Snapshot),
    ("maintenance/transfer-leadership", Method::MoveLeader),
    ("maintenance/downgrade", Method::Downgrade),
    ("auth/enable", Method::AuthEnable),
    ("auth/disable", Method::AuthDisable),
    ("auth/status", Method::AuthStatus),
    ("auth/authenticate", Method::Authenticate),
    ("auth/user/add", Method::UserAdd),
    ("auth/user/get", Method::UserGet),
    ("auth/user/list", Method::UserList),
    ("auth/user/delete", Method::UserDelete),
    ("auth/user/changepw", Method::UserChangePassword),
    ("auth/user/grant", Method::UserGrantRole),
    ("auth/user/revoke", Method::UserRevokeRole),
    ("auth/role/add", Method::RoleAdd),
    ("auth/role/get", Method::RoleGet),
    ("auth/role/list", Method::RoleList),
    ("auth/role/delete", Method::RoleDelete),
    ("auth/role/grant", Method::RoleGrantPermission),
    ("auth/role/revoke", Method::RoleRevokePermission),
    ("lock/lock", Method::Lock),
    ("lock/unlock", Method::Unlock),
    ("election/campaign", Method::Campaign),
    ("election/proclaim", Method::Proclaim),
    ("election/leader", Method::Leader),
    ("election/observe", Method::Observe),
    ("election/resign", Method::Resign),
];

/// Whether the gateway answers requests for that path, if only to say that there is nothing.
pub(crate) fn is_ours(path: &str) -> bool {
    path.starts_with(PREFIX) || path.starts_with(PREFIX_BETA)
}

/// A path of a method, if it has one.
#[cfg(test)]
pub(crate) fn route_of(method: Method) -> Option<String> {
    let found = ROUTES.iter().find(|(_, routed)| *routed == method);
    found.map(|(route, _)| format!("{PREFIX}{route}"))
}

/// The method of a request.
///
/// # Errors
/// What to answer when there is none, with the code that HTTP has for it.
pub(super) fn method_of(verb: &http::Method, path: &str) -> Result<Method, (StatusCode, Status)> {
    let rest = path.strip_prefix(PREFIX).or_else(|| path.strip_prefix(PREFIX_BETA));
    let found = rest.and_then(|rest| ROUTES.iter().find(|(route, _)| *route == rest));
    match found {
        None => Err((StatusCode::NOT_FOUND, Status::new(Code::NotFound, "Not Found"))),
        Some((_, method)) if verb == http::Method::POST => Ok(*method),
        Some(_) => {
            let status = Status::new(Code::Unimplemented, "Method Not Allowed");
            Err((StatusCode::NOT_IMPLEMENTED, status))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_the_contract() {
        let contract = include_str!("../../../../contract/grpc.tsv");
        let mut rows = Vec::new();
        for line in contract.lines().skip(1) {
            let columns: Vec<&str> = line.split('\t').collect();
            for route in columns[5].split("; ").filter(|route| *route != "-") {
                rows.push((route.to_owned(), columns[0].to_owned(), columns[1].to_owned()));
            }
        }
        let ours = ROUTES.iter().map(|(route, method)| {
            (format!("POST {PREFIX}{route}"), method.service().to_owned(), method.name().to_owned())
        });
        let mut ours: Vec<_> = ours.collect();
        rows.sort();
        ours.sort();
        assert_eq!(ours, rows);
        for (route, method) in ROUTES {
            for prefix in [PREFIX, PREFIX_BETA] {
                let path = format!("{prefix}{route}");
                assert!(is_ours(&path));
                assert_eq!(method_of(&http::Method::POST, &path), Ok(*method));
                let (http, _) = method_of(&http::Method::GET, &path).unwrap_err();
                assert_eq!(http, StatusCode::NOT_IMPLEMENTED);
            }
            let path = format!("/{}/{}", method.service(), method.name());
            assert!(proto::json::method(&path).is_some(), "{path}");
        }
    }

    #[test]
    fn other_paths_are_not_there() {
        for path in ["/v3/", "/v3/kv", "/v3/kv/range/", "/v3/kv/Range", "/v3/kv/rangestream"] {
            let (http, status) = method_of(&http::Method::POST, path).unwrap_err();
            assert_eq!((http, status.code), (StatusCode::NOT_FOUND, Code::NotFound), "{path}");
        }
        assert!(!is_ours("/v3") && !is_ours("/v3alpha/kv/range") && !is_ours("/version"));
    }
}
