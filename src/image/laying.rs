//! Whether a file system takes an overlay: tried, because its kind alone does not say (an xfs of old, a union of another
//! sort, a kernel with a policy).
//!
//! The overlay is made of three empty directories and attached nowhere, so nobody sees it and it ends with its descriptor.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use crate::kernel::mount::{Attributes, Filesystem};

/// Lays one empty directory over another in `directory`, which must be there and be writable.
///
/// # Errors
/// What the kernel or the file system says to it.
pub fn try_overlay(directory: &Path) -> io::Result<()> {
    let place = directory.join(format!(".overlay-{}", std::process::id()));
    fs::create_dir(&place)?;
    let tried = lay(&place);
    // The kernel leaves a directory of its own in `work`.
    let removed = fs::remove_dir_all(&place);
    tried.and(removed)
}

fn lay(place: &Path) -> io::Result<()> {
    let overlay = Filesystem::open(c"overlay")?;
    let mut opened = Vec::new();
    for (key, name) in [(c"lowerdir", "lower"), (c"upperdir", "upper"), (c"workdir", "work")] {
        fs::create_dir(place.join(name))?;
        let directory = File::open(place.join(name))?;
        // By its descriptor: a path may have letters that overlayfs reads otherwise, and be too long.
        let path = CString::new(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
        overlay.set(key, &path)?;
        opened.push(directory);
    }
    overlay.mount(Attributes::NONE).map(drop).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_leaves_nothing_and_says_what_stands_in_its_way() {
        let folder = tempfile::tempdir().unwrap();
        let tried = try_overlay(folder.path());
        let kernel = fs::read_to_string("/proc/filesystems").unwrap();
        let is_overlay = nix::sys::statfs::statfs(folder.path()).unwrap().filesystem_type()
            == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC;
        if nix::unistd::geteuid().is_root() && kernel.contains("\toverlay\n") && !is_overlay {
            assert!(tried.is_ok(), "{tried:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let missing = try_overlay(&folder.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
