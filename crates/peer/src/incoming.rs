//! A snapshot file from another member: written beside the old ones, whole or not at all.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use telemetry::metrics;
use tokio::{sync::mpsc, time::timeout};
use vfs::{Disk, OpenMode};

use crate::{compat::FILE_SUM, config::SnapshotCheck, server::Posted, shared::Shared};

/// Pieces that wait for the disk.
const PIECES_AHEAD: usize = 4;
/// A sender that brings nothing for this long is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Receives the rest of `body`, after `first`, as the file of the snapshot at `index`; how many bytes it has.
pub(crate) async fn save(shared: &Shared, index: u64, first: Bytes, mut body: Posted) -> io::Result<u64> {
    let start = Instant::now();
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    let file = Unfinished {
        disk: Arc::clone(&shared.config.disk),
        dir: shared.config.snap_dir.clone(),
        // Boot removes what begins like this.
        name: format!("tmp-{index:016x}-{}", shared.received.fetch_add(1, Ordering::Relaxed)),
        check: Arc::clone(&shared.config.check),
        finished: false,
    };
    let writing = shared.runtime.spawn_blocking(move || file.write(index, pieces));
    let received = async {
        let (mut len, mut sum) = (first.len() as u64, crc32c::crc32c(&first));
        sender.send(first).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        loop {
            let frame = match timeout(PATIENCE, body.frame()).await {
                Ok(Some(frame)) => frame.map_err(io::Error::other)?,
                Ok(None) => return Ok::<u64, io::Error>(len),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            };
            match frame.into_data() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    len += bytes.len() as u64;
                    sum = crc32c::crc32c_append(sum, &bytes);
                    // Refused when the disk fails, which says why.
                    sender.send(bytes).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
                }
                Err(frame) => compare(frame.trailers_ref(), sum)?,
            }
        }
    };
    let received = received.await;
    // Without this word the file is not kept.
    if received.is_ok() {
        let _ = sender.send(Bytes::new()).await;
    }
    drop(sender);
    let written = writing.await.map_err(io::Error::other)?;
    // Which of the two failed first decides; a closed channel is the disk's doing.
    let len = match (received, written) {
        (Err(error), _) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
        (_, Err(error)) | (Err(error), Ok(_)) => return Err(error),
        (Ok(received), Ok(written)) if received != written => {
            return Err(io::Error::other(format!("{received} bytes came and {written} were written")));
        }
        (Ok(len), Ok(_)) => len,
    };
    metrics().snap_db_save_total_duration_seconds.observe(start.elapsed().as_secs_f64());
    Ok(len)
}

/// Whether the file is what was sent, if the sender says what that was.
pub(crate) fn compare(trailers: Option<&HeaderMap>, came: u32) -> io::Result<()> {
    let Some(told) = trailers.and_then(|trailers| trailers.get(FILE_SUM)) else { return Ok(()) };
    let told = told.to_str().ok().and_then(|text| u32::from_str_radix(text, 16).ok());
    if told == Some(came) {
        return Ok(());
    }
    Err(io::Error::other("the file was damaged on its way: its checksum is not the one that was sent"))
}

/// A file that is removed unless it gets its name.
struct Unfinished {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    name: String,
    check: SnapshotCheck,
    finished: bool,
}

impl Unfinished {
    /// Writes what comes until an empty piece says that it was all.
    fn write(mut self, index: u64, mut pieces: mpsc::Receiver<Bytes>) -> io::Result<u64> {
        let path = self.dir.join(&self.name);
        let file = self.disk.open(&path, OpenMode::CreateNew)?;
        let mut len = 0;
        let mut first = true;
        loop {
            match pieces.blocking_recv() {
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(piece) if piece.is_empty() && !first => break,
                Some(piece) => {
                    file.write_all_at(&piece, len)?;
                    len += piece.len() as u64;
                }
            }
            first = false;
        }
        if len == 0 {
            return Err(io::Error::other("the file is empty"));
        }
        if file.len()? != len {
            return Err(io::Error::other("the file does not have the length that was written"));
        }
        let start = Instant::now();
        file.sync_data()?;
        metrics().snap_db_fsync_duration_seconds.observe(start.elapsed().as_secs_f64());
        drop(file);
        (self.check)(&path, index)
            .map_err(|what| io::Error::other(format!("the file is damaged: {what}")))?;
        let target = self.dir.join(file_name(index));
        // Another sender was faster: his is as good, and may be in use.
        if !self.disk.exists(&target)? {
            self.disk.rename(&path, &target)?;
            self.finished = true;
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(len)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // The next start removes it otherwise.
            let _ = self.disk.remove_file(Path::new(&self.dir.join(&self.name)));
        }
    }
}

/// The name of the file of a snapshot.
pub(crate) fn file_name(index: u64) -> String {
    format!("{index:016x}.snap.db")
}
