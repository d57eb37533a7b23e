//! This host on the wire, as one cluster sees it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Members, task};
use crate::{
    api::Api,
    model::{
        cluster::Cluster,
        network::Protocol,
        resources::{HostPort, Resources},
    },
    store::Snapshot,
};

pub(in crate::api) fn document(cluster: &Cluster, snapshot: &Snapshot, api: &Api) -> Value {
    let counts = snapshot.counts_of_cluster(&cluster.name);
    let capacity = &api.host.capacity;
    let taken = snapshot.taken();
    let remaining = Resources {
        cpu: capacity.registered.cpu.saturating_sub(taken.resources.cpu),
        memory: capacity.registered.memory.saturating_sub(taken.resources.memory),
    };
    let mut used = capacity.reserved_ports.clone();
    used.extend(taken.ports());
    let mut members = Members::default();
    members
        .put("containerInstanceArn", api.owner.container_instance(&cluster.name, &cluster.instance))
        .put("status", "ACTIVE")
        .put("agentConnected", true)
        .put("version", 1)
        .put("versionInfo", json!({"agentVersion": api.host.version}))
        .put("registeredResources", resources(capacity.registered, &capacity.reserved_ports))
        .put("remainingResources", resources(remaining, &used))
        .put("runningTasksCount", counts.running)
        .put("pendingTasksCount", counts.pending)
        .put("attributes", attributes(api))
        .put("attachments", json!([]))
        .put("tags", json!([]))
        .put_time("registeredAt", Some(cluster.created_at.max(api.host.registered_at)));
    members.document()
}

fn resources(resources: Resources, ports: &BTreeSet<HostPort>) -> Value {
    let number = |name: &str, value: u64| json!({"name": name, "type": "INTEGER", "integerValue": value, "longValue": 0, "doubleValue": 0.0});
    let set = |name: &str, protocol: Protocol| {
        let values: Vec<String> =
            ports.iter().filter(|(of, _)| *of == protocol).map(|(_, port)| port.to_string()).collect();
        json!({
            "name": name, "type": "STRINGSET", "integerValue": 0, "longValue": 0, "doubleValue": 0.0,
            "stringSetValue": values,
        })
    };
    json!([
        number("CPU", resources.cpu),
        number("MEMORY", resources.memory),
        set("PORTS", Protocol::Tcp),
        set("PORTS_UDP", Protocol::Udp),
    ])
}

fn attributes(api: &Api) -> Value {
    let mut attributes = task::attributes(&api.host);
    let zone = format!("{}a", api.owner.region);
    let more =
        [("ecs.availability-zone", zone.as_str()), ("ecs.os-type", "linux"), ("ecs.os-family", "LINUX")];
    if let Some(list) = attributes.as_array_mut() {
        list.extend(more.map(|(name, value)| json!({"name": name, "value": value})));
    }
    attributes
}
