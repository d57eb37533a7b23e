//! What this host has to give, what a task takes of it, and what is missing when it does not fit.
//!
//! The accounting is that of ECS placement: values of the task win over the sums of its containers, a memory
//! reservation over a memory limit. Only host ports that a definition fixes are counted; free ones are found later.

use std::net::Ipv4Addr;

use super::{
    network::Protocol,
    task::TaskOverride,
    task_definition::{ContainerDefinition, Document, NetworkMode},
};

/// What this host has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// CPU units; 1024 a processor.
    pub cpu: u32,
    /// MiB of memory.
    pub memory: u32,
}

/// Ports of the host that a task must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPorts {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The address they are bound to, `0.0.0.0` for every one.
    pub bind: Ipv4Addr,
    /// The first.
    pub first: u16,
    /// How many.
    pub count: u16,
}

/// What a task takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// CPU units.
    pub cpu: u32,
    /// MiB of memory.
    pub memory: u32,
    /// Fixed ports of the host.
    pub ports: Vec<HostPorts>,
}

/// What is missing for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// CPU units.
    Cpu,
    /// Memory.
    Memory,
    /// This port is taken.
    Port(u16),
}

impl HostPorts {
    /// The lowest port that both want on one address.
    #[must_use]
    pub fn clash(&self, other: &Self) -> Option<u16> {
        let one_address =
            self.bind == other.bind || self.bind.is_unspecified() || other.bind.is_unspecified();
        let end = |ports: &Self| u32::from(ports.first) + u32::from(ports.count);
        let low = self.first.max(other.first);
        let overlap = u32::from(low) < end(self).min(end(other));
        (self.protocol == other.protocol && one_address && overlap).then_some(low)
    }
}

impl Needs {
    /// What a task of this definition takes, as this run changes it.
    #[must_use]
    pub fn of(document: &Document, overrides: &TaskOverride) -> Self {
        let sum = |part: &dyn Fn(&ContainerDefinition) -> u32| {
            document.container_definitions.iter().map(part).fold(0, u32::saturating_add)
        };
        let cpu =
            overrides.cpu.or(document.cpu).map_or_else(|| sum(&|c| cpu_of(c, overrides)), |units| units.0);
        let memory = overrides
            .memory
            .or(document.memory)
            .map_or_else(|| sum(&|c| memory_of(c, overrides)), |mebibytes| mebibytes.0);
        Self { cpu, memory, ports: fixed_ports(document) }
    }

    /// Takes the other's share too.
    pub fn add(&mut self, other: &Self) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.memory = self.memory.saturating_add(other.memory);
        self.ports.extend_from_slice(&other.ports);
    }
}

impl Capacity {
    /// Whether `needs` fit beside what is `taken`, and what is missing when they do not.
    ///
    /// A task that needs none of a resource is never short of it.
    pub fn fits(self, taken: &Needs, needs: &Needs) -> Result<(), Shortage> {
        if needs.cpu > 0 && taken.cpu.saturating_add(needs.cpu) > self.cpu {
            return Err(Shortage::Cpu);
        }
        if needs.memory > 0 && taken.memory.saturating_add(needs.memory) > self.memory {
            return Err(Shortage::Memory);
        }
        let clash =
            needs.ports.iter().find_map(|port| taken.ports.iter().find_map(|other| port.clash(other)));
        clash.map_or(Ok(()), |port| Err(Shortage::Port(port)))
    }
}

fn cpu_of(container: &ContainerDefinition, overrides: &TaskOverride) -> u32 {
    let changed = overrides.container_overrides.iter().find(|change| change.name == container.name);
    changed.and_then(|change| change.cpu).unwrap_or(container.cpu)
}

fn memory_of(container: &ContainerDefinition, overrides: &TaskOverride) -> u32 {
    let changed = overrides.container_overrides.iter().find(|change| change.name == container.name);
    let reservation = changed.and_then(|change| change.memory_reservation).or(container.memory_reservation);
    let limit = changed.and_then(|change| change.memory).or(container.memory);
    reservation.or(limit).unwrap_or(0)
}

/// Bridge mode fixes the host ports that are named; host mode makes every container port one of the host.
fn fixed_ports(document: &Document) -> Vec<HostPorts> {
    let mappings = document.container_definitions.iter().flat_map(|container| &container.port_mappings);
    let host_mode = match document.network_mode() {
        NetworkMode::Host => true,
        NetworkMode::Bridge => false,
        NetworkMode::Awsvpc | NetworkMode::None => return Vec::new(),
    };
    let fixed = mappings.filter_map(|mapping| {
        let (first, count) = match &mapping.container_port_range {
            Some(range) if host_mode => parse_range(range)?,
            Some(_) => return None, // bridge mode finds a free run of host ports
            None if host_mode => (mapping.container_port?, 1),
            None => (mapping.host_port.filter(|&port| port > 0)?, 1),
        };
        let udp = mapping.protocol.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("udp"));
        let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
        Some(HostPorts { protocol, bind: Ipv4Addr::UNSPECIFIED, first, count })
    });
    fixed.collect()
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(first: u16, count: u16) -> HostPorts {
        HostPorts { protocol: Protocol::Tcp, bind: Ipv4Addr::UNSPECIFIED, first, count }
    }

    fn document(text: &str) -> Document {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn ranges_clash_where_they_overlap() {
        assert_eq!(tcp(80, 1).clash(&tcp(80, 1)), Some(80));
        assert_eq!(tcp(8000, 10).clash(&tcp(8005, 10)), Some(8005));
        assert_eq!(tcp(8000, 5).clash(&tcp(8005, 10)), None);
        assert_eq!(tcp(65535, 1).clash(&tcp(65535, 1)), Some(65535));
        let udp = HostPorts { protocol: Protocol::Udp, ..tcp(80, 1) };
        assert_eq!(tcp(80, 1).clash(&udp), None);
    }

    #[test]
    fn a_tasks_own_values_win_over_the_sums_of_its_containers() {
        let sums = r#"{"family":"f","containerDefinitions":[
            {"name":"a","image":"i","cpu":100,"memory":64,"memoryReservation":32,
             "portMappings":[{"containerPort":80,"hostPort":8080},{"containerPort":81}]},
            {"name":"b","image":"i","cpu":50,"memory":128}]}"#;
        let needs = Needs::of(&document(sums), &TaskOverride::default());
        assert_eq!((needs.cpu, needs.memory), (150, 160));
        assert_eq!(needs.ports, [tcp(8080, 1)]);
        let own = r#"{"family":"f","cpu":"256","memory":"512","networkMode":"host","containerDefinitions":[
            {"name":"a","image":"i","memory":64,"portMappings":[{"containerPort":80},{"containerPortRange":"90-94"}]}]}"#;
        let needs = Needs::of(&document(own), &TaskOverride::default());
        assert_eq!((needs.cpu, needs.memory), (256, 512));
        assert_eq!(needs.ports, [tcp(80, 1), tcp(90, 5)]);
    }

    #[test]
    fn a_task_that_needs_nothing_fits_a_full_host() {
        let host = Capacity { cpu: 1024, memory: 512 };
        let full = Needs { cpu: 1024, memory: 512, ports: vec![tcp(80, 1)] };
        assert_eq!(host.fits(&full, &Needs::default()), Ok(()));
        assert_eq!(host.fits(&full, &Needs { cpu: 1, ..Needs::default() }), Err(Shortage::Cpu));
        assert_eq!(host.fits(&full, &Needs { memory: 1, ..Needs::default() }), Err(Shortage::Memory));
        let port = Needs { ports: vec![tcp(80, 1)], ..Needs::default() };
        assert_eq!(host.fits(&full, &port), Err(Shortage::Port(80)));
    }
}
