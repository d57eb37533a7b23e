//! What a fact does to a task.
//!
//! ```text
//!   task                                                      container
//!
//!   PROVISIONING --attached--> PENDING                        PENDING --started--> RUNNING <--+
//!        |                        |                              |                   |  |     | exited, restarting,
//!        +-------- preparing -----+--> ACTIVATING                |                   |  +-----+ started again
//!                                          | up                  | failed            | exited, failed
//!                                          v                     v                   v
//!                                       RUNNING               STOPPED <--------------+
//!                                          |
//!   every one of the above --stopping--> STOPPING --ended--> DEPROVISIONING --removed--> STOPPED
//! ```
//!
//! A task moves to the right or stays, so a fact that comes late or twice does no harm: what it says has been
//! overtaken. It is *up* once every container has started or, where it is not essential, has failed. A container
//! that is STOPPED stays so, and a task that is STOPPED takes no facts at all; what cannot be is [`Unexpected`], and
//! leaves the task as it was.

use super::{
    fact::{Fact, Seen},
    ids::{ContainerName, TaskId},
    task::{Container, ContainerStatus, DesiredStatus, HealthStatus, StopRequest, Task},
    time::Timestamp,
};

mod table;

use table::{Reached, Turn};

/// A fact that cannot be true of the task as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    /// Nothing happens to a task of which nothing is left.
    #[error("task {0} is STOPPED")]
    Stopped(TaskId),
    /// It is about another task.
    #[error("the fact is about task {about}, not {task}")]
    Stranger {
        /// The task that was to take it.
        task: TaskId,
        /// The task it is about.
        about: TaskId,
    },
    /// The task has no such container.
    #[error("task {task} has no container {container}")]
    NoContainer {
        /// The task.
        task: TaskId,
        /// The name.
        container: ContainerName,
    },
    /// A container cannot do this from where it is.
    #[error("container {container} of task {task} is {from:?} and cannot have {turn}")]
    Container {
        /// The task.
        task: TaskId,
        /// The container.
        container: ContainerName,
        /// Its status.
        from: ContainerStatus,
        /// `started`, `exited` or `failed`.
        turn: &'static str,
    },
}

impl Task {
    /// The task after `fact`, or why the two cannot meet.
    pub fn after(&self, fact: &Fact) -> Result<Self, Unexpected> {
        let mut next = self.clone();
        next.take(fact)?;
        Ok(next)
    }

    /// Takes `fact`, and says whether it was news: one that the task has taken from the ledger before is not.
    /// A task that cannot take it is left as it was.
    pub fn take(&mut self, fact: &Fact) -> Result<bool, Unexpected> {
        if fact.task != self.id {
            return Err(Unexpected::Stranger { task: self.id.clone(), about: fact.task.clone() });
        }
        if fact.ledger.is_some_and(|number| number <= self.ledger_seen) {
            return Ok(false);
        }
        if self.is_stopped() {
            return Err(Unexpected::Stopped(self.id.clone()));
        }
        self.see(&fact.seen, fact.at)?;
        self.ledger_seen = fact.ledger.unwrap_or(self.ledger_seen);
        self.version += 1;
        Ok(true)
    }

    /// The verdict on the task: that of its essential containers.
    #[must_use]
    pub fn health(&self) -> HealthStatus {
        let mut verdict = HealthStatus::Healthy;
        for container in self.containers.iter().filter(|container| container.essential) {
            match container.health {
                HealthStatus::Unhealthy => return HealthStatus::Unhealthy,
                HealthStatus::Unknown => verdict = HealthStatus::Unknown,
                HealthStatus::Healthy => {}
            }
        }
        verdict
    }

    fn see(&mut self, seen: &Seen, at: Timestamp) -> Result<(), Unexpected> {
        match seen {
            Seen::PullStarted => {
                self.times.pull_started_at.get_or_insert(at);
                self.reach(Reached::Preparing, at);
            }
            Seen::PullStopped => self.times.pull_stopped_at = Some(at),
            Seen::ShimStarted => self.reach(Reached::Preparing, at),
            Seen::ImageResolved { container, digest } => {
                self.named(container)?.image_digest = Some(digest.clone());
            }
            Seen::UsersChosen { users } => self.users = Some(*users),
            Seen::NetworkAttached { attachment } => {
                self.attachment.clone_from(attachment);
                self.reach(Reached::Attached, at);
            }
            Seen::PortsPublished { container, bindings } => {
                self.named(container)?.network_bindings.clone_from(bindings);
            }
            Seen::ContainerStarted { .. } | Seen::ContainerExited { .. } | Seen::ContainerFailed { .. } => {
                self.see_container(seen, at)?;
            }
            Seen::LastLines { container, lines } => {
                self.named(container)?.last_lines.clone_from(lines);
            }
            Seen::HealthChanged { container, health } => {
                let container = self.named(container)?;
                container.health = *health;
                if *health == HealthStatus::Healthy {
                    container.healthy_since = Some(at);
                }
            }
            Seen::NotEnforced { what } => {
                if !self.not_enforced.contains(what) {
                    self.not_enforced.push(what.clone());
                }
            }
            Seen::Timed { spans } => self.timing.extend_from_slice(spans),
            Seen::Stopping { request } => self.stop_for(request, at),
            Seen::AllStopped => self.end(at),
            Seen::Removed => {
                self.end(at);
                self.reach(Reached::Removed, at);
            }
        }
        Ok(())
    }

    /// Takes what a container's process did.
    fn see_container(&mut self, seen: &Seen, at: Timestamp) -> Result<(), Unexpected> {
        match seen {
            Seen::ContainerStarted { container, pid, restarts } => {
                let container = self.turn(container, Turn::Started)?;
                container.pid = Some(*pid);
                container.restarts = *restarts;
                container.started_at = Some(at);
                container.finished_at = None;
                container.exit = None;
                container.health = HealthStatus::Unknown;
            }
            Seen::ContainerExited { container, exit, reason, restarting } => {
                let turn = if *restarting { Turn::Restarting } else { Turn::Exited };
                let container = self.turn(container, turn)?;
                container.exit = Some(*exit);
                container.reason.clone_from(reason);
                container.over(at);
                if container.essential && !restarting {
                    self.times.execution_stopped_at.get_or_insert(at);
                }
            }
            Seen::ContainerFailed { container, reason, exit } => {
                let container = self.turn(container, Turn::Failed)?;
                container.exit = exit.or(container.exit);
                container.reason = Some(reason.clone());
                container.over(at);
            }
            Seen::PullStarted
            | Seen::PullStopped
            | Seen::ShimStarted
            | Seen::ImageResolved { .. }
            | Seen::UsersChosen { .. }
            | Seen::NetworkAttached { .. }
            | Seen::PortsPublished { .. }
            | Seen::LastLines { .. }
            | Seen::HealthChanged { .. }
            | Seen::NotEnforced { .. }
            | Seen::Timed { .. }
            | Seen::Stopping { .. }
            | Seen::AllStopped
            | Seen::Removed => {}
        }
        if self.is_up() {
            self.reach(Reached::Up, at);
        }
        Ok(())
    }

    /// Whether every container has started, or failed where the task can do without it.
    fn is_up(&self) -> bool {
        self.desired_status == DesiredStatus::Running
            && self.containers.iter().all(|container| match container.known_status {
                ContainerStatus::Pending => false,
                ContainerStatus::Running => true,
                ContainerStatus::Stopped => !container.essential || container.started_at.is_some(),
            })
    }

    fn stop_for(&mut self, request: &StopRequest, at: Timestamp) {
        self.desired_status = DesiredStatus::Stopped;
        self.stop.get_or_insert_with(|| request.clone());
        self.reach(Reached::Stopping, at);
    }

    /// Every container is over, whatever it was.
    fn end(&mut self, at: Timestamp) {
        for container in &mut self.containers {
            if let Some(status) = container.known_status.after(Turn::Over) {
                container.known_status = status;
            }
            container.pid = None;
            if container.started_at.is_some() {
                container.finished_at.get_or_insert(at);
            }
        }
        self.desired_status = DesiredStatus::Stopped;
        self.reach(Reached::Ended, at);
    }

    fn reach(&mut self, reached: Reached, at: Timestamp) {
        let before = self.known_status;
        self.known_status = before.after(reached);
        if self.known_status == before {
            return;
        }
        match reached {
            Reached::Up => self.times.started_at = Some(at),
            Reached::Stopping | Reached::Ended => {
                self.times.stopping_at.get_or_insert(at);
            }
            Reached::Removed => self.times.stopped_at = Some(at),
            Reached::Attached | Reached::Preparing => {}
        }
    }

    fn named(&mut self, name: &ContainerName) -> Result<&mut Container, Unexpected> {
        let missing = || Unexpected::NoContainer { task: self.id.clone(), container: name.clone() };
        let at = self.containers.iter().position(|container| container.name == *name).ok_or_else(missing)?;
        Ok(&mut self.containers[at])
    }

    /// The container of that name after `turn`.
    fn turn(&mut self, name: &ContainerName, turn: Turn) -> Result<&mut Container, Unexpected> {
        let task = self.id.clone();
        let container = self.named(name)?;
        let from = container.known_status;
        let Some(status) = from.after(turn) else {
            let turn = match turn {
                Turn::Started => "started",
                Turn::Restarting | Turn::Exited => "exited",
                Turn::Failed | Turn::Over => "failed",
            };
            return Err(Unexpected::Container { task, container: name.clone(), from, turn });
        };
        container.known_status = status;
        Ok(container)
    }
}

impl Container {
    /// Its process is no more.
    fn over(&mut self, at: Timestamp) {
        self.pid = None;
        self.health = HealthStatus::Unknown;
        if self.started_at.is_some() {
            self.finished_at = Some(at);
        }
    }
}

#[cfg(test)]
mod tests;
