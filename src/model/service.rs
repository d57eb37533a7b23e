//! A service: a task definition and how many tasks of it should run.
//!
//! ```text
//!   ACTIVE --delete--> DRAINING --last task stopped--> INACTIVE
//! ```
//!
//! Each change of what a task is made of starts a deployment. The newest is PRIMARY; an older one stays ACTIVE
//! while it owns tasks and then drops out of the list.

use serde::{Deserialize, Serialize};

use super::{
    ids::{ClusterName, DeploymentId, ServiceName, TaskDefinitionId},
    task::Tag,
    time::Timestamp,
};

/// Where a service is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceStatus {
    /// Its desired count is held.
    Active,
    /// It was deleted and still owns tasks.
    Draining,
    /// It was deleted and owns nothing; it stays describable.
    Inactive,
}

/// How many tasks a service runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SchedulingStrategy {
    /// As many as its desired count.
    #[default]
    Replica,
    /// One on each container instance, so one on this host.
    Daemon,
}

/// A deployment's place among those of its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentStatus {
    /// The newest: the one that should be running.
    Primary,
    /// An older one that still owns tasks.
    Active,
}

/// How far a deployment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RolloutState {
    /// Tasks are being replaced.
    InProgress,
    /// Steady state was reached.
    Completed,
    /// Its tasks failed too often; it starts no more.
    Failed,
}

/// One deployment of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Its id, which is also the `startedBy` of its tasks.
    pub id: DeploymentId,
    /// PRIMARY or ACTIVE.
    pub status: DeploymentStatus,
    /// What its tasks are made of.
    pub task_definition: TaskDefinitionId,
    /// How far it has come.
    pub rollout_state: RolloutState,
    /// Why it is there, in words.
    pub rollout_state_reason: String,
    /// Tasks of it that could not launch or failed before they were healthy, since the last success.
    #[serde(default)]
    pub failed_tasks: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// One line of a service's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceEvent {
    /// A UUID.
    pub id: String,
    /// When it happened.
    pub created_at: Timestamp,
    /// What was done and why, in ECS's words.
    pub message: String,
}

/// Launches that failed one after another: what the wait before the next one is computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CrashLoop {
    /// Failures since the last stable run.
    pub failures: u32,
    /// When the last one happened.
    pub last: Timestamp,
}

/// How many tasks a rolling update may stop and start, in per cent of the desired count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentBounds {
    /// `minimumHealthyPercent`.
    pub minimum_healthy_percent: u32,
    /// `maximumPercent`.
    pub maximum_percent: u32,
}

/// A service as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its name.
    pub name: ServiceName,
    /// Where it is in its life.
    pub status: ServiceStatus,
    /// REPLICA or DAEMON.
    pub scheduling_strategy: SchedulingStrategy,
    /// How many tasks should run.
    pub desired_count: u32,
    /// The newest first.
    pub deployments: Vec<Deployment>,
    /// Bounds of a rolling update.
    pub bounds: DeploymentBounds,
    /// Launches that failed one after another.
    #[serde(default)]
    pub crash_loop: CrashLoop,
    /// The newest first, at most 100.
    #[serde(default)]
    pub events: Vec<ServiceEvent>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// The request's other members, kept and echoed: launch type, network configuration, strategies.
    #[serde(default)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Service {
    /// The deployment that should be running.
    ///
    /// # Panics
    /// Never for a service from the store: it is created with one and keeps it.
    #[must_use]
    pub fn primary(&self) -> &Deployment {
        self.deployments
            .iter()
            .find(|deployment| deployment.status == DeploymentStatus::Primary)
            .expect("a service is created with a PRIMARY deployment and keeps one")
    }

    /// The group of its tasks: `service:NAME`.
    #[must_use]
    pub fn group(&self) -> String {
        format!("service:{}", self.name)
    }
}
