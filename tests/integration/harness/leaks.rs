//! What an instance left behind: processes, mounts, cgroups, links, tables and files.
//!
//! [`Before`] remembers the host. [`Before::left`] compares: a process counts when it carries the test's mark in its
//! environment or sits in the instance's cgroups, a mount (a pinned namespace is one) when its path is inside the
//! test's directory, a file when it appeared at one of hythe's default places, stays in the runtime directory
//! or cannot be removed from the test's own. Links and tables are those of the
//! calling thread's network namespace, which belongs to the test.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{leftovers, probe::cgroup_mounts};

/// Places that belong to an instance with the default configuration, which no test may write to.
const DEFAULT_PLACES: [&str; 3] = ["/var/lib/hythe", "/run/hythe", "/etc/hythe"];

/// The host as it was before the instance.
pub struct Before {
    mark: String,
    directory: PathBuf,
    disk: Option<PathBuf>,
    cgroup: String,
    files: BTreeSet<PathBuf>,
}

impl Before {
    /// Remembers the host for an instance that marks its processes with `mark`, keeps to `directory` and makes its
    /// cgroups under `cgroup`. What the test itself has mounted as its `disk` is no leak.
    pub fn new(mark: &str, directory: &Path, disk: Option<&Path>, cgroup: &str) -> Self {
        leftovers::of_the_dead();
        Self {
            mark: mark.to_owned(),
            directory: directory.to_owned(),
            disk: disk.map(Path::to_owned),
            cgroup: cgroup.to_owned(),
            files: default_files(),
        }
    }

    /// What is left, a line each; empty when nothing is.
    pub fn left(&self) -> Vec<String> {
        let mut left: Vec<String> = Vec::new();
        left.extend(self.processes(&[]).into_iter().map(describe_process));
        left.extend(self.mounts().into_iter().map(|path| format!("mount {}", path.display())));
        left.extend(self.cgroups().into_iter().map(|path| format!("cgroup {}", path.display())));
        left.extend(default_files().difference(&self.files).map(|path| format!("file {}", path.display())));
        left
    }

    /// The instance's processes, without those named.
    pub fn processes(&self, known: &[i32]) -> Vec<i32> {
        let mut found: BTreeSet<i32> =
            all_processes().filter(|pid| carries(*pid, &self.mark) && !is_zombie(*pid)).collect();
        for cgroup in self.cgroups() {
            let members = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
            found.extend(members.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
        }
        found.into_iter().filter(|pid| !known.contains(pid)).collect()
    }

    /// Mount points inside the instance's directory, the deepest first.
    pub fn mounts(&self) -> Vec<PathBuf> {
        let mut found = mounts_in(&self.directory);
        found.retain(|path| Some(path) != self.disk.as_ref());
        found
    }

    /// The instance's cgroups in every hierarchy, the deepest first.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for mount in cgroup_mounts() {
            directories_below(&mount.at.join(&self.cgroup), &mut found);
        }
        found.reverse();
        found
    }
}

/// Mount points in a directory, the deepest first.
pub fn mounts_in(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        mount_points().into_iter().filter(|path| path.starts_with(directory)).collect();
    found.sort();
    found.reverse();
    found
}

/// The links that hang on a bridge in the calling thread's network namespace: the tasks' host ends.
pub fn links_on(bridge: &str) -> Vec<String> {
    let output = Command::new("ip").args(["-o", "link", "show", "master", bridge]).output().expect("ip runs");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().filter_map(|line| Some(line.split(": ").nth(1)?.to_owned())).collect()
}

/// The nftables rule set of the calling thread's network namespace, in nft's own words.
pub fn ruleset() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().expect("nft runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The files in a directory that should hold none by now, a line each.
pub fn files_in(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let of = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files_in(&entry.path()),
        Ok(_) | Err(_) => vec![format!("file {}", entry.path().display())],
    };
    entries.flatten().flat_map(of).collect()
}

/// Removes the directory of a test that is over; what cannot be removed, a line each.
pub fn not_removed(directory: &Path) -> Vec<String> {
    let removed = fs::remove_dir_all(directory);
    let mut left = files_in(directory);
    if let Err(why) = removed {
        left.push(format!("directory {}: {why}", directory.display()));
    }
    left
}

fn describe_process(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("process {pid}: {}", String::from_utf8_lossy(&line).replace('\0', " "))
}

fn all_processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .expect("procfs is mounted")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id().cast_signed())
}

fn carries(pid: i32, mark: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
}

fn is_zombie(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && line.contains('Z'))
}

fn mount_points() -> Vec<PathBuf> {
    // Of the calling thread, which may have a mount namespace of its own.
    let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("procfs lists the mounts");
    table.lines().filter_map(|line| line.split(' ').nth(4).map(PathBuf::from)).collect()
}

fn default_files() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for place in DEFAULT_PLACES {
        let Ok(entries) = fs::read_dir(place) else { continue };
        found.insert(PathBuf::from(place));
        found.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    found
}

/// A directory and all below it, each before what it holds.
pub fn directories_below(top: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(top) else { return };
    found.push(top.to_owned());
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            directories_below(&entry.path(), found);
        }
    }
}
