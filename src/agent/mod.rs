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
mod environment;
mod names;
mod network;
mod places;
mod volumes;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::model::fact::Fact;
use crate::model::ids::{ContainerName, TaskId};
use crate::model::task::{StopRequest, Task};
use crate::model::task_definition::TaskDefinition;
use crate::model::time::Timestamp;
use crate::net::{Installed, Network};

/// What an agent is told about its instance.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Where tasks, images, volumes and logs are kept.
    pub state_dir: PathBuf,
    /// Where the shims' sockets are.
    pub runtime_dir: PathBuf,
    /// The cgroup above all tasks, such as `hythe`.
    pub cgroup_parent: String,
    /// The program that a shim is: this one.
    pub executable: PathBuf,
    /// When an image is pulled.
    pub image_pull_policy: PullPolicy,
    /// The host address that ports are published on.
    pub publish_address: std::net::Ipv4Addr,
    /// What a container may ask of the host.
    pub policy: Policy,
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
    /// The most processes and threads in a container; `None` for the host's limit.
    pub pids_limit: Option<i64>,
    /// The grace between the stop signal and SIGKILL where the definition names none.
    pub stop_timeout: Duration,
    /// The largest log file, in bytes.
    pub log_max_size: u64,
    /// How many log files of a container are kept.
    pub log_max_files: u32,
}

/// A task to run.
#[derive(Debug, Clone)]
pub struct StartTask {
    /// The task.
    pub task: Task,
    /// What it is made of.
    pub definition: Arc<TaskDefinition>,
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
#[derive(Clone)]
pub struct Agent {}

/// Something on the host that belongs to no task that anybody knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Orphan {
    /// What it is, such as `task directory /var/lib/hythe/tasks/…`.
    pub what: String,
}

/// Which lines of the logs.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Of which tasks.
    pub tasks: Vec<TaskId>,
    /// Of which container; of all when absent.
    pub container: Option<ContainerName>,
    /// Whether to wait for more.
    pub follow: bool,
    /// No older lines.
    pub since: Option<Timestamp>,
    /// No more than this many last lines of each container.
    pub tail: Option<usize>,
}

/// One line of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The task.
    pub task: TaskId,
    /// The container.
    pub container: ContainerName,
    /// `stdout` or `stderr`.
    pub stream: &'static str,
    /// When it was written.
    pub at: Timestamp,
    /// The text without its line end.
    pub line: String,
}

/// Why an agent cannot work.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {}

impl Agent {
    /// An agent with the images under its state directory. Must be called within a tokio runtime.
    ///
    /// Without a network only tasks of the modes `host` and `none` can run. Facts come in order, task by task.
    pub fn open(
        config: AgentConfig,
        network: Option<Network>,
        facts: mpsc::UnboundedSender<Fact>,
    ) -> Result<Self, AgentError> {
        unimplemented!()
    }

    /// Starts a task. Returns at once; what comes of it are facts. Starting twice is starting once.
    pub fn start(&self, task: StartTask) {
        unimplemented!()
    }

    /// Stops a task, at whatever step it is. Returns at once. A task that is not here is not an error.
    pub fn stop(&self, task: &TaskId, request: &StopRequest) {
        unimplemented!()
    }

    /// Finds out what became of a task while no agent ran; facts follow from where `ledger_seen` stood. The address
    /// and the ports are taken again; call [`Agent::adopted`] after the last.
    pub async fn adopt(&self, task: &Task, definition: &Arc<TaskDefinition>) -> Adopted {
        unimplemented!()
    }

    /// Installs the network's tables once all tasks have been adopted; before that nothing is taken away.
    pub async fn adopted(&self) -> Result<(), AgentError> {
        unimplemented!()
    }

    /// Removes whatever is left of a task, logs excepted, and then says `Removed`. Sweeping twice is fine.
    pub async fn sweep(&self, task: &TaskId) -> Result<(), AgentError> {
        unimplemented!()
    }

    /// The tasks that the agent has in hand: started or adopted and not yet swept.
    #[must_use]
    pub fn tasks(&self) -> BTreeSet<TaskId> {
        unimplemented!()
    }

    /// What is on the host for tasks that nobody knows.
    pub async fn orphans(&self, known: &BTreeSet<TaskId>) -> Result<Vec<Orphan>, AgentError> {
        unimplemented!()
    }

    /// Removes one. The logs of a task go too.
    pub async fn remove_orphan(&self, orphan: &Orphan) -> Result<(), AgentError> {
        unimplemented!()
    }

    /// Deletes the logs of a task that is forgotten.
    pub async fn forget(&self, task: &TaskId) -> Result<(), AgentError> {
        unimplemented!()
    }

    /// Lines of the logs, oldest first within a container. The stream ends after the last line, or, when following,
    /// after the last of the tasks has ended. Drop the receiver to stop.
    pub fn logs(&self, query: LogQuery) -> mpsc::Receiver<LogLine> {
        unimplemented!()
    }

    /// Puts back what somebody took from the network: call it when [`crate::net::NetworkWatch`] says so.
    pub async fn repair_network(&self) -> Result<Installed, AgentError> {
        unimplemented!()
    }

    /// The network, for its watch and its conflicts.
    #[must_use]
    pub fn network(&self) -> Option<&Network> {
        unimplemented!()
    }
}
