//! Changes of membership, as far as one member alone can take them: learners come and go, voters stay.

use e2e::{client::Client, server::Server};
use proto::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest,
};

use crate::{common::*, gaps::KNOWN_GAPS};

e2e::cases! { KNOWN_GAPS;
    learner_comes_and_goes => "grpc" [
        "etcdserverpb.Cluster/MemberAdd", "etcdserverpb.Cluster/MemberUpdate", "etcdserverpb.Cluster/MemberRemove",
    ];
    promotion_waits_for_the_learner => "grpc" ["etcdserverpb.Cluster/MemberPromote"];
    unfit_promotions => "errors" ["ErrGRPCLearnerNotReady", "ErrGRPCMemberNotLearner"];
    unknown_members => "errors" ["ErrGRPCMemberNotFound"];
    one_second_has_one_id => "errors" ["ErrGRPCMemberExist"];
    addresses_in_use => "errors" ["ErrGRPCPeerURLExist"];
    second_learner => "errors" ["ErrGRPCTooManyLearners"];
    last_voter => "errors" ["ErrGRPCMemberNotEnoughStarted"];
    failed_promotions_are_counted => "metrics" ["etcd_server_learner_promote_failures"];
}

fn learner(url: &str) -> MemberAddRequest {
    MemberAddRequest { peer_ur_ls: vec![url.into()], is_learner: true }
}

fn update(id: u64, url: &str) -> MemberUpdateRequest {
    MemberUpdateRequest { id, peer_ur_ls: vec![url.into()] }
}

fn list(client: &Client) -> Vec<Member> {
    let serializable = client.ok(MemberListRequest { linearizable: false }).members;
    assert_eq!(client.ok(MemberListRequest { linearizable: true }).members, serializable);
    serializable
}

fn own_id(client: &Client) -> u64 {
    client.ok(MemberListRequest::default()).header.unwrap().member_id
}

/// 8.1, 8.2, 8.5, 8.8. Membership outlives a restart.
fn learner_comes_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_on(dir.path(), &[]).unwrap();
    let client = server.client();
    put_ok(&client, "k", "v");
    let before = list(&client);
    let request = MemberAddRequest {
        peer_ur_ls: vec!["http://127.0.0.1:4 ".into(), "HTTP://127.0.0.1:3".into()],
        is_learner: true,
    };
    let added = client.ok(request);
    let header = added.header.unwrap();
    assert_eq!((header.revision, header.member_id), (0, before[0].id));
    let member = added.member.unwrap();
    assert_eq!(member.peer_ur_ls, ["http://127.0.0.1:3", "http://127.0.0.1:4"]);
    assert!(member.is_learner && member.name.is_empty() && member.client_ur_ls.is_empty() && member.id != 0);
    assert_eq!(added.members, list(&client));
    let ids: Vec<u64> = added.members.iter().map(|member| member.id).collect();
    assert!(ids.is_sorted() && ids.len() == 2 && ids.contains(&member.id));
    // The quorum is that of the voters.
    put_ok(&client, "k", "w");

    let updated = client.ok(update(member.id, "http://127.0.0.1:5"));
    assert_eq!(updated.header.unwrap().revision, 0);
    let changed = updated.members.iter().find(|known| known.id == member.id).unwrap();
    assert_eq!(*changed, Member { peer_ur_ls: vec!["http://127.0.0.1:5".into()], ..member.clone() });
    let own = updated.members.iter().find(|known| known.id == before[0].id).unwrap();
    assert_eq!(*own, before[0], "the others stay as they are");
    client.ok(update(before[0].id, "http://127.0.0.1:6"));
    let (local, remote) = (format!("{:x}", before[0].id), format!("{:x}", member.id));
    let known = [("Local", local.as_str()), ("Remote", remote.as_str())];
    assert_eq!(server.metrics().value("etcd_network_known_peers", &known), 1.0);
    let kept = list(&client);
    server.stop();

    let server = Server::start_on(dir.path(), &[]).unwrap();
    let client = server.client();
    assert_eq!(list(&client), kept);
    let removed = client.ok(MemberRemoveRequest { id: member.id });
    assert_eq!(removed.header.unwrap().revision, 0);
    let [own] = &removed.members[..] else { panic!("{:?}", removed.members) };
    assert_eq!((own.id, &own.peer_ur_ls[..]), (before[0].id, &["http://127.0.0.1:6".to_owned()][..]));
    assert_eq!(server.metrics().value("etcd_network_known_peers", &known), 0.0);
    assert_eq!(client.fails(MemberRemoveRequest { id: member.id }), promised("ErrGRPCMemberNotFound"));
    assert_eq!(client.fails(update(member.id, "http://127.0.0.1:5")), promised("ErrGRPCMemberNotFound"));
    assert_eq!(get(&client, "k").as_deref(), Some("w"));
    let messages: Vec<String> =
        server.log_lines().iter().filter_map(|line| Some(line["msg"].as_str()?.to_owned())).collect();
    for message in ["removed member", "applied a configuration change through raft"] {
        assert!(messages.iter().any(|known| known == message), "{message}");
    }
}

/// 8.4.
fn promotion_waits_for_the_learner() {
    let server = Server::start(&[]);
    let client = server.client();
    let added = client.ok(learner("http://127.0.0.1:3")).member.unwrap();
    for _ in 0..2 {
        assert_eq!(client.fails(MemberPromoteRequest { id: added.id }), promised("ErrGRPCLearnerNotReady"));
    }
    assert!(list(&client).iter().any(|member| member.id == added.id && member.is_learner));
    client.ok(MemberRemoveRequest { id: added.id });
    assert_eq!(client.fails(MemberPromoteRequest { id: added.id }), promised("ErrGRPCMemberNotFound"));
}

fn unfit_promotions() {
    let server = Server::start(&["--max-learners=2"]);
    let client = server.client();
    let own = own_id(&client);
    assert_eq!(client.fails(MemberPromoteRequest { id: own }), promised("ErrGRPCMemberNotLearner"));
    let added =
        ["http://127.0.0.1:3", "http://127.0.0.1:4"].map(|url| client.ok(learner(url)).member.unwrap());
    for member in added {
        assert_eq!(client.fails(MemberPromoteRequest { id: member.id }), promised("ErrGRPCLearnerNotReady"));
    }
}

fn unknown_members() {
    let server = Server::shared();
    let client = server.client();
    let not_found = promised("ErrGRPCMemberNotFound");
    for id in [0, 1, u64::MAX] {
        assert_eq!(client.fails(MemberRemoveRequest { id }), not_found, "{id}");
        assert_eq!(client.fails(update(id, "http://127.0.0.1:3")), not_found, "{id}");
        assert_eq!(client.fails(MemberPromoteRequest { id }), not_found, "{id}");
    }
}

/// The id of a new member is a hash over its addresses and the second.
fn one_second_has_one_id() {
    let server = Server::start(&["--max-learners=100"]);
    let client = server.client();
    let found = (1..50).any(|port| {
        let request = learner(&format!("http://127.0.0.1:{port}"));
        client.ok(request.clone());
        let refused = client.fails(request);
        if refused == promised("ErrGRPCMemberExist") {
            return true;
        }
        // A second began in between.
        assert_eq!(refused, promised("ErrGRPCPeerURLExist"));
        false
    });
    assert!(found);
}

fn addresses_in_use() {
    let server = Server::start(&[]);
    let client = server.client();
    let used = promised("ErrGRPCPeerURLExist");
    let own = client.ok(MemberListRequest::default()).members.remove(0);
    let own_url = own.peer_ur_ls[0].as_str();
    for is_learner in [false, true] {
        let urls = vec!["http://127.0.0.1:3".to_owned(), own_url.to_owned()];
        assert_eq!(client.fails(MemberAddRequest { peer_ur_ls: urls, is_learner }), used);
    }
    let added = client.ok(learner("http://127.0.0.1:3")).member.unwrap();
    assert_eq!(client.fails(update(added.id, own_url)), used);
    assert_eq!(client.fails(update(own.id, "http://127.0.0.1:3")), used);
    client.ok(update(own.id, own_url));
    assert_eq!(list(&client).len(), 2);
    // Addresses that are none are refused here already: see contract/deviations.tsv.
    assert_eq!(client.fails(update(added.id, "nonsense")), promised("ErrGRPCMemberBadURLs"));
}

fn second_learner() {
    let server = Server::start(&[]);
    let client = server.client();
    client.ok(learner("http://127.0.0.1:3"));
    assert_eq!(client.fails(learner("http://127.0.0.1:4")), promised("ErrGRPCTooManyLearners"));
    assert_eq!(list(&client).len(), 2);
    put_ok(&client, "k", "a refused change stops nothing");
}

/// 8.3.
fn last_voter() {
    for flags in [&[][..], &["--strict-reconfig-check=false"]] {
        let server = Server::start(flags);
        let client = server.client();
        let id = own_id(&client);
        assert_eq!(client.fails(MemberRemoveRequest { id }), promised("ErrGRPCMemberNotEnoughStarted"));
        put_ok(&client, "k", "v");
    }
}

fn failed_promotions_are_counted() {
    let server = Server::start(&[]);
    let client = server.client();
    let id = own_id(&client);
    client.fails(MemberPromoteRequest { id });
    client.fails(MemberPromoteRequest { id: 1 });
    client.fails(MemberPromoteRequest { id: 2 });
    let page = server.metrics();
    let failures = |reason| page.value("etcd_server_learner_promote_failures", &[("Reason", reason)]);
    assert_eq!(failures("membership: can only promote a learner member"), 1.0);
    assert_eq!(failures("membership: ID not found"), 2.0);
    assert_eq!(page.value("etcd_server_learner_promote_successes", &[]), 0.0);
}
