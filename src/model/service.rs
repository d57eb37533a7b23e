//! A service: a task definition and how many tasks of it should run.
//!
//! ```text
//!   ACTIVE --delete--> DRAINING --last task stopped--> INACTIVE
//! ```
//!
//! Each change of what a task is made of starts a deployment. The newest is PRIMARY; an older one stays ACTIVE
//! while it owns tasks and then drops out of the list. A deployment rolls out a revision: all that its tasks are
//! made of. Records of deployments, and the revisions, are kept for some time, so that one can go back to them.

use serde::{Deserialize, Serialize};

use super::{
    ids::{ClusterName, DeploymentId, RevisionId, ServiceName},
    placement::PlacementConstraint,
    task::Tag,
    time::Timestamp,
};

use crate::model::reading;

mod breaker;
mod change;
mod deployment;
mod record;

pub use self::{
    breaker::{Breaker, ThresholdType},
    change::{CannotStop, REVISED},
    deployment::{CrashLoop, Deployment, DeploymentBounds, DeploymentStatus, RolloutState, StopType},
    record::{BreakerStatus, DeploymentRecord, RecordStatus, Revision, Rollback},
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
    /// When a deployment has failed.
    #[serde(default)]
    pub breaker: Breaker,
    /// Records of its deployments, the newest first.
    #[serde(default)]
    pub history: Vec<DeploymentRecord>,
    /// What they rolled out, the newest first.
    #[serde(default)]
    pub revisions: Vec<Revision>,
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
    /// A REPLICA service that has not been deployed yet.
    #[must_use]
    pub fn new(cluster: ClusterName, name: ServiceName, desired_count: u32, at: Timestamp) -> Self {
        Self {
            cluster,
            name,
            status: ServiceStatus::Active,
            scheduling_strategy: SchedulingStrategy::Replica,
            desired_count,
            deployments: Vec::new(),
            bounds: DeploymentBounds { minimum_healthy_percent: 100, maximum_percent: 200 },
            breaker: Breaker::default(),
            history: Vec::new(),
            revisions: Vec::new(),
            crash_loop: CrashLoop::default(),
            events: Vec::new(),
            created_at: at,
            tags: Vec::new(),
            extra: serde_json::Map::new(),
        }
    }

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

    /// What is remembered of a deployment.
    #[must_use]
    pub fn record(&self, id: &DeploymentId) -> Option<&DeploymentRecord> {
        self.history.iter().find(|record| record.deployment == *id)
    }

    /// The revision of that id, while it is remembered.
    #[must_use]
    pub fn revision(&self, id: &RevisionId) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.id == *id)
    }

    /// The record that what is going on belongs to: the PRIMARY deployment's, or of the one that it takes back.
    #[must_use]
    pub fn current(&self) -> Option<&DeploymentRecord> {
        let primary = self.primary();
        self.record(primary.rolls_back.as_ref().unwrap_or(&primary.id))
    }

    /// The deployment that comes back when `from` fails: the last that was completed.
    #[must_use]
    pub fn rollback_target(&self, from: &DeploymentId) -> Option<&DeploymentId> {
        let good = |record: &&DeploymentRecord| {
            record.status == RecordStatus::Successful
                && record.deployment != *from
                && self.revision(&record.target).is_some()
        };
        self.history.iter().find(good).map(|record| &record.deployment)
    }

    /// How many failures end a deployment now.
    #[must_use]
    pub fn threshold(&self) -> u32 {
        let wanted = match self.scheduling_strategy {
            SchedulingStrategy::Replica => self.desired_count,
            SchedulingStrategy::Daemon => 1,
        };
        self.breaker.threshold(wanted)
    }

    /// The tags of a new task: its own or those of its definition where they are propagated, and ECS's own.
    #[must_use]
    pub fn tags_of_tasks(&self, of_definition: &[Tag]) -> Vec<Tag> {
        let mut tags = match self.extra.get("propagateTags").and_then(serde_json::Value::as_str) {
            Some("SERVICE") => self.tags.clone(),
            Some("TASK_DEFINITION") => of_definition.to_vec(),
            Some(_) | None => Vec::new(),
        };
        if self.extra.get("enableECSManagedTags") == Some(&serde_json::Value::Bool(true)) {
            let own =
                [("aws:ecs:clusterName", self.cluster.as_str()), ("aws:ecs:serviceName", self.name.as_str())];
            tags.extend(own.map(|(key, value)| Tag { key: key.into(), value: value.into() }));
        }
        tags
    }

    /// Its own rules of placement, beside those of its task definition.
    #[must_use]
    pub fn placement_constraints(&self) -> Vec<PlacementConstraint> {
        let kept = self.extra.get("placementConstraints").cloned();
        kept.and_then(|list| reading::from_value(list).ok()).unwrap_or_default()
    }

    /// `deploymentConfiguration` as it was given.
    #[must_use]
    pub fn configuration(&self) -> Option<&serde_json::Map<String, serde_json::Value>> {
        self.extra.get("deploymentConfiguration").and_then(serde_json::Value::as_object)
    }
}
