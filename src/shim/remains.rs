//! What a task may have left in control groups, for whoever cleans up after a shim.

use std::collections::BTreeSet;

use crate::kernel::cgroup::{CgroupError, CgroupPath, Layout};

/// Kills everything in a task's control group and below it, and waits until all of it has ended.
pub fn kill(cgroup: &str) -> Result<(), CgroupError> {
    Layout::detect()?.group(&CgroupPath::parse(cgroup)?).kill()
}

/// Removes a control group and those below it. There must be no process left in it.
pub fn remove(cgroup: &str) -> Result<(), CgroupError> {
    Layout::detect()?.group(&CgroupPath::parse(cgroup)?).delete()
}

/// Both, one after the other.
pub fn clear(cgroup: &str) -> Result<(), CgroupError> {
    let group = Layout::detect()?.group(&CgroupPath::parse(cgroup)?);
    group.kill()?;
    group.delete()
}

/// The layout of this host's control groups, and which of these controllers, named as in version 2, it has not.
pub fn lacking<'name>(wanted: &[&'name str]) -> Result<(&'static str, Vec<&'name str>), CgroupError> {
    let layout = Layout::detect()?;
    let missing = wanted.iter().copied().filter(|controller| !layout.offers(controller));
    Ok((layout.describe(), missing.collect()))
}

/// The names of the control groups directly below `parent`, in any hierarchy.
pub fn below(parent: &str) -> Result<BTreeSet<String>, CgroupError> {
    let layout = Layout::detect()?;
    let mounts = layout.hierarchies().iter().map(|hierarchy| &hierarchy.mount);
    let mounts = mounts.chain(layout.unified().map(|unified| &unified.mount));
    let mut names = BTreeSet::new();
    for mount in mounts {
        let entries = std::fs::read_dir(mount.join(parent)).into_iter().flatten().flatten();
        let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        names.extend(groups.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    }
    Ok(names)
}
