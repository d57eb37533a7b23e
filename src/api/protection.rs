//! GetTaskProtection, UpdateTaskProtection: work in a task of a service that scaling in must not cut short.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Api, input, reference,
    refused::{Kind, Refused},
    wire::Members,
};
use crate::{
    model::{
        arn::Owner,
        ids::{ClusterName, TaskId},
        task::{DesiredStatus, Protection, Task},
        time::Timestamp,
    },
    store::{Draft, Snapshot},
};

/// Minutes that a protection lasts when the caller says nothing.
const USUAL_MINUTES: i64 = 120;

/// Two days.
const MOST_MINUTES: i64 = 2880;

/// Why a task cannot be protected: its `reason` and `detail` in `failures`.
type Obstacle = (&'static str, &'static str);

const NO_SERVICE: Obstacle = ("TASK_NOT_VALID", "The task is not of a service, or it is stopping.");
const TOO_MANY: Obstacle =
    ("DEPLOYMENT_BLOCKED", "More tasks would be protected than the service is to have.");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GetTaskProtection {
    cluster: String,
    #[serde(default)]
    tasks: Vec<String>,
}

pub(super) fn get(api: &Api, value: Value) -> Answer {
    let GetTaskProtection { cluster, tasks } = input(value)?;
    if !(1..=100).contains(&tasks.len()) {
        return Err(Refused::parameter("Tasks cannot be empty, nor more than 100."));
    }
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, Some(&cluster))?.name.clone();
    let now = api.source.now();
    let mut told = Told::default();
    for text in &tasks {
        let task = find(&snapshot, &api.owner, &cluster, text)?;
        if task.owner.is_some() {
            told.protected.push(document(task, &api.owner, now));
        } else {
            told.failures.push(failure(task, &api.owner, NO_SERVICE));
        }
    }
    Ok(told.document())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateTaskProtection {
    cluster: String,
    tasks: Vec<String>,
    protection_enabled: bool,
    expires_in_minutes: Option<i64>,
}

pub(super) async fn update(api: &Api, value: Value) -> Answer {
    let UpdateTaskProtection { cluster, tasks, protection_enabled, expires_in_minutes } = input(value)?;
    if !(1..=10).contains(&tasks.len()) {
        return Err(Refused::parameter("Tasks cannot be empty, nor more than 10."));
    }
    let minutes = expires_in_minutes.unwrap_or(USUAL_MINUTES);
    if !(1..=MOST_MINUTES).contains(&minutes) {
        return Err(Refused::parameter(format!(
            "expiresInMinutes is {minutes}, and must be between 1 and {MOST_MINUTES}"
        )));
    }
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, Some(&cluster))?.name.clone();
    let mut ids = Vec::new();
    for text in &tasks {
        ids.push(find(&snapshot, &api.owner, &cluster, text)?.id.clone());
    }
    let now = api.source.now();
    let life = Duration::from_secs(minutes.unsigned_abs() * 60);
    let expires_at = Timestamp(now.0.saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX)));
    let wanted = protection_enabled.then_some(Protection { expires_at });
    let owner = api.owner.clone();
    let told = api
        .store
        .write(move |draft| {
            let mut told = Told::default();
            for id in ids {
                let Some(task) = draft.task(&id).cloned() else { continue };
                if let Some(why) = obstacle(draft, &task, wanted, now) {
                    told.failures.push(failure(&task, &owner, why));
                } else {
                    draft.update_task(&id, |task| task.protection = wanted);
                    told.protected.extend(draft.task(&id).map(|task| document(task, &owner, now)));
                }
            }
            Ok::<_, Refused>(told)
        })
        .await?;
    Ok(told.document())
}

/// Why `wanted` cannot be given to a task.
fn obstacle(draft: &Draft, task: &Task, wanted: Option<Protection>, now: Timestamp) -> Option<Obstacle> {
    let Some(owner) = task.owner.as_ref().filter(|_| task.desired_status == DesiredStatus::Running) else {
        return Some(NO_SERVICE);
    };
    wanted?;
    let key = (task.cluster.clone(), owner.service.clone());
    let desired = draft.service(&key).map_or(0, |service| service.desired_count as usize);
    let others =
        draft.live_tasks_of_service(&key).filter(|other| other.id != task.id && other.is_protected(now));
    (others.count() >= desired).then_some(TOO_MANY)
}

/// What is answered.
#[derive(Default)]
struct Told {
    protected: Vec<Value>,
    failures: Vec<Value>,
}

impl Told {
    fn document(self) -> Value {
        json!({"protectedTasks": self.protected, "failures": self.failures})
    }
}

fn find<'a>(
    snapshot: &'a Snapshot,
    owner: &Owner,
    cluster: &ClusterName,
    text: &str,
) -> Result<&'a Task, Refused> {
    let id: TaskId = reference::task_id(owner, cluster, text)?;
    let task = snapshot.task(&id).filter(|task| task.cluster == *cluster);
    task.map(AsRef::as_ref).ok_or_else(|| {
        Refused::new(Kind::ResourceNotFoundException, format!("The referenced task '{id}' was not found"))
    })
}

fn document(task: &Task, owner: &Owner, now: Timestamp) -> Value {
    let holding = task.protection.filter(|protection| protection.holds(now));
    let mut members = Members::default();
    members
        .put("taskArn", owner.task(&task.cluster, &task.id))
        .put("protectionEnabled", holding.is_some())
        .put_time("expirationDate", holding.map(|protection| protection.expires_at))
        .document()
}

fn failure(task: &Task, owner: &Owner, (reason, detail): Obstacle) -> Value {
    json!({"arn": owner.task(&task.cluster, &task.id), "reason": reason, "detail": detail})
}
