//! Errors that take a follower, a learner, a lost leader or a lost quorum.

use e2e::{
    binary,
    client::Client,
    cluster::Cluster,
    server::{poll, run},
};
use proto::etcdserverpb::{self as pb, MemberAddRequest, MoveLeaderRequest};

use crate::{common::*, gaps::KNOWN_GAPS};

/// How often a leader is lost until a write is lost with it.
const ATTEMPTS: usize = 5;

e2e::cases! { KNOWN_GAPS;
    a_follower_cannot_hand_over => "errors" ["ErrGRPCNotLeader"];
    a_learner_serves_little => "errors" ["ErrGRPCNotSupportedForLearner"];
    changes_need_a_healthy_cluster => "errors" ["ErrGRPCUnhealthy"];
    the_first_start_is_not_repeated => "errors" ["member bootstrapped", "member count"];
    a_lost_leader => "errors" ["ErrGRPCLeaderChanged", "ErrGRPCTimeoutDueToLeaderFail"];
    a_lost_quorum => "errors" ["ErrGRPCNoLeader", "ErrGRPCTimeout", "context.DeadlineExceeded"];
    a_transfer_to_nobody => "errors" ["errors.ErrTimeoutLeaderTransfer"];
}

fn a_follower_cannot_hand_over() {
    let cluster = Cluster::start(3, &[]);
    let (leader, others) = cluster.leader();
    let request = MoveLeaderRequest { target_id: cluster.id(others[1]) };
    let refused = cluster.members[others[0]].client().fails(request);
    assert_eq!(refused, promised("ErrGRPCNotLeader"));
    cluster.members[leader].client().ok(request);
    assert_eq!(cluster.leader().0, others[1]);
}

fn a_learner_serves_little() {
    let mut cluster = Cluster::start(1, &[]);
    cluster.join_learner();
    let said = poll(|| cluster.members[1].log().contains("ready to serve client requests").then_some(()));
    assert!(said.is_some(), "{}", cluster.members[1].log());
    put_ok(&cluster.members[0].client(), "k", "v");
    let learner = cluster.client_of(1);
    let refusal = promised("ErrGRPCNotSupportedForLearner");
    assert_eq!(learner.fails(put("k", "w")), refusal);
    assert_eq!(learner.fails(range("k")), refusal);
    assert_eq!(learner.fails(delete("k")), refusal);
    assert_eq!(learner.fails(txn(vec![range_op("k")])), refusal);
    assert_eq!(learner.fails(pb::LeaseGrantRequest { ttl: 10, id: 0 }), refusal);
    assert_eq!(learner.fails(pb::MemberListRequest { linearizable: true }), refusal);
    let mut stream = watch(&learner);
    stream.send(&create_request(create("k")));
    assert_eq!(stream.next().unwrap_err(), refusal);
    learner.ok(pb::StatusRequest {});
    let own = pb::RangeRequest { serializable: true, ..range("k") };
    let found = poll(|| Some(pairs(&learner.ok(own.clone()))).filter(|found| found == &["k=v"]));
    assert!(found.is_some(), "the learner does not learn");
}

fn changes_need_a_healthy_cluster() {
    let mut cluster = Cluster::start(3, &[]);
    let (leader, others) = cluster.leader();
    cluster.members[others[0]].kill();
    let request = MemberAddRequest { peer_ur_ls: vec!["http://127.0.0.1:4".into()], is_learner: false };
    let refused = cluster.members[leader].client().fails(request);
    assert_eq!(refused, promised("ErrGRPCUnhealthy"));
}

/// A member that lost its directory is told so, whatever it says of itself.
fn the_first_start_is_not_repeated() {
    let mut cluster = Cluster::start(3, &[]);
    let (leader, others) = cluster.leader();
    let lost = others[0];
    // A change by the API is what others see of its start.
    let started = poll(|| {
        let members = cluster.members[leader].client().ok(pb::MemberListRequest::default()).members;
        members.iter().all(|member| !member.name.is_empty()).then_some(())
    });
    assert!(started.is_some(), "not all members say who they are");
    cluster.members[lost].kill();
    let peer = cluster.entries()[lost].split_once('=').unwrap().1.to_owned();
    let dir = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", dir.path().display());
    let clients =
        ["--listen-client-urls=http://127.0.0.1:0", "--advertise-client-urls=http://127.0.0.1:2379"];
    let attempt = |flags: Vec<String>| {
        let mut all: Vec<&str> = flags.iter().map(String::as_str).collect();
        all.push(&data);
        all.extend(clients);
        run(&all, &[])
    };

    let again = attempt(cluster.flags_of(lost, &peer, "new"));
    assert_ne!(again.code, Some(0));
    let reason = promised("member bootstrapped").message.replace("member ID ", "");
    assert!(again.stderr.contains(&reason), "{}", again.stderr);

    let mut flags = cluster.flags_of(lost, &peer, "existing");
    let initial = flags.iter_mut().find(|flag| flag.starts_with("--initial-cluster=")).unwrap();
    initial.push_str(",m9=http://127.0.0.1:5");
    let more = attempt(flags);
    assert_ne!(more.code, Some(0));
    assert!(more.stderr.contains(&promised("member count").message), "{}", more.stderr);
    cluster.restart(lost);
}

/// The leader does not answer any more, and has not gone. A read is told when another leads, by etcd; we ask that one
/// (contract/deviations.tsv). A write that went to the old one is lost, and nobody knows.
fn a_lost_leader() {
    // On a machine that is slow just then the write finds the next leader, and is done.
    let lost = (0..ATTEMPTS).any(|_| {
        let cluster = Cluster::start(3, &[]);
        let (leader, others) = cluster.leader();
        let (writer, reader) = (cluster.members[others[0]].address(), cluster.members[others[1]].address());
        cluster.members[leader].signal("STOP");
        let (write, read) = std::thread::scope(|scope| {
            let write = scope.spawn(|| Client::connect(writer).call(put("k", "v")));
            let read = Client::connect(reader).call(range("k"));
            (write.join().unwrap(), read)
        });
        match read {
            Ok(_) => assert!(!binary::is_etcd(), "etcd does not ask the next leader"),
            Err(status) => assert_eq!((status, binary::is_etcd()), (promised("ErrGRPCLeaderChanged"), true)),
        }
        put_ok(&cluster.members[others[0]].client(), "k", "v");
        cluster.members[leader].signal("CONT");
        write.is_err_and(|status| {
            assert_eq!(status, promised("ErrGRPCTimeoutDueToLeaderFail"));
            true
        })
    });
    assert!(lost, "no write was lost with its leader");
}

/// Nobody leads, and nobody will.
fn a_lost_quorum() {
    let mut cluster = Cluster::start(3, &[]);
    let (leader, others) = cluster.leader();
    cluster.members[leader].kill();
    cluster.members[others[0]].kill();
    let client = cluster.members[others[1]].client();
    let strict = client.with("hasleader", b"true");
    let refused = poll(|| match strict.call(range("k")) {
        Err(status) if status == promised("ErrGRPCNoLeader") => Some(()),
        _ => None,
    });
    assert!(refused.is_some(), "a member alone still knows a leader");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let read = cluster.members[others[1]].client().fails(range("k"));
            assert_eq!(read, promised("ErrGRPCTimeout"));
        });
        // Nobody could be asked, so nothing was: the caller knows what became of it.
        assert_eq!(client.fails(put("k", "v")), promised("context.DeadlineExceeded"));
    });
    let own = pb::RangeRequest { serializable: true, ..range("k") };
    assert_eq!(client.ok(own).kvs, []);
}

/// etcd leaves it to the caller when to give up.
fn a_transfer_to_nobody() {
    if binary::is_etcd() {
        return;
    }
    let cluster = Cluster::start(3, &[]);
    let (leader, others) = cluster.leader();
    let request = MoveLeaderRequest { target_id: cluster.id(others[0]) };
    cluster.members[others[0]].signal("STOP");
    let refused = cluster.members[leader].client().fails(request);
    assert_eq!(refused, promised("errors.ErrTimeoutLeaderTransfer"));
    cluster.members[others[0]].signal("CONT");
}
