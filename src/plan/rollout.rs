//! How many tasks of each deployment may run now.
//!
//! ```text
//!   floor   = ceil (desired x minimumHealthyPercent / 100)    healthy tasks that are left in peace
//!   ceiling = floor(desired x maximumPercent        / 100)    tasks at once, those still stopping included
//! ```
//!
//! The PRIMARY deployment grows while there is room under the ceiling. An older one shrinks while enough healthy
//! tasks stay above the floor; its unhealthy tasks go first, then those that have not started, then the newest.
//! A task that an older deployment loses while the floor depends on it is replaced from its own revision, so a
//! revision that does not start cannot eat a service up; an older revision that fails itself gets no such help.
//!
//! With a single deployment the same arithmetic is scaling out and in. A protected task is never stopped for either;
//! it counts all the same. A host that is DRAINING starts nothing: what has not started is stopped, and what runs as
//! far as the floor allows.

use std::cmp::Reverse;

use crate::model::{
    service::{DeploymentStatus, RolloutState},
    time::Moment,
};

use super::service::{
    Obstacle, ServiceAction, ServiceDeployment, ServiceNote, ServicePlan, ServiceTask, ServiceView, Standing,
    to_usize,
};

/// Failures after which the service says that it cannot start tasks.
const TELL_AFTER: u32 = 3;

/// One step of a service that is ACTIVE.
pub(super) fn step(view: &ServiceView, primary: &ServiceDeployment, now: Moment, plan: &mut ServicePlan) {
    if view.is_draining {
        return evacuate(view, primary, now, plan);
    }
    let gap = to_usize(view.ceiling()).saturating_sub(view.tasks.len());
    let kept = keep_floor(view, primary, now, gap, plan);
    let starved = grow(view, primary, now, gap - kept, to_usize(view.room.tasks) - kept, plan);
    shrink_primary(view, primary, starved, now, plan);
    shrink_older(view, primary, now, plan);
    if plan.actions.is_empty() && is_deadlocked(view, primary, now) {
        plan.notes.push(ServiceNote::Deadlocked);
    }
}

/// Empties a host that is DRAINING, as far as the floor allows.
fn evacuate(view: &ServiceView, primary: &ServiceDeployment, now: Moment, plan: &mut ServicePlan) {
    let live = view.tasks.iter().filter(|task| task.is_live());
    let (running, starting): (Vec<_>, Vec<_>) =
        live.partition(|task| matches!(task.standing, Standing::Running(_)));
    let unstarted = starting.into_iter().filter(|task| task.is_free(now));
    plan.actions.extend(unstarted.map(ServiceTask::scale_in));
    let floor = to_usize(view.floor());
    let healthy = running.iter().filter(|task| view.is_healthy(task, now)).count();
    let (budget, to_spare) = (running.len().saturating_sub(floor), healthy.saturating_sub(floor));
    release(view, now, running, budget, to_spare, plan);
    let kept = view.owned_by(&primary.id).filter(|task| task.is_live()).count();
    if plan.actions.is_empty() && kept < to_usize(view.wanted()) {
        plan.notes.push(ServiceNote::CannotPlace(Obstacle::Draining));
    }
}

/// Replaces tasks that an older deployment lost and the floor misses. Tells how many.
fn keep_floor(
    view: &ServiceView,
    primary: &ServiceDeployment,
    now: Moment,
    gap: usize,
    plan: &mut ServicePlan,
) -> usize {
    let older = || view.tasks.iter().filter(|task| task.is_live() && task.deployment != primary.id);
    let proven = view
        .deployments
        .iter()
        .find(|deployment| is_proven(deployment) && older().any(|task| task.deployment == deployment.id));
    let Some(proven) = proven else { return 0 };
    let kept = older().count() + healthy(view, primary, now);
    let room = to_usize(view.room.tasks);
    let count = to_usize(view.floor()).saturating_sub(kept).min(gap).min(room);
    start(proven, count, plan);
    count
}

/// Starts what the PRIMARY deployment lacks. Tells whether it lacks tasks that it cannot start.
fn grow(
    view: &ServiceView,
    primary: &ServiceDeployment,
    now: Moment,
    gap: usize,
    room: usize,
    plan: &mut ServicePlan,
) -> bool {
    let good = view.owned_by(&primary.id).filter(|task| task.is_live() && !task.is_unhealthy()).count();
    let lack = to_usize(view.wanted()).saturating_sub(good);
    if lack == 0 || primary.rollout == RolloutState::Failed {
        return false;
    }
    if let Some(until) = view.hold_until.filter(|&until| now < until) {
        if view.failures >= TELL_AFTER {
            plan.notes.push(ServiceNote::CannotStart);
        }
        plan.wake_by(until);
        return false;
    }
    let count = lack.min(gap).min(room);
    start(primary, count, plan);
    if let Some(obstacle) = view.room.obstacle.filter(|_| room < lack.min(gap)) {
        plan.notes.push(ServiceNote::CannotPlace(obstacle));
    }
    count == 0
}

fn start(deployment: &ServiceDeployment, count: usize, plan: &mut ServicePlan) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    if count > 0 {
        plan.actions.push(ServiceAction::Start { deployment: deployment.id.clone(), count });
    }
}

/// Stops what the PRIMARY deployment has too many of, and an unhealthy task whose place is taken or needed.
fn shrink_primary(
    view: &ServiceView,
    primary: &ServiceDeployment,
    starved: bool,
    now: Moment,
    plan: &mut ServicePlan,
) {
    let wanted = to_usize(view.wanted());
    let live: Vec<_> = view.owned_by(&primary.id).filter(|task| task.is_live()).collect();
    let serving = live.iter().filter(|task| task.is_serving()).count();
    let (unhealthy, rest): (Vec<_>, Vec<_>) = live.into_iter().partition(|task| task.is_unhealthy());
    let replaced = unhealthy.len().min((rest.len() + unhealthy.len()).saturating_sub(wanted));
    let covered = if serving >= wanted { unhealthy.len() } else { 0 };
    let busy = view.tasks.iter().any(|task| !matches!(task.standing, Standing::Running(_)));
    let cleared = usize::from(starved && !busy && !unhealthy.is_empty());
    let settled = rest.iter().all(|task| task.is_serving());
    let give_up = covered.max(cleared).max(if settled { replaced } else { 0 });
    plan.actions.extend(in_order(view, now, unhealthy).take(give_up).map(ServiceTask::give_up));
    let surplus = rest.len().saturating_sub(wanted);
    if surplus > rest.iter().filter(|task| task.is_free(now)).count() {
        plan.notes.push(ServiceNote::TooManyProtected(primary.id.clone()));
    }
    let healthy = rest.iter().filter(|task| view.is_healthy(task, now)).count();
    release(view, now, rest, surplus, healthy.saturating_sub(to_usize(view.floor())), plan);
}

/// Stops tasks of older deployments as far as the floor allows.
///
/// One that is healthy goes only while enough healthy ones stay; a deployment that failed takes nobody's place.
fn shrink_older(view: &ServiceView, primary: &ServiceDeployment, now: Moment, plan: &mut ServicePlan) {
    let older = view.tasks.iter().filter(|task| task.is_live() && task.deployment != primary.id);
    let (spare, kept): (Vec<_>, Vec<_>) = older.partition(|task| is_spare(view, task));
    let (floor, new) = match primary.rollout {
        RolloutState::Failed => (view.wanted(), 0),
        RolloutState::InProgress | RolloutState::Completed => (view.floor(), healthy(view, primary, now)),
    };
    let floor = to_usize(floor);
    let old = kept.iter().filter(|task| view.is_healthy(task, now)).count();
    let budget = (kept.len() + new).saturating_sub(floor);
    plan.actions
        .extend(in_order(view, now, spare).filter(|task| task.is_free(now)).map(ServiceTask::scale_in));
    let healthy_to_spare = (old + new).saturating_sub(floor);
    release(view, now, kept, budget, healthy_to_spare, plan);
}

/// Stops so many of these tasks that are not protected, and of those that are healthy no more than can be spared.
fn release(
    view: &ServiceView,
    now: Moment,
    tasks: Vec<&ServiceTask>,
    mut budget: usize,
    mut healthy_to_spare: usize,
    plan: &mut ServicePlan,
) {
    for task in in_order(view, now, tasks).filter(|task| task.is_free(now)) {
        let is_healthy = view.is_healthy(task, now);
        if budget == 0 || (is_healthy && healthy_to_spare == 0) {
            break;
        }
        budget -= 1;
        healthy_to_spare -= usize::from(is_healthy);
        plan.actions.push(task.scale_in());
    }
}

/// Whether nobody would miss it: it does not serve, and is not the replacement of one that did.
fn is_spare(view: &ServiceView, task: &ServiceTask) -> bool {
    let owner = view.deployments.iter().find(|deployment| deployment.id == task.deployment);
    task.is_unhealthy() || (task.standing == Standing::Starting && !owner.is_some_and(is_proven))
}

fn is_proven(deployment: &ServiceDeployment) -> bool {
    deployment.status == DeploymentStatus::Active
        && deployment.rollout == RolloutState::Completed
        && deployment.failed_tasks == 0
}

fn healthy(view: &ServiceView, primary: &ServiceDeployment, now: Moment) -> usize {
    let healthy = view.owned_by(&primary.id).filter(|task| view.is_healthy(task, now)).count();
    healthy.min(to_usize(view.wanted()))
}

/// Who goes first: the unhealthy, the pending, those that have not proved themselves, the newest.
fn in_order<'a>(
    view: &ServiceView,
    now: Moment,
    mut tasks: Vec<&'a ServiceTask>,
) -> impl Iterator<Item = &'a ServiceTask> {
    tasks.sort_by_cached_key(|task| {
        let running = matches!(task.standing, Standing::Running(_));
        let proved = view.is_healthy(task, now);
        (Reverse(task.is_unhealthy()), running, proved, Reverse(task.created), task.id.clone())
    });
    tasks.into_iter()
}

/// Nothing is on its way and no time will help, yet an older deployment still runs tasks.
fn is_deadlocked(view: &ServiceView, primary: &ServiceDeployment, now: Moment) -> bool {
    let older = view.tasks.iter().any(|task| task.deployment != primary.id);
    let lack = view.owned_by(&primary.id).count() < to_usize(view.wanted());
    let full =
        view.tasks.len() >= to_usize(view.ceiling()) && view.tasks.iter().all(|task| task.is_free(now));
    let at_rest = view.tasks.iter().all(|task| match task.standing {
        Standing::Running(_) => task.deployment != primary.id || view.is_healthy(task, now),
        Standing::Starting | Standing::Stopping => false,
    });
    older && lack && full && at_rest && primary.rollout != RolloutState::Failed
}
