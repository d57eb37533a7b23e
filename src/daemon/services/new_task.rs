//! A new task of a service: what it takes over from its deployment.

use serde_json::{Map, Value};

use crate::{
    model::{
        ids::{DeploymentId, TaskId},
        provider,
        service::Service,
        task::{NewTask, Task, TaskOwner},
        time::Timestamp,
    },
    store::{ServiceKey, Snapshot},
};

/// One more task of a deployment, if what it is made of is still known.
pub fn new_task(
    snapshot: &Snapshot,
    service: &Service,
    deployment: &DeploymentId,
    id: TaskId,
    at: Timestamp,
) -> Option<Task> {
    let made_of = service.deployments.iter().find(|one| one.id == *deployment)?;
    let definition = snapshot.task_definition(&made_of.task_definition)?;
    let revision = service.revision(&made_of.revision());
    let settings = revision.map_or(&service.extra, |revision| &revision.settings);
    let mut task = Task::from(NewTask {
        owner: Some(TaskOwner { service: service.name.clone(), deployment: deployment.clone() }),
        tags: service.tags_of_tasks(&definition.tags),
        extra: inherited(settings),
        ..NewTask::of(id, service.cluster.clone(), definition, at)
    });
    for container in &mut task.containers {
        container.image_digest = revision.and_then(|known| known.images.get(&container.name).cloned());
    }
    let key = (service.cluster.clone(), service.name.clone());
    if let Some(name) = next_provider(snapshot, &key, settings) {
        task.extra.insert("capacityProviderName".into(), name.into());
    }
    Some(task)
}

/// The capacity provider that the next task of a service goes to.
fn next_provider(snapshot: &Snapshot, key: &ServiceKey, settings: &Map<String, Value>) -> Option<String> {
    let strategy = settings.get("capacityProviderStrategy")?.as_array()?;
    let has = |task: &Task, name: &str| task.extra.get("capacityProviderName").is_some_and(|own| own == name);
    let gone = |name: &str| snapshot.live_tasks_of_service(key).filter(|task| has(task, name)).count();
    provider::next(strategy, |name| gone(name) as u64)
}

/// What the tasks of a service take over from its request.
fn inherited(settings: &Map<String, Value>) -> Map<String, Value> {
    let words =
        ["launchType", "platformVersion", "platformFamily", "networkConfiguration", "enableExecuteCommand"];
    let taken = words.iter().filter_map(|word| Some(((*word).to_owned(), settings.get(*word)?.clone())));
    taken.collect()
}
