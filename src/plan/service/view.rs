//! From what the store keeps to what a pass looks at.
//!
//! The store writes wall time, decisions measure with moments; the caller brings the one function that turns the
//! first into the second.

use std::{sync::Arc, time::Duration};

use super::{BreakerView, Room, ServiceDeployment, ServiceTask, ServiceView, Standing};
use crate::{
    model::{
        service::{RecordStatus, Service},
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
    /// The moment of a wall time that is past.
    pub moment: &'a dyn Fn(Timestamp) -> Moment,
    /// The moment of a wall time that is to come.
    pub ahead: &'a dyn Fn(Timestamp) -> Moment,
    /// Now.
    pub now: Moment,
    /// How long a task without a health check must have run to count as healthy.
    pub healthy_after: Duration,
    /// What the host can take.
    pub room: Room,
    /// Whether the host is to be emptied.
    pub is_draining: bool,
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
        let row = service.crash_loop;
        let wait = crash_loop::wait(row.failures, around.seed);
        let hold_until = (!wait.is_zero()).then(|| (around.moment)(row.last) + wait);
        let deployments = service.deployments.iter().map(|deployment| ServiceDeployment {
            id: deployment.id.clone(),
            status: deployment.status,
            rollout: deployment.rollout_state,
            failed_tasks: deployment.failed_tasks,
            failed_at: deployment.failed_at.map(around.moment),
            breaker_count: deployment.breaker_count,
            is_on_trial: service.record(&deployment.id).is_some_and(|record| match record.status {
                RecordStatus::InProgress | RecordStatus::StopRequested | RecordStatus::RollbackRequested => {
                    true
                }
                RecordStatus::Successful
                | RecordStatus::Stopped
                | RecordStatus::RollbackInProgress
                | RecordStatus::RollbackSuccessful
                | RecordStatus::RollbackFailed => false,
            }),
            is_rollback: deployment.rolls_back.is_some(),
            stop_asked: deployment.stop_asked,
        });
        let breaker = service
            .breaker
            .enable
            .then(|| BreakerView { threshold: service.threshold(), rollback: service.breaker.rollback });
        let grace = service.extra.get("healthCheckGracePeriodSeconds").and_then(serde_json::Value::as_u64);
        let grace = Duration::from_secs(grace.unwrap_or(0));
        Self {
            status: service.status,
            strategy: service.scheduling_strategy,
            desired: service.desired_count,
            bounds: service.bounds,
            deployments: deployments.collect(),
            tasks: tasks.filter_map(|task| service_task(task, grace, around)).collect(),
            failures: row.failures,
            hold_until,
            healthy_after: around.healthy_after,
            room: around.room,
            is_draining: around.is_draining,
            breaker,
            forgives: service.breaker.reset_on_healthy_task,
            way_back: service.rollback_target(&service.primary().id).cloned(),
        }
    }
}

fn service_task(task: &Task, grace: Duration, around: &Surroundings<'_>) -> Option<ServiceTask> {
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
    let verdict = (around.document)(task).and_then(|document| health(task, document));
    let graced_until = match standing {
        Standing::Running(since) => Some(since + grace),
        Standing::Starting | Standing::Stopping => None,
    };
    let graced_until = graced_until.filter(|&at| verdict == Some(HealthStatus::Unhealthy) && around.now < at);
    let healthy_since = task.containers.iter().filter_map(|container| container.healthy_since).max();
    Some(ServiceTask {
        id: task.id.clone(),
        deployment: owner.deployment.clone(),
        standing,
        health: if graced_until.is_some() { Some(HealthStatus::Unknown) } else { verdict },
        healthy_since: healthy_since.map(around.moment),
        graced_until,
        protected_until: task.protection.map(|protection| (around.ahead)(protection.expires_at)),
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
