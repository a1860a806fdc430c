use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use types::bucket;

use super::*;

fn member(id: u64) -> Member {
    Member { id: MemberId(id), peer_urls: vec![format!("http://p{id}:1")], ..Member::default() }
}

fn started(id: u64) -> Member {
    Member { name: format!("n{id}"), ..member(id) }
}

fn learner(id: u64) -> Member {
    Member { is_learner: true, ..member(id) }
}

fn cluster(members: impl IntoIterator<Item = Member>) -> Cluster {
    let mut cluster = Cluster::new(1);
    for member in members {
        cluster.members.insert(member.id, member);
    }
    cluster
}

fn apply(cluster: &mut Cluster, change: Change) -> Result<Changed, ClusterError> {
    cluster.change(&change.to_wire(1))
}

fn attributes(id: u64, name: &str, client_urls: &[&str]) -> membershippb::ClusterMemberAttrSetRequest {
    membershippb::ClusterMemberAttrSetRequest {
        member_id: id,
        member_attributes: Some(membershippb::Attributes {
            name: name.to_owned(),
            client_urls: client_urls.iter().map(|&url| url.to_owned()).collect(),
        }),
    }
}

#[test]
fn conf_changes_are_validated_when_applied() {
    let mut base = cluster([member(1), member(2), learner(3)]);
    base.removed.insert(MemberId(9));
    let update = |id, urls: &[&str]| Change::Update {
        id: MemberId(id),
        peer_urls: urls.iter().map(|&url| url.to_owned()).collect(),
    };
    let with_url_of_2 = Member { peer_urls: member(2).peer_urls, ..member(4) };
    for (change, expected) in [
        (Change::Add(member(4)), Ok(())),
        (Change::Add(member(1)), Err(Rejection::IdExists)),
        (Change::Add(member(9)), Err(Rejection::IdRemoved)),
        (Change::Add(with_url_of_2), Err(Rejection::PeerUrlExists)),
        (Change::Add(learner(4)), Err(Rejection::TooManyLearners)),
        (Change::Promote(MemberId(3)), Ok(())),
        (Change::Promote(MemberId(1)), Err(Rejection::NotLearner)),
        (Change::Promote(MemberId(7)), Err(Rejection::IdNotFound)),
        (Change::Promote(MemberId(9)), Err(Rejection::IdRemoved)),
        (Change::Remove(MemberId(3)), Ok(())),
        (Change::Remove(MemberId(7)), Err(Rejection::IdNotFound)),
        (Change::Remove(MemberId(9)), Err(Rejection::IdRemoved)),
        (update(3, &["http://new:1"]), Ok(())),
        (update(3, &["http://p3:1"]), Ok(())),
        (update(3, &["http://x:1", "http://p1:1"]), Err(Rejection::PeerUrlExists)),
        (update(7, &["http://new:1"]), Err(Rejection::IdNotFound)),
        (update(9, &["http://new:1"]), Err(Rejection::IdRemoved)),
    ] {
        let mut after = base.clone();
        let result = apply(&mut after, change.clone());
        assert_eq!(result.map(|_| ()), expected.map_err(ClusterError::from), "{change:?}");
        assert_eq!(after == base, expected.is_err() || change == update(3, &["http://p3:1"]), "{change:?}");
    }
}

#[test]
fn a_removed_id_is_refused_whatever_the_context_says() {
    let mut cluster = Cluster::new(1);
    cluster.removed.insert(MemberId(9));
    let wire = |node_id| raftpb::ConfChange {
        id: None,
        r#type: Some(0),
        node_id: Some(node_id),
        context: Some(Bytes::from_static(b"junk")),
    };
    assert_eq!(cluster.change(&wire(9)), Err(Rejection::IdRemoved.into()));
    assert!(matches!(cluster.change(&wire(8)), Err(ClusterError::Malformed(_))));
    // Ids that differ stop the member, but only where the change would be made.
    let mut mixed = Change::Add(member(4)).to_wire(1);
    mixed.node_id = Some(5);
    assert!(matches!(cluster.change(&mixed), Err(ClusterError::Malformed(_))));
    mixed.node_id = Some(9);
    assert_eq!(cluster.change(&mixed), Err(Rejection::IdRemoved.into()));
    assert_eq!(cluster.members().count(), 0);
}

#[test]
fn update_keeps_the_learner_flag_and_promote_keeps_the_rest() {
    let mut cluster = cluster([started(1), learner(2)]);
    cluster.set_attributes(&attributes(2, "two", &["http://c:1"])).unwrap();
    let urls = vec!["http://new:1".to_owned()];
    let updated = apply(&mut cluster, Change::Update { id: MemberId(2), peer_urls: urls.clone() }).unwrap();
    let json =
        r#"{"id":2,"peerURLs":["http://new:1"],"isLearner":true,"name":"two","clientURLs":["http://c:1"]}"#;
    assert_eq!(updated.writes, [Write::put(bucket::MEMBERS, "2", json)]);
    assert_eq!(cluster.conf_state().learners, [2]);
    let promoted = apply(&mut cluster, Change::Promote(MemberId(2))).unwrap();
    assert_eq!(promoted.writes, [Write::put(bucket::MEMBERS, "2", json.replace(r#""isLearner":true,"#, ""))]);
    assert_eq!((cluster.conf_state().voters, cluster.conf_state().learners), (vec![1, 2], vec![]));
}

#[test]
fn removal_writes_the_tombstone() {
    let mut cluster = cluster([member(0xab)]);
    let removed = apply(&mut cluster, Change::Remove(MemberId(0xab))).unwrap();
    let writes = [Write::delete(bucket::MEMBERS, "ab"), Write::put(bucket::MEMBERS_REMOVED, "ab", "removed")];
    assert_eq!(removed.writes, writes);
    assert!(cluster.is_removed(MemberId(0xab)) && cluster.member(MemberId(0xab)).is_none());
}

#[test]
fn attributes_of_the_unknown_stop_and_of_the_removed_do_nothing() {
    let mut cluster = cluster([member(1)]);
    cluster.removed.insert(MemberId(2));
    assert_eq!(cluster.set_attributes(&attributes(2, "x", &[])), Ok(vec![]));
    assert_eq!(
        cluster.set_attributes(&attributes(3, "x", &[])),
        Err(ClusterError::UnknownMember(MemberId(3)))
    );
    let without = membershippb::ClusterMemberAttrSetRequest { member_id: 1, member_attributes: None };
    assert!(matches!(cluster.set_attributes(&without), Err(ClusterError::Malformed(_))));
    let writes = cluster.set_attributes(&attributes(1, "one", &["http://c:1"])).unwrap();
    let json = r#"{"id":1,"peerURLs":["http://p1:1"],"name":"one","clientURLs":["http://c:1"]}"#;
    assert_eq!(writes, [Write::put(bucket::MEMBERS, "1", json)]);
}

#[test]
fn cluster_version_is_checked_against_the_binary() {
    let mut cluster = Cluster::new(1);
    let server = Version::new(3, 7, 1);
    let mut set = |ver: &str| {
        cluster.set_version(&membershippb::ClusterVersionSetRequest { ver: ver.to_owned() }, server)
    };
    let first = set("3.7.0").unwrap();
    assert_eq!((first.previous, first.lowered()), (None, false));
    assert_eq!(first.writes, [Write::put(bucket::CLUSTER, "clusterVersion", "3.7.0")]);
    assert!(set("3.6.0").unwrap().lowered());
    assert!(!set("3.7.0").unwrap().lowered());
    let newer = Version::new(3, 8, 0);
    let too_old = ClusterError::ServerTooOld { server: server.minor_only(), cluster: newer };
    assert_eq!(set("3.8.0"), Err(too_old.clone()));
    assert!(matches!(set("3.8"), Err(ClusterError::Malformed(_))));
    assert_eq!(cluster.version(), Some(Version::new(3, 7, 0)));
    cluster.version = Some(newer);
    assert_eq!(cluster.check(server), Err(too_old));
    assert_eq!(cluster.check(newer), Ok(()));
}

#[test]
fn too_many_learners_are_found_at_start() {
    let mut cluster = cluster([member(1), learner(2), learner(3)]);
    assert_eq!(cluster.check(Version::new(3, 7, 1)), Err(Rejection::TooManyLearners.into()));
    cluster.learners_max = 2;
    assert_eq!(cluster.check(Version::new(3, 7, 1)), Ok(()));
}

#[test]
fn downgrade_goes_one_minor_down_and_once() {
    let mut cluster = Cluster::new(1);
    assert_eq!(cluster.validate_downgrade("x"), Err(DowngradeRejection::WrongFormat));
    assert_eq!(cluster.validate_downgrade("3.6"), Err(DowngradeRejection::ClusterVersionUnavailable));
    cluster.version = Some(Version::new(3, 7, 0));
    for (target, expected) in [
        ("3.6.0", Ok(())),
        ("3.6", Ok(())),
        ("3.6.7", Ok(())),
        ("3.5.0", Err(DowngradeRejection::InvalidTarget)),
        ("3.7.0", Err(DowngradeRejection::InvalidTarget)),
        ("2.6.0", Err(DowngradeRejection::InvalidTarget)),
    ] {
        assert_eq!(cluster.validate_downgrade(target).map(|_| ()), expected, "{target}");
    }
    let request = membershippb::DowngradeInfoSetRequest { enabled: true, ver: "3.6.0".into() };
    let writes = cluster.set_downgrade(&request);
    let json = r#"{"target-version":"3.6.0","enabled":true}"#;
    assert_eq!(writes, [Write::put(bucket::CLUSTER, "downgrade", json)]);
    assert_eq!(cluster.validate_downgrade("3.6"), Err(DowngradeRejection::InProcess));
    assert_eq!(cluster.validate_downgrade("3.5"), Err(DowngradeRejection::InvalidTarget));
    // A cancel forgets the target, whatever the entry carries.
    cluster.set_downgrade(&membershippb::DowngradeInfoSetRequest { enabled: false, ver: "3.6.0".into() });
    assert_eq!(*cluster.downgrade(), Downgrade::default());
}

#[test]
fn the_leader_decides_the_next_version() {
    let v = |minor, patch| Some(Version::new(3, minor, patch));
    let mut cluster = Cluster::new(1);
    assert_eq!(cluster.next_version(&[v(7, 1), v(6, 14)]), v(6, 0));
    assert_eq!(cluster.next_version(&[v(7, 1), None]), Some(Version::MIN_CLUSTER));
    cluster.version = v(6, 0);
    assert_eq!(cluster.next_version(&[v(7, 1), v(6, 14)]), None);
    assert_eq!(cluster.next_version(&[v(7, 1), None]), None);
    assert_eq!(cluster.next_version(&[v(7, 1), v(8, 0)]), v(7, 0));
    cluster.version = v(7, 0);
    cluster.downgrade = Downgrade { target: "3.6.0".into(), enabled: true };
    assert_eq!(cluster.next_version(&[v(7, 1), v(7, 0)]), v(6, 0));
    assert_eq!(cluster.next_version(&[v(7, 1), v(6, 14)]), None);
    cluster.version = v(6, 0);
    assert_eq!(cluster.next_version(&[v(7, 1)]), None);
}

#[test]
fn reconfiguration_keeps_a_started_quorum() {
    // Voters started and not, then: may one be added; may an unstarted, a started one go; may one be promoted.
    for (up, down, add, remove_down, remove_up, promote) in [
        (1, 0, true, true, false, true),
        (1, 1, false, true, false, true),
        (2, 0, true, true, true, true),
        (2, 1, false, true, false, true),
        (3, 0, true, true, true, true),
        (2, 2, false, true, false, true),
        (3, 2, false, true, false, true),
        (4, 1, true, true, true, true),
    ] {
        let members = (0..up).map(|i| started(i + 1)).chain((0..down).map(|i| member(i + 100)));
        let cluster = cluster(members.chain([learner(50)]));
        assert_eq!(cluster.may_add_voter(), add, "add to {up}+{down}");
        if down > 0 {
            assert_eq!(cluster.may_remove_voter(MemberId(100)), remove_down, "remove down of {up}+{down}");
        }
        assert_eq!(cluster.may_remove_voter(MemberId(1)), remove_up, "remove up of {up}+{down}");
        assert_eq!(cluster.may_promote(), promote, "promote in {up}+{down}");
    }
}

#[test]
fn restore_refuses_rows_that_etcd_does_not_write() {
    let row = |key: &'static str, value: &'static str| vec![(Bytes::from(key), Bytes::from(value))];
    for rows in [
        Rows { members: row("10", r#"{"id":17}"#), ..Rows::default() },
        Rows { members: row("1x", "{}"), ..Rows::default() },
        Rows { members: row("10", "{"), ..Rows::default() },
        Rows { members: row("", "{}"), ..Rows::default() },
        Rows { removed: row("+1", "removed"), ..Rows::default() },
        Rows { cluster: row("clusterVersion", "3.7"), ..Rows::default() },
        Rows { cluster: row("downgrade", "[]"), ..Rows::default() },
    ] {
        assert!(matches!(Cluster::restore(1, &rows), Err(ClusterError::Corrupt { .. })), "{rows:?}");
    }
    let fine = Rows { members: row("10", r#"{"peerURLs":["http://a:1"],"new":1}"#), ..Rows::default() };
    assert_eq!(Cluster::restore(1, &fine).unwrap().conf_state().voters, [16]);
}

#[derive(Clone, Debug)]
enum Op {
    Conf(Change),
    Attributes(u64, String),
    Version(u64),
    Downgrade(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let id = 1u64..5;
    let url = (0u8..6).prop_map(|n| format!("http://u{n}:1"));
    let new = (id.clone(), prop::collection::vec(url.clone(), 1..3), any::<bool>()).prop_map(
        |(id, peer_urls, is_learner)| Member { id: MemberId(id), peer_urls, is_learner, ..Member::default() },
    );
    prop_oneof![
        4 => new.prop_map(|member| Op::Conf(Change::Add(member))),
        2 => id.clone().prop_map(|id| Op::Conf(Change::Promote(MemberId(id)))),
        1 => id.clone().prop_map(|id| Op::Conf(Change::Remove(MemberId(id)))),
        2 => (id.clone(), prop::collection::vec(url, 1..3))
            .prop_map(|(id, peer_urls)| Op::Conf(Change::Update { id: MemberId(id), peer_urls })),
        1 => (id, "[a-z<&]{0,3}").prop_map(|(id, name)| Op::Attributes(id, name)),
        1 => (4u64..8).prop_map(Op::Version),
        1 => any::<bool>().prop_map(Op::Downgrade),
    ]
}

fn run(cluster: &mut Cluster, op: Op) -> Vec<Write> {
    let before = cluster.clone();
    let result = match op {
        Op::Conf(change) => apply(cluster, change).map(|changed| changed.writes),
        Op::Attributes(id, name) => cluster.set_attributes(&attributes(id, &name, &["http://c:1"])),
        Op::Version(minor) => {
            let request = membershippb::ClusterVersionSetRequest { ver: format!("3.{minor}.0") };
            cluster.set_version(&request, Version::new(3, 7, 1)).map(|set| set.writes)
        }
        Op::Downgrade(enabled) => {
            let request = membershippb::DowngradeInfoSetRequest { enabled, ver: "3.6.0".into() };
            Ok(cluster.set_downgrade(&request))
        }
    };
    result.unwrap_or_else(|_| {
        assert_eq!(*cluster, before, "a refused entry changes nothing");
        Vec::new()
    })
}

proptest! {
    /// In any order of entries: invariants hold, and what was written restores the same state.
    #[test]
    fn rows_restore_the_state(ops in prop::collection::vec(op(), 1..40)) {
        let mut cluster = Cluster::new(1);
        let mut buckets: BTreeMap<&str, BTreeMap<Bytes, Bytes>> = BTreeMap::new();
        for op in ops {
            for write in run(&mut cluster, op) {
                let rows = buckets.entry(write.bucket).or_default();
                match write.value {
                    Some(value) => rows.insert(write.key, value),
                    None => rows.remove(&write.key),
                };
            }
            let mut urls = BTreeSet::new();
            for member in cluster.members() {
                prop_assert!(!cluster.is_removed(member.id));
                let own: BTreeSet<_> = member.peer_urls.iter().collect();
                prop_assert!(own.into_iter().all(|url| urls.insert(url.clone())), "a URL is used twice");
            }
            prop_assert!(cluster.learners().count() <= 1);
            let mut rows = |bucket| buckets.entry(bucket).or_default().clone().into_iter().collect();
            let rows = Rows {
                members: rows(bucket::MEMBERS),
                removed: rows(bucket::MEMBERS_REMOVED),
                cluster: rows(bucket::CLUSTER),
            };
            prop_assert_eq!(&Cluster::restore(1, &rows).unwrap(), &cluster);
        }
    }
}

/// The same rules, told the dull way: one list of (id, url, learner), and one of ids that are gone.
#[derive(Clone, Default)]
struct Model {
    members: Vec<(u64, u8, bool)>,
    gone: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(u64, u8),
    AddLearner(u64, u8),
    Promote(u64),
    Remove(u64),
    Update(u64, u8),
}

impl Model {
    fn step(&mut self, step: Step) -> bool {
        let (Step::Add(id, _)
        | Step::AddLearner(id, _)
        | Step::Promote(id)
        | Step::Remove(id)
        | Step::Update(id, _)) = step;
        let at = self.members.iter().position(|member| member.0 == id);
        let learners = self.members.iter().filter(|member| member.2).count();
        let taken = |url: u8| self.members.iter().any(|member| member.1 == url && member.0 != id);
        if self.gone.contains(&id) {
            return false;
        }
        match (step, at) {
            (Step::Add(id, url), None) if !taken(url) => self.members.push((id, url, false)),
            (Step::AddLearner(id, url), None) if !taken(url) && learners == 0 => {
                self.members.push((id, url, true));
            }
            (Step::Promote(_), Some(at)) if self.members[at].2 => self.members[at].2 = false,
            (Step::Update(_, url), Some(at)) if !taken(url) => self.members[at].1 = url,
            (Step::Remove(_), Some(at)) => {
                self.members.remove(at);
                self.gone.push(id);
            }
            _ => return false,
        }
        true
    }
}

fn change_of(step: Step) -> Change {
    let url = |url: u8| vec![format!("http://u{url}:1")];
    let add = |id, urls, is_learner| {
        Change::Add(Member { id: MemberId(id), peer_urls: urls, is_learner, ..Member::default() })
    };
    match step {
        Step::Add(id, n) => add(id, url(n), false),
        Step::AddLearner(id, n) => add(id, url(n), true),
        Step::Promote(id) => Change::Promote(MemberId(id)),
        Step::Remove(id) => Change::Remove(MemberId(id)),
        Step::Update(id, n) => Change::Update { id: MemberId(id), peer_urls: url(n) },
    }
}

/// Goes on from a state with each step in turn, `depth` deep, and compares after each.
fn explore(cluster: &Cluster, model: &Model, depth: usize, visited: &mut usize) {
    const STEPS: [Step; 8] = [
        Step::Add(1, 1),
        Step::Add(2, 1),
        Step::AddLearner(2, 2),
        Step::AddLearner(3, 3),
        Step::Promote(2),
        Step::Update(2, 3),
        Step::Remove(2),
        Step::Remove(1),
    ];
    if depth == 0 {
        return;
    }
    for step in STEPS {
        let (mut cluster, mut model) = (cluster.clone(), model.clone());
        let accepted = apply(&mut cluster, change_of(step)).is_ok();
        assert_eq!(accepted, model.step(step), "{step:?} on {:?}", model.members);
        let mut expected: Vec<_> = model
            .members
            .iter()
            .map(|&(id, url, learner)| (id, vec![format!("http://u{url}:1")], learner))
            .collect();
        expected.sort();
        let found: Vec<_> = cluster
            .members()
            .map(|member| (member.id.0, member.peer_urls.clone(), member.is_learner))
            .collect();
        assert_eq!(found, expected, "after {step:?}");
        *visited += 1;
        // A refused step leads nowhere new.
        if accepted {
            explore(&cluster, &model, depth - 1, visited);
        }
    }
}

#[test]
fn membership_agrees_with_a_list_in_every_order_of_changes() {
    let mut visited = 0;
    explore(&Cluster::new(1), &Model::default(), 7, &mut visited);
    assert!(visited > 1000, "{visited}");
}
