//! What this host's hands hold, as far as this daemon knows.
//!
//! A daemon begins with empty hands; adoption fills them. They are no state of their own: whatever is lost here is
//! found again in the store and on the host.

use std::collections::HashMap;

use crate::{
    model::{
        ids::TaskId,
        resources::{Capacity, Reservation},
        task::Task,
        time::Timestamp,
    },
    plan::admit::{Hands, HostTask, HostView},
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

/// The live tasks of the host, the oldest first.
pub fn host_view(snapshot: &Snapshot, capacity: &Capacity, hands: impl Fn(&TaskId) -> Hands) -> HostView {
    let mut live: Vec<_> = snapshot.live_tasks().collect();
    live.sort_by_cached_key(|task| (task.created_at, service_age(snapshot, task), task.id.clone()));
    let tasks = live.into_iter().map(|task| {
        let definition = snapshot.task_definition(&task.task_definition);
        let needs = definition.map(|definition| Reservation::of(&definition.document, &task.overrides));
        HostTask {
            id: task.id.clone(),
            desired: task.desired_status,
            known: task.known_status,
            stop: task.stop.clone(),
            needs: needs.unwrap_or_default(),
            hands: hands(&task.id),
        }
    });
    HostView { capacity: capacity.clone(), tasks: tasks.collect() }
}

/// When the service of a task was made. After a reboot all services get their tasks in the same moment, the oldest first.
fn service_age(snapshot: &Snapshot, task: &Task) -> Option<Timestamp> {
    let owner = task.owner.as_ref()?;
    Some(snapshot.service(&(task.cluster.clone(), owner.service.clone()))?.created_at)
}
