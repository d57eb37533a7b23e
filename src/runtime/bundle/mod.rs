//! What to run: a directory and a specification that has been checked.
//!
//! Everything that can be known to be wrong before a process exists is found here and named by its member, such as
//! `linux.namespaces[2].path`. What this runtime does not do yet is refused by name, too: leaving a wish out silently
//! would make a container less isolated than its author believes.

mod check;
mod namespaces;
mod read;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use oci_spec::runtime::{Capabilities, LinuxCapabilities, Process, Spec};

use super::inherited::{has_inherited, is_mount_point};
use crate::kernel::cgroup::NotEnforced;

pub use check::check_process;
pub use read::read_process;

/// The name of a container on this host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerId(String);

/// The longest identifier, so that it can be a file's name.
const LONGEST_ID: usize = 255;

/// Text that cannot name a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("container id {0:?}: use 1 to 255 letters, digits and the characters _ + - .")]
pub struct InvalidId(pub String);

impl ContainerId {
    /// Reads an identifier.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
        let is_special = text == "." || text == "..";
        if text.is_empty() || text.len() > LONGEST_ID || is_special || !text.bytes().all(is_good) {
            return Err(InvalidId(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a bundle cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The specification could not be read.
    #[error("read {}", path.display())]
    Read {
        /// Its file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The specification is not one.
    #[error("{} is not an OCI specification: {member}", path.display())]
    Parse {
        /// Its file.
        path: PathBuf,
        /// The member that is wrong, or the one in which something is missing.
        member: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A member has a value that cannot be.
    #[error("{member}: {reason}")]
    Invalid {
        /// The member, such as `process.cwd`.
        member: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A specification that has been checked, and the directory its relative paths start from.
#[derive(Debug, Clone)]
pub struct Bundle {
    dir: PathBuf,
    root: PathBuf,
    spec: Spec,
    missed: Vec<NotEnforced>,
}

impl Bundle {
    /// Reads and checks `config.json` in `dir`.
    pub fn load(dir: &Path) -> Result<Self, BundleError> {
        let path = dir.join("config.json");
        let text = fs::read(&path).map_err(|source| BundleError::Read { path: path.clone(), source })?;
        let (spec, missed) = read::specification(&text).map_err(|(member, source)| BundleError::Parse {
            path,
            member,
            source,
        })?;
        Ok(Self { missed, ..Self::new(dir, spec)? })
    }

    /// Checks `spec`, whose relative paths start from `dir`.
    pub fn new(dir: &Path, spec: Spec) -> Result<Self, BundleError> {
        check::check(&spec)?;
        let dir = fs::canonicalize(dir).map_err(|source| BundleError::Read { path: dir.into(), source })?;
        let wanted = spec.root().as_ref().map(|root| dir.join(root.path())).unwrap_or_default();
        let root = fs::canonicalize(&wanted)
            .ok()
            .filter(|root| root.is_dir() && root != Path::new("/"))
            .ok_or_else(|| {
                check::invalid("root.path", format!("{} is not a directory to use", wanted.display()))
            })?;
        if has_inherited(&spec) && is_mount_point(&root) {
            let reason =
                "is a mount point, which without a mount namespace cannot be told from the container's";
            return Err(check::invalid("root.path", reason));
        }
        Ok(Self { dir, root, spec, missed: Vec::new() })
    }

    /// The bundle's directory, absolute.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the root filesystem is, or is to be mounted: absolute, without links.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The specification.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Whether something that is mounted is to be changed.
    pub(super) fn remounts(&self) -> bool {
        self.spec.mounts().iter().flatten().any(check::is_remount)
    }

    /// What its file asks for that nothing can be done about.
    pub(super) fn missed(&self) -> &[NotEnforced] {
        &self.missed
    }

    /// Tells the process that it is handed open sockets after the standard streams, as sd_listen_fds(3) looks for them.
    pub fn hand_over_sockets(&mut self, number: u32) {
        let Some(process) = self.spec.process_mut() else { return };
        let mut env = process.env().clone().unwrap_or_default();
        env.extend([format!("LISTEN_FDS={number}"), "LISTEN_PID=1".to_owned()]);
        process.set_env(Some(env));
    }

    /// The process to run.
    pub fn process(&self) -> Result<&Process, BundleError> {
        self.spec.process().as_ref().ok_or_else(|| check::invalid("process", "is missing"))
    }

    /// The process that the container is made for. Where the specification has none, it has no program and no rights, as
    /// it can only wait.
    pub fn first_process(&self) -> &Process {
        static WAITING: OnceLock<Process> = OnceLock::new();
        self.spec.process().as_ref().unwrap_or_else(|| WAITING.get_or_init(waiting))
    }
}

fn waiting() -> Process {
    let none = || Some(Capabilities::new());
    let mut rights = LinuxCapabilities::default();
    rights
        .set_bounding(none())
        .set_effective(none())
        .set_permitted(none())
        .set_inheritable(none())
        .set_ambient(none());
    let mut process = Process::default();
    process
        .set_args(Some(Vec::new()))
        .set_env(None)
        .set_rlimits(None)
        .set_terminal(None)
        .set_capabilities(Some(rights))
        .set_no_new_privileges(Some(true));
    process
}

#[cfg(test)]
mod tests;
