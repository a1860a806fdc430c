//! Room on the disk: what keeps a member working when the disk is full, whoever filled it.
//!
//! Three things, from soft to hard:
//! - *Marks* on the free space. Below the lower one, requests that cost space are refused before they are
//!   proposed, and they are taken again above the upper one. The core reads the [`Gauge`]; the [`Keeper`] looks.
//! - A *reserve*: a file of zeros that nobody else can eat. When a write finds the disk full, the file is cut by a
//!   slice and the write is done again, slice by slice: that is the room for deletes, compactions and alarms.
//! - *Patience*: with the reserve spent, a write waits until there is space. The log and the backend never see a
//!   full disk, which to them is a failed write that stops the member; what waits was acknowledged to nobody.
//!
//! The last part of the reserve is for the log alone: a start cannot do without writing to it, and it must not wait
//! for a backend that has much to write.

mod disk;
mod gauge;
mod keeper;
mod marks;
pub(crate) mod steps;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use telemetry::line;
use vfs::{Disk, File, OpenMode};
use wal::SegmentPreparer;

pub(crate) use self::{
    disk::RoomyDisk,
    gauge::{Gauge, Level},
    keeper::Keeper,
};
use self::{gauge::Waiting, marks::Marks};
use types::mutant::{self, Mutant};

use crate::{config::Config, inbox::Inbox, input::Input};

/// Time between two tries of a write that waits for space.
const RETRY: Duration = Duration::from_millis(100);
/// The reserve grows by writes of this many bytes.
const PIECE_BYTES: u64 = 1 << 20;
/// Bytes by which it grows at a time.
const STEP_BYTES: u64 = 4 << 20;

/// See the module. One per member.
pub(crate) struct Space {
    /// The disk itself: nothing here may wait for room.
    disk: Arc<dyn Disk>,
    data_dir: PathBuf,
    wal_dir: PathBuf,
    reserve_path: PathBuf,
    /// Folders of the log's files, and the one file in them that is not.
    log_dirs: [PathBuf; 3],
    db_path: PathBuf,
    marks: Marks,
    gauge: Gauge,
    /// Set when the boot is over.
    segments: Mutex<Option<SegmentPreparer>>,
    state: Mutex<State>,
    /// Wakes writes that wait, when there is something new.
    woken: Condvar,
}

/// No more than this part of a file system is kept in reserve: on a small one there would never be enough again.
const RESERVE_SHARE: u64 = 8;

/// The largest reserve that leaves room on the file system of the data directory, in bytes.
fn fair_reserve(config: &Config, disk: &dyn Disk) -> u64 {
    let there = config.data_dir.ancestors().find_map(|dir| disk.total_bytes(dir).ok());
    there.map_or(u64::MAX, |total| total / RESERVE_SHARE)
}

struct State {
    reserve: Option<Arc<dyn File>>,
    /// Length of the reserve, in bytes.
    held: u64,
    /// What it was when space became short: writes come back only when it is so again.
    owed: u64,
    /// Never `Stalled`, which follows from who waits.
    level: Level,
    phase: Phase,
}

/// Whether a write may wait for space.
enum Phase {
    /// The boot reads and judges the directory: better a reason than a start that hangs.
    Opening,
    /// The core runs, as long as its inbox is open.
    Serving(Weak<Inbox<Input>>),
    /// Somebody steps the member: only turns that can stop may wait.
    Stepped,
    Stopping,
}

impl Space {
    /// Takes up the reserve that an earlier life left. Failing at that is no reason not to start.
    pub(crate) fn new(config: &Config, disk: Arc<dyn Disk>) -> Space {
        let marks = Marks::new(config.reserve_bytes.min(fair_reserve(config, &*disk)));
        let reserve = disk.open(&config.reserve_path(), OpenMode::ReadWrite).ok();
        let mut held = reserve.as_ref().and_then(|file| file.len().ok()).unwrap_or(0);
        if let Some(file) = reserve.as_ref().filter(|_| held > marks.reserve()) {
            // It was configured larger.
            if file.set_len(marks.reserve()).is_ok() {
                held = marks.reserve();
            }
        }
        Space {
            disk,
            data_dir: config.data_dir.clone(),
            wal_dir: config.wal_dir(),
            reserve_path: config.reserve_path(),
            log_dirs: [config.wal_dir(), config.wal_side_dir(), config.snap_dir()],
            db_path: config.db_path(),
            marks,
            gauge: Gauge::default(),
            segments: Mutex::default(),
            state: Mutex::new(State { reserve, held, owed: 0, level: Level::Ample, phase: Phase::Opening }),
            woken: Condvar::new(),
        }
    }

    /// What the core sees of it.
    pub(crate) fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    /// The boot is over: from now on writes wait for space, until the core is gone. What `segments` holds ready is the
    /// first that goes when there is none.
    pub(crate) fn serve(&self, core: &Arc<Inbox<Input>>, segments: SegmentPreparer) {
        *self.segments() = Some(segments);
        self.lock().phase = Phase::Serving(Arc::downgrade(core));
    }

    /// The boot is over, and the turns of the member's workers are somebody's steps.
    pub(crate) fn serve_in_steps(&self) {
        self.lock().phase = Phase::Stepped;
    }

    /// The member stops: nothing waits for space any more.
    pub(crate) fn stop(&self) {
        self.lock().phase = Phase::Stopping;
        self.woken.notify_all();
    }

    /// The core has ended. The log's segments are on this disk, and would keep it, and themselves, for ever.
    fn end(&self) {
        *self.segments() = None;
    }

    fn segments(&self) -> MutexGuard<'_, Option<SegmentPreparer>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each update leaves a state that is right by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks how much is free, and acts on it; returns it. What cannot be measured is taken for plenty: a write
    /// that finds it is not copes by itself.
    pub(crate) fn look(&self) -> u64 {
        let flushed = self.gauge.bytes_flushed();
        let mut free = self.free();
        let is_short =
            |state: &State| self.marks.next(state.level, free, state.held, state.owed) > Level::Ample;
        let short = is_short(&self.lock());
        if short && self.give_up_segment() {
            free = self.free();
        }
        let mut state = self.lock();
        let mut next = self.marks.next(state.level, free, state.held, state.owed);
        if self.gauge.level() == Level::Stalled {
            // Whatever was measured: a write has not found it yet.
            next = next.max(Level::Tight);
            self.woken.notify_all();
        }
        self.set_level(&mut state, next, free);
        self.gauge.looked(flushed, free.saturating_sub(self.marks.low()));
        free
    }

    fn free(&self) -> u64 {
        let free = |path| self.disk.free_bytes(path).unwrap_or(u64::MAX);
        free(&self.data_dir).min(free(&self.wal_dir))
    }

    /// Removes the segment that was written ahead of use, if there is one.
    fn give_up_segment(&self) -> bool {
        let segments = self.segments().clone();
        segments.is_some_and(|segments| segments.discard())
    }

    /// Lets the reserve grow by one step, if it should and may; whether it did.
    fn grow(&self, free: u64) -> bool {
        let mut grown = 0;
        while grown < STEP_BYTES {
            let mut state = self.lock();
            let missing = self.marks.missing(state.level, free - grown.min(free), state.held, state.owed);
            if missing == 0 {
                break;
            }
            let bytes = missing.min(PIECE_BYTES);
            if !self.write_piece(&mut state, bytes) {
                return false;
            }
            grown += bytes;
        }
        let file = self.lock().reserve.clone().filter(|_| grown > 0);
        // Not for durability: the system should not have to write all of it with a sync of the log.
        file.is_some_and(|file| file.sync_data().is_ok())
    }

    fn write_piece(&self, state: &mut State, bytes: u64) -> bool {
        if state.reserve.is_none() {
            state.reserve = self.disk.open(&self.reserve_path, OpenMode::Create).ok();
        }
        let Some(file) = &state.reserve else { return false };
        // At most `PIECE_BYTES`.
        let written = file.write_if_room_at(&vec![0; bytes as usize], state.held).is_ok();
        if written {
            state.held += bytes;
        } else {
            let _ = file.set_len(state.held);
        }
        written
    }

    /// Makes room for a write that found the disk full, or waits a little; `false` when it has to fail.
    fn make_room<'a>(&'a self, draws: Draws, waiting: &mut Option<Waiting<'a>>) -> bool {
        if mutant::is_on(Mutant::FullDiskStops) {
            return false;
        }
        if self.give_up_segment() {
            return true;
        }
        let mut state = self.lock();
        if state.level == Level::Ample {
            // Now, not at the next look; and when a quota is spent that no look can see.
            self.set_level(&mut state, Level::Tight, 0);
        }
        if self.give_back(&mut state, draws) {
            let next = self.marks.next(state.level, 0, state.held, state.owed);
            self.set_level(&mut state, next, 0);
            return true;
        }
        if !state.phase.is_patient() {
            return false;
        }
        waiting.get_or_insert_with(|| self.gauge.begin_waiting());
        if steps::are_taken() {
            drop(state);
            return steps::wait();
        }
        drop(self.woken.wait_timeout(state, RETRY));
        true
    }

    /// Cuts a slice off the reserve.
    fn give_back(&self, state: &mut State, draws: Draws) -> bool {
        let slice = match draws {
            Draws::Nothing => 0,
            Draws::Some => self.marks.slice(state.held, false),
            Draws::All => self.marks.slice(state.held, true),
        };
        let Some(file) = state.reserve.as_ref().filter(|_| slice > 0) else { return false };
        let left = state.held - slice;
        if file.set_len(left).is_err() {
            return false;
        }
        // Some file systems have the room only once they know for good.
        let _ = file.sync_data();
        state.held = left;
        true
    }

    fn set_level(&self, state: &mut State, next: Level, free: u64) {
        let before = std::mem::replace(&mut state.level, next);
        if before == next {
            return;
        }
        self.gauge.set(next);
        if before == Level::Ample {
            state.owed = state.held;
            self.gauge.want_trim();
        }
        let held = state.held;
        match next {
            Level::Ample => {
                line!(Info, "there is space on the disk again; all writes are taken", "free-bytes" => free, "reserve-bytes" => held);
            }
            Level::Tight => {
                line!(Warn, "the disk is almost full; writes that need space are refused until there is more", "free-bytes" => free, "reserve-bytes" => held);
            }
            Level::Starved | Level::Stalled => {
                line!(Warn, "the disk is full and the reserve almost spent; only reads, compactions and alarms are served", "free-bytes" => free, "reserve-bytes" => held);
            }
        }
    }
}

/// What a file may draw from the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Draws {
    /// It is on another disk, as far as the flags say.
    Nothing,
    /// Not the last part.
    Some,
    /// It belongs to the log, or is written by its thread.
    All,
}

impl Phase {
    fn is_patient(&self) -> bool {
        match self {
            Phase::Opening | Phase::Stopping => false,
            Phase::Stepped => steps::are_taken(),
            // Sending nothing asks whether it is closed: a core that has failed joins the threads that wait here.
            Phase::Serving(core) => core.upgrade().is_some_and(|core| core.send_all(&mut Vec::new())),
        }
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Space")
            .field("marks", &self.marks)
            .field("held", &state.held)
            .field("level", &state.level)
            .finish_non_exhaustive()
    }
}
