//! What is remembered of a service's deployments, and the revisions that they rolled out.
//!
//! ```text
//!   IN_PROGRESS --steady--------------------> SUCCESSFUL
//!       |-------superseded, aborted---------> STOPPED            (asked for: STOP_REQUESTED)
//!       |-------failed----------------------> STOPPED            (nothing to go back to, or no wish to)
//!       '-------failed, with rollback--------> ROLLBACK_IN_PROGRESS --> ROLLBACK_SUCCESSFUL
//!                                             (asked for: ROLLBACK_REQUESTED) '--> ROLLBACK_FAILED
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{
    ids::{ContainerName, DeploymentId, RevisionId, TaskDefinitionId},
    time::Timestamp,
};

/// How many deployments are remembered, and the revisions with them.
pub(super) const KEPT: usize = 50;

/// What a deployment came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RecordStatus {
    /// It goes on.
    InProgress,
    /// Steady state was reached.
    Successful,
    /// It is to be stopped.
    StopRequested,
    /// It was stopped, or another took its place.
    Stopped,
    /// It is to be taken back.
    RollbackRequested,
    /// It is being taken back.
    RollbackInProgress,
    /// It was taken back.
    RollbackSuccessful,
    /// It could not be taken back.
    RollbackFailed,
}

impl RecordStatus {
    /// Whether nothing more comes of it.
    #[must_use]
    pub fn is_over(self) -> bool {
        match self {
            Self::Successful | Self::Stopped | Self::RollbackSuccessful | Self::RollbackFailed => true,
            Self::InProgress | Self::StopRequested | Self::RollbackRequested | Self::RollbackInProgress => {
                false
            }
        }
    }

    /// As ECS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Successful => "SUCCESSFUL",
            Self::StopRequested => "STOP_REQUESTED",
            Self::Stopped => "STOPPED",
            Self::RollbackRequested => "ROLLBACK_REQUESTED",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
        }
    }
}

/// What the circuit breaker made of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BreakerStatus {
    /// It was not asked.
    Disabled,
    /// It watches.
    Monitoring,
    /// It watched to the end.
    MonitoringComplete,
    /// It ended the deployment.
    Triggered,
}

/// How a deployment was taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// Why.
    pub reason: String,
    /// When it began.
    pub started_at: Timestamp,
    /// To which revision.
    pub revision: RevisionId,
}

/// What is remembered of a deployment: ECS's service deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentRecord {
    /// The deployment.
    pub deployment: DeploymentId,
    /// What it came to.
    pub status: RecordStatus,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// The revision that it rolls out.
    pub target: RevisionId,
    /// Those that it takes the place of.
    pub sources: Vec<RevisionId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its first task was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// When it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// `deploymentConfiguration` at its start.
    #[serde(default)]
    pub configuration: Map<String, Value>,
    /// The desired count at its end; the service's own while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_count: Option<u32>,
    /// What the circuit breaker made of it.
    pub breaker: BreakerStatus,
    /// Failures that the breaker counted by the end.
    #[serde(default)]
    pub failures: u32,
    /// How many would have been, or were, too many.
    #[serde(default)]
    pub threshold: u32,
    /// How it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
}

/// Everything that a deployment rolls out: ECS's service revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Its id.
    pub id: RevisionId,
    /// What its tasks are made of.
    pub task_definition: TaskDefinitionId,
    /// Members of the service that a task is made of.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// The digest that each container's image had for the first task, and so has for all.
    #[serde(default)]
    pub images: BTreeMap<ContainerName, String>,
    /// When it was made.
    pub created_at: Timestamp,
}
