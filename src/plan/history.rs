//! A service's events: what was done and why, in ECS's words.
//!
//! The newest event comes first and a hundred are kept. Doings are told each time. A condition is told once: it
//! comes up again only after the service was steady in between, or after six hours.

use std::time::Duration;

use crate::model::{
    ids::{InstanceId, ServiceName, TaskId},
    service::ServiceEvent,
    task::Task,
    time::Timestamp,
};

use super::service::{FailedFor, Obstacle, ServiceNote};

/// How many events a service keeps.
pub const KEPT: usize = 100;

/// A condition that lasts is told again after this long.
const TOLD_AGAIN: Duration = Duration::from_secs(6 * 60 * 60);

const STEADY: &str = "has reached a steady state.";

/// What to tell of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// These tasks were started.
    Started(Vec<TaskId>),
    /// These tasks were stopped.
    Stopped(Vec<TaskId>),
    /// A task ended by itself, and why.
    Ended(TaskId, String),
    /// A plan's reason.
    Note(ServiceNote),
}

impl News {
    /// The sentence.
    #[must_use]
    pub fn text(&self, service: &ServiceName, instance: &InstanceId) -> String {
        let name = format!("(service {service})");
        let list = |tasks: &[TaskId]| {
            tasks.iter().map(|task| format!("(task {task})")).collect::<Vec<_>>().join(" ")
        };
        match self {
            Self::Started(tasks) => format!("{name} has started {} tasks: {}.", tasks.len(), list(tasks)),
            Self::Stopped(tasks) => {
                format!("{name} has stopped {} running tasks: {}.", tasks.len(), list(tasks))
            }
            Self::Ended(task, why) => format!("{name} (task {task}) ended: {why}."),
            Self::Note(ServiceNote::DeploymentCompleted(id)) => {
                format!("{name} (deployment {id}) deployment completed.")
            }
            Self::Note(ServiceNote::DeploymentFailed(id, FailedFor::Tasks)) => {
                format!("{name} (deployment {id}) deployment failed: tasks failed to start.")
            }
            Self::Note(ServiceNote::DeploymentFailed(id, FailedFor::Request)) => {
                format!("{name} (deployment {id}) deployment failed: it was stopped.")
            }
            Self::Note(ServiceNote::RollingBack(id)) => {
                format!("{name} rolling back to deployment {id}.")
            }
            Self::Note(ServiceNote::SteadyState) => format!("{name} {STEADY}"),
            Self::Note(ServiceNote::CannotPlace(obstacle)) => {
                let why = match obstacle {
                    Obstacle::Lacks(shortage) => {
                        format!("The closest matching (container-instance {instance}) {shortage}.")
                    }
                    Obstacle::Constraint(unmet) => {
                        format!("The closest matching (container-instance {instance}) {unmet}.")
                    }
                    Obstacle::Draining => {
                        "Reason: No Container Instances were found in your cluster.".to_owned()
                    }
                };
                format!(
                    "{name} was unable to place a task because no container instance met all of its requirements. \
                     {why} For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
                )
            }
            Self::Note(ServiceNote::TooManyProtected(id)) => format!(
                "{name} was unable to reach steady state because task set ({id}) was unable to scale in. Reason: \
                 The number of protected tasks are more than the desired count of tasks."
            ),
            Self::Note(ServiceNote::CannotStart) => {
                format!("{name} is unable to consistently start tasks successfully.")
            }
            Self::Note(ServiceNote::Deadlocked) => format!(
                "{name} was unable to stop or start tasks during a deployment because of the service deployment \
                 configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
            ),
        }
    }

    /// Whether it tells how things are, rather than what was done.
    #[must_use]
    pub fn is_condition(&self) -> bool {
        match self {
            Self::Started(_)
            | Self::Stopped(_)
            | Self::Ended(..)
            | Self::Note(
                ServiceNote::DeploymentCompleted(_)
                | ServiceNote::DeploymentFailed(..)
                | ServiceNote::RollingBack(_),
            ) => false,
            Self::Note(
                ServiceNote::SteadyState
                | ServiceNote::TooManyProtected(_)
                | ServiceNote::CannotPlace(_)
                | ServiceNote::CannotStart
                | ServiceNote::Deadlocked,
            ) => true,
        }
    }

    /// Whether these events, the newest first, tell it already.
    #[must_use]
    pub fn is_told(&self, events: &[ServiceEvent], text: &str, now: Timestamp) -> bool {
        if !self.is_condition() {
            return false;
        }
        if *self == Self::Note(ServiceNote::SteadyState) {
            let newest = events.first().filter(|event| event.message.ends_with(STEADY));
            return newest.is_some_and(|event| now.since(event.created_at) < TOLD_AGAIN);
        }
        events
            .iter()
            .take_while(|event| !event.message.ends_with(STEADY) && now.since(event.created_at) < TOLD_AGAIN)
            .any(|event| event.message == text)
    }
}

/// When a service that stays steady says so again.
#[must_use]
pub fn steady_again(events: &[ServiceEvent]) -> Option<Timestamp> {
    let told = events.first().filter(|event| event.message.ends_with(STEADY))?;
    Some(Timestamp(
        told.created_at.0.saturating_add(u64::try_from(TOLD_AGAIN.as_millis()).unwrap_or(u64::MAX)),
    ))
}

/// Why a task ended by itself: its own reason, and what is known of the container that caused it.
#[must_use]
pub fn why(task: &Task) -> String {
    let reason = task.stop.as_ref().map_or("no reason is known", |stop| stop.reason.trim_end_matches('.'));
    let cause = task.containers.iter().filter(|container| container.essential).find_map(|container| {
        let known = container.reason.clone();
        let said = known.or_else(|| container.exit.map(|exit| format!("exit code {}", exit.code())))?;
        (!reason.contains(&said)).then(|| format!("{}: {}", container.name, said.trim_end_matches('.')))
    });
    cause.map_or_else(|| reason.to_owned(), |cause| format!("{reason} ({cause})"))
}

/// Puts an event on top and lets the oldest go.
pub fn push(events: &mut Vec<ServiceEvent>, event: ServiceEvent) {
    events.insert(0, event);
    events.truncate(KEPT);
}

#[cfg(test)]
mod tests;
