//! Paths that cannot escape: openat2, extended attributes, device nodes, syncfs.
//!
//! Everything here works on a directory descriptor and a path below it. [`open_in_root`] treats the directory as
//! `/`: absolute links and `..` stay inside, as they would after a chroot. [`open_beneath`] refuses them instead.
//! Neither ever follows a magic link of `/proc`, so a hostile tree has nothing to lead the caller out with.
//!
//! Only calls that nix lacks are made by hand; the others are thin and exist to keep the flags in one place.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, OpenHow, ResolveFlag, fcntl, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mknodat};

/// Opens `path` below `dir` as if `dir` were the root of the file system.
///
/// Symbolic links are followed, absolute ones from `dir`; `..` stops there.
pub fn open_in_root(dir: impl AsFd, path: &Path, flags: OFlag, mode: Mode) -> Result<OwnedFd, Errno> {
    resolve(dir.as_fd(), path, flags, mode, ResolveFlag::RESOLVE_IN_ROOT)
}

/// Opens `path` below `dir`, refusing (`EXDEV`) any step that would leave it.
pub fn open_beneath(dir: impl AsFd, path: &Path, flags: OFlag, mode: Mode) -> Result<OwnedFd, Errno> {
    resolve(dir.as_fd(), path, flags, mode, ResolveFlag::RESOLVE_BENEATH)
}

fn resolve(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OFlag,
    mode: Mode,
    limit: ResolveFlag,
) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .mode(mode)
        .resolve(limit | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    loop {
        // A rename elsewhere in the tree makes the kernel give up on `..` with EAGAIN; it asks to be tried again.
        match openat2(dir, path, how) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// What `name` in `dir` is, without following it.
pub fn stat_at(dir: impl AsFd, name: &OsStr) -> Result<FileStat, Errno> {
    fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// Whether `stat` is overlayfs's mark for a deleted name: a character device with number 0:0.
#[must_use]
pub fn is_whiteout(stat: &FileStat) -> bool {
    file_type(stat) == SFlag::S_IFCHR && stat.st_rdev == 0
}

/// The type bits of `stat`.
#[must_use]
pub fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// Makes overlayfs's mark for a deleted name.
pub fn make_whiteout(dir: impl AsFd, name: &OsStr) -> Result<(), Errno> {
    mknodat(dir, name, SFlag::S_IFCHR, Mode::empty(), 0)
}

/// Has the kernel begin to write what `file` holds back, without waiting for it.
pub fn begin_writeback(file: impl AsFd) -> Result<(), Errno> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the call takes four numbers, one of them a descriptor that the caller keeps open meanwhile.
    Errno::result(unsafe { libc::sync_file_range(fd, 0, 0, libc::SYNC_FILE_RANGE_WRITE) }).map(drop)
}

/// Writes everything the file system of `fd` holds back.
pub fn sync_filesystem(fd: impl AsFd) -> Result<(), Errno> {
    // SAFETY: the call takes one integer, a descriptor that the caller keeps open meanwhile.
    Errno::result(unsafe { libc::syncfs(fd.as_fd().as_raw_fd()) }).map(drop)
}

/// Sets an extended attribute on an open file or directory.
pub fn set_xattr(fd: impl AsFd, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: `name` ends in a zero byte and `value` is readable for its length; both outlive the call.
    let done = unsafe { libc::fsetxattr(fd, name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(done).map(drop)
}

/// Sets an extended attribute on what an `O_PATH` descriptor names, a symbolic link or a device included.
pub fn set_xattr_on_path_fd(fd: impl AsFd, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let path = proc_path(fd.as_fd());
    // SAFETY: both strings end in a zero byte, `value` is readable for its length, and all three outlive the call.
    let done = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(done).map(drop)
}

/// An extended attribute of what `fd` names (`O_PATH` is enough), or nothing when it has no such attribute.
pub fn get_xattr(fd: impl AsFd, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    let path = proc_path(fd.as_fd());
    let read = |buffer: &mut [u8]| {
        // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`, which is ours for the call.
        let read =
            unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
        Errno::result(read)
    };
    match grow(read) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The names of the extended attributes of what `fd` names (`O_PATH` is enough), sorted.
pub fn list_xattrs(fd: impl AsFd) -> Result<Vec<CString>, Errno> {
    let path = proc_path(fd.as_fd());
    let read = |buffer: &mut [u8]| {
        // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`, which is ours for the call.
        let read = unsafe { libc::listxattr(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
        Errno::result(read)
    };
    let names = match grow(read) {
        Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let mut names: Vec<CString> =
        names.split(|&b| b == 0).filter(|n| !n.is_empty()).filter_map(|n| CString::new(n).ok()).collect();
    names.sort();
    Ok(names)
}

/// Calls `read` with a buffer, with a larger one as long as the answer does not fit.
fn grow(read: impl Fn(&mut [u8]) -> Result<isize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(usize::try_from(length).unwrap_or(0));
                return Ok(buffer);
            }
            Err(Errno::ERANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 4, 0),
            Err(errno) => return Err(errno),
        }
    }
}

/// A name for what `fd` refers to. The calls above have no form that takes an `O_PATH` descriptor.
fn proc_path(fd: BorrowedFd<'_>) -> CString {
    CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default()
}

/// The path the kernel knows `fd` by.
pub fn path_of(fd: impl AsFd) -> Result<std::path::PathBuf, Errno> {
    let link = proc_path(fd.as_fd());
    let link = Path::new(OsStr::from_bytes(link.to_bytes()));
    std::fs::read_link(link).map_err(|err| Errno::from_raw(err.raw_os_error().unwrap_or(libc::EIO)))
}

/// How a byte of a lock file is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Together with other sharers.
    Shared,
    /// Alone.
    Exclusive,
}

/// Holds one byte of `file` until the description is closed; waits for whoever holds it now.
pub fn lock_byte(file: impl AsFd, at: u64, hold: Hold) -> Result<(), Errno> {
    loop {
        match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLKW(&byte(at, hold))) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

/// Like [`lock_byte`], but answers `false` instead of waiting.
pub fn try_lock_byte(file: impl AsFd, at: u64, hold: Hold) -> Result<bool, Errno> {
    match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&byte(at, hold))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the constants of the C header are small")]
fn byte(at: u64, hold: Hold) -> libc::flock {
    let kind = match hold {
        Hold::Shared => libc::F_RDLCK,
        Hold::Exclusive => libc::F_WRLCK,
    };
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: (at & (i64::MAX as u64)).cast_signed(),
        l_len: 1,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn dir() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let fd = OwnedFd::from(fs::File::open(dir.path()).unwrap());
        (dir, fd)
    }

    #[test]
    fn an_absolute_link_is_read_from_the_given_root() {
        let (dir, fd) = dir();
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("etc/inside"), "x").unwrap();
        symlink("/etc", dir.path().join("link")).unwrap();
        open_in_root(&fd, Path::new("link/inside"), OFlag::O_RDONLY, Mode::empty()).unwrap();
        let outside = open_in_root(&fd, Path::new("link/passwd"), OFlag::O_RDONLY, Mode::empty());
        assert_eq!(outside.unwrap_err(), Errno::ENOENT);
    }

    #[test]
    fn beneath_refuses_what_in_root_would_bend() {
        let (dir, fd) = dir();
        symlink("/", dir.path().join("up")).unwrap();
        let refused = open_beneath(&fd, Path::new("up"), OFlag::O_PATH, Mode::empty());
        assert_eq!(refused.unwrap_err(), Errno::EXDEV);
        let refused = open_beneath(&fd, Path::new("../"), OFlag::O_PATH, Mode::empty());
        assert_eq!(refused.unwrap_err(), Errno::EXDEV);
    }

    #[test]
    fn two_descriptions_of_one_file_exclude_each_other_byte_by_byte() {
        let (dir, _fd) = dir();
        let open = || {
            let mut options = fs::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).open(dir.path().join("lock")).unwrap()
        };
        let (one, two) = (open(), open());
        lock_byte(&one, 7, Hold::Exclusive).unwrap();
        assert!(!try_lock_byte(&two, 7, Hold::Shared).unwrap());
        assert!(try_lock_byte(&two, 8, Hold::Shared).unwrap());
        drop(one);
        assert!(try_lock_byte(&two, 7, Hold::Shared).unwrap());
    }

    #[test]
    fn attributes_are_set_read_and_listed() {
        let (dir, _fd) = dir();
        let file = fs::File::create(dir.path().join("file")).unwrap();
        if let Err(errno) = set_xattr(&file, c"user.colour", b"re\nd") {
            println!("skipped: no user attributes here: {errno}");
            return;
        }
        assert_eq!(get_xattr(&file, c"user.colour").unwrap().unwrap(), b"re\nd");
        assert_eq!(get_xattr(&file, c"user.none").unwrap(), None);
        assert!(list_xattrs(&file).unwrap().contains(&CString::from(c"user.colour")));
    }
}
