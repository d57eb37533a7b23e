//! Copying what is at a place into the new filesystem that is to cover it.
//!
//! Everything is opened from descriptors and no link is followed, so a hostile tree leads nowhere.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, fstatat, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

/// Copies everything in the directory `from` into the directory `to`, with owners and permissions.
pub(super) fn copy_tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut dir =
        Dir::openat(from, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let source = fstat(from)?;
    fchmodat(to, c".", mode_of(&source), FchmodatFlags::FollowSymlink)?;
    own(to, c".", &source)?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    names.iter().try_for_each(|name| copy_one(from, to, name))
}

fn copy_one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let found = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFDIR => {
            mkdirat(to, name, mode_of(&found))?;
            let (below, copy) = (open_dir(from, name)?, open_dir(to, name)?);
            return copy_tree(below.as_fd(), copy.as_fd());
        }
        SFlag::S_IFLNK => symlinkat(readlinkat(from, name)?.as_os_str(), to, name)?,
        SFlag::S_IFREG => {
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let mut source = File::from(openat(from, name, flags, Mode::empty())?);
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let mut copy = File::from(openat(to, name, flags, mode_of(&found))?);
            io::copy(&mut source, &mut copy).map_err(|err| reason(&err))?;
        }
        other => mknodat(to, name, other, mode_of(&found), found.st_rdev)?,
    }
    own(to, name, &found)
}

/// Owners go first, because a change of owner takes the set-user bits away.
fn own(dir: BorrowedFd<'_>, name: &CStr, like: &FileStat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
    fchownat(dir, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let is_link = SFlag::from_bits_truncate(like.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK;
    if is_link { Ok(()) } else { fchmodat(dir, name, mode_of(like), FchmodatFlags::FollowSymlink) }
}

fn open_dir(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

fn mode_of(status: &FileStat) -> Mode {
    Mode::from_bits_truncate(status.st_mode)
}

fn reason(err: &io::Error) -> Errno {
    err.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
