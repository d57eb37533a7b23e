//! Forgetting: what has been over for long enough, or is more than is to be kept, leaves the store and the disk.

use std::{collections::BTreeSet, convert::Infallible};

use tracing::{error, warn};

use super::Reconciler;
use crate::{
    daemon::{clock, config::HistoryConfig, doer::Doer, report::chain, services},
    model::{ids::TaskId, time::Timestamp},
    store::{Retention, Snapshot},
};

impl<D: Doer> Reconciler<D> {
    /// Forgets what has been over for long enough.
    pub(super) async fn prune(&mut self) {
        let now = clock::moment();
        let HistoryConfig { keep, most_tasks, most_bytes } = self.settings.history;
        if !self.pruning.is_due(now) {
            return;
        }
        let before = clock::wall().before(keep);
        let before = before.max(self.over_the_ceiling(most_bytes).await);
        let retention = Retention { before, most_stopped_tasks: most_tasks };
        let pruned = self.store.write(move |draft| Ok::<_, Infallible>(draft.prune(retention))).await;
        let snapshot = self.store.snapshot();
        let is_empty = snapshot.stopped_tasks().next().is_none();
        self.pruning.done(now, is_empty);
        self.forget_moments(&snapshot);
        match pruned {
            Ok(forgotten) => {
                for task in forgotten {
                    self.forget(task);
                }
            }
            Err(why) => error!(error = %chain(&why), "history not pruned"),
        }
    }

    /// The time before which stopped tasks are too many bytes, the newer ones included.
    async fn over_the_ceiling(&mut self, most_bytes: u64) -> Timestamp {
        let snapshot = self.store.snapshot();
        let ended = self.pruning.take_ended();
        let ended: Vec<_> = ended.iter().filter_map(|id| snapshot.task(id)).collect();
        let logs = self.doer.log_bytes(ended.iter().map(|task| task.id.clone()).collect()).await;
        for (task, logs) in ended.into_iter().zip(logs) {
            self.sizes.note(task, logs);
        }
        self.sizes.forget(|id| snapshot.task(id).is_some());
        self.sizes.kept_since(most_bytes)
    }

    fn forget(&self, task: TaskId) {
        let forgetting = self.doer.forget(task.clone());
        tokio::spawn(async move {
            if let Err(why) = forgetting.await {
                warn!(task = %task, error = %why, "logs of a forgotten task not deleted");
            }
        });
    }

    fn forget_moments(&mut self, snapshot: &Snapshot) {
        let keys = snapshot.services().map(|of| (of.cluster.clone(), of.name.clone()));
        let used: BTreeSet<Timestamp> =
            keys.flat_map(|key| services::times_of(snapshot, &key).collect::<Vec<_>>()).collect();
        self.passes.forget(|at| used.contains(&at));
    }
}
