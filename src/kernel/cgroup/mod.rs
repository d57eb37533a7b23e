//! Control groups: version 2, version 1 with a hierarchy for each controller, and both side by side.
//!
//! [`Layout`] is what this host has mounted. A [`Group`] is one path made in every hierarchy of the layout, so that its
//! processes can be counted, limited, frozen and killed together whichever version a controller happens to live in.
//!
//! Limits come as the resources of an OCI specification. What the host has no controller or file for is not an
//! error: [`Group::apply`] returns it as [`NotEnforced`], for somebody to say once. Device rules are files in version 1
//! and a program in version 2.

mod apply;
mod cpuset;
mod detail;
mod devices;
mod disks;
mod group;
mod lack;
mod layout;
mod lifetime;
mod placement;
mod pressure;
mod stats;
mod systemd;
mod v1;
mod v2;

use std::path::{Path, PathBuf};

pub use cpuset::Cpuset;
pub use detail::{Detail, RdmaCount, Taken};
pub use disks::{Disk, DiskCount};
pub use group::Group;
pub use lack::Lack;
pub use layout::{Hierarchy, Layout, Unified};
pub use lifetime::HELD_AFTER;
pub use placement::{Below, Placement};
pub use pressure::{Lost, Pressure};
pub use stats::Stats;
pub use systemd::{Begun, Manager, Scope, SystemdError, answers as systemd_answers};
pub use v2::weight_of_shares;

/// Where a group lies below the roots of the hierarchies: relative, without `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CgroupPath(PathBuf);

impl CgroupPath {
    /// Reads a path; a leading slash means nothing, because every hierarchy has its own root.
    pub fn parse(text: &str) -> Result<Self, CgroupError> {
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        let is_bad = |part: &&str| *part == "." || *part == ".." || part.contains(['\0', '\n']);
        if parts.is_empty() || parts.iter().any(is_bad) {
            return Err(CgroupError::Path(text.to_owned()));
        }
        Ok(Self(parts.iter().collect()))
    }

    /// The path of a group below this one.
    pub fn join(&self, name: &str) -> Result<Self, CgroupError> {
        Self::parse(&format!("{}/{name}", self.0.display()))
    }

    /// The path, relative to a hierarchy's root.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

/// A limit that was asked for and that this host does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotEnforced {
    /// The limit, as the specification names it, such as `memory.swap`.
    pub resource: String,
    /// Why not, for people.
    pub reason: String,
    /// Whether the wish itself is wrong: a value that the kernel refuses, or a file of version 2 that is not there.
    pub is_refused: bool,
}

impl NotEnforced {
    /// What this host cannot hold, whatever the value.
    #[must_use]
    pub fn lacking(resource: &str, reason: impl Into<String>) -> Self {
        Self { resource: resource.to_owned(), reason: reason.into(), is_refused: false }
    }

    /// What cannot be held anywhere.
    pub(super) fn refused(resource: &str, reason: impl Into<String>) -> Self {
        Self { resource: resource.to_owned(), reason: reason.into(), is_refused: true }
    }

    /// Whether this means that devices are open which rules should have closed.
    #[must_use]
    pub fn leaves_devices_open(&self) -> bool {
        self.resource == DEVICES
    }
}

/// The device rules, as the specification names them.
const DEVICES: &str = "devices";

/// Why an operation on a group failed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Not a path of a group.
    #[error("{0:?} is not a path of a control group")]
    Path(String),
    /// A group that had to be there.
    #[error("there is no control group {}", .0.display())]
    Missing(PathBuf),
    /// The mounts could not be read.
    #[error("read /proc/self/mountinfo")]
    Mounts(#[source] std::io::Error),
    /// Nothing is mounted.
    #[error("no control group hierarchy is mounted on this host")]
    Nowhere,
    /// A directory could not be made.
    #[error("make control group {}", path.display())]
    Make {
        /// Its directory.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file of the group could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file of the group could not be written.
    #[error("write {value:?} to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What was to be written.
        value: String,
        /// The reason.
        source: std::io::Error,
    },
    /// A directory could not be removed.
    #[error("remove control group {}", path.display())]
    Remove {
        /// Its directory.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// Processes are left although they were sent SIGKILL.
    #[error("{count} processes in control group {} do not end", path.display())]
    Survivors {
        /// The group.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// systemd, which was to do it.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// The host has no freezer.
    #[error("this host cannot freeze control groups")]
    NoFreezer,
    /// The group did not freeze or thaw in time.
    #[error("control group {} did not become {state} in time", path.display())]
    Freezing {
        /// The group.
        path: PathBuf,
        /// `frozen` or `thawed`.
        state: &'static str,
    },
}

impl CgroupError {
    /// Whether it comes of having no right to make groups here.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        let source = match self {
            Self::Make { source, .. } | Self::Read { source, .. } | Self::Write { source, .. } => source,
            Self::Path(_)
            | Self::Missing(_)
            | Self::Mounts(_)
            | Self::Nowhere
            | Self::Remove { .. }
            | Self::Survivors { .. }
            | Self::Systemd(_)
            | Self::NoFreezer
            | Self::Freezing { .. } => return false,
        };
        [libc::EACCES, libc::EPERM, libc::EROFS].map(Some).contains(&source.raw_os_error())
    }
}

#[cfg(test)]
mod tests;
