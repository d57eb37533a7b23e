//! One event in a large cluster, in memory: a task of one service ends, and the pass that follows.
//!
//! Measured are the decision itself, from the snapshot to the plan, and what the host is then asked for. The clusters
//! differ in size, and the times should not.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hythe::daemon::services::{self, PassContext};
use hythe::model::ids::{ClusterName, DeploymentId, ServiceName, TaskId};
use hythe::model::resources::{Capacity, Resources};
use hythe::model::task::{DesiredStatus, NewTask, Task, TaskOwner, TaskStatus};
use hythe::model::task_definition::TaskDefinition;
use hythe::model::time::{Moment, Timestamp};
use hythe::store::{Draft, Store};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Failure, numbers,
    paths::{self, counted},
};

#[derive(Deserialize)]
struct Request {
    /// Services and tasks of each.
    clusters: Vec<(u32, u32)>,
    rounds: u32,
}

/// Measures every cluster.
pub(crate) fn run() -> Result<(), Failure> {
    let request: Request = numbers::request()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut found = Vec::new();
    for (services, tasks) in request.clusters {
        let store = Store::memory();
        runtime.block_on(build(&store, services, tasks))?;
        let mut times = Vec::new();
        for round in 0..request.rounds {
            times.push(event(&runtime, &store, round % services, tasks)?);
        }
        found.push(json!({
            "services": services, "tasks": services * tasks, "times": times, "allocations": paths::allocations(),
        }));
    }
    numbers::answer(&json!(found))
}

/// Ends one task of a service and takes the time of the decision that follows, in microseconds.
fn event(runtime: &tokio::runtime::Runtime, store: &Store, service: u32, tasks: u32) -> Result<f64, Failure> {
    let id = task_id(service, tasks - 1);
    runtime.block_on(store.write({
        let id = id.clone();
        move |draft| {
            draft.update_task(&id, |task| task.known_status = TaskStatus::Deprovisioning);
            Ok::<_, Infallible>(())
        }
    }))?;
    let snapshot = store.snapshot();
    let context = PassContext {
        now: Moment(Duration::from_secs(100_000).as_millis().try_into()?),
        wall: Timestamp(2_000_000),
        moments: Arc::default(),
        healthy_after: Duration::from_secs(40),
        capacity: Arc::new(capacity()),
        seed: 1,
        random: || [3; 16],
    };
    let key = (cluster(), name(service)?);
    let from = Instant::now();
    let plan = counted(|| services::plan(&snapshot, &key, &context));
    let took = from.elapsed().as_secs_f64() * 1e6;
    if plan.actions.is_empty() {
        return Err("the pass saw nothing to do".into());
    }
    runtime.block_on(store.write(move |draft| {
        draft.update_task(&id, |task| task.known_status = TaskStatus::Running);
        Ok::<_, Infallible>(())
    }))?;
    Ok(took)
}

/// More than anybody asks for.
fn capacity() -> Capacity {
    let registered = Resources { cpu: u64::MAX / 4, memory: u64::MAX / 4 };
    Capacity { registered, ..Capacity::default() }
}

async fn build(store: &Store, services: u32, tasks: u32) -> Result<(), Failure> {
    let definition = definition()?;
    let made = definition.clone();
    store
        .write(move |draft| {
            draft.put_task_definition(made);
            Ok::<_, Infallible>(())
        })
        .await?;
    for number in 0..services {
        let (definition, name) = (definition.clone(), name(number)?);
        store.write(move |draft| put_service(draft, &definition, number, &name, tasks)).await?;
    }
    Ok(())
}

/// A service as the store keeps it, so that members which have a usual value need not be named here.
fn put_service(
    draft: &mut Draft,
    definition: &TaskDefinition,
    number: u32,
    name: &ServiceName,
    tasks: u32,
) -> Result<(), Failure> {
    let id = DeploymentId::from_random(number.into());
    let service = json!({
        "cluster": cluster(), "name": name, "status": "ACTIVE", "schedulingStrategy": "REPLICA",
        "desiredCount": tasks, "createdAt": 1,
        "bounds": { "minimumHealthyPercent": 100, "maximumPercent": 200 },
        "deployments": [{
            "id": id, "status": "PRIMARY", "taskDefinition": definition.id, "rolloutState": "COMPLETED",
            "rolloutStateReason": "", "createdAt": 1, "updatedAt": 1,
        }],
    });
    draft.put_service(serde_json::from_value(service)?);
    for at in 0..tasks {
        let mut task = Task::from(NewTask {
            owner: Some(TaskOwner { service: name.clone(), deployment: id.clone() }),
            ..NewTask::of(task_id(number, at), cluster(), definition, Timestamp(1_000_000))
        });
        task.desired_status = DesiredStatus::Running;
        task.known_status = TaskStatus::Running;
        task.times.started_at = Some(Timestamp(1_000_000));
        draft.put_task(task);
    }
    Ok(())
}

fn definition() -> Result<TaskDefinition, Failure> {
    let document = json!({ "family": "web", "containerDefinitions": [
        { "name": "main", "image": "busybox", "cpu": 10, "memory": 20 } ] });
    Ok(TaskDefinition::new(serde_json::from_value(document)?, 1, Timestamp(1)))
}

fn cluster() -> ClusterName {
    ClusterName::parse("default").unwrap_or_else(|_| unreachable!("seven letters are a cluster's name"))
}

fn name(number: u32) -> Result<ServiceName, Failure> {
    Ok(ServiceName::parse(format!("web-{number}"))?)
}

fn task_id(service: u32, at: u32) -> TaskId {
    TaskId::from_random(random(service, at))
}

fn random(one: u32, other: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&one.to_be_bytes());
    bytes[4..8].copy_from_slice(&other.to_be_bytes());
    bytes
}
