//! A layer's entries onto disk, where none of them can leave the layer's directory.
//!
//! The directory plays the root: every parent is opened by openat2 with RESOLVE_IN_ROOT, and every entry is made by calls
//! relative to that descriptor which never follow the last name. So `..`, absolute links, and a link put in place of
//! a directory between two entries all end inside. Attributes that steer overlayfs itself are not taken from an archive.
//!
//! Two targets: a stored layer keeps deletions as overlayfs does (0:0 devices, the opaque attribute), a flat root
//! filesystem carries them out ([`Deletions`]). No file is synced on its own; the store syncs once at the end.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::sys::time::TimeSpec;

use crate::image::entries::{Entries, Entry, Kind};
use crate::image::inventory::Writer;
use crate::kernel::fs::{open_beneath, open_in_root, path_of};

mod place;
pub(crate) use place::Content;
mod remove;
mod whiteout;

pub use remove::remove_tree;

/// What happens to names that a layer deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletions {
    /// They are kept as overlayfs's marks.
    Marked,
    /// They are carried out in the directory, which holds the layers below.
    CarriedOut,
}

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive ends too early or is malformed.
    #[error("read layer archive")]
    Archive(#[source] io::Error),
    /// An entry's path leads out of the layer.
    #[error("layer entry {path:?} leads out of the root filesystem", path = .0.display().to_string())]
    Escapes(PathBuf),
    /// An entry could not be made.
    #[error("unpack layer entry {path:?}", path = .0.display().to_string())]
    Entry(PathBuf, #[source] io::Error),
    /// The inventory could not be written.
    #[error("write layer inventory")]
    Inventory(#[source] io::Error),
}

impl UnpackError {
    /// Whether the disk is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            // What arrives is kept on the same disk, so reading can fail for lack of space, too.
            Self::Entry(_, err) | Self::Inventory(err) | Self::Archive(err) => is_full(err),
            Self::Escapes(_) => false,
        }
    }
}

pub(crate) fn is_full(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Parents kept open; layers list entries directory by directory, so few are enough.
const OPEN_PARENTS: usize = 64;

/// A layer being unpacked.
pub struct Unpacker {
    root: OwnedFd,
    root_path: PathBuf,
    deletions: Deletions,
    parents: HashMap<PathBuf, std::rc::Rc<Parent>>,
    directories: Vec<(PathBuf, TimeSpec)>,
    /// What this layer made, where deletions must spare it.
    made: HashSet<PathBuf>,
    inventory: Option<Writer>,
}

/// An open directory and its path from the root, links resolved.
struct Parent {
    fd: OwnedFd,
    path: PathBuf,
}

impl Unpacker {
    /// Unpacks below `root`, noting every entry in `inventory`.
    pub fn new(root: &Path, deletions: Deletions, inventory: Option<Writer>) -> io::Result<Self> {
        let root = OwnedFd::from(File::open(root)?);
        let root_path = path_of(&root)?;
        Ok(Self {
            root,
            root_path,
            deletions,
            parents: HashMap::new(),
            directories: Vec::new(),
            made: HashSet::new(),
            inventory,
        })
    }

    /// Unpacks a whole archive and gives the stream back, for what may follow it.
    pub fn unpack<R: BufRead>(mut self, archive: R) -> Result<R, UnpackError> {
        let mut entries = Entries::new(archive);
        while let Some(entry) = entries.next_entry().map_err(UnpackError::Archive)? {
            self.add(&entry, &mut entries)?;
        }
        self.finish()?;
        Ok(entries.into_inner())
    }

    fn add<R: BufRead>(&mut self, entry: &Entry, data: &mut Entries<R>) -> Result<(), UnpackError> {
        let path = clean(&entry.path).ok_or_else(|| UnpackError::Escapes(entry.path.clone()))?;
        let wrong = |err: io::Error| UnpackError::Entry(entry.path.clone(), err);
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            return self.attributes_of_root(entry).map_err(wrong);
        };
        let parent = self.parent(parent).map_err(wrong)?;
        if let Some(deleted) = name.as_bytes().strip_prefix(b".wh.") {
            if matches!(deleted, b"" | b"." | b"..") {
                return Err(UnpackError::Escapes(entry.path.clone()));
            }
            return self.whiteout(&parent, OsStr::from_bytes(deleted)).map_err(wrong);
        }
        let link = match entry.kind {
            Kind::HardLink => Some(self.link_target(entry)?),
            Kind::File
            | Kind::Directory
            | Kind::Symlink
            | Kind::Character { .. }
            | Kind::Block { .. }
            | Kind::Fifo => None,
        };
        self.place(&parent, name, entry, link, data)
    }

    /// The directory of a hard link's target, and the name in it.
    fn link_target(&mut self, entry: &Entry) -> Result<(std::rc::Rc<Parent>, OsString), UnpackError> {
        let target = clean(Path::new(&entry.link)).ok_or_else(|| UnpackError::Escapes(entry.path.clone()))?;
        let (Some(name), Some(parent)) = (target.file_name(), target.parent()) else {
            return Err(UnpackError::Entry(entry.path.clone(), Errno::EISDIR.into()));
        };
        let parent = self.open_parent(parent).map_err(|err| UnpackError::Entry(entry.path.clone(), err))?;
        Ok((parent, name.to_owned()))
    }

    /// The directory at `path`, made when missing.
    fn parent(&mut self, path: &Path) -> io::Result<std::rc::Rc<Parent>> {
        match self.open_parent(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::ENOENT.into());
        };
        let above = self.parent(above)?;
        match mkdirat(&above.fd, name, Mode::from_bits_truncate(0o755)) {
            // The name exists and yet cannot be opened: a link to nowhere.
            Err(Errno::EEXIST) => return Err(Errno::ENOTDIR.into()),
            other => other?,
        }
        self.note(|inventory| inventory.implied_directory(&above.path.join(name)))?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let fd = open_beneath(&above.fd, Path::new(name), flags, Mode::empty())?;
        fchmod(&fd, Mode::from_bits_truncate(0o755))?; // whatever this process masks
        Ok(self.keep_open(path, Parent { path: above.path.join(name), fd }))
    }

    fn open_parent(&mut self, path: &Path) -> io::Result<std::rc::Rc<Parent>> {
        if let Some(parent) = self.parents.get(path) {
            return Ok(parent.clone());
        }
        let fd = open_in_root(&self.root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        let absolute = path_of(&fd)?;
        // The kernel has already kept it inside; this only names the place without its links.
        let resolved = absolute.strip_prefix(&self.root_path).map_err(|_| io::Error::from(Errno::EXDEV))?;
        Ok(self.keep_open(path, Parent { path: resolved.to_owned(), fd }))
    }

    fn keep_open(&mut self, path: &Path, parent: Parent) -> std::rc::Rc<Parent> {
        let parent = std::rc::Rc::new(parent);
        if self.parents.len() >= OPEN_PARENTS {
            self.parents.clear();
        }
        self.parents.insert(path.to_owned(), parent.clone());
        parent
    }

    fn attributes_of_root(&mut self, entry: &Entry) -> io::Result<()> {
        if entry.kind != Kind::Directory {
            return Err(Errno::ENOTDIR.into());
        }
        let root = self.root.as_fd().try_clone_to_owned()?;
        place::attributes(&root, entry)?;
        self.directories.push((PathBuf::new(), place::time(entry)));
        self.note(|inventory| inventory.entry(Path::new(""), entry, None))
    }

    /// Directories get their times last, because making what is in them changes those.
    fn finish(mut self) -> Result<(), UnpackError> {
        for (path, time) in std::mem::take(&mut self.directories) {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            let set = match open_in_root(&self.root, &path, flags, Mode::empty()) {
                Ok(fd) => nix::sys::stat::futimens(&fd, &time, &time),
                // A later entry took its place.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(()),
                Err(errno) => Err(errno),
            };
            set.map_err(|errno| UnpackError::Entry(path, errno.into()))?;
        }
        self.inventory.map_or(Ok(()), Writer::finish).map_err(UnpackError::Inventory)
    }

    fn note(&mut self, write: impl FnOnce(&mut Writer) -> io::Result<()>) -> io::Result<()> {
        self.inventory.as_mut().map_or(Ok(()), write)
    }
}

/// `path` without its root, its `.` and its `..`; nothing when it would go above the root.
fn clean(path: &Path) -> Option<PathBuf> {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir if !cleaned.pop() => return None,
            Component::ParentDir | Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(cleaned)
}

#[cfg(test)]
mod tests;
