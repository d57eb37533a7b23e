//! The disk of the state directory: room, and whether layers can be laid over each other there.

use std::{io, path::Path};

use nix::sys::{
    statfs::{self, FsType, statfs},
    statvfs::{FsFlags, statvfs},
};

use super::{broken, degraded, kernel::Modules, nearest, ok};
use crate::{agent, api::live::DoctorFinding};

/// Space below which it is said.
const LITTLE: u64 = 512 * 1024 * 1024;
/// Less than this is none: writes of this size are refused or soon will be.
const NONE: u64 = 2 * 1024 * 1024;
/// Fewer files than this can be made: an image has thousands.
const FEW_FILES: u64 = 10_000;

const MAKE_ROOM: &str = "make room: hythe image prune --all, or move state_dir to a larger disk";

/// Room for images, layers and logs.
pub(super) fn room(state_dir: &Path) -> DoctorFinding {
    let disk = match statvfs(&nearest(state_dir)) {
        Ok(disk) => disk,
        Err(why) => {
            let message = format!("{} cannot be looked at: {}", state_dir.display(), why.desc());
            return broken("disk", message, "set state_dir to a directory on a local disk");
        }
    };
    if disk.flags().contains(FsFlags::ST_RDONLY) {
        let message = format!("{} cannot be written: its file system is read-only", state_dir.display());
        return broken("disk", message, "mount it read-write, or set state_dir to a directory that is");
    }
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    // File systems that make inodes as they need them report none at all.
    let files = if disk.files() == 0 { u64::MAX } else { disk.files_available() };
    judge(state_dir, free, files)
}

fn judge(state_dir: &Path, free: u64, files: u64) -> DoctorFinding {
    let message = format!("{} MiB free for {}", free / (1024 * 1024), state_dir.display());
    match free {
        ..NONE => broken("disk", message, MAKE_ROOM),
        NONE..LITTLE => degraded("disk", message, MAKE_ROOM),
        LITTLE.. if files < FEW_FILES => {
            degraded("disk", format!("{message}, but only {files} more files can be made"), MAKE_ROOM)
        }
        LITTLE.. => ok("disk", message),
    }
}

/// Whether the kernel has overlayfs, and the state directory's file system takes it.
pub(super) fn overlay(filesystems: &str, modules: &Modules, state_dir: &Path) -> DoctorFinding {
    let is_there = filesystems.lines().any(|line| line.split_whitespace().last() == Some("overlay"));
    if !is_there && !modules.can_have("overlay") {
        return broken(
            "overlay",
            "the kernel has no overlayfs",
            "modprobe overlay, or a kernel with CONFIG_OVERLAY_FS",
        );
    }
    match statfs(&nearest(state_dir)) {
        Ok(on) => fitness(state_dir, on.filesystem_type(), || tried(state_dir)),
        Err(_) => ok("overlay", "overlayfs is there"),
    }
}

/// Whether containers can be laid over their images on a file system of a kind; `tried` is why it failed there.
fn fitness(state_dir: &Path, on: FsType, tried: impl FnOnce() -> Option<io::Error>) -> DoctorFinding {
    let unfit = [
        (statfs::OVERLAYFS_SUPER_MAGIC, "overlayfs itself"),
        (statfs::NFS_SUPER_MAGIC, "NFS"),
        (statfs::FUSE_SUPER_MAGIC, "a FUSE file system"),
        (statfs::ECRYPTFS_SUPER_MAGIC, "eCryptfs"),
        (statfs::MSDOS_SUPER_MAGIC, "FAT"),
        (statfs::SMB_SUPER_MAGIC, "SMB"),
    ];
    match unfit.iter().find(|(magic, _)| *magic == on) {
        Some((_, name)) => broken(
            "overlay",
            format!("{} is on {name}, where containers cannot write into their layers", state_dir.display()),
            "set state_dir to a directory on ext4, xfs or btrfs",
        ),
        None => match tried() {
            Some(why) => broken(
                "overlay",
                format!("no overlay can be made in {}: {why}", state_dir.display()),
                "set state_dir to a directory on ext4, btrfs, or xfs made with ftype=1",
            ),
            None if on == statfs::TMPFS_MAGIC => {
                ok("overlay", format!("overlayfs on tmpfs: {} ends with the boot", state_dir.display()))
            }
            None => ok("overlay", "overlayfs, on a file system that takes it"),
        },
    }
}

/// Why an overlay cannot be made there; nothing where it can, and where other lines say what keeps one from trying.
fn tried(state_dir: &Path) -> Option<io::Error> {
    use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull};
    let why = agent::try_overlay(state_dir).err()?;
    let elsewhere = [NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull];
    (!elsewhere.contains(&why.kind())).then_some(why)
}

/// Whether ephemeralStorage can hold a task to its size there, and how it could.
pub(super) fn quota(state_dir: &Path, first: Option<u32>) -> DoctorFinding {
    let place = nearest(state_dir);
    if agent::has_quotas(&place).unwrap_or(false) {
        held(state_dir, agent::foreign_projects(state_dir, first).unwrap_or(0))
    } else {
        not_held(statfs(&place).ok().map(|on| on.filesystem_type()))
    }
}

fn held(state_dir: &Path, foreign: usize) -> DoctorFinding {
    let message = "ephemeralStorage holds tasks to their size: quotas of projects";
    if foreign == 0 {
        return ok("quota", message);
    }
    degraded(
        "quota",
        format!(
            "{message}; but {foreign} of this instance's project ids have limits that it did not set: another instance \
             with its state on the file system of {}, or an administrator, uses them too",
            state_dir.display()
        ),
        "name another first_project_id in [containers], 65536 or more away",
    )
}

fn not_held(on: Option<FsType>) -> DoctorFinding {
    let remedy = match on {
        Some(statfs::XFS_SUPER_MAGIC) => {
            "mount the file system of state_dir with the option prjquota (of the root: rootflags=prjquota on the \
             kernel's command line); it takes Linux 5.14 with CONFIG_XFS_QUOTA"
        }
        Some(statfs::EXT4_SUPER_MAGIC) => {
            "with the file system of state_dir not mounted: tune2fs -O project,quota -Q prjquota DEVICE; then mount it \
             with the option prjquota; it takes Linux 5.14 with CONFIG_QUOTA and CONFIG_QFMT_V2"
        }
        Some(_) | None => {
            "set state_dir to a directory on xfs or ext4 that is mounted with the option prjquota"
        }
    };
    // Few tasks ask for it, and those that do are told of one by one.
    let message = "ephemeralStorage holds no task to its size: no quotas of projects";
    DoctorFinding { remedy: Some(remedy.to_owned()), ..ok("quota", message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::live::Verdict;

    #[test]
    fn a_disk_without_room_is_broken() {
        let verdicts = [0, NONE, LITTLE].map(|free| judge(Path::new("/s"), free, u64::MAX).verdict);
        assert_eq!(verdicts, [Verdict::Broken, Verdict::Degraded, Verdict::Ok]);
        assert_eq!(judge(Path::new("/s"), LITTLE, 5).verdict, Verdict::Degraded);
    }

    #[test]
    fn a_file_system_that_takes_no_overlay_is_broken_with_the_reason() {
        let look = |on, refusal: Option<nix::errno::Errno>| {
            fitness(Path::new("/s"), on, || refusal.map(io::Error::from))
        };
        let told = look(statfs::XFS_SUPER_MAGIC, Some(nix::errno::Errno::EINVAL));
        assert_eq!(told.verdict, Verdict::Broken);
        assert_eq!(told.message, "no overlay can be made in /s: Invalid argument (os error 22)");
        assert!(told.remedy.is_some_and(|remedy| remedy.contains("ftype=1")));
        assert_eq!(look(statfs::XFS_SUPER_MAGIC, None).verdict, Verdict::Ok);
        assert!(look(statfs::TMPFS_MAGIC, None).message.contains("ends with the boot"));
        // Not even tried.
        assert_eq!(look(statfs::NFS_SUPER_MAGIC, None).verdict, Verdict::Broken);
    }

    #[test]
    fn quotas_of_projects_are_there_or_there_is_a_way_to_them() {
        assert_eq!(held(Path::new("/s"), 0).remedy, None);
        for (on, word) in [
            (Some(statfs::XFS_SUPER_MAGIC), "rootflags=prjquota"),
            (Some(statfs::EXT4_SUPER_MAGIC), "tune2fs"),
            (Some(statfs::TMPFS_MAGIC), "on xfs or ext4"),
            (None, "on xfs or ext4"),
        ] {
            let finding = not_held(on);
            assert!(finding.remedy.is_some_and(|remedy| remedy.contains(word)), "{word}");
        }
        assert!(quota(Path::new("/proc/none"), None).remedy.is_some());
    }

    #[test]
    fn limits_that_somebody_else_has_set_are_told() {
        let told = held(Path::new("/s"), 2);
        assert_eq!(told.verdict, Verdict::Degraded);
        assert!(told.message.contains("2 of this instance's project ids"), "{}", told.message);
        assert!(told.remedy.is_some_and(|remedy| remedy.contains("first_project_id")));
    }

    #[test]
    fn a_state_directory_that_is_not_made_yet_is_judged_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(nearest(&folder.path().join("not/yet")), folder.path());
    }
}
