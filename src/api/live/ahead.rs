//! What would be done, and why things are as they are: answers that the daemon's decisions give.

use serde::{Deserialize, Serialize};

use crate::model::ids::{ClusterName, ServiceName, TaskId};

/// One step that an update would take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Foreseen {
    /// Seconds from now, if all goes well.
    pub after_seconds: u64,
    /// `start`, `stop`, `complete` or `stuck`.
    pub action: String,
    /// How many tasks.
    pub count: usize,
    /// What they are made of: `FAMILY:REVISION`.
    pub task_definition: Option<String>,
    /// Those that exist already, by id.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// The numbers behind it.
    pub why: String,
}

/// One constraint of a task or a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// What it is about.
    pub constraint: String,
    /// What is asked for.
    pub need: String,
    /// What there is.
    pub have: String,
    /// Whether that is enough.
    pub met: bool,
}

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A task.
    Task(TaskId),
    /// A service.
    Service(ClusterName, ServiceName),
}
