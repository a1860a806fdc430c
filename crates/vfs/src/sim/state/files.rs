//! Files: bytes and lengths, syncs, locks, and the faults of these calls.

use std::{
    io,
    path::Path,
    sync::{Arc, OnceLock},
};

use rustix::io::Errno;

use super::super::content::is_zero;
use super::{Call, Fault, FileChange, Ino, Inode, LockKind, Ordered, State, apply_change, power_lost};

/// Length of the writes that fill files with zeros.
const ZEROS_LEN: usize = 1 << 20;

impl State {
    pub(in crate::sim) fn read(&mut self, ino: Ino, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let fault = self.begin(Call::Read)?;
        let wanted = match fault {
            Some(Fault::ShortRead { bytes }) => bytes.min(buf.len()),
            Some(Fault::ReadEio) => return Err(Errno::IO.into()),
            _ => buf.len(),
        };
        let n = self.file(ino)?.live.read(&mut buf[..wanted], offset);
        if let Some(Fault::ReadBitFlip { bit }) = fault {
            flip(&mut buf[..n], bit);
        }
        Ok(n)
    }

    pub(in crate::sim) fn write(&mut self, ino: Ino, data: &[u8], offset: u64) -> io::Result<()> {
        let fault = self.begin(Call::Write)?;
        check_end(offset.saturating_add(data.len() as u64))?;
        let len = self.file(ino)?.live.len();
        let (room, full) = self.room(len, offset, data.len());
        match fault {
            None if full => {
                self.issue_write(ino, &data[..room], offset)?;
                Err(Errno::NOSPC.into())
            }
            None => self.issue_write(ino, data, offset),
            Some(Fault::Crash) => {
                self.issue_write(ino, &data[..room], offset)?;
                self.end(true)
            }
            Some(Fault::Enospc) => {
                self.issue_write(ino, &data[..data.len() / 2], offset)?;
                Err(Errno::NOSPC.into())
            }
            Some(Fault::BitFlip { bit }) => {
                let mut wrong = data.to_vec();
                flip(&mut wrong, bit);
                self.issue_write(ino, &wrong, offset)
            }
            Some(Fault::LostWrite) => Ok(()),
            Some(Fault::MisdirectedWrite { forward }) => self.issue_write(ino, data, offset + forward),
            Some(_) => Err(Errno::IO.into()),
        }
    }

    /// How many of `wanted` bytes at `offset` fit, for a file of `len` bytes, and whether that is too few.
    fn room(&self, len: u64, offset: u64, wanted: usize) -> (usize, bool) {
        let Some(capacity) = self.capacity else { return (wanted, false) };
        let end_max = len + capacity.saturating_sub(self.used());
        let room = (end_max.saturating_sub(offset)).min(wanted as u64) as usize;
        (room, room < wanted)
    }

    /// Sum of all file lengths.
    pub(in crate::sim) fn used(&self) -> u64 {
        self.inodes.values().map(|i| if let Inode::File(f) = i { f.live.len() } else { 0 }).sum()
    }

    /// What the capacity leaves. `path` must exist, and the power be on.
    pub(in crate::sim) fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        if self.power_lost {
            return Err(power_lost());
        }
        self.find(path)?;
        Ok(self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used())))
    }

    fn issue_write(&mut self, ino: Ino, data: &[u8], offset: u64) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.issue_change(ino, FileChange::Write { offset, data: kept(data) })
    }

    fn issue_change(&mut self, ino: Ino, change: FileChange) -> io::Result<()> {
        let order = self.order();
        let file = self.file(ino)?;
        apply_change(&mut file.live, &change);
        file.pending.push(Ordered { order, change, given_up: false });
        Ok(())
    }

    pub(in crate::sim) fn len(&mut self, ino: Ino) -> io::Result<u64> {
        if self.power_lost {
            return Err(power_lost());
        }
        Ok(self.file(ino)?.live.len())
    }

    pub(in crate::sim) fn set_len(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        let crash = self.begin_other()?;
        check_end(len)?;
        let old = self.file(ino)?.live.len();
        let (_, full) = self.room(old, old, len.saturating_sub(old) as usize);
        if full {
            return Err(Errno::NOSPC.into());
        }
        self.issue_change(ino, FileChange::SetLen(len))?;
        self.end(crash)
    }

    pub(in crate::sim) fn sync(&mut self, ino: Ino) -> io::Result<()> {
        let fault = self.begin(Call::Sync)?;
        let file = self.file(ino)?;
        match fault {
            Some(Fault::Crash) => self.end(true),
            Some(fault) => {
                file.pending.iter_mut().for_each(|p| p.given_up = true);
                Err(if fault == Fault::Enospc { Errno::NOSPC } else { Errno::IO }.into())
            }
            None => {
                let (lost, due) = std::mem::take(&mut file.pending).into_iter().partition(|p| p.given_up);
                file.pending = lost;
                for pending in due {
                    apply_change(&mut file.durable, &pending.change);
                    supersede(&mut file.pending, &pending.change);
                }
                Ok(())
            }
        }
    }

    pub(in crate::sim) fn try_lock(&mut self, ino: Ino, handle: u64, kind: LockKind) -> io::Result<bool> {
        if self.power_lost {
            return Err(power_lost());
        }
        let slot = match kind {
            LockKind::Flock | LockKind::SharedFlock => 0,
            LockKind::OpenFileDescription => 1,
        };
        let lock = &mut self.file(ino)?.locks[slot];
        Ok(*lock.get_or_insert(handle) == handle)
    }
}

/// Takes out of `given_up`, which a failed sync left behind, what a newer change has replaced durably: a crash may keep an
/// old write that was never synced, but not over a newer one that was.
fn supersede(given_up: &mut Vec<Ordered<FileChange>>, newer: &FileChange) {
    let mut rest = Vec::with_capacity(given_up.len());
    for Ordered { order, change, given_up } in given_up.drain(..) {
        let mut keep = |change| rest.push(Ordered { order, change, given_up });
        match (change, newer) {
            (FileChange::Write { offset, data }, newer) => {
                let end = offset + data.len() as u64;
                let (from, to) = match newer {
                    FileChange::Write { offset, data } => (*offset, offset + data.len() as u64),
                    FileChange::SetLen(len) => (*len, u64::MAX),
                };
                let (before, after) = (end.min(from), offset.max(to));
                if before > offset {
                    keep(FileChange::Write { offset, data: data[..(before - offset) as usize].into() });
                }
                if after < end {
                    keep(FileChange::Write { offset: after, data: data[(after - offset) as usize..].into() });
                }
            }
            (FileChange::SetLen(_), FileChange::SetLen(_)) => {}
            (FileChange::SetLen(len), FileChange::Write { offset, data }) => {
                if offset + data.len() as u64 <= len {
                    keep(FileChange::SetLen(len));
                }
            }
        }
    }
    *given_up = rest;
}

/// The bytes of a write until they are durable. Segments are written with zeros before use, and those are kept once.
fn kept(data: &[u8]) -> Arc<[u8]> {
    if data.len() == ZEROS_LEN && is_zero(data) { Arc::clone(zeros()) } else { data.into() }
}

/// What most of such a file is written with.
pub(super) fn zeros() -> &'static Arc<[u8]> {
    static ZEROS: OnceLock<Arc<[u8]>> = OnceLock::new();
    ZEROS.get_or_init(|| Arc::from(vec![0; ZEROS_LEN]))
}

fn flip(bytes: &mut [u8], bit: u64) {
    if let Some(bits) = std::num::NonZeroU64::new(bytes.len() as u64 * 8) {
        let bit = bit % bits;
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
    }
}

/// Offsets are signed in the kernel, so files end below 2^63.
fn check_end(end: u64) -> io::Result<()> {
    if i64::try_from(end).is_ok() { Ok(()) } else { Err(Errno::FBIG.into()) }
}
