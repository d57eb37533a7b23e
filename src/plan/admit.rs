//! Which tasks may start on this host now, and which step each needs next.
//!
//! Tasks are admitted in the order in which they were asked for. A task that does not fit keeps its place in the
//! queue of what it is short of: nobody behind it takes the memory, the processor time or the port it waits for,
//! and whoever needs none of these goes on past it.
//!
//! ```text
//!   desired   hands      step
//!   RUNNING   empty      start, once it fits
//!   STOPPED   holding    stop
//!   STOPPED   empty      sweep: it was never started
//!   any       any        sweep, once its containers have all ended
//! ```

use std::collections::BTreeSet;

use crate::model::{
    action::TaskAction,
    ids::TaskId,
    resources::{Capacity, HostPort, Reservation, Resources, Shortage},
    task::{DesiredStatus, StopCode, StopRequest, TaskStatus},
};

use super::{
    Plan,
    service::{Obstacle, Room},
};

/// What this host's hands do with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hands {
    /// Nothing: it was not given to them.
    Empty,
    /// They start it or hold it.
    Holding,
    /// They were told to stop it.
    Stopping,
    /// They were told to take it off the host.
    Sweeping,
}

/// A task that is not STOPPED.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTask {
    /// Its id.
    pub id: TaskId,
    /// Where it should be.
    pub desired: DesiredStatus,
    /// Where it was last seen.
    pub known: TaskStatus,
    /// Why it should stop.
    pub stop: Option<StopRequest>,
    /// What it takes.
    pub needs: Reservation,
    /// What the host does with it.
    pub hands: Hands,
}

/// This host and those of its tasks that may need a step, in the order in which they were asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct HostView {
    /// What it has to give.
    pub capacity: Capacity,
    /// Its tasks.
    pub tasks: Vec<HostTask>,
}

/// How much of what it needs a task keeps others from having.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    Nothing,
    /// Its ports.
    Ports,
    /// All of it.
    All,
}

/// A task waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The task.
    pub task: TaskId,
    /// For what.
    pub shortage: Shortage,
}

/// What tasks take together.
struct Taken<'a> {
    others: &'a dyn Fn(HostPort) -> bool,
    resources: Resources,
    ports: BTreeSet<HostPort>,
}

/// The next step of each task of the view, beside what others hold.
#[must_use]
pub fn admit(view: &HostView, promised: Promised<'_>) -> Plan<TaskAction, Waiting> {
    let mut plan = Plan::default();
    let mut taken = Taken::beside(promised);
    for task in &view.tasks {
        task.add_to(&mut taken);
    }
    for task in &view.tasks {
        if let Some(step) = task.step_down() {
            plan.actions.push(step);
        } else if task.is_queued() {
            queue(&view.capacity, &mut taken, task, &mut plan);
        }
    }
    plan
}

/// What tasks that are not looked at one by one take together.
#[derive(Clone, Copy)]
pub struct Promised<'a> {
    /// CPU and memory.
    pub resources: Resources,
    /// Whether one of them holds a port.
    pub has_port: &'a dyn Fn(HostPort) -> bool,
}

impl Promised<'_> {
    /// There are no other tasks.
    #[must_use]
    pub fn nothing() -> Promised<'static> {
        Promised { resources: Resources::default(), has_port: &|_| false }
    }
}

/// How many more tasks that each take `needs` this host can hold beside those that stay, up to `most`.
///
/// Tasks on their way down are not counted: what they hold is free soon, and admission waits for it.
#[must_use]
pub fn room(capacity: &Capacity, promised: Promised<'_>, needs: &Reservation, most: u32) -> Room {
    let mut taken = Taken::beside(promised);
    for tasks in 0..most {
        if let Some(shortage) = taken.shortage(capacity, needs) {
            return Room { tasks, obstacle: Some(Obstacle::Lacks(shortage)) };
        }
        taken.add(needs);
    }
    Room { tasks: most, obstacle: None }
}

/// Starts `task` if it fits, and takes its needs off what is left either way.
fn queue(capacity: &Capacity, taken: &mut Taken<'_>, task: &HostTask, plan: &mut Plan<TaskAction, Waiting>) {
    if let Some(shortage) = Taken::beside(Promised::nothing()).shortage(capacity, &task.needs) {
        plan.actions.push(TaskAction::Refuse(task.id.clone(), too_large(capacity, &task.needs, shortage)));
        return;
    }
    match taken.shortage(capacity, &task.needs) {
        None => plan.actions.push(TaskAction::Start(task.id.clone())),
        Some(shortage) => plan.notes.push(Waiting { task: task.id.clone(), shortage }),
    }
    taken.add(&task.needs);
}

fn too_large(capacity: &Capacity, needs: &Reservation, shortage: Shortage) -> StopRequest {
    let (wanted, all) = (needs.resources, capacity.registered);
    let what = match shortage {
        Shortage::Memory => format!("{} MiB of memory and this host has {}", wanted.memory, all.memory),
        Shortage::Cpu => format!("{} CPU units and this host has {}", wanted.cpu, all.cpu),
        Shortage::Port((protocol, port)) => {
            format!("{protocol} port {port} of the host and the host keeps it for itself")
        }
        Shortage::Gpu => "a GPU and this host has none".to_owned(),
        Shortage::Trait(lack) => format!("another host: {lack}"),
    };
    let reason = format!("ResourceInitializationError: the task needs {what}");
    StopRequest { code: StopCode::TaskFailedToStart, reason }
}

impl<'a> Taken<'a> {
    fn beside(promised: Promised<'a>) -> Self {
        Self { others: promised.has_port, resources: promised.resources, ports: BTreeSet::new() }
    }

    fn add(&mut self, needs: &Reservation) {
        self.resources.cpu = self.resources.cpu.saturating_add(needs.resources.cpu);
        self.resources.memory = self.resources.memory.saturating_add(needs.resources.memory);
        self.ports.extend(&needs.ports);
    }

    /// What is missing for `needs`. A task that needs none of a resource is never short of it.
    fn shortage(&self, capacity: &Capacity, needs: &Reservation) -> Option<Shortage> {
        let short = |wanted: u64, taken: u64, all: u64| wanted > 0 && taken.saturating_add(wanted) > all;
        let held = |port: &&HostPort| {
            self.ports.contains(*port) || (self.others)(**port) || capacity.reserved_ports.contains(*port)
        };
        let (wanted, taken, all) = (needs.resources, self.resources, capacity.registered);
        if let Some(lack) = capacity.traits.lack(&needs.wants) {
            Some(lack)
        } else if let Some(&port) = needs.ports.iter().find(held) {
            Some(Shortage::Port(port))
        } else if short(wanted.cpu, taken.cpu, all.cpu) {
            Some(Shortage::Cpu)
        } else if short(wanted.memory, taken.memory, all.memory) {
            Some(Shortage::Memory)
        } else {
            None
        }
    }
}

impl HostTask {
    fn is_queued(&self) -> bool {
        self.desired == DesiredStatus::Running && self.hands == Hands::Empty
    }

    /// Whether there may be a step for it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_queued() || self.step_down().is_some()
    }

    /// What it keeps others from having: all until its containers have ended, its ports until it is gone.
    #[must_use]
    pub fn hold(&self) -> Hold {
        if self.is_queued() || self.known == TaskStatus::Stopped {
            Hold::Nothing
        } else if self.known >= TaskStatus::Deprovisioning {
            Hold::Ports
        } else {
            Hold::All
        }
    }

    fn add_to(&self, taken: &mut Taken<'_>) {
        match self.hold() {
            Hold::Nothing => {}
            Hold::Ports => taken.ports.extend(&self.needs.ports),
            Hold::All => taken.add(&self.needs),
        }
    }

    /// The step towards its end, if it is due.
    fn step_down(&self) -> Option<TaskAction> {
        let sweep = || Some(TaskAction::Sweep(self.id.clone()));
        match (self.known, self.desired, self.hands) {
            (TaskStatus::Stopped, _, _) | (_, _, Hands::Sweeping) => None,
            (TaskStatus::Deprovisioning, _, _) | (_, DesiredStatus::Stopped, Hands::Empty) => sweep(),
            (_, DesiredStatus::Stopped, Hands::Holding) => {
                let request = self.stop.clone().unwrap_or_else(|| StopRequest {
                    code: StopCode::UserInitiated,
                    reason: "Task stopped by user".into(),
                });
                Some(TaskAction::Stop(self.id.clone(), request))
            }
            (_, DesiredStatus::Stopped, Hands::Stopping) | (_, DesiredStatus::Running, _) => None,
        }
    }
}

#[cfg(test)]
mod tests;
