//! Changing what is mounted in the container: by the descriptor of the place, as it was found within the root.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::statfs::{
    DEVPTS_SUPER_MAGIC, FsType, HUGETLBFS_MAGIC, OVERLAYFS_SUPER_MAGIC, PROC_SUPER_MAGIC, TMPFS_MAGIC,
    fstatfs,
};

use super::mounts::set_options;
use super::{Failure, at, status};
use crate::kernel::mount::{Attributes, Filesystem, open_in, set_attributes};
use crate::runtime::handshake::Part;
use crate::runtime::steps::Remount;

/// Message queues and memory without a limit (ipc/mqueue.c, linux/magic.h).
const MQUEUE: FsType = FsType(0x1980_0202);
const RAMFS: FsType = FsType(0x8584_58f6);

/// Filesystems that a container has for itself if the host has not mounted them, and whose files tell the number by which
/// the host would know them.
const OWN: [FsType; 7] = [
    DEVPTS_SUPER_MAGIC,
    HUGETLBFS_MAGIC,
    MQUEUE,
    OVERLAYFS_SUPER_MAGIC,
    PROC_SUPER_MAGIC,
    RAMFS,
    TMPFS_MAGIC,
];

/// Changes one mount within the root, and the filesystem behind it if that is asked for and the container's own.
pub(super) fn remount_in(root: BorrowedFd<'_>, wanted: &Remount) -> Result<(), Failure> {
    let place = open_in(root, &wanted.at).map_err(at(Part::Target))?;
    let place = place.as_fd();
    // The kernel picks only where something is mounted just here.
    let filesystem = Filesystem::pick(place).map_err(at(Part::Target))?;
    if !wanted.options.is_empty() {
        if !is_own(place, &wanted.of_host)? {
            return Err(at(Part::Option)(Errno::EPERM));
        }
        set_options(&filesystem, &wanted.options)?;
        filesystem.reconfigure()?;
    }
    for (attributes, deep) in [(wanted.attributes, false), (wanted.recursive, true)] {
        set_attributes(place, attributes, None, deep).map_err(at(Part::Attributes))?;
    }
    if let Some((kind, deep)) = wanted.propagation {
        set_attributes(place, Attributes::NONE, Some(kind), deep).map_err(at(Part::Attributes))?;
    }
    Ok(())
}

fn is_own(place: BorrowedFd<'_>, of_host: &[u64]) -> Result<bool, Errno> {
    let is_known = OWN.contains(&fstatfs(place)?.filesystem_type());
    Ok(is_known && of_host.binary_search(&status(place)?.st_dev).is_err())
}
