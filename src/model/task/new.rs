//! How a task begins: the one way from a definition to a task.

use super::{
    Container, ContainerStatus, DesiredStatus, HealthStatus, Tag, Task, TaskOverride, TaskOwner, TaskStatus,
    TaskTimes,
};
use crate::model::{
    ids::{ClusterName, TaskId},
    task_definition::{ContainerDefinition, NetworkMode, TaskDefinition},
    time::Timestamp,
};

/// Everything that makes a task, before it is one.
pub struct NewTask<'a> {
    /// Its id.
    pub id: TaskId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// What it is made of.
    pub definition: &'a TaskDefinition,
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

impl<'a> NewTask<'a> {
    /// A task by itself, which is nothing but what its definition says.
    #[must_use]
    pub fn of(id: TaskId, cluster: ClusterName, definition: &'a TaskDefinition, at: Timestamp) -> Self {
        Self {
            id,
            cluster,
            definition,
            owner: None,
            group: None,
            started_by: None,
            overrides: TaskOverride::default(),
            tags: Vec::new(),
            extra: serde_json::Map::new(),
            at,
        }
    }
}

impl From<NewTask<'_>> for Task {
    /// The task at version 1: desired RUNNING, known PROVISIONING when it gets an interface of its own
    /// (`awsvpc`), PENDING otherwise.
    fn from(new: NewTask<'_>) -> Self {
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
            protection: None,
            known_status,
            containers: document.container_definitions.iter().map(Container::new).collect(),
            users: None,
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
    pub fn new(definition: &ContainerDefinition) -> Self {
        Self {
            name: definition.name.clone(),
            essential: definition.essential,
            image: definition.image.clone(),
            image_digest: None,
            known_status: ContainerStatus::Pending,
            exit: None,
            reason: None,
            health: HealthStatus::Unknown,
            healthy_since: None,
            pid: None,
            restarts: 0,
            last_lines: Vec::new(),
            started_at: None,
            finished_at: None,
            network_bindings: Vec::new(),
        }
    }
}
