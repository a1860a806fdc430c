//! One member in steps, and the others played by the test: for what depends on the order of things within one turn.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Instant,
};

use consensus::{Message, MessageKind};
use node::{
    Caller, Config, Error, PeerAddress, PeerInput, Peers, Port, RunningCluster, SnapshotImage,
    stepping::{Part, Stepped, ToldTime},
};
use proto::etcdserverpb::{LeaseGrantRequest, LeaseKeepAliveRequest, RangeRequest};
use types::{MemberId, Moment};
use vfs::SimDisk;

/// What the member says, and to whom.
#[derive(Clone, Default)]
struct Door(Arc<Mutex<(Vec<Message>, Vec<PeerAddress>)>>, Option<Instant>);

impl Peers for Door {
    fn send(&mut self, messages: Vec<Message>) {
        self.0.lock().unwrap().0.extend(messages);
    }

    fn send_snapshot(&mut self, _: Message, _: SnapshotImage) {}

    fn set_peers(&mut self, others: Vec<PeerAddress>) {
        self.0.lock().unwrap().1 = others;
    }

    fn active_since(&self, _: MemberId) -> Option<Instant> {
        self.1
    }
}

struct World {
    member: Stepped,
    door: Door,
    time: ToldTime,
}

/// What another member answers if all is well; `None` to what needs no answer.
fn answer(message: &Message) -> Option<Message> {
    let kind = match message.kind {
        MessageKind::PreVote => MessageKind::PreVoteResp,
        MessageKind::Vote => MessageKind::VoteResp,
        MessageKind::Append => MessageKind::AppendResp,
        MessageKind::Heartbeat => MessageKind::HeartbeatResp,
        _ => return None,
    };
    let index = message.index + message.entries.len() as u64;
    let (from, to, term) = (message.to, message.from, message.term);
    Some(Message { kind, from, to, term, index, context: message.context.clone(), ..Message::default() })
}

fn config() -> Config {
    Config {
        initial_cluster: "a=http://a:2380,b=http://b:2380,c=http://c:2380".into(),
        advertise_peer_urls: vec!["http://a:2380".into()],
        reserve_bytes: 0,
        ..Config::new("a", "/data")
    }
}

impl World {
    fn new() -> World {
        World::on(SimDisk::new(), 0)
    }

    /// A life of the member on that disk.
    fn on(disk: SimDisk, seed: u64) -> World {
        World::behind(Door::default(), disk, seed)
    }

    fn behind(door: Door, disk: SimDisk, seed: u64) -> World {
        let time = ToldTime::default();
        let config = Config { seed, ..config() };
        let peers = Box::new(door.clone());
        let member = Stepped::start(config, Arc::new(disk), time.clone(), |_| Ok(peers)).unwrap();
        World { member, door, time }
    }

    /// Lets everybody do what there is to do, the others answering as they should.
    fn settle(&mut self) {
        loop {
            self.member.turn();
            for part in Part::ALL {
                while self.member.take_jobs(part) {
                    assert!(!self.member.work(part, false));
                }
            }
            let sent = std::mem::take(&mut self.door.0.lock().unwrap().0);
            let answers: Vec<Message> = sent.iter().filter_map(answer).collect();
            if !answers.is_empty() {
                self.member.handle().peer_input(PeerInput::Messages(answers));
            } else if !self.member.has_inputs() {
                return;
            }
        }
    }

    fn wait(&mut self, millis: u64) {
        let later = Moment(self.time.now().0 + millis * 1_000_000);
        self.time.set(later, later.0 / 1_000_000);
    }

    fn own(&self) -> u64 {
        self.member.handle().summary().member_id.0
    }

    /// One of the others leads, and the member hears of it.
    fn follow(&mut self, term: u64) -> u64 {
        self.settle();
        let leader = self.door.0.lock().unwrap().1[0].id.0;
        let kind = MessageKind::Heartbeat;
        let heartbeat = Message { kind, from: leader, to: self.own(), term, ..Message::default() };
        self.member.handle().peer_input(PeerInput::Messages(vec![heartbeat]));
        self.settle();
        leader
    }

    /// What the member asked to be told the index for.
    fn take_question(&mut self) -> Message {
        self.member.turn();
        let mut sent = std::mem::take(&mut self.door.0.lock().unwrap().0);
        sent.retain(|message| message.kind == MessageKind::ReadIndex);
        sent.pop().unwrap()
    }

    fn leads(&self) -> bool {
        self.member.figures().unwrap().leader == self.member.handle().summary().member_id.0
    }
}

/// Carries letters, then looks whether the call has ended.
fn poll<T>(port: &Port, call: &mut std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    let _ = pin!(port.drive()).poll(&mut context);
    match call.as_mut().poll(&mut context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => {
            let _ = pin!(port.drive()).poll(&mut context);
            None
        }
    }
}

/// Found by the simulator: what a leader slept through can arrive in one turn, the news that another leads first and
/// then a renewal. It must not be renewed by who does not lead any more, though nobody has told the leases yet.
#[test]
fn a_leader_that_was_paused_renews_nothing_once_it_knows_another() {
    let mut world = World::new();
    for _ in 0..100 {
        world.settle();
        world.wait(50);
    }
    assert!(world.leads());
    let port = world.member.handle().port();
    let grant = LeaseGrantRequest { id: 7, ttl: 60 };
    let mut call = pin!(port.lease_grant(Caller::default(), grant));
    assert_eq!(poll(&port, &mut call), None);
    world.settle();
    assert_eq!(poll(&port, &mut call).unwrap().unwrap().ttl, 60);
    let mut renewal = pin!(port.lease_keep_alive(Caller::default(), LeaseKeepAliveRequest { id: 7 }));
    assert_eq!(poll(&port, &mut renewal), None);
    world.settle();
    assert_eq!(poll(&port, &mut renewal).unwrap().unwrap().ttl, 60, "a leader renews");

    world.wait(5_000);
    let own = world.member.handle().summary().member_id.0;
    let other = world.door.0.lock().unwrap().1[0].id.0;
    let term = world.member.figures().unwrap().term + 1;
    let news = Message { kind: MessageKind::Heartbeat, from: other, to: own, term, ..Message::default() };
    world.member.handle().peer_input(PeerInput::Messages(vec![news]));
    let mut late = pin!(port.lease_keep_alive(Caller::default(), LeaseKeepAliveRequest { id: 7 }));
    assert_eq!(poll(&port, &mut late), None);
    world.member.turn();
    assert!(!world.leads());
    assert_eq!(poll(&port, &mut late), Some(Err(Error::NotPrimary)));
}

/// Found by the simulator: a leader that stops, and loses its leadership without hearing who leads, has nothing to do
/// until it gives up. When that was due the core took turns without a pause until it came to its housekeeping.
#[test]
fn a_leader_that_stops_sleeps_until_it_gives_up() {
    let mut world = World::behind(Door(Arc::default(), Some(Instant::now())), SimDisk::new(), 0);
    for _ in 0..100 {
        world.settle();
        world.wait(50);
    }
    assert!(world.leads());
    world.wait(130);
    world.settle();
    world.member.stop();
    world.member.turn();
    let (from, to) = (world.door.0.lock().unwrap().1[0].id.0, world.own());
    let figures = world.member.figures().unwrap();
    let (term, index, log_term) = (figures.term + 1, figures.last_index, figures.term);
    let vote = Message { kind: MessageKind::Vote, from, to, term, index, log_term, ..Message::default() };
    // The other was asked to lead at once, so nobody waits for the leader to be silent.
    let vote = Message { context: b"CampaignTransfer"[..].into(), ..vote };
    world.member.handle().peer_input(PeerInput::Messages(vec![vote]));
    world.member.turn();
    assert_eq!(world.member.figures().unwrap().leader, 0);
    let begun = world.time.now();
    while let Some(due) = world.member.next_wake() {
        assert!(due > world.time.now(), "it wants a turn at once, {:?} after", due.since(begun));
        world.time.set(due, due.0 / 1_000_000);
        world.member.turn();
        assert!(due.since(begun) < 2 * config().request_timeout(), "it stops");
    }
    assert!(world.time.now().since(begun) > config().request_timeout() / 2, "it waited");
}

/// Its votes and what it acknowledged are gone with the disk, however it says that it joins.
#[test]
fn a_member_that_lost_its_disk_does_not_come_back_under_its_id() {
    let mut world = World::new();
    world.settle();
    let handle = world.member.handle();
    let summary = handle.summary();
    let others = world.door.0.lock().unwrap().1.clone();
    let own = PeerAddress { id: summary.member_id, urls: vec!["http://a:2380".into()] };
    let members = [vec![own], others].concat();
    for join_existing in [false, true] {
        let start = |started: Vec<MemberId>| {
            let running = RunningCluster { id: summary.cluster_id, members: members.clone(), started };
            let config = Config { join_existing, running_cluster: Some(running), ..config() };
            let peers = Box::new(Door::default());
            Stepped::start(config, Arc::new(SimDisk::new()), ToldTime::default(), |_| Ok(peers))
        };
        let refused = start(vec![summary.member_id]).err().expect("it is known").to_string();
        let wanted = format!("member {} has already been bootstrapped", summary.member_id);
        assert!(refused.starts_with(&wanted), "{refused}");
        assert!(start(members[1..].iter().map(|member| member.id).collect()).is_ok(), "nobody has seen it");
    }
}

/// A leader that waits for its quorum keeps a question for longer than a killed member needs to come back, and then
/// answers with the index of that time. The next life must not take that for an answer to a question of its own: its
/// reader may have seen later writes.
#[test]
fn an_answer_to_the_life_before_confirms_no_read() {
    let read = || RangeRequest { key: "a".into(), ..RangeRequest::default() };
    let disk = SimDisk::new();
    let (term, mut questions) = (5, Vec::new());
    let mut disks = vec![disk.clone(), disk];
    for (seed, disk) in disks.drain(..).enumerate() {
        let disk = if seed == 0 { disk } else { disk.kill() };
        let mut world = World::on(disk, seed as u64);
        let leader = world.follow(term);
        let port = world.member.handle().port();
        let mut call = pin!(port.range(Caller::default(), read()));
        assert!(poll(&port, &mut call).is_none());
        questions.push(world.take_question());
        let answer = |question: &Message| Message {
            kind: MessageKind::ReadIndexResp,
            from: leader,
            to: world.own(),
            term,
            entries: question.entries.clone(),
            ..Message::default()
        };
        if seed == 0 {
            continue;
        }
        let (old, new) = (answer(&questions[0]), answer(&questions[1]));
        world.member.handle().peer_input(PeerInput::Messages(vec![old]));
        world.settle();
        assert!(poll(&port, &mut call).is_none(), "answered by the index of the life before");
        world.member.handle().peer_input(PeerInput::Messages(vec![new]));
        world.settle();
        assert!(poll(&port, &mut call).is_some_and(|answer| answer.is_ok()));
    }
}
