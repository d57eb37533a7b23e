//! What this host can do for tasks, tried out for whoever examines it.

use std::{io, path::Path};

use super::{failure::sentence, places::Places, storage};
use crate::{
    image,
    shim::{
        groups::{self, CgroupDriver},
        storage::Storage,
    },
};

/// The layout of this host's control groups, and which of these controllers, named as in version 2, it has not. A host
/// without control groups is a sentence.
pub fn control_groups<'name>(wanted: &[&'name str]) -> Result<(&'static str, Vec<&'name str>), String> {
    groups::lacking(wanted).map_err(|why| sentence(&why))
}

/// Whether control groups can be made by `driver` on this host; a sentence where not.
///
/// # Errors
/// Why systemd does not answer.
pub fn try_driver(driver: CgroupDriver) -> Result<(), String> {
    driver.try_it().map_err(|why| sentence(&why))
}

/// Lays one empty directory over another in `state_dir`, to see whether containers can be laid over their images there.
///
/// # Errors
/// What the kernel or the file system says to it.
pub fn try_overlay(state_dir: &Path) -> io::Result<()> {
    image::try_overlay(state_dir)
}

/// Whether the file system of `state_dir` holds projects to limits, as ephemeralStorage needs it.
///
/// # Errors
/// What the kernel says where it cannot be looked at.
pub fn has_quotas(state_dir: &Path) -> io::Result<bool> {
    Storage::of(state_dir).map(|storage| storage.is_some())
}

/// How many of the project ids of the instance with this state directory somebody else has limited there: another
/// instance, or an administrator. `first` is the first of them where the configuration names it.
///
/// # Errors
/// What the kernel says where it cannot be looked at.
pub fn foreign_projects(state_dir: &Path, first: Option<u32>) -> io::Result<usize> {
    storage::foreign(&Places::new(state_dir, state_dir), first)
}
