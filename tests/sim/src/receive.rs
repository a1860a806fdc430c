//! What the receiving end of a transport does with a database: it is whole, checked and durable before raft hears of
//! it.

use std::{io, path::Path, sync::Arc};

use vfs::{Disk, OpenMode, SimDisk};

/// Stores what a leader sent for `index`.
pub(crate) fn receive(disk: &SimDisk, index: u64, content: &[u8]) -> io::Result<()> {
    let dir = Path::new("/data/member/snap");
    let (part, whole) = (dir.join("tmp1"), dir.join(format!("{index:016x}.snap.db")));
    let file = disk.open(&part, OpenMode::Create)?;
    file.set_len(0)?;
    file.write_all_at(content, 0)?;
    file.sync_data()?;
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    node::check_received(shared, &part, index).map_err(io::Error::other)?;
    disk.rename(&part, &whole)?;
    disk.sync_dir(dir)
}
