//! Removing a tree without following a link in it, and without a limit on its depth.
//!
//! An archive may nest directories deeper than descriptors or stack allow to follow. So nothing descends: directories
//! within directories are moved up to the top of the tree that goes, until it is flat.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::kernel::fs::open_beneath;

/// Removes `name` in `parent` and everything below it. What is already gone is no error.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    if is_removed(parent, name)? {
        return Ok(());
    }
    let Some(top) = open(parent, name)? else { return Ok(()) };
    let mut moved = 0;
    loop {
        let children = names(top.as_fd())?;
        if children.is_empty() {
            break;
        }
        for child in children {
            if !is_removed(top.as_fd(), &child)? {
                empty(&top, &child, &mut moved)?;
            }
        }
    }
    is_removed(parent, name).map(drop)
}

/// Empties and removes a directory in `top`; directories in it that are not empty move up.
fn empty(top: &OwnedFd, name: &OsStr, moved: &mut u64) -> io::Result<()> {
    let Some(directory) = open(top.as_fd(), name)? else { return Ok(()) };
    for child in names(directory.as_fd())? {
        if is_removed(directory.as_fd(), &child)? {
            continue;
        }
        loop {
            *moved += 1;
            let up = OsString::from(format!("moved-{moved}"));
            match renameat2(&directory, child.as_os_str(), top, up.as_os_str(), RenameFlags::RENAME_NOREPLACE)
            {
                Err(Errno::EEXIST) => {}
                other => break other?,
            }
        }
    }
    is_removed(top.as_fd(), name).map(drop)
}

/// Whether `name` is gone: it is, unless it is a directory with something in it.
fn is_removed(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(true),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn open(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    match open_beneath(parent, Path::new(name), flags, Mode::empty()) {
        Err(Errno::ENOENT) => Ok(None),
        other => Ok(Some(other?)),
    }
}

/// The names in a directory.
pub(super) fn names(fd: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    // A description of its own, because reading moves the offset of a shared one.
    let own = open_beneath(fd, Path::new("."), OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    let mut directory = Dir::from_fd(own)?;
    let mut names = Vec::new();
    for entry in directory.iter() {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}
