//! One consistent view of everything, at one revision.
//!
//! A snapshot never changes. Taking one costs a reference count, keeping one keeps only what has changed since
//! from being freed, and reading one takes no lock.

use std::{iter, sync::Arc};

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

use super::{
    index::{Counts, Group, Taken, Tasks},
    record::{ClientToken, LastRevision, Record, ServiceKey},
};
use crate::model::{
    cluster::Cluster,
    ids::{ClusterName, DeploymentId, Family, InstanceId, TaskDefinitionId, TaskId},
    service::{Service, ServiceStatus},
    task::Task,
    task_definition::{TaskDefinition, TaskDefinitionStatus},
    time::Timestamp,
};

/// The name of the row that holds the boot id.
pub(super) const BOOT_ID: &str = "boot-id";

/// Before the name of a row that holds an account setting.
const ACCOUNT_SETTING: &str = "account-setting/";

/// The row of an account setting. No principal has a space in its name.
pub(super) fn account_setting_row(principal: &str, name: &str) -> String {
    format!("{ACCOUNT_SETTING}{principal} {name}")
}

/// One consistent view of everything.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) revision: u64,
    pub(super) clusters: RedBlackTreeMapSync<ClusterName, Arc<Cluster>>,
    pub(super) definitions: RedBlackTreeMapSync<TaskDefinitionId, Arc<TaskDefinition>>,
    pub(super) revisions: RedBlackTreeMapSync<Family, u32>,
    pub(super) services: RedBlackTreeMapSync<ServiceKey, Arc<Service>>,
    pub(super) tasks: Tasks,
    pub(super) tokens: RedBlackTreeMapSync<String, Arc<ClientToken>>,
    pub(super) token_ends: RedBlackTreeSetSync<(Timestamp, String)>,
    pub(super) meta: RedBlackTreeMapSync<String, String>,
}

impl Snapshot {
    /// How many commits led here since the store was opened.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The cluster of that name, deleted ones included.
    #[must_use]
    pub fn cluster(&self, name: &ClusterName) -> Option<&Arc<Cluster>> {
        self.clusters.get(name)
    }

    /// Every cluster, by name, deleted ones included.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.values()
    }

    /// The cluster that knows this host by `instance`.
    #[must_use]
    pub fn cluster_of_instance(&self, instance: &InstanceId) -> Option<&Arc<Cluster>> {
        self.clusters().find(|cluster| cluster.instance == *instance)
    }

    /// One revision of a task definition.
    #[must_use]
    pub fn task_definition(&self, id: &TaskDefinitionId) -> Option<&Arc<TaskDefinition>> {
        self.definitions.get(id)
    }

    /// Every revision of every family, by family and then by number.
    pub fn task_definitions(&self) -> impl DoubleEndedIterator<Item = &Arc<TaskDefinition>> {
        self.definitions.values()
    }

    /// Every revision of one family, by number.
    pub fn task_definitions_of(
        &self,
        family: &Family,
    ) -> impl DoubleEndedIterator<Item = &Arc<TaskDefinition>> + use<'_> {
        let first = TaskDefinitionId { family: family.clone(), revision: 0 };
        let last = TaskDefinitionId { family: family.clone(), revision: u32::MAX };
        self.definitions.range(first..=last).map(|(_, definition)| definition)
    }

    /// The highest ACTIVE revision of a family.
    #[must_use]
    pub fn latest_active(&self, family: &Family) -> Option<&Arc<TaskDefinition>> {
        self.task_definitions_of(family)
            .rev()
            .find(|definition| definition.status == TaskDefinitionStatus::Active)
    }

    /// The highest revision that the family has ever had; 0 for a family that never was.
    #[must_use]
    pub fn last_revision(&self, family: &Family) -> u32 {
        self.revisions.get(family).copied().unwrap_or(0)
    }

    /// Whether a live task or a service that is not INACTIVE is made of `id`.
    #[must_use]
    pub fn is_used(&self, id: &TaskDefinitionId) -> bool {
        self.tasks.definition_uses.contains_key(id)
            || self.services().any(|service| {
                service.status != ServiceStatus::Inactive
                    && service.deployments.iter().any(|deployment| deployment.task_definition == *id)
            })
    }

    /// The service of that cluster and name, INACTIVE ones included.
    #[must_use]
    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    /// Every service, by cluster and name, INACTIVE ones included.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// Every service of one cluster, by name, INACTIVE ones included.
    pub fn services_of(&self, cluster: &ClusterName) -> impl Iterator<Item = &Arc<Service>> {
        self.services().filter(move |service| service.cluster == *cluster)
    }

    /// The task of that id.
    #[must_use]
    pub fn task(&self, id: &TaskId) -> Option<&Arc<Task>> {
        self.tasks.get(id)
    }

    /// Every task, live ones first, by id.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.live_tasks().chain(self.stopped_tasks())
    }

    /// Every task that nothing is left of, by id.
    pub fn stopped_tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.all.stopped.values()
    }

    /// Every task that something is left of, by id.
    pub fn live_tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.all.live.values()
    }

    /// Every task of a cluster, by id.
    pub fn tasks_of_cluster<'s>(
        &'s self,
        cluster: &ClusterName,
    ) -> impl Iterator<Item = &'s Arc<Task>> + use<'s> {
        both(self.tasks.of_cluster.get(cluster))
    }

    /// Every task of a service, by id.
    pub fn tasks_of_service<'s>(&'s self, key: &ServiceKey) -> impl Iterator<Item = &'s Arc<Task>> + use<'s> {
        both(self.tasks.of_service.get(key))
    }

    /// The live tasks of a service.
    pub fn live_tasks_of_service(&self, key: &ServiceKey) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.of_service.get(key).into_iter().flat_map(|group| group.live.values())
    }

    /// How many live tasks there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.tasks.all.counts
    }

    /// How many live tasks a cluster has.
    #[must_use]
    pub fn counts_of_cluster(&self, cluster: &ClusterName) -> Counts {
        self.tasks.of_cluster.get(cluster).map_or_else(Counts::default, |group| group.counts)
    }

    /// How many live tasks a service has.
    #[must_use]
    pub fn counts_of_service(&self, key: &ServiceKey) -> Counts {
        self.tasks.of_service.get(key).map_or_else(Counts::default, |group| group.counts)
    }

    /// How many live tasks a deployment has.
    #[must_use]
    pub fn counts_of_deployment(&self, deployment: &DeploymentId) -> Counts {
        self.tasks.of_deployment.get(deployment).copied().unwrap_or_default()
    }

    /// What live tasks take of the host.
    #[must_use]
    pub fn taken(&self) -> &Taken {
        &self.tasks.taken
    }

    /// What live tasks take that are to stay.
    #[must_use]
    pub fn wanted(&self) -> &Taken {
        &self.tasks.wanted
    }

    /// What was answered to a request with this token.
    #[must_use]
    pub fn client_token(&self, key: &str) -> Option<&Arc<ClientToken>> {
        self.tokens.get(key)
    }

    /// The boot of the host that the last daemon ran in.
    #[must_use]
    pub fn boot_id(&self) -> Option<&str> {
        self.meta.get(BOOT_ID).map(String::as_str)
    }

    /// The account settings that somebody made, as principal, name and value.
    pub fn account_settings(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let rows = self.meta.range(ACCOUNT_SETTING.to_owned()..);
        rows.map_while(|(row, value)| Some((row.strip_prefix(ACCOUNT_SETTING)?, value)))
            .filter_map(|(row, value)| row.split_once(' ').map(|(of, name)| (of, name, value.as_str())))
    }

    /// What the account's own principal set for all that have no setting of their own.
    #[must_use]
    pub fn account_default(&self, name: &str) -> Option<&str> {
        let mut settings = self.account_settings();
        let found = settings.find(|(principal, known, _)| *known == name && principal.ends_with(":root"));
        found.map(|(_, _, value)| value)
    }

    /// Takes in a record that was read or is about to be written.
    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Cluster(cluster) => {
                self.clusters.insert_mut(cluster.name.clone(), Arc::clone(cluster));
            }
            Record::TaskDefinition(definition) => {
                self.definitions.insert_mut(definition.id.clone(), Arc::clone(definition));
            }
            Record::Revision(LastRevision { family, revision }) => {
                self.revisions.insert_mut(family.clone(), *revision);
            }
            Record::Service(service) => {
                let key = (service.cluster.clone(), service.name.clone());
                self.services.insert_mut(key, Arc::clone(service));
            }
            Record::Task(task) => {
                let definition = self.definitions.get(&task.task_definition).map(Arc::clone);
                self.tasks.insert(task, definition.as_deref());
            }
            Record::Token(token) => {
                self.token_ends.insert_mut((token.expires_at, token.key.clone()));
                self.tokens.insert_mut(token.key.clone(), Arc::clone(token));
            }
            Record::Meta(name, value) => {
                self.meta.insert_mut(name.clone(), value.clone());
            }
        }
    }
}

/// The live and the stopped tasks of a group in one order, so that the first page of a list walks no further.
fn both(group: Option<&Group>) -> impl Iterator<Item = &Arc<Task>> {
    let mut live = group.into_iter().flat_map(|group| group.live.values()).peekable();
    let mut stopped = group.into_iter().flat_map(|group| group.stopped.values()).peekable();
    iter::from_fn(move || match (live.peek(), stopped.peek()) {
        (Some(one), Some(other)) if other.id < one.id => stopped.next(),
        (Some(_), _) => live.next(),
        (None, _) => stopped.next(),
    })
}
