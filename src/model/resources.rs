//! What a task takes of a host, and whether a host has it left.
//!
//! A task reserves CPU units, memory and fixed host ports from the moment it is wanted until nothing of it is left.
//! What its definition gives for the whole task wins over the sum of its containers, and of a container the soft
//! memory limit wins over the hard one, as in ECS. Dynamic ports are nobody's to reserve. What a host is or is not,
//! its processor for one, no task takes away: see [`Traits`].

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

mod traits;

pub use traits::{Lack, Traits, Wants};

use super::{
    network::Protocol,
    task::TaskOverride,
    task_definition::{ContainerDefinition, Document, NetworkMode},
};

/// CPU and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// CPU units; 1024 are one processor.
    pub cpu: u64,
    /// Memory in MiB.
    pub memory: u64,
}

/// A port of the host.
pub type HostPort = (Protocol, u16);

/// What one task takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    /// CPU and memory.
    pub resources: Resources,
    /// Fixed host ports.
    pub ports: BTreeSet<HostPort>,
    /// What the host must be.
    pub wants: Wants,
}

/// What a host lacks for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shortage {
    /// CPU units.
    Cpu,
    /// Memory.
    Memory,
    /// A host port that another task holds or that the host keeps for itself.
    Port(HostPort),
    /// Graphics processors.
    Gpu,
    /// Something that the host is not, and will not become.
    Trait(Lack),
}

impl Shortage {
    /// The reason in an ECS `failures` entry.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Cpu => "RESOURCE:CPU",
            Self::Memory => "RESOURCE:MEMORY",
            Self::Port(_) => "RESOURCE:PORTS",
            Self::Gpu => "RESOURCE:GPU",
            Self::Trait(_) => "ATTRIBUTE",
        }
    }
}

impl fmt::Display for Shortage {
    /// What ECS writes after `The closest matching (container-instance ID)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("has insufficient CPU units available"),
            Self::Memory => f.write_str("has insufficient memory available"),
            Self::Port(_) => f.write_str("is already using a port required by your task"),
            Self::Gpu => f.write_str("has insufficient GPU resource available"),
            Self::Trait(lack) => write!(f, "is missing an attribute required by your task: {lack}"),
        }
    }
}

impl Reservation {
    /// What a task of `document` takes, as `overrides` change it.
    #[must_use]
    pub fn of(document: &Document, overrides: &TaskOverride) -> Self {
        let cpu = overrides.cpu.or(document.cpu).map(|units| u64::from(units.0));
        let memory = overrides.memory.or(document.memory).map(|mebibytes| u64::from(mebibytes.0));
        let sum = |each: fn(&ContainerDefinition, &TaskOverride) -> u64| {
            document.container_definitions.iter().map(|container| each(container, overrides)).sum()
        };
        let resources = Resources {
            cpu: cpu.unwrap_or_else(|| sum(container_cpu)),
            memory: memory.unwrap_or_else(|| sum(container_memory)),
        };
        Self { resources, ports: fixed_ports(document), wants: Wants::of(document, overrides) }
    }
}

fn container_cpu(container: &ContainerDefinition, overrides: &TaskOverride) -> u64 {
    let changed = overrides.container_overrides.iter().find(|change| change.name == container.name);
    u64::from(changed.and_then(|change| change.cpu).unwrap_or(container.cpu))
}

fn container_memory(container: &ContainerDefinition, overrides: &TaskOverride) -> u64 {
    let changed = overrides.container_overrides.iter().find(|change| change.name == container.name);
    let soft = changed.and_then(|change| change.memory_reservation).or(container.memory_reservation);
    let hard = changed.and_then(|change| change.memory).or(container.memory);
    u64::from(soft.or(hard).unwrap_or(0))
}

/// Ports of the host that the document names. In `host` mode a mapping without a host port means the container's
/// own, in `bridge` mode any free one; an `awsvpc` task has its ports on its own address and takes none of the host.
fn fixed_ports(document: &Document) -> BTreeSet<HostPort> {
    let own = match document.network_mode() {
        NetworkMode::Host => true,
        NetworkMode::Bridge => false,
        NetworkMode::Awsvpc | NetworkMode::None => return BTreeSet::new(),
    };
    let mappings = document.container_definitions.iter().flat_map(|container| &container.port_mappings);
    mappings
        .filter_map(|mapping| {
            let fixed = mapping.host_port.filter(|&port| port != 0);
            let port = if own { fixed.or(mapping.container_port) } else { fixed };
            let udp = mapping.protocol.as_deref().is_some_and(|word| word.eq_ignore_ascii_case("udp"));
            Some((if udp { Protocol::Udp } else { Protocol::Tcp }, port?))
        })
        .collect()
}

/// What a host has for tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// CPU and memory.
    pub registered: Resources,
    /// Ports that the host keeps for itself.
    pub reserved_ports: BTreeSet<HostPort>,
    /// What it is.
    pub traits: Traits,
}

impl Capacity {
    /// Whether a task that takes `wanted` fits beside what is `taken`; `is_taken` knows the ports of other tasks.
    pub fn admit(
        &self,
        taken: Resources,
        wanted: &Reservation,
        is_taken: impl Fn(HostPort) -> bool,
    ) -> Result<(), Shortage> {
        if let Some(lack) = self.traits.lack(&wanted.wants) {
            return Err(lack);
        }
        let held = |port: &&HostPort| self.reserved_ports.contains(*port) || is_taken(**port);
        if let Some(&port) = wanted.ports.iter().find(held) {
            return Err(Shortage::Port(port));
        }
        if taken.cpu.saturating_add(wanted.resources.cpu) > self.registered.cpu {
            return Err(Shortage::Cpu);
        }
        if taken.memory.saturating_add(wanted.resources.memory) > self.registered.memory {
            return Err(Shortage::Memory);
        }
        Ok(())
    }

    /// The numbers of a shortage: what a task would take, and what is left beside what is `taken`.
    #[must_use]
    pub fn told(&self, taken: Resources, wanted: &Reservation, shortage: Shortage) -> String {
        let left = |wanted: u64, taken: u64, all: u64, unit: &str| {
            format!("the task needs {wanted} {unit}, and {} of {all} are left", all.saturating_sub(taken))
        };
        let (all, wanted) = (self.registered, wanted.resources);
        match shortage {
            Shortage::Cpu => left(wanted.cpu, taken.cpu, all.cpu, "CPU units"),
            Shortage::Memory => left(wanted.memory, taken.memory, all.memory, "MiB of memory"),
            Shortage::Port((protocol, port)) => format!("{protocol} port {port} of the host is taken"),
            Shortage::Gpu => "the task needs a GPU, and this host has none".to_owned(),
            Shortage::Trait(lack) => lack.to_string(),
        }
    }
}
