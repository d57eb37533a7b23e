//! Small documents for the tests of the store.

use std::{
    convert::Infallible,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    model::{
        cluster::Cluster,
        ids::{ClusterName, DeploymentId, Family, InstanceId, ServiceName, TaskDefinitionId, TaskId},
        service::{Deployment, Service},
        task::{NewTask, Task, TaskOwner},
        task_definition::TaskDefinition,
        time::Timestamp,
    },
    store::{Draft, Store},
};

pub(super) fn family(name: &str) -> Family {
    Family::parse(name).unwrap()
}

pub(super) fn cluster_name() -> ClusterName {
    ClusterName::parse("default").unwrap()
}

pub(super) fn service_name(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

/// Registers the next revision of `name`, padded with `padding` bytes.
pub(super) fn define(draft: &mut Draft, name: &str, padding: usize) {
    let family = family(name);
    let revision = draft.next_revision(&family);
    let document = serde_json::from_value(json!({
        "family": name,
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "cpu": 10, "memory": 20, "command": ["x".repeat(padding)],
            "portMappings": [{"containerPort": 80, "hostPort": 8080}],
        }],
    }))
    .unwrap();
    draft.put_task_definition(TaskDefinition::new(document, revision, Timestamp(1)));
}

/// A write that registers the next revision of `name`.
pub(super) fn writing(
    name: String,
    padding: usize,
) -> impl FnOnce(&mut Draft) -> Result<(), Infallible> + Send + 'static {
    move |draft| {
        define(draft, &name, padding);
        Ok(())
    }
}

pub(super) async fn put(store: &Store, name: &str) {
    let name = name.to_owned();
    store.write(writing(name, 0)).await.unwrap();
}

pub(super) fn cluster() -> Cluster {
    Cluster::new(cluster_name(), InstanceId::from_random([7; 16]), Timestamp(1))
}

pub(super) fn deployment(number: u64) -> DeploymentId {
    DeploymentId::from_random(number)
}

pub(super) fn service(name: &str, definition: &TaskDefinitionId, number: u64) -> Service {
    Service {
        deployments: vec![Deployment::new(deployment(number), definition.clone(), Timestamp(1))],
        ..Service::new(cluster_name(), service_name(name), 1, Timestamp(1))
    }
}

pub(super) fn task_id(number: u8) -> TaskId {
    TaskId::from_random([number; 16])
}

/// A task of revision 1 of `definition`, of a service when one is named.
pub(super) fn task(draft: &Draft, number: u8, definition: &str, owner: Option<(&str, u64)>) -> Task {
    let id = TaskDefinitionId { family: family(definition), revision: 1 };
    let definition = draft.task_definition(&id).unwrap();
    NewTask {
        owner: owner
            .map(|(name, number)| TaskOwner { service: service_name(name), deployment: deployment(number) }),
        ..NewTask::of(task_id(number), cluster_name(), definition, Timestamp(1))
    }
    .into()
}

/// The writer thread closes the file shortly after the store is dropped.
pub(super) fn wait_until_free(path: &Path) {
    let limit = Instant::now() + Duration::from_secs(10);
    while let Err(error) = try_lock(path) {
        assert!(Instant::now() < limit, "{error}");
        std::thread::yield_now();
    }
}

fn try_lock(path: &Path) -> rusqlite::Result<()> {
    let connection = rusqlite::Connection::open(path)?;
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    connection.execute_batch("begin immediate; rollback")
}
