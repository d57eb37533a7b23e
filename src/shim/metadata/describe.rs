//! The documents: what was known before the task ran, with what has become of it since.

use super::course::{Course, Way};
use super::document::{ContainerDocument, Health, Known, TaskDocument};
use crate::model::task::{Exit, HealthStatus};
use crate::model::time::Timestamp;
use crate::shim::spec::{ContainerSpec, TaskSpec};

/// The task, with its tags when they are asked for.
pub(super) fn task(known: Known, course: &Course, spec: &TaskSpec, with_tags: bool) -> TaskDocument {
    let mut document = known.task;
    document.desired_status = desired(course);
    course.state().word().clone_into(&mut document.known_status);
    document.execution_stopped_at = course.stopping_at.map(Timestamp::to_rfc3339);
    if !with_tags {
        (document.task_tags, document.container_instance_tags) = (None, None);
    }
    let containers = known.containers.into_iter().zip(&course.containers).zip(&spec.containers);
    document.containers =
        containers.map(|((known, way), spec)| container(known.document, course, way, spec)).collect();
    document
}

/// One container.
pub(super) fn container(
    mut document: ContainerDocument,
    course: &Course,
    way: &Way,
    spec: &ContainerSpec,
) -> ContainerDocument {
    let time = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339);
    document.desired_status = desired(course);
    way.state.word().clone_into(&mut document.known_status);
    document.exit_code = way.exit.map(Exit::code);
    document.created_at = time(way.created_at);
    document.started_at = time(way.started_at);
    document.finished_at = time(way.finished_at);
    let (health, since) = way.health;
    document.health = spec.health_check.is_some().then(|| {
        let status = match health {
            HealthStatus::Unknown => "UNKNOWN",
            HealthStatus::Healthy => "HEALTHY",
            HealthStatus::Unhealthy => "UNHEALTHY",
        };
        Health { status: status.to_owned(), status_since: time(since) }
    });
    let restarts = spec.restart_policy.as_ref().filter(|policy| policy.enabled);
    document.restart_count = restarts.map(|_| way.restarts);
    document
}

fn desired(course: &Course) -> String {
    if course.stopping_at.is_some() { "STOPPED" } else { "RUNNING" }.to_owned()
}
