//! Why a service or a task is as it is: each constraint, what it needs and what there is.

use std::fmt::Display;

use crate::model::{
    resources::{Capacity, Reservation, Resources},
    service::{RolloutState, SchedulingStrategy, ServiceStatus},
    time::Moment,
};

use super::service::{Obstacle, ServiceTask, ServiceView, Standing};

/// One constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// What it is about.
    pub name: String,
    /// What is asked for.
    pub need: String,
    /// What there is.
    pub have: String,
    /// Whether that is enough.
    pub is_met: bool,
}

impl Constraint {
    fn new(name: impl Into<String>, need: impl Display, have: impl Display, is_met: bool) -> Self {
        Self { name: name.into(), need: need.to_string(), have: have.to_string(), is_met }
    }
}

/// The constraints that decide what is done for a service.
#[must_use]
pub fn service(view: &ServiceView, now: Moment) -> Vec<Constraint> {
    let count = |is: &dyn Fn(&&ServiceTask) -> bool| {
        u32::try_from(view.tasks.iter().filter(is).count()).unwrap_or(u32::MAX)
    };
    let running = count(&|task| matches!(task.standing, Standing::Running(_)));
    let healthy = count(&|task| view.is_healthy(task, now));
    let all = count(&|_| true);
    let (wanted, floor, ceiling) = (view.wanted(), view.floor(), view.ceiling());
    let status = match view.status {
        ServiceStatus::Active => "ACTIVE",
        ServiceStatus::Draining => "DRAINING",
        ServiceStatus::Inactive => "INACTIVE",
    };
    let how = match view.strategy {
        SchedulingStrategy::Replica => "tasks",
        SchedulingStrategy::Daemon => "task on this host",
    };
    let mut list = vec![
        Constraint::new("status", "ACTIVE", status, view.status == ServiceStatus::Active),
        Constraint::new(
            "count",
            format!("{wanted} {how} running"),
            format!("{running} of {all}"),
            running >= wanted,
        ),
        Constraint::new("health", format!("{wanted} healthy"), healthy, healthy >= wanted),
        Constraint::new("minimumHealthyPercent", format!("{floor} healthy stay"), healthy, healthy >= floor),
        Constraint::new("maximumPercent", format!("{ceiling} at most"), all, all <= ceiling),
        Constraint::new(
            "host",
            "ACTIVE",
            if view.is_draining { "DRAINING" } else { "ACTIVE" },
            !view.is_draining,
        ),
        room(view),
    ];
    list.extend(waits(view, now));
    list.extend(deployments(view));
    list.extend(view.tasks.iter().filter_map(|task| unhealthy(view, task, now)));
    list
}

fn room(view: &ServiceView) -> Constraint {
    let have = match view.room.obstacle {
        None => format!("room for {} more", view.room.tasks),
        Some(obstacle) => {
            let why = match obstacle {
                Obstacle::Lacks(shortage) => format!("the host {shortage}"),
                Obstacle::Draining => "the host is DRAINING".to_owned(),
                Obstacle::Constraint(unmet) => unmet.reason().trim_end_matches('.').to_owned(),
            };
            format!("room for {} more; then {why}", view.room.tasks)
        }
    };
    let lack = usize::try_from(view.wanted()).unwrap_or(usize::MAX).saturating_sub(view.tasks.len());
    let enough = usize::try_from(view.room.tasks).unwrap_or(usize::MAX) >= lack;
    Constraint::new("placement", format!("room for {lack} more"), have, enough)
}

fn waits(view: &ServiceView, now: Moment) -> Option<Constraint> {
    let until = view.hold_until.filter(|&until| now < until)?;
    let have = format!("{} launches failed, next one in {} s", view.failures, (until - now).as_secs());
    Some(Constraint::new("start throttling", "launches that succeed", have, false))
}

fn deployments(view: &ServiceView) -> Vec<Constraint> {
    let mut list = Vec::new();
    for deployment in &view.deployments {
        let state = match deployment.rollout {
            RolloutState::InProgress => "IN_PROGRESS",
            RolloutState::Completed => "COMPLETED",
            RolloutState::Failed => "FAILED",
        };
        let is_primary = view.primary().is_some_and(|primary| primary.id == deployment.id);
        let tasks = view.owned_by(&deployment.id).count();
        let need = if is_primary { "COMPLETED" } else { "no task left" };
        let met = if is_primary { deployment.rollout == RolloutState::Completed } else { tasks == 0 };
        let name = format!("deployment {}", deployment.id);
        list.push(Constraint::new(name, need, format!("{state}, {tasks} tasks"), met));
        if let Some(breaker) = view.breaker.filter(|_| is_primary && deployment.is_on_trial) {
            let need = format!("fewer than {} failures", breaker.threshold);
            let met = deployment.breaker_count < breaker.threshold;
            list.push(Constraint::new("circuit breaker", need, deployment.breaker_count, met));
        }
    }
    list
}

fn unhealthy(view: &ServiceView, task: &ServiceTask, now: Moment) -> Option<Constraint> {
    let name = format!("task {}", task.id);
    let seconds = |since: Moment| (now - since).as_secs();
    if view.is_healthy(task, now) {
        let until = task.protected_until.filter(|&until| now < until)?;
        let have = format!("protected for {} s more", (until - now).as_secs());
        return Some(Constraint::new(name, "may be stopped for want of work", have, false));
    }
    Some(match (task.standing, task.health) {
        (Standing::Starting, _) => Constraint::new(name, "RUNNING", "on its way up", false),
        (Standing::Stopping, _) => Constraint::new(name, "gone", "on its way down", false),
        (Standing::Running(since), None) => {
            let need = format!("RUNNING for {} s", view.healthy_after.as_secs());
            Constraint::new(name, need, format!("{} s", seconds(since)), false)
        }
        (Standing::Running(_), Some(_)) if task.is_unhealthy() => {
            Constraint::new(name, "health check passes", "it fails", false)
        }
        (Standing::Running(since), Some(_)) => {
            let have = format!("no verdict after {} s", seconds(since));
            Constraint::new(name, "health check passes", have, false)
        }
    })
}

/// What a task needs of a host on which others take `taken` and hold some ports.
#[must_use]
pub fn placement(
    capacity: &Capacity,
    needs: &Reservation,
    taken: Resources,
    holds: impl Fn(crate::model::resources::HostPort) -> bool,
) -> Vec<Constraint> {
    let mut list = Vec::new();
    let all = capacity.registered;
    for (name, unit, need, taken, all) in [
        ("cpu", "units", needs.resources.cpu, taken.cpu, all.cpu),
        ("memory", "MiB", needs.resources.memory, taken.memory, all.memory),
    ] {
        let left = all.saturating_sub(taken);
        let have = format!("{left} of {all} {unit} left");
        list.push(Constraint::new(name, format!("{need} {unit}"), have, need == 0 || need <= left));
    }
    for &(protocol, port) in &needs.ports {
        let is_reserved = capacity.reserved_ports.contains(&(protocol, port));
        let is_held = holds((protocol, port));
        let have = if is_reserved {
            "the host keeps it for itself"
        } else if is_held {
            "another task holds it"
        } else {
            "free"
        };
        list.push(Constraint::new(format!("port {port}/{protocol}"), "free", have, !is_reserved && !is_held));
    }
    list
}
