//! Clients and watchers: who asks what of which member, and what becomes of the answers.

use std::task::{Context, Poll};

use node::{Caller, WatchFrame};
use prost::Message;
use proto::etcdserverpb::{
    WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};

use crate::{
    call::{Answer, Ask, Outcome, Who, call},
    check::{
        Violation, violation,
        watch::{Stream, Watched},
    },
    load::Seen,
    lockers::LOCKERS,
    machine::{Life, OpenCall, OpenStream},
    options::{MILLIS, SECOND},
    world::{Event, World},
};

/// The simulator's own calls.
const PROBE: usize = usize::MAX;
/// Calls of who changes the membership.
pub(crate) const OPERATOR: usize = usize::MAX - 1;

/// A watcher, over all the streams that it opens.
pub(crate) struct Watcher {
    pub(crate) watched: Watched,
    /// Where its stream is.
    pub(crate) at: Option<usize>,
    /// Looks only now and then.
    slow: bool,
}

impl World {
    /// Plans the first call of each client and the first stream of each watcher.
    pub(crate) fn plan_clients(&mut self) {
        for client in 0..self.options.clients {
            let at = 2 * SECOND + self.load.random.below(SECOND);
            self.heap.plan(at, Event::Client { client });
        }
        for watcher in 0..self.options.watchers {
            let (key, mut range_end) = self.load.range();
            if range_end == key {
                // An empty range is refused.
                range_end.clear();
            }
            let watched = Watched::new(key, range_end, self.load.random.one_in(2), 0);
            let slow = self.load.random.one_in(4);
            self.watchers.push(Watcher { watched, at: None, slow });
            let at = 2 * SECOND + self.load.random.below(5 * SECOND);
            self.heap.plan(at, Event::Watcher { watcher });
        }
    }

    /// A place where a member runs; most clients find one that takes calls now, some wait at one that is paused.
    pub(crate) fn serving(&mut self) -> Option<usize> {
        let patient = self.load.random.one_in(3);
        let ready = |place: &usize| {
            let machine = &self.machines[*place];
            machine.life.is_some() && (patient || machine.paused_until <= self.now)
        };
        let places: Vec<usize> = (0..self.machines.len()).filter(ready).collect();
        if places.is_empty() { None } else { Some(*self.load.random.pick(&places)) }
    }

    /// A client makes its next call.
    pub(crate) fn client(&mut self, client: usize) {
        if self.settling {
            return;
        }
        if client >= LOCKERS {
            return self.locker(client);
        }
        let Some(mut place) = self.serving() else {
            return self.heap.plan(self.now + SECOND, Event::Client { client });
        };
        let ask = self.next_calls.remove(&client).unwrap_or_else(|| {
            let model = &self.history.model;
            let seen = Seen { revision: model.revision, compacted: model.compacted };
            let ids: Vec<u64> = self.machines.iter().map(|machine| machine.id.0).collect();
            self.load.draw(seen, &ids)
        });
        if let Ask::Compact(_) = &ask
            && self.options.close
        {
            // Somebody begins to read what is about to go.
            self.move_watcher();
        }
        if let Ask::KeepAlive(_) | Ask::MoveLeader(_) = &ask
            && let Some(leader) = self.leader()
        {
            // Only a leader answers these; others pass them on outside of the core.
            place = leader;
        }
        if let Ask::Revoke(request) = &ask {
            self.leases.revoke_asked(request.id);
        }
        self.call(client, place, ask);
    }

    /// A place whose member takes itself for the leader.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.machines.iter().position(|machine| {
            let figures = machine.life.as_ref().and_then(|life| life.stepped.figures());
            figures.is_some_and(|figures| figures.leader == machine.id.0)
        })
    }

    /// A call of the simulator itself; its answer is in `probed`.
    pub(crate) fn probe(&mut self, place: usize, ask: Ask) {
        self.probed.remove(&place);
        self.call(PROBE, place, ask);
    }

    pub(crate) fn call(&mut self, client: usize, place: usize, ask: Ask) {
        let who = match &ask {
            _ if client >= LOCKERS => Who::Internal,
            // Nobody else may, mostly.
            Ask::Auth(_) if self.load.random.below(8) > 0 => self.load.root(self.history.model.users.now()),
            _ => self.load.who(self.history.model.users.now()),
        };
        let applied = self.raft.applied_by(self.machines[place].id.0);
        let called = self.history.called(&ask, self.now, applied);
        let Some(life) = &mut self.machines[place].life else { return };
        let pending = call(life.port.clone(), &who, ask.clone());
        life.calls.push(OpenCall { client, who, ask, called, pending });
        life.wake();
        self.poll(place);
        self.touch(place);
    }

    /// Carries requests to a core and answers to clients.
    pub(crate) fn poll(&mut self, place: usize) {
        while let Some(life) = self.machines[place].life.as_mut().filter(|life| life.is_woken()) {
            let ended = life.poll();
            for (open, outcome) in ended {
                self.answered(place, open, outcome);
            }
            self.poll_streams(place, false);
        }
    }

    fn answered(&mut self, place: usize, open: OpenCall, outcome: Outcome) {
        let OpenCall { client, who, ask, mut called, .. } = open;
        let shown = outcome.as_ref().map_or(-1, Answer::revision);
        self.trace.note(self.now, "answer", &[place as u64, client as u64, shown as u64]);
        self.count(if outcome.is_ok() { ask.name() } else { "call failed" });
        if let Ok(Answer::KeepAlive(renewed)) = &outcome
            && renewed.header.as_ref().is_some_and(|header| header.raft_term < self.raft.newest_term_led())
        {
            // A leader that does not know yet that it is none need not know newer leases, in etcd neither.
            called.had_lease = false;
        }
        if let Err(node::Error::Storage(_)) = &outcome
            && self.machines[place].may_give_up()
        {
            self.count("hurt member refused to answer");
        } else if let Err(node::Error::Rejected(node::Rejection::NoSpace)) = &outcome
            && self.was_full(called.at)
        {
            self.count("refused for lack of space");
        } else {
            let checked = self.history.answered(&who, &ask, called, &outcome);
            self.judge(checked);
        }
        match (&ask, &outcome) {
            (Ask::Grant(_), Ok(Answer::Grant(grant))) => {
                if client < LOCKERS {
                    self.load.granted(grant.id);
                }
                // The answer may come when the lease has ended.
                if self.history.model.leases.contains_key(&grant.id) {
                    self.leases.promised(grant.id, grant.ttl, called.at);
                }
            }
            (Ask::KeepAlive(_), Ok(Answer::KeepAlive(renewed)))
                if renewed.ttl > 0 && self.history.model.leases.contains_key(&renewed.id) =>
            {
                self.leases.promised(renewed.id, renewed.ttl, called.at);
            }
            _ => {}
        }
        if client == PROBE {
            self.probed.insert(place, outcome);
        } else if client == OPERATOR {
            self.operator_told(place, &outcome);
        } else if client >= LOCKERS {
            self.locker_told(client, &ask, called, &outcome);
        } else {
            let think = self.load.random.around(self.options.think);
            let think = if self.follow_up(client, &ask, &outcome) { think.min(MILLIS) } else { think };
            self.heap.plan(self.now + think, Event::Client { client });
        }
    }

    /// Whether the client has its next call ready. What follows a compaction closely may be a fault, too.
    fn follow_up(&mut self, client: usize, ask: &Ask, outcome: &Outcome) -> bool {
        let Ok(answer) = outcome else { return false };
        if !self.options.close || self.settling {
            return false;
        }
        if let Ask::Compact(_) = ask
            && !self.options.faults.is_empty()
            && self.chance.one_in(4)
        {
            let soon = self.chance.below(300 * MILLIS);
            self.heap.plan(self.now + soon, Event::Accident);
        }
        let next = self.load.follow(ask, answer.revision());
        let any = next.is_some();
        self.next_calls.extend(next.map(|next| (client, next)));
        any
    }

    /// The member is gone: nobody knows what became of the calls, and all streams are broken.
    pub(crate) fn abandon(&mut self, life: Life) {
        for open in &life.calls {
            self.count("call lost");
            if open.client == OPERATOR {
                self.operator_lost();
            } else if open.client != PROBE {
                let think = self.load.random.around(self.options.think);
                self.heap.plan(self.now + think, Event::Client { client: open.client });
            }
        }
        for stream in &life.streams {
            self.watchers[stream.watcher].at = None;
            let pause = self.load.random.around(SECOND);
            self.heap.plan(self.now + pause, Event::Watcher { watcher: stream.watcher });
        }
    }

    /// A watcher opens a stream, or a slow one looks at its own.
    pub(crate) fn watcher(&mut self, watcher: usize) {
        if let Some(place) = self.watchers[watcher].at {
            if self.watchers[watcher].slow {
                self.poll_streams(place, true);
                self.poll(place);
            }
            self.ask_progress(watcher, place);
            self.touch(place);
            let pause = self.load.random.around(3 * SECOND);
            return self.heap.plan(self.now + pause, Event::Watcher { watcher });
        }
        let again = self.now + SECOND;
        self.heap.plan(again, Event::Watcher { watcher });
        let Some(place) = self.serving() else { return };
        let Watcher { watched, at, .. } = &mut self.watchers[watcher];
        *at = Some(place);
        watched.reopen();
        let create = WatchCreateRequest {
            key: watched.key.clone(),
            range_end: watched.range_end.clone(),
            start_revision: watched.next,
            prev_kv: watched.prev_kv,
            progress_notify: self.load.random.one_in(2),
            fragment: self.load.random.one_in(2),
            ..WatchCreateRequest::default()
        };
        let Some(life) = &mut self.machines[place].life else { return };
        let (input, output) = life.port.open_watch(Caller::internal());
        input.send(WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) });
        life.streams.push(OpenStream { watcher, input, output });
        life.wake();
        self.count("watch opened");
        self.poll(place);
        self.touch(place);
    }

    fn ask_progress(&mut self, watcher: usize, place: usize) {
        if !self.load.random.one_in(3) {
            return;
        }
        let Some(life) = &self.machines[place].life else { return };
        if let Some(stream) = life.streams.iter().find(|stream| stream.watcher == watcher) {
            let request = RequestUnion::ProgressRequest(WatchProgressRequest {});
            stream.input.send(WatchRequest { request_union: Some(request) });
            life.wake();
        }
        self.poll(place);
    }

    /// Takes what has come on the streams of a place, on the slow ones only when asked to.
    fn poll_streams(&mut self, place: usize, slow: bool) {
        let Some(life) = &mut self.machines[place].life else { return };
        let waker = life.waker();
        let mut context = Context::from_waker(&waker);
        let (mut frames, mut broken) = (Vec::new(), Vec::new());
        for stream in &mut life.streams {
            if self.watchers[stream.watcher].slow != slow && !self.settling {
                continue;
            }
            loop {
                let next = std::pin::pin!(stream.output.next());
                match std::future::Future::poll(next, &mut context) {
                    Poll::Ready(Some(Ok(frame))) => frames.push((stream.watcher, frame)),
                    Poll::Ready(Some(Err(_)) | None) => {
                        broken.push(stream.watcher);
                        break;
                    }
                    Poll::Pending => break,
                }
            }
        }
        for (watcher, frame) in frames {
            match self.frame(watcher, &frame) {
                Ok(Stream::Open) => {}
                Ok(Stream::Compacted(at)) => {
                    self.count("watch compacted");
                    self.watchers[watcher].watched.next = at;
                    broken.push(watcher);
                }
                Err(wrong) => self.judge(Err(wrong)),
            }
        }
        for watcher in broken {
            self.watchers[watcher].at = None;
            if let Some(life) = &mut self.machines[place].life {
                life.streams.retain(|stream| stream.watcher != watcher);
                life.wake();
            }
        }
    }

    fn frame(&mut self, watcher: usize, frame: &WatchFrame) -> Result<Stream, Violation> {
        let bytes = [frame.head(), frame.body()].concat();
        let Ok(response) = WatchResponse::decode(&bytes[..]) else {
            return violation("a watch response cannot be decoded");
        };
        let facts = [
            watcher as u64,
            response.events.len() as u64,
            response.header.as_ref().map_or(0, |h| h.revision) as u64,
        ];
        self.trace.note(self.now, "watch", &facts);
        *self.counters.entry("watch event").or_default() += response.events.len() as u64;
        self.watchers[watcher].watched.received(&self.history.model, &response)
    }

    /// Now and then a watcher gives up its stream and begins somewhere else: in the past, or in the future.
    pub(crate) fn move_watcher(&mut self) {
        if self.watchers.is_empty() {
            return;
        }
        let watcher = self.load.random.below(self.watchers.len() as u64) as usize;
        let Watcher { watched, at, .. } = &mut self.watchers[watcher];
        let Some(place) = at.take() else { return };
        let model = &self.history.model;
        let (low, high) = (model.compacted.max(1) as u64, model.revision as u64 + 5);
        let behind = (low + 1).min(high);
        watched.next = match self.load.random.below(6) {
            0 | 1 => low,
            2 => behind,
            _ => self.load.random.between(low, high.max(low)),
        } as i64;
        if let Some(life) = &mut self.machines[place].life {
            life.streams.retain(|stream| stream.watcher != watcher);
            life.wake();
        }
        self.poll(place);
        self.touch(place);
        self.heap.plan(self.now + MILLIS, Event::Watcher { watcher });
    }
}
