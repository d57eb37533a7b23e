//! Copies of mount trees, where they are attached, and what may be done through them.

use std::ffi::CStr;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::filesystem::owned;

const EMPTY: &CStr = c"";

/// Access-time modes are one field; to change it, it is cleared whole.
const ATIME: u64 = 0x70;

/// How a mount hears of changes beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// Changes come in, none go out.
    Slave,
    /// Both ways.
    Shared,
    /// Not at all, and it cannot be copied.
    Unbindable,
}

impl Propagation {
    const fn flags(self) -> MsFlags {
        match self {
            Self::Private => MsFlags::MS_PRIVATE,
            Self::Slave => MsFlags::MS_SLAVE,
            Self::Shared => MsFlags::MS_SHARED,
            Self::Unbindable => MsFlags::MS_UNBINDABLE,
        }
    }
}

/// Per-mount attributes to set and to clear; those in neither are left as they are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    set: u64,
    clear: u64,
}

impl Attributes {
    /// Nothing changes.
    pub const NONE: Self = Self { set: 0, clear: 0 };
    /// No writing.
    pub const READ_ONLY: Self = Self { set: libc::MOUNT_ATTR_RDONLY, clear: 0 };
    /// Set-user and set-group bits have no effect.
    pub const NO_SUID: Self = Self { set: libc::MOUNT_ATTR_NOSUID, clear: 0 };
    /// Device nodes cannot be opened.
    pub const NO_DEV: Self = Self { set: libc::MOUNT_ATTR_NODEV, clear: 0 };
    /// Nothing can be executed.
    pub const NO_EXEC: Self = Self { set: libc::MOUNT_ATTR_NOEXEC, clear: 0 };
    /// Symbolic links are not followed.
    pub const NO_SYMFOLLOW: Self = Self { set: libc::MOUNT_ATTR_NOSYMFOLLOW, clear: 0 };
    /// Access times of directories are not kept.
    pub const NO_DIRATIME: Self = Self { set: libc::MOUNT_ATTR_NODIRATIME, clear: 0 };
    /// Access times are kept when older than the last change.
    pub const RELATIME: Self = Self { set: libc::MOUNT_ATTR_RELATIME, clear: ATIME };
    /// Access times are not kept.
    pub const NO_ATIME: Self = Self { set: libc::MOUNT_ATTR_NOATIME, clear: ATIME };
    /// Access times are always kept.
    pub const STRICT_ATIME: Self = Self { set: libc::MOUNT_ATTR_STRICTATIME, clear: ATIME };

    /// Both; where they contradict each other `later` wins.
    #[must_use]
    pub const fn then(self, later: Self) -> Self {
        let set = (self.set & !later.clear) | later.set;
        Self { set, clear: (self.clear & !(later.set & !ATIME)) | later.clear }
    }

    /// The opposite: what these attributes set is cleared. For access times, back to the default.
    #[must_use]
    pub const fn inverse(self) -> Self {
        if self.clear & ATIME == ATIME { Self::RELATIME } else { Self { set: 0, clear: self.set } }
    }

    /// Whether anything changes.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.set == 0 && self.clear == 0
    }

    /// Whether all that `other` sets is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.set & other.set == other.set
    }

    /// The same, with what `other` sets left as it is.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self { set: self.set & !other.set, clear: self.clear & !other.set }
    }

    pub(super) const fn to_set(self) -> u64 {
        self.set
    }
}

/// Names of the attributes, and what they are called when cleared.
const NAMES: [(u64, &str, &str); 8] = [
    (libc::MOUNT_ATTR_RDONLY, "ro", "rw"),
    (libc::MOUNT_ATTR_NOSUID, "nosuid", "suid"),
    (libc::MOUNT_ATTR_NODEV, "nodev", "dev"),
    (libc::MOUNT_ATTR_NOEXEC, "noexec", "exec"),
    (libc::MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow", "symfollow"),
    (libc::MOUNT_ATTR_NODIRATIME, "nodiratime", "diratime"),
    (libc::MOUNT_ATTR_NOATIME, "noatime", ""),
    (libc::MOUNT_ATTR_STRICTATIME, "strictatime", ""),
];

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<&str> = NAMES
            .iter()
            .filter_map(|(bit, set, cleared)| {
                if self.set & bit != 0 {
                    Some(*set)
                } else {
                    (self.clear & bit != 0 && !cleared.is_empty()).then_some(*cleared)
                }
            })
            .collect();
        if self.clear & ATIME == ATIME && self.set & ATIME == 0 {
            words.push("relatime");
        }
        f.write_str(&words.join(","))
    }
}

/// A detached copy of the mount at `path`, with the mounts below it if `recursive`.
pub fn clone_tree(path: &CStr, recursive: bool) -> Result<OwnedFd, Errno> {
    open_tree(AT_FDCWD, path, recursive, 0)
}

/// What closes the mount of a program that others may get hold of.
const CLOSED: Attributes = Attributes::READ_ONLY.then(Attributes::NO_SUID).then(Attributes::NO_DEV);

/// A detached copy of the mount at `path`, a program, through which the file cannot be changed.
pub fn clone_closed(path: &CStr) -> Result<OwnedFd, Errno> {
    let copy = clone_tree(path, false)?;
    set_attributes(copy.as_fd(), CLOSED, None, false)?;
    Ok(copy)
}

/// Whether `path` leads to a file through such a mount.
pub fn is_closed(path: &CStr) -> Result<bool, Errno> {
    let closed = FsFlags::ST_RDONLY | FsFlags::ST_NOSUID | FsFlags::ST_NODEV;
    Ok(statvfs(path)?.flags().contains(closed))
}

/// A detached copy of the mount that `what` is on, rooted at `what`.
pub fn clone_of(what: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd, Errno> {
    open_tree(what, EMPTY, recursive, libc::AT_EMPTY_PATH)
}

fn open_tree(dir: BorrowedFd<'_>, path: &CStr, recursive: bool, extra: i32) -> Result<OwnedFd, Errno> {
    let mut flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | extra.cast_unsigned();
    if recursive {
        flags |= libc::AT_RECURSIVE.cast_unsigned();
    }
    // SAFETY: the path is a valid C string for the length of the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) })
}

/// Attaches a detached tree on top of what `at` refers to.
pub fn attach(tree: BorrowedFd<'_>, at: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are the empty C string; the descriptors are borrowed for the call.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            EMPTY.as_ptr(),
            at.as_raw_fd(),
            EMPTY.as_ptr(),
            flags,
        )
    };
    Errno::result(moved).map(drop)
}

/// Changes the attributes, and the propagation if given, of the mount that `mount` is the root of.
pub fn set_attributes(
    mount: BorrowedFd<'_>,
    attributes: Attributes,
    propagation: Option<Propagation>,
    recursive: bool,
) -> Result<(), Errno> {
    let change = libc::mount_attr {
        attr_set: attributes.set,
        attr_clr: attributes.clear,
        propagation: propagation.map_or(0, |kind| kind.flags().bits()),
        userns_fd: 0,
    };
    set(mount, &change, recursive)
}

fn set(mount: BorrowedFd<'_>, change: &libc::mount_attr, recursive: bool) -> Result<(), Errno> {
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: `change` lives across the call and its size is given; the path is the empty C string.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            EMPTY.as_ptr(),
            flags,
            std::ptr::from_ref(change),
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(done).map(drop)
}

/// Shows the owners of a detached mount's files as the user namespace `users` maps them.
///
/// `EINVAL` if the filesystem cannot be mapped.
pub fn map_users(mount: BorrowedFd<'_>, users: BorrowedFd<'_>, recursive: bool) -> Result<(), Errno> {
    let change = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(users.as_raw_fd()).map_err(|_| Errno::EBADF)?,
    };
    set(mount, &change, recursive)
}

/// Changes how the mount at `path` hears of others.
pub fn set_propagation(path: &CStr, kind: Propagation, recursive: bool) -> Result<(), Errno> {
    let depth = if recursive { MsFlags::MS_REC } else { MsFlags::empty() };
    mount(None::<&CStr>, path, None::<&CStr>, kind.flags() | depth, None::<&CStr>)
}

/// Makes the working directory, which must be a mount, the root, and lets the old root go with all that is on it.
pub fn pivot_here() -> Result<(), Errno> {
    // Both arguments the same: the old root ends up on top of the new one, and is detached from there.
    nix::unistd::pivot_root(c".", c".")?;
    detach(c".")?;
    nix::unistd::chdir(c"/")
}

/// Makes the working directory, which must be a mount, the root by moving it onto the old one.
///
/// For hosts whose root is an initial ramdisk, which pivot_root refuses. What the old root holds is only covered.
pub fn move_here() -> Result<(), Errno> {
    mount(Some(c"."), c"/", None::<&CStr>, MsFlags::MS_MOVE, None::<&CStr>)?;
    nix::unistd::chroot(c".")?;
    nix::unistd::chdir(c"/")
}

/// Takes the mount at `path` and those below it out of sight; they end when nobody uses them.
pub fn detach(path: &CStr) -> Result<(), Errno> {
    umount2(path, MntFlags::MNT_DETACH)
}
