//! Finding out what became of a task while no agent ran.
//!
//! A shim that lives is the truth about its task, whatever became of the files in the task's directory; those are
//! asked only once it is gone.

use std::fs;
use std::sync::Arc;

use super::converse::{Progress, converse, finish};
use super::publish::bindings;
use super::{Hands, Reins};
use crate::agent::Adopted;
use crate::agent::failure::sentence;
use crate::agent::network::{Given, Record};
use crate::model::fact::Seen;
use crate::model::task::{Task, TaskStatus};
use crate::model::task_definition::Document;
use crate::shim::alive;
use crate::shim::client::{self, ClientError, Connection};
use crate::shim::ledger::read_ledger;
use crate::shim::spec::TaskSpec;

impl Hands {
    /// See [`crate::agent::Agent::adopt`].
    pub(crate) async fn adopt(self: &Arc<Self>, task: &Task, document: &Document) -> Adopted {
        let Some(reins) = self.take(task) else { return Adopted::Running };
        for digest in task.containers.iter().filter_map(|container| container.image_digest.as_deref()) {
            self.images.hold_told(&task.id, digest);
        }
        let is_same_boot = fs::read_to_string(self.places.boot(&task.id)).is_ok_and(|boot| boot == self.boot);
        let directory = self.places.task(&task.id);
        let has_spec = TaskSpec::load(&directory).is_ok();
        if !has_spec && !alive::is_alive(&directory).unwrap_or(false) {
            return self.never_begun(task, reins, is_same_boot).await;
        }
        match client::find(&self.places.shim(&task.id), &directory, task.ledger_seen + 1).await {
            Ok(connection) => {
                let record = self.record(task);
                self.tell_again(task, &record, document);
                self.networks.adopt(&task.id, record);
                self.go_on(task, connection, reins);
                Adopted::Running
            }
            Err(ClientError::Gone(_)) => self.gone(task, reins, is_same_boot).await,
            Err(err) => {
                tracing::error!(task = %task.id, error = sentence(&err), "shim does not answer");
                if let Err(err) = self.silence(&task.id).await {
                    tracing::error!(task = %task.id, error = sentence(&err), "shim not ended");
                }
                self.gone(task, reins, is_same_boot).await
            }
        }
    }

    /// Tells what the last agent told of the network right before its end, when nobody has kept it: no ledger has it.
    fn tell_again(&self, task: &Task, record: &Record, document: &Document) {
        if task.attachment.is_none() && record.attachment.is_some() {
            self.teller.tell(&task.id, Seen::NetworkAttached { attachment: record.attachment.clone() });
        }
        for (container, bindings) in bindings(document, &record.given) {
            if task.container(&container).is_some_and(|known| known.network_bindings != bindings) {
                self.teller.tell(&task.id, Seen::PortsPublished { container, bindings });
            }
        }
    }

    fn go_on(self: &Arc<Self>, task: &Task, connection: Connection, mut reins: Reins) {
        let (hands, task) = (Arc::clone(self), task.clone());
        tokio::spawn(async move { converse(&hands, &task, connection, None, &mut reins).await });
    }

    /// A task without a spec had not come as far as a shim, or was removed but for the word of it.
    async fn never_begun(self: &Arc<Self>, task: &Task, reins: Reins, is_same_boot: bool) -> Adopted {
        let has_begun = match task.known_status {
            TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => task.ledger_seen > 0,
            TaskStatus::Running
            | TaskStatus::Deactivating
            | TaskStatus::Stopping
            | TaskStatus::Deprovisioning
            | TaskStatus::Stopped => true,
        };
        if !has_begun {
            drop(reins);
            self.drop_task(&task.id);
            return Adopted::NotStarted;
        }
        finish(self, task, &Progress::of(task), is_same_boot).await;
        drop(reins);
        Adopted::Gone
    }

    /// What the shim had seen before it ended is in its ledger; a task that has no fact there had not begun.
    async fn gone(self: &Arc<Self>, task: &Task, reins: Reins, is_same_boot: bool) -> Adopted {
        let facts = read_ledger(&self.places.ledger(&task.id), task.ledger_seen + 1).unwrap_or_else(|err| {
            tracing::error!(task = %task.id, error = sentence(&err), "ledger lost");
            Vec::new()
        });
        if facts.is_empty() && task.ledger_seen == 0 {
            return self.never_begun(task, reins, is_same_boot).await;
        }
        let mut progress = Progress::of(task);
        for fact in facts {
            progress.take(&fact);
            self.teller.pass(fact);
        }
        finish(self, task, &progress, is_same_boot).await;
        drop(reins);
        Adopted::Gone
    }

    /// What the task holds of the network: by its own directory, or by what was told of it.
    fn record(&self, task: &Task) -> Record {
        let known = Record::load(&self.places.network(&task.id));
        known.unwrap_or_else(|| {
            let address = task.attachment.as_ref().map(|attachment| attachment.interface.address);
            let given = task.containers.iter().flat_map(|container| {
                let bindings = container.network_bindings.iter();
                bindings.filter_map(move |binding| Given::told(&container.name, binding, address?))
            });
            Record { attachment: task.attachment.clone(), given: given.collect() }
        })
    }
}
