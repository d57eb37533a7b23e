//! A deployment: one way of making a service's tasks, from its start until it owns none.

use serde::{Deserialize, Serialize};

use crate::model::{
    ids::{DeploymentId, RevisionId, TaskDefinitionId},
    time::Timestamp,
};

/// A deployment's place among those of its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentStatus {
    /// The one that should be running: the newest, or the one that was rolled back to.
    Primary,
    /// Another that still owns tasks.
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
    /// Its tasks failed too often, or somebody stopped it; it starts no more.
    Failed,
}

/// How a deployment is stopped from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StopType {
    /// Tasks stay as they are.
    Abort,
    /// The last deployment that was completed comes back.
    Rollback,
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
    /// The revision that it rolls out; none when it brought one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionId>,
    /// How far it has come.
    pub rollout_state: RolloutState,
    /// Why it is there, in words.
    pub rollout_state_reason: String,
    /// Tasks of it that could not launch or failed before they were healthy, since the last success.
    #[serde(default)]
    pub failed_tasks: u32,
    /// The same as the circuit breaker counts them.
    #[serde(default)]
    pub breaker_count: u32,
    /// When the last of them failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// The deployment that failed and that this one takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolls_back: Option<DeploymentId>,
    /// Somebody wants it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_asked: Option<StopType>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Deployment {
    /// A PRIMARY deployment that begins.
    #[must_use]
    pub fn new(id: DeploymentId, task_definition: TaskDefinitionId, at: Timestamp) -> Self {
        Self {
            rollout_state_reason: format!("ECS deployment {id} in progress."),
            id,
            status: DeploymentStatus::Primary,
            task_definition,
            revision: None,
            rollout_state: RolloutState::InProgress,
            failed_tasks: 0,
            breaker_count: 0,
            failed_at: None,
            rolls_back: None,
            stop_asked: None,
            created_at: at,
            updated_at: at,
        }
    }

    /// The revision that it rolls out.
    #[must_use]
    pub fn revision(&self) -> RevisionId {
        self.revision.clone().unwrap_or_else(|| RevisionId::of(&self.id))
    }
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
