//! Quotas of projects: a project is a number that files carry, and what is made in a directory of one belongs to it too.
//!
//! xfs and ext4 count what the files of a project take and refuse what goes beyond its limit, where they are mounted to.
//! Everything goes by a descriptor of something in the file system (`quotactl_fd`, Linux 5.14), so that no device has to
//! be found and named.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// What a file system tells of a file beyond its mode (`struct fsxattr`, linux/fs.h).
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    pad: [u8; 8],
}

/// What is made in the directory is of its project (`FS_XFLAG_PROJINHERIT`).
const INHERIT: u32 = 0x200;

/// `FS_IOC_FSGETXATTR`.
const GET_ATTRIBUTES: libc::Ioctl = nix::request_code_read!(b'X', 31, size_of::<Attributes>());
/// `FS_IOC_FSSETXATTR`.
const SET_ATTRIBUTES: libc::Ioctl = nix::request_code_write!(b'X', 32, size_of::<Attributes>());

/// What is counted of a project, and its limits (`struct if_dqblk` and, with the id, `struct if_nextdqblk`).
#[repr(C)]
#[derive(Default)]
struct Block {
    most_kib: u64,
    wished_kib: u64,
    bytes: u64,
    most_files: u64,
    wished_files: u64,
    files: u64,
    bytes_until: u64,
    files_until: u64,
    valid: u32,
    id: u32,
}

/// The limits in a block are to be set, both kinds (`QIF_LIMITS`).
const LIMITS: u32 = 5;

/// How quotas stand in a file system (`struct fs_quota_statv`, linux/dqblk_xfs.h).
#[repr(C)]
struct State {
    version: i8,
    pad: u8,
    flags: u16,
    rest: [u8; 156],
}

/// The version of [`State`] (`FS_QSTATV_VERSION1`).
const STATE_VERSION: i8 = 1;
/// Quotas of projects are enforced (`FS_QUOTA_PDQ_ENFD`).
const ENFORCED: u16 = 1 << 5;

const GET_QUOTA: u32 = 0x80_0007;
const SET_QUOTA: u32 = 0x80_0008;
const GET_NEXT_QUOTA: u32 = 0x80_0009;
/// `Q_XGETQSTATV`, which ext4 answers as xfs does.
const GET_STATE: u32 = 0x5808;
/// `PRJQUOTA`.
const OF_PROJECTS: u32 = 2;

/// What a project takes, and the most that it may; no limit is a 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Files, directories included.
    pub files: u64,
    /// The most bytes.
    pub most_bytes: u64,
    /// The most files.
    pub most_files: u64,
}

impl Quota {
    /// Whether nothing is counted and nothing limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Block> for Quota {
    fn from(block: Block) -> Self {
        Self {
            bytes: block.bytes,
            files: block.files,
            most_bytes: block.most_kib.saturating_mul(1024),
            most_files: block.most_files,
        }
    }
}

/// Whether the file system of `on` holds projects to their limits.
pub fn is_enforced(on: impl AsFd) -> Result<bool, Errno> {
    let mut state = State { version: STATE_VERSION, pad: 0, flags: 0, rest: [0; 156] };
    match control(on.as_fd(), GET_STATE, 0, &mut state) {
        Ok(()) => Ok(state.flags & ENFORCED != 0),
        // What a kernel and a file system without quotas say.
        Err(Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::ESRCH | Errno::EINVAL) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// What `project` takes in the file system of `on`.
pub fn quota_of(on: impl AsFd, project: u32) -> Result<Quota, Errno> {
    let mut block = Block::default();
    match control(on.as_fd(), GET_QUOTA, project, &mut block) {
        Ok(()) => Ok(block.into()),
        Err(Errno::ENOENT) => Ok(Quota::default()), // nobody has used it yet
        Err(errno) => Err(errno),
    }
}

/// The first project from `from` on that takes something or has a limit.
pub fn next_quota(on: impl AsFd, from: u32) -> Result<Option<(u32, Quota)>, Errno> {
    let mut block = Block::default();
    match control(on.as_fd(), GET_NEXT_QUOTA, from, &mut block) {
        Ok(()) => Ok(Some((block.id, block.into()))),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Holds `project` to so many bytes and files in the file system of `on`; to none of its own where that is 0.
pub fn set_limits(on: impl AsFd, project: u32, most_bytes: u64, most_files: u64) -> Result<(), Errno> {
    let mut block =
        Block { most_kib: most_bytes.div_ceil(1024), most_files, valid: LIMITS, ..Block::default() };
    control(on.as_fd(), SET_QUOTA, project, &mut block)
}

/// The project of an open file or directory; 0 where it has none.
pub fn project_of(file: impl AsFd) -> Result<u32, Errno> {
    attributes(file.as_fd()).map(|attributes| attributes.project)
}

/// Puts an open file into a project, and out of all with 0. What will be made in a directory follows it where `inherits`.
pub fn set_project(file: impl AsFd, project: u32, inherits: bool) -> Result<(), Errno> {
    let file = file.as_fd();
    let mut wanted = attributes(file)?;
    wanted.project = project;
    wanted.flags = if inherits { wanted.flags | INHERIT } else { wanted.flags & !INHERIT };
    // SAFETY: the request reads one `struct fsxattr`, which `wanted` is and stays across the call.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), SET_ATTRIBUTES, &raw const wanted) };
    Errno::result(done).map(drop)
}

fn attributes(file: BorrowedFd<'_>) -> Result<Attributes, Errno> {
    let mut found = Attributes::default();
    // SAFETY: the request writes one `struct fsxattr`, which `found` is and stays across the call.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), GET_ATTRIBUTES, &raw mut found) })?;
    Ok(found)
}

/// One command about quotas of projects. `data` is what the command reads or writes.
fn control<T>(on: BorrowedFd<'_>, command: u32, project: u32, data: &mut T) -> Result<(), Errno> {
    let command = command << 8 | OF_PROJECTS;
    // SAFETY: each caller passes the structure of its command, as long as the kernel's and alive across the call.
    let done = unsafe {
        libc::syscall(libc::SYS_quotactl_fd, on.as_raw_fd(), command, project, std::ptr::from_mut(data))
    };
    Errno::result(done).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn the_structures_are_as_long_as_the_kernels() {
        assert_eq!((size_of::<Attributes>(), size_of::<Block>(), size_of::<State>()), (28, 72, 160));
    }

    #[test]
    fn a_file_system_without_quotas_says_so_and_is_not_asked_further() {
        let proc = File::open("/proc").unwrap();
        assert_eq!(is_enforced(&proc), Ok(false));
        assert!(project_of(&proc).is_err());
    }

    #[test]
    fn a_file_is_of_no_project_unless_somebody_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let directory = File::open(folder.path()).unwrap();
        // Some file systems know nothing of projects.
        if let Ok(project) = project_of(&directory) {
            assert_eq!(project, 0);
        }
    }
}
