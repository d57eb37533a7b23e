//! Classes of service: which part of the caches and of the memory bandwidth processes may use, and groups that count what
//! they use. The kernel has both as directories of the resctrl filesystem (Documentation/filesystems/resctrl.rst).
//!
//! What is to be made is worked out first ([`Wish::class`]), so that it can be written down: a class whose maker was
//! killed is removed by whoever deletes its container.

mod change;
mod counts;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxIntelRdt;
use serde::{Deserialize, Serialize};

pub use counts::Counts;

/// The name of the class that every process is in at first.
const DEFAULT: &str = "/";

/// Names that the kernel uses itself, beside those of the directory.
const TAKEN: [&str; 5] = [".", "..", "info", "mon_data", "mon_groups"];

/// Where a monitoring group is in its class.
const MONITORS: &str = "mon_groups";

/// What the kernel lists when it can count the use of a cache, and of memory bandwidth (`info/L3_MON/mon_features`).
const OCCUPANCY: &str = "llc_occupancy";
const BANDWIDTH: &str = "mbm_total_bytes";

/// Why a container does not get its class.
#[derive(Debug, thiserror::Error)]
pub enum ResctrlError {
    /// There are no classes.
    #[error(
        "linux.intelRdt: this host has no resctrl filesystem mounted (mount -t resctrl resctrl /sys/fs/resctrl)"
    )]
    Absent,
    /// A member that cannot be.
    #[error("linux.intelRdt.{member}: {reason}")]
    Member {
        /// Which.
        member: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The kernel refuses.
    #[error("linux.intelRdt: {act} {}{}", path.display(), told(reason))]
    Io {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel says about it, if anything.
        reason: String,
        /// Why it failed.
        source: io::Error,
    },
}

fn told(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

/// The mounted filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resctrl {
    mount: PathBuf,
}

impl Resctrl {
    /// Looks where it is mounted.
    #[must_use]
    pub fn detect() -> Option<Self> {
        Self::from_mountinfo(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    fn from_mountinfo(text: &str) -> Option<Self> {
        let mount = |line: &str| {
            let (front, back) = line.split_once(" - ")?;
            let place = front.split(' ').nth(4).filter(|_| back.starts_with("resctrl "))?;
            Some(Self { mount: place.into() })
        };
        text.lines().find_map(mount)
    }

    /// What the kernel has to say about the last thing that it refused.
    fn last_word(&self) -> String {
        let text = fs::read_to_string(self.mount.join("info/last_cmd_status")).unwrap_or_default();
        let text = text.trim();
        if text == "ok" { String::new() } else { text.to_owned() }
    }

    fn error<'a>(&'a self, act: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> ResctrlError + 'a {
        move |source| ResctrlError::Io { act, path: path.to_path_buf(), reason: self.last_word(), source }
    }
}

/// What a container asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The class's name.
    class: String,
    /// Whether the name was given, so that others may share it.
    is_named: bool,
    /// Lines for its `schemata`.
    lines: Vec<String>,
    /// The name of a monitoring group.
    monitor: Option<String>,
    /// What the kernel must be able to count: member and feature.
    counted: Vec<(&'static str, &'static str)>,
}

impl Wish {
    /// Reads what the container `id` asks for.
    #[allow(deprecated, reason = "still written by container managers")]
    pub fn read(id: &str, wanted: &LinuxIntelRdt) -> Result<Self, ResctrlError> {
        let named = wanted.clos_id().as_ref().filter(|name| !name.is_empty());
        let class = named.cloned().unwrap_or_else(|| id.to_owned());
        if class != DEFAULT && (TAKEN.contains(&class.as_str()) || class.contains(['/', '\n', '\0'])) {
            let reason = format!("{class:?} cannot be the name of a class");
            return Err(ResctrlError::Member { member: "closID", reason });
        }
        let asked =
            [("enableCMT", OCCUPANCY, wanted.enable_cmt()), ("enableMBM", BANDWIDTH, wanted.enable_mbm())];
        let counted: Vec<_> =
            asked.iter().filter(|one| *one.2 == Some(true)).map(|one| (one.0, one.1)).collect();
        let monitors = *wanted.enable_monitoring() == Some(true) || !counted.is_empty();
        Ok(Self {
            class,
            is_named: named.is_some(),
            lines: lines(wanted)?,
            monitor: monitors.then(|| id.to_owned()),
            counted,
        })
    }

    /// Where the container will be, and what of it will be its own. Makes nothing.
    pub fn class(&self, resctrl: &Resctrl) -> Result<Class, ResctrlError> {
        let dir = if self.class == DEFAULT { resctrl.mount.clone() } else { resctrl.mount.join(&self.class) };
        let exists = dir.join("tasks").exists();
        if !exists && self.is_named && self.lines.is_empty() {
            let reason = format!("there is no class {:?}, and no schema to make it with", self.class);
            return Err(ResctrlError::Member { member: "closID", reason });
        }
        if exists && !self.lines.is_empty() {
            let path = dir.join("schemata");
            let held = fs::read_to_string(&path).map_err(resctrl.error("read", &path))?;
            if let Some(other) = self.lines.iter().find(|line| !is_held(line, &held)) {
                let reason = format!("{:?} is there with another schema than {other:?}", self.class);
                return Err(ResctrlError::Member { member: "closID", reason });
            }
        }
        let features = resctrl.mount.join("info/L3_MON/mon_features");
        let features = fs::read_to_string(features).unwrap_or_default();
        for (member, feature) in &self.counted {
            if !features.lines().any(|line| line == *feature) {
                let reason =
                    format!("this host does not count it (info/L3_MON/mon_features has no {feature})");
                return Err(ResctrlError::Member { member, reason });
            }
        }
        let monitor = self.monitor.as_ref().map(|name| dir.join(MONITORS).join(name));
        if let Some(taken) = monitor.as_ref().filter(|monitor| monitor.exists()) {
            let reason =
                format!("{} is there already: remove it, or name the container otherwise", taken.display());
            return Err(ResctrlError::Member { member: "enableMonitoring", reason });
        }
        Ok(Class { resctrl: resctrl.mount.clone(), is_own: !exists, dir, monitor })
    }
}

/// What is written to `schemata`: where the bandwidth has a member of its own, the caches' has no say in it.
fn lines(wanted: &LinuxIntelRdt) -> Result<Vec<String>, ResctrlError> {
    let is_bandwidth = |line: &&str| line.trim_start().starts_with("MB:");
    let bandwidth = wanted.mem_bw_schema().as_deref().filter(|text| !text.is_empty());
    if bandwidth.is_some_and(|text| !is_bandwidth(&text) || text.contains('\n')) {
        let reason = "is not one line that begins with MB:".to_owned();
        return Err(ResctrlError::Member { member: "memBwSchema", reason });
    }
    let caches = wanted.l3_cache_schema().as_deref().unwrap_or_default().lines();
    let caches = caches.filter(|line| bandwidth.is_none() || !is_bandwidth(line));
    let whole = wanted.schemata().iter().flatten().flat_map(|text| text.lines());
    let all = caches.chain(bandwidth).chain(whole).map(str::trim);
    Ok(all.filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect())
}

/// Whether `schemata` has what a line such as `L3:0=7f0;1=1f` says; the kernel pads numbers.
fn is_held(line: &str, schemata: &str) -> bool {
    let read = |line: &str| {
        let (resource, shares) = line.trim().split_once(':')?;
        let share = |share: &str| {
            let (domain, share) = share.split_once('=')?;
            let share = share.trim().trim_start_matches('0').to_ascii_lowercase();
            Some((domain.trim().to_owned(), share))
        };
        let shares = shares.split(';').map(share).collect::<Option<Vec<_>>>()?;
        Some((resource.trim().to_owned(), shares))
    };
    let Some((resource, shares)) = read(line) else { return false };
    let mut held = schemata.lines().filter_map(read).filter(|(other, _)| *other == resource);
    held.next().is_some_and(|(_, held)| shares.iter().all(|share| held.contains(share)))
}

/// The class that a container is in, as its record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Class {
    /// The filesystem's mount.
    resctrl: PathBuf,
    /// The class's directory.
    dir: PathBuf,
    /// Whether the directory was made for the container.
    is_own: bool,
    /// A monitoring group of the container's own.
    monitor: Option<PathBuf>,
}

impl Class {
    /// Makes what is not there yet. After a failure nothing of it is left.
    pub fn make(&self, wish: &Wish) -> Result<(), ResctrlError> {
        let resctrl = self.resctrl();
        if self.is_own {
            fs::create_dir(&self.dir).map_err(resctrl.error("make the class", &self.dir))?;
        }
        self.fill(wish, &resctrl).inspect_err(|_| {
            if self.is_own {
                // The first error is the one to tell.
                let _ = fs::remove_dir(&self.dir);
            }
        })
    }

    fn fill(&self, wish: &Wish, resctrl: &Resctrl) -> Result<(), ResctrlError> {
        if self.is_own && !wish.lines.is_empty() {
            let (path, text) = (self.dir.join("schemata"), wish.lines.join("\n") + "\n");
            fs::write(&path, text).map_err(resctrl.error("write", &path))?;
        }
        match &self.monitor {
            Some(dir) => fs::create_dir(dir).map_err(resctrl.error("make the monitoring group", dir)),
            None => Ok(()),
        }
    }

    fn resctrl(&self) -> Resctrl {
        Resctrl { mount: self.resctrl.clone() }
    }

    /// The files that a process writes `0` to, in this order, to be in it.
    #[must_use]
    pub fn tasks(&self) -> Vec<PathBuf> {
        [Some(&self.dir), self.monitor.as_ref()].into_iter().flatten().map(|dir| dir.join("tasks")).collect()
    }

    /// Removes what was made for the container, once it has ended. A class that others have joined meanwhile stays.
    pub fn remove(&self) -> Result<(), ResctrlError> {
        let own = Some(&self.dir).filter(|dir| self.is_own && is_empty(dir));
        for dir in [self.monitor.as_ref(), own].into_iter().flatten() {
            match fs::remove_dir(dir) {
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(self.resctrl().error("remove", dir))?,
            }
        }
        Ok(())
    }
}

fn is_empty(class: &Path) -> bool {
    fs::read_to_string(class.join("tasks")).is_ok_and(|text| text.trim().is_empty())
}

#[cfg(test)]
mod tests;
