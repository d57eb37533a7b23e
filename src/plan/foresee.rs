//! What a service's passes will do, played through before anything is done.
//!
//! The same decision runs on a copy of the view and a clock of its own. Tasks behave: they start at once, their health
//! checks pass, and what they held of the host is free as soon as they are stopped. So the steps are what will happen if
//! all goes well, in their order, with the arithmetic that led to each.

use std::{collections::BTreeSet, time::Duration};

use crate::model::{
    ids::{DeploymentId, TaskId},
    service::{DeploymentStatus, RolloutState, ServiceStatus},
    task::HealthStatus,
    time::Moment,
};

use super::service::{
    Obstacle, Room, ServiceAction, ServiceNote, ServiceTask, ServiceView, Standing, service, to_usize,
};

/// More passes than any update within ECS's limits takes.
const MOST_PASSES: usize = 20_000;

/// One thing that will be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// So many tasks of a deployment are started.
    Start(DeploymentId, u32),
    /// Tasks are stopped.
    Stop(Vec<TaskId>),
    /// So many tasks that are yet to be started are stopped again.
    StopNew(usize),
    /// The deployment is COMPLETED.
    Complete(DeploymentId),
    /// Nothing more can be done, and why.
    Stuck(Stuck),
}

/// Why an update would not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// The bounds allow neither a start nor a stop.
    Bounds,
    /// The host cannot take another task.
    Host(Obstacle),
    /// Protected tasks are in the way.
    Protected,
}

/// A step, when it is done and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How long from now.
    pub after: Duration,
    /// What.
    pub does: Doing,
    /// The numbers that allow or ask for it.
    pub why: String,
}

/// The steps from the view to its steady state. `is_checked` says whether new tasks have a health check, and `room` what
/// the host can take once the service has these tasks and no others.
#[must_use]
pub fn foresee(
    view: &ServiceView,
    is_checked: bool,
    now: Moment,
    room: &mut dyn FnMut(&[ServiceTask]) -> Room,
) -> Vec<Step> {
    let mut world =
        Ahead { view: view.clone(), now, start: now, is_checked, new: BTreeSet::new(), steps: Vec::new() };
    for _ in 0..MOST_PASSES {
        let plan = service(&world.view, world.now);
        if plan.actions.is_empty() {
            let Some(next) = plan.wake_at.filter(|&at| at > world.now) else {
                world.end(&plan.notes);
                break;
            };
            world.now = next;
        } else {
            world.carry_out(plan.actions);
            world.view.room = room(&world.view.tasks);
        }
    }
    world.steps
}

struct Ahead {
    view: ServiceView,
    now: Moment,
    start: Moment,
    is_checked: bool,
    new: BTreeSet<TaskId>,
    steps: Vec<Step>,
}

impl Ahead {
    fn carry_out(&mut self, actions: Vec<ServiceAction>) {
        let why = self.why();
        let (mut stopped, mut stopped_new) = (Vec::new(), 0);
        for action in actions {
            match action {
                ServiceAction::Start { deployment, count } => {
                    self.step(Doing::Start(deployment.clone(), count), &why);
                    (0..count).for_each(|_| self.start(&deployment));
                }
                ServiceAction::Stop { task, .. } => {
                    self.view.tasks.retain(|one| one.id != task);
                    if self.new.remove(&task) {
                        stopped_new += 1;
                    } else {
                        stopped.push(task);
                    }
                }
                ServiceAction::Count(count) => self.view.desired = count,
                ServiceAction::Complete(id) => {
                    self.step(Doing::Complete(id.clone()), &why);
                    self.change(&id, RolloutState::Completed);
                }
                ServiceAction::Fail { deployment, .. } => self.change(&deployment, RolloutState::Failed),
                ServiceAction::RollBack { to, .. } => self.roll_back(&to),
                ServiceAction::Drop(id) => self.view.deployments.retain(|one| one.id != id),
                ServiceAction::ForgetFailures(id) => {
                    for one in self.view.deployments.iter_mut().filter(|one| one.id == id) {
                        (one.failed_tasks, one.breaker_count) = (0, 0);
                    }
                }
                ServiceAction::GiveUpRollback(id) => {
                    for one in self.view.deployments.iter_mut().filter(|one| one.id == id) {
                        one.is_rollback = false;
                    }
                }
                ServiceAction::Retire => self.view.status = ServiceStatus::Inactive,
            }
        }
        if !stopped.is_empty() {
            self.step(Doing::Stop(stopped), &why);
        }
        if stopped_new > 0 {
            self.step(Doing::StopNew(stopped_new), &why);
        }
    }

    fn step(&mut self, does: Doing, why: &str) {
        self.steps.push(Step { after: self.now - self.start, does, why: why.to_owned() });
    }

    fn start(&mut self, deployment: &DeploymentId) {
        let number = u128::MAX - u128::try_from(self.new.len()).unwrap_or_default();
        let id = TaskId::from_random(number.to_be_bytes());
        self.new.insert(id.clone());
        self.view.tasks.push(ServiceTask {
            id,
            deployment: deployment.clone(),
            standing: Standing::Running(self.now),
            health: self.is_checked.then_some(HealthStatus::Healthy),
            healthy_since: self.is_checked.then_some(self.now),
            graced_until: None,
            protected_until: None,
            created: self.now,
        });
    }

    fn change(&mut self, id: &DeploymentId, rollout: RolloutState) {
        for one in self.view.deployments.iter_mut().filter(|one| one.id == *id) {
            (one.rollout, one.is_on_trial, one.stop_asked) = (rollout, false, None);
        }
    }

    fn roll_back(&mut self, to: &DeploymentId) {
        for one in &mut self.view.deployments {
            one.stop_asked = None;
            one.status = if one.id == *to { DeploymentStatus::Primary } else { DeploymentStatus::Active };
        }
        self.change(to, RolloutState::InProgress);
    }

    /// The numbers of now, as the decision sees them.
    fn why(&self) -> String {
        let view = &self.view;
        let healthy = view.tasks.iter().filter(|task| view.is_healthy(task, self.now)).count();
        format!(
            "{} of {} tasks are healthy; at least {} must stay so, and there are at most {}",
            healthy,
            view.wanted(),
            view.floor(),
            view.ceiling()
        )
    }

    fn end(&mut self, notes: &[ServiceNote]) {
        let view = &self.view;
        let stuck = notes.iter().find_map(|note| match note {
            ServiceNote::Deadlocked => Some(Stuck::Bounds),
            ServiceNote::CannotPlace(obstacle) => Some(Stuck::Host(*obstacle)),
            ServiceNote::TooManyProtected(_) => Some(Stuck::Protected),
            ServiceNote::DeploymentCompleted(_)
            | ServiceNote::SteadyState
            | ServiceNote::DeploymentFailed(..)
            | ServiceNote::RollingBack(_)
            | ServiceNote::CannotStart => None,
        });
        let stuck =
            stuck.filter(|_| view.tasks.len() != to_usize(view.wanted()) || view.deployments.len() > 1);
        if let Some(stuck) = stuck {
            let why = self.why();
            self.step(Doing::Stuck(stuck), &why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            resources::Shortage,
            service::{DeploymentBounds, SchedulingStrategy},
        },
        plan::service::ServiceDeployment,
    };

    fn deployment(serial: u64, status: DeploymentStatus, rollout: RolloutState) -> ServiceDeployment {
        ServiceDeployment {
            id: DeploymentId::from_random(serial),
            status,
            rollout,
            failed_tasks: 0,
            failed_at: None,
            breaker_count: 0,
            is_on_trial: true,
            is_rollback: false,
            stop_asked: None,
        }
    }

    /// A service of two tasks whose new deployment has begun, on a host with places for so many tasks.
    fn update(minimum: u32, maximum: u32, places: usize) -> Vec<Step> {
        let new = deployment(2, DeploymentStatus::Primary, RolloutState::InProgress);
        let old = deployment(1, DeploymentStatus::Active, RolloutState::Completed);
        let task = |serial: u128| ServiceTask {
            id: TaskId::from_random(serial.to_be_bytes()),
            deployment: old.id.clone(),
            standing: Standing::Running(Moment(0)),
            health: None,
            healthy_since: None,
            graced_until: None,
            protected_until: None,
            created: Moment(0),
        };
        let tasks = vec![task(1), task(2)];
        let mut room = |tasks: &[ServiceTask]| {
            let free = places.saturating_sub(tasks.len());
            let obstacle = Some(Obstacle::Lacks(Shortage::Memory));
            Room { tasks: u32::try_from(free).unwrap_or(u32::MAX), obstacle }
        };
        let view = ServiceView {
            status: ServiceStatus::Active,
            strategy: SchedulingStrategy::Replica,
            desired: 2,
            bounds: DeploymentBounds { minimum_healthy_percent: minimum, maximum_percent: maximum },
            room: room(&tasks),
            tasks,
            failures: 0,
            hold_until: None,
            healthy_after: Duration::from_secs(40),
            is_draining: false,
            breaker: None,
            forgives: false,
            way_back: Some(old.id.clone()),
            deployments: vec![new, old],
        };
        foresee(&view, false, Moment(1_000_000), &mut room)
    }

    fn told(steps: &[Step]) -> Vec<String> {
        let word = |does: &Doing| match does {
            Doing::Start(_, count) => format!("start {count}"),
            Doing::Stop(tasks) => format!("stop {}", tasks.len()),
            Doing::StopNew(count) => format!("stop {count} new"),
            Doing::Complete(_) => "complete".to_owned(),
            Doing::Stuck(why) => format!("stuck {why:?}"),
        };
        steps.iter().map(|step| format!("{} s: {}", step.after.as_secs(), word(&step.does))).collect()
    }

    #[test]
    fn a_host_with_places_to_spare_takes_the_new_before_it_loses_the_old() {
        assert_eq!(told(&update(100, 200, 9)), ["0 s: start 2", "40 s: stop 2", "40 s: complete"]);
    }

    #[test]
    fn the_place_of_a_task_that_is_stopped_is_taken_by_the_next() {
        assert_eq!(
            told(&update(50, 200, 2)),
            ["0 s: stop 1", "0 s: start 1", "40 s: stop 1", "40 s: start 1", "80 s: complete"]
        );
        assert_eq!(
            told(&update(100, 200, 3)),
            ["0 s: start 1", "40 s: stop 1", "40 s: start 1", "80 s: stop 1", "80 s: complete"]
        );
        assert_eq!(told(&update(0, 100, 2)), ["0 s: stop 2", "0 s: start 2", "40 s: complete"]);
    }

    #[test]
    fn a_host_without_a_place_is_told_where_no_task_may_be_stopped() {
        assert_eq!(told(&update(100, 200, 2)), ["0 s: stuck Host(Lacks(Memory))"]);
    }
}
