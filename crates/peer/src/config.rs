//! What the transport is told once.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use node::{PeerInput, Release};
use rustls::ClientConfig;
use types::{ClusterId, MemberId};
use vfs::Disk;

use crate::repair::Donor;

/// Makes the settings for one TLS connection; asked for each, so that changed certificates count.
pub type TlsSource = Arc<dyn Fn() -> Result<Arc<ClientConfig>, String> + Send + Sync>;

/// Says what is wrong with a received snapshot file.
pub type SnapshotCheck = Arc<dyn Fn(&Path, u64) -> Result<(), String> + Send + Sync>;

/// Settings of a [`crate::Transport`].
#[derive(Clone)]
pub struct Config {
    /// This member.
    pub id: MemberId,
    /// Its cluster: nobody of another is spoken with.
    pub cluster: ClusterId,
    /// Which version it has, told to the others.
    pub release: Release,
    /// Where this member can be reached, told to the others.
    pub urls: Vec<String>,
    /// How long to wait for a connection; etcd waits a second longer than an election timeout.
    pub dial_timeout: Duration,
    /// For `https` addresses. Members speak HTTP/1.1 here, so no protocol is offered by ALPN: Go's server refuses
    /// those it does not know, and takes none for HTTP/1.1.
    pub tls: Option<TlsSource>,
    /// Where received snapshot files go.
    pub disk: Arc<dyn Disk>,
    /// The directory for them: `member/snap`.
    pub snap_dir: PathBuf,
    /// Judges the received file of a snapshot at an index before it gets its name. May block.
    pub check: SnapshotCheck,
    /// What this member has for others that lost something; `None` gives nothing.
    pub donor: Option<Arc<dyn Donor>>,
    /// Takes what comes from the network; `false` when nobody listens any more. Must not block.
    pub deliver: Arc<dyn Fn(PeerInput) -> bool + Send + Sync>,
    /// Called when another member says that this one was removed from the cluster for good: it should stop.
    pub on_removed: Arc<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("id", &self.id).field("cluster", &self.cluster).finish_non_exhaustive()
    }
}
