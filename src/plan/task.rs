//! One task: which container may start, which must stop, and when the whole is over.
//!
//! ```text
//!                 needs are met            exited, policy says again
//!   Waiting ------------------> Running <---------------------------> Restarting
//!      | needs can never be met    | exited, or could not be started again   |
//!      +------------------------> Ended <------------------------------------+
//! ```
//!
//! [`TaskView`] holds what has been seen; its methods are the only way it changes, one for each thing that can be
//! seen. [`task`] looks at it and says what to do. A stop, once decided or ordered, is never taken back: from then on
//! nothing is started, and each container is asked to stop when everything that needs it has ended, and killed when
//! its grace is over. Needs are looked at only before a container's first start.

use std::time::Duration;

use super::{Plan, health::Next};
use crate::model::{
    task::{Exit, HealthStatus, StopCode, StopRequest},
    task_definition::Condition,
    time::Moment,
};

mod view;

pub use view::{ContainerView, Ending, Need, Phase, Run, TaskView};

/// How long a killed container may take to go before it is killed again.
const KILL_AGAIN: Duration = Duration::from_secs(10);

/// ECS's exit code for a container whose needs were never met.
const NEVER_MET: Exit = Exit::Code(143);

/// One step for a task. Containers are named by their place in [`TaskView::containers`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskAction {
    /// Creates and starts it.
    Start(usize),
    /// Gives it up: it will never run.
    GiveUp {
        /// The container.
        container: usize,
        /// `ErrorName: text`.
        reason: String,
        /// The exit code it is given.
        exit: Exit,
    },
    /// Sends its stop signal.
    Ask(usize),
    /// Kills everything in it.
    Kill(usize),
    /// Begins a health probe.
    Probe(usize),
    /// Kills the health probe that runs.
    AbortProbe(usize),
    /// The task stops, and this is why.
    Stop(StopRequest),
    /// Every container has ended.
    Finish,
}

/// Why a task does what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskNote {
    /// A container waits for another.
    Waits {
        /// The one that waits.
        container: usize,
        /// What for.
        need: Need,
    },
    /// A container did not stop within its grace.
    GraceOver(usize),
}

/// What to do next for a task.
///
/// Equal views give equal plans. Whoever does it tells the view what came of each action, and asks again until
/// nothing is left to do.
#[must_use]
pub fn task(view: &TaskView, now: Moment) -> Plan<TaskAction, TaskNote> {
    let mut plan = Plan::default();
    if view.stop.is_some() {
        wind_down(view, now, &mut plan);
    } else if let Some(request) = reason_to_stop(view) {
        plan.actions.push(TaskAction::Stop(request));
    } else {
        start_what_may(view, now, &mut plan);
        look_after_health(view, now, &mut plan);
    }
    plan
}

/// Why the task must stop by itself: an essential container has ended, or there is none left at all.
fn reason_to_stop(view: &TaskView) -> Option<StopRequest> {
    let ended = |container: &&ContainerView| matches!(container.phase, Phase::Ended(_));
    let exited = || StopRequest {
        code: StopCode::EssentialContainerExited,
        reason: "Essential container in task exited".to_owned(),
    };
    let first = view.containers.iter().filter(|container| container.essential).find(ended);
    match first.map(|container| &container.phase) {
        Some(Phase::Ended(Ending::Failed { reason, .. })) if !view.was_up => {
            Some(StopRequest { code: StopCode::TaskFailedToStart, reason: reason.clone() })
        }
        Some(_) => Some(exited()),
        None => view.containers.iter().all(|container| ended(&container)).then(exited),
    }
}

fn start_what_may(view: &TaskView, now: Moment, plan: &mut Plan<TaskAction, TaskNote>) {
    for (at, container) in view.containers.iter().enumerate() {
        match &container.phase {
            Phase::Restarting { .. } => plan.actions.push(TaskAction::Start(at)),
            Phase::Waiting => match outlook(view, container, now) {
                Outlook::Met => plan.actions.push(TaskAction::Start(at)),
                Outlook::NotYet { need, until } => {
                    plan.notes.push(TaskNote::Waits { container: at, need });
                    if let Some(moment) = until {
                        plan.wake_by(moment);
                    }
                }
                Outlook::Never(why) => plan.actions.push(TaskAction::GiveUp {
                    container: at,
                    reason: format!("CannotStartContainerError: dependency graph: {why}"),
                    exit: NEVER_MET,
                }),
            },
            Phase::Running(_) | Phase::Ended(_) => {}
        }
    }
}

/// Whether what a container needs has come about.
enum Outlook {
    Met,
    NotYet { need: Need, until: Option<Moment> },
    Never(String),
}

/// The outlook of all needs of a container: the worst of them, and of those not met yet the first, with the earliest
/// moment at which one of them can turn.
fn outlook(view: &TaskView, container: &ContainerView, now: Moment) -> Outlook {
    let (mut first, mut earliest) = (None, None::<Moment>);
    for &need in &container.needs {
        match outlook_of(view, container, need, now) {
            Outlook::Met => {}
            Outlook::NotYet { need, until } => {
                first = first.or(Some(need));
                earliest = earliest.into_iter().chain(until).min();
            }
            Outlook::Never(why) => return Outlook::Never(why),
        }
    }
    first.map_or(Outlook::Met, |need| Outlook::NotYet { need, until: earliest })
}

fn outlook_of(view: &TaskView, container: &ContainerView, need: Need, now: Moment) -> Outlook {
    let Some(other) = view.containers.get(need.on) else {
        return Outlook::Never(format!("container {} needs one that is not there", container.name));
    };
    let never = |what: &str| {
        Outlook::Never(format!(
            "container {} waits for container {}, which {what}",
            container.name, other.name
        ))
    };
    let in_time = |first: Moment| {
        let deadline = other.start_timeout.map(|timeout| first + timeout);
        if deadline.is_some_and(|moment| now >= moment) {
            let seconds = other.start_timeout.unwrap_or_default().as_secs();
            return never(&format!(
                "did not {} within its startTimeout of {seconds} s",
                verb(need.condition)
            ));
        }
        Outlook::NotYet { need, until: deadline }
    };
    match (&other.phase, need.condition) {
        (Phase::Waiting | Phase::Running(_) | Phase::Restarting { .. }, Condition::Healthy)
            if other.check.is_none() =>
        {
            never("has no health check")
        }
        (Phase::Waiting, _) => Outlook::NotYet { need, until: None },
        (Phase::Ended(Ending::Failed { ran: false, .. }), _) => never("could not be started"),
        (Phase::Running(_) | Phase::Restarting { .. } | Phase::Ended(_), Condition::Start)
        | (Phase::Ended(_), Condition::Complete) => Outlook::Met,
        (Phase::Running(run), Condition::Healthy) if run.health.verdict == HealthStatus::Healthy => {
            Outlook::Met
        }
        (
            Phase::Running(Run { first, .. }) | Phase::Restarting { first, .. },
            Condition::Complete | Condition::Success | Condition::Healthy,
        ) => in_time(*first),
        (Phase::Ended(_), Condition::Healthy) => never("ended before it was HEALTHY"),
        (Phase::Ended(Ending::Exited(exit)), Condition::Success) => match exit.code() {
            0 => Outlook::Met,
            code => never(&format!("exited with code {code}")),
        },
        (Phase::Ended(Ending::Failed { ran: true, .. }), Condition::Success) => {
            never("could not be started again")
        }
    }
}

/// What a container must do for a condition.
fn verb(condition: Condition) -> &'static str {
    match condition {
        Condition::Start => "start",
        Condition::Complete => "complete",
        Condition::Success => "succeed",
        Condition::Healthy => "become HEALTHY",
    }
}

fn look_after_health(view: &TaskView, now: Moment, plan: &mut Plan<TaskAction, TaskNote>) {
    for (at, container) in view.containers.iter().enumerate() {
        let (Phase::Running(run), Some(check)) = (&container.phase, &container.check) else { continue };
        match run.health.next(check, run.since, now) {
            Next::Begin => plan.actions.push(TaskAction::Probe(at)),
            Next::Abort => plan.actions.push(TaskAction::AbortProbe(at)),
            Next::At(moment) => plan.wake_by(moment),
            Next::Gone => {}
        }
    }
}

fn wind_down(view: &TaskView, now: Moment, plan: &mut Plan<TaskAction, TaskNote>) {
    let mut runs = false;
    for (at, container) in view.containers.iter().enumerate() {
        let Phase::Running(run) = &container.phase else { continue };
        runs = true;
        if run.health.is_probing_freely() {
            plan.actions.push(TaskAction::AbortProbe(at));
        }
        if view.is_needed(at) {
            continue;
        }
        let Some(asked) = run.asked else {
            plan.actions.push(TaskAction::Ask(at));
            continue;
        };
        let due = run.killed.map_or(asked + container.grace, |killed| killed + KILL_AGAIN);
        if now >= due {
            plan.notes.push(TaskNote::GraceOver(at));
            plan.actions.push(TaskAction::Kill(at));
        } else {
            plan.wake_by(due);
        }
    }
    if !runs {
        plan.actions.push(TaskAction::Finish);
    }
}

#[cfg(test)]
mod tests;
