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

use crate::model::{
    action::TaskAction,
    capacity::{Capacity, Needs, Shortage},
    ids::TaskId,
    task::{DesiredStatus, StopCode, StopRequest, TaskStatus},
};

use super::Plan;

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
    pub needs: Needs,
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

/// The next step of each task of this host.
#[must_use]
pub fn admit(view: &HostView) -> Plan<TaskAction, Waiting> {
    let mut plan = Plan::default();
    let mut taken = Needs::default();
    for task in &view.tasks {
        taken.add(&task.takes());
    }
    for task in &view.tasks {
        if let Some(step) = task.step_down() {
            plan.actions.push(step);
        } else if task.is_queued() {
            queue(view.capacity, &mut taken, task, &mut plan);
        }
    }
    plan
}

/// Starts `task` if it fits, and takes its needs off what is left either way.
fn queue(capacity: Capacity, taken: &mut Needs, task: &HostTask, plan: &mut Plan<TaskAction, Waiting>) {
    if let Err(shortage) = capacity.fits(&Needs::default(), &task.needs) {
        plan.actions.push(TaskAction::Refuse(task.id.clone(), too_large(capacity, &task.needs, shortage)));
        return;
    }
    match capacity.fits(taken, &task.needs) {
        Ok(()) => plan.actions.push(TaskAction::Start(task.id.clone())),
        Err(shortage) => plan.notes.push(Waiting { task: task.id.clone(), shortage }),
    }
    taken.add(&task.needs);
}

fn too_large(capacity: Capacity, needs: &Needs, shortage: Shortage) -> StopRequest {
    let reason = match shortage {
        Shortage::Memory => format!(
            "ResourceInitializationError: the task needs {} MiB of memory and this host has {}",
            needs.memory, capacity.memory
        ),
        Shortage::Cpu => format!(
            "ResourceInitializationError: the task needs {} CPU units and this host has {}",
            needs.cpu, capacity.cpu
        ),
        Shortage::Port(port) => format!("ResourceInitializationError: port {port} of the host cannot be had"),
    };
    StopRequest { code: StopCode::TaskFailedToStart, reason }
}

impl HostTask {
    fn is_queued(&self) -> bool {
        self.desired == DesiredStatus::Running && self.hands == Hands::Empty
    }

    /// What it keeps others from having: all until its containers have ended, its ports until it is gone.
    fn takes(&self) -> Needs {
        if self.is_queued() || self.known == TaskStatus::Stopped {
            Needs::default()
        } else if self.known >= TaskStatus::Deprovisioning {
            Needs { ports: self.needs.ports.clone(), ..Needs::default() }
        } else {
            self.needs.clone()
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

    const HOST: Capacity = Capacity { cpu: 2048, memory: 1000 };

    fn task(number: u8, memory: u32) -> HostTask {
        HostTask {
            id: TaskId::from_random([number; 16]),
            desired: DesiredStatus::Running,
            known: TaskStatus::Pending,
            stop: None,
            needs: Needs { memory, ..Needs::default() },
            hands: Hands::Empty,
        }
    }

    fn steps(tasks: &[HostTask]) -> Vec<(char, u8)> {
        let plan = admit(&HostView { capacity: HOST, tasks: tasks.to_vec() });
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
}
