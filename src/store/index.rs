//! Indexes over tasks, kept as tasks change, so that a decision never walks what it is not about.
//!
//! A task is *live* until nothing of it is left on the host. Everything here is a persistent map: a copy costs a
//! few reference counts and shares what did not change.

use std::{hash::Hash, sync::Arc};

use rpds::{HashTrieMapSync, RedBlackTreeMapSync, RedBlackTreeSetSync};

use super::record::ServiceKey;
use crate::model::{
    ids::{ClusterName, DeploymentId, TaskDefinitionId, TaskId},
    resources::{HostPort, Reservation, Resources},
    task::{DesiredStatus, Task, TaskStatus},
    task_definition::TaskDefinition,
    time::Timestamp,
};

/// How many live tasks there are of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Not RUNNING yet.
    pub pending: u32,
    /// RUNNING.
    pub running: u32,
    /// On their way out.
    pub stopping: u32,
    /// Those of all three whose desired status is RUNNING.
    pub wanted: u32,
}

impl Counts {
    /// All that are live.
    #[must_use]
    pub fn live(self) -> u32 {
        self.pending + self.running + self.stopping
    }

    fn slot(&mut self, status: TaskStatus) -> Option<&mut u32> {
        match status {
            TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => {
                Some(&mut self.pending)
            }
            TaskStatus::Running => Some(&mut self.running),
            TaskStatus::Deactivating | TaskStatus::Stopping | TaskStatus::Deprovisioning => {
                Some(&mut self.stopping)
            }
            TaskStatus::Stopped => None,
        }
    }

    fn add(&mut self, task: &Task) {
        let wanted = task.desired_status == DesiredStatus::Running;
        if let Some(slot) = self.slot(task.known_status) {
            *slot += 1;
            self.wanted += u32::from(wanted);
        }
    }

    fn subtract(&mut self, task: &Task) {
        let wanted = task.desired_status == DesiredStatus::Running;
        if let Some(slot) = self.slot(task.known_status) {
            *slot -= 1;
            self.wanted -= u32::from(wanted);
        }
    }
}

/// Tasks that have something in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) live: RedBlackTreeMapSync<TaskId, Arc<Task>>,
    pub(super) stopped: RedBlackTreeMapSync<TaskId, Arc<Task>>,
    pub(super) counts: Counts,
}

impl Group {
    fn insert(&mut self, task: &Arc<Task>) {
        self.counts.add(task);
        let side = if task.is_stopped() { &mut self.stopped } else { &mut self.live };
        side.insert_mut(task.id.clone(), Arc::clone(task));
    }

    fn remove(&mut self, task: &Task) {
        self.counts.subtract(task);
        let side = if task.is_stopped() { &mut self.stopped } else { &mut self.live };
        side.remove_mut(&task.id);
    }

    fn is_empty(&self) -> bool {
        self.live.is_empty() && self.stopped.is_empty()
    }
}

/// What live tasks take of the host.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// CPU and memory.
    pub resources: Resources,
    ports: HashTrieMapSync<HostPort, u32>,
}

impl Taken {
    /// Whether a live task holds `port`.
    #[must_use]
    pub fn has(&self, port: HostPort) -> bool {
        self.ports.contains_key(&port)
    }

    /// The ports that live tasks hold, in no order.
    pub fn ports(&self) -> impl Iterator<Item = HostPort> {
        self.ports.keys().copied()
    }

    fn take(&mut self, reservation: &Reservation) {
        self.resources.cpu += reservation.resources.cpu;
        self.resources.memory += reservation.resources.memory;
        for port in &reservation.ports {
            count(&mut self.ports, port);
        }
    }

    fn give_back(&mut self, reservation: &Reservation) {
        self.resources.cpu -= reservation.resources.cpu;
        self.resources.memory -= reservation.resources.memory;
        for port in &reservation.ports {
            uncount(&mut self.ports, port);
        }
    }
}

/// Every task, and the ways to find it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    pub(super) all: Group,
    pub(super) of_cluster: HashTrieMapSync<ClusterName, Group>,
    pub(super) of_service: HashTrieMapSync<ServiceKey, Group>,
    pub(super) of_deployment: HashTrieMapSync<DeploymentId, Counts>,
    pub(super) definition_uses: HashTrieMapSync<TaskDefinitionId, u32>,
    pub(super) by_end: RedBlackTreeSetSync<(Timestamp, TaskId)>,
    pub(super) taken: Taken,
    /// The part of it that tasks with desired status RUNNING take.
    pub(super) wanted: Taken,
    reservations: HashTrieMapSync<TaskId, Arc<Reservation>>,
}

impl Tasks {
    pub(super) fn get(&self, id: &TaskId) -> Option<&Arc<Task>> {
        self.all.live.get(id).or_else(|| self.all.stopped.get(id))
    }

    /// Puts `task` in the place of what has its id; `definition` is what it is made of, if that is still known.
    pub(super) fn insert(&mut self, task: &Arc<Task>, definition: Option<&TaskDefinition>) {
        let kept = self.reservations.get(&task.id).map(Arc::clone);
        self.remove(&task.id);
        self.all.insert(task);
        group(&mut self.of_cluster, &task.cluster, |group| group.insert(task));
        if let Some(owner) = &task.owner {
            let key = (task.cluster.clone(), owner.service.clone());
            group(&mut self.of_service, &key, |group| group.insert(task));
        }
        if task.is_stopped() {
            self.by_end.insert_mut((end(task), task.id.clone()));
            return;
        }
        if let Some(owner) = &task.owner {
            let mut counts = self.of_deployment.get(&owner.deployment).copied().unwrap_or_default();
            counts.add(task);
            self.of_deployment.insert_mut(owner.deployment.clone(), counts);
        }
        count(&mut self.definition_uses, &task.task_definition);
        let reservation = kept.or_else(|| {
            definition.map(|definition| Arc::new(Reservation::of(&definition.document, &task.overrides)))
        });
        if let Some(reservation) = reservation {
            self.taken.take(&reservation);
            if task.desired_status == DesiredStatus::Running {
                self.wanted.take(&reservation);
            }
            self.reservations.insert_mut(task.id.clone(), reservation);
        }
    }

    /// Forgets the task of that id.
    pub(super) fn remove(&mut self, id: &TaskId) -> Option<Arc<Task>> {
        let task = Arc::clone(self.get(id)?);
        self.all.remove(&task);
        group(&mut self.of_cluster, &task.cluster, |group| group.remove(&task));
        if let Some(owner) = &task.owner {
            let key = (task.cluster.clone(), owner.service.clone());
            group(&mut self.of_service, &key, |group| group.remove(&task));
        }
        if task.is_stopped() {
            self.by_end.remove_mut(&(end(&task), task.id.clone()));
            return Some(task);
        }
        if let Some(owner) = &task.owner {
            let mut counts = self.of_deployment.get(&owner.deployment).copied().unwrap_or_default();
            counts.subtract(&task);
            if counts == Counts::default() {
                self.of_deployment.remove_mut(&owner.deployment);
            } else {
                self.of_deployment.insert_mut(owner.deployment.clone(), counts);
            }
        }
        uncount(&mut self.definition_uses, &task.task_definition);
        if let Some(reservation) = self.reservations.get(id).map(Arc::clone) {
            self.taken.give_back(&reservation);
            if task.desired_status == DesiredStatus::Running {
                self.wanted.give_back(&reservation);
            }
            self.reservations.remove_mut(id);
        }
        Some(task)
    }
}

/// When a stopped task ended, for the order in which they are forgotten.
fn end(task: &Task) -> Timestamp {
    task.times.stopped_at.unwrap_or(task.created_at)
}

fn group<K: Hash + Eq + Clone>(
    groups: &mut HashTrieMapSync<K, Group>,
    key: &K,
    change: impl FnOnce(&mut Group),
) {
    let mut group = groups.get(key).cloned().unwrap_or_default();
    change(&mut group);
    if group.is_empty() {
        groups.remove_mut(key);
    } else {
        groups.insert_mut(key.clone(), group);
    }
}

fn count<K: Hash + Eq + Clone>(counts: &mut HashTrieMapSync<K, u32>, key: &K) {
    let before = counts.get(key).copied().unwrap_or(0);
    counts.insert_mut(key.clone(), before + 1);
}

fn uncount<K: Hash + Eq + Clone>(counts: &mut HashTrieMapSync<K, u32>, key: &K) {
    match counts.get(key).copied() {
        Some(before) if before > 1 => counts.insert_mut(key.clone(), before - 1),
        Some(_) => {
            counts.remove_mut(key);
        }
        None => {}
    }
}
