//! This host's hands: performs what was decided, a step at a time, each idempotent.
//!
//! ```text
//!   start ── pull ── network ── volumes ── bundles ── shim ──▶ facts
//!   stop  ── at any of these: the step is left, what was done is undone; after the shim runs it is told
//!   sweep ── kill ── detach ── unpublish ── remove: every step is tried, whatever came of the one before
//! ```
//!
//! Every task has a tokio task of its own, so none waits for another and the errors of one are its own. What happened
//! goes out as [`Fact`]s; nothing is kept that the kernel, a task's directory or its shim's ledger does not know, so
//! an agent that starts again [adopts](Agent::adopt) what it finds.
//!
//! The agent decides nothing: which task runs is a plan's word, when a container starts is its shim's. It has never
//! seen the store.

mod bundle;
mod drivers;
mod environment;
mod exec;
mod facts;
mod failure;
pub mod images;
pub(crate) mod kill_point;
mod leave;
mod logs;
mod names;
mod network;
mod orphans;
mod places;
mod roles;
mod runs_as;
mod secrets;
mod storage;
mod tasks;
mod users;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::image::pull::PullOptions;
use crate::image::store::StoreError;
use crate::model::arn::Owner;
use crate::model::fact::Fact;
use crate::model::ids::TaskId;
use crate::model::task::{StopRequest, Task};
use crate::model::task_definition::{LogMode, TaskDefinition};
use crate::net::{Installed, NetError, Network};

pub use crate::shim::groups::CgroupDriver;
pub use exec::ExecError;
pub use logs::{LogLine, LogOf, LogQuery};
pub use roles::RoleSource;
pub use runs_as::RunsAs;
pub use storage::FIRST_PROJECT;

use facts::Teller;
use images::Images;
use network::Networks;
use places::Places;
use secrets::SecretStore;
use tasks::{ClearError, Hands};

/// What an agent is told about its instance.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// In whose names ARNs are written.
    pub owner: Owner,
    /// Where tasks, images, volumes and logs are kept.
    pub state_dir: PathBuf,
    /// Where the shims' sockets are.
    pub runtime_dir: PathBuf,
    /// The cgroup above all tasks, such as `hythe`.
    pub cgroup_parent: String,
    /// Who makes the cgroups of tasks.
    pub cgroup_driver: CgroupDriver,
    /// The program that a shim is: this one.
    pub executable: PathBuf,
    /// When an image is pulled.
    pub image_pull_policy: PullPolicy,
    /// The host address that ports are published on.
    pub publish_address: std::net::Ipv4Addr,
    /// How many networks are kept ready for tasks to come.
    pub ready_networks: usize,
    /// Where images come from.
    pub registry: RegistryConfig,
    /// What a container may ask of the host.
    pub policy: Policy,
    /// Where the operator keeps what definitions name by ARN.
    pub local: LocalStores,
    /// Whom the credentials of each task role, by its ARN, come from.
    pub roles: BTreeMap<String, RoleSource>,
    /// Where the API listens on this host, for what a task asks of it about itself.
    pub api_socket: Option<PathBuf>,
}

/// Where the operator keeps what definitions name by ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalStores {
    /// Secrets and parameters: a directory of files that only root can read.
    pub secrets: PathBuf,
    /// Environment files: a directory with one for each bucket.
    pub environment_files: PathBuf,
}

impl Default for LocalStores {
    fn default() -> Self {
        Self { secrets: "/etc/hythe/secrets".into(), environment_files: "/etc/hythe/environment".into() }
    }
}

/// Where images come from.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// Docker's `config.json`, when it is not in its usual place.
    pub docker_config: Option<PathBuf>,
    /// Hosts that may be spoken to in plain HTTP. Loopback always may.
    pub insecure_hosts: Vec<String>,
    /// Files with certificates of further authorities.
    pub ca_files: Vec<PathBuf>,
    /// How many layers of an image are brought at a time.
    pub parallel_layers: usize,
    /// How often a task's pull is tried where waiting may help.
    pub pull_attempts: u32,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            docker_config: None,
            insecure_hosts: Vec::new(),
            ca_files: Vec::new(),
            parallel_layers: 3,
            pull_attempts: 5,
        }
    }
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Every time; an image that is here will do when that fails.
    #[default]
    Default,
    /// Every time, or the task fails.
    Always,
    /// Once; an image that is here will do for ever.
    Once,
    /// Only when it is not here.
    PreferCached,
}

/// What a container may ask of the host.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whether `privileged` is granted.
    pub allow_privileged: bool,
    /// Whether a program may gain privileges by running a set-user-id file.
    pub allow_new_privileges: bool,
    /// Whether tasks have users of their own, so that root in a container is nobody on the host.
    pub user_namespaces: bool,
    /// The most processes and threads in a container; `None` for the host's limit.
    pub pids_limit: Option<i64>,
    /// The grace between the stop signal and SIGKILL where the definition names none.
    pub stop_timeout: Duration,
    /// The largest log file, in bytes.
    pub log_max_size: u64,
    /// How many log files of a container are kept.
    pub log_max_files: u32,
    /// Where the host's journal listens.
    pub journal: PathBuf,
    /// The first of the project ids by which tasks are held to what they may write.
    pub first_project: u32,
}

/// Where the journal of a host with systemd listens.
pub const JOURNAL: &str = "/run/systemd/journal/socket";

impl Default for Policy {
    fn default() -> Self {
        Self {
            allow_privileged: false,
            allow_new_privileges: false,
            user_namespaces: false,
            pids_limit: Some(4096),
            stop_timeout: Duration::from_secs(30),
            log_max_size: 10 << 20,
            log_max_files: 5,
            journal: JOURNAL.into(),
            first_project: FIRST_PROJECT,
        }
    }
}

/// A task to run.
#[derive(Debug, Clone, PartialEq)]
pub struct StartTask {
    /// The task.
    pub task: Task,
    /// What it is made of.
    pub definition: Arc<TaskDefinition>,
    /// What holds for whoever takes output too slowly, where the definition does not say.
    pub log_mode: LogMode,
}

/// What became of a task while nobody watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// Its shim runs, facts flow on.
    Running,
    /// It ended; the facts that say how have been sent, `AllStopped` the last of them. Sweep it.
    Gone,
    /// It had not come as far as a shim: start it, or sweep it.
    NotStarted,
}

/// This host's hands. A clone is another handle to the same hands.
#[derive(Debug, Clone)]
pub struct Agent {
    hands: Arc<Hands>,
}

/// Something on the host that belongs to no task that anybody knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Orphan {
    /// What it is, such as `task 0123…` or `interface hy0123…`.
    pub what: String,
    kind: orphans::Kind,
}

/// Why an agent cannot work.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The images cannot be had.
    #[error("open the images of this host")]
    Images(#[source] StoreError),
    /// A directory cannot be made.
    #[error("make {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The network cannot be changed.
    #[error("change the network")]
    Network(#[source] NetError),
    /// Something of a task is still there.
    #[error("task {task} is not wholly removed: {left}")]
    Sweep {
        /// The task.
        task: TaskId,
        /// What is left, and why.
        left: String,
    },
    /// The host cannot be looked at.
    #[error("look for orphans: {0}")]
    Look(String),
    /// An orphan cannot be removed.
    #[error("remove {what}: {why}")]
    Orphan {
        /// What it is.
        what: String,
        /// Why not.
        why: String,
    },
    /// The logs of a task cannot be removed.
    #[error("remove logs {}", path.display())]
    Logs {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A thread of the agent was broken off.
    #[error("the work was broken off")]
    Broken,
}

/// The layout of this host's control groups, and which of these controllers, named as in version 2, it has not. A host
/// without control groups is a sentence.
pub fn control_groups<'name>(wanted: &[&'name str]) -> Result<(&'static str, Vec<&'name str>), String> {
    crate::shim::groups::lacking(wanted).map_err(|why| failure::sentence(&why))
}

/// Whether control groups can be made by `driver` on this host; a sentence where not.
///
/// # Errors
/// Why systemd does not answer.
pub fn try_driver(driver: CgroupDriver) -> Result<(), String> {
    driver.try_it().map_err(|why| failure::sentence(&why))
}

/// Lays one empty directory over another in `state_dir`, to see whether containers can be laid over their images there.
///
/// # Errors
/// What the kernel or the file system says to it.
pub fn try_overlay(state_dir: &Path) -> io::Result<()> {
    crate::image::try_overlay(state_dir)
}

/// Whether the file system of `state_dir` holds projects to limits, as ephemeralStorage needs it.
///
/// # Errors
/// What the kernel says where it cannot be looked at.
pub fn has_quotas(state_dir: &Path) -> io::Result<bool> {
    crate::shim::storage::Storage::of(state_dir).map(|storage| storage.is_some())
}

impl From<ClearError> for AgentError {
    fn from(error: ClearError) -> Self {
        Self::Sweep { task: error.task, left: error.left.join("; ") }
    }
}

impl Agent {
    /// An agent with the images under its state directory. Must be called within a tokio runtime.
    ///
    /// Without a network only tasks of the modes `host` and `none` can run. Facts come in order, task by task.
    pub fn open(
        config: AgentConfig,
        network: Option<Network>,
        facts: mpsc::UnboundedSender<Fact>,
    ) -> Result<Self, AgentError> {
        let places = Places::new(&config.state_dir, &config.runtime_dir);
        if let Err(err) = SecretStore::new(&config.local.secrets).check() {
            tracing::warn!(error = failure::sentence(&err), "secrets are refused");
        }
        for path in [places.tasks(), places.volumes(), places.all_logs(), places.sockets()] {
            let made = fs::create_dir_all(&path);
            made.map_err(|source| AgentError::Directory { path, source })?;
        }
        let options = PullOptions {
            docker_config: config.registry.docker_config.clone(),
            insecure_hosts: config.registry.insecure_hosts.clone(),
            ca_files: config.registry.ca_files.clone(),
            parallel: config.registry.parallel_layers,
            ..PullOptions::default()
        };
        let attempts = config.registry.pull_attempts;
        let images = Images::open(&places.images(), config.image_pull_policy, options, attempts);
        let images = images.map_err(AgentError::Images)?;
        let networks = Networks::new(network, config.publish_address, config.ready_networks);
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let hands = Hands::new(config, images, networks, Teller::new(facts), boot);
        Ok(Self { hands: Arc::new(hands) })
    }

    /// Starts a task. Returns at once; what comes of it are facts. Starting twice is starting once.
    pub fn start(&self, task: StartTask) {
        self.hands.start(task);
    }

    /// Stops a task, at whatever step it is. Returns at once. A task that is not here is not an error.
    pub fn stop(&self, task: &TaskId, request: &StopRequest) {
        self.hands.stop(task, request);
    }

    /// Finds out what became of a task while no agent ran; facts follow from where `ledger_seen` stood. The address
    /// and the ports are taken again; call [`Agent::adopted`] after the last.
    ///
    /// The definition is not needed for what runs already: the task's directory tells.
    pub async fn adopt(&self, task: &Task, _definition: &Arc<TaskDefinition>) -> Adopted {
        self.hands.adopt(task).await
    }

    /// Installs the network's tables once all tasks have been adopted; before that nothing is taken away. Then makes
    /// networks for tasks to come.
    pub async fn adopted(&self) -> Result<(), AgentError> {
        let hands = Arc::clone(&self.hands);
        let installed = spawn_blocking(move || hands.networks.install()).await;
        self.hands.fill_networks();
        installed.map_err(|_| AgentError::Broken)?.map(drop).map_err(AgentError::Network)
    }

    /// Removes whatever is left of a task, logs excepted, and then says `Removed`. Sweeping twice is fine.
    pub async fn sweep(&self, task: &TaskId) -> Result<(), AgentError> {
        Ok(self.hands.sweep(task).await?)
    }

    /// The tasks that the agent has in hand: started or adopted and not yet swept.
    #[must_use]
    pub fn tasks(&self) -> BTreeSet<TaskId> {
        self.hands.in_hand()
    }

    /// Returns once the agent has no task in hand.
    pub async fn emptied(&self) {
        self.hands.emptied().await;
    }

    /// The tasks that have a directory on this host, as they were when they were started: what there is to adopt when
    /// the store was lost.
    #[must_use]
    pub fn kept(&self) -> Vec<StartTask> {
        let entries = fs::read_dir(self.hands.places.tasks()).into_iter().flatten().flatten();
        let read = entries.filter_map(|entry| fs::read(entry.path().join(places::KEPT)).ok());
        let kept = read.filter_map(|text| serde_json::from_slice(&text).ok());
        kept.map(|(task, definition)| StartTask {
            task,
            definition: Arc::new(definition),
            log_mode: LogMode::default(),
        })
        .collect()
    }

    /// What is on the host for tasks that nobody knows.
    pub async fn orphans(&self, known: &BTreeSet<TaskId>) -> Result<Vec<Orphan>, AgentError> {
        orphans::find(&self.hands, known).await
    }

    /// Removes one. The logs of a task stay; see [`Agent::forget`].
    pub async fn remove_orphan(&self, orphan: &Orphan) -> Result<(), AgentError> {
        orphans::remove(&self.hands, orphan).await
    }

    /// Deletes the logs of a task that is forgotten.
    pub async fn forget(&self, task: &TaskId) -> Result<(), AgentError> {
        let path = self.hands.places.logs(task);
        let removed = spawn_blocking({
            let path = path.clone();
            move || fs::remove_dir_all(path)
        });
        match removed.await.map_err(|_| AgentError::Broken)? {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| AgentError::Logs { path, source }),
        }
    }

    /// The bytes that the logs of each of these tasks take; a task without any takes none.
    pub async fn log_bytes(&self, tasks: Vec<TaskId>) -> Vec<u64> {
        let hands = Arc::clone(&self.hands);
        let count = tasks.len();
        let looking = spawn_blocking(move || {
            tasks.iter().map(|task| logs::bytes_in(&hands.places.logs(task))).collect()
        });
        looking.await.unwrap_or_else(|_| vec![0; count])
    }

    /// Lines of the logs, oldest first. The stream ends after the last line, or, when following, after the last of the
    /// tasks has ended. Drop the receiver to stop.
    pub fn logs(&self, query: LogQuery) -> mpsc::Receiver<LogLine> {
        logs::read(&self.hands, query)
    }

    /// The images of this host.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.hands.images
    }

    /// Puts back what somebody took from the network: call it when [`crate::net::NetworkWatch`] says so.
    pub async fn repair_network(&self) -> Result<Installed, AgentError> {
        let hands = Arc::clone(&self.hands);
        let repaired = spawn_blocking(move || hands.networks.repair()).await;
        repaired.map_err(|_| AgentError::Broken)?.map_err(AgentError::Network)
    }

    /// The network, for its watch and its conflicts.
    #[must_use]
    pub fn network(&self) -> Option<&Network> {
        self.hands.networks.network()
    }
}
