//! A machine: a disk, a clock, and the member that runs on it, if one does.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use node::{
    BootError, Config, Port, TokenKind, WatchInput, WatchOutput,
    stepping::{Part, Stepped, ToldTime},
};
use types::{MemberId, Moment};
use vfs::{Disk, SimDisk};

use crate::{
    call::{Ask, Outcome, Pending, Who},
    check::history::Called,
    damage::{Damage, Hurt},
    network::Door,
    options::Options,
};

/// Milliseconds since 1970 at the beginning of every world.
const BEGIN_UNIX_MS: i64 = 1_760_000_000_000;
const MILLION: i128 = 1_000_000;

/// See the module.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) disk: SimDisk,
    pub(crate) life: Option<Life>,
    /// Lives so far.
    pub(crate) lives: u64,
    /// Known after the first start.
    pub(crate) id: MemberId,
    pub(crate) door: Door,
    /// How much its clock goes wrong, in parts per million.
    pub(crate) drift: i64,
    /// How much its wall clock is off, in milliseconds.
    pub(crate) wall_off: i64,
    /// Nothing runs on it before this time of the world.
    pub(crate) paused_until: u64,
    /// Its disk finishes nothing before this time.
    pub(crate) stalled_until: u64,
    /// The operator has asked for its removal.
    pub(crate) leaving: bool,
    /// It is no member any more, and nothing starts on it.
    pub(crate) gone: bool,
    /// A fault of the disk may stop the member.
    pub(crate) may_fail: bool,
    /// Its disk is full until then; 0 when it never was.
    pub(crate) full_until: u64,
    /// Somebody takes what is free on its disk.
    pub(crate) filled: bool,
    /// Its disk did not keep what it was given.
    pub(crate) hurt: Option<Hurt>,
    /// What of it reads wrong, as long as nobody can have written there.
    pub(crate) damages: Vec<Damage>,
    /// It will not start again: the operator replaces it.
    pub(crate) broken: bool,
    /// It has a vote, as far as the operator knows.
    pub(crate) voter: bool,
    /// It has told the others where clients find it.
    pub(crate) published: bool,
    /// When it was told last that a message did not get through.
    pub(crate) unreachable_told_at: u64,
}

/// A member between a start and its end.
pub(crate) struct Life {
    pub(crate) number: u64,
    pub(crate) stepped: Stepped,
    pub(crate) port: Port,
    /// Carries letters both ways; gone when the core has ended.
    drive: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Flag>,
    pub(crate) calls: Vec<OpenCall>,
    pub(crate) streams: Vec<OpenStream>,
    time: ToldTime,
    born_at: u64,
    /// When the next turn of the core is planned.
    pub(crate) turn_at: Option<u64>,
    /// Turns that the core wanted at once, with nothing to take in, one after the other.
    pub(crate) spins: u32,
    /// Which workers have jobs under way.
    pub(crate) busy: [bool; Part::ALL.len()],
}

/// A call that waits for its answer.
pub(crate) struct OpenCall {
    pub(crate) client: usize,
    pub(crate) who: Who,
    pub(crate) ask: Ask,
    pub(crate) called: Called,
    pub(crate) pending: Pending,
}

/// A watch stream with one watcher on it.
pub(crate) struct OpenStream {
    pub(crate) watcher: usize,
    pub(crate) input: WatchInput,
    pub(crate) output: WatchOutput,
}

/// A waker that only remembers that it was called.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The peer URL of a member.
pub(crate) fn peer_url(name: &str) -> String {
    format!("http://{name}:2380")
}

impl Machine {
    pub(crate) fn new(place: usize, names: &[String], options: &Options) -> Machine {
        let name = names[place].clone();
        let cluster: Vec<String> = names.iter().map(|name| format!("{name}={}", peer_url(name))).collect();
        let config = Config {
            initial_cluster: cluster.join(","),
            advertise_peer_urls: vec![peer_url(&name)],
            advertise_client_urls: vec![format!("http://{name}:2379")],
            tick: options.tick,
            election_ticks: options.election_ticks,
            pre_vote: options.pre_vote,
            snapshot_count: options.snapshot_count,
            snapshot_catchup_entries: options.catchup_entries,
            append_bytes_max: options.append_bytes_max,
            segment_bytes: options.segment_bytes,
            wals_max: options.wals_max,
            // Who has logged in is known without passwords.
            tokens: TokenKind::Signed,
            reserve_bytes: options.reserve_bytes,
            ..Config::new(&name, "/data")
        };
        Machine {
            name,
            config,
            disk: SimDisk::new(),
            life: None,
            lives: 0,
            id: MemberId(0),
            door: Door::default(),
            drift: 0,
            wall_off: 0,
            paused_until: 0,
            stalled_until: 0,
            leaving: false,
            gone: false,
            may_fail: false,
            full_until: 0,
            filled: false,
            hurt: None,
            damages: Vec::new(),
            broken: false,
            voter: true,
            published: false,
            unreachable_told_at: 0,
        }
    }

    /// A member that others count on.
    pub(crate) fn is_well(&self) -> bool {
        self.published && self.voter && self.hurt.is_none() && !self.broken && !self.leaving && !self.gone
    }

    /// Whether it may stop, or not start.
    pub(crate) fn may_give_up(&self) -> bool {
        self.may_fail || self.leaving || self.hurt.is_some()
    }

    /// Starts the member, at a time of the world, with randomness of its own.
    pub(crate) fn start(&mut self, now: u64, seed: u64) -> Result<(), BootError> {
        self.lives += 1;
        let time = ToldTime::default();
        time.set(Moment(0), self.unix_ms(now));
        let config = Config { seed, ..self.config.clone() };
        self.door = Door::default();
        let (door, disk): (_, Arc<dyn Disk>) = (self.door.clone(), Arc::new(self.disk.clone()));
        let stepped = Stepped::start(config, disk, time.clone(), |_| Ok(Box::new(door)))?;
        self.id = stepped.handle().summary().member_id;
        let port = stepped.handle().port();
        let driven = port.clone();
        self.life = Some(Life {
            number: self.lives,
            stepped,
            port,
            drive: Some(Box::pin(async move { driven.drive().await })),
            woken: Arc::default(),
            calls: Vec::new(),
            streams: Vec::new(),
            time,
            born_at: now,
            turn_at: None,
            spins: 0,
            busy: [false; Part::ALL.len()],
        });
        Ok(())
    }

    fn unix_ms(&self, now: u64) -> u64 {
        let since = (now / 1_000_000) as i64;
        (BEGIN_UNIX_MS + since + self.wall_off).max(0) as u64
    }

    /// Sets its clocks to what they show at a time of the world.
    pub(crate) fn set_clock(&self, now: u64) {
        if let Some(life) = &self.life {
            let shown = i128::from(now - life.born_at) * (MILLION + i128::from(self.drift)) / MILLION;
            life.time.set(Moment(shown as u64), self.unix_ms(now));
        }
    }

    /// When, in the world, its clock will show that moment.
    pub(crate) fn world_time(&self, moment: Moment) -> u64 {
        let Some(life) = &self.life else { return u64::MAX };
        let rate = MILLION + i128::from(self.drift);
        life.born_at + ((i128::from(moment.0) * MILLION + rate - 1) / rate) as u64
    }

    /// What its door should say of when a member came into reach.
    pub(crate) fn set_reach(&self, other: MemberId, reached: bool) {
        if let Some(life) = &self.life {
            self.door.set_active(other, reached.then(|| life.time.instant(life.time.now())));
        }
    }
}

impl Life {
    /// Carries requests to the core and its answers back. Gives the calls that have ended.
    pub(crate) fn poll(&mut self) -> Vec<(OpenCall, Outcome)> {
        let mut ended = Vec::new();
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut context = Context::from_waker(&waker);
        while self.woken.0.swap(false, Ordering::Relaxed) {
            self.drive.take_if(|drive| drive.as_mut().poll(&mut context).is_ready());
            let mut place = 0;
            while place < self.calls.len() {
                match self.calls[place].pending.as_mut().poll(&mut context) {
                    std::task::Poll::Ready(outcome) => ended.push((self.calls.remove(place), outcome)),
                    std::task::Poll::Pending => place += 1,
                }
            }
        }
        ended
    }

    /// Has the next poll look at everything: something was asked.
    pub(crate) fn wake(&self) {
        self.woken.0.store(true, Ordering::Relaxed);
    }

    /// Whether something has come for a client, or was asked.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::Relaxed)
    }

    /// What streams wake.
    pub(crate) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.woken))
    }
}
