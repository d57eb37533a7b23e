//! The two tables: which status comes after which, for whatever a fact says.

use crate::model::task::{ContainerStatus, TaskStatus};

/// How far a fact says that a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// It has its network.
    Attached,
    /// Images are pulled or its shim runs.
    Preparing,
    /// Every container has started.
    Up,
    /// It is told to stop.
    Stopping,
    /// Every container has ended.
    Ended,
    /// Nothing of it is left.
    Removed,
}

/// What a fact says of a container's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It runs.
    Started,
    /// It ended and is started again.
    Restarting,
    /// It ended.
    Exited,
    /// It will never run, or not again.
    Failed,
    /// Whatever it was, it is over.
    Over,
}

impl TaskStatus {
    /// The status after having come as far as `reached`.
    pub(super) fn after(self, reached: Reached) -> Self {
        use TaskStatus::{
            Activating, Deactivating, Deprovisioning, Pending, Provisioning, Running, Stopped, Stopping,
        };
        match (self, reached) {
            (Provisioning, Reached::Attached) => Pending,
            (Provisioning | Pending, Reached::Preparing) => Activating,
            (Provisioning | Pending | Activating, Reached::Up) => Running,
            (Provisioning | Pending | Activating | Running | Deactivating, Reached::Stopping) => Stopping,
            (Provisioning | Pending | Activating | Running | Deactivating | Stopping, Reached::Ended) => {
                Deprovisioning
            }
            (
                Provisioning | Pending | Activating | Running | Deactivating | Stopping | Deprovisioning
                | Stopped,
                Reached::Removed,
            ) => Stopped,
            (
                Pending | Activating | Running | Deactivating | Stopping | Deprovisioning | Stopped,
                Reached::Attached,
            )
            | (
                Activating | Running | Deactivating | Stopping | Deprovisioning | Stopped,
                Reached::Preparing,
            )
            | (Running | Deactivating | Stopping | Deprovisioning | Stopped, Reached::Up)
            | (Stopping | Deprovisioning | Stopped, Reached::Stopping)
            | (Deprovisioning | Stopped, Reached::Ended) => self,
        }
    }
}

impl ContainerStatus {
    /// The status after `turn`, or none when that cannot be.
    pub(super) fn after(self, turn: Turn) -> Option<Self> {
        use ContainerStatus::{Pending, Running, Stopped};
        match (self, turn) {
            (Pending | Running, Turn::Started) | (Running, Turn::Restarting) => Some(Running),
            (Running, Turn::Exited)
            | (Pending | Running, Turn::Failed)
            | (Pending | Running | Stopped, Turn::Over) => Some(Stopped),
            (Pending | Stopped, Turn::Restarting | Turn::Exited)
            | (Stopped, Turn::Started | Turn::Failed) => None,
        }
    }
}
