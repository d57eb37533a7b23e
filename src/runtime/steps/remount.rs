//! `remount` changes what is mounted in the container already, where it is; `iversion` is for what is new.
//!
//! Attributes are the mount's own and change by what the options name; the others stay, as with mount(8). Options of the
//! filesystem reach all its mounts, so they are only for one that the host has not mounted as well.

use oci_spec::runtime::Linux;

use super::mounts::{Entry, MountPlanError, Scene, clean};
use super::{Remount, Step};
use crate::kernel::mount::Attributes;

/// What is to stay as it is, and whether there is a mount namespace to change anything in.
pub(super) struct Kept<'a> {
    paths: Vec<&'a str>,
    is_inherited: bool,
}

impl<'a> Kept<'a> {
    pub(super) fn of(linux: &'a Linux, is_inherited: bool) -> Self {
        let lists = [linux.masked_paths(), linux.readonly_paths()];
        let paths = lists.into_iter().flat_map(|list| list.iter().flatten()).map(String::as_str).collect();
        Self { paths, is_inherited }
    }

    fn has(&self, at: &str) -> bool {
        let is_below = |path: &String| {
            at.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.paths.iter().map(|path| clean(path.as_ref())).any(|path| is_below(&path))
    }
}

/// Versions are the filesystem's to count, so who mounts another's has no say.
pub(super) fn check_versions(entry: &Entry<'_>) -> Result<(), MountPlanError> {
    let is_new = entry.bind().is_none() && !entry.remounts() && !entry.is_root();
    match entry.options.versions {
        Some(counts) if !is_new => {
            let option = if counts { "iversion" } else { "noiversion" }.to_owned();
            let reason = "is for a filesystem that is new and not the root";
            Err(MountPlanError::Option { at: entry.at, option, reason })
        }
        Some(_) | None => Ok(()),
    }
}

/// The step of a remount, and whether it is for when everything else is in place.
pub(super) fn step(
    scene: &Scene<'_>,
    entry: &Entry<'_>,
    kept: &Kept<'_>,
) -> Result<(Step, bool), MountPlanError> {
    let refused =
        |option: &str, reason| MountPlanError::Option { at: entry.at, option: option.into(), reason };
    let at = entry.place();
    let options = &entry.options;
    if kept.is_inherited {
        return Err(refused("remount", "needs a mount namespace, or the caller's mounts would change"));
    }
    if kept.has(&at) {
        return Err(refused("remount", "is of a path that is to stay masked or read-only"));
    }
    for (option, is_given) in [("tmpcopyup", options.copies_up), ("idmap", options.mapped.is_some())] {
        if is_given {
            return Err(refused(option, "is for a new mount, not for remount"));
        }
    }
    // Nodes and directories are still to be made in these.
    let is_late = ["/", "/dev"].contains(&at.as_str()) && options.attributes.contains(Attributes::READ_ONLY);
    let step = Step::Remount(Box::new(Remount {
        at: entry.text(at)?,
        options: entry.data()?,
        attributes: options.attributes,
        recursive: options.recursive,
        propagation: options.propagation,
        of_host: scene.host.filesystems.clone(),
    }));
    Ok((step, is_late))
}
