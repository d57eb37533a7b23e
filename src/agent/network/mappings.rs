//! What the port mappings of a document ask for.

use super::reservations::Wanted;
use crate::model::network::{PortRange, PortRangeError, Protocol};
use crate::model::task_definition::{ContainerDefinition, Document, NetworkMode, PortMapping};

/// A mapping that says nothing usable.
#[derive(Debug, thiserror::Error)]
#[error("port mapping of container {container}: {what}")]
pub(crate) struct MappingError {
    container: String,
    what: String,
}

/// The ports that the containers of a document are published on, in its order. Only `bridge` publishes.
pub(crate) fn wanted(document: &Document) -> Result<Vec<Wanted>, MappingError> {
    match document.network_mode() {
        NetworkMode::Bridge => {}
        NetworkMode::Host | NetworkMode::Awsvpc | NetworkMode::None => return Ok(Vec::new()),
    }
    let mappings = document.container_definitions.iter().flat_map(|container| {
        let is_reachable = container.disable_networking != Some(true);
        container.port_mappings.iter().filter(move |_| is_reachable).map(move |mapping| (container, mapping))
    });
    mappings.map(|(container, mapping)| want(container, mapping)).collect()
}

fn want(container: &ContainerDefinition, mapping: &PortMapping) -> Result<Wanted, MappingError> {
    let wrong = |what: &str| MappingError { container: container.name.to_string(), what: what.to_owned() };
    let (container_port, count) = match (&mapping.container_port_range, mapping.container_port) {
        (Some(range), _) => {
            let range: PortRange = range.parse().map_err(|err: PortRangeError| wrong(&err.to_string()))?;
            (range.first(), range.count())
        }
        (None, Some(port)) if port > 0 => (port, 1),
        (None, Some(_) | None) => return Err(wrong("containerPort is missing")),
    };
    let host_port = mapping.host_port.filter(|port| *port > 0 && mapping.container_port_range.is_none());
    Ok(Wanted {
        container: container.name.clone(),
        protocol: protocol(mapping),
        container_port,
        count,
        host_port,
    })
}

/// Anything but `udp` is TCP, as ECS has it.
pub(crate) fn protocol(mapping: &PortMapping) -> Protocol {
    if mapping.protocol.as_deref() == Some("udp") { Protocol::Udp } else { Protocol::Tcp }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(mode: &str, mappings: &str) -> Document {
        let text = format!(
            r#"{{"family": "f", "networkMode": "{mode}", "containerDefinitions": [
                {{"name": "web", "image": "i", "portMappings": {mappings}}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn only_the_bridge_publishes() {
        let mappings = r#"[{"containerPort": 80}]"#;
        for mode in ["host", "awsvpc", "none"] {
            assert!(wanted(&document(mode, mappings)).unwrap().is_empty(), "{mode}");
        }
        assert_eq!(wanted(&document("bridge", mappings)).unwrap().len(), 1);
    }

    #[test]
    fn mappings_read_to_runs_of_ports() {
        let text = r#"[{"containerPort": 80, "hostPort": 0}, {"containerPort": 53, "hostPort": 5353, "protocol": "udp"},
            {"containerPortRange": "7000-7009"}]"#;
        let runs: Vec<_> = wanted(&document("bridge", text)).unwrap();
        let runs: Vec<_> =
            runs.iter().map(|run| (run.protocol, run.container_port, run.count, run.host_port)).collect();
        let expected = [
            (Protocol::Tcp, 80, 1, None),
            (Protocol::Udp, 53, 1, Some(5353)),
            (Protocol::Tcp, 7000, 10, None),
        ];
        assert_eq!(runs, expected);
    }

    #[test]
    fn a_mapping_of_nothing_is_refused() {
        let refused = wanted(&document("bridge", r#"[{"containerPortRange": "9-1"}]"#)).unwrap_err();
        assert_eq!(refused.to_string(), "port mapping of container web: \"9-1\" is not a range of ports");
        assert!(wanted(&document("bridge", "[{}]")).is_err());
    }
}
