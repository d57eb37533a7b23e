//! From what the store keeps to what a pass looks at.
//!
//! The store writes wall time, decisions measure with moments; the caller brings the one function that turns the
//! first into the second.

use std::{sync::Arc, time::Duration};

use super::{Room, ServiceDeployment, ServiceTask, ServiceView, Standing};
use crate::{
    model::{
        service::Service,
        task::{DesiredStatus, HealthStatus, Task, TaskStatus},
        task_definition::Document,
        time::{Moment, Timestamp},
    },
    plan::crash_loop,
};

/// What a pass needs beside the service and its tasks.
pub struct Surroundings<'a> {
    /// The document that a task is made of, if it is still known.
    pub document: &'a dyn Fn(&Task) -> Option<&'a Document>,
    /// The moment of a wall time.
    pub moment: &'a dyn Fn(Timestamp) -> Moment,
    /// How long a task without a health check must have run to count as healthy.
    pub healthy_after: Duration,
    /// What the host can take.
    pub room: Room,
    /// Spreads the waits of services.
    pub seed: u64,
}

impl ServiceView {
    /// The view of `service` and its live `tasks`.
    pub fn of<'t>(
        service: &Service,
        tasks: impl Iterator<Item = &'t Arc<Task>>,
        around: &Surroundings<'_>,
    ) -> Self {
        let row = crash_loop::current(service);
        let wait = crash_loop::wait(row.failures, around.seed);
        let hold_until = (!wait.is_zero()).then(|| (around.moment)(row.last) + wait);
        let deployments = service.deployments.iter().map(|deployment| ServiceDeployment {
            id: deployment.id.clone(),
            status: deployment.status,
            rollout: deployment.rollout_state,
            failed_tasks: deployment.failed_tasks,
        });
        Self {
            status: service.status,
            strategy: service.scheduling_strategy,
            desired: service.desired_count,
            bounds: service.bounds,
            deployments: deployments.collect(),
            tasks: tasks.filter_map(|task| service_task(task, around)).collect(),
            failures: row.failures,
            hold_until,
            healthy_after: around.healthy_after,
            room: around.room,
        }
    }
}

fn service_task(task: &Task, around: &Surroundings<'_>) -> Option<ServiceTask> {
    let owner = task.owner.as_ref()?;
    let standing = match (task.desired_status, task.known_status) {
        (_, TaskStatus::Deprovisioning | TaskStatus::Stopped) => return None,
        (DesiredStatus::Stopped, _) | (_, TaskStatus::Deactivating | TaskStatus::Stopping) => {
            Standing::Stopping
        }
        (DesiredStatus::Running, TaskStatus::Running) => {
            Standing::Running((around.moment)(task.times.started_at.unwrap_or(task.created_at)))
        }
        (DesiredStatus::Running, TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating) => {
            Standing::Starting
        }
    };
    Some(ServiceTask {
        id: task.id.clone(),
        deployment: owner.deployment.clone(),
        standing,
        health: (around.document)(task).and_then(|document| health(task, document)),
        created: (around.moment)(task.created_at),
    })
}

/// The verdict of a task: that of its essential containers that have a health check, none without any.
#[must_use]
pub fn health(task: &Task, document: &Document) -> Option<HealthStatus> {
    let checked = document
        .container_definitions
        .iter()
        .filter(|container| container.essential && container.health_check.is_some());
    let verdicts = checked.filter_map(|container| task.container(&container.name)).map(|one| one.health);
    verdicts.reduce(|all, one| match (all, one) {
        (HealthStatus::Unhealthy, _) | (_, HealthStatus::Unhealthy) => HealthStatus::Unhealthy,
        (HealthStatus::Unknown, _) | (_, HealthStatus::Unknown) => HealthStatus::Unknown,
        (HealthStatus::Healthy, HealthStatus::Healthy) => HealthStatus::Healthy,
    })
}
