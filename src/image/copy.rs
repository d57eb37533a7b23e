//! Copying a directory out of an image, as a container of it would see it: for volumes that begin with its files.
//!
//! Layers are merged name by name as in [`super::lookup`]; owners, modes, times, links, devices and extended
//! attributes go along, hard links become files of their own.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown, fchown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mknod};

use crate::image::lookup::{Found, LookupError, find, walk};
use crate::kernel::fs::{file_type, get_xattr, is_whiteout, list_xattrs, open_beneath, set_xattr, stat_at};

/// Copies what `path` holds in the image made of `layers`, top first, into `destination`, an empty directory, which
/// also gets its owner and mode. Nothing happens when the image has no such directory.
///
/// `is_wanted` is asked before each file; a no ends the copy with an error of the kind `Interrupted`.
pub fn copy_directory(
    layers: &[PathBuf],
    path: &Path,
    destination: &Path,
    is_wanted: &dyn Fn() -> bool,
) -> io::Result<()> {
    match walk(layers, path).map_err(plain)? {
        Found::Directory(merged) => directory(&merged, destination, is_wanted),
        Found::Nothing | Found::Link(_) | Found::File(_) => Ok(()),
    }
}

fn plain(error: LookupError) -> io::Error {
    match error {
        LookupError::Io(_, source) => source,
        LookupError::Links(_) | LookupError::Large(_) => io::Error::other(error),
    }
}

fn directory(merged: &[OwnedFd], destination: &Path, is_wanted: &dyn Fn() -> bool) -> io::Result<()> {
    let Some(top) = merged.first() else { return Ok(()) };
    let mut seen: BTreeSet<OsString> = BTreeSet::new();
    for layer in merged {
        for entry in fs::read_dir(format!("/proc/self/fd/{}", layer.as_raw_fd()))? {
            let name = entry?.file_name();
            if !seen.insert(name.clone()) {
                continue;
            }
            if !is_wanted() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let stat = stat_at(layer, &name)?;
            let target = destination.join(&name);
            if file_type(&stat) == SFlag::S_IFDIR {
                if let Found::Directory(below) = find(merged, &name)? {
                    fs::create_dir(&target)?;
                    directory(&below, &target, is_wanted)?;
                }
            } else if !is_whiteout(&stat) {
                node(layer, &name, &stat, &target)?;
            }
        }
    }
    let stat = fstat(top)?;
    chown(destination, Some(stat.st_uid), Some(stat.st_gid))?;
    fs::set_permissions(destination, fs::Permissions::from_mode(stat.st_mode & 0o7777))?;
    attributes(top, &File::open(destination)?)?;
    set_time(&File::open(destination)?, &stat)
}

fn node(layer: &OwnedFd, name: &OsStr, stat: &FileStat, target: &Path) -> io::Result<()> {
    let (uid, gid) = (Some(stat.st_uid), Some(stat.st_gid));
    match file_type(stat) {
        SFlag::S_IFREG => {
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW;
            let mut from = File::from(open_beneath(layer, Path::new(name), flags, Mode::empty())?);
            let mut to = File::create_new(target)?;
            io::copy(&mut from, &mut to)?;
            fchown(&to, uid, gid)?;
            // After the owner: a new owner takes set-user-id bits and capabilities away.
            to.set_permissions(fs::Permissions::from_mode(stat.st_mode & 0o7777))?;
            attributes(&OwnedFd::from(from), &to)?;
            set_time(&to, stat)
        }
        SFlag::S_IFLNK => {
            symlink(readlinkat(layer, name)?, target)?;
            lchown(target, uid, gid)
        }
        kind => {
            mknod(target, kind, Mode::from_bits_truncate(stat.st_mode & 0o7777), stat.st_rdev)?;
            chown(target, uid, gid)?;
            fs::set_permissions(target, fs::Permissions::from_mode(stat.st_mode & 0o7777))
        }
    }
}

/// Extended attributes, without those that are overlayfs's own.
fn attributes(from: &OwnedFd, to: &File) -> io::Result<()> {
    for name in list_xattrs(from)? {
        if name.to_bytes().starts_with(b"trusted.overlay.") {
            continue;
        }
        if let Some(value) = get_xattr(from, &name)? {
            set_xattr(to, &name, &value)?;
        }
    }
    Ok(())
}

fn set_time(file: &File, stat: &FileStat) -> io::Result<()> {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_are_merged_and_the_deleted_stays_deleted() {
        let place = tempfile::tempdir().unwrap();
        let (low, high) = (place.path().join("low"), place.path().join("high"));
        for path in ["low/data/deep", "low/data/gone", "high/data/deep", "target"] {
            fs::create_dir_all(place.path().join(path)).unwrap();
        }
        fs::write(low.join("data/both"), "low").unwrap();
        fs::write(low.join("data/deep/low"), "low").unwrap();
        fs::write(high.join("data/both"), "high").unwrap();
        fs::write(high.join("data/deep/high"), "high").unwrap();
        symlink("both", high.join("data/link")).unwrap();
        symlink("/data", high.join("elsewhere")).unwrap();
        if mknod(&high.join("data/gone"), SFlag::S_IFCHR, Mode::empty(), 0).is_err() {
            println!("skipped: making overlay marks needs root");
            return;
        }
        let target = place.path().join("target");
        let layers = [high, low];
        copy_directory(&layers, Path::new("/elsewhere"), &target, &|| true).unwrap();
        assert_eq!(fs::read_to_string(target.join("both")).unwrap(), "high");
        assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("both"));
        assert_eq!(fs::read_dir(target.join("deep")).unwrap().count(), 2);
        assert!(!target.join("gone").exists());
        copy_directory(&layers, Path::new("/nowhere"), &target, &|| true).unwrap();
    }

    #[test]
    fn a_copy_that_nobody_wants_any_more_ends() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("layer/data/x")).unwrap();
        fs::create_dir(place.path().join("target")).unwrap();
        let layers = [place.path().join("layer")];
        let ended = copy_directory(&layers, Path::new("/data"), &place.path().join("target"), &|| false);
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::Interrupted);
    }
}
