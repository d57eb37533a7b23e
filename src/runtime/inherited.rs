//! A container without a mount namespace: its mounts are in the caller's, below its own root filesystem, and have to be
//! taken away with it. They are known by being there: a root that is a mount point beforehand is refused.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::kernel::mount::detach;

/// Whether a container of this specification has its mounts where the caller is.
pub(super) fn has_inherited(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    !namespaces.into_iter().flatten().any(|namespace| namespace.typ() == LinuxNamespaceType::Mount)
}

/// Whether something is mounted on a path, which has no links in it.
pub(super) fn is_mount_point(path: &Path) -> bool {
    let text = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let wanted = escaped(path);
    text.split(|byte| *byte == b'\n').any(|line| line.split(|byte| *byte == b' ').nth(4) == Some(&wanted))
}

/// Takes away what a container that is no more has mounted in the caller's namespace.
pub fn unmount_inherited(spec: &Spec, root: &Path) -> Result<(), Errno> {
    if !has_inherited(spec) || !is_mount_point(root) {
        return Ok(());
    }
    detach(&CString::new(root.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?)
}

/// A path as `/proc/self/mountinfo` has it (proc(5)).
fn escaped(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().iter().fold(Vec::new(), |mut text, byte| {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => text.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
            other => text.push(*other),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_known_by_their_whole_path() {
        assert!(is_mount_point(Path::new("/proc")));
        assert!(!is_mount_point(Path::new("/pro")) && !is_mount_point(Path::new("/proc/self")));
        assert_eq!(escaped(Path::new("/a b/c")), b"/a\\040b/c");
    }
}
