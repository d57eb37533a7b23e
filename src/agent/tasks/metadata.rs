//! What a task is told of itself before it runs, and the variables by which its containers ask for the rest.
//!
//! A task with a network of its own asks at the address that ECS has for it, which is the same in each. On the host's
//! network it asks at a port of the host's loopback that is its own; others there may knock, and do not know the names
//! under which it asks. Without any network the variables are there, as in ECS, and lead nowhere.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::build::Plot;
use crate::agent::bundle::Bind;
use crate::agent::names::servers;
use crate::agent::network::protocol;
use crate::model::arn::Owner;
use crate::model::fact::Attachment;
use crate::model::ids::{ContainerName, uuid};
use crate::model::network::{METADATA_ADDRESS, Publish, Subnet};
use crate::model::task::Tag;
use crate::model::task_definition::{ContainerDefinition, NetworkMode, PortMapping};
use crate::model::time::Timestamp;
use crate::shim::metadata::document::{
    ContainerDocument, EphemeralStorage, Known, KnownContainer, KnownRole, Limits, Network, Port,
    TaskDocument, Volume,
};

/// The least CPU units that ECS gives a container.
const LEAST_UNITS: u32 = 2;

/// Where the router of FireLens listens.
const FLUENT_PORT: u16 = 24224;

/// What is settled before anything is built.
#[derive(Debug)]
pub(super) struct Settled {
    /// Microseconds since boot at which the start began.
    pub(super) begun_us: u64,
    /// When the first pull began.
    pub(super) pull_started: Timestamp,
    /// When the last ended.
    pub(super) pull_stopped: Timestamp,
    /// The role whose credentials the task gets.
    pub(super) role: Option<KnownRole>,
    /// Where the task asks about itself on the host's network.
    pub(super) door: Option<SocketAddr>,
}

impl Plot<'_> {
    /// What is known of the task.
    pub(super) fn known(&self) -> Known {
        let containers = self.document().container_definitions.iter();
        let containers = containers.map(|definition| KnownContainer {
            endpoint: secret_name(),
            document: self.container_document(definition),
        });
        Known {
            api: self.hands.config.api_socket.clone(),
            role: self.settled.role.clone(),
            task: self.task_document(),
            containers: containers.collect(),
        }
    }

    fn task_document(&self) -> TaskDocument {
        let (task, definition) = (&self.start.task, &self.start.definition);
        let Owner { region, .. } = &self.hands.config.owner;
        let cpu = task.overrides.cpu.or(definition.document.cpu).map(|units| f64::from(units.0) / 1024.0);
        let memory = task.overrides.memory.or(definition.document.memory).map(|mib| u64::from(mib.0));
        let launch_type = task.extra.get("launchType").and_then(|value| value.as_str()).unwrap_or("EXTERNAL");
        let tags: BTreeMap<String, String> =
            task.tags.iter().map(|Tag { key, value }| (key.clone(), value.clone())).collect();
        TaskDocument {
            cluster: task.cluster.to_string(),
            task_arn: self.hands.config.owner.task(&task.cluster, &task.id),
            family: definition.id.family.to_string(),
            revision: definition.id.revision.to_string(),
            service_name: task.owner.as_ref().map(|owner| owner.service.to_string()),
            limits: (cpu.is_some() || memory.is_some()).then_some(Limits { cpu, memory }),
            pull_started_at: Some(self.settled.pull_started.to_rfc3339()),
            pull_stopped_at: Some(self.settled.pull_stopped.to_rfc3339()),
            availability_zone: Some(format!("{region}a")),
            launch_type: Some(launch_type.to_owned()),
            group: Some(task.group.clone()),
            task_tags: (!tags.is_empty()).then_some(tags),
            fault_injection_enabled: Some(false),
            ephemeral_storage_metrics: task
                .storage_gib(&definition.document)
                .map(|size| EphemeralStorage { utilized: 0, reserved: size * 1024 }),
            ..TaskDocument::default()
        }
    }

    fn container_document(&self, definition: &ContainerDefinition) -> ContainerDocument {
        let (task, name) = (&self.start.task, &definition.name);
        let change = self.change(name);
        let units = change.and_then(|change| change.cpu).unwrap_or(definition.cpu).max(LEAST_UNITS);
        let memory = change.and_then(|change| change.memory).or(definition.memory);
        let digest = self.image(name).map(|image| image.manifest_digest.to_string());
        let family = format!("{}-{}", self.start.definition.id.family, self.start.definition.id.revision);
        let log = definition.log_configuration.as_ref();
        ContainerDocument {
            docker_id: format!("{}-{name}", task.id),
            name: name.to_string(),
            docker_name: format!("ecs-{family}-{name}-{}", &task.id.as_str()[..20]),
            image: definition.image.clone(),
            image_id: digest.unwrap_or_default(),
            ports: self.ports(definition),
            labels: self.labels(definition),
            limits: Limits { cpu: Some(f64::from(units)), memory: memory.map(u64::from) },
            kind: "NORMAL".to_owned(),
            log_driver: Some(log.map_or("json-file", |log| log.log_driver.as_str()).to_owned()),
            log_options: log.and_then(|log| log.options.clone()).unwrap_or_default(),
            container_arn: Some(self.hands.config.owner.container(&task.cluster, &task.id, name)),
            networks: self.networks(definition),
            snapshotter: Some("overlayfs".to_owned()),
            ..ContainerDocument::default()
        }
    }

    fn ports(&self, definition: &ContainerDefinition) -> Vec<Port> {
        // Where no port is led to another.
        if matches!(self.document().network_mode(), NetworkMode::Awsvpc | NetworkMode::Host) {
            let port = |mapping: &PortMapping| {
                let container_port = mapping.container_port?;
                let protocol = protocol(mapping).name().to_owned();
                Some(Port { container_port, protocol, host_port: Some(container_port), host_ip: None })
            };
            return definition.port_mappings.iter().filter_map(port).collect();
        }
        let given = self.record.given.iter().filter(|given| given.container == definition.name);
        let ports = given.flat_map(|given| {
            let Publish { protocol, bind, host_port, count, container_port, task: _ } = given.publish;
            (0..count).map(move |further| Port {
                container_port: container_port.saturating_add(further),
                protocol: protocol.name().to_owned(),
                host_port: Some(host_port.saturating_add(further)),
                host_ip: Some(bind.to_string()),
            })
        });
        ports.collect()
    }

    fn labels(&self, definition: &ContainerDefinition) -> BTreeMap<String, String> {
        let (task, id) = (&self.start.task, &self.start.definition.id);
        let mut labels = definition.docker_labels.clone().unwrap_or_default();
        let own = [
            ("cluster", task.cluster.to_string()),
            ("container-name", definition.name.to_string()),
            ("task-arn", self.hands.config.owner.task(&task.cluster, &task.id)),
            ("task-definition-family", id.family.to_string()),
            ("task-definition-version", id.revision.to_string()),
        ];
        labels.extend(own.map(|(name, value)| (format!("com.amazonaws.ecs.{name}"), value)));
        labels
    }

    fn networks(&self, definition: &ContainerDefinition) -> Vec<Network> {
        let is_alone = definition.disable_networking == Some(true);
        let without_address = |mode: &str| Network {
            network_mode: mode.to_owned(),
            ipv4_addresses: vec![String::new()],
            ..Network::default()
        };
        match self.document().network_mode() {
            NetworkMode::Host if !is_alone => vec![without_address("host")],
            NetworkMode::Host | NetworkMode::None => vec![without_address("none")],
            NetworkMode::Awsvpc | NetworkMode::Bridge => {
                let attached = self.record.attachment.iter();
                attached.map(|attachment| self.network(attachment, definition)).collect()
            }
        }
    }

    /// The network of a container; the properties of an interface are shown in the mode that has one of its own.
    fn network(&self, attachment: &Attachment, definition: &ContainerDefinition) -> Network {
        let interface = &attachment.interface;
        let ipv4_addresses = vec![interface.address.to_string()];
        if self.document().network_mode() != NetworkMode::Awsvpc {
            return Network { network_mode: "bridge".to_owned(), ipv4_addresses, ..Network::default() };
        }
        let names = self.names(definition, &self.host);
        Network {
            network_mode: "awsvpc".to_owned(),
            ipv4_addresses,
            attachment_index: Some(0),
            mac_address: Some(interface.mac().to_string()),
            ipv4_subnet_cidr_block: Subnet::new(interface.address, interface.prefix)
                .map(|net| net.to_string()),
            domain_name_servers: servers(&names.resolv_conf).map(str::to_owned).collect(),
            subnet_gateway_ipv4_address: Some(format!("{}/{}", interface.gateway, interface.prefix)),
        }
    }
}

/// Notes what a container mounts.
pub(super) fn note_volumes(known: &mut Known, container: &ContainerName, binds: &[Bind]) {
    let found = known.containers.iter_mut().find(|known| known.document.name == container.as_str());
    if let Some(found) = found {
        let volume = |bind: &Bind| Volume {
            docker_name: None,
            source: Some(bind.source.display().to_string()),
            destination: bind.destination.display().to_string(),
        };
        found.document.volumes = binds.iter().map(volume).collect();
    }
}

/// The variables by which a container asks: at `door` on the host's network, otherwise where all ask.
pub(super) fn variables(
    known: &Known,
    container: &ContainerName,
    door: Option<SocketAddr>,
) -> Vec<(String, String)> {
    let Some(own) = known.containers.iter().find(|known| known.document.name == container.as_str()) else {
        return Vec::new();
    };
    let base = door.map_or_else(|| format!("http://{METADATA_ADDRESS}"), |door| format!("http://{door}"));
    let uri = |version: &str| format!("{base}/{version}/{}", own.endpoint);
    let mut variables = vec![
        ("ECS_CONTAINER_METADATA_URI".to_owned(), uri("v3")),
        ("ECS_CONTAINER_METADATA_URI_V4".to_owned(), uri("v4")),
        ("ECS_AGENT_URI".to_owned(), uri("api")),
    ];
    if let Some(role) = &known.role {
        let path = format!("/v2/credentials/{}", role.id);
        variables.push(match door {
            None => ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI".to_owned(), path),
            // Clients put the address of ECS before a path; a whole address they take where it is loopback's.
            Some(_) => ("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), base + &path),
        });
    }
    variables
}

/// Where a container that writes to FireLens finds its router: one of its own task, so at home.
pub(super) fn router(definition: &ContainerDefinition, mode: NetworkMode) -> Vec<(String, String)> {
    let is_routed = definition.log_configuration.as_ref().is_some_and(|log| log.log_driver == "awsfirelens");
    if !is_routed || !matches!(mode, NetworkMode::Awsvpc | NetworkMode::Bridge) {
        return Vec::new();
    }
    vec![
        ("FLUENT_HOST".to_owned(), "127.0.0.1".to_owned()),
        ("FLUENT_PORT".to_owned(), FLUENT_PORT.to_string()),
    ]
}

/// A name that nobody can guess.
pub(super) fn secret_name() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("a kernel that has booted has random bytes");
    uuid(bytes)
}
