//! Cluster and health.

use e2e::server::{NAME, PEER_URL, Server};
use proto::{
    etcdserverpb::MemberListRequest,
    health::{
        HealthCheckRequest, HealthCheckResponse, HealthListRequest, health_check_response::ServingStatus,
    },
};

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    member_list_of_one => "grpc" ["etcdserverpb.Cluster/MemberList"];
    health_check => "grpc" ["grpc.health.v1.Health/Check"];
    health_watch => "grpc" ["grpc.health.v1.Health/Watch"];
    health_list => "grpc" ["grpc.health.v1.Health/List"];
}

/// 8.1, 8.8.
fn member_list_of_one() {
    let server = Server::start(&[
        "--initial-cluster-token=tkn",
        "--advertise-client-urls=http://10.0.0.1:1,http://h:2",
    ]);
    let client = server.client();
    put_ok(&client, "k", "v");
    for linearizable in [false, true] {
        let reply = client.ok(MemberListRequest { linearizable });
        let header = reply.header.unwrap();
        assert_eq!(header.revision, 0, "membership has no revision");
        let [member] = &reply.members[..] else { panic!("{:?}", reply.members) };
        assert_eq!((member.id, member.name.as_str(), member.is_learner), (header.member_id, NAME, false));
        assert_eq!(member.peer_ur_ls, [PEER_URL]);
        assert_eq!(member.client_ur_ls, ["http://10.0.0.1:1", "http://h:2"]);
        // First bytes of SHA-1 over "http://127.0.0.1:2380tkn", and over that id.
        assert_eq!((header.member_id, header.cluster_id), (MEMBER_ID, CLUSTER_ID));
    }
}

/// `printf %s http://127.0.0.1:2380tkn | sha1sum`
const MEMBER_ID: u64 = 0x0ed3_98ac_0e0c_b95a;
/// `printf ID | xxd -r -p | sha1sum`
const CLUSTER_ID: u64 = 0xebab_26c8_b7c8_9155;

/// 11.7.
fn health_check() {
    let server = Server::shared();
    let client = server.client();
    let reply = client.ok(HealthCheckRequest { service: String::new() });
    assert_eq!(reply.status(), ServingStatus::Serving);
    let unknown = client.fails(HealthCheckRequest { service: "etcdserverpb.KV".into() });
    assert_eq!(unknown, promised("health unknown"));
}

fn health_watch() {
    let server = Server::shared();
    let client = server.client();
    for (service, expected) in [("", ServingStatus::Serving), ("nobody", ServingStatus::ServiceUnknown)] {
        let method = "grpc.health.v1.Health/Watch";
        let mut stream = client.open::<HealthCheckRequest, HealthCheckResponse>(method);
        stream.send(&HealthCheckRequest { service: service.into() });
        stream.finish();
        assert_eq!(stream.message().status(), expected, "{service:?}");
    }
}

fn health_list() {
    let server = Server::shared();
    let reply = server.client().ok(HealthListRequest {});
    let statuses: Vec<_> =
        reply.statuses.iter().map(|(name, reply)| (name.as_str(), reply.status())).collect();
    assert_eq!(statuses, [("", ServingStatus::Serving)]);
}
