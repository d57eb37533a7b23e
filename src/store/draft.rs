//! A change in the making: everything a snapshot can tell, and the ways to alter it.
//!
//! A draft sees its own changes. Nobody else sees them before they are durable, and when the closure that makes
//! the draft fails, nobody ever does.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use super::{
    record::{ClientToken, LastRevision, Record, ServiceKey, Table, service_row},
    snapshot::{BOOT_ID, Snapshot, account_setting_row},
    watch::Changes,
};
use crate::model::{
    cluster::Cluster,
    ids::{ClusterName, Family, TaskDefinitionId, TaskId},
    service::{Service, ServiceStatus},
    task::Task,
    task_definition::{TaskDefinition, TaskDefinitionStatus},
    time::Timestamp,
};

/// How long what is over is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Tasks that stopped and services that ended before this moment are forgotten.
    pub before: Timestamp,
    /// At most so many stopped tasks are kept; the oldest go first.
    pub most_stopped_tasks: usize,
}

/// A change in the making.
pub struct Draft {
    pub(super) view: Snapshot,
    pub(super) rows: BTreeMap<(Table, String), Option<Record>>,
    pub(super) changes: Changes,
}

impl Deref for Draft {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.view
    }
}

impl Draft {
    pub(super) fn on(view: Snapshot) -> Self {
        Self { view, rows: BTreeMap::new(), changes: Changes::default() }
    }

    fn put(&mut self, table: Table, key: String, record: Record) {
        self.view.apply(&record);
        self.rows.insert((table, key), Some(record));
    }

    fn remove(&mut self, table: Table, key: String) {
        self.rows.insert((table, key), None);
    }

    /// Writes a cluster.
    pub fn put_cluster(&mut self, cluster: Cluster) {
        self.changes.clusters.insert(cluster.name.clone());
        self.put(Table::Cluster, cluster.name.to_string(), Record::Cluster(Arc::new(cluster)));
    }

    /// Forgets a cluster.
    pub fn remove_cluster(&mut self, name: &ClusterName) {
        if self.view.clusters.remove_mut(name) {
            self.changes.clusters.insert(name.clone());
            self.remove(Table::Cluster, name.to_string());
        }
    }

    /// The revision that the next task definition of `family` gets. It is taken by writing that definition.
    #[must_use]
    pub fn next_revision(&self, family: &Family) -> u32 {
        self.view.last_revision(family) + 1
    }

    /// Writes a task definition; its revision is never given out again.
    pub fn put_task_definition(&mut self, definition: TaskDefinition) {
        let TaskDefinitionId { family, revision } = definition.id.clone();
        self.changes.task_definitions.insert(definition.id.clone());
        if revision > self.view.last_revision(&family) {
            let last = LastRevision { family: family.clone(), revision };
            self.put(Table::Revision, family.to_string(), Record::Revision(last));
        }
        let key = definition.id.to_string();
        self.put(Table::TaskDefinition, key, Record::TaskDefinition(Arc::new(definition)));
    }

    /// Forgets a task definition. The revision stays taken.
    pub fn remove_task_definition(&mut self, id: &TaskDefinitionId) {
        if self.view.definitions.remove_mut(id) {
            self.changes.task_definitions.insert(id.clone());
            self.remove(Table::TaskDefinition, id.to_string());
        }
    }

    /// Writes a service.
    pub fn put_service(&mut self, service: Service) {
        let key = (service.cluster.clone(), service.name.clone());
        let row = service_row(&key);
        self.changes.services.insert(key);
        self.put(Table::Service, row, Record::Service(Arc::new(service)));
    }

    /// Forgets a service.
    pub fn remove_service(&mut self, key: &ServiceKey) {
        if self.view.services.remove_mut(key) {
            self.changes.services.insert(key.clone());
            self.remove(Table::Service, service_row(key));
        }
    }

    /// Writes a task. Its definition must be there already for what it takes of the host to be counted.
    pub fn put_task(&mut self, task: Task) {
        self.changes.tasks.insert(task.id.clone());
        self.put(Table::Task, task.id.to_string(), Record::Task(Arc::new(task)));
    }

    /// Changes a task and counts its version up; whether there was one.
    pub fn update_task(&mut self, id: &TaskId, change: impl FnOnce(&mut Task)) -> bool {
        let Some(task) = self.view.task(id) else { return false };
        let mut task = Task::clone(task);
        change(&mut task);
        task.version += 1;
        self.put_task(task);
        true
    }

    /// Changes a service; whether there was one.
    pub fn update_service(&mut self, key: &ServiceKey, change: impl FnOnce(&mut Service)) -> bool {
        let Some(service) = self.view.service(key) else { return false };
        let mut service = Service::clone(service);
        change(&mut service);
        self.put_service(service);
        true
    }

    /// Forgets a task.
    pub fn remove_task(&mut self, id: &TaskId) {
        if self.view.tasks.remove(id).is_some() {
            self.changes.tasks.insert(id.clone());
            self.remove(Table::Task, id.to_string());
        }
    }

    /// Remembers an answer, and forgets those that expired before `now`.
    pub fn put_client_token(&mut self, token: ClientToken, now: Timestamp) {
        while let Some((expires_at, key)) = self.view.token_ends.first().cloned() {
            if expires_at >= now {
                break;
            }
            self.remove_client_token(&key);
        }
        self.remove_client_token(&token.key);
        self.put(Table::Token, token.key.clone(), Record::Token(Arc::new(token)));
    }

    fn remove_client_token(&mut self, key: &str) {
        if let Some(token) = self.view.tokens.get(key).map(Arc::clone) {
            self.view.tokens.remove_mut(key);
            self.view.token_ends.remove_mut(&(token.expires_at, token.key.clone()));
            self.remove(Table::Token, token.key.clone());
        }
    }

    /// Notes the boot of the host that this daemon runs in.
    pub fn set_boot_id(&mut self, id: impl Into<String>) {
        self.put(Table::Meta, BOOT_ID.to_owned(), Record::Meta(BOOT_ID.to_owned(), id.into()));
    }

    /// Sets an account setting of `principal`.
    pub fn put_account_setting(&mut self, principal: &str, name: &str, value: impl Into<String>) {
        let row = account_setting_row(principal, name);
        self.put(Table::Meta, row.clone(), Record::Meta(row, value.into()));
    }

    /// Forgets an account setting of `principal`; what it was, if there was one.
    pub fn remove_account_setting(&mut self, principal: &str, name: &str) -> Option<String> {
        let row = account_setting_row(principal, name);
        let value = self.view.meta.get(&row).cloned()?;
        self.view.meta.remove_mut(&row);
        self.remove(Table::Meta, row);
        Some(value)
    }

    /// Forgets what is over and old enough: stopped tasks, INACTIVE services without events since, and definitions
    /// whose deletion waited for their last use. The tasks that were forgotten come back, for what is kept of them
    /// elsewhere.
    pub fn prune(&mut self, retention: Retention) -> Vec<TaskId> {
        let mut forgotten = Vec::new();
        while let Some((ended, id)) = self.view.tasks.by_end.first().cloned() {
            let surplus = self.view.tasks.by_end.size() > retention.most_stopped_tasks;
            if ended >= retention.before && !surplus {
                break;
            }
            self.remove_task(&id);
            forgotten.push(id);
        }
        let over: Vec<ServiceKey> = self
            .view
            .services()
            .filter(|service| is_over(service, retention.before))
            .map(|service| (service.cluster.clone(), service.name.clone()))
            .collect();
        for key in over {
            self.remove_service(&key);
        }
        self.drop_deleted_definitions();
        forgotten
    }

    /// Forgets definitions in DELETE_IN_PROGRESS that nothing uses any more.
    pub fn drop_deleted_definitions(&mut self) {
        let gone: Vec<TaskDefinitionId> = self
            .view
            .task_definitions()
            .filter(|definition| definition.status == TaskDefinitionStatus::DeleteInProgress)
            .filter(|definition| !self.view.is_used(&definition.id))
            .map(|definition| definition.id.clone())
            .collect();
        for id in gone {
            self.remove_task_definition(&id);
        }
    }
}

fn is_over(service: &Service, before: Timestamp) -> bool {
    let last = service.deployments.iter().map(|deployment| deployment.updated_at);
    let last = last.chain(service.events.iter().map(|event| event.created_at)).max();
    service.status == ServiceStatus::Inactive && last.unwrap_or(service.created_at) < before
}
