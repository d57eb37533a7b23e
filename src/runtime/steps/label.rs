//! `linux.mountLabel`: the SELinux label that all files of a new filesystem are shown with.

use oci_spec::runtime::Linux;

use super::mounts::Entry;
use super::{Host, PlanError, Users};

/// The option that labels all files of a filesystem (`selinux_add_opt`).
pub(super) const CONTEXT: &str = "context";

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

/// The same mount with a label for its files, where it is a new filesystem that takes one and has none.
pub(super) fn labelled<'a>(mut entry: Entry<'a>, label: Option<&str>, users: &Users) -> Entry<'a> {
    let is_new = entry.bind().is_none() && !entry.remounts();
    let takes = entry.fstype().is_ok_and(|fstype| takes_label(fstype, users.are_apart()));
    let has_own = entry.options.data.iter().any(|(key, _)| key == CONTEXT);
    if let Some(label) = label.filter(|_| is_new && takes && !has_own) {
        entry.options.data.push((CONTEXT.to_owned(), Some(label.to_owned())));
    }
    entry
}

/// Whether a new filesystem of this type can be given a label.
fn takes_label(fstype: &str, is_in_user_namespace: bool) -> bool {
    if is_in_user_namespace { BY_ANY_USER.contains(&fstype) } else { !BY_POLICY.contains(&fstype) }
}
