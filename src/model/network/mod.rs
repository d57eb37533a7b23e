//! Network tables: what an instance's packets should meet, as plain data.
//!
//! A [`Subnet`] belongs to an instance, a [`TaskInterface`] to a task, a [`Publish`] to one port mapping of a task.
//! [`Tables`] is the whole of an instance's firewall: it is computed from all tasks at once and installed in one
//! transaction by `net`, so nothing here says what changed, only what should be.
//!
//! Nothing here knows about netlink, and nothing here chooses an address or a port.

mod ports;
mod words;

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

pub use ports::{PortRange, PortRangeError};
pub use words::{LinkName, Mac, NetworkWordError, Subnet};

/// Where a task asks about itself, in its own network namespace and nowhere else.
pub const METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);

/// The port that a task asks at.
pub const METADATA_PORT: u16 = 80;

/// The port that is listened on instead: port 80 of a task is its containers'. It is one of those that ECS reserves for
/// its agent on every host, so definitions stay away from it.
pub const METADATA_LISTENER: u16 = 51679;

/// A transport protocol of a port mapping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The default of a mapping that names none.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// The protocol's number in an IP header.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// `tcp` or `udp`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A task's own interface, named `eth0` inside the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInterface {
    /// The host's end of the pair, see [`LinkName::for_task`] and [`LinkName::for_address`].
    pub host: LinkName,
    /// The task's address.
    pub address: Ipv4Addr,
    /// The length of the network's prefix.
    pub prefix: u8,
    /// Where the default route leads.
    pub gateway: Ipv4Addr,
    /// The hardware address, or one derived from the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
}

impl TaskInterface {
    /// The interface of `task` with `address` on `subnet`.
    #[must_use]
    pub fn on(subnet: Subnet, task: &str, address: Ipv4Addr) -> Self {
        let (prefix, gateway) = (subnet.prefix(), subnet.gateway());
        Self { host: LinkName::for_task(task), address, prefix, gateway, mac: None }
    }

    /// The interface with `address` on `subnet` of a task that is not known yet.
    #[must_use]
    pub fn ready(subnet: Subnet, address: Ipv4Addr) -> Self {
        Self { host: LinkName::for_address(address), ..Self::on(subnet, "", address) }
    }

    /// The hardware address the interface has.
    #[must_use]
    pub fn mac(&self) -> Mac {
        self.mac.unwrap_or(Mac::for_address(self.address))
    }
}

/// One published port, or a run of them, each leading to the port as far into the task's run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Publish {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The host address that is published, `0.0.0.0` for every one of them.
    pub bind: Ipv4Addr,
    /// The first port on the host.
    pub host_port: u16,
    /// How many ports, at least one.
    pub count: u16,
    /// The task's address.
    pub task: Ipv4Addr,
    /// The first port in the task.
    pub container_port: u16,
}

impl Publish {
    /// Every pair of (host port, port in the task). Pairs past port 65535 are not there.
    pub fn pairs(&self) -> impl Iterator<Item = (u16, u16)> + use<> {
        let (host, container) = (self.host_port, self.container_port);
        (0..self.count).map_while(move |step| Some((host.checked_add(step)?, container.checked_add(step)?)))
    }

    /// Whether the two ask for one port of the host: only one of them can have it.
    #[must_use]
    pub fn clashes_with(&self, other: &Self) -> bool {
        let one_address =
            self.bind == other.bind || self.bind.is_unspecified() || other.bind.is_unspecified();
        let end = |publish: &Self| u32::from(publish.host_port) + u32::from(publish.count);
        let one_port = u32::from(self.host_port) < end(other) && u32::from(other.host_port) < end(self);
        self.protocol == other.protocol && one_address && one_port
    }
}

/// Everything an instance's firewall holds beyond its fixed shape.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    /// The published ports of all tasks, in any order.
    pub publishes: Vec<Publish>,
}

#[cfg(test)]
mod tests;
