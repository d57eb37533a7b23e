//! Container engines that drive `hythe oci` instead of their own runtime: a link named `hythe-oci` is all they get.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod docker;
mod podman;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::harness::probe::cgroup_mounts;

/// What an engine said.
#[derive(Debug)]
struct Told {
    out: String,
    err: String,
    code: i32,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        Self {
            out: String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
            err: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
            code: output.status.code().unwrap_or(-1),
        }
    }
}

impl Told {
    /// What it printed, if it succeeded.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

/// Our runtime under the name that engines are given.
fn runtime(directory: &Path) -> PathBuf {
    let link = directory.join("hythe-oci");
    symlink(env!("CARGO_BIN_EXE_hythe"), &link).unwrap();
    link
}

/// An archive of a root file system of one busybox.
fn archive(directory: &Path) -> PathBuf {
    let root = directory.join("image");
    for folder in ["bin", "etc", "tmp"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
    for program in [
        "cat", "echo", "false", "stty", "grep", "hostname", "id", "readlink", "sh", "sleep", "test", "touch",
        "true", "tty",
    ] {
        symlink("busybox", root.join("bin").join(program)).unwrap();
    }
    let archive = directory.join("image.tar");
    let packed = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status().unwrap();
    assert!(packed.success());
    archive
}

/// Removes the control groups that an engine leaves behind, which are empty once its containers are gone, and gives
/// those that are still there.
fn remove_groups(name: &str) -> Vec<PathBuf> {
    let mounted: Vec<PathBuf> = cgroup_mounts().into_iter().map(|mount| mount.at).collect();
    // Where a hierarchy is not mounted, podman makes plain directories in the place that it would have.
    let beside = |at: &PathBuf| fs::read_dir(at.parent().unwrap_or(at)).into_iter().flatten().flatten();
    let plain: BTreeSet<PathBuf> = mounted.iter().flat_map(beside).map(|entry| entry.path()).collect();
    for at in &mounted {
        remove_empty(&at.join(name));
    }
    let left: Vec<PathBuf> = plain.iter().map(|at| at.join(name)).filter(|group| group.exists()).collect();
    for group in left.iter().filter(|group| !mounted.iter().any(|at| group.starts_with(at))) {
        let _ = fs::remove_dir_all(group);
        // A place that is used, or mounted, stays.
        let _ = group.parent().map(fs::remove_dir);
    }
    left.into_iter().filter(|group| group.exists()).collect()
}

fn remove_empty(group: &Path) {
    for child in fs::read_dir(group).into_iter().flatten().flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&child.path());
        }
    }
    let _ = fs::remove_dir(group);
}
