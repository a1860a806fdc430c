//! What members in reach give to one that has lost something: read from their disks, between two events.

use std::{fmt, path::Path, sync::Arc};

use node::{Config, Donors, EntryName, Kin, find_entries};
use types::raft::Entry;
use vfs::{Disk, OpenMode, SimDisk};

use crate::{machine::Machine, world::World};

/// Read and written at once.
const PIECE: usize = 1 << 20;

/// Members in reach of one that starts.
pub(crate) struct Givers {
    others: Vec<(Config, SimDisk)>,
    /// Where databases go.
    receiver: SimDisk,
}

impl fmt::Debug for Givers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} givers", self.others.len())
    }
}

impl Donors for Givers {
    fn entries(&self, _: &Kin, named: &[EntryName]) -> Result<Vec<Entry>, String> {
        let found: Vec<_> =
            self.others.iter().map(|(config, disk)| find_entries(config, disk, named, usize::MAX)).collect();
        if found.is_empty() {
            return Err("nobody is in reach".into());
        }
        Ok(found.into_iter().flatten().flatten().collect())
    }

    fn database(
        &self,
        _: &Kin,
        to: &Path,
        judge: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let mut why = "nobody is in reach".to_string();
        for (config, disk) in &self.others {
            match self.copy(config, disk, to).and_then(|()| judge()) {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

impl Givers {
    fn copy(&self, config: &Config, disk: &SimDisk, to: &Path) -> Result<(), String> {
        let options = bolt::Options {
            read_only: true,
            lock: bolt::Lock::Unlocked,
            side_dir: Some(config.data_dir.join("member/mainstay")),
            ..bolt::Options::default()
        };
        let text = |error: bolt::BoltError| error.to_string();
        let db =
            bolt::Db::open(Arc::new(disk.clone()), &config.snap_dir().join("db"), options).map_err(text)?;
        let image = db.snapshot().image().map_err(text)?;
        let failed = |error: std::io::Error| error.to_string();
        let file = self.receiver.open(to, OpenMode::Create).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        while at < image.len() {
            let read = image.read_at(at, &mut piece).map_err(text)?;
            file.write_all_at(&piece[..read], at).map_err(failed)?;
            at += read as u64;
        }
        file.sync_data().map_err(failed)
    }
}

impl World {
    /// Lets a machine that is about to start ask the members in its reach; how many those are.
    pub(crate) fn bring_givers(&mut self, place: usize) -> usize {
        let in_reach = |other: &usize| {
            let machine = &self.machines[*other];
            *other != place
                && machine.life.is_some()
                && machine.published
                && machine.paused_until <= self.now
                && !self.network.is_cut(place, *other)
                && !self.network.is_cut(*other, place)
        };
        let giver = |machine: &Machine| (machine.config.clone(), machine.disk.clone());
        let others: Vec<_> =
            (0..self.machines.len()).filter(in_reach).map(|other| giver(&self.machines[other])).collect();
        let count = others.len();
        let receiver = self.machines[place].disk.clone();
        self.machines[place].config.donors = Some(Arc::new(Givers { others, receiver }));
        count
    }

    /// Counts what a start got from others: the member is well again.
    pub(crate) fn repaired(&mut self, place: usize) {
        let machine = &mut self.machines[place];
        let repairs = machine.life.as_ref().map(|life| life.stepped.repairs()).unwrap_or_default();
        if repairs.records > 0 {
            machine.hurt = None;
            self.count("log repaired from others");
        }
        if repairs.databases > 0 {
            self.machines[place].hurt = None;
            self.count("database repaired from others");
        }
    }
}
