//! From a data directory to a running member.
//!
//! The order and the checks are those of contract/semantics.md 14.14–14.19: locks first, then everything is read
//! and judged before a thread starts or a byte is changed. What may have been acknowledged is never cut off:
//! a directory that cannot be right is refused, with what is wrong and what to do.

mod forced;
mod founding;
mod judge;
pub(crate) mod received;
pub(crate) mod repair;
pub(crate) mod space;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bolt::{BoltError, Db};
use cluster::ClusterError;
use consensus::{MemLog, RawNode};
use state::{OpenError, State};
use telemetry::{line, log};
use types::{
    ClusterId, MemberId, bucket,
    raft::{Entry, HardState, Snapshot, SnapshotMeta},
};
use vfs::Disk;
use wal::{Metadata, Recovered, SnapshotRecord, Wal, WalError, WalOptions, snap};

use crate::{
    api::{NodeHandle, Summary},
    backend_thread::{BackendThread, Install},
    config::{Config, QUOTA_BYTES_DEFAULT},
    core::{Clock, Core, Held, Parts},
    inbox::Inbox,
    input::Input,
    log_thread::LogThread,
    peers::{Alone, PeerAddress, Peers},
    reader_thread::Reader,
    release::Release,
    worker::Worker,
};
pub(crate) use founding::Company;
use founding::Founding;
use repair::Repairs;
use space::{Keeper, RoomyDisk, Space};

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A directory cannot be made, or not made durable.
    #[error("cannot prepare {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The write-ahead log.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The backend file.
    #[error("database file ({}): {source}", path.display())]
    Backend {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BoltError,
    },
    /// What the backend holds.
    #[error("database file: {0}")]
    State(#[from] OpenError),
    /// Versions or membership that this binary cannot serve.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The flags for a new cluster.
    #[error("{0}")]
    InitialCluster(String),
    /// Log and database do not belong together.
    #[error("{0}")]
    Mismatch(String),
    /// The database is missing, or older than the log needs it.
    #[error("{0}")]
    Database(String),
    /// Other members could not give back what is lost.
    #[error("{damage} Other members were asked for what is lost: {why}")]
    Unrepaired {
        /// What is.
        damage: Box<BootError>,
        /// What came of it.
        why: String,
    },
    /// The way to the other members cannot be opened.
    #[error("cannot speak with other members: {0}")]
    Peers(io::Error),
    /// Raft does not start from this.
    #[error("raft: {0}")]
    Raft(String),
}

/// A running member.
#[derive(Debug)]
pub struct Member {
    handle: NodeHandle,
    core: Option<JoinHandle<Result<(), String>>>,
    space: Arc<Space>,
    published: Receiver<()>,
}

impl Member {
    /// The doors to it.
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Waits until the member has published itself: only then may client listeners open. `false` when that took
    /// longer than `patience`, or the member has ended.
    pub fn wait_published(&self, patience: Duration) -> bool {
        match self.published.recv_timeout(patience) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
        }
    }

    /// Whether it has ended by itself; [`Member::stop`] says why.
    pub fn has_ended(&self) -> bool {
        self.core.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops the member: everything applied is in the file when this returns.
    ///
    /// # Errors
    /// The reason, when it could not go on, now or earlier. A full disk is one: the next start takes from the log
    /// what the file lacks.
    pub fn stop(mut self) -> Result<(), String> {
        self.space.stop();
        // Refused only when it has ended already.
        let _ = self.handle.inbox.send(Input::Stop);
        match self.core.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err("the core thread has panicked".into()),
            None => Ok(()),
        }
    }
}

/// Starts a member on `config`'s directory that has nobody to talk to.
///
/// # Errors
/// See [`BootError`]. Nothing runs then, and all locks are released.
pub fn start(config: Config, disk: Arc<dyn Disk>) -> Result<Member, BootError> {
    start_with(config, disk, Company::Alone, |_| Ok(Box::new(Alone)))
}

/// Starts a member on `config`'s directory; `connect` makes its door to the other members.
///
/// # Errors
/// See [`BootError`]. Nothing runs then, and all locks are released.
pub fn start_among(
    config: Config,
    disk: Arc<dyn Disk>,
    connect: impl FnOnce(NodeHandle) -> io::Result<Box<dyn Peers>>,
) -> Result<Member, BootError> {
    start_with(config, disk, Company::Others, connect)
}

/// Whether there is no log yet in `config`'s directory: a start would begin one.
///
/// # Errors
/// When the directory cannot be read.
pub fn is_new(config: &Config, disk: &dyn Disk) -> Result<bool, BootError> {
    Ok(!wal::exists(disk, &config.wal_dir())?)
}

fn start_with(
    config: Config,
    disk: Arc<dyn Disk>,
    company: Company,
    connect: impl FnOnce(NodeHandle) -> io::Result<Box<dyn Peers>>,
) -> Result<Member, BootError> {
    let ready = make_ready(config, disk, company, Clock::start(), connect)?;
    start_threads(ready)
}

/// A member in parts: everything is read and judged, and nothing runs yet.
pub(crate) struct Ready {
    /// What was lost and came from others.
    pub(crate) repairs: Repairs,
    pub(crate) parts: Parts,
    pub(crate) log: LogThread,
    pub(crate) backend: BackendThread,
    pub(crate) reader: Reader,
    pub(crate) space: Arc<Space>,
    pub(crate) handle: NodeHandle,
    pub(crate) published: Receiver<()>,
}

pub(crate) fn make_ready(
    config: Config,
    disk: Arc<dyn Disk>,
    company: Company,
    clock: Clock,
    connect: impl FnOnce(NodeHandle) -> io::Result<Box<dyn Peers>>,
) -> Result<Ready, BootError> {
    let space = Arc::new(Space::new(&config, disk));
    let disk: Arc<dyn Disk> = Arc::new(RoomyDisk::new(Arc::clone(&space)));
    let (opened, repairs) = repair::open_repaired(&config, &disk, company)?;
    assemble(config, disk, space, (opened, repairs), clock, connect)
}

/// What a directory holds, checked.
struct Opened {
    wal: Wal,
    db: Db,
    state: State,
    metadata: Metadata,
    start: SnapshotRecord,
    hard_state: HardState,
    entries: Vec<Entry>,
    /// The members of the running cluster that this one joins.
    joined: Vec<PeerAddress>,
}

fn open(config: &Config, disk: &Arc<dyn Disk>, company: Company) -> Result<Opened, BootError> {
    for path in [config.snap_dir(), config.side_dir()] {
        disk.create_dir_all(&path).map_err(|source| BootError::Directory { path, source })?;
    }
    let options = wal_options(config);
    let has_log = wal::exists(&**disk, &config.wal_dir())?;
    if has_log {
        judge::check_db_present(config, &**disk)?;
    }
    let begun = Instant::now();
    let db = open_backend(config, disk)?;
    line!(Info, "opened backend db",
        "path" => config.db_path().display().to_string(), "took" => log::duration(begun.elapsed()));
    sync_directories(config, &**disk)?;
    let state = open_state(config, &db)?;
    line!(Info, "restore consistentIndex", "index" => state.applied());
    line!(Info, "kvstore restored", "current-rev" => state.store().revision());
    tell_quota(config);
    snap::remove_leftovers(&**disk, &config.snap_dir()).map_err(|e| BootError::Mismatch(e.to_string()))?;
    if has_log {
        let (wal, recovered) = Wal::open(Arc::clone(disk), &config.wal_dir(), options)?;
        return resume(config, disk, company, (wal, recovered), db, state);
    }
    if state.applied() > 0 {
        return Err(BootError::Mismatch(format!(
            "{} holds data up to log index {}, but there is no write-ahead log in {}; give the right --wal-dir, or restore the directory from a snapshot",
            config.db_path().display(),
            state.applied(),
            config.wal_dir().display()
        )));
    }
    let founding = Founding::of(config, company)?;
    let wal = Wal::create(Arc::clone(disk), &config.wal_dir(), founding.metadata, options)?;
    begin(wal, db, state, founding)
}

fn wal_options(config: &Config) -> WalOptions {
    WalOptions {
        side_dir: Some(config.wal_side_dir()),
        room_bytes: config.reserve_bytes,
        segment_bytes: config.segment_bytes,
        ..WalOptions::default()
    }
}

fn tell_quota(config: &Config) {
    let name = "v3-applier";
    let size = config.quota_reported;
    match config.quota_bytes {
        None => {
            line!(Info, "disabled backend quota", "quota-name" => name, "quota-size-bytes" => size);
        }
        Some(bytes) => {
            let message = if bytes == QUOTA_BYTES_DEFAULT {
                "enabled backend quota with default value"
            } else {
                "enabled backend quota"
            };
            line!(Info, message,
                "quota-name" => name, "quota-size-bytes" => size, "quota-size" => log::size(bytes));
        }
    }
}

/// Makes the names on the way to our files durable: without them, a power loss could take the whole directory,
/// with synced files in it.
fn sync_directories(config: &Config, disk: &dyn Disk) -> Result<(), BootError> {
    let parent = config.data_dir.parent().filter(|path| !path.as_os_str().is_empty());
    let member = config.data_dir.join("member");
    let ours = [Some(config.data_dir.as_path()), Some(&member), parent];
    for path in ours.into_iter().flatten().chain([config.snap_dir().as_path(), config.side_dir().as_path()]) {
        disk.sync_dir(path).map_err(|source| BootError::Directory { path: path.to_owned(), source })?;
    }
    Ok(())
}

fn open_backend(config: &Config, disk: &Arc<dyn Disk>) -> Result<Db, BootError> {
    let path = config.db_path();
    let failed = |source| BootError::Backend { path: path.clone(), source };
    let options = bolt::Options {
        cache_bytes: config.backend_cache_bytes,
        side_dir: Some(config.side_dir()),
        seed: config.seed,
        ..bolt::Options::default()
    };
    let mut db = Db::open(Arc::clone(disk), &path, options).map_err(failed)?;
    let present = db.snapshot().buckets().map_err(failed)?;
    let missing = bucket::ALL.iter().filter(|name| !present.iter().any(|p| p == *name));
    let mut changed = false;
    for name in missing {
        db.create_bucket(name).map_err(failed)?;
        changed = true;
    }
    if changed {
        db.commit().map_err(failed)?;
    }
    Ok(db)
}

fn open_state(config: &Config, db: &Db) -> Result<State, BootError> {
    let election_ticks = config.election_ticks;
    let settings = state::Settings {
        server_version: config.release.version(),
        learners_max: config.learners_max,
        leases: lease::Config {
            ttl_secs_min: lease::ttl_min_secs(election_ticks, config.tick),
            revoke_retry: config.request_timeout(),
            ..lease::Config::default()
        },
        lease_checkpoint_persist: config.lease_checkpoint_persist,
    };
    let state = State::open(db.snapshot(), settings)?;
    state.cluster().check(config.release.version())?;
    cluster::check_storage_version(state.storage_version(), config.release.version())?;
    Ok(state)
}

/// Writes the first entries of a new cluster, committed at once; a member that joins one gets them from the others.
fn begin(mut wal: Wal, db: Db, state: State, founding: Founding) -> Result<Opened, BootError> {
    let Founding { metadata, entries, joined } = founding;
    let hard_state = match entries.len() as u64 {
        0 => HardState::default(),
        commit => HardState { term: 1, vote: 0, commit },
    };
    if !entries.is_empty() {
        wal.append(&entries, hard_state)?;
    }
    wal.sync()?;
    wal.sync_side();
    line!(Info, "starting local member", "local-member-id" => metadata.node_id.to_string(), "cluster-id" => metadata.cluster_id.to_string());
    Ok(Opened { wal, db, state, metadata, start: SnapshotRecord::default(), hard_state, entries, joined })
}

/// Judges a log and a database that were there.
fn resume(
    config: &Config,
    disk: &Arc<dyn Disk>,
    company: Company,
    (mut wal, recovered): (Wal, Recovered),
    db: Db,
    state: State,
) -> Result<Opened, BootError> {
    let Recovered { start, hard_state, entries, report, .. } = &recovered;
    if let Some(torn) = &report.torn {
        line!(Warn, "cut off a write that a power loss had torn; it was never acknowledged",
            "segment" => torn.segment.clone(), "offset" => torn.offset, "bytes" => torn.bytes, "what" => torn.what.clone());
    }
    let applied = state.applied();
    let last = entries.last().map_or(start.index, |entry| entry.index);
    if last == 0 && applied == 0 && *hard_state == HardState::default() {
        // Power went between the creation of the log and its first entries.
        let founding = Founding::again(config, company, recovered.metadata)?;
        return begin(wal, db, state, founding);
    }
    let (db, state) = if start.index > applied && received::is_whole(config, disk, start.index)? {
        // The last run ended between the record of a leader's snapshot and taking its database.
        line!(Info, "recovering the database from a leader's snapshot", "snapshot-index" => start.index);
        drop((db, state));
        received::take(config, disk, start.index)?
    } else {
        received::remove_below(config, &**disk, applied)?;
        (db, state)
    };
    let applied = state.applied();
    judge::check_pair(config, &**disk, (applied, state.cluster()), &recovered)?;
    let Recovered { metadata, start, hard_state, mut entries, .. } = recovered;
    // etcd does not sync a hard state that only moves the commit index: what is in the db is committed.
    let mut hard_state = HardState { commit: hard_state.commit.max(applied), ..hard_state };
    if config.force_new_cluster {
        hard_state = forced::forget_others(&mut wal, &state, metadata, hard_state, &mut entries)?;
    } else {
        line!(Info, "restarting local member",
            "cluster-id" => metadata.cluster_id.to_string(), "local-member-id" => metadata.node_id.to_string(),
            "commit-index" => hard_state.commit, "applied-index" => applied);
    }
    Ok(Opened { wal, db, state, metadata, start, hard_state, entries, joined: Vec::new() })
}

fn tell_starting(state: &State, release: Release, member_id: MemberId, cluster_id: ClusterId) {
    let (member, release) = (member_id.to_string(), release.text());
    match state.cluster().version() {
        Some(version) => line!(Info, "starting etcd server",
            "local-member-id" => member, "local-server-version" => release,
            "cluster-id" => cluster_id.to_string(), "cluster-version" => version.cluster_text()),
        None => line!(Info, "starting etcd server",
            "local-member-id" => member, "local-server-version" => release,
            "cluster-version" => "to_be_decided"),
    }
}

/// Starts raft, and puts the member together.
fn assemble(
    config: Config,
    disk: Arc<dyn Disk>,
    space: Arc<Space>,
    (opened, repairs): (Opened, Repairs),
    clock: Clock,
    connect: impl FnOnce(NodeHandle) -> io::Result<Box<dyn Peers>>,
) -> Result<Ready, BootError> {
    let Opened { wal, db, state, metadata, start, hard_state, entries, joined } = opened;
    let (member_id, cluster_id): (MemberId, ClusterId) = (metadata.node_id, metadata.cluster_id);
    let last_snapshot = start.index;
    let meta =
        SnapshotMeta { index: start.index, term: start.term, conf_state: state.cluster().conf_state() };
    let data = state.cluster().v2_snapshot().into();
    let log = MemLog::restore(hard_state, Snapshot { meta, data }, entries)
        .map_err(|e| BootError::Raft(e.to_string()))?;
    let raft_config = consensus::Config {
        election_ticks: config.election_ticks,
        applied: state.applied(),
        message_bytes_max: config.append_bytes_max,
        pre_vote: config.pre_vote,
        seed: config.seed,
        ..consensus::Config::new(member_id.0)
    };
    tell_starting(&state, config.release, member_id, cluster_id);
    let raft = RawNode::new(raft_config, log).map_err(|e| BootError::Raft(e.to_string()))?;
    let inbox = Arc::new(Inbox::default());
    let install: Install = {
        let (config, disk) = (config.clone(), Arc::clone(&disk));
        Box::new(move |index| received::take(&config, &disk, index).map_err(|e| e.to_string()))
    };
    let held = {
        let (index, term) = (state.applied(), state.term());
        let meta = SnapshotMeta { index, term, conf_state: state.cluster().conf_state() };
        Held { meta, membership: state.cluster().v2_snapshot().into() }
    };
    space.serve(&inbox, wal.preparer());
    // Before the first request, which may find the disk full.
    space.look();
    let summary = Arc::new(Summary::new(member_id, cluster_id, &config));
    let handle = NodeHandle::new(Arc::clone(&inbox), Arc::clone(&summary));
    let peers = connect(handle.clone()).map_err(BootError::Peers)?;
    let (published, published_receiver) = sync_channel(1);
    let dirs = (config.wal_dir(), config.snap_dir());
    let parts = Parts {
        member_id,
        cluster_id,
        raft,
        hard_state,
        state,
        joined,
        committed: db.snapshot(),
        held,
        backend_size: (db.size(), db.size_in_use()),
        last_snapshot,
        log: Worker::default(),
        backend: Worker::default(),
        reader: Worker::default(),
        peers,
        inbox: Arc::clone(&inbox),
        summary,
        clock,
        published,
        config,
    };
    Ok(Ready {
        repairs,
        parts,
        log: LogThread::new(wal, disk, dirs, Arc::clone(&inbox)),
        backend: BackendThread::new(db, install, Arc::clone(&inbox)),
        reader: Reader::new(inbox),
        space,
        handle,
        published: published_receiver,
    })
}

/// Gives everybody a thread.
fn start_threads(ready: Ready) -> Result<Member, BootError> {
    let Ready { repairs: _, mut parts, mut log, backend, reader, space, handle, published } = ready;
    log.start_preparer();
    parts.log.start("log", log);
    parts.backend.start("backend", backend);
    parts.reader.start("reader", reader);
    let kept = Arc::clone(&space);
    let body = move || {
        let gauge = kept.gauge();
        let _keeper = Keeper::start(kept);
        Core::new(parts).with_gauge(gauge).run()
    };
    let core = std::thread::Builder::new()
        .name("core".into())
        .stack_size(proto::STACK_BYTES)
        .spawn(body)
        .map_err(|e| BootError::Raft(format!("cannot start the core thread: {e}")))?;
    Ok(Member { handle, core: Some(core), space, published })
}
