//! What the core knows of the room on the disk, without asking anybody.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use telemetry::line;

/// Time between two looks when nobody asks for one.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two looks at least, however many ask.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What a byte of a pair takes at most, about: once in the log, and in the backend with what a page leaves unused.
const BYTES_PER_BYTE_PUT: u64 = 3;

/// How short of space the member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Not at all.
    #[default]
    Ample,
    /// What costs space is refused; deletes go on.
    Tight,
    /// The reserve is nearly spent: only what may give space back, and alarms.
    Starved,
    /// A write waits for space; nothing that is proposed now would be answered.
    Stalled,
}

/// A handle; all clones show the same. By default there is plenty, for ever.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// A `Level` but `Stalled`.
    level: AtomicU8,
    /// Bytes put that the backend has, of all that this process has put.
    flushed: AtomicU64,
    /// How many bytes may have been put, times [`BYTES_PER_BYTE_PUT`], before space is short: the last look knows of
    /// those that were flushed by then, and of nothing else for sure.
    limit: AtomicU64,
    /// Writes that wait for space.
    waiting: AtomicUsize,
    /// The log should be made as short as it can be.
    trim: AtomicBool,
    looks: Mutex<Looks>,
    wanted: Condvar,
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            level: AtomicU8::default(),
            flushed: AtomicU64::default(),
            limit: AtomicU64::new(u64::MAX),
            waiting: AtomicUsize::default(),
            trim: AtomicBool::default(),
            looks: Mutex::default(),
            wanted: Condvar::default(),
        }
    }
}

#[derive(Debug, Default)]
struct Looks {
    wanted: bool,
    ended: bool,
}

impl Gauge {
    /// The level now.
    pub(crate) fn level(&self) -> Level {
        if self.0.waiting.load(Ordering::Relaxed) > 0 {
            return Level::Stalled;
        }
        match self.0.level.load(Ordering::Relaxed) {
            0 => Level::Ample,
            1 => Level::Tight,
            _ => Level::Starved,
        }
    }

    /// Whether everything put so far, `put` bytes in the life of this process, leaves enough space, though the
    /// backend does not have all of it yet.
    pub(crate) fn has_room_for(&self, put: u64) -> bool {
        put.saturating_mul(BYTES_PER_BYTE_PUT) <= self.0.limit.load(Ordering::Relaxed)
    }

    /// The backend has the first `put` bytes of those.
    pub(crate) fn flushed(&self, put: u64) {
        self.0.flushed.store(put, Ordering::Release);
        self.look_soon();
    }

    /// To be taken before the look that [`Gauge::looked`] reports.
    pub(super) fn bytes_flushed(&self) -> u64 {
        self.0.flushed.load(Ordering::Acquire)
    }

    /// With `flushed` bytes in the backend, `spare` could be written before space is short.
    pub(super) fn looked(&self, flushed: u64, spare: u64) {
        let limit = flushed.saturating_mul(BYTES_PER_BYTE_PUT).saturating_add(spare);
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// Asks for a look before the next one is due: much was written, or somebody was refused.
    pub(crate) fn look_soon(&self) {
        let mut looks = self.looks();
        if !std::mem::replace(&mut looks.wanted, true) {
            self.0.wanted.notify_one();
        }
    }

    /// Whether space has become short since the last call: what the log holds beyond need should go.
    pub(crate) fn take_trim(&self) -> bool {
        // A load is cheaper, and this is asked each turn.
        self.0.trim.load(Ordering::Relaxed) && self.0.trim.swap(false, Ordering::Relaxed)
    }

    pub(super) fn set(&self, level: Level) {
        self.0.level.store(level as u8, Ordering::Relaxed);
    }

    pub(super) fn want_trim(&self) {
        self.0.trim.store(true, Ordering::Relaxed);
    }

    /// A write waits for space as long as the result lives.
    pub(super) fn begin_waiting(&self) -> Waiting<'_> {
        if self.0.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            line!(Error, "no space left on the disk; a write waits for space, and only reads are served");
        }
        Waiting(self)
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        // Two flags, right whatever happened.
        self.0.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a look is due or asked for; `false` when it is over.
    pub(super) fn wait_for_look(&self) -> bool {
        let looks = self.looks();
        let pause = self.0.wanted.wait_timeout_while(looks, LOOK_PAUSE, |looks| !looks.ended);
        let (looks, _) = pause.unwrap_or_else(PoisonError::into_inner);
        let idle = |looks: &mut Looks| !looks.wanted && !looks.ended;
        let waited = self.0.wanted.wait_timeout_while(looks, LOOK_EVERY - LOOK_PAUSE, idle);
        let (mut looks, _) = waited.unwrap_or_else(PoisonError::into_inner);
        looks.wanted = false;
        !looks.ended
    }

    pub(super) fn end_looks(&self) {
        self.looks().ended = true;
        self.0.wanted.notify_all();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.looks().ended
    }
}

/// See [`Gauge::begin_waiting`].
pub(super) struct Waiting<'a>(&'a Gauge);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.0.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            line!(Info, "no write waits for space any more");
        }
    }
}
