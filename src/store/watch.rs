//! What changed, for those who wait for it.
//!
//! A watch holds one set of names, not a queue: a watcher that is slow hears once of what changed many times, and
//! costs no more than the names of what there is.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::Notify;

use super::record::ServiceKey;
use crate::model::ids::{ClusterName, TaskDefinitionId, TaskId};

/// The names of what was written or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Clusters.
    pub clusters: BTreeSet<ClusterName>,
    /// Revisions of task definitions.
    pub task_definitions: BTreeSet<TaskDefinitionId>,
    /// Services.
    pub services: BTreeSet<ServiceKey>,
    /// Tasks.
    pub tasks: BTreeSet<TaskId>,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty()
            && self.task_definitions.is_empty()
            && self.services.is_empty()
            && self.tasks.is_empty()
    }

    /// Takes in what else changed.
    pub(super) fn merge(&mut self, more: &Self) {
        self.clusters.extend(more.clusters.iter().cloned());
        self.task_definitions.extend(more.task_definitions.iter().cloned());
        self.services.extend(more.services.iter().cloned());
        self.tasks.extend(more.tasks.iter().cloned());
    }
}

#[derive(Debug, Default)]
struct Slot {
    changes: Mutex<Changes>,
    notify: Notify,
}

impl Slot {
    fn take(&self) -> Changes {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A place where changes gather until they are asked for.
#[derive(Debug)]
pub struct Watch {
    slot: Arc<Slot>,
}

impl Watch {
    /// What has changed since the last time, once anything has. Dropping the future loses nothing.
    pub async fn changed(&mut self) -> Changes {
        loop {
            let notified = self.slot.notify.notified();
            let changes = self.slot.take();
            if !changes.is_empty() {
                return changes;
            }
            notified.await;
        }
    }
}

/// Every watch there is.
#[derive(Debug, Default)]
pub(super) struct Watches {
    slots: Mutex<Vec<Weak<Slot>>>,
}

impl Watches {
    pub(super) fn add(&self) -> Watch {
        let slot = Arc::<Slot>::default();
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&slot));
        Watch { slot }
    }

    pub(super) fn tell(&self, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| {
            let Some(slot) = slot.upgrade() else { return false };
            slot.changes.lock().unwrap_or_else(PoisonError::into_inner).merge(changes);
            slot.notify.notify_one();
            true
        });
    }
}
