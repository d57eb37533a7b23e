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
mod tests {
    use super::*;
    use crate::model::resources::Shortage;

    fn event(message: &str, at: u64) -> ServiceEvent {
        ServiceEvent { id: String::new(), created_at: Timestamp(at), message: message.into() }
    }

    fn text(news: &News) -> String {
        news.text(&ServiceName::parse("web").unwrap(), &InstanceId::from_random([0xc1; 16]))
    }

    #[test]
    fn events_speak_as_ecs_does() {
        let tasks = vec![TaskId::from_random([0xa1; 16]), TaskId::from_random([0xb2; 16])];
        assert_eq!(
            text(&News::Started(tasks)),
            "(service web) has started 2 tasks: (task a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1) \
             (task b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2)."
        );
        assert_eq!(
            text(&News::Note(ServiceNote::CannotPlace(Obstacle::Lacks(Shortage::Port((
                crate::model::network::Protocol::Tcp,
                80
            )))))),
            "(service web) was unable to place a task because no container instance met all of its requirements. \
             The closest matching (container-instance c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1) is already using a port \
             required by your task. For more information, see the Troubleshooting section of the Amazon ECS \
             Developer Guide."
        );
    }

    #[test]
    fn an_end_names_the_container_that_caused_it() {
        let task = TaskId::from_random([0xa1; 16]);
        let why = "Essential container in task exited (app: exit code 3)".to_owned();
        assert_eq!(
            text(&News::Ended(task, why)),
            "(service web) (task a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1) ended: Essential container in task exited \
             (app: exit code 3)."
        );
    }

    #[test]
    fn a_condition_is_told_once_until_the_service_was_steady() {
        let news = News::Note(ServiceNote::CannotStart);
        let told = event(&text(&news), 1000);
        let started = event("(service web) has started 1 tasks: (task x).", 2000);
        let steady = event("(service web) has reached a steady state.", 3000);
        let now = Timestamp(4000);
        assert!(!news.is_told(&[], &text(&news), now));
        assert!(news.is_told(&[started.clone(), told.clone()], &text(&news), now));
        assert!(!news.is_told(&[steady.clone(), started, told.clone()], &text(&news), now));
        assert!(!news.is_told(&[told], &text(&news), Timestamp(1000 + 6 * 3600 * 1000)));
        let again = News::Note(ServiceNote::SteadyState);
        let events = [steady];
        assert!(again.is_told(&events, &text(&again), now));
        let later = steady_again(&events).unwrap();
        assert!(!again.is_told(&events, &text(&again), later), "it is told again after six hours");
    }

    #[test]
    fn a_hundred_events_are_kept_the_newest_first() {
        let mut events = Vec::new();
        for at in 0..150 {
            push(&mut events, event("e", at));
        }
        assert_eq!((events.len(), events[0].created_at.0, events[99].created_at.0), (100, 149, 50));
    }
}
