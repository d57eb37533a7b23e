//! This host on the wire, as one cluster sees it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Members, tags};
use crate::{
    api::Api,
    model::{
        cluster::{Attribute, Cluster, InstanceStatus},
        network::Protocol,
        resources::{HostPort, Resources},
    },
    store::Snapshot,
};

pub(in crate::api) fn status(status: InstanceStatus) -> &'static str {
    match status {
        InstanceStatus::Active => "ACTIVE",
        InstanceStatus::Draining => "DRAINING",
    }
}

pub(in crate::api) fn document(cluster: &Cluster, snapshot: &Snapshot, api: &Api, with_tags: bool) -> Value {
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
        .put("status", status(cluster.instance_status))
        .put("agentConnected", true)
        .put("version", u64::from(cluster.instance_changes) + 1)
        .put("versionInfo", json!({"agentVersion": api.host.version}))
        .put("registeredResources", resources(capacity.registered, &capacity.reserved_ports))
        .put("remainingResources", resources(remaining, &used))
        .put("runningTasksCount", counts.running)
        .put("pendingTasksCount", counts.pending)
        .put("attributes", cluster.attributes(&capacity.traits).iter().map(attribute).collect::<Value>())
        .put("attachments", json!([]))
        .put("tags", if with_tags { tags(&cluster.instance_tags) } else { json!([]) })
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

fn attribute(attribute: &Attribute) -> Value {
    let mut members = Members::default();
    members.put("name", attribute.name.as_str()).put_some("value", attribute.value.as_deref()).document()
}
