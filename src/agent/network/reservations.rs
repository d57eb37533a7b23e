//! Who holds which address and which ports of the host: kept in memory, found again at every start.
//!
//! Everything here is arithmetic on what has been given out; whether somebody outside holds a port is asked through
//! a function. The tables that the network installs are derived from this and from nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::model::ids::{ContainerName, TaskId};
use crate::model::network::{PortRange, Protocol, Publish, Subnet, Tables};
use crate::model::task::{BoundPorts, NetworkBinding};
use crate::net::ipam;

/// A run of ports that a container wants to be reached by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The container.
    pub container: ContainerName,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The first port inside.
    pub container_port: u16,
    /// How many.
    pub count: u16,
    /// The first port on the host; any when absent.
    pub host_port: Option<u16>,
}

/// A run of ports that a container is reached by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Given {
    /// The container.
    pub container: ContainerName,
    /// How.
    pub publish: Publish,
}

impl Given {
    /// What is told of it: a row of ports as a range.
    pub(crate) fn binding(&self) -> NetworkBinding {
        let Publish { protocol, bind, host_port, count, task: _, container_port } = self.publish;
        let ranges = PortRange::starting(container_port, count).zip(PortRange::starting(host_port, count));
        let ports = match ranges {
            Some((container_port_range, host_port_range)) if count > 1 => {
                BoundPorts::Range { container_port_range, host_port_range }
            }
            Some(_) | None => BoundPorts::One { container_port, host_port },
        };
        NetworkBinding { bind_ip: bind.to_string(), ports, protocol: protocol.name().to_owned() }
    }

    /// What is held by a binding that was told, when the task is at `task`. None when it names no address.
    pub(crate) fn told(container: &ContainerName, binding: &NetworkBinding, task: Ipv4Addr) -> Option<Self> {
        let (container_port, host_port, count) = match binding.ports {
            BoundPorts::One { container_port, host_port } => (container_port, host_port, 1),
            BoundPorts::Range { container_port_range, host_port_range } => {
                (container_port_range.first(), host_port_range.first(), host_port_range.count())
            }
        };
        let protocol = if binding.protocol == "udp" { Protocol::Udp } else { Protocol::Tcp };
        let bind = binding.bind_ip.parse().ok()?;
        let publish = Publish { protocol, bind, host_port, count, task, container_port };
        Some(Self { container: container.clone(), publish })
    }
}

/// What cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReservationError {
    /// Every address is taken.
    #[error("subnet {0} has no free address")]
    NoAddress(Subnet),
    /// A port is somebody's.
    #[error("host port {port}/{protocol} is in use{}", by.as_ref().map(|task| format!(" by task {task}")).unwrap_or_default())]
    PortInUse {
        /// The port.
        port: u16,
        /// TCP or UDP.
        protocol: Protocol,
        /// The task that holds it; somebody else when absent.
        by: Option<TaskId>,
    },
    /// No row of free ports is long enough.
    #[error("no {count} free host ports in a row for container port {container_port}/{protocol}")]
    NoPorts {
        /// How many.
        count: u16,
        /// The first port inside.
        container_port: u16,
        /// TCP or UDP.
        protocol: Protocol,
    },
}

/// What one task holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Held {
    address: Option<Ipv4Addr>,
    given: Vec<Given>,
}

/// What all tasks hold.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    held: BTreeMap<TaskId, Held>,
    /// Addresses of interfaces that are made already, for tasks to come.
    ready: BTreeSet<Ipv4Addr>,
    last_address: Option<Ipv4Addr>,
    last_port: Option<u16>,
    version: u64,
}

impl Reservations {
    /// The address of `task`: the one it holds, or the next free one.
    pub(crate) fn address(&mut self, task: &TaskId, subnet: Subnet) -> Result<Ipv4Addr, ReservationError> {
        if let Some(address) = self.held.get(task).and_then(|held| held.address) {
            return Ok(address);
        }
        let address = self.free_address(subnet)?;
        self.held.entry(task.clone()).or_default().address = Some(address);
        Ok(address)
    }

    /// The next free address, for an interface that is made before its task is known.
    pub(crate) fn spare(&mut self, subnet: Subnet) -> Result<Ipv4Addr, ReservationError> {
        let address = self.free_address(subnet)?;
        self.ready.insert(address);
        Ok(address)
    }

    /// Gives the address of such an interface to `task`.
    pub(crate) fn give(&mut self, task: &TaskId, address: Ipv4Addr) {
        self.ready.remove(&address);
        self.held.entry(task.clone()).or_default().address = Some(address);
    }

    /// Such an interface is no more.
    pub(crate) fn give_up(&mut self, address: Ipv4Addr) {
        self.ready.remove(&address);
    }

    fn free_address(&mut self, subnet: Subnet) -> Result<Ipv4Addr, ReservationError> {
        let held = self.held.values().filter_map(|held| held.address);
        let used: BTreeSet<Ipv4Addr> = held.chain(self.ready.iter().copied()).collect();
        let free = ipam::allocate(subnet, &used, self.last_address);
        let address = free.ok_or(ReservationError::NoAddress(subnet))?;
        self.last_address = Some(address);
        Ok(address)
    }

    /// Ports for `task` at `address`, all of them or none.
    pub(crate) fn ports(
        &mut self,
        task: &TaskId,
        address: Ipv4Addr,
        bind: Ipv4Addr,
        wanted: &[Wanted],
        dynamic: &RangeInclusive<u16>,
        mut is_bindable: impl FnMut(Protocol, u16) -> bool,
    ) -> Result<Vec<Given>, ReservationError> {
        let mut given: Vec<Given> = Vec::new();
        let mut last = self.last_port;
        // Named ports first, so that a dynamic one cannot take what a later mapping names.
        for want in wanted.iter().filter(|want| want.host_port.is_some()) {
            let first = want.host_port.unwrap_or_default();
            for port in (0..want.count).map(|step| first.saturating_add(step)) {
                let ours = given.iter().any(|given| holds(&given.publish, want.protocol, port));
                let by = self.holder(want.protocol, port, task);
                if ours || by.is_some() || !is_bindable(want.protocol, port) {
                    return Err(ReservationError::PortInUse { port, protocol: want.protocol, by });
                }
            }
            given.push(give(want, first, address, bind));
        }
        for want in wanted.iter().filter(|want| want.host_port.is_none()) {
            let first = ipam::allocate_ports(dynamic.clone(), want.count, last, |port| {
                !given.iter().any(|given| holds(&given.publish, want.protocol, port))
                    && self.holder(want.protocol, port, task).is_none()
                    && is_bindable(want.protocol, port)
            });
            let first = first.ok_or(ReservationError::NoPorts {
                count: want.count,
                container_port: want.container_port,
                protocol: want.protocol,
            })?;
            last = Some(first.saturating_add(want.count.saturating_sub(1)));
            given.push(give(want, first, address, bind));
        }
        self.last_port = last;
        self.version += u64::from(!given.is_empty());
        self.held.entry(task.clone()).or_default().given.clone_from(&given);
        Ok(given)
    }

    /// Writes down what a task holds already.
    pub(crate) fn adopt(&mut self, task: &TaskId, address: Option<Ipv4Addr>, given: Vec<Given>) {
        self.version += 1;
        self.held.insert(task.clone(), Held { address, given });
    }

    /// Lets go of a task's ports; whether it held any.
    pub(crate) fn unpublish(&mut self, task: &TaskId) -> bool {
        let given = self.held.get_mut(task).map(|held| std::mem::take(&mut held.given));
        let had_ports = given.is_some_and(|given| !given.is_empty());
        self.version += u64::from(had_ports);
        had_ports
    }

    /// Lets go of everything a task holds.
    pub(crate) fn release(&mut self, task: &TaskId) {
        self.unpublish(task);
        self.held.remove(task);
    }

    /// The whole of the tables, in a steady order.
    pub(crate) fn tables(&self) -> Tables {
        let given = self.held.values().flat_map(|held| &held.given);
        Tables { publishes: given.map(|given| given.publish).collect() }
    }

    /// Counts changes of the tables.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    fn holder(&self, protocol: Protocol, port: u16, except: &TaskId) -> Option<TaskId> {
        let others = self.held.iter().filter(|(task, _)| *task != except);
        let mut holders =
            others.filter(|(_, held)| held.given.iter().any(|given| holds(&given.publish, protocol, port)));
        holders.next().map(|(task, _)| task.clone())
    }
}

fn give(want: &Wanted, host_port: u16, task: Ipv4Addr, bind: Ipv4Addr) -> Given {
    let (protocol, count, container_port) = (want.protocol, want.count, want.container_port);
    Given {
        container: want.container.clone(),
        publish: Publish { protocol, bind, host_port, count, task, container_port },
    }
}

fn holds(publish: &Publish, protocol: Protocol, port: u16) -> bool {
    let (first, count) = (u32::from(publish.host_port), u32::from(publish.count));
    publish.protocol == protocol && (first..first + count).contains(&u32::from(port))
}

#[cfg(test)]
mod tests;
