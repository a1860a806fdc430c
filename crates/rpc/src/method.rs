//! The methods that are served, once: path, kind, index for counters (contract/grpc.tsv).

use crate::status::Status;

/// How messages flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One request, one reply.
    Unary,
    /// One request, a stream of replies.
    ServerStream,
    /// Streams both ways.
    BidiStream,
}

impl Kind {
    /// The value of the `grpc_type` metric label.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Unary => "unary",
            Kind::ServerStream => "server_stream",
            Kind::BidiStream => "bidi_stream",
        }
    }
}

macro_rules! methods {
    ($($variant:ident $service:literal $method:literal $kind:ident;)*) => {
        /// A method that is served. `as usize` is its index in [`Method::ALL`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "named like the methods")]
        pub enum Method {
            $($variant,)*
        }

        impl Method {
            /// Every method, in index order.
            pub const ALL: &'static [Method] = &[$(Method::$variant,)*];

            /// Full name of the service, as in the `grpc_service` metric label.
            pub fn service(self) -> &'static str {
                match self { $(Method::$variant => $service,)* }
            }

            /// Name in the service, as in the `grpc_method` metric label.
            pub fn name(self) -> &'static str {
                match self { $(Method::$variant => $method,)* }
            }

            /// How its messages flow.
            pub fn kind(self) -> Kind {
                match self { $(Method::$variant => Kind::$kind,)* }
            }

            /// The method of a request path.
            ///
            /// # Errors
            /// The status to answer for a path that names none.
            pub fn of_path(path: &str) -> Result<Method, Status> {
                match path {
                    $(concat!("/", $service, "/", $method) => Ok(Method::$variant),)*
                    _ => Err(unknown(path)),
                }
            }
        }
    };
}

methods! {
    Range "etcdserverpb.KV" "Range" Unary;
    RangeStream "etcdserverpb.KV" "RangeStream" ServerStream;
    Put "etcdserverpb.KV" "Put" Unary;
    DeleteRange "etcdserverpb.KV" "DeleteRange" Unary;
    Txn "etcdserverpb.KV" "Txn" Unary;
    Compact "etcdserverpb.KV" "Compact" Unary;
    Watch "etcdserverpb.Watch" "Watch" BidiStream;
    LeaseGrant "etcdserverpb.Lease" "LeaseGrant" Unary;
    LeaseRevoke "etcdserverpb.Lease" "LeaseRevoke" Unary;
    LeaseKeepAlive "etcdserverpb.Lease" "LeaseKeepAlive" BidiStream;
    LeaseTimeToLive "etcdserverpb.Lease" "LeaseTimeToLive" Unary;
    LeaseLeases "etcdserverpb.Lease" "LeaseLeases" Unary;
    MemberAdd "etcdserverpb.Cluster" "MemberAdd" Unary;
    MemberRemove "etcdserverpb.Cluster" "MemberRemove" Unary;
    MemberUpdate "etcdserverpb.Cluster" "MemberUpdate" Unary;
    MemberList "etcdserverpb.Cluster" "MemberList" Unary;
    MemberPromote "etcdserverpb.Cluster" "MemberPromote" Unary;
    Alarm "etcdserverpb.Maintenance" "Alarm" Unary;
    Status "etcdserverpb.Maintenance" "Status" Unary;
    Defragment "etcdserverpb.Maintenance" "Defragment" Unary;
    Hash "etcdserverpb.Maintenance" "Hash" Unary;
    HashKv "etcdserverpb.Maintenance" "HashKV" Unary;
    Snapshot "etcdserverpb.Maintenance" "Snapshot" ServerStream;
    MoveLeader "etcdserverpb.Maintenance" "MoveLeader" Unary;
    Downgrade "etcdserverpb.Maintenance" "Downgrade" Unary;
    AuthEnable "etcdserverpb.Auth" "AuthEnable" Unary;
    AuthDisable "etcdserverpb.Auth" "AuthDisable" Unary;
    AuthStatus "etcdserverpb.Auth" "AuthStatus" Unary;
    Authenticate "etcdserverpb.Auth" "Authenticate" Unary;
    UserAdd "etcdserverpb.Auth" "UserAdd" Unary;
    UserGet "etcdserverpb.Auth" "UserGet" Unary;
    UserList "etcdserverpb.Auth" "UserList" Unary;
    UserDelete "etcdserverpb.Auth" "UserDelete" Unary;
    UserChangePassword "etcdserverpb.Auth" "UserChangePassword" Unary;
    UserGrantRole "etcdserverpb.Auth" "UserGrantRole" Unary;
    UserRevokeRole "etcdserverpb.Auth" "UserRevokeRole" Unary;
    RoleAdd "etcdserverpb.Auth" "RoleAdd" Unary;
    RoleGet "etcdserverpb.Auth" "RoleGet" Unary;
    RoleList "etcdserverpb.Auth" "RoleList" Unary;
    RoleDelete "etcdserverpb.Auth" "RoleDelete" Unary;
    RoleGrantPermission "etcdserverpb.Auth" "RoleGrantPermission" Unary;
    RoleRevokePermission "etcdserverpb.Auth" "RoleRevokePermission" Unary;
    Lock "v3lockpb.Lock" "Lock" Unary;
    Unlock "v3lockpb.Lock" "Unlock" Unary;
    Campaign "v3electionpb.Election" "Campaign" Unary;
    Proclaim "v3electionpb.Election" "Proclaim" Unary;
    Leader "v3electionpb.Election" "Leader" Unary;
    Observe "v3electionpb.Election" "Observe" ServerStream;
    Resign "v3electionpb.Election" "Resign" Unary;
    HealthCheck "grpc.health.v1.Health" "Check" Unary;
    HealthWatch "grpc.health.v1.Health" "Watch" ServerStream;
    HealthList "grpc.health.v1.Health" "List" Unary;
}

fn unknown(path: &str) -> Status {
    let Some((service, method)) = path.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) else {
        return Status::malformed_method(path);
    };
    if Method::ALL.iter().any(|known| known.service() == service) {
        Status::unknown_method(method, service)
    } else {
        Status::unknown_service(service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_the_contract() {
        let contract = include_str!("../../../contract/grpc.tsv");
        let mut rows: Vec<_> = contract
            .lines()
            .skip(1)
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .map(|columns| (columns[0].to_owned(), columns[1].to_owned(), columns[4].replace('-', "_")))
            .collect();
        let mut ours: Vec<_> = Method::ALL
            .iter()
            .map(|m| (m.service().to_owned(), m.name().to_owned(), m.kind().label().to_owned()))
            .collect();
        rows.sort();
        ours.sort();
        assert_eq!(ours, rows);
    }

    #[test]
    fn paths_lead_to_methods() {
        for (index, &method) in Method::ALL.iter().enumerate() {
            assert_eq!(method as usize, index);
            assert_eq!(Method::of_path(&format!("/{}/{}", method.service(), method.name())), Ok(method));
        }
        let cases = [
            ("/etcdserverpb.KV/Get", "unknown method Get for service etcdserverpb.KV"),
            ("/etcdserverpb.Nope/Get", "unknown service etcdserverpb.Nope"),
            ("/a/b/c", "unknown service a/b"),
            ("/nothing", "malformed method name: \"/nothing\""),
        ];
        for (path, text) in cases {
            assert_eq!(Method::of_path(path).unwrap_err().message, text);
        }
    }
}
