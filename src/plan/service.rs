//! One pass over a service: compare what it should be with what it is, and say what to do about it.
//!
//! ```text
//!   tasks too few  -> start      (held back while launches fail one after another)
//!   tasks too many -> stop       (unhealthy first, then pending, then the newest)
//!   task unhealthy -> replace    (the new one first where the bounds allow it)
//!   older deployment             -> see [`super::rollout`]
//!   DRAINING                     -> stop all, then INACTIVE
//! ```
//!
//! The pass is told nothing about what changed; a signal and a timer run the same one. A task counts from its
//! start order until its containers have ended, so the ceiling of a deployment holds for processes and not for
//! wishes.

use std::time::Duration;

use crate::model::{
    ids::{DeploymentId, TaskId},
    resources::Shortage,
    service::{DeploymentBounds, DeploymentStatus, RolloutState, SchedulingStrategy, ServiceStatus},
    task::{HealthStatus, StopCode, StopRequest},
    time::Moment,
};

use super::{Plan, rollout};

pub mod view;

/// How far a task of a service has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// On its way up.
    Starting,
    /// RUNNING since then.
    Running(Moment),
    /// It should stop, and its containers may still run.
    Stopping,
}

/// A task of the service whose containers have not all ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTask {
    /// Its id.
    pub id: TaskId,
    /// The deployment that started it.
    pub deployment: DeploymentId,
    /// How far it has come.
    pub standing: Standing,
    /// The verdict of its essential containers' health checks; none when they have no check.
    pub health: Option<HealthStatus>,
    /// When it was asked for.
    pub created: Moment,
}

/// A deployment of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDeployment {
    /// Its id.
    pub id: DeploymentId,
    /// PRIMARY or ACTIVE.
    pub status: DeploymentStatus,
    /// How far it has come.
    pub rollout: RolloutState,
    /// Tasks of it that failed since its last success.
    pub failed_tasks: u32,
}

/// How many more tasks of the PRIMARY deployment this host can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// So many.
    pub tasks: u32,
    /// What the next one would be short of.
    pub shortage: Option<Shortage>,
}

/// Everything a pass looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// Where the service is in its life.
    pub status: ServiceStatus,
    /// REPLICA or DAEMON.
    pub strategy: SchedulingStrategy,
    /// How many tasks should run.
    pub desired: u32,
    /// Bounds of a rolling update.
    pub bounds: DeploymentBounds,
    /// The newest first; one is PRIMARY.
    pub deployments: Vec<ServiceDeployment>,
    /// Its tasks, in any order.
    pub tasks: Vec<ServiceTask>,
    /// Launches that failed one after another.
    pub failures: u32,
    /// No launch before this moment, see [`super::crash_loop`].
    pub hold_until: Option<Moment>,
    /// How long a task without a health check must have run to count as healthy.
    pub healthy_after: Duration,
    /// What the host can take.
    pub room: Room,
}

/// One step for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceAction {
    /// Make that many tasks of a deployment.
    Start {
        /// The deployment.
        deployment: DeploymentId,
        /// How many.
        count: u32,
    },
    /// Set the desired status of a task to STOPPED.
    Stop {
        /// The task.
        task: TaskId,
        /// Why.
        request: StopRequest,
    },
    /// A task of the deployment is healthy: its failures are forgotten.
    ForgetFailures(DeploymentId),
    /// The deployment has come to its end: COMPLETED.
    Complete(DeploymentId),
    /// The deployment owns nothing any more and leaves the list.
    Drop(DeploymentId),
    /// The service owns nothing any more: INACTIVE.
    Retire,
}

/// Why, for the service's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceNote {
    /// The deployment replaced all others.
    DeploymentCompleted(DeploymentId),
    /// As many healthy tasks as desired, and no other.
    SteadyState,
    /// The host cannot take another task.
    CannotPlace(Shortage),
    /// Launches fail one after another; the next one waits.
    CannotStart,
    /// The bounds allow neither a start nor a stop.
    Deadlocked,
}

pub(super) type ServicePlan = Plan<ServiceAction, ServiceNote>;

/// Moves a service one step towards what it should be.
///
/// Equal views give equal plans: the clock comes in as `now`.
#[must_use]
pub fn service(view: &ServiceView, now: Moment) -> ServicePlan {
    let mut plan = ServicePlan::default();
    match view.status {
        ServiceStatus::Active => hold(view, now, &mut plan),
        ServiceStatus::Draining => drain(view, &mut plan),
        ServiceStatus::Inactive => {}
    }
    plan
}

fn drain(view: &ServiceView, plan: &mut ServicePlan) {
    let live: Vec<_> = view.tasks.iter().filter(|task| task.is_live()).collect();
    if live.is_empty() {
        plan.actions.push(ServiceAction::Retire);
    }
    plan.actions.extend(live.into_iter().map(ServiceTask::scale_in));
}

fn hold(view: &ServiceView, now: Moment, plan: &mut ServicePlan) {
    let Some(primary) = view.primary() else { return };
    rollout::step(view, primary, now, plan);
    let settled = plan.actions.is_empty();
    drop_emptied(view, plan);
    for deployment in view.deployments.iter().filter(|deployment| deployment.failed_tasks > 0) {
        if view.owned_by(&deployment.id).any(|task| view.is_healthy(task, now)) {
            plan.actions.push(ServiceAction::ForgetFailures(deployment.id.clone()));
        }
    }
    if settled && view.is_steady(primary, now) {
        if primary.rollout == RolloutState::InProgress {
            plan.actions.push(ServiceAction::Complete(primary.id.clone()));
            plan.notes.push(ServiceNote::DeploymentCompleted(primary.id.clone()));
        }
        plan.notes.push(ServiceNote::SteadyState);
    }
    let ripening = view.tasks.iter().filter_map(|task| view.ripe_at(task)).filter(|&at| at > now);
    if let Some(next) = ripening.min() {
        plan.wake_by(next);
    }
}

fn drop_emptied(view: &ServiceView, plan: &mut ServicePlan) {
    let old = view.deployments.iter().filter(|deployment| deployment.status == DeploymentStatus::Active);
    let emptied = old.filter(|deployment| view.owned_by(&deployment.id).next().is_none());
    plan.actions.extend(emptied.map(|deployment| ServiceAction::Drop(deployment.id.clone())));
}

impl ServiceView {
    /// How many tasks should run on this one host.
    pub(super) fn wanted(&self) -> u32 {
        match self.strategy {
            SchedulingStrategy::Replica => self.desired,
            SchedulingStrategy::Daemon => 1,
        }
    }

    /// How many tasks must stay healthy while they are replaced.
    pub(super) fn floor(&self) -> u32 {
        percent(self.wanted(), self.bounds.minimum_healthy_percent, u64::div_ceil)
    }

    /// How many tasks there may be at once.
    pub(super) fn ceiling(&self) -> u32 {
        let share = percent(self.wanted(), self.bounds.maximum_percent, |of, by| of / by);
        share.max(self.wanted())
    }

    pub(super) fn primary(&self) -> Option<&ServiceDeployment> {
        self.deployments.iter().find(|deployment| deployment.status == DeploymentStatus::Primary)
    }

    /// The tasks of one deployment.
    pub(super) fn owned_by<'a>(
        &'a self,
        deployment: &'a DeploymentId,
    ) -> impl Iterator<Item = &'a ServiceTask> {
        self.tasks.iter().filter(move |task| task.deployment == *deployment)
    }

    /// Whether a task can be relied on: its check passes, or it has run for a while without one.
    pub(super) fn is_healthy(&self, task: &ServiceTask, now: Moment) -> bool {
        match (task.standing, task.health) {
            (Standing::Running(_), Some(health)) => health == HealthStatus::Healthy,
            (Standing::Running(since), None) => now >= since + self.healthy_after,
            (Standing::Starting | Standing::Stopping, _) => false,
        }
    }

    /// When a running task becomes healthy by running on.
    fn ripe_at(&self, task: &ServiceTask) -> Option<Moment> {
        match (task.standing, task.health) {
            (Standing::Running(since), None) => Some(since + self.healthy_after),
            (Standing::Starting | Standing::Stopping | Standing::Running(_), _) => None,
        }
    }

    fn is_steady(&self, primary: &ServiceDeployment, now: Moment) -> bool {
        let others = self.tasks.iter().any(|task| task.deployment != primary.id);
        let healthy = self.owned_by(&primary.id).filter(|task| self.is_healthy(task, now)).count();
        !others && healthy == self.owned_by(&primary.id).count() && healthy == to_usize(self.wanted())
    }
}

impl ServiceTask {
    /// Whether it is not on its way down.
    pub(super) fn is_live(&self) -> bool {
        self.standing != Standing::Stopping
    }

    /// Whether its health check failed.
    pub(super) fn is_unhealthy(&self) -> bool {
        self.is_live() && self.health == Some(HealthStatus::Unhealthy)
    }

    /// Whether it runs and its health check, if any, has not failed.
    pub(super) fn is_serving(&self) -> bool {
        matches!(self.standing, Standing::Running(_)) && !self.is_unhealthy()
    }

    /// The order to stop it because there are too many, or because another deployment takes its place.
    pub(super) fn scale_in(&self) -> ServiceAction {
        let reason = format!("Scaling activity initiated by (deployment {})", self.deployment);
        self.stop(reason)
    }

    /// The order to stop it because its health check failed.
    pub(super) fn give_up(&self) -> ServiceAction {
        self.stop("Task failed container health checks".into())
    }

    fn stop(&self, reason: String) -> ServiceAction {
        let request = StopRequest { code: StopCode::ServiceSchedulerInitiated, reason };
        ServiceAction::Stop { task: self.id.clone(), request }
    }
}

fn percent(of: u32, share: u32, divide: impl Fn(u64, u64) -> u64) -> u32 {
    u32::try_from(divide(u64::from(of) * u64::from(share), 100)).unwrap_or(u32::MAX)
}

pub(super) fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
