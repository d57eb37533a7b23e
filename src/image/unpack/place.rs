//! Making one entry in an open directory, and giving it its attributes.
//!
//! The order of attributes matters: owner, then mode (changing the owner clears setuid), then extended attributes
//! (changing the owner clears file capabilities), then times.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, futimens, makedev, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat};

use super::{Deletions, Parent, UnpackError, Unpacker, remove::remove_tree};
use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::image::entries::{Entries, Entry, Kind};
use crate::kernel::fs::{
    begin_writeback, file_type, is_whiteout, open_beneath, set_xattr, set_xattr_on_path_fd, stat_at,
};

/// Bytes of a file from which on the disk is asked to begin with it before the layer is complete.
const WORTH_BEGINNING: u64 = 64 << 10;

impl Unpacker {
    /// Makes `entry` as `name` in `parent`, in place of whatever has that name.
    pub(super) fn place<R: BufRead>(
        &mut self,
        parent: &Parent,
        name: &OsStr,
        entry: &Entry,
        link: Option<(Rc<Parent>, OsString)>,
        data: &mut Entries<R>,
    ) -> Result<(), UnpackError> {
        let wrong = |err: io::Error| UnpackError::Entry(entry.path.clone(), err);
        let path = parent.path.join(name);
        let mut content = None;
        let permissions = Mode::from_bits_truncate(entry.mode);
        match entry.kind {
            Kind::File => {
                let file = self.fresh(parent, name, |fd| create(fd, name)).map_err(wrong)?;
                content = Some(fill(&file, entry, data)?);
                attributes(&OwnedFd::from(file), entry).map_err(wrong)?;
            }
            Kind::Directory => {
                let fd = self.make_directory(parent, name).map_err(wrong)?;
                attributes(&fd, entry).map_err(wrong)?;
                self.directories.push((path.clone(), time(entry)));
            }
            Kind::HardLink => {
                let (from, target) = link.ok_or_else(|| wrong(Errno::EINVAL.into()))?;
                if from.path.join(&target) == path {
                    return Ok(()); // a name linked to itself is there already
                }
                self.fresh(parent, name, |fd| {
                    linkat(&from.fd, target.as_os_str(), fd, name, AtFlags::empty())
                })
                .map_err(wrong)?;
                content = Some(Content::Link(from.path.join(target)));
            }
            Kind::Symlink => {
                self.fresh(parent, name, |fd| symlinkat(entry.link.as_os_str(), fd, name)).map_err(wrong)?;
                special_attributes(parent, name, entry).map_err(wrong)?;
            }
            Kind::Character { device: (major, minor) } => {
                let device = makedev(major.into(), minor.into());
                let make = |fd: &OwnedFd| mknodat(fd, name, SFlag::S_IFCHR, permissions, device);
                self.fresh(parent, name, make).map_err(wrong)?;
                special_attributes(parent, name, entry).map_err(wrong)?;
            }
            Kind::Block { device: (major, minor) } => {
                let device = makedev(major.into(), minor.into());
                let make = |fd: &OwnedFd| mknodat(fd, name, SFlag::S_IFBLK, permissions, device);
                self.fresh(parent, name, make).map_err(wrong)?;
                special_attributes(parent, name, entry).map_err(wrong)?;
            }
            Kind::Fifo => {
                let make = |fd: &OwnedFd| mknodat(fd, name, SFlag::S_IFIFO, permissions, 0);
                self.fresh(parent, name, make).map_err(wrong)?;
                special_attributes(parent, name, entry).map_err(wrong)?;
            }
        }
        if self.deletions == Deletions::CarriedOut {
            self.made.insert(path.clone());
        }
        self.note(|inventory| inventory.entry(&path, entry, content.as_ref())).map_err(UnpackError::Inventory)
    }

    /// Calls `make`, which must not overwrite; removes what is in its way and calls it again.
    fn fresh<T>(
        &mut self,
        parent: &Parent,
        name: &OsStr,
        make: impl Fn(&OwnedFd) -> Result<T, Errno>,
    ) -> io::Result<T> {
        match make(&parent.fd) {
            Err(Errno::EEXIST) => {}
            other => return Ok(other?),
        }
        self.clear(parent, name)?;
        Ok(make(&parent.fd)?)
    }

    /// Removes `name`, whatever it is. Open parents may have been below it.
    pub(super) fn clear(&mut self, parent: &Parent, name: &OsStr) -> io::Result<()> {
        let stat = stat_at(&parent.fd, name)?;
        if file_type(&stat) == SFlag::S_IFDIR {
            remove_tree(parent.fd.as_fd(), name)?;
        } else {
            unlinkat(&parent.fd, name, UnlinkatFlags::NoRemoveDir)?;
        }
        self.parents.clear();
        self.note(|inventory| inventory.removed(&parent.path.join(name)))
    }

    /// A directory over a directory is the same one; over a deletion it hides what the layers below have.
    fn make_directory(&mut self, parent: &Parent, name: &OsStr) -> io::Result<OwnedFd> {
        let initial = Mode::from_bits_truncate(0o700);
        match mkdirat(&parent.fd, name, initial) {
            Err(Errno::EEXIST) => {
                let stat = stat_at(&parent.fd, name)?;
                if file_type(&stat) != SFlag::S_IFDIR {
                    self.clear(parent, name)?;
                    mkdirat(&parent.fd, name, initial)?;
                }
                let fd = open_directory(parent, name)?;
                if is_whiteout(&stat) && self.deletions == Deletions::Marked {
                    set_xattr(&fd, c"trusted.overlay.opaque", b"y")?;
                    self.note(|inventory| inventory.opaque(&parent.path.join(name)))?;
                }
                Ok(fd)
            }
            other => {
                other?;
                Ok(open_directory(parent, name)?)
            }
        }
    }
}

/// What the inventory keeps of an entry beside its attributes.
pub(crate) enum Content {
    /// The digest of a file's data, holes left out.
    Data(Digest),
    /// What a hard link is another name of.
    Link(std::path::PathBuf),
}

/// Writes the data of a file where its map says, and leaves the rest as holes.
fn fill<R: BufRead>(file: &File, entry: &Entry, data: &mut Entries<R>) -> Result<Content, UnpackError> {
    let wrong = |err: io::Error| UnpackError::Entry(entry.path.clone(), err);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut written_to = 0;
    // A map may end in an empty segment that only says where the file ends.
    for segment in entry.segments.iter().filter(|segment| segment.length > 0) {
        let (mut at, mut left) = (segment.offset, segment.length);
        while left > 0 {
            let piece = data.fill_buf().map_err(UnpackError::Archive)?;
            let piece = &piece[..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            if piece.is_empty() {
                return Err(UnpackError::Archive(io::ErrorKind::UnexpectedEof.into()));
            }
            hasher.update(piece);
            file.write_all_at(piece, at).map_err(wrong)?;
            let length = piece.len();
            data.consume(length);
            at += length as u64;
            left -= length as u64;
        }
        written_to = at.max(written_to);
    }
    if written_to != entry.length {
        file.set_len(entry.length).map_err(wrong)?;
    }
    if written_to >= WORTH_BEGINNING {
        // The disk works while the next files are made. What it cannot begin now is flushed with the rest.
        let _ = begin_writeback(file);
    }
    Ok(Content::Data(hasher.finish()))
}

fn create(parent: &OwnedFd, name: &OsStr) -> Result<File, Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::from_bits_truncate(0o600)).map(File::from)
}

fn open_directory(parent: &Parent, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    open_beneath(&parent.fd, Path::new(name), flags, Mode::empty())
}

/// The modification time of `entry`.
pub(super) fn time(entry: &Entry) -> TimeSpec {
    TimeSpec::new(entry.mtime.0, entry.mtime.1)
}

/// Owner, mode, extended attributes and times of an open file or directory.
pub(super) fn attributes(fd: &OwnedFd, entry: &Entry) -> io::Result<()> {
    fchown(fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    fchmod(fd, Mode::from_bits_truncate(entry.mode))?;
    for (name, value) in wanted(entry) {
        tolerate(set_xattr(fd, &name, value))?;
    }
    Ok(futimens(fd, &time(entry), &time(entry))?)
}

/// The same for what cannot be opened: links, devices, pipes.
fn special_attributes(parent: &Parent, name: &OsStr, entry: &Entry) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    fchownat(&parent.fd, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if entry.kind != Kind::Symlink {
        // Just made by us in a directory that nobody else can reach, and no link.
        fchmodat(&parent.fd, name, Mode::from_bits_truncate(entry.mode), FchmodatFlags::FollowSymlink)?;
    }
    if !entry.xattrs.is_empty() {
        let fd = open_beneath(&parent.fd, Path::new(name), OFlag::O_PATH | OFlag::O_NOFOLLOW, Mode::empty())?;
        for (name, value) in wanted(entry) {
            // User attributes are for files and directories only.
            match set_xattr_on_path_fd(&fd, &name, value) {
                Err(Errno::EPERM | Errno::ELOOP) => {}
                other => tolerate(other)?,
            }
        }
    }
    let time = time(entry);
    Ok(utimensat(&parent.fd, name, &time, &time, UtimensatFlags::NoFollowSymlink)?)
}

/// The attributes to set: not those by which overlayfs would be told to look elsewhere.
fn wanted(entry: &Entry) -> impl Iterator<Item = (CString, &[u8])> {
    let is_steering =
        |name: &[u8]| name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    let kept = entry.xattrs.iter().filter(move |(name, _)| !is_steering(name));
    kept.filter_map(|(name, value)| Some((CString::new(name.as_slice()).ok()?, value.as_slice())))
}

/// A file system without extended attributes is no reason to refuse an image.
fn tolerate(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(Errno::EOPNOTSUPP) => Ok(()),
        other => Ok(other?),
    }
}
