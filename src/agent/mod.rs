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
mod config;
mod drivers;
mod environment;
mod exec;
mod facts;
mod failure;
mod host;
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

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::image::store::StoreError;
use crate::model::fact::Fact;
use crate::model::ids::TaskId;
use crate::model::reading;
use crate::model::task::{StopRequest, Task};
use crate::model::task_definition::{LogMode, TaskDefinition};
use crate::net::{Installed, NetError, Network};

pub use crate::shim::groups::CgroupDriver;
pub use config::{AgentConfig, ContainersConfig, ImagesConfig, LocalStores, PullPolicy};
pub use exec::ExecError;
pub use host::{control_groups, foreign_projects, has_quotas, try_driver, try_overlay};
pub use logs::{LogLine, LogOf, LogQuery};
pub use roles::RoleSource;
pub use runs_as::RunsAs;

use facts::Teller;
use images::Images;
use network::Networks;
use secrets::SecretStore;
use tasks::{ClearError, Hands};

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
        let places = config.places();
        if let Err(err) = SecretStore::new(&config.local.secrets).check() {
            tracing::warn!(error = failure::sentence(&err), "secrets are refused");
        }
        for path in [places.tasks(), places.volumes(), places.all_logs(), places.sockets()] {
            let made = fs::create_dir_all(&path);
            made.map_err(|source| AgentError::Directory { path, source })?;
        }
        let images = Images::open(&places.images(), &config.images);
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
    /// Of the definition only the ports are needed for what runs already: the task's directory tells.
    pub async fn adopt(&self, task: &Task, definition: &Arc<TaskDefinition>) -> Adopted {
        self.hands.adopt(task, &definition.document).await
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
        let kept = read.filter_map(|text| reading::from_slice(&text).ok());
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
