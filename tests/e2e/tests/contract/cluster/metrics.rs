//! What members count about each other.

use e2e::{cluster::Cluster, exposition::Page, server::poll};
use prost::Message;
use proto::{
    etcdserverpb::{MemberAddRequest, MemberListRequest, SnapshotRequest, SnapshotResponse, StatusRequest},
    raftpb::{self, MessageType},
};

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    members_count_what_they_send => "metrics" [
        "etcd_network_active_peers", "etcd_network_peer_sent_bytes_total", "etcd_network_peer_received_bytes_total",
        "etcd_network_peer_round_trip_time_seconds",
    ];
    members_count_what_fails => "metrics" [
        "etcd_network_disconnected_peers_total", "etcd_network_peer_sent_failures_total",
        "etcd_network_peer_received_failures_total",
    ];
    members_count_snapshots => "metrics" [
        "etcd_network_snapshot_send_success", "etcd_network_snapshot_send_inflights_total",
        "etcd_network_snapshot_send_total_duration_seconds", "etcd_network_snapshot_receive_success",
        "etcd_network_snapshot_receive_inflights_total", "etcd_network_snapshot_receive_total_duration_seconds",
    ];
    members_count_snapshots_that_fail => "metrics" [
        "etcd_network_snapshot_send_failures", "etcd_network_snapshot_receive_failures",
    ];
}

fn hex(cluster: &Cluster, n: usize) -> String {
    format!("{:x}", cluster.id(n))
}

/// Looks at the metrics of a member until they say so.
fn wait_for(cluster: &Cluster, n: usize, what: &str, holds: impl Fn(&Page) -> bool) {
    let found = poll(|| holds(&cluster.members[n].metrics()).then_some(()));
    assert!(found.is_some(), "member {n} does not count: {what}");
}

fn members_count_what_they_send() {
    let cluster = Cluster::start(3, &[]);
    let (leader, others) = cluster.leader();
    put_ok(&cluster.members[leader].client(), "k", &"v".repeat(10_000));
    let ids: Vec<String> = (0..3).map(|n| hex(&cluster, n)).collect();
    for n in 0..3 {
        for other in (0..3).filter(|other| *other != n) {
            let pair = [("Local", ids[n].as_str()), ("Remote", ids[other].as_str())];
            wait_for(&cluster, n, "active", |page| {
                page.find("etcd_network_active_peers", &pair) == Some(1.0)
            });
        }
    }
    for follower in others {
        let (to, from) = ([("To", ids[follower].as_str())], [("From", ids[leader].as_str())]);
        wait_for(&cluster, leader, "bytes sent", |page| {
            page.find("etcd_network_peer_sent_bytes_total", &to).is_some_and(|bytes| bytes > 10_000.0)
        });
        wait_for(&cluster, follower, "bytes received", |page| {
            page.find("etcd_network_peer_received_bytes_total", &from).is_some_and(|bytes| bytes > 10_000.0)
        });
        wait_for(&cluster, leader, "round trips", |page| {
            page.find("etcd_network_peer_round_trip_time_seconds_count", &to).is_some_and(|count| count > 0.0)
        });
    }
}

fn members_count_what_fails() {
    let mut cluster = Cluster::start(3, &[]);
    let (leader, others) = cluster.leader();
    let ids: Vec<String> = (0..3).map(|n| hex(&cluster, n)).collect();
    let lost = others[0];
    let pair = [("Local", ids[leader].as_str()), ("Remote", ids[lost].as_str())];
    wait_for(&cluster, leader, "active", |page| page.find("etcd_network_active_peers", &pair) == Some(1.0));
    cluster.members[lost].kill();
    put_ok(&cluster.members[leader].client(), "k", "v");
    wait_for(&cluster, leader, "a lost peer", |page| {
        page.find("etcd_network_disconnected_peers_total", &pair).is_some_and(|count| count >= 1.0)
            && page.find("etcd_network_active_peers", &pair) == Some(0.0)
    });
    wait_for(&cluster, leader, "messages that were not sent", |page| {
        page.find("etcd_network_peer_sent_failures_total", &[("To", &ids[lost])]).is_some_and(|n| n >= 1.0)
    });
    // A message that cannot be read, from an address that is no member's.
    let peer = cluster.members[leader].listeners().peer.unwrap();
    let cluster_id =
        cluster.members[leader].client().ok(MemberListRequest::default()).header.unwrap().cluster_id;
    let cluster_id = format!("{cluster_id:x}");
    let headers = [
        ("X-Server-From", ids[lost].as_str()),
        ("X-Server-Version", "3.7.0"),
        ("X-Min-Cluster-Version", "3.0.0"),
        ("X-Etcd-Cluster-ID", &cluster_id),
    ];
    assert_eq!(e2e::http1::request(peer, "POST", "/raft", &headers, b"\xff").unwrap().status, 400);
    let page = cluster.members[leader].metrics();
    let failures = &page.families["etcd_network_peer_received_failures_total"].samples;
    assert!(failures.iter().any(|sample| sample.value >= 1.0), "{failures:?}");
}

const OFTEN: [&str; 2] = ["--snapshot-count=20", "--snapshot-catchup-entries=5"];

/// Writes more entries than the log keeps, and has it forget them: for a client's snapshot all goes to the file.
fn outrun(cluster: &Cluster, n: usize) {
    let client = cluster.members[n].client();
    for key in 0..300 {
        put_ok(&client, &format!("k{key}"), "v");
    }
    let mut snapshot = client.open::<SnapshotRequest, SnapshotResponse>("etcdserverpb.Maintenance/Snapshot");
    snapshot.send(&SnapshotRequest {});
    snapshot.finish();
    snapshot.rest().unwrap();
}

fn members_count_snapshots() {
    let mut cluster = Cluster::start(3, &OFTEN);
    let (leader, others) = cluster.leader();
    let lost = others[0];
    let (to, from) = (hex(&cluster, lost), hex(&cluster, leader));
    cluster.members[lost].kill();
    outrun(&cluster, leader);
    cluster.restart(lost);
    let labels = [("To", to.as_str())];
    wait_for(&cluster, leader, "a snapshot sent", |page| {
        page.find("etcd_network_snapshot_send_success", &labels).is_some_and(|count| count >= 1.0)
    });
    let page = cluster.members[leader].metrics();
    assert_eq!(page.value("etcd_network_snapshot_send_inflights_total", &labels), 0.0);
    assert!(page.value("etcd_network_snapshot_send_total_duration_seconds_count", &labels) >= 1.0);
    let labels = [("From", from.as_str())];
    let page = cluster.members[lost].metrics();
    assert!(page.value("etcd_network_snapshot_receive_success", &labels) >= 1.0);
    assert_eq!(page.value("etcd_network_snapshot_receive_inflights_total", &labels), 0.0);
    assert!(page.value("etcd_network_snapshot_receive_total_duration_seconds_count", &labels) >= 1.0);
    assert_eq!(get(&cluster.members[lost].client(), "k299").as_deref(), Some("v"));
}

/// A learner that is somebody else: who answers at its address takes no snapshot.
fn members_count_snapshots_that_fail() {
    let cluster = Cluster::start(1, &OFTEN);
    let other = Cluster::start(1, &[]);
    outrun(&cluster, 0);
    let url = format!("http://{}", other.members[0].listeners().peer.unwrap());
    let client = cluster.members[0].client();
    let learner = client.ok(MemberAddRequest { peer_ur_ls: vec![url], is_learner: true }).member.unwrap();
    // It says that it has nothing at all.
    let status = client.ok(StatusRequest {});
    let message = raftpb::Message {
        r#type: Some(MessageType::MsgAppResp.into()),
        from: Some(learner.id),
        to: Some(status.header.unwrap().member_id),
        term: Some(status.raft_term),
        // It was offered the entry that adds it, and so lacks the one before.
        index: Some(status.raft_index - 1),
        reject: Some(true),
        ..Default::default()
    };
    let learner = format!("{:x}", learner.id);
    let cluster_id = format!("{:x}", client.ok(MemberListRequest::default()).header.unwrap().cluster_id);
    let headers = [
        ("X-Server-From", learner.as_str()),
        ("X-Server-Version", "3.7.0"),
        ("X-Min-Cluster-Version", "3.0.0"),
        ("X-Etcd-Cluster-ID", &cluster_id),
    ];
    let peer = cluster.members[0].listeners().peer.unwrap();
    let post = |path, body: &[u8]| e2e::http1::request(peer, "POST", path, &headers, body).unwrap().status;
    assert_eq!(post("/raft", &message.encode_to_vec()), 204);
    wait_for(&cluster, 0, "a snapshot that was not sent", |page| {
        page.find("etcd_network_snapshot_send_failures", &[("To", &learner)])
            .is_some_and(|count| count >= 1.0)
    });
    // What is refused by its head is not received; a snapshot that ends in its middle is.
    assert_eq!(post("/raft/snapshot", b"\0\0\0\0\0\0\0\x02\xff\xff"), 400);
    let page = cluster.members[0].metrics();
    let failures = &page.families["etcd_network_snapshot_receive_failures"].samples;
    assert!(failures.iter().any(|sample| sample.value >= 1.0), "{failures:?}");
}
