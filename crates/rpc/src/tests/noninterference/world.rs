//! One policy, and what happens under it.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;
use proto::{authpb::UserAddOptions, etcdserverpb::*};

use super::{
    Totals, compare,
    keys::Keys,
    policy::{PASSWORD, Policy, USER},
    requests::{Ask, Asker},
    rng::Rng,
    script::{Script, Twin, same},
    side::Side,
    watching::{self, Watching},
};
use crate::method::Method;

const ROUNDS: usize = 4;
const ROOT_STEPS: usize = 14;
const READS: usize = 36;
const WRITES: usize = 20;
const ODD: usize = 6;
const JSON: usize = 10;
const WATCHES: usize = 3;

pub(super) struct World {
    rng: Rng,
    name: String,
    policy: Policy,
    keys: Keys,
    head: i64,
    compacted: i64,
}

/// Tokens of both members.
type Tokens = [String; 2];

/// What root sees of a member.
#[derive(PartialEq, Debug)]
struct Sight {
    kvs: Vec<proto::mvccpb::KeyValue>,
    rest: Vec<String>,
}

impl World {
    /// A world that begins at revision `start`, with nothing before it.
    pub(super) fn new(mut rng: Rng, name: String, start: i64) -> World {
        let policy = Policy::generate(&mut rng);
        let keys = Keys::generate(&mut rng, &policy);
        World { rng, name, policy, keys, head: start, compacted: start }
    }

    /// Runs, and gives the revision at which the next world can begin.
    pub(super) async fn run(mut self, sides: &mut [Side; 2], totals: &mut Totals) -> i64 {
        let root = self.found(sides).await;
        let user = self.log_in(sides, USER).await;
        let mut watches = self.watch(sides, &user).await;
        // While a watcher waits for a revision to come its stream has no progress: those have their own.
        let mut late = self.watch(sides, &user).await;
        for _ in 0..ROUNDS {
            self.prepare(sides, &root).await;
            self.send_watch_requests(&mut watches, &mut late, totals);
            self.compare_watches(&mut watches, totals).await;
            let before = [self.sight(&sides[0], &root[0]).await, self.sight(&sides[1], &root[1]).await];
            self.ask_all(sides, &user, totals).await;
            self.compare_watches(&mut watches, totals).await;
            for ((side, token), before) in sides.iter().zip(&root).zip(before) {
                let after = self.sight(side, token).await;
                self.check_untouched(before, after, totals);
            }
        }
        for _ in 0..=watching::AHEAD_MAX {
            let put = PutRequest { key: self.keys.readable[0].clone().into(), ..PutRequest::default() };
            self.must(sides, Some(&root), Method::Put, put).await;
        }
        self.compare_watches(&mut watches, totals).await;
        self.compare_watches(&mut late, totals).await;
        drop((watches, late));
        self.clear(sides, &root).await;
        self.head
    }

    async fn watch(&self, sides: &[Side; 2], user: &Tokens) -> [Watching; 2] {
        let readable = &self.keys.readable[0];
        [
            Watching::open(&sides[0], &user[0], readable).await,
            Watching::open(&sides[1], &user[1], readable).await,
        ]
    }

    fn send_watch_requests(
        &mut self,
        watches: &mut [Watching; 2],
        late: &mut [Watching; 2],
        totals: &mut Totals,
    ) {
        let mut rng = self.rng.clone();
        for _ in 0..WATCHES {
            let request = watching::request(&self.asker(), &mut rng);
            watches.iter_mut().for_each(|watch| watch.send(request.clone()));
        }
        let request = watching::from_the_future(&self.asker(), &mut rng);
        late.iter_mut().for_each(|watch| watch.send(request.clone()));
        totals.cases += WATCHES as u64 + 1;
        self.rng = rng;
    }

    fn asker(&self) -> Asker<'_> {
        Asker { keys: &self.keys, head: self.head, compacted: self.compacted, careful: false }
    }

    /// Asks both members as root, or as nobody while authentication is off.
    async fn both(&mut self, sides: &[Side; 2], tokens: Option<&Tokens>, twin: Twin) -> [Bytes; 2] {
        let Twin { method, bodies } = twin;
        let mut replies = Vec::new();
        for (n, side) in sides.iter().enumerate() {
            replies.push(side.ask(method, tokens.map(|tokens| &tokens[n][..]), &bodies[n]).await);
        }
        let mut outcomes = Vec::new();
        let mut messages = Vec::new();
        for asked in replies {
            let mut reply = asked.answer().await;
            messages.push(reply.messages.pop().unwrap_or_default());
            outcomes.push(reply.outcome);
        }
        assert_eq!(outcomes[0], outcomes[1], "{}: {method:?} of root", self.name);
        [messages.remove(0), messages.remove(0)]
    }

    /// As [`World::both`], for what has to succeed.
    async fn must(
        &mut self,
        sides: &[Side; 2],
        tokens: Option<&Tokens>,
        method: Method,
        request: impl Message,
    ) -> [Bytes; 2] {
        let messages = self.both(sides, tokens, same(method, &request)).await;
        assert!(messages.iter().all(|message| !message.is_empty()), "{}: {method:?} was refused", self.name);
        messages
    }

    async fn log_in(&mut self, sides: &[Side; 2], user: &str) -> Tokens {
        let request = AuthenticateRequest { name: user.into(), password: PASSWORD.into() };
        let replies = self.must(sides, None, Method::Authenticate, request).await;
        replies.map(|reply| AuthenticateResponse::decode(reply).expect("a reply").token)
    }

    /// Users, roles and permissions; gives root's tokens.
    async fn found(&mut self, sides: &[Side; 2]) -> Tokens {
        for name in ["root", USER, "other"] {
            let options = Some(UserAddOptions { no_password: name == "other" });
            let password = if name == "other" { String::new() } else { PASSWORD.into() };
            let add = AuthUserAddRequest { name: name.into(), password, options, ..Default::default() };
            self.must(sides, None, Method::UserAdd, add).await;
        }
        let role = "root".to_owned();
        self.must(sides, None, Method::RoleAdd, AuthRoleAddRequest { name: role.clone() }).await;
        let grant = AuthUserGrantRoleRequest { user: "root".into(), role };
        self.must(sides, None, Method::UserGrantRole, grant).await;
        for n in 0..self.policy.roles.len() {
            let role = format!("role-{n}");
            self.must(sides, None, Method::RoleAdd, AuthRoleAddRequest { name: role.clone() }).await;
            for permission in self.policy.roles[n].clone() {
                let grant = AuthRoleGrantPermissionRequest { name: role.clone(), perm: Some(permission) };
                self.must(sides, None, Method::RoleGrantPermission, grant).await;
            }
            let grant = AuthUserGrantRoleRequest { user: USER.into(), role };
            self.must(sides, None, Method::UserGrantRole, grant).await;
        }
        self.must(sides, None, Method::AuthEnable, AuthEnableRequest {}).await;
        self.log_in(sides, "root").await
    }

    /// Forgets all of it, so that the next world begins with nobody and nothing.
    async fn clear(&mut self, sides: &[Side; 2], root: &Tokens) {
        let all = Bytes::from_static(b"\0");
        let everything = DeleteRangeRequest { key: all.clone(), range_end: all, prev_kv: false };
        self.must(sides, Some(root), Method::DeleteRange, everything).await;
        for (side, token) in sides.iter().zip(root) {
            let sight = self.sight(side, token).await;
            assert_eq!(sight.kvs, [], "{}: left after everything was deleted", self.name);
        }
        // What was hidden in this world may be granted in the next, and deletions at the compacted revision itself can
        // still be watched: that revision is one of a key that both have.
        let neutral = Bytes::from_static(b"x");
        let put = PutRequest { key: neutral.clone(), ..PutRequest::default() };
        self.must(sides, Some(root), Method::Put, put).await;
        let delete = DeleteRangeRequest { key: neutral, ..DeleteRangeRequest::default() };
        self.must(sides, Some(root), Method::DeleteRange, delete).await;
        self.look(sides, root).await;
        let forget = CompactionRequest { revision: self.head, physical: false };
        self.must(sides, Some(root), Method::Compact, forget).await;
        let leases = self.must(sides, Some(root), Method::LeaseLeases, LeaseLeasesRequest {}).await;
        let leases = leases.map(|reply| LeaseLeasesResponse::decode(reply).expect("a reply").leases);
        assert_eq!(leases[0], leases[1], "{}: leases", self.name);
        for lease in &leases[0] {
            self.must(sides, Some(root), Method::LeaseRevoke, LeaseRevokeRequest { id: lease.id }).await;
        }
        self.must(sides, Some(root), Method::AuthDisable, AuthDisableRequest {}).await;
        for user in ["root", USER, "other"] {
            let delete = AuthUserDeleteRequest { name: user.into() };
            self.must(sides, None, Method::UserDelete, delete).await;
        }
        let roles = self.policy.roles.len();
        for role in (0..roles).map(|n| format!("role-{n}")).chain(["root".to_owned()]) {
            self.must(sides, None, Method::RoleDelete, AuthRoleDeleteRequest { role }).await;
        }
    }

    /// What root does before a round.
    async fn prepare(&mut self, sides: &[Side; 2], root: &Tokens) {
        for _ in 0..ROOT_STEPS {
            self.look(sides, root).await;
            let mut rng = self.rng.clone();
            let script =
                Script { policy: &self.policy, keys: &self.keys, head: self.head, compacted: self.compacted };
            let twin = script.next(&mut rng);
            self.rng = rng;
            let compacts = (twin.method == Method::Compact)
                .then(|| CompactionRequest::decode(&twin.bodies[0][..]).expect("as encoded").revision);
            let replies = self.both(sides, Some(root), twin).await;
            if let Some(revision) = compacts.filter(|_| !replies[0].is_empty()) {
                self.compacted = revision;
            }
        }
        self.look(sides, root).await;
    }

    /// Notes the revision, which is the same in both stores.
    async fn look(&mut self, sides: &[Side; 2], root: &Tokens) {
        let request = RangeRequest { key: Bytes::from_static(b"x"), ..RangeRequest::default() };
        let replies = self.must(sides, Some(root), Method::Range, request).await;
        let [one, other] = replies
            .map(|reply| RangeResponse::decode(reply).expect("a reply").header.expect("a header").revision);
        assert_eq!(one, other, "{}: revisions", self.name);
        self.head = one;
    }

    /// Everything the user asks in a round. What changes state and what does not are never asked at once, so that
    /// order and revisions are the same in both stores.
    async fn ask_all(&mut self, sides: &mut [Side; 2], user: &Tokens, totals: &mut Totals) {
        let mut rng = self.rng.clone();
        let asker = self.asker();
        let reads: Vec<Ask> = (0..READS).map(|_| asker.read(&mut rng)).collect();
        let writes: Vec<Ask> = (0..WRITES).map(|_| asker.write(&mut rng)).collect();
        let odd: Vec<Ask> = (0..ODD).map(|_| asker.odd(&mut rng)).collect();
        let json: Vec<Ask> = (0..JSON)
            .map(|_| if rng.chance(70) { asker.read(&mut rng) } else { asker.write(&mut rng) })
            .collect();
        self.rng = rng;
        let (before, after) = reads.split_at(READS / 2);
        self.ask_batch(sides, user, before, totals).await;
        self.ask_batch(sides, user, &writes, totals).await;
        self.ask_batch(sides, user, after, totals).await;
        for ask in odd {
            self.ask_batch(sides, user, &[ask], totals).await;
        }
        for ask in json {
            self.ask_json(sides, user, &ask, totals).await;
        }
    }

    /// Most often the user's token; sometimes none, or one that is not good.
    fn credentials<'a>(&mut self, user: &'a Tokens) -> [Option<&'a str>; 2] {
        match self.rng.below(20) {
            0 => [None, None],
            1 => [Some("abcdefghijklmnop.1"); 2],
            _ => [Some(&user[0]), Some(&user[1])],
        }
    }

    async fn ask_batch(&mut self, sides: &[Side; 2], user: &Tokens, asks: &[Ask], totals: &mut Totals) {
        let tokens = self.credentials(user);
        let mut asked = [Vec::new(), Vec::new()];
        for ask in asks {
            for (n, side) in sides.iter().enumerate() {
                asked[n].push(side.ask(ask.method, tokens[n], &ask.body).await);
            }
        }
        let [ones, others] = asked;
        for ((one, other), ask) in ones.into_iter().zip(others).zip(asks) {
            let (one, other) = (one.answer().await, other.answer().await);
            totals.cases += 1;
            totals.granted += u64::from(one.outcome.0 == 0);
            totals.blind_deletions += u64::from(self.is_blind_deletion(ask));
            self.compare(
                ask,
                "gRPC",
                &compare::of_grpc(ask.method, &one),
                &compare::of_grpc(ask.method, &other),
            );
        }
    }

    async fn ask_json(&mut self, sides: &mut [Side; 2], user: &Tokens, ask: &Ask, totals: &mut Totals) {
        let Some(route) = crate::gateway::route_of(ask.method) else { return };
        let tokens = self.credentials(user);
        let [one, other] = sides;
        let one = one.call_json(&route, ask.method, tokens[0], &ask.body).await;
        let other = other.call_json(&route, ask.method, tokens[1], &ask.body).await;
        let (Some(one), Some(other)) = (one, other) else { return };
        totals.cases += 1;
        totals.json += 1;
        totals.granted += u64::from(one.starts_with(b"HTTP/1.1 200"));
        self.compare(ask, "JSON", &compare::of_json(ask.method, &one), &compare::of_json(ask.method, &other));
    }

    /// Whether it wants the previous value of a key that the user may write and not read.
    fn is_blind_deletion(&self, ask: &Ask) -> bool {
        let delete = (ask.method == Method::DeleteRange).then(|| DeleteRangeRequest::decode(&ask.body[..]));
        delete.and_then(Result::ok).is_some_and(|delete| {
            delete.prev_kv
                && delete.range_end.is_empty()
                && self.policy.writes(&delete.key)
                && !self.policy.reads(&delete.key)
        })
    }

    fn compare(&self, ask: &Ask, how: &str, one: &str, other: &str) {
        assert!(
            one == other,
            "{}: {:?} over {how} of {:?} shows what is hidden\n{:?}\n{one}\n{other}",
            self.name,
            ask.method,
            Bytes::copy_from_slice(&ask.body),
            self.policy.roles,
        );
    }

    async fn compare_watches(&mut self, watches: &mut [Watching; 2], totals: &mut Totals) {
        let [one, other] = watches;
        let (one, other) = (one.collect().await, other.collect().await);
        totals.events += one.len() as u64;
        let differing = one.iter().zip(&other).find(|(one, other)| one != other);
        assert!(
            one == other,
            "{}: the watch stream shows what is hidden\n{:?}\n{} and {} items, {differing:#?}",
            self.name,
            self.policy.roles,
            one.len(),
            other.len(),
        );
    }

    /// All keys, and whatever else must not change under a user's hands.
    async fn sight(&self, side: &Side, root: &str) -> Sight {
        let all = Bytes::from_static(b"\0");
        let everything = RangeRequest { key: all.clone(), range_end: all, ..RangeRequest::default() };
        let ask = async |method, body: Vec<u8>| {
            let mut reply = side.call(method, Some(root), &body).await;
            assert_eq!(reply.outcome.0, 0, "{}: {method:?} of root", self.name);
            reply.messages.pop().expect("a message")
        };
        let range = ask(Method::Range, everything.encode_to_vec()).await;
        let status = ask(Method::AuthStatus, Vec::new()).await;
        let members = ask(Method::MemberList, Vec::new()).await;
        let alarms = ask(Method::Alarm, Vec::new()).await;
        let hash = ask(Method::HashKv, Vec::new()).await;
        let status = AuthStatusResponse::decode(status).expect("a reply");
        let rest = vec![
            format!("{} {}", status.enabled, status.auth_revision),
            format!("{:?}", MemberListResponse::decode(members).expect("a reply").members),
            format!("{:?}", AlarmResponse::decode(alarms).expect("a reply").alarms),
            format!("{}", HashKvResponse::decode(hash).expect("a reply").compact_revision),
        ];
        Sight { kvs: RangeResponse::decode(range).expect("a reply").kvs, rest }
    }

    /// Of what the user was not granted for writing, nothing has changed, and nothing was attached to a lease of such
    /// keys: its end would be theirs, too.
    fn check_untouched(&self, mut before: Sight, mut after: Sight, totals: &mut Totals) {
        let foreign: BTreeSet<i64> = before
            .kvs
            .iter()
            .filter(|kv| kv.lease != 0 && !self.policy.writes(&kv.key))
            .map(|kv| kv.lease)
            .collect();
        for kv in &after.kvs {
            let was = before.kvs.iter().find(|was| was.key == kv.key).map_or(0, |was| was.lease);
            let attached = kv.lease != 0 && kv.lease != was;
            totals.attached += u64::from(attached);
            assert!(
                !attached || !foreign.contains(&kv.lease),
                "{}: {:?} was attached to lease {}, which has keys of others\n{:?}",
                self.name,
                kv.key,
                kv.lease,
                self.policy.roles,
            );
        }
        for sight in [&mut before, &mut after] {
            sight.kvs.retain(|kv| !self.policy.writes(&kv.key));
        }
        assert_eq!(before, after, "{}: touched without a grant\n{:?}", self.name, self.policy.roles);
    }
}
