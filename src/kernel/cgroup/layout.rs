//! Which hierarchies this host has mounted, and where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CgroupError;

/// Controllers of version 1 by the names they have in mount options.
const V1_CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

/// A mounted version 1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Its controllers, or one `name=…`.
    pub controllers: Vec<String>,
}

impl Hierarchy {
    /// Whether it has the controller named.
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    /// The directory name it has in a container: the controllers, or the bare name of a named hierarchy.
    #[must_use]
    pub fn label(&self) -> String {
        let joined = self.controllers.join(",");
        joined.strip_prefix("name=").map_or_else(|| joined.clone(), ToOwned::to_owned)
    }
}

/// The mounted version 2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unified {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The controllers it offers; none where version 1 has taken them all.
    pub controllers: BTreeSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    hierarchies: Vec<Hierarchy>,
    unified: Option<Unified>,
}

/// The control groups of this host. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(Arc<Found>);

impl Layout {
    /// No control groups at all, for who may not make any.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::new(Found { hierarchies: Vec::new(), unified: None }))
    }

    /// Looks at what is mounted now.
    pub fn detect() -> Result<Self, CgroupError> {
        let text = std::fs::read_to_string("/proc/self/mountinfo").map_err(CgroupError::Mounts)?;
        Self::read(&text, |mount| {
            std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default()
        })
    }

    /// The layout that a text in the form of `/proc/self/mountinfo` describes, version 2 without controllers.
    pub fn from_mountinfo(text: &str) -> Result<Self, CgroupError> {
        Self::read(text, |_| String::new())
    }

    /// Reads the text of a mountinfo file; `controllers` gives the content of a `cgroup.controllers`.
    pub(super) fn read(mountinfo: &str, controllers: impl Fn(&Path) -> String) -> Result<Self, CgroupError> {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        let mut unified = None;
        for line in mountinfo.lines() {
            let Some((mount, fstype, options)) = split(line) else { continue };
            match fstype {
                "cgroup2" if unified.is_none() => {
                    let names = controllers(&mount).split_whitespace().map(ToOwned::to_owned).collect();
                    unified = Some(Unified { mount, controllers: names });
                }
                "cgroup" => {
                    let names = v1_controllers(options);
                    let is_new = !hierarchies.iter().any(|known| known.controllers == names);
                    if !names.is_empty() && is_new {
                        hierarchies.push(Hierarchy { mount, controllers: names });
                    }
                }
                _ => {}
            }
        }
        if hierarchies.is_empty() && unified.is_none() {
            return Err(CgroupError::Nowhere);
        }
        Ok(Self(Arc::new(Found { hierarchies, unified })))
    }

    /// The version 1 hierarchies, in the order they were mounted.
    #[must_use]
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.0.hierarchies
    }

    /// The version 2 hierarchy, if mounted.
    #[must_use]
    pub fn unified(&self) -> Option<&Unified> {
        self.0.unified.as_ref()
    }

    /// Whether only version 2 is in use.
    #[must_use]
    pub fn is_v2_only(&self) -> bool {
        self.0.hierarchies.is_empty()
    }

    /// Whether any hierarchy offers the controller, named as in version 2 (`io` for `blkio`).
    #[must_use]
    pub fn offers(&self, controller: &str) -> bool {
        let old = if controller == "io" { "blkio" } else { controller };
        self.hierarchies().iter().any(|hierarchy| hierarchy.has(old))
            || self.unified().is_some_and(|unified| unified.controllers.contains(controller))
    }

    /// One word for people: `v1`, `v2` or `hybrid`.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match (self.hierarchies().is_empty(), self.unified().is_some()) {
            (true, _) => "v2",
            (false, true) => "hybrid",
            (false, false) => "v1",
        }
    }
}

/// Mount point, type and superblock options of a line.
fn split(line: &str) -> Option<(PathBuf, &str, &str)> {
    let (front, back) = line.split_once(" - ")?;
    let mount = front.split(' ').nth(4)?;
    let mut back = back.split(' ');
    let fstype = back.next()?;
    let options = back.nth(1)?;
    Some((PathBuf::from(unescape(mount)), fstype, options))
}

fn v1_controllers(options: &str) -> Vec<String> {
    options
        .split(',')
        .filter(|option| option.starts_with("name=") || V1_CONTROLLERS.contains(option))
        .map(ToOwned::to_owned)
        .collect()
}

/// Undoes the octal escapes that mountinfo uses for blanks and backslashes.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) if code.is_ascii() => {
                out.push(char::from(code));
                rest = &rest[at + 4..];
            }
            Some(_) | None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}
