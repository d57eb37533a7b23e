//! What is known of a container between two invocations of the OCI command line: one small file each.
//!
//! The file holds what cannot be found out again, not what happens to the container: whether it waits, runs or has
//! ended is asked of the kernel every time. The first process is known by number and start time, so that a stranger
//! with the same number is not taken for it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use oci_spec::runtime::{ContainerState, Spec};
use serde::{Deserialize, Serialize};

use super::bundle::ContainerId;
use super::ops::Running;
use crate::kernel::cgroup::{CgroupError, CgroupPath, Group, Layout, Scope};
use crate::kernel::process::Pid;
use crate::kernel::resctrl::Class;

/// Where records are that nobody names another place for.
pub const USUAL_ROOT: &str = "/run/hythe-oci";

/// The file with the specification.
const SPEC: &str = "config.json";

/// The record of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The version of the specification it was made by.
    pub oci_version: String,
    /// Its name.
    pub id: String,
    /// Its first process; zero while it is being made.
    pub pid: i32,
    /// When that process began, in the kernel's ticks since boot.
    pub pid_start_time: u64,
    /// The bundle it was made from.
    pub bundle: PathBuf,
    /// The root filesystem's place.
    pub rootfs: PathBuf,
    /// When it was made, as RFC 3339 text.
    pub created: String,
    /// The user who made it.
    pub owner: u32,
    /// Its control group; empty where none could be made and none was wanted.
    pub cgroup: String,
    /// systemd's name for the control group, if it has made it.
    #[serde(default)]
    pub scope: Option<String>,
    /// Its class of service, and what of that is to be removed with it.
    #[serde(default)]
    pub class: Option<Class>,
    /// The program, for messages; empty where the specification has no process, so that there is nothing to start.
    pub program: String,
    /// The specification's annotations.
    #[serde(default)]
    pub annotations: HashMap<String, String>,
}

/// Why the records could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is no such container.
    #[error("container does not exist: {0}")]
    Missing(String),
    /// There is one already.
    #[error("container with given ID already exists: {0}")]
    Exists(String),
    /// A file or directory.
    #[error("{act} {}", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A record that is none.
    #[error("{} is not a record of a container", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The control group.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The process.
    #[error("open the container's process")]
    Process(#[source] Errno),
}

/// A directory of records, one directory each.
#[derive(Debug, Clone)]
pub struct Records {
    root: PathBuf,
    /// Whether nobody else has use for it once it is empty.
    is_ours: bool,
}

impl Records {
    /// The records below `root`, which need not exist yet. A directory that was named to us stays when it is empty; the
    /// usual one goes with the last record.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf(), is_ours: root == Path::new(USUAL_ROOT) }
    }

    fn dir(&self, id: &ContainerId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// Where a created container waits for its start.
    #[must_use]
    pub fn start_socket(&self, id: &ContainerId) -> PathBuf {
        self.dir(id).join("start.sock")
    }

    /// Reserves the name for a container about to be made.
    pub fn reserve(&self, id: &ContainerId) -> Result<(), StateError> {
        let dir = self.dir(id);
        let error = |source| StateError::Io { act: "make", path: dir.clone(), source };
        loop {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root).map_err(error)?;
            match fs::DirBuilder::new().mode(0o700).create(&dir) {
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(StateError::Exists(id.to_string()));
                }
                // The last of the others has gone between the two, and the directory of all with it.
                Err(err) if err.kind() == io::ErrorKind::NotFound && self.is_ours => {}
                other => return other.map_err(error),
            }
        }
    }

    /// Writes the record, whole or not at all.
    pub fn save(&self, id: &ContainerId, record: &Record) -> Result<(), StateError> {
        let path = self.dir(id).join("state.json");
        let aside = self.dir(id).join("state.json.new");
        let text =
            serde_json::to_vec(record).map_err(|source| StateError::Parse { path: path.clone(), source })?;
        fs::write(&aside, text).and_then(|()| fs::rename(&aside, &path)).map_err(|source| StateError::Io {
            act: "write",
            path,
            source,
        })
    }

    /// Keeps the specification, as later changes to the bundle are not to change the container.
    pub fn save_spec(&self, id: &ContainerId, spec: &Spec) -> Result<(), StateError> {
        let path = self.dir(id).join(SPEC);
        let text =
            serde_json::to_vec(spec).map_err(|source| StateError::Parse { path: path.clone(), source })?;
        fs::write(&path, text).map_err(|source| StateError::Io { act: "write", path, source })
    }

    /// The specification that the container was made by.
    pub fn spec(&self, id: &ContainerId) -> Result<Spec, StateError> {
        let path = self.dir(id).join(SPEC);
        let text =
            fs::read(&path).map_err(|source| StateError::Io { act: "read", path: path.clone(), source })?;
        serde_json::from_slice(&text).map_err(|source| StateError::Parse { path, source })
    }

    /// Reads a record.
    pub fn load(&self, id: &ContainerId) -> Result<Record, StateError> {
        let path = self.dir(id).join("state.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Err(StateError::Missing(id.to_string()));
            }
            Err(source) => return Err(StateError::Io { act: "read", path, source }),
        };
        serde_json::from_slice(&text).map_err(|source| StateError::Parse { path, source })
    }

    /// Forgets a container.
    pub fn remove(&self, id: &ContainerId) -> Result<(), StateError> {
        let dir = self.dir(id);
        match fs::remove_dir_all(&dir) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(|source| StateError::Io { act: "remove", path: dir, source })?,
        }
        if self.is_ours {
            // One that is not empty is still needed, and one that cannot be removed is in nobody's way.
            let _ = fs::remove_dir(&self.root);
        }
        Ok(())
    }

    /// Whether the name is taken, with or without a record.
    #[must_use]
    pub fn is_reserved(&self, id: &ContainerId) -> bool {
        self.dir(id).exists()
    }

    /// All records that can be read, by name.
    pub fn all(&self) -> Result<Vec<Record>, StateError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StateError::Io { act: "list", path: self.root.clone(), source }),
        };
        let ids = entries.flatten().filter_map(|entry| ContainerId::parse(entry.file_name().to_str()?).ok());
        let mut found: Vec<_> = ids.filter_map(|id| self.load(&id).ok()).collect();
        found.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(found)
    }

    /// What the container is doing now.
    #[must_use]
    pub fn status(&self, id: &ContainerId, record: &Record) -> ContainerState {
        if record.pid == 0 {
            return ContainerState::Creating;
        }
        if !is_alive(record) {
            return ContainerState::Stopped;
        }
        let waits =
            fs::symlink_metadata(self.start_socket(id)).is_ok_and(|found| found.file_type().is_socket());
        if waits { ContainerState::Created } else { ContainerState::Running }
    }

    /// Notes that the container has been started.
    pub fn started(&self, id: &ContainerId) -> Result<(), StateError> {
        let path = self.start_socket(id);
        fs::remove_file(&path).map_err(|source| StateError::Io { act: "remove", path, source })
    }
}

impl Record {
    /// Its control group.
    pub fn group(&self, layout: &Layout) -> Result<Group, StateError> {
        if self.cgroup.is_empty() {
            return Ok(Layout::none().group(&CgroupPath::parse(&self.id)?));
        }
        let scope = self.scope.as_deref().map(Scope::named);
        Ok(layout.group(&CgroupPath::parse(&self.cgroup)?).in_scope(scope))
    }

    /// A handle to the container, if its first process has not been reaped.
    pub fn open(&self, layout: &Layout) -> Result<Option<Running>, StateError> {
        if self.pid == 0 || starts_at(self.pid) != Some(self.pid_start_time) {
            return Ok(None);
        }
        let id = ContainerId::parse(&self.id).map_err(|_| StateError::Missing(self.id.clone()))?;
        let group = self.group(layout)?;
        let running = match Running::adopt(id, Pid::from_raw(self.pid), group, self.class.clone()) {
            Ok(running) => running,
            Err(Errno::ESRCH) => return Ok(None),
            Err(errno) => return Err(StateError::Process(errno)),
        };
        // The number could have passed to a stranger before the handle was open, but not after.
        Ok((starts_at(self.pid) == Some(self.pid_start_time)).then_some(running))
    }
}

/// Whether the first process is there and has not ended.
fn is_alive(record: &Record) -> bool {
    stat(record.pid)
        .is_some_and(|(state, start)| start == record.pid_start_time && state != 'Z' && state != 'X')
}

/// When a process began, in ticks since boot.
#[must_use]
pub fn starts_at(pid: i32) -> Option<u64> {
    stat(pid).map(|(_, start)| start)
}

/// State and start time from `/proc/PID/stat`, where the second field is a name that may hold anything.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ContainerId {
        ContainerId::parse(name).unwrap()
    }

    #[test]
    fn our_own_directory_goes_with_the_last_record_and_a_named_one_stays() {
        let place = tempfile::tempdir().unwrap();
        for is_ours in [true, false] {
            let root = place.path().join("root");
            let records = Records { root: root.clone(), is_ours };
            records.reserve(&id("one")).unwrap();
            records.reserve(&id("two")).unwrap();
            assert!(matches!(records.reserve(&id("two")), Err(StateError::Exists(_))));
            records.remove(&id("one")).unwrap();
            assert!(records.is_reserved(&id("two")), "what is needed stays");
            records.remove(&id("two")).unwrap();
            assert_eq!(root.exists(), !is_ours);
            records.remove(&id("two")).unwrap();
        }
        assert!(Records::at(Path::new(USUAL_ROOT)).is_ours);
        assert!(!Records::at(place.path()).is_ours);
    }

    #[test]
    fn who_begins_while_the_last_one_goes_has_a_place() {
        let place = tempfile::tempdir().unwrap();
        let records = Records { root: place.path().join("root"), is_ours: true };
        std::thread::scope(|scope| {
            for name in ["one", "two", "three"] {
                let records = &records;
                scope.spawn(move || {
                    for _ in 0..500 {
                        records.reserve(&id(name)).unwrap();
                        assert!(records.is_reserved(&id(name)));
                        records.remove(&id(name)).unwrap();
                    }
                });
            }
        });
        assert!(!records.root.exists());
    }
}
