//! What was seen to happen: the only thing that moves a known status.
//!
//! Facts come from two places. The agent tells of what it did for a task (pull, network, shim). The shim tells of
//! its containers, through a ledger that numbers each fact; a daemon that starts again reads on from the number it
//! had taken, so a fact counts once.

use serde::{Deserialize, Serialize};

use super::{
    ids::{ContainerName, TaskId},
    network::TaskInterface,
    task::{Exit, HealthStatus, LastLine, NetworkBinding, Span, StopRequest, UserRange},
    time::Timestamp,
};

/// One fact about one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// The task it is about.
    pub task: TaskId,
    /// When it was seen.
    pub at: Timestamp,
    /// Its number in the shim's ledger, from 1; none for a fact of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<u64>,
    /// What was seen.
    pub seen: Seen,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "fact")]
pub enum Seen {
    /// The first pull of the task began.
    PullStarted,
    /// The image of a container is here, under this manifest digest.
    #[serde(rename_all = "camelCase")]
    ImageResolved {
        /// The container.
        container: ContainerName,
        /// `sha256:…`.
        digest: String,
    },
    /// The last pull of the task ended.
    PullStopped,
    /// The task has users of its own.
    UsersChosen {
        /// Which numbers of the host they are.
        users: UserRange,
    },
    /// The task has its network namespace, and an address unless its mode has none.
    NetworkAttached {
        /// The address.
        attachment: Option<Attachment>,
    },
    /// The ports of a container are published.
    PortsPublished {
        /// The container.
        container: ContainerName,
        /// Its ports.
        bindings: Vec<NetworkBinding>,
    },
    /// The task's shim runs.
    ShimStarted,
    /// A container's process runs.
    ContainerStarted {
        /// The container.
        container: ContainerName,
        /// Its first process, as the host numbers it.
        pid: i32,
        /// How often the restart policy has started it again.
        restarts: u32,
    },
    /// A container's process ended.
    #[serde(rename_all = "camelCase")]
    ContainerExited {
        /// The container.
        container: ContainerName,
        /// How.
        exit: Exit,
        /// `OutOfMemoryError: …`, from the cgroup's own counters.
        reason: Option<String>,
        /// Whether the restart policy starts it again.
        restarting: bool,
    },
    /// A container will never run, or not again: `CannotPullContainerError: …` and the like.
    ContainerFailed {
        /// The container.
        container: ContainerName,
        /// `ErrorName: text`.
        reason: String,
        /// ECS's synthetic 143 for a container whose dependency was never met.
        exit: Option<Exit>,
    },
    /// What a container said last; it is told right before its end.
    LastLines {
        /// The container.
        container: ContainerName,
        /// The oldest first.
        lines: Vec<LastLine>,
    },
    /// A health check came to another verdict than before.
    HealthChanged {
        /// The container.
        container: ContainerName,
        /// The verdict.
        health: HealthStatus,
    },
    /// Something the definition asks for is not enforced by this host.
    NotEnforced {
        /// A sentence.
        what: String,
    },
    /// Where the start spent its time.
    Timed {
        /// The steps.
        spans: Vec<Span>,
    },
    /// The task decided by itself to stop, or took the order to stop.
    Stopping {
        /// Why.
        request: StopRequest,
    },
    /// Every container has ended and the shim has nothing left to do.
    AllStopped,
    /// Nothing of the task is left on the host.
    Removed,
}

/// A task's place on the instance's network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// A UUID.
    pub id: String,
    /// Its interface.
    pub interface: TaskInterface,
}

impl Attachment {
    /// A UUID that belongs to the task: its id, in the form of one.
    #[must_use]
    pub fn id_of(task: &TaskId) -> String {
        let id = task.as_str();
        format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
    }
}
