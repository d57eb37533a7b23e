//! The mount steps. Every place is opened within the root and used by its descriptor.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, makedev, mknodat};
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use super::copy::copy_tree;
use super::{Failure, Found, at, root, status};
use crate::kernel::mount::{
    Attributes, Filesystem, MadeKind, Propagation, attach, clone_of, clone_tree, make_in,
    mount_opened_layers, mount_with_options, open_directory, open_in, open_in_no_links, set_attributes,
    set_keeping,
};
use crate::runtime::handshake::Part;
use crate::runtime::steps::{FsOption, Mount, Node, NodeKind, RootMount, RootWhat, What};

/// The null device's number, by which it is known.
const NULL: (u64, u64) = (1, 3);

fn is_dir(status: &FileStat) -> bool {
    SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
}

fn is_null(status: &FileStat) -> bool {
    let kind = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT;
    kind == SFlag::S_IFCHR && status.st_rdev == makedev(NULL.0, NULL.1)
}

/// The host's null device, opened before any root of a container is in sight.
pub(super) fn find_null() -> Result<OwnedFd, Errno> {
    let null = open(c"/dev/null", OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    if is_null(&status(&null)?) { Ok(null) } else { Err(Errno::ENODEV) }
}

/// Mounts the root filesystem in this namespace, so that it goes with it, and opens it.
pub(super) fn mount_root(root: &RootMount, sources: &[OwnedFd]) -> Result<OwnedFd, Failure> {
    let place = open_directory(&root.at).map_err(at(Part::Target))?;
    match &root.what {
        RootWhat::Bind(from) => {
            let tree = clone_tree(from, true).map_err(at(Part::Source))?;
            set_attributes(tree.as_fd(), root.attributes, None, false).map_err(at(Part::Attributes))?;
            attach(tree.as_fd(), place.as_fd())?;
            set_attributes(tree.as_fd(), Attributes::NONE, Some(Propagation::Private), true)
                .map_err(at(Part::Attributes))?;
            // The tree's own descriptor is its root, but one that came from open_tree cannot be pivoted to.
            drop(tree);
        }
        RootWhat::Prepared(number) => {
            let tree = sources.get(*number).ok_or(Errno::EBADF).map_err(at(Part::Source))?.as_fd();
            set_attributes(tree, root.attributes, None, false).map_err(at(Part::Attributes))?;
            attach(tree, place.as_fd())?;
            set_attributes(tree, Attributes::NONE, Some(Propagation::Private), true)
                .map_err(at(Part::Attributes))?;
        }
        RootWhat::New(fstype, options) => {
            let made = new_filesystem(fstype, options, root.attributes)?;
            attach(made.as_fd(), place.as_fd())?;
        }
        RootWhat::Classic(fstype, options) => {
            mount_with_options(fstype, &root.at, options)?;
            return mounted_by_path(root);
        }
        RootWhat::Opened(layers, rest) => {
            mount_opened_layers(&root.at, layers, rest)?;
            return mounted_by_path(root);
        }
    }
    Ok(open_directory(&root.at)?)
}

/// What the older call has mounted, with the attributes that it does not take.
fn mounted_by_path(root: &RootMount) -> Result<OwnedFd, Failure> {
    let made = open_directory(&root.at)?;
    set_attributes(made.as_fd(), root.attributes, None, false).map_err(at(Part::Attributes))?;
    Ok(made)
}

fn new_filesystem(fstype: &CStr, options: &[FsOption], attributes: Attributes) -> Result<OwnedFd, Failure> {
    let filesystem = Filesystem::open(fstype).map_err(at(Part::Type))?;
    set_options(&filesystem, options)?;
    Ok(filesystem.mount(attributes)?)
}

pub(super) fn set_options(filesystem: &Filesystem, options: &[FsOption]) -> Result<(), Failure> {
    for (key, value) in options {
        match value {
            Some(value) => filesystem.set(key, value),
            None => filesystem.flag(key),
        }
        .map_err(at(Part::Option))?;
    }
    Ok(())
}

/// Makes one mount within the root.
pub(super) fn mount_in(root: BorrowedFd<'_>, mount: &Mount, sources: &[OwnedFd]) -> Result<(), Failure> {
    let (tree, made_kind) = match &mount.what {
        What::Prepared(number) => {
            let tree = sources.get(*number).ok_or(Errno::EBADF).map_err(at(Part::Source))?;
            let tree = tree.try_clone().map_err(|_| at(Part::Source)(Errno::EMFILE))?;
            let kind = if is_dir(&status(&tree)?) { MadeKind::Directory } else { MadeKind::File };
            if !mount.attributes.is_none() {
                set_attributes(tree.as_fd(), mount.attributes, None, false).map_err(at(Part::Attributes))?;
            }
            (tree, kind)
        }
        What::Bind(from, deep) => {
            let tree = clone_tree(from, *deep).map_err(at(Part::Source))?;
            let kind = if is_dir(&status(&tree)?) { MadeKind::Directory } else { MadeKind::File };
            if !mount.attributes.is_none() {
                set_attributes(tree.as_fd(), mount.attributes, None, false).map_err(at(Part::Attributes))?;
            }
            (tree, kind)
        }
        What::New { fstype, options, or_bind } => {
            let made = new_filesystem(fstype, options, mount.attributes);
            let tree = match (made, or_bind) {
                (Err(Failure { code: libc::EPERM, .. }), Some(from)) => {
                    let tree = clone_tree(from, true).map_err(at(Part::Source))?;
                    set_attributes(tree.as_fd(), mount.attributes, None, true)
                        .map_err(at(Part::Attributes))?;
                    tree
                }
                (made, _) => made?,
            };
            (tree, MadeKind::Directory)
        }
    };
    let place = make_in(root, &mount.at, made_kind).map_err(at(Part::Target))?;
    if !may_be_covered(place.as_fd(), &mount.at)? {
        return Err(at(Part::Target)(Errno::EPERM));
    }
    if mount.no_links {
        // What was found or made must be the plain path: no link on the way, and none at its end.
        open_in_no_links(root, &mount.at).map_err(at(Part::Target))?;
    }
    if mount.copies_up {
        let there =
            openat(&place, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
                .map_err(at(Part::Source))?;
        copy_tree(there.as_fd(), tree.as_fd()).map_err(at(Part::Source))?;
    }
    if !mount.recursive.is_none() {
        set_attributes(tree.as_fd(), mount.recursive, None, true).map_err(at(Part::Attributes))?;
    }
    attach(tree.as_fd(), place.as_fd())?;
    if let Some(keeping) = mount.keeping {
        set_keeping(tree.as_fd(), keeping)?;
        for (attributes, deep) in [(mount.attributes, false), (mount.recursive, true)] {
            set_attributes(tree.as_fd(), attributes, None, deep).map_err(at(Part::Attributes))?;
        }
    }
    if let Some((kind, deep)) = mount.propagation {
        set_attributes(tree.as_fd(), Attributes::NONE, Some(kind), deep).map_err(at(Part::Attributes))?;
    }
    Ok(())
}

/// Files of /proc that only tell numbers, for which others are put in their place.
const TOLD: [&CStr; 10] = [
    c"/proc/cpuinfo",
    c"/proc/diskstats",
    c"/proc/loadavg",
    c"/proc/meminfo",
    c"/proc/net/dev",
    c"/proc/slabinfo",
    c"/proc/stat",
    c"/proc/swaps",
    c"/proc/sys/crypto/fips_enabled",
    c"/proc/uptime",
];

/// What a proc filesystem is known by (linux/magic.h).
const PROC: FsType = FsType(0x9fa0);

/// Whether something may be mounted on a place: nothing on what a proc filesystem holds, however it was reached, for
/// that is how writes meant for the kernel are led astray. On `/proc` itself, where a root may bring one along, the plan
/// has seen to it that another goes.
fn may_be_covered(place: BorrowedFd<'_>, wanted: &CStr) -> Result<bool, Errno> {
    let is_free = wanted == c"/proc" || TOLD.contains(&wanted);
    Ok(is_free || fstatfs(place)?.filesystem_type() != PROC)
}

/// Makes a device node; where the kernel does not permit it, binds the host's.
pub(super) fn make_node(root: BorrowedFd<'_>, node: &Node) -> Result<(), Failure> {
    let dir = make_in(root, &node.dir, MadeKind::Directory).map_err(at(Part::Target))?;
    let kind = match node.kind {
        NodeKind::Character => SFlag::S_IFCHR,
        NodeKind::Block => SFlag::S_IFBLK,
        NodeKind::Fifo => SFlag::S_IFIFO,
    };
    let (major, minor) = node.device;
    let name = node.name.as_c_str();
    match mknodat(&dir, name, kind, Mode::from_bits_retain(node.mode), makedev(major, minor)) {
        Ok(()) => {}
        Err(Errno::EEXIST) => return is_same_node(root, node, kind),
        Err(Errno::EPERM) => {
            let tree = clone_tree(&node.path, false).map_err(at(Part::Source))?;
            let place = make_in(root, &node.path, MadeKind::File).map_err(at(Part::Target))?;
            return Ok(attach(tree.as_fd(), place.as_fd())?);
        }
        Err(errno) => return Err(errno.into()),
    }
    if node.owner != (0, 0) {
        let (uid, gid) = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
        fchownat(&dir, name, Some(uid), Some(gid), nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// An image may bring the node itself; it must be the right one.
fn is_same_node(root: BorrowedFd<'_>, node: &Node, kind: SFlag) -> Result<(), Failure> {
    let found = status(open_in_no_links(root, &node.path)?)?;
    let found_kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
    let is_same = found_kind == kind
        && (kind == SFlag::S_IFIFO || found.st_rdev == makedev(node.device.0, node.device.1));
    if is_same { Ok(()) } else { Err(Errno::EEXIST.into()) }
}

/// Mounts a terminal on `/dev/console`.
///
/// Both sides are held by descriptors, and what is mounted is looked at through the mount itself, so an image that
/// changes either meanwhile gains nothing.
pub(super) fn bind_console(root: BorrowedFd<'_>, slave: BorrowedFd<'_>) -> Result<(), Errno> {
    make_in(root, c"/dev/console", MadeKind::File)?;
    let place = open_in_no_links(root, c"/dev/console")?;
    let kind = SFlag::from_bits_truncate(status(&place)?.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFREG && kind != SFlag::S_IFCHR {
        return Err(Errno::EEXIST);
    }
    let terminal = status(slave)?;
    let tree = clone_of(slave, false)?;
    let mounted = status(&tree)?;
    let is_same = |one: &FileStat, other: &FileStat| {
        (one.st_dev, one.st_ino, one.st_rdev) == (other.st_dev, other.st_ino, other.st_rdev)
    };
    if !is_same(&terminal, &mounted) {
        return Err(Errno::ENODEV);
    }
    attach(tree.as_fd(), place.as_fd())
}

/// Makes a link; one that is there already stays.
pub(super) fn link(root: BorrowedFd<'_>, to: &CStr, dir: &CStr, name: &CStr) -> Result<(), Failure> {
    let dir = make_in(root, dir, MadeKind::Directory).map_err(at(Part::Target))?;
    match symlinkat(to, &dir, name) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Hides a path: a directory under an empty one, anything else under the null device. A missing one is hidden.
pub(super) fn mask(found: &mut Found, path: &CStr) -> Result<(), Failure> {
    let place = match open_in(root(found)?, path) {
        Ok(place) => place,
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
        Err(errno) => return Err(at(Part::Target)(errno)),
    };
    let cover = if is_dir(&status(&place)?) {
        let Some(blank) = &found.blank else {
            let blank = blank_directory()?;
            // Attached itself, because Linux before 6.15 copies no mount that is not (open_tree answers EINVAL).
            attach(blank.as_fd(), place.as_fd())?;
            found.blank = Some(blank);
            return Ok(());
        };
        clone_of(blank.as_fd(), false)?
    } else {
        let null = found.null.as_ref().ok_or(Errno::EBADF)?;
        let cover = clone_of(null.as_fd(), false)?;
        // Looked at again through the very mount that will cover the path.
        if !is_null(&status(&cover)?) {
            return Err(at(Part::Source)(Errno::ENODEV));
        }
        cover
    };
    Ok(attach(cover.as_fd(), place.as_fd())?)
}

/// An empty directory that cannot be written, as a mount of its own.
fn blank_directory() -> Result<OwnedFd, Errno> {
    let filesystem = Filesystem::open(c"tmpfs")?;
    for (key, value) in [(c"size", c"0"), (c"nr_inodes", c"1"), (c"mode", c"555")] {
        filesystem.set(key, value)?;
    }
    filesystem.mount(Attributes::READ_ONLY)
}

/// Covers a path by itself, unwritable. A missing one needs nothing.
pub(super) fn make_read_only(root: BorrowedFd<'_>, path: &CStr) -> Result<(), Failure> {
    let place = match open_in(root, path) {
        Ok(place) => place,
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
        Err(errno) => return Err(at(Part::Target)(errno)),
    };
    let tree = clone_of(place.as_fd(), true)?;
    set_attributes(tree.as_fd(), Attributes::READ_ONLY, None, true).map_err(at(Part::Attributes))?;
    Ok(attach(tree.as_fd(), place.as_fd())?)
}
