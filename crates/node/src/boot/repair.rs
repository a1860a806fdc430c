//! A start on damaged files: what is lost comes from other members, where raft allows it (RELIABILITY.md, P3).
//!
//! - **The log**: the side file names each lost record; the entries of those names, written where they were, must give
//!   the bytes that were there. So the log is what it was, and raft never hears of it.
//! - **The database**: one of another member takes its place, as a leader's snapshot would: the log goes on from it.
//!   What the log promises, votes and entries, stays. The damaged file is kept aside.
//! - **Anything else**, a log whose hard state is gone above all: the member does not start. Under its old id it could
//!   break promises that it has forgotten; it must be replaced.

use std::{collections::BTreeSet, io, path::Path, sync::Arc};

use bolt::{BoltError, Db};
use cluster::InitialCluster;
use mvcc::MvccError;
use prost::Message;
use proto::raftpb;
use state::OpenError;
use telemetry::line;
use types::raft::{Entry, EntryKind, Snapshot, SnapshotMeta};
use vfs::Disk;
use wal::{LostRecord, Metadata, Record, RecordKind, Recovered, SnapshotRecord, Spare, Wal, WalError, snap};

use super::{BootError, Company, Opened, open, open_state, received, wal_options};
use crate::{
    config::Config,
    donors::{Donors, EntryName, Kin},
};

/// A start that finds more damage than this, one after the other, is given up.
const REPAIRS_MAX: usize = 8;
/// A database on its way; whatever begins like this is removed by the next start.
const ARRIVING: &str = "tmp-repair.db";
/// What becomes of a damaged database, in `member/mainstay`: the next one takes its place.
const SET_ASIDE: &str = "db.damaged";

/// What was put back at a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Records of the log.
    pub records: usize,
    /// Databases.
    pub databases: usize,
}

/// Opens a directory; damage is repaired with what other members have, if there is a way to them.
///
/// # Errors
/// As `open`, and what came of a repair.
pub(super) fn open_repaired(
    config: &Config,
    disk: &Arc<dyn Disk>,
    company: Company,
) -> Result<(Opened, Repairs), BootError> {
    let mut repairs = Repairs::default();
    for _ in 0..REPAIRS_MAX {
        let error = match open(config, disk, company) {
            Ok(opened) => return Ok((opened, repairs)),
            Err(error) => error,
        };
        let (Some(loss), Some(donors)) = (Loss::of(&error), config.donors.as_deref()) else {
            return Err(error);
        };
        line!(Warn, "found damage; asking other members for what is lost", "error" => error.to_string());
        let mut repair = Repair { config, disk, donors, repairs: &mut repairs };
        repair.run(&loss).map_err(|what| match what {
            // More was found on the way.
            Unrepaired::Also(error) => error,
            Unrepaired::Why(why) => BootError::Unrepaired { damage: Box::new(error), why },
        })?;
    }
    open(config, disk, company).map(|opened| (opened, repairs))
}

/// What a start found to be lost.
enum Loss {
    Log(Vec<LostRecord>),
    Database,
}

impl Loss {
    /// What can be had from others, of what `error` says is missing.
    fn of(error: &BootError) -> Option<Loss> {
        match error {
            BootError::Wal(WalError::Damaged { lost, .. }) => Some(Loss::Log(lost.clone())),
            BootError::Database(_) | BootError::State(OpenError::Rows(_)) => Some(Loss::Database),
            BootError::Backend { source, .. }
            | BootError::State(OpenError::Backend(source) | OpenError::Keys(MvccError::Backend(source))) => {
                is_damage(source).then_some(Loss::Database)
            }
            BootError::State(OpenError::Keys(MvccError::Corrupt(_))) => Some(Loss::Database),
            _ => None,
        }
    }
}

/// Whether an error of the file means that what is in it is not what was written.
pub(crate) fn is_damage(error: &BoltError) -> bool {
    match error {
        BoltError::Invalid { .. } | BoltError::Corrupt { .. } | BoltError::Damaged { .. } => true,
        BoltError::Io { source, .. } => source.kind() == io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

/// Why a repair came to nothing.
enum Unrepaired {
    /// Something else is in the way.
    Also(BootError),
    Why(String),
}

impl<E: Into<BootError>> From<E> for Unrepaired {
    fn from(error: E) -> Unrepaired {
        Unrepaired::Also(error.into())
    }
}

struct Repair<'a> {
    config: &'a Config,
    disk: &'a Arc<dyn Disk>,
    donors: &'a dyn Donors,
    repairs: &'a mut Repairs,
}

impl Repair<'_> {
    fn run(&mut self, loss: &Loss) -> Result<(), Unrepaired> {
        match loss {
            Loss::Log(lost) => self.mend_log(lost),
            Loss::Database => match self.replace_database() {
                // Both are damaged: the log comes first, because it says what database will do.
                Err(Unrepaired::Also(BootError::Wal(WalError::Damaged { lost, .. }))) => self.mend_log(&lost),
                replaced => replaced,
            },
        }
    }

    fn mend_log(&mut self, lost: &[LostRecord]) -> Result<(), Unrepaired> {
        let (log, side) = (self.config.wal_dir(), self.config.wal_side_dir());
        let (metadata, snapshots) = (self.likely_owner(), self.snapshots()?);
        let mut asked = BTreeSet::new();
        let mut entries = Vec::new();
        self.fetch_entries(lost, &mut asked, &mut entries)?;
        loop {
            let spare = Spare { entries: &entries, metadata: &metadata, snapshots: &snapshots };
            let error = match wal::mend(&**self.disk, &log, &side, spare) {
                Ok(0) => return Err(Unrepaired::Why("no side file names what is missing".into())),
                Ok(mended) => {
                    self.repairs.records += mended;
                    line!(Warn, "repaired the write-ahead log: it is to the byte what was written",
                        "records" => mended, "entries-of-other-members" => entries.len());
                    return Ok(());
                }
                Err(error) => error,
            };
            // What is behind a damaged head shows only when that is mended, and each segment after the one before.
            let more = match &error {
                WalError::Damaged { lost, .. } => self.fetch_entries(lost, &mut asked, &mut entries)?,
                _ => false,
            };
            if !more {
                let (came, asked) = (entries.len(), asked.len());
                let why = format!("{came} of {asked} lost entries came, and that is not enough: {error}");
                return Err(Unrepaired::Why(why));
            }
        }
    }

    /// Asks for those lost entries that were not asked for before; whether there were any.
    fn fetch_entries(
        &self,
        lost: &[LostRecord],
        asked: &mut BTreeSet<EntryName>,
        entries: &mut Vec<Entry>,
    ) -> Result<bool, Unrepaired> {
        let lost = lost.iter().filter(|record| record.kind == RecordKind::Entry as u8);
        let names = lost.map(|record| EntryName { index: record.index, term: record.term });
        let named: Vec<EntryName> = names.filter(|name| asked.insert(*name)).collect();
        if !named.is_empty() {
            entries.extend(self.donors.entries(&self.kin()?, &named).map_err(Unrepaired::Why)?);
        }
        Ok(!named.is_empty())
    }

    fn replace_database(&mut self) -> Result<(), Unrepaired> {
        let options = wal_options(self.config);
        let (mut wal, recovered) = Wal::open(Arc::clone(self.disk), &self.config.wal_dir(), options)?;
        let start = recovered.start.index;
        let kin = self.kin()?;
        let may_be_received = start > 0 && !kin.urls.is_empty();
        let index = if may_be_received && received::is_whole(self.config, self.disk, start)? {
            // A repair, or the installation of a leader's snapshot, ended just before its last step.
            start
        } else {
            self.fetch_database(&kin, &mut wal, &recovered)?
        };
        wal.close()?;
        self.set_aside()?;
        let (_db, state) = received::take(self.config, self.disk, index)?;
        self.repairs.databases += 1;
        line!(Warn, "replaced the damaged database by one of another member",
            "index" => state.applied(), "revision" => state.store().revision(),
            "damaged-file" => self.config.side_dir().join(SET_ASIDE).display().to_string());
        Ok(())
    }

    /// Gets a database that the log can go on from, durable under the name of one received from a leader, and lets
    /// the log begin there; gives its index.
    fn fetch_database(&self, kin: &Kin, wal: &mut Wal, log: &Recovered) -> Result<u64, Unrepaired> {
        let dir = self.config.snap_dir();
        let arriving = dir.join(ARRIVING);
        let mut found = None;
        let mut judge = || {
            found = Some(self.examine(&arriving, log)?);
            Ok(())
        };
        self.donors.database(kin, &arriving, &mut judge).map_err(Unrepaired::Why)?;
        let Some(snapshot) = found else {
            return Err(Unrepaired::Why("a database came that nobody has judged".into()));
        };
        let SnapshotMeta { index, term, conf_state } = snapshot.meta.clone();
        let place = received::path_of(&dir, index);
        let failed = |source| BootError::Directory { path: place.clone(), source };
        self.disk.rename(&arriving, &place).map_err(failed)?;
        self.disk.sync_dir(&dir).map_err(failed)?;
        if index > log.start.index {
            snap::write(&**self.disk, &dir, &snapshot).map_err(|error| Unrepaired::Why(error.to_string()))?;
            // A commit index of at least this goes with it.
            wal.save_snapshot(SnapshotRecord { index, term, conf_state })?;
        }
        Ok(index)
    }

    /// Whether a database is whole, and the log can go on from it.
    fn examine(&self, path: &Path, log: &Recovered) -> Result<Snapshot, String> {
        received::check_received(Arc::clone(self.disk), path, log.start.index)?;
        let options = bolt::Options { read_only: true, ..bolt::Options::default() };
        let db = Db::open(Arc::clone(self.disk), path, options).map_err(|e| e.to_string())?;
        let state = open_state(self.config, &db).map_err(|e| e.to_string())?;
        let (index, term) = (state.applied(), state.term());
        if term == 0 && index > log.start.index {
            return Err(format!("it does not say in which term the entry at its index {index} was proposed"));
        }
        let meta = SnapshotMeta { index, term, conf_state: state.cluster().conf_state() };
        Ok(Snapshot { meta, data: state.cluster().v2_snapshot().into() })
    }

    /// Keeps a damaged database for whoever wants to look at it; an absent one is as good.
    fn set_aside(&self) -> Result<(), Unrepaired> {
        let (path, aside) = (self.config.db_path(), self.config.side_dir().join(SET_ASIDE));
        let failed = |source| BootError::Directory { path: aside.clone(), source };
        if self.disk.exists(&path).map_err(failed)? {
            self.disk.rename(&path, &aside).map_err(failed)?;
            self.disk.sync_dir(&self.config.side_dir()).map_err(failed)?;
            self.disk.sync_dir(&self.config.snap_dir()).map_err(failed)?;
        }
        Ok(())
    }

    /// Who this member is if it was among the first of its cluster; the log's checksums tell whether that is so.
    fn likely_owner(&self) -> Vec<Metadata> {
        let flags = InitialCluster::parse(&self.config.initial_cluster).ok();
        let members = flags.and_then(|flags| flags.members(&self.config.initial_cluster_token).ok());
        let members = members.unwrap_or_default();
        let cluster_id = cluster::cluster_id(members.iter().map(|member| member.id));
        members.iter().map(|member| Metadata { node_id: member.id, cluster_id }).collect()
    }

    /// What snapshot records said, by the `.snap` files that are sound.
    fn snapshots(&self) -> Result<Vec<SnapshotRecord>, Unrepaired> {
        let dir = self.config.snap_dir();
        let names = snap::list(&**self.disk, &dir).map_err(|error| Unrepaired::Why(error.to_string()))?;
        let read = names.iter().filter_map(|name| snap::read(&**self.disk, &dir.join(name.file_name())).ok());
        let record = |SnapshotMeta { index, term, conf_state }| SnapshotRecord { index, term, conf_state };
        Ok(read.map(|snapshot| record(snapshot.meta)).collect())
    }

    /// Whom to ask, by what is left: the flags, and changes of membership in the log before the damage.
    fn kin(&self) -> Result<Kin, Unrepaired> {
        let mut metadata = None;
        let mut urls: BTreeSet<String> = BTreeSet::new();
        let named = self.config.initial_cluster.split(',').filter_map(|pair| pair.split_once('='));
        urls.extend(named.map(|(_, url)| url.trim().to_owned()));
        // It ends at the damage, if it is in the log: then with an error.
        let _ = wal::scan(&**self.disk, &self.config.wal_dir(), None, |located| match located.record {
            Record::Metadata(found, _) => metadata = Some(found),
            Record::Entry(entry) if entry.kind == EntryKind::ConfChange => {
                let change = raftpb::ConfChange::decode(entry.data).ok();
                let change = change.and_then(|wire| cluster::ConfChange::from_wire(&wire).ok());
                urls.extend(change.iter().flat_map(|change| change.peer_urls()).cloned());
            }
            _ => {}
        });
        let Some(metadata) = metadata else {
            return Err(Unrepaired::Why("the log does not say any more whose it is".into()));
        };
        for own in &self.config.advertise_peer_urls {
            urls.remove(own);
        }
        let urls = urls.into_iter().collect();
        Ok(Kin { cluster: metadata.cluster_id, member: metadata.node_id, urls })
    }
}
