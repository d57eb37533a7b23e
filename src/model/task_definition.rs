//! The document a user registers: what a task is made of.
//!
//! Field names, nesting and spelling are those of the ECS documents, so the one shape serves the file that a person
//! writes, the request, the store and the answer. Unknown members are refused, with their place in the text and the
//! nearest valid word, by whoever reads the text. Members that mean something only in the cloud are kept as they
//! came. Rules that need more than one member are in [`validate`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ids::{ContainerName, Family, TaskDefinitionId},
    placement::PlacementConstraint,
    task::Tag,
    time::Timestamp,
};

mod container;
mod linux;
mod log;
mod quantity;
pub mod requires;
pub mod validate;
mod volume;

pub use container::{
    Condition, ContainerDefinition, Dependency, EnvironmentFile, HealthCheck, HostEntry, KeyValue,
    MountPoint, PortMapping, RestartPolicy, Secret, VolumeFrom,
};
pub use linux::{Device, KernelCapabilities, LinuxParameters, SystemControl, Tmpfs, Ulimit};
pub use log::{BadLogPattern, BadLogTag, LogConfiguration, LogMode, LogPattern, LogStream, LogTag, LogWords};
pub use quantity::{CpuUnits, Mebibytes};
pub use volume::{DockerVolume, HostVolume, Volume, VolumeScope};

/// Whether a revision can be used for something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskDefinitionStatus {
    /// It can.
    Active,
    /// It was deregistered: what runs goes on, services keep their count, nothing new takes it.
    Inactive,
    /// It goes when nothing refers to it any more.
    DeleteInProgress,
}

/// A registered revision: the document and its registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskDefinition {
    /// Family and revision.
    pub id: TaskDefinitionId,
    /// What was registered.
    pub document: Document,
    /// Whether it can be used for something new.
    pub status: TaskDefinitionStatus,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When it became INACTIVE.
    pub deregistered_at: Option<Timestamp>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

impl TaskDefinition {
    /// A revision of the document's family that is registered now.
    #[must_use]
    pub fn new(document: Document, revision: u32, at: Timestamp) -> Self {
        Self {
            id: TaskDefinitionId { family: document.family.clone(), revision },
            document,
            status: TaskDefinitionStatus::Active,
            registered_at: at,
            deregistered_at: None,
            tags: Vec::new(),
        }
    }
}

/// What RegisterTaskDefinition carries, without tags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// The name that the revisions share.
    pub family: Family,
    /// One to ten containers.
    pub container_definitions: Vec<ContainerDefinition>,
    /// How the task reaches the network; `bridge` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<NetworkMode>,
    /// The task's CPU quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuUnits>,
    /// The task's memory limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Mebibytes>,
    /// Volumes that the containers may mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// `task` or `host`; each container has its own otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_mode: Option<PidMode>,
    /// `task`, `host` or `none`; each container has its own otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipc_mode: Option<IpcMode>,
    /// Kept and echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_role_arn: Option<String>,
    /// Kept and echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    /// What a container instance has to be, `memberOf` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placement_constraints: Vec<PlacementConstraint>,
    /// `EC2`, `FARGATE`, `EXTERNAL`, `MANAGED_INSTANCES`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires_compatibilities: Vec<String>,
    /// The processor and the system that the images are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_platform: Option<RuntimePlatform>,
    /// Kept and echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<Value>,
    /// Kept and echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_configuration: Option<Value>,
    /// Kept and echoed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inference_accelerators: Vec<Value>,
    /// Kept and echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_fault_injection: Option<bool>,
    /// Kept and echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_execution_configuration: Option<Value>,
}

/// How a task reaches the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// An address on the instance's bridge; ports are published on the host, dynamically where none is named.
    #[default]
    Bridge,
    /// The host's own network.
    Host,
    /// An address on the instance's bridge; host ports equal container ports.
    Awsvpc,
    /// Loopback only.
    None,
}

/// Whose processes a container sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PidMode {
    /// Those of its task.
    Task,
    /// Those of the host.
    Host,
}

/// Whose shared memory and message queues a container sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpcMode {
    /// Those of its task.
    Task,
    /// Those of the host.
    Host,
    /// Its own, without `/dev/shm`.
    None,
}

/// The processor and the system that the images are for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimePlatform {
    /// `X86_64` or `ARM64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_architecture: Option<String>,
    /// `LINUX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operating_system_family: Option<String>,
}

impl Document {
    /// The container of that name.
    #[must_use]
    pub fn container(&self, name: &ContainerName) -> Option<&ContainerDefinition> {
        self.container_definitions.iter().find(|container| container.name == *name)
    }

    /// The network mode that holds.
    #[must_use]
    pub fn network_mode(&self) -> NetworkMode {
        self.network_mode.unwrap_or_default()
    }
}
