//! How long a service waits before it launches again.
//!
//! ```text
//!   failures in a row   1   2   3   4   …   12  and more
//!   wait                0   1s  2s  4s      15 min
//! ```
//!
//! The first failure is replaced at once, as every task that dies. A launch fails when its task never reached
//! RUNNING, and also when it ended by itself, or was found unhealthy, before it had run long enough to be relied
//! on, or before its health check had ever passed: a program that exits a moment after its start would otherwise
//! spin. Tasks that were launched together
//! count once. A run that lasted ends the row.
//!
//! A quarter of each wait depends on a seed, so that services that fell together do not rise together.

use std::time::Duration;

use crate::model::{
    service::{CrashLoop, Service},
    task::{HealthStatus, StopCode, Task},
    task_definition::{ContainerDefinition, Document},
    time::Timestamp,
};

/// The longest wait.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);

/// A task that was found unhealthy still counts as a run that lasted after this long.
const LASTED_UNHEALTHY: Duration = Duration::from_secs(10 * 60);

/// The wait after so many failures in a row.
#[must_use]
pub fn wait(failures: u32, seed: u64) -> Duration {
    let Some(doublings) = failures.checked_sub(2) else { return Duration::ZERO };
    let whole = Duration::from_secs(1_u64.checked_shl(doublings.min(32)).unwrap_or(u64::MAX)).min(LONGEST);
    let quarter = whole / 4;
    let share = spread(seed, failures) % 1024;
    whole.saturating_sub(quarter * share / 1024)
}

/// Mixes a seed and a step into a number that differs in every bit (the finaliser of MurmurHash3).
fn spread(seed: u64, step: u32) -> u32 {
    let mut mixed = seed ^ (u64::from(step) << 32 | u64::from(step));
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    u32::try_from((mixed ^ (mixed >> 33)) >> 32).unwrap_or_default()
}

/// What the end of a task tells about its launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to end.
    Ordered,
    /// It ran long enough.
    Lasted,
    /// It did not.
    Failed,
}

/// What the end of `task`, seen at `at`, tells about its launch; `document` is what it was made of.
#[must_use]
pub fn ending(task: &Task, document: Option<&Document>, at: Timestamp, healthy_after: Duration) -> Ending {
    let Some(stop) = &task.stop else { return Ending::Ordered };
    let ran = task.times.started_at.map(|started| at.since(started));
    match stop.code {
        StopCode::UserInitiated | StopCode::TerminationNotice => Ending::Ordered,
        StopCode::EssentialContainerExited
            if ran.is_some_and(|ran| lasted(task, document, ran, healthy_after)) =>
        {
            Ending::Lasted
        }
        StopCode::TaskFailedToStart | StopCode::EssentialContainerExited => Ending::Failed,
        StopCode::ServiceSchedulerInitiated => {
            let unhealthy = task.containers.iter().any(|one| one.health == HealthStatus::Unhealthy);
            match ran {
                Some(ran) if unhealthy && ran >= LASTED_UNHEALTHY && has_passed(task, document) => {
                    Ending::Lasted
                }
                Some(_) if unhealthy => Ending::Failed,
                Some(_) | None => Ending::Ordered,
            }
        }
    }
}

/// Whether a task that ran for so long could be relied on.
fn lasted(task: &Task, document: Option<&Document>, ran: Duration, healthy_after: Duration) -> bool {
    let is_checked = checked(document).next().is_some();
    if is_checked { has_passed(task, document) } else { ran >= healthy_after }
}

/// Whether each of its health checks has passed at least once.
fn has_passed(task: &Task, document: Option<&Document>) -> bool {
    let passed = |name| task.container(name).is_some_and(|container| container.healthy_since.is_some());
    checked(document).all(|container| passed(&container.name))
}

fn checked(document: Option<&Document>) -> impl Iterator<Item = &ContainerDefinition> {
    let containers = document.into_iter().flat_map(|document| &document.container_definitions);
    containers.filter(|container| container.essential && container.health_check.is_some())
}

/// Takes the end of one of its tasks into a service's account.
///
/// To be called once a task, in the write that first takes it to the stop side.
pub fn account(
    service: &mut Service,
    task: &Task,
    document: Option<&Document>,
    at: Timestamp,
    healthy_after: Duration,
) {
    let Some(owner) = &task.owner else { return };
    let is_primary = service.primary().id == owner.deployment;
    let ending = ending(task, document, at, healthy_after);
    match ending {
        Ending::Lasted if is_primary => service.crash_loop = CrashLoop::default(),
        Ending::Ordered | Ending::Lasted => {}
        Ending::Failed => {
            let deployment = service.deployments.iter_mut().find(|one| one.id == owner.deployment);
            if let Some(deployment) = deployment {
                deployment.failed_tasks = deployment.failed_tasks.saturating_add(1);
                deployment.breaker_count = deployment.breaker_count.saturating_add(1);
                deployment.failed_at = Some(at);
                deployment.updated_at = at;
            }
            // The last failure is to come when the clock was set back since.
            let last = service.crash_loop.last;
            if is_primary && (task.created_at >= last || last > at) {
                service.crash_loop.failures = service.crash_loop.failures.saturating_add(1);
                service.crash_loop.last = at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loop_waits_longer_each_time_up_to_a_quarter_of_an_hour() {
        assert_eq!(wait(0, 7), Duration::ZERO);
        assert_eq!(wait(1, 7), Duration::ZERO);
        for (failures, seconds) in [(2, 1), (3, 2), (4, 4), (11, 512), (12, 900), (13, 900), (u32::MAX, 900)]
        {
            let whole = Duration::from_secs(seconds);
            let waits = (0..200).map(|seed| wait(failures, seed));
            assert!(waits.clone().all(|wait| wait <= whole && wait > whole * 3 / 4), "{failures}");
            assert!(waits.clone().max() > waits.min(), "no jitter at {failures}");
        }
    }

    #[test]
    fn equal_seeds_wait_equally_long() {
        assert_eq!(wait(5, 42), wait(5, 42));
    }
}
