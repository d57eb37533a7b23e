//! The ports of a task: led to it, and told.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::Hands;
use super::reserve::DirectoryError;
use crate::agent::StartTask;
use crate::agent::failure::{Failure, Kind};
use crate::agent::kill_point::kill_point;
use crate::agent::network::{Given, Record, protocol};
use crate::model::fact::Seen;
use crate::model::ids::ContainerName;
use crate::model::task::{BoundPorts, NetworkBinding};
use crate::model::task_definition::{ContainerDefinition, Document, NetworkMode};

/// Lets the firewall lead the ports to the task, and says which they are.
pub(super) async fn publish(hands: &Arc<Hands>, start: &StartTask, record: &Record) -> Result<(), Failure> {
    let task = &start.task.id;
    if !record.given.is_empty() {
        let hands = Arc::clone(hands);
        let installed = spawn_blocking(move || hands.networks.install()).await;
        let installed = installed.map_err(|_| Failure::of_task(Kind::Network, &DirectoryError::Broken))?;
        installed.map_err(|err| Failure::of_task(Kind::Network, &err))?;
        kill_point("ports-published");
    }
    for (container, bindings) in bindings(&start.definition.document, &record.given) {
        hands.teller.tell(task, Seen::PortsPublished { container, bindings });
    }
    Ok(())
}

/// The ports of each container that has any. On the host's own network a port is its own mapping.
pub(super) fn bindings(document: &Document, given: &[Given]) -> Vec<(ContainerName, Vec<NetworkBinding>)> {
    let is_host = document.network_mode() == NetworkMode::Host;
    let of = |container: &ContainerDefinition| {
        let published = given.iter().filter(|given| given.container == container.name);
        let mut bindings: Vec<NetworkBinding> = published.map(Given::binding).collect();
        if is_host {
            bindings.extend(container.port_mappings.iter().filter_map(|mapping| {
                let port = mapping.container_port?;
                let protocol = protocol(mapping).name().to_owned();
                let bind_ip = "0.0.0.0".to_owned();
                let ports = BoundPorts::One { container_port: port, host_port: port };
                Some(NetworkBinding { bind_ip, ports, protocol })
            }));
        }
        (container.name.clone(), bindings)
    };
    document.container_definitions.iter().map(of).filter(|(_, bindings)| !bindings.is_empty()).collect()
}
