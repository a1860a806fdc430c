//! The simulated machine: inodes, names, and what of both is durable.

mod crash;
mod files;
mod names;

use std::{collections::BTreeMap, io, sync::Arc};

use rustix::io::Errno;

use super::{
    content::{Content, SECTOR_LEN},
    fault::{Call, CrashPlan, Fate, Fault, Random, Unsynced},
};
use crate::{LockKind, OpenMode};

pub(super) type Ino = u64;
const ROOT: Ino = 0;

/// Everything the clones of one [`SimDisk`](super::SimDisk) share.
#[derive(Debug)]
pub(super) struct State {
    inodes: BTreeMap<Ino, Inode>,
    next_ino: Ino,
    next_handle: u64,
    /// Name changes that no `sync_dir` covered yet, oldest first.
    names: Vec<Ordered<NameChange>>,
    /// Numbers the changes of all files and directories in the order they were issued.
    next_order: u64,
    /// Mutating calls so far, failed ones included.
    pub(super) calls: u64,
    /// Planted faults, with the number of the first call at which they may fire.
    pub(super) faults: Vec<(u64, Fault)>,
    /// Reads so far.
    pub(super) reads: u64,
    /// Likewise for faults of reads, with the number of the first read.
    pub(super) read_faults: Vec<(u64, Fault)>,
    /// Faults that have fired.
    pub(super) fired: Vec<Fault>,
    pub(super) power_lost: bool,
    /// Upper bound for the sum of all file lengths.
    pub(super) capacity: Option<u64>,
}

#[derive(Debug)]
enum Inode {
    Dir(Dir),
    File(Box<FileNode>),
}

#[derive(Debug, Default)]
struct Dir {
    live: BTreeMap<String, Ino>,
    durable: BTreeMap<String, Ino>,
}

#[derive(Debug, Default)]
struct FileNode {
    live: Content,
    durable: Content,
    /// Changes since the last sync, oldest first.
    pending: Vec<Ordered<FileChange>>,
    handles: usize,
    /// Holder of the flock lock and of the description lock.
    locks: [Option<u64>; 2],
}

#[derive(Clone, Debug)]
struct Ordered<T> {
    order: u64,
    change: T,
    /// A sync of it failed: a later sync will not make it durable.
    given_up: bool,
}

#[derive(Clone, Debug)]
enum FileChange {
    Write { offset: u64, data: Arc<[u8]> },
    SetLen(u64),
}

#[derive(Clone, Debug)]
enum NameChange {
    Link { dir: Ino, name: String, ino: Ino },
    Unlink { dir: Ino, name: String },
    Move { from: (Ino, String), to: (Ino, String), ino: Ino },
}

impl NameChange {
    fn touches(&self, wanted: Ino) -> bool {
        match self {
            NameChange::Link { dir, .. } | NameChange::Unlink { dir, .. } => *dir == wanted,
            NameChange::Move { from, to, .. } => from.0 == wanted || to.0 == wanted,
        }
    }

    fn name(&self) -> &str {
        match self {
            NameChange::Link { name, .. } | NameChange::Unlink { name, .. } => name,
            NameChange::Move { to, .. } => &to.1,
        }
    }
}

impl State {
    pub(super) fn new() -> State {
        State {
            inodes: BTreeMap::from([(ROOT, Inode::Dir(Dir::default()))]),
            next_ino: ROOT + 1,
            next_handle: 0,
            names: Vec::new(),
            next_order: 0,
            calls: 0,
            faults: Vec::new(),
            reads: 0,
            read_faults: Vec::new(),
            fired: Vec::new(),
            power_lost: false,
            capacity: None,
        }
    }

    /// Numbers a call (reads have none) and gives the fault that fires at it.
    pub(super) fn begin(&mut self, call: Call) -> io::Result<Option<Fault>> {
        if self.power_lost {
            return Err(power_lost());
        }
        let number = self.calls;
        let mut fault = None;
        if call == Call::Read {
            fault = take_due(&mut self.read_faults, self.reads, call);
            self.reads += 1;
        } else {
            self.calls += 1;
        }
        let fault = fault.or_else(|| take_due(&mut self.faults, number, call));
        self.fired.extend(fault);
        Ok(fault)
    }

    /// The same for calls on names and lengths: `Ok(true)` to do it and fail with "power lost" afterwards.
    fn begin_other(&mut self) -> io::Result<bool> {
        match self.begin(Call::Other)? {
            Some(Fault::Crash) => Ok(true),
            Some(Fault::Enospc) => Err(Errno::NOSPC.into()),
            Some(_) => Err(Errno::IO.into()),
            None => Ok(false),
        }
    }

    fn end(&mut self, crash: bool) -> io::Result<()> {
        if crash {
            self.power_lost = true;
            return Err(power_lost());
        }
        Ok(())
    }

    fn order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }
}

/// Takes the first fault that may fire at the call of that number and kind.
fn take_due(faults: &mut Vec<(u64, Fault)>, number: u64, call: Call) -> Option<Fault> {
    let due = faults.iter().position(|(from, fault)| *from <= number && fault.applies_to(call));
    due.map(|position| faults.remove(position).1)
}

fn apply_change(content: &mut Content, change: &FileChange) {
    match change {
        FileChange::Write { offset, data } if Arc::ptr_eq(data, files::zeros()) => {
            content.write_zeros(data.len() as u64, *offset);
        }
        FileChange::Write { offset, data } => content.write(data, *offset),
        FileChange::SetLen(len) => content.set_len(*len),
    }
}

fn power_lost() -> io::Error {
    io::Error::other("power lost")
}
