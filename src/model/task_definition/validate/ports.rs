//! Rules of port mappings.

use std::collections::BTreeSet;

use super::one_of;
use crate::model::{
    reading::{MemberPath, Refusal},
    task_definition::{Document, NetworkMode, PortMapping},
};

/// Most ranges of ports of a container.
const MOST_RANGES: usize = 100;

/// First and last port inside the task.
type Run = (u16, u16);

pub(super) fn check(document: &Document, containers: &MemberPath) -> Result<(), Refusal> {
    let mode = document.network_mode();
    // In these modes all containers listen on one address that is theirs alone.
    let one_address = matches!(mode, NetworkMode::Awsvpc | NetworkMode::Host);
    let mut host_ports = BTreeSet::new();
    let mut runs: Vec<(Run, String)> = Vec::new();
    for (index, container) in document.container_definitions.iter().enumerate() {
        let path = containers.element(index).member("portMappings");
        if !one_address {
            runs.clear();
        }
        if mode == NetworkMode::None && !container.port_mappings.is_empty() {
            let message = "Port mappings are not supported when networkMode=none.";
            return Err(Refusal::rule(path, message));
        }
        let ranges = container.port_mappings.iter().filter(|mapping| mapping.container_port_range.is_some());
        if ranges.count() > MOST_RANGES {
            let message = format!("A container may have {MOST_RANGES} port ranges.");
            return Err(Refusal::wrong(path, message));
        }
        for (index, mapping) in container.port_mappings.iter().enumerate() {
            let path = path.element(index);
            let run = run(mapping, mode, container.name.as_str(), &path)?;
            words(mapping, &path)?;
            let protocol = mapping.protocol.clone().unwrap_or_else(|| "tcp".to_owned());
            if let Some((taken, _)) = runs.iter().find(|(other, _)| other.0 <= run.1 && run.0 <= other.1) {
                let message = format!(
                    "Container port {} is mapped more than once in container '{}'.",
                    taken.0.max(run.0),
                    container.name
                );
                return Err(Refusal::rule(path, message));
            }
            runs.push((run, protocol.clone()));
            let host = mapping.host_port.filter(|&port| port != 0);
            if let Some(port) = host
                && !host_ports.insert((port, protocol))
            {
                let message = format!("Host port {port} is mapped more than once.");
                return Err(Refusal::rule(path.member("hostPort"), message));
            }
        }
    }
    Ok(())
}

/// The ports inside the task that a mapping is about.
fn run(mapping: &PortMapping, mode: NetworkMode, container: &str, path: &MemberPath) -> Result<Run, Refusal> {
    if let Some(text) = &mapping.container_port_range {
        let path = path.member("containerPortRange");
        if mapping.container_port.is_some() || mapping.host_port.is_some() {
            let message = "'containerPortRange' takes the place of 'containerPort' and 'hostPort'.";
            return Err(Refusal::rule(path, message));
        }
        if mode == NetworkMode::Host {
            let message = "'containerPortRange' is supported when networkMode is bridge or awsvpc.";
            return Err(Refusal::rule(path, message));
        }
        let ends = text.split_once('-').and_then(|(first, last)| {
            Some((first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?))
        });
        return ends
            .filter(|(first, last)| *first >= 1 && first < last)
            .ok_or_else(|| Refusal::wrong(path, format!("'{text}' is not a range of ports like 8000-8010")));
    }
    let Some(port) = mapping.container_port.filter(|&port| port != 0) else {
        let message = format!("Invalid 'containerPort' setting for container '{container}'.");
        return Err(Refusal::rule(path.clone(), message));
    };
    let differs = mapping.host_port.is_some_and(|host| host != 0 && host != port);
    match mode {
        NetworkMode::Awsvpc | NetworkMode::Host if differs => {
            let word = if mode == NetworkMode::Host { "host" } else { "awsvpc" };
            let message = format!(
                "When networkMode={word}, the host ports and container ports in port mappings must match."
            );
            Err(Refusal::rule(path.member("hostPort"), message))
        }
        NetworkMode::Awsvpc | NetworkMode::Host | NetworkMode::Bridge | NetworkMode::None => Ok((port, port)),
    }
}

fn words(mapping: &PortMapping, path: &MemberPath) -> Result<(), Refusal> {
    if let Some(word) = &mapping.protocol {
        one_of(word, &["tcp", "udp"], || path.member("protocol"))?;
    }
    if let Some(word) = &mapping.app_protocol {
        one_of(word, &["http", "http2", "grpc"], || path.member("appProtocol"))?;
    }
    let Some(name) = &mapping.name else { return Ok(()) };
    let letters =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    if (1..=64).contains(&name.len()) && letters && !name.starts_with('-') {
        return Ok(());
    }
    let message = format!("'{name}' is no name of a port: 1 to 64 of a-z, 0-9, '_' and '-', not '-' first");
    Err(Refusal::wrong(path.member("name"), message))
}
