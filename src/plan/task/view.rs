//! What is known of a task, and how each thing that can be seen changes it.

use std::time::Duration;

use crate::{
    model::{
        ids::ContainerName,
        task::{Exit, HealthStatus, StopRequest},
        task_definition::{Condition, RestartPolicy},
        time::Moment,
    },
    plan::{
        health::{Check, Health},
        restart::restarts,
    },
};

/// What is known of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    /// Its containers, in the definition's order.
    pub containers: Vec<ContainerView>,
    /// Who wants it to stop, and why.
    pub(super) stop: Option<StopRequest>,
    /// Whether every container has been up.
    pub(super) was_up: bool,
}

/// What is known of a container, and what its definition says about its life.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerView {
    /// Its name.
    pub name: ContainerName,
    /// Whether the task ends with it.
    pub essential: bool,
    /// What must have happened to others first.
    pub needs: Vec<Need>,
    /// How long others wait for it.
    pub start_timeout: Option<Duration>,
    /// Between the stop signal and SIGKILL.
    pub grace: Duration,
    /// When it is started again.
    pub restart: Option<RestartPolicy>,
    /// How its health is found out.
    pub check: Option<Check>,
    /// Where it is.
    pub phase: Phase,
}

/// What a container needs of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The other's place in [`TaskView::containers`].
    pub on: usize,
    /// What must have happened to it.
    pub condition: Condition,
}

/// Where a container is.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// It has never run.
    Waiting,
    /// It runs.
    Running(Run),
    /// It has ended and is started again.
    Restarting {
        /// When it first started.
        first: Moment,
        /// Starts after the first one, the coming one included.
        restarts: u32,
    },
    /// It has ended for good.
    Ended(Ending),
}

/// A run of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// When the container first started.
    pub first: Moment,
    /// When this run started.
    pub since: Moment,
    /// Starts after the first one.
    pub restarts: u32,
    /// When it was asked to stop.
    pub(super) asked: Option<Moment>,
    /// When it was last killed.
    pub(super) killed: Option<Moment>,
    /// Its health.
    pub health: Health,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its process ended.
    Exited(Exit),
    /// It could not be started.
    Failed {
        /// `ErrorName: text`.
        reason: String,
        /// Whether it had run before.
        ran: bool,
    },
}

impl ContainerView {
    /// A container that has never run, with nothing special about its life.
    #[must_use]
    pub fn new(name: ContainerName, essential: bool, grace: Duration) -> Self {
        Self {
            name,
            essential,
            needs: Vec::new(),
            start_timeout: None,
            grace,
            restart: None,
            check: None,
            phase: Phase::Waiting,
        }
    }

    fn run(&mut self) -> Option<&mut Run> {
        match &mut self.phase {
            Phase::Running(run) => Some(run),
            Phase::Waiting | Phase::Restarting { .. } | Phase::Ended(_) => None,
        }
    }
}

impl TaskView {
    /// A task of which nothing has started.
    #[must_use]
    pub fn new(containers: Vec<ContainerView>) -> Self {
        Self { containers, stop: None, was_up: false }
    }

    /// Who wants it to stop, and why.
    #[must_use]
    pub fn stop(&self) -> Option<&StopRequest> {
        self.stop.as_ref()
    }

    /// Whether a container that still runs needs this one.
    pub(super) fn is_needed(&self, at: usize) -> bool {
        self.containers.iter().any(|other| {
            matches!(other.phase, Phase::Running(_)) && other.needs.iter().any(|need| need.on == at)
        })
    }

    /// A container's process runs. Gives the number of its restarts.
    pub fn started(&mut self, at: usize, now: Moment) -> u32 {
        let container = &mut self.containers[at];
        let (first, restarts) = match container.phase {
            Phase::Restarting { first, restarts } => (first, restarts),
            Phase::Waiting | Phase::Running(_) | Phase::Ended(_) => (now, 0),
        };
        let health = Health::default();
        container.phase =
            Phase::Running(Run { first, since: now, restarts, asked: None, killed: None, health });
        self.note_up();
        restarts
    }

    /// A container's process ended. Gives whether it is started again.
    pub fn exited(&mut self, at: usize, exit: Exit, now: Moment) -> bool {
        let stopping = self.stop.is_some();
        let container = &mut self.containers[at];
        let Phase::Running(run) = &container.phase else { return false };
        let again = !stopping && restarts(container.restart.as_ref(), exit, now.since(run.since));
        container.phase = if again {
            Phase::Restarting { first: run.first, restarts: run.restarts.saturating_add(1) }
        } else {
            Phase::Ended(Ending::Exited(exit))
        };
        again
    }

    /// A container could not be started, or was given up.
    pub fn failed(&mut self, at: usize, reason: String) {
        let container = &mut self.containers[at];
        let ran = match container.phase {
            Phase::Restarting { .. } | Phase::Running(_) => true,
            Phase::Waiting | Phase::Ended(_) => false,
        };
        container.phase = Phase::Ended(Ending::Failed { reason, ran });
        self.note_up();
    }

    /// The task is to stop. Gives whether that is news.
    pub fn stop_for(&mut self, request: StopRequest) -> bool {
        let news = self.stop.is_none();
        self.stop.get_or_insert(request);
        news
    }

    /// A container's stop signal was sent.
    pub fn asked(&mut self, at: usize, now: Moment) {
        if let Some(run) = self.containers[at].run() {
            run.asked.get_or_insert(now);
        }
    }

    /// A container was killed.
    pub fn killed(&mut self, at: usize, now: Moment) {
        if let Some(run) = self.containers[at].run() {
            run.killed = Some(now);
        }
    }

    /// A health probe has begun.
    pub fn probing(&mut self, at: usize, now: Moment) {
        if let Some(run) = self.containers[at].run() {
            run.health.begun(now);
        }
    }

    /// The health probe was killed. Gives the verdict if it is another one.
    pub fn probe_aborted(&mut self, at: usize, now: Moment) -> Option<HealthStatus> {
        let container = &mut self.containers[at];
        let (Phase::Running(run), Some(check)) = (&mut container.phase, &container.check) else {
            return None;
        };
        run.health.aborted(check, run.since, now)
    }

    /// The health probe has ended. Gives the verdict if it is another one.
    pub fn probed(&mut self, at: usize, passed: bool, now: Moment) -> Option<HealthStatus> {
        let container = &mut self.containers[at];
        let (Phase::Running(run), Some(check)) = (&mut container.phase, &container.check) else {
            return None;
        };
        run.health.ended(passed, check, run.since, now)
    }

    /// Up is when every container has started, or has failed where the task can do without it.
    fn note_up(&mut self) {
        self.was_up |= self.containers.iter().all(|container| match &container.phase {
            Phase::Waiting => false,
            Phase::Running(_) | Phase::Restarting { .. } | Phase::Ended(Ending::Exited(_)) => true,
            Phase::Ended(Ending::Failed { ran, .. }) => !container.essential || *ran,
        });
    }
}
