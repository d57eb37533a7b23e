//! StopTask, DescribeTasks, ListTasks.

use std::{iter, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Api, input,
    page::Page,
    reference,
    refused::{Kind, Refused},
    wire,
};
use crate::{
    model::{
        cluster::Cluster,
        ids::TaskId,
        task::{DesiredStatus, StopCode, StopRequest, Task},
    },
    store::Snapshot,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StopTask {
    cluster: Option<String>,
    task: String,
    reason: Option<String>,
}

pub(super) async fn stop(api: &Api, value: Value) -> Answer {
    let StopTask { cluster, task, reason } = input(value)?;
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, cluster.as_deref())?.name.clone();
    let id = reference::task_id(&api.owner, &cluster, &task)?;
    let not_found = || Refused::parameter("The referenced task was not found");
    let wanted = id.clone();
    let request = StopRequest {
        code: StopCode::UserInitiated,
        reason: reason.unwrap_or_else(|| "Task stopped by user".into()),
    };
    api.store
        .write(move |draft| {
            let known = draft.task(&wanted).filter(|task| task.cluster == cluster).ok_or_else(not_found)?;
            if known.desired_status == DesiredStatus::Running {
                draft.update_task(&wanted, |task| {
                    task.desired_status = DesiredStatus::Stopped;
                    task.stop = Some(request);
                    task.tags.clear();
                });
            }
            Ok::<_, Refused>(())
        })
        .await?;
    let snapshot = api.store.snapshot();
    let task = snapshot.task(&id).ok_or_else(not_found)?;
    Ok(json!({"task": wire::task::document(task, &snapshot, api, false)}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeTasks {
    cluster: Option<String>,
    tasks: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

pub(super) fn describe(api: &Api, value: Value) -> Answer {
    let DescribeTasks { cluster, tasks, include } = input(value)?;
    let with_tags = reference::include_tags(&include)?;
    if tasks.is_empty() {
        return Err(Refused::parameter("Tasks cannot be empty."));
    }
    if tasks.len() > 100 {
        return Err(Refused::parameter("Tasks cannot be more than 100."));
    }
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, cluster.as_deref())?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in &tasks {
        let id = reference::task_id(&api.owner, &cluster.name, text)?;
        match snapshot.task(&id).filter(|task| task.cluster == cluster.name) {
            Some(task) => found.push(wire::task::document(task, &snapshot, api, with_tags)),
            None => failures.push(wire::failure(api.owner.task(&cluster.name, &id), "MISSING")),
        }
    }
    Ok(json!({"tasks": found, "failures": failures}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListTasks {
    cluster: Option<String>,
    container_instance: Option<String>,
    family: Option<String>,
    service_name: Option<String>,
    daemon_name: Option<String>,
    launch_type: Option<String>,
    desired_status: Option<String>,
    started_by: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn list(api: &Api, value: Value) -> Answer {
    let input: ListTasks = input(value)?;
    let words = ["RUNNING", "PENDING", "STOPPED"];
    reference::words("desiredStatus", input.desired_status.as_slice(), &words)?;
    reference::words("launchType", input.launch_type.as_slice(), &super::task_request::LAUNCH_TYPES)?;
    let others = [
        &input.family,
        &input.service_name,
        &input.daemon_name,
        &input.launch_type,
        &input.desired_status,
        &input.container_instance,
    ];
    if input.started_by.is_some() && others.into_iter().any(Option::is_some) {
        return Err(Refused::parameter("startedBy must be the only filter when it is given."));
    }
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, input.cluster.as_deref())?;
    let tasks = candidates(api, &snapshot, cluster, &input)?.filter(|task| is_wanted(task, &input));
    let arns = tasks.map(|task| (task.id.clone(), api.owner.task(&task.cluster, &task.id).into()));
    let page = Page { max_results: input.max_results, next_token: input.next_token.clone() };
    let listed = page.of(arns, 100, |text| TaskId::parse(text).ok(), |id, seen| id > seen)?;
    Ok(listed.under("taskArns"))
}

/// The tasks among which the list is, by id: those of a service where one is named, those of the cluster otherwise.
/// They come one by one, because a page needs few of them.
fn candidates<'s>(
    api: &Api,
    snapshot: &'s Snapshot,
    cluster: &Cluster,
    input: &ListTasks,
) -> Result<Box<dyn Iterator<Item = &'s Arc<Task>> + 's>, Refused> {
    if let Some(text) = &input.container_instance
        && reference::instance_id(&api.owner, &cluster.name, text)? != cluster.instance
    {
        return Ok(Box::new(iter::empty()));
    }
    if input.daemon_name.is_some() {
        return Ok(Box::new(iter::empty()));
    }
    let Some(text) = &input.service_name else {
        return Ok(Box::new(snapshot.tasks_of_cluster(&cluster.name)));
    };
    let key = reference::service_key(&api.owner, &cluster.name, text)?;
    if snapshot.service(&key).is_none() {
        return Err(Refused::new(Kind::ServiceNotFoundException, "Service not found."));
    }
    Ok(Box::new(snapshot.tasks_of_service(&key)))
}

/// Whether a task passes the filters. No task ever has the desired status PENDING.
fn is_wanted(task: &Task, input: &ListTasks) -> bool {
    let desired = input.desired_status.as_deref().unwrap_or("RUNNING");
    let launch_type = task.extra.get("launchType").and_then(Value::as_str);
    wire::task::desired(task.desired_status) == desired
        && input.family.as_deref().is_none_or(|family| task.task_definition.family.as_str() == family)
        && input.launch_type.as_deref().is_none_or(|word| launch_type == Some(word))
        && input.started_by.as_deref().is_none_or(|word| task.started_by.as_deref() == Some(word))
}
