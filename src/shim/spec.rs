//! What a shim is told: `spec.json` in the task's directory.
//!
//! The agent writes it before the shim starts and nobody changes it afterwards. It carries what the task's automaton
//! needs to decide (order, timeouts, restart policies, health checks) and where things are; everything that a
//! container's process sees is in the container's own bundle, an OCI `config.json`.
//!
//! A bundle cannot name what exists only once the task runs. [`Sharing`] says which namespaces the shim fills in
//! when it starts the container: those of the task, which the shim holds.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

mod log;

pub use log::{Delivery, Driver, HostSpec, LogSpec, SyslogForm, SyslogSpec, Target, TlsSpec};

use crate::model::{
    ids::{ContainerName, TaskId},
    reading,
    task_definition::{Dependency, HealthCheck, RestartPolicy},
};

/// The name of the file in the task's directory.
pub const FILE: &str = "spec.json";

/// One task, as its shim sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskSpec {
    /// Whose shim it is.
    pub task: TaskId,
    /// The task's control group, as a path below the mount point; containers become its children.
    pub cgroup: PathBuf,
    /// Where the shim lives, outside every task's group.
    pub shim_cgroup: PathBuf,
    /// The instance's name among control groups, where systemd is to make a scope for both; they are made by files where
    /// it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd: Option<String>,
    /// Limits of the task as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<LinuxResources>,
    /// Whose network the containers have.
    pub network: Network,
    /// The memory that its containers share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_memory: Option<SharedMemory>,
    /// The first of the users of its own; the network belongs to them. The host's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<u32>,
    /// In the definition's order.
    pub containers: Vec<ContainerSpec>,
    /// When the start of the task began, in microseconds since the host booted (`CLOCK_BOOTTIME`); spans of time
    /// are counted from there.
    #[serde(default)]
    pub begun_us: u64,
    /// The file that answers questions about the task begin with; nobody is answered when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<PathBuf>,
    /// Where the shim listens.
    pub socket: PathBuf,
    /// Where facts are kept.
    pub ledger: PathBuf,
}

/// Whose network the containers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Network {
    /// A namespace that the shim is given as an open file when it is started.
    Inherited,
    /// That of the host: the bundles have no network namespace.
    Host,
}

/// One container, as the shim sees it.
#[expect(clippy::struct_excessive_bools, reason = "the definition's own switches, each independent")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerSpec {
    /// Its name in the definition.
    pub name: ContainerName,
    /// The directory that holds its `config.json`.
    pub bundle: PathBuf,
    /// Whether the task ends with it.
    pub essential: bool,
    /// What must have happened to others first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// Containers whose volumes it uses, which are started first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<ContainerName>,
    /// Namespaces that are filled in when it starts.
    #[serde(default)]
    pub shares: Sharing,
    /// Seconds that others wait for it to meet their condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<u32>,
    /// Seconds between the stop signal and SIGKILL; 30 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<u32>,
    /// The signal that asks it to stop, a number or a name with or without `SIG`; SIGTERM when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// When it is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// How its health is found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Its memory limit in MiB, for the sentence about running out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Where its output goes; thrown away when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogSpec>,
    /// Whether its standard input stays open, with nothing ever written to it; `/dev/null` otherwise.
    #[serde(default)]
    pub open_stdin: bool,
    /// Whether its standard streams are a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Whether its first process is one of ours that forwards signals and reaps.
    #[serde(default)]
    pub init: bool,
}

/// Namespaces that do not exist when the bundle is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sharing {
    /// The task's network, see [`Network::Inherited`]: the shim adds the network namespace to the bundle's list.
    pub network: bool,
    /// The task's processes: a pid namespace that the shim holds by a first process of its own.
    pub pid: bool,
    /// The task's queues, semaphores and shared memory: an ipc namespace that the shim holds.
    pub ipc: bool,
}

/// A file system in memory for all containers of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SharedMemory {
    /// Where it is mounted, in the shim's own mount namespace; bundles bind it from there.
    pub path: PathBuf,
    /// Bytes that it holds at most.
    pub size: u64,
}

/// A task's directory without a usable `spec.json`.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// It could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It could not be written.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not the document of a task.
    #[error("{} does not describe a task", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl TaskSpec {
    /// Reads the file in a task's directory.
    pub fn load(directory: &Path) -> Result<Self, SpecError> {
        let path = directory.join(FILE);
        let text = fs::read(&path).map_err(|source| SpecError::Read { path: path.clone(), source })?;
        reading::from_slice(&text).map_err(|source| SpecError::Parse { path, source })
    }

    /// Writes the file into a task's directory.
    pub fn save(&self, directory: &Path) -> Result<(), SpecError> {
        let path = directory.join(FILE);
        let text =
            serde_json::to_vec(self).map_err(|source| SpecError::Parse { path: path.clone(), source })?;
        // An option of a log driver may be a secret.
        let file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(&text));
        written.map_err(|source| SpecError::Write { path, source })
    }
}

impl ContainerSpec {
    /// The time between the stop signal and SIGKILL.
    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.stop_timeout.unwrap_or(30).into())
    }
}
