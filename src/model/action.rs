//! Steps for the hands of this host: what a plan orders and the agent does.
//!
//! Each is idempotent, so a daemon that starts again orders what it finds undone and nothing happens twice.

use super::{ids::TaskId, task::StopRequest};

/// One step for one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskAction {
    /// Pull, connect, build and start it.
    Start(TaskId),
    /// Tell its containers to stop, or break off its start.
    Stop(TaskId, StopRequest),
    /// Take everything of it off the host.
    Sweep(TaskId),
    /// It can never run here: it stops before it starts, for this reason.
    Refuse(TaskId, StopRequest),
}

impl TaskAction {
    /// The task it is about.
    #[must_use]
    pub fn task(&self) -> &TaskId {
        match self {
            Self::Start(task) | Self::Stop(task, _) | Self::Sweep(task) | Self::Refuse(task, _) => task,
        }
    }
}
