//! Names that a layer deletes: `.wh.NAME`, and `.wh..wh..opq` for everything the layers below have in a directory.
//!
//! Deletions speak of the layers below only. What the same layer adds under that name stays, in whichever order the two
//! come.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag};

use super::{Deletions, Parent, Unpacker, remove::names};
use crate::kernel::fs::{file_type, is_whiteout, make_whiteout, open_beneath, set_xattr, stat_at};

impl Unpacker {
    /// Deletes `name`, a plain one: what follows `.wh.` in the entry's own.
    pub(super) fn whiteout(&mut self, parent: &Parent, name: &OsStr) -> io::Result<()> {
        match name.as_bytes() {
            b".wh..opq" => return self.opaque(parent),
            // Notes that aufs kept for itself.
            other if other.starts_with(b".wh.") => return Ok(()),
            _ => {}
        }
        match self.deletions {
            Deletions::CarriedOut => self.delete_unless_made(parent, name),
            Deletions::Marked => self.mark(parent, name),
        }
    }

    fn mark(&mut self, parent: &Parent, name: &OsStr) -> io::Result<()> {
        match make_whiteout(&parent.fd, name) {
            Err(Errno::EEXIST) => {}
            other => {
                other?;
                return self.note(|inventory| inventory.whiteout(&parent.path.join(name)));
            }
        }
        let stat = stat_at(&parent.fd, name)?;
        if file_type(&stat) == SFlag::S_IFDIR {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            let fd = open_beneath(&parent.fd, Path::new(name), flags, Mode::empty())?;
            set_xattr(&fd, c"trusted.overlay.opaque", b"y")?;
            return self.note(|inventory| inventory.opaque(&parent.path.join(name)));
        }
        debug_assert!(is_whiteout(&stat) || file_type(&stat) != SFlag::S_IFDIR);
        Ok(()) // a file of this layer hides the one below all the same
    }

    fn opaque(&mut self, parent: &Parent) -> io::Result<()> {
        match self.deletions {
            Deletions::Marked => {
                set_xattr(&parent.fd, c"trusted.overlay.opaque", b"y")?;
                self.note(|inventory| inventory.opaque(&parent.path))
            }
            Deletions::CarriedOut => {
                names(parent.fd.as_fd())?.iter().try_for_each(|name| self.delete_unless_made(parent, name))
            }
        }
    }

    /// Deletes what is below `name`, sparing what this layer made.
    fn delete_unless_made(&mut self, parent: &Parent, name: &OsStr) -> io::Result<()> {
        let path = parent.path.join(name);
        if !self.made.contains(&path) && !self.made.iter().any(|made| made.starts_with(&path)) {
            return match self.clear(parent, name) {
                Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            };
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let fd = match open_beneath(&parent.fd, Path::new(name), flags, Mode::empty()) {
            Err(Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            other => other?,
        };
        let below = Parent { fd, path };
        names(below.fd.as_fd())?.iter().try_for_each(|name| self.delete_unless_made(&below, name))
    }
}
