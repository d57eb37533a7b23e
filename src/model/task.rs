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
    time::Timestamp,
};

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

/// A tag: a key and a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// At most 128 characters, unique on its thing.
    pub key: String,
    /// At most 256 characters.
    #[serde(default)]
    pub value: String,
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

/// A port of a container as it can be reached on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkBinding {
    /// The address it is bound to, `0.0.0.0` for all.
    #[serde(rename = "bindIP")]
    pub bind_ip: String,
    /// The port inside the task.
    pub container_port: u16,
    /// The port on the host.
    pub host_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
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

/// What a RunTask call changes of the definition for one task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskOverride {
    /// One entry a container that is changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub container_overrides: Vec<ContainerOverride>,
    /// CPU units of the task, as ECS writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<super::task_definition::CpuUnits>,
    /// Memory of the task in MiB, as ECS writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<super::task_definition::Mebibytes>,
    /// Kept and echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_role_arn: Option<String>,
    /// Kept and echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    /// Kept and echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<serde_json::Value>,
}

/// What a RunTask call changes of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerOverride {
    /// A container of the definition.
    pub name: ContainerName,
    /// Replaces its command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Merged into its environment by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<super::task_definition::KeyValue>,
    /// Replaces its environment files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_files: Option<Vec<super::task_definition::EnvironmentFile>>,
    /// CPU shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Hard limit in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// Soft limit in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<u32>,
    /// Kept and echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_requirements: Option<serde_json::Value>,
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

    /// Where it was last seen.
    pub known_status: TaskStatus,
    /// Its containers, in the definition's order.
    pub containers: Vec<Container>,
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

impl Task {
    /// The container of that name.
    #[must_use]
    pub fn container(&self, name: &ContainerName) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == *name)
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

/// Everything that makes a task, before it is one.
pub struct NewTask<'a> {
    /// Its id.
    pub id: TaskId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// What it is made of.
    pub definition: &'a super::task_definition::TaskDefinition,
    /// The service that owns it.
    pub owner: Option<TaskOwner>,
    /// Its group; `family:NAME` or `service:NAME` by itself when none is chosen.
    pub group: Option<String>,
    /// Who starts it; the deployment by itself when it has an owner.
    pub started_by: Option<String>,
    /// What this run changes of the definition.
    pub overrides: TaskOverride,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Members of the request that are kept and echoed.
    pub extra: serde_json::Map<String, serde_json::Value>,
    /// When it is asked for.
    pub at: Timestamp,
}

impl From<NewTask<'_>> for Task {
    /// The task at version 1: desired RUNNING, known PROVISIONING when it gets an interface of its own
    /// (`awsvpc`), PENDING otherwise.
    fn from(new: NewTask<'_>) -> Self {
        use super::task_definition::NetworkMode;

        let document = &new.definition.document;
        let known_status = match document.network_mode() {
            NetworkMode::Awsvpc => TaskStatus::Provisioning,
            NetworkMode::Bridge | NetworkMode::Host | NetworkMode::None => TaskStatus::Pending,
        };
        let group = new.group.unwrap_or_else(|| match &new.owner {
            Some(owner) => format!("service:{}", owner.service),
            None => format!("family:{}", document.family),
        });
        let started_by =
            new.started_by.or_else(|| new.owner.as_ref().map(|owner| owner.deployment.to_string()));
        Self {
            id: new.id,
            cluster: new.cluster,
            task_definition: new.definition.id.clone(),
            owner: new.owner,
            group,
            started_by,
            overrides: new.overrides,
            desired_status: DesiredStatus::Running,
            stop: None,
            created_at: new.at,
            tags: new.tags,
            extra: new.extra,
            known_status,
            containers: document.container_definitions.iter().map(Container::new).collect(),
            attachment: None,
            times: TaskTimes::default(),
            timing: Vec::new(),
            not_enforced: Vec::new(),
            ledger_seen: 0,
            version: 1,
        }
    }
}

impl Container {
    /// A container that has not been started.
    #[must_use]
    pub fn new(definition: &super::task_definition::ContainerDefinition) -> Self {
        Self {
            name: definition.name.clone(),
            essential: definition.essential,
            image: definition.image.clone(),
            image_digest: None,
            known_status: ContainerStatus::Pending,
            exit: None,
            reason: None,
            health: HealthStatus::Unknown,
            pid: None,
            restarts: 0,
            started_at: None,
            finished_at: None,
            network_bindings: Vec::new(),
        }
    }
}
