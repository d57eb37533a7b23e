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

use crate::model::{
    ids::{DeploymentId, TaskId},
    service::{DeploymentStatus, RolloutState, SchedulingStrategy, ServiceStatus, StopType},
    task::StopRequest,
    time::Moment,
};

use super::{Plan, rollout};

mod shape;
pub mod view;

pub(super) use self::shape::to_usize;
pub use self::shape::{BreakerView, Obstacle, Room, ServiceDeployment, ServiceTask, ServiceView, Standing};

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
    /// A DAEMON service has so many tasks here: none where the host is DRAINING or not what it asks for.
    Count(u32),
    /// A task of the deployment is healthy: its failures are forgotten.
    ForgetFailures(DeploymentId),
    /// The deployment has come to its end: COMPLETED.
    Complete(DeploymentId),
    /// The deployment starts no more tasks: FAILED.
    Fail {
        /// The deployment.
        deployment: DeploymentId,
        /// Why.
        reason: String,
        /// Whether the circuit breaker did it.
        triggered: bool,
    },
    /// The deployment is taken back.
    RollBack {
        /// What failed.
        from: DeploymentId,
        /// What is PRIMARY again.
        to: DeploymentId,
        /// Why.
        reason: String,
    },
    /// What was brought back fails too; it is tried on.
    GiveUpRollback(DeploymentId),
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
    /// The deployment failed, and why.
    DeploymentFailed(DeploymentId, FailedFor),
    /// The deployment that was completed before comes back.
    RollingBack(DeploymentId),
    /// The host cannot take another task.
    CannotPlace(Obstacle),
    /// There are more protected tasks of the deployment than it should have.
    TooManyProtected(DeploymentId),
    /// Launches fail one after another; the next one waits.
    CannotStart,
    /// The bounds allow neither a start nor a stop.
    Deadlocked,
}

/// Why a deployment failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedFor {
    /// Its tasks failed.
    Tasks,
    /// Somebody asked for it.
    Request,
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
    if judge(view, primary, plan) {
        return;
    }
    rollout::step(view, primary, now, plan);
    let settled = plan.actions.is_empty();
    drop_emptied(view, plan);
    let failing = view.deployments.iter().filter(|one| one.failed_tasks > 0 || one.breaker_count > 0);
    for deployment in failing.filter(|one| has_recovered(view, one, now)) {
        plan.actions.push(ServiceAction::ForgetFailures(deployment.id.clone()));
    }
    if settled && view.is_steady(primary, now) {
        if primary.rollout == RolloutState::InProgress {
            plan.actions.push(ServiceAction::Complete(primary.id.clone()));
            plan.notes.push(ServiceNote::DeploymentCompleted(primary.id.clone()));
        }
        plan.notes.push(ServiceNote::SteadyState);
    }
    if view.strategy == SchedulingStrategy::Daemon && view.desired != view.wanted() {
        plan.actions.push(ServiceAction::Count(view.wanted()));
    }
    if let Some(next) = view.tasks.iter().filter_map(|task| view.ripe_at(task, now)).min() {
        plan.wake_by(next);
    }
}

fn drop_emptied(view: &ServiceView, plan: &mut ServicePlan) {
    let old = view.deployments.iter().filter(|deployment| deployment.status == DeploymentStatus::Active);
    let emptied = old.filter(|deployment| view.owned_by(&deployment.id).next().is_none());
    plan.actions.extend(emptied.map(|deployment| ServiceAction::Drop(deployment.id.clone())));
}

/// Whether a task of the deployment became healthy after the last failure.
fn has_recovered(view: &ServiceView, deployment: &ServiceDeployment, now: Moment) -> bool {
    let (forgotten, last) = (view.forgives || deployment.failed_tasks > 0, deployment.failed_at);
    let mut tasks = view.owned_by(&deployment.id).filter(|task| view.is_healthy(task, now));
    forgotten && tasks.any(|task| last.is_none_or(|last| view.healthy_since(task) > Some(last)))
}

/// Ends the PRIMARY deployment when it failed too often or when somebody asks for it. Whether it did.
fn judge(view: &ServiceView, primary: &ServiceDeployment, plan: &mut ServicePlan) -> bool {
    if primary.rollout != RolloutState::InProgress {
        return false;
    }
    let tripped = view.breaker.filter(|breaker| primary.breaker_count >= breaker.threshold);
    if primary.is_rollback && tripped.is_some() {
        plan.actions.push(ServiceAction::GiveUpRollback(primary.id.clone()));
        return true;
    }
    let (back, why, triggered) = match (primary.stop_asked, tripped) {
        (Some(StopType::Rollback), _) => (true, FailedFor::Request, false),
        (Some(StopType::Abort), _) => (false, FailedFor::Request, false),
        (None, Some(breaker)) if primary.is_on_trial => (breaker.rollback, FailedFor::Tasks, true),
        (None, Some(_) | None) => return false,
    };
    let to = view.way_back.as_ref().filter(|_| back);
    let reason = match (why, to) {
        (FailedFor::Tasks, None) => "ECS deployment circuit breaker: task failed to start.".to_owned(),
        (FailedFor::Tasks, Some(to)) => {
            format!("ECS deployment circuit breaker: rolling back to deploymentId {to}.")
        }
        (FailedFor::Request, None) => format!("ECS deployment {} was stopped.", primary.id),
        (FailedFor::Request, Some(to)) => {
            format!("ECS deployment {} was stopped: rolling back to deploymentId {to}.", primary.id)
        }
    };
    let deployment = primary.id.clone();
    plan.notes.push(ServiceNote::DeploymentFailed(deployment.clone(), why));
    plan.actions.push(ServiceAction::Fail {
        deployment: deployment.clone(),
        reason: reason.clone(),
        triggered,
    });
    if let Some(to) = to {
        plan.notes.push(ServiceNote::RollingBack(to.clone()));
        plan.actions.push(ServiceAction::RollBack { from: deployment, to: to.clone(), reason });
    }
    true
}

#[cfg(test)]
mod tests;
