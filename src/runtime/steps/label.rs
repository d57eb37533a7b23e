//! `linux.mountLabel`: the SELinux label that all files of a new filesystem are shown with.

use oci_spec::runtime::Linux;

use super::{Host, PlanError};

/// Filesystems whose labels are the policy's to give (`selinux_set_mnt_opts`).
const BY_POLICY: [&str; 4] = ["cgroup", "cgroup2", "proc", "sysfs"];

/// Those that take one from within a user namespace; the kernel refuses the others.
const BY_ANY_USER: [&str; 4] = ["devpts", "overlay", "ramfs", "tmpfs"];

/// The label that is asked for.
pub(super) fn mount_label<'a>(linux: &'a Linux, host: &Host) -> Result<Option<&'a str>, PlanError> {
    let label = linux.mount_label().as_deref().filter(|label| !label.is_empty());
    if label.is_some() && !host.has_selinux {
        let reason = "this host has no SELinux".to_owned();
        return Err(PlanError::Member { member: "linux.mountLabel", reason });
    }
    Ok(label)
}

/// Whether a new filesystem of this type can be given a label.
pub(super) fn takes_label(fstype: &str, is_in_user_namespace: bool) -> bool {
    if is_in_user_namespace { BY_ANY_USER.contains(&fstype) } else { !BY_POLICY.contains(&fstype) }
}
