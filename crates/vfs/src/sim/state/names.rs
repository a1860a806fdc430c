//! Directories: what the names are, and which changes of them are durable.

use std::{
    ffi::OsStr,
    io,
    path::{Component, Path},
};

use rustix::io::Errno;

use super::{Call, Dir, Fault, FileNode, Ino, Inode, NameChange, OpenMode, Ordered, ROOT, State, power_lost};

impl State {
    pub(super) fn dir(&self, ino: Ino) -> io::Result<&Dir> {
        match self.inodes.get(&ino) {
            Some(Inode::Dir(dir)) => Ok(dir),
            Some(Inode::File(_)) => Err(Errno::NOTDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    pub(super) fn file(&mut self, ino: Ino) -> io::Result<&mut FileNode> {
        match self.inodes.get_mut(&ino) {
            Some(Inode::File(file)) => Ok(file),
            Some(Inode::Dir(_)) => Err(Errno::ISDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    /// The inode at `path`.
    pub(in crate::sim) fn find(&self, path: &Path) -> io::Result<Ino> {
        let mut ino = ROOT;
        for name in elements(path)? {
            ino = *self.dir(ino)?.live.get(&name).ok_or(Errno::NOENT)?;
        }
        Ok(ino)
    }

    /// The directory that holds the last element of `path`, and that element.
    fn parent(&self, path: &Path) -> io::Result<(Ino, String)> {
        let mut names = elements(path)?;
        let name = names.pop().ok_or(Errno::INVAL)?;
        let mut ino = ROOT;
        for name in names {
            ino = *self.dir(ino)?.live.get(&name).ok_or(Errno::NOENT)?;
        }
        self.dir(ino)?;
        Ok((ino, name))
    }

    fn issue_name(&mut self, change: NameChange) {
        self.apply_name(&change, false);
        let order = self.order();
        self.names.push(Ordered { order, change, given_up: false });
    }

    pub(super) fn apply_name(&mut self, change: &NameChange, durable: bool) {
        let mut set = |dir: Ino, name: &str, ino: Option<Ino>| {
            // A directory that is gone takes its names with it.
            let Some(Inode::Dir(dir)) = self.inodes.get_mut(&dir) else { return };
            let names = if durable { &mut dir.durable } else { &mut dir.live };
            match ino {
                Some(ino) => names.insert(name.to_owned(), ino),
                None => names.remove(name),
            };
        };
        match change {
            NameChange::Link { dir, name, ino } => set(*dir, name, Some(*ino)),
            NameChange::Unlink { dir, name } => set(*dir, name, None),
            NameChange::Move { from, to, ino } => {
                set(from.0, &from.1, None);
                set(to.0, &to.1, Some(*ino));
            }
        }
    }

    fn link_new(&mut self, dir: Ino, name: String, inode: Inode) -> Ino {
        let ino = self.next_ino;
        self.next_ino += 1;
        self.inodes.insert(ino, inode);
        self.issue_name(NameChange::Link { dir, name, ino });
        ino
    }

    pub(in crate::sim) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<(Ino, u64)> {
        if self.power_lost {
            return Err(power_lost());
        }
        let (dir, name) = self.parent(path)?;
        let found = self.dir(dir)?.live.get(&name).copied();
        let ino = match (found, mode) {
            (Some(_), OpenMode::CreateNew) => return Err(Errno::EXIST.into()),
            (Some(ino), _) => ino,
            (None, OpenMode::Read | OpenMode::ReadWrite) => return Err(Errno::NOENT.into()),
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                let crash = self.begin_other()?;
                let ino = self.link_new(dir, name, Inode::File(Box::default()));
                self.end(crash)?;
                ino
            }
        };
        self.file(ino)?.handles += 1;
        self.next_handle += 1;
        Ok((ino, self.next_handle))
    }

    pub(in crate::sim) fn close(&mut self, ino: Ino, handle: u64) {
        if let Ok(file) = self.file(ino) {
            file.handles -= 1;
            for lock in &mut file.locks {
                lock.take_if(|holder| *holder == handle);
            }
        }
    }

    pub(in crate::sim) fn list(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        if self.power_lost {
            return Err(power_lost());
        }
        let names = &self.dir(self.find(path)?)?.live;
        let is_dir = |ino| matches!(self.inodes.get(ino), Some(Inode::Dir(_)));
        Ok(names.iter().map(|(name, ino)| (name.clone(), is_dir(ino))).collect())
    }

    pub(in crate::sim) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let crash = self.begin_other()?;
        let mut ino = ROOT;
        for name in elements(path)? {
            ino = match self.dir(ino)?.live.get(&name) {
                Some(&found) => found,
                None => self.link_new(ino, name, Inode::Dir(Dir::default())),
            };
            self.dir(ino)?;
        }
        self.end(crash)
    }

    pub(in crate::sim) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let crash = self.begin_other()?;
        let (from, to) = (self.parent(from)?, self.parent(to)?);
        let ino = *self.dir(from.0)?.live.get(&from.1).ok_or(Errno::NOENT)?;
        if let Some(old) = self.dir(to.0)?.live.get(&to.1) {
            match (&self.inodes[&ino], &self.inodes[old]) {
                (Inode::File(_), Inode::Dir(_)) => return Err(Errno::ISDIR.into()),
                (Inode::Dir(_), Inode::File(_)) => return Err(Errno::NOTDIR.into()),
                (Inode::Dir(_), Inode::Dir(dir)) if !dir.live.is_empty() => {
                    return Err(Errno::NOTEMPTY.into());
                }
                _ => {}
            }
        }
        self.issue_name(NameChange::Move { from, to, ino });
        self.end(crash)
    }

    pub(in crate::sim) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let crash = self.begin_other()?;
        let (dir, name) = self.parent(path)?;
        let ino = *self.dir(dir)?.live.get(&name).ok_or(Errno::NOENT)?;
        self.file(ino)?;
        self.issue_name(NameChange::Unlink { dir, name });
        self.end(crash)
    }

    pub(in crate::sim) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let crash = self.begin_other()?;
        let (dir, name) = self.parent(path)?;
        let ino = *self.dir(dir)?.live.get(&name).ok_or(Errno::NOENT)?;
        self.dir(ino)?;
        self.empty_dir(ino);
        self.issue_name(NameChange::Unlink { dir, name });
        self.end(crash)
    }

    fn empty_dir(&mut self, ino: Ino) {
        let Some(Inode::Dir(dir)) = self.inodes.get(&ino) else { return };
        for (name, child) in dir.live.clone() {
            self.empty_dir(child);
            self.issue_name(NameChange::Unlink { dir: ino, name });
        }
    }

    pub(in crate::sim) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let fault = self.begin(Call::Sync)?;
        let ino = self.find(path)?;
        self.dir(ino)?;
        match fault {
            Some(Fault::Crash) => self.end(true),
            Some(_) => {
                self.names.iter_mut().filter(|n| n.change.touches(ino)).for_each(|n| n.given_up = true);
                Err(Errno::IO.into())
            }
            None => {
                let names = std::mem::take(&mut self.names);
                let (due, rest) = names.into_iter().partition(|n| n.change.touches(ino) && !n.given_up);
                self.names = rest;
                for name in due {
                    self.apply_name(&name.change, true);
                    supersede(&mut self.names, &name.change);
                }
                self.sweep();
                Ok(())
            }
        }
    }
}

/// Takes out of the changes that a failed sync gave up what a newer change has replaced durably: an old name that a crash
/// may keep does not come back over a newer one that was synced.
fn supersede(names: &mut Vec<Ordered<NameChange>>, newer: &NameChange) {
    let settled = |place: &(Ino, String)| match newer {
        NameChange::Link { dir, name, .. } | NameChange::Unlink { dir, name } => {
            *place == (*dir, name.clone())
        }
        NameChange::Move { from, to, .. } => place == from || place == to,
    };
    names.retain_mut(|Ordered { change, given_up, .. }| {
        if !*given_up {
            return true;
        }
        match change {
            NameChange::Link { dir, name, .. } | NameChange::Unlink { dir, name } => {
                !settled(&(*dir, name.clone()))
            }
            NameChange::Move { from, to, ino } => match (settled(from), settled(to)) {
                (true, true) => false,
                (false, false) => true,
                (true, false) => {
                    *change = NameChange::Link { dir: to.0, name: to.1.clone(), ino: *ino };
                    true
                }
                (false, true) => {
                    *change = NameChange::Unlink { dir: from.0, name: from.1.clone() };
                    true
                }
            },
        }
    });
}

/// The names along `path`, from the root; relative paths start there too.
fn elements(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(to_name(name)),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(Errno::INVAL.into()),
        }
    }
    Ok(names)
}

fn to_name(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}
