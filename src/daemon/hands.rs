//! What this host's hands hold, as far as this daemon knows.
//!
//! A daemon begins with empty hands; adoption fills them. They are no state of their own: whatever is lost here is
//! found again in the store and on the host.

use std::collections::{BTreeSet, HashMap};

use crate::{
    model::{
        ids::TaskId,
        resources::{Capacity, HostPort, Reservation, Resources},
        service::SchedulingStrategy,
        task::Task,
        time::Timestamp,
    },
    plan::admit::{Hands, Hold, HostTask, HostView, Promised},
    store::Snapshot,
};

/// What the host does with each task.
#[derive(Debug, Default)]
pub struct HandsOf {
    held: HashMap<TaskId, Hands>,
}

impl HandsOf {
    /// What it does with this one.
    #[must_use]
    pub fn of(&self, task: &TaskId) -> Hands {
        self.held.get(task).copied().unwrap_or(Hands::Empty)
    }

    /// Notes what it does with one.
    pub fn set(&mut self, task: &TaskId, hands: Hands) {
        if hands == Hands::Empty {
            self.held.remove(task);
        } else {
            self.held.insert(task.clone(), hands);
        }
    }

    /// Forgets tasks that are over.
    pub fn retain(&mut self, is_live: impl Fn(&TaskId) -> bool) {
        self.held.retain(|task, _| is_live(task));
    }
}

/// What the tasks of the host hold, and which of them may need a step: kept as tasks change, so that a pass looks at
/// nothing else.
#[derive(Debug, Default)]
pub struct Holdings {
    of: HashMap<TaskId, Part>,
    open: BTreeSet<Turn>,
    resources: Resources,
    ports: HashMap<HostPort, u32>,
}

/// When a task has its turn: when it was made, when its service was, and its name.
type Turn = (Timestamp, Option<Timestamp>, TaskId);

/// What one task adds to it.
#[derive(Debug)]
struct Part {
    turn: Turn,
    is_open: bool,
    hold: Hold,
    needs: Reservation,
}

impl Holdings {
    /// Looks at a task again, after it or what the hands do with it has changed.
    pub fn refresh(&mut self, snapshot: &Snapshot, id: &TaskId, hands: Hands) {
        self.forget(id);
        let Some(task) = snapshot.task(id).filter(|task| !task.is_stopped()) else { return };
        let seen = host_task(snapshot, task, hands);
        let turn = (task.created_at, service_age(snapshot, task), id.clone());
        let part = Part { turn, is_open: seen.is_open(), hold: seen.hold(), needs: seen.needs };
        if part.is_open {
            self.open.insert(part.turn.clone());
        } else {
            self.count(&part, true);
        }
        self.of.insert(id.clone(), part);
    }

    fn forget(&mut self, id: &TaskId) {
        let Some(part) = self.of.remove(id) else { return };
        if part.is_open {
            self.open.remove(&part.turn);
        } else {
            self.count(&part, false);
        }
    }

    fn count(&mut self, part: &Part, is_more: bool) {
        let (cpu, memory) = (part.needs.resources.cpu, part.needs.resources.memory);
        match (part.hold, is_more) {
            (Hold::All, true) => {
                self.resources.cpu += cpu;
                self.resources.memory += memory;
            }
            (Hold::All, false) => {
                self.resources.cpu -= cpu;
                self.resources.memory -= memory;
            }
            (Hold::Ports | Hold::Nothing, _) => {}
        }
        if part.hold == Hold::Nothing {
            return;
        }
        for port in &part.needs.ports {
            let count = self.ports.entry(*port).or_default();
            *count = if is_more { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.ports.remove(port);
            }
        }
    }

    /// The tasks that may need a step, the oldest first.
    pub fn view(&self, snapshot: &Snapshot, capacity: &Capacity, hands: &HandsOf) -> HostView {
        let tasks = self.open.iter().filter_map(|(_, _, id)| snapshot.task(id));
        let tasks = tasks.map(|task| host_task(snapshot, task, hands.of(&task.id)));
        HostView { capacity: capacity.clone(), tasks: tasks.collect() }
    }

    /// Decides beside what all other tasks hold.
    pub fn beside<T>(&self, decide: impl FnOnce(Promised<'_>) -> T) -> T {
        decide(Promised { resources: self.resources, has_port: &|port| self.ports.contains_key(&port) })
    }
}

fn host_task(snapshot: &Snapshot, task: &Task, hands: Hands) -> HostTask {
    let definition = snapshot.task_definition(&task.task_definition);
    let needs = definition.map(|definition| Reservation::of(&definition.document, &task.overrides));
    HostTask {
        id: task.id.clone(),
        desired: task.desired_status,
        known: task.known_status,
        stop: task.stop.clone(),
        needs: needs.unwrap_or_default(),
        hands,
    }
}

/// When the service of a task was made: after a reboot all services get their tasks in the same moment, the oldest
/// first. DAEMON services come before all others.
fn service_age(snapshot: &Snapshot, task: &Task) -> Option<Timestamp> {
    let owner = task.owner.as_ref()?;
    let service = snapshot.service(&(task.cluster.clone(), owner.service.clone()))?;
    Some(match service.scheduling_strategy {
        SchedulingStrategy::Daemon => Timestamp(0),
        SchedulingStrategy::Replica => service.created_at,
    })
}
