//! A task and its containers, as the store keeps them.
//!
//! ```text
//!  PROVISIONING -> PENDING -> ACTIVATING -> RUNNING -> DEACTIVATING -> STOPPING -> DEPROVISIONING -> STOPPED
//! ```
//!
//! A task only ever moves to the right; a step with nothing to do is skipped, and a stop jumps from any step before
//! RUNNING to the stop side. *Desired* goes from RUNNING to STOPPED once and never back. What moves the *known*
//! status is in [`super::fact`].

use serde::{Deserialize, Serialize};

use super::{
    fact::Attachment,
    ids::{ClusterName, ContainerName, DeploymentId, ServiceName, TaskDefinitionId, TaskId},
    network::PortRange,
    task_definition::Document,
    time::Timestamp,
};

mod new;
mod overrides;
mod protection;
mod status;

pub use new::NewTask;
pub use overrides::{ContainerOverride, TaskOverride};
pub use protection::Protection;
pub use status::{ContainerStatus, DesiredStatus, Exit, HealthStatus, StopCode, TaskStatus};

/// A tag: a key and a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// At most 128 characters, unique on its thing.
    pub key: String,
    /// At most 256 characters.
    #[serde(default)]
    pub value: String,
}

/// A port of a container as it can be reached on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkBinding {
    /// The address it is bound to, `0.0.0.0` for all.
    #[serde(rename = "bindIP")]
    pub bind_ip: String,
    /// Which ports.
    #[serde(flatten)]
    pub ports: BoundPorts,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// The ports of a [`NetworkBinding`]: one, or a row of as many on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum BoundPorts {
    /// One port.
    One {
        /// The port inside the task.
        container_port: u16,
        /// The port on the host.
        host_port: u16,
    },
    /// A row of ports.
    Range {
        /// The ports inside the task.
        container_port_range: PortRange,
        /// The ports on the host, in the same order.
        host_port_range: PortRange,
    },
}

/// One container of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its name in the definition.
    pub name: ContainerName,
    /// Whether the task ends with it.
    #[serde(default)]
    pub essential: bool,
    /// The image as the definition names it.
    pub image: String,
    /// The manifest digest that it resolved to, once pulled.
    pub image_digest: Option<String>,
    /// Where it was last seen.
    pub known_status: ContainerStatus,
    /// How its last run ended.
    pub exit: Option<Exit>,
    /// `ErrorName: text`, when there is more to say than the exit code.
    pub reason: Option<String>,
    /// The verdict of its health check.
    #[serde(default)]
    pub health: HealthStatus,
    /// When its health check last began to pass; kept when it fails or ends later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_since: Option<Timestamp>,
    /// The pid of its first process on the host, while it runs.
    pub pid: Option<i32>,
    /// How often its restart policy has started it again.
    #[serde(default)]
    pub restarts: u32,
    /// When its last run began.
    pub started_at: Option<Timestamp>,
    /// When its last run ended.
    pub finished_at: Option<Timestamp>,
    /// Its published ports.
    #[serde(default)]
    pub network_bindings: Vec<NetworkBinding>,
    /// What it said last, once it has ended for good; the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<LastLine>,
}

/// One of the last lines of a container's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastLine {
    /// When it was read from the container.
    pub at: Timestamp,
    /// `stdout`, `stderr` or `note`.
    pub stream: String,
    /// The text without its end; bytes that are not UTF-8 are replaced.
    pub line: String,
}

/// One step of a start and how long it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// `resolve`, `pull`, `unpack`, `mount`, `network`, `exec` and finer ones under them, such as `exec/clone`.
    pub name: String,
    /// The container, when the step is one container's.
    pub container: Option<ContainerName>,
    /// Microseconds from the start of the task to the start of the step.
    pub start_us: u64,
    /// Microseconds that it took.
    pub took_us: u64,
}

/// Who wants a task to stop, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopRequest {
    /// The word.
    pub code: StopCode,
    /// The sentence.
    pub reason: String,
}

/// The service and the deployment that own a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskOwner {
    /// The service, in the task's cluster.
    pub service: ServiceName,
    /// The deployment that started it.
    pub deployment: DeploymentId,
}

/// A task as the store keeps it: the intent in the first half, what facts have told in the second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// What it is made of.
    pub task_definition: TaskDefinitionId,
    /// The service that owns it; none for a standalone task.
    pub owner: Option<TaskOwner>,
    /// `family:NAME`, `service:NAME` or what the caller chose.
    pub group: String,
    /// Who started it: the caller's word, or the deployment.
    pub started_by: Option<String>,
    /// What this run changes of the definition.
    #[serde(default)]
    pub overrides: TaskOverride,
    /// Where it should be.
    pub desired_status: DesiredStatus,
    /// Who wants it to stop, and why; set together with a desired status of STOPPED, by intent or by a fact,
    /// whichever comes first.
    pub stop: Option<StopRequest>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Members of the request that are kept and echoed.
    #[serde(default)]
    pub extra: serde_json::Map<String, serde_json::Value>,
    /// Keeps its service from stopping it for want of work; none when it is not protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,

    /// Where it was last seen.
    pub known_status: TaskStatus,
    /// Its containers, in the definition's order.
    pub containers: Vec<Container>,
    /// Its own users, where they are not the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<UserRange>,
    /// Its address, once it has one.
    pub attachment: Option<Attachment>,
    /// When each step was reached.
    #[serde(default)]
    pub times: TaskTimes,
    /// Where its start spent its time.
    #[serde(default)]
    pub timing: Vec<Span>,
    /// What the definition asks for and this host cannot enforce, a sentence each.
    #[serde(default)]
    pub not_enforced: Vec<String>,
    /// The position in the shim's ledger up to which facts have been taken.
    #[serde(default)]
    pub ledger_seen: u64,
    /// Changes since it was made, from 1.
    pub version: u64,
}

/// The numbers of the host that stand behind the users of a task, which count from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRange {
    /// The host's number of the task's root.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

/// When a task reached each step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskTimes {
    /// The first pull began.
    pub pull_started_at: Option<Timestamp>,
    /// The last pull ended.
    pub pull_stopped_at: Option<Timestamp>,
    /// It became RUNNING.
    pub started_at: Option<Timestamp>,
    /// It was told to stop.
    pub stopping_at: Option<Timestamp>,
    /// An essential container ended.
    pub execution_stopped_at: Option<Timestamp>,
    /// It became STOPPED.
    pub stopped_at: Option<Timestamp>,
}

/// What a task on Fargate may write where nothing says so, in GiB.
const FARGATE_STORAGE_GIB: u64 = 20;

impl Task {
    /// The container of that name.
    #[must_use]
    pub fn container(&self, name: &ContainerName) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == *name)
    }

    /// How much it may write, in GiB, where `document` or this run says so.
    #[must_use]
    pub fn asked_storage_gib(&self, document: &Document) -> Option<u64> {
        let change = self.overrides.ephemeral_storage.as_ref();
        change.or(document.ephemeral_storage.as_ref())?.get("sizeInGiB")?.as_u64()
    }

    /// How much it may write, in GiB; on Fargate never without a limit.
    #[must_use]
    pub fn storage_gib(&self, document: &Document) -> Option<u64> {
        let word = |member: &str| self.extra.get(member).and_then(serde_json::Value::as_str);
        let on_fargate = word("launchType") == Some("FARGATE")
            || word("capacityProviderName").is_some_and(|name| name.starts_with("FARGATE"));
        self.asked_storage_gib(document).or(on_fargate.then_some(FARGATE_STORAGE_GIB))
    }

    /// Whether its service must leave it alone at `now`.
    #[must_use]
    pub fn is_protected(&self, now: Timestamp) -> bool {
        self.protection.is_some_and(|protection| protection.holds(now))
    }

    /// Whether nothing of it is left on the host.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.known_status == TaskStatus::Stopped
    }

    /// The published ports of all its containers.
    pub fn network_bindings(&self) -> impl Iterator<Item = &NetworkBinding> {
        self.containers.iter().flat_map(|container| &container.network_bindings)
    }
}
