//! The documents: what was known before the task ran, with what has become of it since.

use super::course::Course;
use super::document::{ClockDrift, ContainerDocument, Health, Known, TaskDocument};
use crate::kernel::clock::{Discipline, discipline};
use crate::model::task::{Exit, HealthStatus};
use crate::model::time::Timestamp;
use crate::shim::container::Probed;
use crate::shim::spec::{ContainerSpec, TaskSpec};

/// What has become of the containers.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    /// By the facts.
    pub(super) course: &'a Course,
    /// By the last probe of each one's health.
    pub(super) probes: &'a [Option<Probed>],
}

/// The task, with the tags that it began with.
pub(super) fn task(known: Known, seen: Seen<'_>, spec: &TaskSpec) -> TaskDocument {
    let (mut document, course) = (known.task, seen.course);
    document.desired_status = desired(course);
    course.state().word().clone_into(&mut document.known_status);
    document.execution_stopped_at = course.stopping_at.map(Timestamp::to_rfc3339);
    let containers = known.containers.into_iter().zip(&spec.containers).enumerate();
    document.containers =
        containers.map(|(at, (known, spec))| container(known.document, seen, at, spec)).collect();
    document
}

/// One container, by its place.
pub(super) fn container(
    mut document: ContainerDocument,
    seen: Seen<'_>,
    at: usize,
    spec: &ContainerSpec,
) -> ContainerDocument {
    let time = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339);
    let way = &seen.course.containers[at];
    document.desired_status = desired(seen.course);
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
        let probed = seen.probes[at].as_ref();
        Health {
            status: status.to_owned(),
            status_since: time(since),
            exit_code: probed.map(|probed| probed.code),
            output: probed.map(|probed| probed.output.clone()).filter(|output| !output.is_empty()),
        }
    });
    let restarts = spec.restart_policy.as_ref().filter(|policy| policy.enabled);
    document.restart_count = restarts.map(|_| way.restarts);
    document
}

/// How well the host's clock is known, if the kernel says.
pub(super) fn clock(now: Timestamp) -> Option<ClockDrift> {
    let Discipline { is_synchronized, error_bound } = discipline().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "it has nine digits at most")]
    let clock_error_bound = error_bound as f64 / 1000.0;
    Some(ClockDrift {
        clock_error_bound,
        reference_timestamp: now.to_rfc3339(),
        clock_synchronization_status: if is_synchronized { "SYNCHRONIZED" } else { "NOT_SYNCHRONIZED" }
            .to_owned(),
    })
}

fn desired(course: &Course) -> String {
    if course.stopping_at.is_some() { "STOPPED" } else { "RUNNING" }.to_owned()
}
