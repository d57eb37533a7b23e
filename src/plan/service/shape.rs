//! What a pass over a service looks at, and the questions that it asks of it.

use std::time::Duration;

use super::ServiceAction;
use crate::model::{
    ids::{DeploymentId, TaskId},
    placement::Unmet,
    resources::Shortage,
    service::{
        DeploymentBounds, DeploymentStatus, RolloutState, SchedulingStrategy, ServiceStatus, StopType,
    },
    task::{HealthStatus, StopCode, StopRequest},
    time::Moment,
};

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
    /// The verdict of its essential containers' health checks; none when they have no check. One that fails in the
    /// service's grace period is not known yet.
    pub health: Option<HealthStatus>,
    /// When its checks last began to pass.
    pub healthy_since: Option<Moment>,
    /// When a verdict that is not known yet counts.
    pub graced_until: Option<Moment>,
    /// Until when it must not be stopped for want of work.
    pub protected_until: Option<Moment>,
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
    /// When the last of them failed.
    pub failed_at: Option<Moment>,
    /// Failures as the circuit breaker counts them.
    pub breaker_count: u32,
    /// Whether it has not been completed before: the breaker watches it.
    pub is_on_trial: bool,
    /// Whether it takes another one back.
    pub is_rollback: bool,
    /// Somebody wants it stopped.
    pub stop_asked: Option<StopType>,
}

/// Why no other task can be placed on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It is short of something.
    Lacks(Shortage),
    /// It is DRAINING and takes nothing new.
    Draining,
    /// It does not meet a placement constraint.
    Constraint(Unmet),
}

/// How many more tasks of the PRIMARY deployment this host can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// So many.
    pub tasks: u32,
    /// What stands in the way of the next one.
    pub obstacle: Option<Obstacle>,
}

/// What the circuit breaker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerView {
    /// So many failures end a deployment.
    pub threshold: u32,
    /// Whether the last completed deployment comes back then.
    pub rollback: bool,
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
    /// Whether the host is to be emptied.
    pub is_draining: bool,
    /// What watches a deployment; none when nobody asked for it.
    pub breaker: Option<BreakerView>,
    /// Whether a task that becomes healthy makes the breaker forget.
    pub forgives: bool,
    /// The deployment to go back to.
    pub way_back: Option<DeploymentId>,
}

impl ServiceView {
    /// How many tasks should run on this one host.
    pub(in crate::plan) fn wanted(&self) -> u32 {
        match self.strategy {
            SchedulingStrategy::Replica => self.desired,
            SchedulingStrategy::Daemon => u32::from(!self.is_draining && !self.is_elsewhere()),
        }
    }

    /// Whether the host is not what the tasks ask for.
    fn is_elsewhere(&self) -> bool {
        self.room.obstacle == Some(Obstacle::Constraint(Unmet::MemberOf))
    }

    /// How many tasks must stay healthy while they are replaced.
    pub(in crate::plan) fn floor(&self) -> u32 {
        percent(self.wanted(), self.bounds.minimum_healthy_percent, u64::div_ceil)
    }

    /// How many tasks there may be at once.
    pub(in crate::plan) fn ceiling(&self) -> u32 {
        let share = percent(self.wanted(), self.bounds.maximum_percent, |of, by| of / by);
        share.max(self.wanted())
    }

    pub(in crate::plan) fn primary(&self) -> Option<&ServiceDeployment> {
        self.deployments.iter().find(|deployment| deployment.status == DeploymentStatus::Primary)
    }

    /// The tasks of one deployment.
    pub(in crate::plan) fn owned_by<'a>(
        &'a self,
        deployment: &'a DeploymentId,
    ) -> impl Iterator<Item = &'a ServiceTask> {
        self.tasks.iter().filter(move |task| task.deployment == *deployment)
    }

    /// Whether a task can be relied on: its check passes, or it has run for a while without one.
    pub(in crate::plan) fn is_healthy(&self, task: &ServiceTask, now: Moment) -> bool {
        match (task.standing, task.health) {
            (Standing::Running(_), Some(health)) => health == HealthStatus::Healthy,
            (Standing::Running(since), None) => now >= since + self.healthy_after,
            (Standing::Starting | Standing::Stopping, _) => false,
        }
    }

    /// Since when a task that is healthy has been so.
    pub(in crate::plan) fn healthy_since(&self, task: &ServiceTask) -> Option<Moment> {
        match (task.standing, task.health) {
            (Standing::Running(since), None) => Some(since + self.healthy_after),
            (Standing::Running(since), Some(_)) => Some(task.healthy_since.unwrap_or(since)),
            (Standing::Starting | Standing::Stopping, _) => None,
        }
    }

    /// When time alone changes what there is to decide about a task.
    pub(in crate::plan) fn ripe_at(&self, task: &ServiceTask, now: Moment) -> Option<Moment> {
        let grown = match (task.standing, task.health) {
            (Standing::Running(since), None) => Some(since + self.healthy_after),
            (Standing::Starting | Standing::Stopping | Standing::Running(_), _) => None,
        };
        [grown, task.graced_until, task.protected_until].into_iter().flatten().filter(|&at| at > now).min()
    }

    pub(in crate::plan) fn is_steady(&self, primary: &ServiceDeployment, now: Moment) -> bool {
        let others = self.tasks.iter().any(|task| task.deployment != primary.id);
        let healthy = self.owned_by(&primary.id).filter(|task| self.is_healthy(task, now)).count();
        !others && healthy == self.owned_by(&primary.id).count() && healthy == to_usize(self.wanted())
    }
}

impl ServiceTask {
    /// Whether it is not on its way down.
    pub(in crate::plan) fn is_live(&self) -> bool {
        self.standing != Standing::Stopping
    }

    /// Whether its health check failed.
    pub(in crate::plan) fn is_unhealthy(&self) -> bool {
        self.is_live() && self.health == Some(HealthStatus::Unhealthy)
    }

    /// Whether it may be stopped for want of work.
    pub(in crate::plan) fn is_free(&self, now: Moment) -> bool {
        self.protected_until.is_none_or(|until| until <= now)
    }

    /// Whether it runs and its health check, if any, has not failed.
    pub(in crate::plan) fn is_serving(&self) -> bool {
        matches!(self.standing, Standing::Running(_)) && !self.is_unhealthy()
    }

    /// The order to stop it because there are too many, or because another deployment takes its place.
    pub(in crate::plan) fn scale_in(&self) -> ServiceAction {
        let reason = format!("Scaling activity initiated by (deployment {})", self.deployment);
        self.stop(reason)
    }

    /// The order to stop it because its health check failed.
    pub(in crate::plan) fn give_up(&self) -> ServiceAction {
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

pub(in crate::plan) fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
