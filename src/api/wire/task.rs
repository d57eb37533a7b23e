//! A task and its containers on the wire.

use serde_json::{Value, json};

use super::{Members, tags};
use crate::{
    api::{Api, Host},
    model::{
        arn::Owner,
        cluster::Cluster,
        fact::Attachment,
        resources::Reservation,
        task::{Container, ContainerStatus, DesiredStatus, HealthStatus, StopCode, Task, TaskStatus},
        task_definition::{ContainerDefinition, NetworkMode, TaskDefinition},
    },
    store::Snapshot,
};

pub(in crate::api) fn status(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Provisioning => "PROVISIONING",
        TaskStatus::Pending => "PENDING",
        TaskStatus::Activating => "ACTIVATING",
        TaskStatus::Running => "RUNNING",
        TaskStatus::Deactivating => "DEACTIVATING",
        TaskStatus::Stopping => "STOPPING",
        TaskStatus::Deprovisioning => "DEPROVISIONING",
        TaskStatus::Stopped => "STOPPED",
    }
}

pub(in crate::api) fn desired(status: DesiredStatus) -> &'static str {
    match status {
        DesiredStatus::Running => "RUNNING",
        DesiredStatus::Stopped => "STOPPED",
    }
}

fn container_status(status: ContainerStatus) -> &'static str {
    match status {
        ContainerStatus::Pending => "PENDING",
        ContainerStatus::Running => "RUNNING",
        ContainerStatus::Stopped => "STOPPED",
    }
}

fn health(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Unknown => "UNKNOWN",
        HealthStatus::Healthy => "HEALTHY",
        HealthStatus::Unhealthy => "UNHEALTHY",
    }
}

fn stop_code(code: StopCode) -> &'static str {
    match code {
        StopCode::TaskFailedToStart => "TaskFailedToStart",
        StopCode::EssentialContainerExited => "EssentialContainerExited",
        StopCode::UserInitiated => "UserInitiated",
        StopCode::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
        StopCode::TerminationNotice => "TerminationNotice",
    }
}

/// A task as DescribeTasks shows it.
pub(in crate::api) fn document(task: &Task, snapshot: &Snapshot, api: &Api, with_tags: bool) -> Value {
    let Api { owner, host, .. } = api;
    let definition = snapshot.task_definition(&task.task_definition).map(AsRef::as_ref);
    let cluster = snapshot.cluster(&task.cluster).map(AsRef::as_ref);
    let mut members = Members::default();
    members
        .put("taskArn", owner.task(&task.cluster, &task.id))
        .put("clusterArn", owner.cluster(&task.cluster))
        .put("taskDefinitionArn", owner.task_definition(&task.task_definition))
        .put_some("containerInstanceArn", cluster.map(|cluster| instance(cluster, owner)))
        .put("availabilityZone", format!("{}a", owner.region))
        .put("lastStatus", status(task.known_status))
        .put("desiredStatus", desired(task.desired_status))
        .put("healthStatus", health(task.health()))
        .put("connectivity", "CONNECTED")
        .put_time("connectivityAt", Some(task.created_at))
        .put("group", task.group.as_str())
        .put_some("startedBy", task.started_by.as_deref())
        .put("version", task.version)
        .put("attributes", attributes(host))
        .put("attachments", attachments(task, definition))
        .put("containers", containers(task, definition, owner))
        .put("overrides", overrides(task))
        .put("tags", if with_tags { tags(&task.tags) } else { json!([]) })
        .put_kept(
            &task.extra,
            &["launchType", "capacityProviderName", "platformVersion", "platformFamily"],
            &["inferenceAccelerators"],
        )
        .put("enableExecuteCommand", task.extra.get("enableExecuteCommand") == Some(&Value::Bool(true)));
    let storage = definition.and_then(|one| task.storage_gib(&one.document));
    members.put_some("ephemeralStorage", storage.map(|size| json!({"sizeInGiB": size})));
    put_size(&mut members, task, definition);
    put_times(&mut members, task);
    if let Some(stop) = &task.stop {
        members.put("stopCode", stop_code(stop.code)).put("stoppedReason", stop.reason.as_str());
    }
    members.document()
}

fn instance(cluster: &Cluster, owner: &Owner) -> String {
    owner.container_instance(&cluster.name, &cluster.instance)
}

fn put_times(members: &mut Members, task: &Task) {
    members
        .put_time("createdAt", Some(task.created_at))
        .put_time("pullStartedAt", task.times.pull_started_at)
        .put_time("pullStoppedAt", task.times.pull_stopped_at)
        .put_time("startedAt", task.times.started_at)
        .put_time("stoppingAt", task.times.stopping_at)
        .put_time("executionStoppedAt", task.times.execution_stopped_at)
        .put_time("stoppedAt", task.times.stopped_at);
}

/// CPU and memory as texts; the sums of the containers where the task has none of its own.
fn put_size(members: &mut Members, task: &Task, definition: Option<&TaskDefinition>) {
    let Some(definition) = definition else { return };
    let taken = Reservation::of(&definition.document, &task.overrides).resources;
    members.put("cpu", taken.cpu.to_string()).put("memory", taken.memory.to_string());
}

fn attributes(host: &Host) -> Value {
    json!([{"name": "ecs.cpu-architecture", "value": host.capacity.traits.architecture}])
}

/// Every container is in the list, with its name at least.
fn overrides(task: &Task) -> Value {
    let mut overrides = serde_json::to_value(&task.overrides).unwrap_or_else(|_| json!({}));
    let named = |container: &Container| {
        let of_it = |change: &&crate::model::task::ContainerOverride| change.name == container.name;
        let change = task.overrides.container_overrides.iter().find(of_it);
        let change = change.and_then(|change| serde_json::to_value(change).ok());
        change.unwrap_or_else(|| json!({"name": container.name.as_str()}))
    };
    overrides["containerOverrides"] = task.containers.iter().map(named).collect();
    overrides["inferenceAcceleratorOverrides"] =
        task.overrides.inference_accelerator_overrides.clone().into();
    overrides
}

/// Whether ECS shows an interface of the task's own.
fn has_interface(definition: Option<&TaskDefinition>) -> bool {
    definition.is_some_and(|definition| definition.document.network_mode() == NetworkMode::Awsvpc)
}

/// The interface of an `awsvpc` task, from the moment when it is asked for.
fn attachments(task: &Task, definition: Option<&TaskDefinition>) -> Value {
    if !has_interface(definition) {
        return json!([]);
    }
    let id = task.attachment.as_ref().map_or_else(|| Attachment::id_of(&task.id), |known| known.id.clone());
    let subnet = task.extra.get("networkConfiguration").and_then(|configuration| {
        configuration["awsvpcConfiguration"]["subnets"].get(0)?.as_str().map(str::to_owned)
    });
    let detail = |name: &str, value: String| json!({"name": name, "value": value});
    let mut details = vec![detail("subnetId", subnet.unwrap_or_else(|| "subnet-local".into()))];
    if let Some(Attachment { interface, .. }) = &task.attachment {
        let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(17).collect();
        details.extend([
            detail("networkInterfaceId", format!("eni-{digits}")),
            detail("macAddress", interface.mac().to_string()),
            detail("privateIPv4Address", interface.address.to_string()),
        ]);
    }
    let status = match (&task.attachment, task.is_stopped()) {
        (_, true) => "DELETED",
        (None, false) => "PRECREATED",
        (Some(_), false) => "ATTACHED",
    };
    json!([{"id": id, "type": "ElasticNetworkInterface", "status": status, "details": details}])
}

fn containers(task: &Task, definition: Option<&TaskDefinition>, owner: &Owner) -> Value {
    let attachment = task.attachment.as_ref().filter(|_| has_interface(definition));
    let described = |container: &Container| {
        let definition = definition.and_then(|definition| definition.document.container(&container.name));
        self::container(task, container, definition, attachment, owner)
    };
    task.containers.iter().map(described).collect()
}

fn container(
    task: &Task,
    container: &Container,
    definition: Option<&ContainerDefinition>,
    attachment: Option<&Attachment>,
    owner: &Owner,
) -> Value {
    let has_run = container.started_at.is_some();
    let interfaces: Vec<Value> = attachment
        .map(|attachment| {
            json!({"attachmentId": attachment.id, "privateIpv4Address": attachment.interface.address.to_string()})
        })
        .into_iter()
        .collect();
    // The ports of a task with an interface of its own are on that interface.
    let bindings =
        if attachment.is_some() { Ok(json!([])) } else { serde_json::to_value(&container.network_bindings) };
    let mut members = Members::default();
    members
        .put("containerArn", owner.container(&task.cluster, &task.id, &container.name))
        .put("taskArn", owner.task(&task.cluster, &task.id))
        .put("name", container.name.as_str())
        .put("image", container.image.as_str())
        .put_some("imageDigest", container.image_digest.as_deref())
        .put_some("runtimeId", has_run.then(|| format!("{}-{}", task.id, container.name)))
        .put("lastStatus", container_status(container.known_status))
        .put_some("exitCode", container.exit.map(crate::model::task::Exit::code))
        .put_some("reason", container.reason.as_deref())
        .put("healthStatus", health(container.health))
        .put("networkBindings", bindings.unwrap_or_else(|_| json!([])))
        .put("networkInterfaces", interfaces)
        .put("managedAgents", json!([]));
    if let Some(definition) = definition {
        let change = task.overrides.container_overrides.iter().find(|change| change.name == container.name);
        let cpu = change.and_then(|change| change.cpu).unwrap_or(definition.cpu);
        let memory = change.and_then(|change| change.memory).or(definition.memory);
        let reserved = change.and_then(|change| change.memory_reservation).or(definition.memory_reservation);
        members
            .put("cpu", cpu.to_string())
            .put_some("memory", memory.map(|memory| memory.to_string()))
            .put_some("memoryReservation", reserved.map(|memory| memory.to_string()));
    }
    members.document()
}
