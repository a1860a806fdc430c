//! What this member gives to others that have lost something.

use std::sync::Arc;

use node::{Caller, EntryName, NodeHandle, SnapshotImage};
use proto::etcdserverpb::SnapshotRequest;
use types::raft::Entry;
use vfs::RealDisk;

/// Reads this member's log, and asks its core for the database.
pub(crate) struct Donation {
    pub(crate) config: Arc<node::Config>,
    pub(crate) handle: NodeHandle,
}

impl peer::Donor for Donation {
    fn entries(&self, named: &[EntryName], bytes_max: usize) -> Result<Vec<Entry>, String> {
        node::find_entries(&self.config, &RealDisk, named, bytes_max).map_err(|error| error.to_string())
    }

    fn database(&self) -> Result<SnapshotImage, String> {
        // A port belongs to one thread.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let port = self.handle.port();
        runtime.block_on(async {
            tokio::select! {
                image = port.snapshot(Caller::internal(), SnapshotRequest {}) => {
                    image.map_err(|error| error.to_string())
                }
                () = port.drive() => Err("the member has stopped".into()),
            }
        })
    }
}
