//! What is left after power loss, a kill, or damage.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use super::{
    Content, CrashPlan, Dir, Fate, FileChange, FileNode, Ino, Inode, NameChange, ROOT, Random, SECTOR_LEN,
    State, Unsynced, apply_change,
};

impl State {
    /// What is not durable, in the order it was issued.
    pub(in crate::sim) fn unsynced(&self) -> Vec<Unsynced> {
        self.pending().into_iter().map(|(_, what)| what).collect()
    }

    /// The same with the order numbers.
    fn pending(&self) -> Vec<(u64, Unsynced)> {
        let mut paths = BTreeMap::new();
        self.live_paths(ROOT, &PathBuf::from("/"), &mut paths);
        let mut all: Vec<(u64, Unsynced)> = Vec::new();
        for name in &self.names {
            all.push((name.order, Unsynced::Name { name: name.change.name().to_owned() }));
        }
        for (ino, inode) in &self.inodes {
            let Inode::File(file) = inode else { continue };
            for pending in &file.pending {
                let path = paths.get(ino).cloned();
                all.push((
                    pending.order,
                    match &pending.change {
                        FileChange::Write { offset, data } => {
                            Unsynced::Write { path, offset: *offset, len: data.len() as u64 }
                        }
                        FileChange::SetLen(len) => Unsynced::SetLen { path, len: *len },
                    },
                ));
            }
        }
        all.sort_by_key(|(order, _)| *order);
        all
    }

    fn live_paths(&self, ino: Ino, path: &Path, paths: &mut BTreeMap<Ino, PathBuf>) {
        paths.insert(ino, path.to_owned());
        if let Some(Inode::Dir(dir)) = self.inodes.get(&ino) {
            for (name, child) in &dir.live {
                self.live_paths(*child, &path.join(name), paths);
            }
        }
    }

    /// The live names of all files, sorted.
    pub(in crate::sim) fn files(&self) -> Vec<PathBuf> {
        let mut paths = BTreeMap::new();
        self.live_paths(ROOT, &PathBuf::from("/"), &mut paths);
        paths.retain(|ino, _| matches!(self.inodes.get(ino), Some(Inode::File(_))));
        let mut files: Vec<_> = paths.into_values().collect();
        files.sort();
        files
    }

    /// What the disk holds after power loss: durable state plus the changes that `plan` keeps.
    pub(in crate::sim) fn crash(&self, plan: &CrashPlan) -> State {
        let pending = self.pending();
        let unsynced: Vec<Unsynced> = pending.iter().map(|(_, what)| what.clone()).collect();
        let orders = pending.into_iter().map(|(order, _)| order);
        let fates: BTreeMap<u64, Fate> = orders.zip(plan.fates(&unsynced)).collect();
        let mut image = State { next_ino: self.next_ino, capacity: self.capacity, ..State::new() };
        for (ino, inode) in &self.inodes {
            image.inodes.insert(
                *ino,
                match inode {
                    Inode::Dir(dir) => {
                        Inode::Dir(Dir { live: BTreeMap::new(), durable: dir.durable.clone() })
                    }
                    Inode::File(file) => Inode::File(Box::new(file.after_crash(&fates))),
                },
            );
        }
        for name in &self.names {
            if happens_whole(fates[&name.order]) {
                image.apply_name(&name.change, true);
            }
        }
        for inode in image.inodes.values_mut() {
            if let Inode::Dir(dir) = inode {
                dir.live = dir.durable.clone();
            }
        }
        image.sweep();
        image
    }

    /// What a new process finds after this one was killed: all changes are there, durable or not as before.
    pub(in crate::sim) fn kill(&mut self) -> State {
        let image = State {
            inodes: std::mem::take(&mut self.inodes),
            next_ino: self.next_ino,
            names: std::mem::take(&mut self.names),
            next_order: self.next_order,
            capacity: self.capacity,
            ..State::new()
        };
        self.power_lost = true;
        let mut image = image;
        for inode in image.inodes.values_mut() {
            if let Inode::File(file) = inode {
                (file.handles, file.locks) = (0, [None; 2]);
            }
        }
        image
    }

    /// Everything that was issued becomes durable.
    pub(in crate::sim) fn make_durable(&mut self) {
        for inode in self.inodes.values_mut() {
            match inode {
                Inode::Dir(dir) => dir.durable = dir.live.clone(),
                Inode::File(file) => {
                    file.durable = file.live.clone();
                    file.pending.clear();
                }
            }
        }
        self.names.clear();
        self.sweep();
    }

    /// Changes stored bytes behind everybody's back: live, durable, uncounted.
    pub(in crate::sim) fn damage(
        &mut self,
        path: &Path,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<()> {
        let ino = self.find(path)?;
        let file = self.file(ino)?;
        let mut bytes = file.live.to_vec();
        change(&mut bytes);
        let mut content = Content::default();
        content.write(&bytes, 0);
        content.set_len(bytes.len() as u64);
        (file.live, file.durable) = (content.clone(), content);
        file.pending.clear();
        Ok(())
    }

    /// Stored bytes from `offset` on, as many as there are.
    pub(in crate::sim) fn peek(&mut self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let ino = self.find(path)?;
        let mut bytes = vec![0; len];
        let read = self.file(ino)?.live.read(&mut bytes, offset);
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Stores bytes behind everybody's back, within the file.
    pub(in crate::sim) fn poke(&mut self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let ino = self.find(path)?;
        let file = self.file(ino)?;
        for content in [&mut file.live, &mut file.durable] {
            let inside = content.len().saturating_sub(offset).min(bytes.len() as u64);
            content.write(&bytes[..inside as usize], offset);
        }
        Ok(())
    }

    /// Where the last stored bytes of a file end, about; zeros that nobody wrote behind it do not count.
    pub(in crate::sim) fn stored_end(&mut self, path: &Path) -> io::Result<u64> {
        let ino = self.find(path)?;
        Ok(self.file(ino)?.live.stored_end())
    }

    pub(in crate::sim) fn contents(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let ino = self.find(path)?;
        Ok(self.file(ino)?.live.to_vec())
    }

    /// Forgets inodes that nothing can reach any more, so that long runs do not keep every file they removed.
    pub(super) fn sweep(&mut self) {
        let mut reached = BTreeSet::new();
        let mut queue = vec![ROOT];
        queue.extend(self.names.iter().filter_map(|n| match n.change {
            NameChange::Link { ino, .. } | NameChange::Move { ino, .. } => Some(ino),
            NameChange::Unlink { .. } => None,
        }));
        let open = |(ino, inode): (&Ino, &Inode)| match inode {
            Inode::File(file) => (file.handles > 0).then_some(*ino),
            Inode::Dir(_) => None,
        };
        queue.extend(self.inodes.iter().filter_map(open));
        while let Some(ino) = queue.pop() {
            if !reached.insert(ino) {
                continue;
            }
            if let Some(Inode::Dir(dir)) = self.inodes.get(&ino) {
                queue.extend(dir.live.values().chain(dir.durable.values()));
            }
        }
        self.inodes.retain(|ino, _| reached.contains(ino));
    }
}

impl FileNode {
    fn after_crash(&self, fates: &BTreeMap<u64, Fate>) -> FileNode {
        let mut content = self.durable.clone();
        for pending in &self.pending {
            match (fates[&pending.order], &pending.change) {
                (Fate::Torn { seed }, FileChange::Write { offset, data }) => {
                    tear(&mut content, *offset, data, seed);
                }
                (fate, change) if happens_whole(fate) => apply_change(&mut content, change),
                _ => {}
            }
        }
        FileNode { live: content.clone(), durable: content, ..FileNode::default() }
    }
}

fn happens_whole(fate: Fate) -> bool {
    match fate {
        Fate::Lost => false,
        Fate::Kept => true,
        Fate::Torn { seed } => seed % 2 == 1,
    }
}

/// Applies only some sectors of a write.
fn tear(content: &mut Content, offset: u64, data: &[u8], seed: u64) {
    let mut random = Random::new(seed);
    let end = offset + data.len() as u64;
    let mut at = offset;
    while at < end {
        let next = ((at / SECTOR_LEN + 1) * SECTOR_LEN).min(end);
        if random.next() % 2 == 1 {
            content.write(&data[(at - offset) as usize..(next - offset) as usize], at);
        }
        at = next;
    }
    // The length is metadata of its own: it may have grown although the bytes did not make it.
    if random.next() % 2 == 1 && content.len() < end {
        content.set_len(end);
    }
}
