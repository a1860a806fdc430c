//! A member without threads, for a simulator: whoever holds it says which worker goes on, and when.
//!
//! The workers are those that the threads run, turn for turn; only who calls them, and what time it is, differs.
//! With a reserve, a write that finds the disk full waits: its turn stops in the middle and goes on with the next step.
//! Such turns have a thread of their own, and never run at the same time as anything else. Without a reserve the write
//! fails as at a start.

mod hand;

use std::{collections::BTreeMap, io, sync::Arc, sync::mpsc::Receiver, time::Duration};

use types::{Moment, Write, raft::Entry};
use vfs::Disk;

use hand::Hand;

pub use crate::core::ToldTime;
use crate::{
    BootError, Config, NodeHandle, Peers, Repairs,
    backend_thread::BackendThread,
    boot::{Company, Ready, make_ready, space::Space},
    core::{Clock, Core},
    inbox::Inbox,
    input::Input,
    log_thread::{LogThread, Preparer},
    reader_thread::Reader,
};

/// The workers beside the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Appends to the WAL.
    Log,
    /// Makes WAL segments ahead of use.
    Preparer,
    /// Commits to the backend file.
    Backend,
    /// Reads history and hashes.
    Reader,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 4] = [Part::Log, Part::Preparer, Part::Backend, Part::Reader];
}

/// A member without threads.
pub struct Stepped {
    core: Option<Core>,
    inbox: Arc<Inbox<Input>>,
    inputs: Vec<Input>,
    stage: Stage,
    log: Hand<LogThread>,
    preparer: Hand<Preparer>,
    backend: Hand<BackendThread>,
    reader: Hand<Reader>,
    space: Arc<Space>,
    /// Writes wait for space.
    patient: bool,
    clock: Clock,
    reserve_grown_at: Moment,
    handle: NodeHandle,
    published: Receiver<()>,
    repairs: Repairs,
}

#[derive(Debug)]
enum Stage {
    Running,
    /// The last batch is on its way to the file.
    Sealing,
    Ended(Result<(), String>),
}

/// What consensus stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftFigures {
    /// Raft's term.
    pub term: u64,
    /// For whom it voted in that term; 0 = nobody.
    pub vote: u64,
    /// Highest committed index it knows, inclusive.
    pub commit: u64,
    /// Last index of its log, durable or not.
    pub last_index: u64,
    /// Whom it takes for the leader; 0 = nobody.
    pub leader: u64,
    /// Highest applied index, inclusive.
    pub applied: u64,
    /// The store's revision.
    pub revision: i64,
    /// The store's compacted revision.
    pub compacted: i64,
}

impl Stepped {
    /// A member on `config`'s directory, with `connect`'s door to the others.
    ///
    /// # Errors
    /// See [`BootError`].
    pub fn start(
        config: Config,
        disk: Arc<dyn Disk>,
        time: ToldTime,
        connect: impl FnOnce(NodeHandle) -> io::Result<Box<dyn Peers>>,
    ) -> Result<Stepped, BootError> {
        let clock = Clock::Told(time);
        let patient = config.reserve_bytes > 0;
        let ready = make_ready(config, disk, Company::Others, clock.clone(), connect)?;
        let Ready { repairs, parts, log, backend, reader, space, handle, published } = ready;
        if patient {
            space.serve_in_steps();
        } else {
            space.stop();
        }
        let (preparer, segments) = log.preparer();
        let mut stepped = Stepped {
            log: Hand::new(log, parts.log.jobs()),
            preparer: Hand::new(preparer, segments),
            backend: Hand::new(backend, parts.backend.jobs()),
            reader: Hand::new(reader, parts.reader.jobs()),
            inbox: Arc::clone(&handle.inbox),
            inputs: Vec::new(),
            core: None,
            stage: Stage::Running,
            reserve_grown_at: clock.now(),
            clock,
            handle,
            published,
            repairs,
            space,
            patient,
        };
        let mut core = Core::new(parts).with_gauge(stepped.space.gauge());
        core.keep_written();
        core.begin();
        stepped.core = Some(core);
        Ok(stepped)
    }

    /// The doors to it.
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// What was lost at its start and came from other members.
    pub fn repairs(&self) -> Repairs {
        self.repairs
    }

    /// Whether it has published itself since this was asked last: client listeners may open.
    pub fn take_published(&self) -> bool {
        self.published.try_recv().is_ok()
    }

    /// When the core wants a turn though nothing arrives; `None` once it is about to end.
    pub fn next_wake(&self) -> Option<Moment> {
        match self.stage {
            Stage::Running => self.core.as_ref().map(Core::next_wake),
            Stage::Sealing | Stage::Ended(_) => None,
        }
    }

    /// Whether the core has something to take in.
    pub fn has_inputs(&self) -> bool {
        !self.inputs.is_empty() || !self.inbox.is_empty()
    }

    /// One turn of the core.
    pub fn turn(&mut self) {
        let Some(core) = &mut self.core else { return };
        self.inbox.receive(&mut self.inputs, Some(Duration::ZERO));
        if matches!(self.stage, Stage::Running) {
            core.turn(&mut self.inputs);
            if core.goes_on() {
                return;
            }
            core.answer_everybody();
            self.stage = Stage::Sealing;
        }
        if !core.last_turn(&mut self.inputs)
            && let Some(core) = self.core.take()
        {
            // There are no threads to wait for: the workers find their stop job in their next turns.
            self.stage = Stage::Ended(core.finish());
            self.space.stop();
            self.space.end_tending();
        }
    }

    /// Lets a worker take the jobs that have queued up; whether it has something to do.
    pub fn take_jobs(&mut self, part: Part) -> bool {
        match part {
            Part::Log => self.log.take_jobs(),
            Part::Preparer => self.preparer.take_jobs(),
            Part::Backend => self.backend.take_jobs(),
            Part::Reader => self.reader.take_jobs(),
        }
    }

    /// Lets a worker do the jobs that it took, or go on with them; `true` when it waits for space on the disk, and wants
    /// to be called again. It cannot wait unless it `may`, which takes a thread: for when the disk may be full.
    pub fn work(&mut self, part: Part, may: bool) -> bool {
        let may = may && self.patient;
        match part {
            Part::Log => self.log.turn(may),
            Part::Preparer => self.preparer.turn(may),
            Part::Backend => self.backend.turn(may),
            Part::Reader => self.reader.turn(may),
        }
    }

    /// Looks after the room on the disk, as the space thread does twice a second.
    pub fn tend_space(&mut self) {
        if self.core.is_some() {
            self.space.tend(&self.clock, &mut self.reserve_grown_at);
        }
    }

    /// Asks it to stop gracefully; that takes turns of the core and of the workers.
    pub fn stop(&self) {
        self.space.stop();
        // Refused only when it has ended already.
        let _ = self.inbox.send(Input::Stop);
    }

    /// How it ended; `None` while the core runs, or a worker has jobs left.
    pub fn ended(&self) -> Option<&Result<(), String>> {
        match &self.stage {
            Stage::Ended(result) => Some(result),
            Stage::Running | Stage::Sealing => None,
        }
    }

    /// What consensus stands at; `None` once the core has ended.
    pub fn figures(&self) -> Option<RaftFigures> {
        self.core.as_ref().map(Core::figures)
    }

    /// Entries of the log in memory from `low` up to `high`, both inclusive, as far as they are there.
    pub fn entries(&self, low: u64, high: u64) -> Vec<Entry> {
        self.core.as_ref().map_or_else(Vec::new, |core| core.entries(low, high))
    }

    /// What each entry has written that was applied since the last call, by index: equal on every member.
    pub fn take_written(&mut self) -> Vec<(u64, Vec<Write>)> {
        self.core.as_mut().map_or_else(Vec::new, Core::take_written)
    }

    /// How many things each queue holds, for a check that they are bounded.
    pub fn queue_lengths(&self) -> BTreeMap<&'static str, usize> {
        let jobs = [
            ("inbox", self.inbox.len()),
            ("log", self.log.waiting()),
            ("backend", self.backend.waiting()),
            ("reader", self.reader.waiting()),
        ];
        BTreeMap::from(jobs)
    }
}

impl Drop for Stepped {
    fn drop(&mut self) {
        // Like a process that is killed: nobody makes anything durable. The space keeps the disk otherwise.
        self.space.end_tending();
    }
}
