//! The words for where a task and its containers are, should be, and why they ended.

use serde::{Deserialize, Serialize};

/// Where a task was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskStatus {
    /// Its network interface is being made.
    Provisioning,
    /// It waits for the host.
    Pending,
    /// Images are pulled, containers created.
    Activating,
    /// All containers have started.
    Running,
    /// It is taken out of load balancers.
    Deactivating,
    /// Its containers were told to stop.
    Stopping,
    /// Its interface and its directories are being removed.
    Deprovisioning,
    /// Nothing of it is left.
    Stopped,
}

/// Where a task or a container should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DesiredStatus {
    /// Up.
    Running,
    /// Down, for good.
    Stopped,
}

/// Where a container was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContainerStatus {
    /// Everything before its process runs.
    Pending,
    /// Its process runs.
    Running,
    /// Its process has ended, or will never run.
    Stopped,
}

/// The verdict of a health check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HealthStatus {
    /// No verdict yet, or no check.
    #[default]
    Unknown,
    /// The last check passed.
    Healthy,
    /// As many checks in a row failed as the definition allows.
    Unhealthy,
}

/// Why a task stopped, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StopCode {
    /// It never reached RUNNING.
    TaskFailedToStart,
    /// An essential container ended.
    EssentialContainerExited,
    /// Somebody asked.
    UserInitiated,
    /// Its service needed it no longer, or found it unhealthy.
    ServiceSchedulerInitiated,
    /// The host went down or restarted under it.
    TerminationNotice,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// The code as shells and ECS print it: 128 and the number for a signal.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}
