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

use super::{
    Plan,
    health::{Check, Health, Next},
    restart::restarts,
};
use crate::model::{
    ids::ContainerName,
    task::{Exit, HealthStatus, StopCode, StopRequest},
    task_definition::{Condition, RestartPolicy},
    time::Moment,
};

/// How long a killed container may take to go before it is killed again.
const KILL_AGAIN: Duration = Duration::from_secs(10);

/// ECS's exit code for a container whose needs were never met.
const NEVER_MET: Exit = Exit::Code(143);

/// What is known of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    /// Its containers, in the definition's order.
    pub containers: Vec<ContainerView>,
    /// Who wants it to stop, and why.
    stop: Option<StopRequest>,
    /// Whether every container has been up.
    was_up: bool,
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
    asked: Option<Moment>,
    /// When it was last killed.
    killed: Option<Moment>,
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
                    until.into_iter().for_each(|moment| plan.wake_by(moment));
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
        (Phase::Running(_) | Phase::Restarting { .. }, Condition::Start) => Outlook::Met,
        (Phase::Running(run), Condition::Healthy) if run.health.verdict == HealthStatus::Healthy => {
            Outlook::Met
        }
        (
            Phase::Running(Run { first, .. }) | Phase::Restarting { first, .. },
            Condition::Complete | Condition::Success | Condition::Healthy,
        ) => in_time(*first),
        (Phase::Ended(Ending::Failed { ran: false, .. }), _) => never("could not be started"),
        (Phase::Ended(_), Condition::Start | Condition::Complete) => Outlook::Met,
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
    fn is_needed(&self, at: usize) -> bool {
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

#[cfg(test)]
mod tests;
