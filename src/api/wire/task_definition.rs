//! A task definition on the wire: the document that was registered, with what ECS fills in.

use serde_json::{Value, json};

use super::Members;
use crate::model::{
    arn::Owner,
    task_definition::{NetworkMode, TaskDefinition, TaskDefinitionStatus},
    time::Timestamp,
};

pub(in crate::api) fn status(status: TaskDefinitionStatus) -> &'static str {
    match status {
        TaskDefinitionStatus::Active => "ACTIVE",
        TaskDefinitionStatus::Inactive => "INACTIVE",
        TaskDefinitionStatus::DeleteInProgress => "DELETE_IN_PROGRESS",
    }
}

pub(in crate::api) fn document(
    definition: &TaskDefinition,
    owner: &Owner,
    delete_requested_at: Option<Timestamp>,
) -> Value {
    let mut members = Members::default();
    members.put("taskDefinitionArn", owner.task_definition(&definition.id));
    // A document that was read can be written: its keys are strings and its numbers finite.
    if let Ok(Value::Object(given)) = serde_json::to_value(&definition.document) {
        members.0.extend(given);
    }
    members
        .put("revision", definition.id.revision)
        .put("status", status(definition.status))
        .put("compatibilities", compatibilities(definition))
        .put("requiresAttributes", required(definition))
        .put_time("registeredAt", Some(definition.registered_at))
        .put("registeredBy", format!("arn:aws:iam::{}:root", owner.account))
        .put_time("deregisteredAt", definition.deregistered_at)
        .put_time("deleteRequestedAt", delete_requested_at);
    for list in ["volumes", "placementConstraints"] {
        members.0.entry(list).or_insert_with(|| json!([]));
    }
    let containers = members.0.get_mut("containerDefinitions").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        let mappings = container.get_mut("portMappings").and_then(Value::as_array_mut);
        for mapping in mappings.into_iter().flatten() {
            fill_in(mapping, definition.document.network_mode());
        }
    }
    members.document()
}

/// A port mapping says what its absent members mean.
fn fill_in(mapping: &mut Value, mode: NetworkMode) {
    let Some(members) = mapping.as_object_mut() else { return };
    members.entry("protocol").or_insert_with(|| "tcp".into());
    let Some(container_port) = members.get("containerPort").cloned() else { return };
    let host_port = match mode {
        NetworkMode::Awsvpc | NetworkMode::Host => container_port,
        NetworkMode::Bridge | NetworkMode::None => 0.into(),
    };
    let given = members.get("hostPort").is_some_and(|port| *port != 0);
    if !given {
        members.insert("hostPort".into(), host_port);
    }
}

/// What it asks of a container instance.
fn required(definition: &TaskDefinition) -> Value {
    definition.document.required_attributes().iter().map(|name| json!({"name": name})).collect()
}

/// Where ECS could run it.
pub(in crate::api) fn compatibilities(definition: &TaskDefinition) -> Vec<&'static str> {
    let document = &definition.document;
    let awsvpc = document.network_mode() == NetworkMode::Awsvpc;
    let mut words = vec!["EC2"];
    if !awsvpc {
        words.push("EXTERNAL");
    }
    if awsvpc && document.requires_compatibilities.iter().any(|word| word == "FARGATE") {
        words.push("FARGATE");
    }
    words
}
