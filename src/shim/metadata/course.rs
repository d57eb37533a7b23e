//! How a task's containers fared: what the facts so far say of each, for whoever asks.

use crate::model::{
    fact::{Fact, Seen},
    ids::ContainerName,
    task::{Exit, HealthStatus},
    time::Timestamp,
};

/// A task's way so far.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// When it was told to stop, or decided to.
    pub(super) stopping_at: Option<Timestamp>,
    /// Each container's, in the spec's order.
    pub(super) containers: Vec<Way>,
}

/// A container's way so far.
#[derive(Debug)]
pub(super) struct Way {
    name: ContainerName,
    /// Where it is.
    pub(super) state: State,
    /// When its first run began.
    pub(super) created_at: Option<Timestamp>,
    /// When its last run began.
    pub(super) started_at: Option<Timestamp>,
    /// When that ended.
    pub(super) finished_at: Option<Timestamp>,
    /// How that ended.
    pub(super) exit: Option<Exit>,
    /// How often it was started again.
    pub(super) restarts: u32,
    /// What its health check says, and since when.
    pub(super) health: (HealthStatus, Option<Timestamp>),
}

/// Where a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its image is here, and it has not been started yet.
    Waiting,
    /// It runs, or is about to run again.
    Running,
    /// It has ended for good.
    Over,
}

impl Course {
    /// The way of containers that have not been started yet.
    pub(super) fn of(names: impl Iterator<Item = ContainerName>) -> Self {
        let way = |name| Way {
            name,
            state: State::Waiting,
            created_at: None,
            started_at: None,
            finished_at: None,
            exit: None,
            restarts: 0,
            health: (HealthStatus::Unknown, None),
        };
        Self { stopping_at: None, containers: names.map(way).collect() }
    }

    /// Takes one more fact.
    pub(super) fn take(&mut self, fact: &Fact) {
        match &fact.seen {
            Seen::ContainerStarted { container, restarts, .. } => self.with(container, |way| {
                way.state = State::Running;
                way.created_at.get_or_insert(fact.at);
                (way.started_at, way.finished_at, way.exit) = (Some(fact.at), None, None);
                (way.restarts, way.health) = (*restarts, (HealthStatus::Unknown, None));
            }),
            Seen::ContainerExited { container, exit, restarting, .. } => self.with(container, |way| {
                way.state = if *restarting { State::Running } else { State::Over };
                (way.finished_at, way.exit) = (Some(fact.at), Some(*exit));
            }),
            Seen::ContainerFailed { container, exit, .. } => self.with(container, |way| {
                way.state = State::Over;
                (way.finished_at, way.exit) = (Some(fact.at), *exit);
            }),
            Seen::HealthChanged { container, health } => {
                self.with(container, |way| way.health = (*health, Some(fact.at)));
            }
            Seen::Stopping { .. } => {
                self.stopping_at.get_or_insert(fact.at);
            }
            Seen::PullStarted
            | Seen::ImageResolved { .. }
            | Seen::PullStopped
            | Seen::UsersChosen { .. }
            | Seen::NetworkAttached { .. }
            | Seen::PortsPublished { .. }
            | Seen::ShimStarted
            | Seen::LastLines { .. }
            | Seen::NotEnforced { .. }
            | Seen::Timed { .. }
            | Seen::AllStopped
            | Seen::Removed => {}
        }
    }

    /// Where the task is: no further than the container that is least far.
    pub(super) fn state(&self) -> State {
        let is_any = |state| self.containers.iter().any(|way| way.state == state);
        if is_any(State::Waiting) {
            State::Waiting
        } else if is_any(State::Running) {
            State::Running
        } else {
            State::Over
        }
    }

    fn with(&mut self, name: &ContainerName, change: impl FnOnce(&mut Way)) {
        if let Some(way) = self.containers.iter_mut().find(|way| way.name == *name) {
            change(way);
        }
    }
}

impl State {
    /// The agent's word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "PULLED",
            Self::Running => "RUNNING",
            Self::Over => "STOPPED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        ids::TaskId,
        task::{StopCode, StopRequest},
    };

    #[test]
    fn a_task_is_as_far_as_the_last_of_its_containers() {
        let name = |text| ContainerName::parse(text).unwrap();
        let mut course = Course::of(["web", "side"].map(name).into_iter());
        let mut at = 0;
        let mut see = |course: &mut Course, seen| {
            at += 1;
            course.take(&Fact { task: TaskId::from_random([1; 16]), at: Timestamp(at), ledger: None, seen });
        };
        let started = |text, restarts| Seen::ContainerStarted { container: name(text), pid: 7, restarts };
        let exited = |text, restarting| Seen::ContainerExited {
            container: name(text),
            exit: Exit::Code(3),
            reason: None,
            restarting,
        };
        see(&mut course, started("web", 0));
        assert_eq!(course.state(), State::Waiting);
        see(&mut course, started("side", 0));
        assert_eq!(course.state(), State::Running);
        see(&mut course, exited("side", true));
        assert_eq!(course.state(), State::Running);
        see(&mut course, started("side", 1));
        let side = &course.containers[1];
        assert_eq!((side.restarts, side.exit, side.finished_at), (1, None, None));
        assert_eq!((side.created_at, side.started_at), (Some(Timestamp(2)), Some(Timestamp(4))));
        let request = StopRequest { code: StopCode::UserInitiated, reason: String::new() };
        see(&mut course, Seen::Stopping { request });
        see(&mut course, exited("side", false));
        see(&mut course, exited("web", false));
        assert_eq!((course.state(), course.stopping_at), (State::Over, Some(Timestamp(5))));
        assert_eq!(course.containers[0].exit, Some(Exit::Code(3)));
    }
}
