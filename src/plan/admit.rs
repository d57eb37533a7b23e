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

/// This host and its tasks, in the order in which they were asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct HostView {
    /// What it has to give.
    pub capacity: Capacity,
    /// Its tasks.
    pub tasks: Vec<HostTask>,
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
#[derive(Clone, Debug, Default)]
struct Taken {
    resources: Resources,
    ports: BTreeSet<HostPort>,
}

/// The next step of each task of this host.
#[must_use]
pub fn admit(view: &HostView) -> Plan<TaskAction, Waiting> {
    let mut plan = Plan::default();
    let mut taken = Taken::default();
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

/// What the tasks that stay take together.
#[derive(Clone, Copy)]
pub struct Promised<'a> {
    /// CPU and memory.
    pub resources: Resources,
    /// Whether one of them holds a port.
    pub has_port: &'a dyn Fn(HostPort) -> bool,
}

/// How many more tasks that each take `needs` this host can hold beside those that stay, up to `most`.
///
/// Tasks on their way down are not counted: what they hold is free soon, and admission waits for it.
#[must_use]
pub fn room(capacity: &Capacity, promised: Promised<'_>, needs: &Reservation, most: u32) -> Room {
    let held = needs.ports.iter().copied().filter(|port| (promised.has_port)(*port));
    let mut taken = Taken { resources: promised.resources, ports: held.collect() };
    for tasks in 0..most {
        if let Some(shortage) = taken.shortage(capacity, needs) {
            return Room { tasks, obstacle: Some(Obstacle::Lacks(shortage)) };
        }
        taken.add(needs);
    }
    Room { tasks: most, obstacle: None }
}

/// Starts `task` if it fits, and takes its needs off what is left either way.
fn queue(capacity: &Capacity, taken: &mut Taken, task: &HostTask, plan: &mut Plan<TaskAction, Waiting>) {
    if let Some(shortage) = Taken::default().shortage(capacity, &task.needs) {
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
    };
    let reason = format!("ResourceInitializationError: the task needs {what}");
    StopRequest { code: StopCode::TaskFailedToStart, reason }
}

impl Taken {
    fn add(&mut self, needs: &Reservation) {
        self.resources.cpu = self.resources.cpu.saturating_add(needs.resources.cpu);
        self.resources.memory = self.resources.memory.saturating_add(needs.resources.memory);
        self.ports.extend(&needs.ports);
    }

    /// What is missing for `needs`. A task that needs none of a resource is never short of it.
    fn shortage(&self, capacity: &Capacity, needs: &Reservation) -> Option<Shortage> {
        let short = |wanted: u64, taken: u64, all: u64| wanted > 0 && taken.saturating_add(wanted) > all;
        let held = |port: &&HostPort| self.ports.contains(*port) || capacity.reserved_ports.contains(*port);
        let (wanted, taken, all) = (needs.resources, self.resources, capacity.registered);
        if let Some(&port) = needs.ports.iter().find(held) {
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

    /// Adds what it keeps others from having: all until its containers have ended, its ports until it is gone.
    fn add_to(&self, taken: &mut Taken) {
        if self.is_queued() || self.known == TaskStatus::Stopped {
            return;
        }
        if self.known >= TaskStatus::Deprovisioning {
            taken.ports.extend(&self.needs.ports);
        } else {
            taken.add(&self.needs);
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
mod tests {
    use super::*;

    fn task(number: u8, memory: u64) -> HostTask {
        HostTask {
            id: TaskId::from_random([number; 16]),
            desired: DesiredStatus::Running,
            known: TaskStatus::Pending,
            stop: None,
            needs: Reservation { resources: Resources { cpu: 0, memory }, ports: BTreeSet::new() },
            hands: Hands::Empty,
        }
    }

    fn host(tasks: &[HostTask]) -> HostView {
        let registered = Resources { cpu: 2048, memory: 1000 };
        HostView { capacity: Capacity { registered, ..Capacity::default() }, tasks: tasks.to_vec() }
    }

    fn steps(tasks: &[HostTask]) -> Vec<(char, u8)> {
        let plan = admit(&host(tasks));
        let letter = |action: &TaskAction| match action {
            TaskAction::Start(_) => 's',
            TaskAction::Stop(..) => 't',
            TaskAction::Sweep(_) => 'w',
            TaskAction::Refuse(..) => 'r',
        };
        let number = |id: &TaskId| u8::from_str_radix(&id.as_str()[..2], 16).unwrap();
        plan.actions.iter().map(|action| (letter(action), number(action.task()))).collect()
    }

    #[test]
    fn tasks_start_while_they_fit() {
        assert_eq!(steps(&[task(1, 600), task(2, 400), task(3, 1)]), [('s', 1), ('s', 2)]);
    }

    #[test]
    fn nobody_overtakes_for_what_another_waits_for() {
        let mut running = task(1, 600);
        running.hands = Hands::Holding;
        running.known = TaskStatus::Running;
        assert_eq!(steps(&[running, task(2, 500), task(3, 100), task(4, 0)]), [('s', 4)]);
    }

    #[test]
    fn a_task_that_can_never_fit_is_refused_and_blocks_nobody() {
        assert_eq!(steps(&[task(1, 5000), task(2, 1000)]), [('r', 1), ('s', 2)]);
    }

    #[test]
    fn memory_is_free_once_the_containers_have_ended() {
        let mut ended = task(1, 1000);
        ended.desired = DesiredStatus::Stopped;
        ended.hands = Hands::Sweeping;
        ended.known = TaskStatus::Stopping;
        assert_eq!(steps(&[ended.clone(), task(2, 1000)]), []);
        ended.known = TaskStatus::Deprovisioning;
        assert_eq!(steps(&[ended, task(2, 1000)]), [('s', 2)]);
    }

    #[test]
    fn a_stop_leads_to_stop_or_straight_to_sweep() {
        let mut held = task(1, 0);
        held.hands = Hands::Holding;
        held.desired = DesiredStatus::Stopped;
        let mut never = held.clone();
        never.hands = Hands::Empty;
        assert_eq!(steps(&[held.clone(), never]), [('t', 1), ('w', 1)]);
        held.hands = Hands::Stopping;
        assert_eq!(steps(&[held.clone()]), []);
        held.known = TaskStatus::Deprovisioning;
        assert_eq!(steps(&[held.clone()]), [('w', 1)]);
        held.known = TaskStatus::Stopped;
        assert_eq!(steps(&[held]), []);
    }

    fn room_beside(view: &HostView, needs: &Reservation, most: u32) -> Room {
        let mut staying = Taken::default();
        let stays = view.tasks.iter().filter(|task| task.desired == DesiredStatus::Running);
        stays.for_each(|task| staying.add(&task.needs));
        let has_port = |port| staying.ports.contains(&port);
        room(&view.capacity, Promised { resources: staying.resources, has_port: &has_port }, needs, most)
    }

    #[test]
    fn two_tasks_cannot_hold_one_port_until_the_first_is_gone() {
        let port = (crate::model::network::Protocol::Tcp, 80);
        let mut first = task(1, 0);
        first.needs.ports.insert(port);
        first.hands = Hands::Sweeping;
        first.desired = DesiredStatus::Stopped;
        first.known = TaskStatus::Deprovisioning;
        let mut second = task(2, 0);
        second.needs.ports.insert(port);
        assert_eq!(steps(&[first.clone(), second.clone()]), []);
        let view = host(&[first, second.clone()]);
        assert_eq!(
            room_beside(&view, &second.needs, 3),
            Room { tasks: 0, obstacle: Some(Obstacle::Lacks(Shortage::Port(port))) }
        );
    }

    #[test]
    fn room_is_counted_beside_tasks_that_stay() {
        let mut leaving = task(1, 900);
        leaving.desired = DesiredStatus::Stopped;
        let view = host(&[leaving, task(2, 300)]);
        let needs = task(3, 300).needs;
        assert_eq!(room_beside(&view, &needs, 2), Room { tasks: 2, obstacle: None });
        assert_eq!(
            room_beside(&view, &needs, 9),
            Room { tasks: 2, obstacle: Some(Obstacle::Lacks(Shortage::Memory)) }
        );
    }
}
