//! Every method that is served, and where its permission is checked.

/// Where a method's permission is checked. A method that is not in [`METHODS`] is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Nowhere: anybody may.
    Open,
    /// Before anything is done, by [`crate::Auth::authorize`] on the request.
    First,
    /// When the request is executed: for a read on this member, for a write when its entry is applied; by
    /// [`crate::Auth::authorize`] on the request or on the entry.
    Executed,
    /// Both: credentials before, keys when the entry is applied.
    FirstAndExecuted,
    /// By the calls it makes in the name of the client.
    Inner,
}

/// All methods, as `service/method` (contract/grpc.tsv).
pub const METHODS: [(&str, Door); 52] = [
    ("etcdserverpb.KV/Range", Door::Executed),
    ("etcdserverpb.KV/RangeStream", Door::Executed),
    ("etcdserverpb.KV/Put", Door::Executed),
    ("etcdserverpb.KV/DeleteRange", Door::Executed),
    ("etcdserverpb.KV/Txn", Door::Executed),
    ("etcdserverpb.KV/Compact", Door::First),
    ("etcdserverpb.Watch/Watch", Door::Executed),
    ("etcdserverpb.Lease/LeaseGrant", Door::First),
    ("etcdserverpb.Lease/LeaseRevoke", Door::FirstAndExecuted),
    ("etcdserverpb.Lease/LeaseKeepAlive", Door::First),
    ("etcdserverpb.Lease/LeaseTimeToLive", Door::First),
    ("etcdserverpb.Lease/LeaseLeases", Door::First),
    ("etcdserverpb.Cluster/MemberAdd", Door::First),
    ("etcdserverpb.Cluster/MemberRemove", Door::First),
    ("etcdserverpb.Cluster/MemberUpdate", Door::First),
    ("etcdserverpb.Cluster/MemberList", Door::First),
    ("etcdserverpb.Cluster/MemberPromote", Door::First),
    ("etcdserverpb.Maintenance/Alarm", Door::First),
    ("etcdserverpb.Maintenance/Status", Door::First),
    ("etcdserverpb.Maintenance/Defragment", Door::First),
    ("etcdserverpb.Maintenance/Hash", Door::First),
    ("etcdserverpb.Maintenance/HashKV", Door::First),
    ("etcdserverpb.Maintenance/Snapshot", Door::First),
    ("etcdserverpb.Maintenance/MoveLeader", Door::First),
    ("etcdserverpb.Maintenance/Downgrade", Door::First),
    ("etcdserverpb.Auth/AuthEnable", Door::Executed),
    ("etcdserverpb.Auth/AuthDisable", Door::Executed),
    ("etcdserverpb.Auth/AuthStatus", Door::Open),
    ("etcdserverpb.Auth/Authenticate", Door::Open),
    ("etcdserverpb.Auth/UserAdd", Door::Executed),
    ("etcdserverpb.Auth/UserGet", Door::Executed),
    ("etcdserverpb.Auth/UserList", Door::Executed),
    ("etcdserverpb.Auth/UserDelete", Door::Executed),
    ("etcdserverpb.Auth/UserChangePassword", Door::Executed),
    ("etcdserverpb.Auth/UserGrantRole", Door::Executed),
    ("etcdserverpb.Auth/UserRevokeRole", Door::Executed),
    ("etcdserverpb.Auth/RoleAdd", Door::Executed),
    ("etcdserverpb.Auth/RoleGet", Door::Executed),
    ("etcdserverpb.Auth/RoleList", Door::Executed),
    ("etcdserverpb.Auth/RoleDelete", Door::Executed),
    ("etcdserverpb.Auth/RoleGrantPermission", Door::Executed),
    ("etcdserverpb.Auth/RoleRevokePermission", Door::Executed),
    ("v3lockpb.Lock/Lock", Door::Inner),
    ("v3lockpb.Lock/Unlock", Door::Inner),
    ("v3electionpb.Election/Campaign", Door::Inner),
    ("v3electionpb.Election/Proclaim", Door::Inner),
    ("v3electionpb.Election/Leader", Door::Inner),
    ("v3electionpb.Election/Observe", Door::Inner),
    ("v3electionpb.Election/Resign", Door::Inner),
    ("grpc.health.v1.Health/Check", Door::Open),
    ("grpc.health.v1.Health/Watch", Door::Open),
    ("grpc.health.v1.Health/List", Door::Open),
];

/// Where the permission of `service/method` is checked; `None`: there is no such method, refuse it.
pub fn door(method: &str) -> Option<Door> {
    METHODS.iter().find(|(name, _)| *name == method).map(|&(_, door)| door)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: &str = include_str!("../../../contract/grpc.tsv");

    /// The doors that a class of the contract may have.
    fn allowed(service: &str, class: &str) -> &'static [Door] {
        match (service, class) {
            (_, "none") => &[Door::Open],
            ("v3lockpb.Lock" | "v3electionpb.Election", _) => &[Door::Inner],
            ("etcdserverpb.Auth", _) => &[Door::Executed],
            (_, "read" | "write" | "read+write") => &[Door::Executed],
            (_, "authenticated+write") => &[Door::First, Door::FirstAndExecuted],
            (_, "admin" | "authenticated" | "authenticated(+read)") => &[Door::First],
            (_, "authenticated+read" | "authenticated|admin") => &[Door::First],
            _ => &[],
        }
    }

    #[test]
    fn every_method_of_the_contract_has_a_door_and_no_other() {
        let mut lines = CONTRACT.lines();
        let header: Vec<&str> = lines.next().unwrap().split('\t').collect();
        assert_eq!((header[0], header[1], header[8]), ("service", "method", "auth_class"));
        let mut count = 0;
        for line in lines.filter(|line| !line.trim().is_empty()) {
            let columns: Vec<&str> = line.split('\t').collect();
            let name = format!("{}/{}", columns[0], columns[1]);
            let door = door(&name).unwrap_or_else(|| panic!("{name} has no door"));
            assert!(allowed(columns[0], columns[8]).contains(&door), "{name}: {door:?} for {}", columns[8]);
            count += 1;
        }
        assert_eq!(count, METHODS.len());
        assert_eq!(super::door("etcdserverpb.KV/Unknown"), None);
    }
}
