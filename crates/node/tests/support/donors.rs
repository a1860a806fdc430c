//! Members that give what another one has lost, without a network.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex},
};

use node::{Caller, Donors, EntryName, Kin, NodeHandle, find_entries};
use proto::etcdserverpb::SnapshotRequest;
use types::raft::Entry;
use vfs::{Disk, OpenMode, SimDisk};

use crate::support::{config, run};

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Givers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Members that run, and their disks.
    members: Vec<(NodeHandle, SimDisk)>,
    /// Where databases go.
    receiver: Option<SimDisk>,
    /// Whom they were last asked for.
    kin: Option<Kin>,
}

impl fmt::Debug for Givers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Givers")
    }
}

impl Givers {
    pub(crate) fn new(members: Vec<(NodeHandle, SimDisk)>) -> Givers {
        Givers(Arc::new(Mutex::new(State { members, ..State::default() })))
    }

    /// From now on databases go to that disk.
    pub(crate) fn give_to(&self, disk: &SimDisk) {
        self.0.lock().unwrap().receiver = Some(disk.clone());
    }

    /// Who asked last.
    pub(crate) fn asked_by(&self) -> Option<Kin> {
        self.0.lock().unwrap().kin.clone()
    }
}

impl Donors for Givers {
    fn entries(&self, kin: &Kin, named: &[EntryName]) -> Result<Vec<Entry>, String> {
        let mut state = self.0.lock().unwrap();
        state.kin = Some(kin.clone());
        let settings = config(Path::new("/data"));
        let found = state.members.iter().map(|(_, disk)| find_entries(&settings, disk, named, usize::MAX));
        Ok(found.flatten().flatten().collect())
    }

    fn database(
        &self,
        kin: &Kin,
        to: &Path,
        judge: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let mut state = self.0.lock().unwrap();
        state.kin = Some(kin.clone());
        let disk = state.receiver.clone().ok_or("nobody receives")?;
        let mut why = "there is nobody".to_string();
        for (handle, _) in &state.members {
            let port = handle.port();
            let image = run(&port, port.snapshot(Caller::internal(), SnapshotRequest {}));
            let image = image.map_err(|error| error.to_string())?;
            let mut content = vec![0; image.len() as usize];
            image.read_at(0, &mut content).map_err(|error| error.to_string())?;
            let file = disk.open(to, OpenMode::Create).map_err(|error| error.to_string())?;
            file.write_all_at(&content, 0).map_err(|error| error.to_string())?;
            file.sync_data().map_err(|error| error.to_string())?;
            match judge() {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
            disk.remove_file(to).map_err(|error| error.to_string())?;
        }
        Err(why)
    }
}
