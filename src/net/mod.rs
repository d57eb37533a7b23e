//! Packets: installs tables, decides nothing.

use crate::model::network::{LinkName, Mac, Subnet, Tables, TaskInterface};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};

/// What an instance's network is called and made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetConfig {
    /// The bridge.
    pub bridge: LinkName,
    /// The network of the tasks; the bridge holds its first address.
    pub subnet: Subnet,
    /// The nftables table (family ip).
    pub table: String,
    /// The largest packet; `None` takes that of the interface with the default route.
    pub mtu: Option<u32>,
}

/// What `open` changed on the host outside of what is ours; to be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub what: String,
    pub before: String,
    pub after: String,
}

/// What `install` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installed {
    Unchanged,
    Elements { added: usize, removed: usize },
    Replaced,
}

pub struct Network {}
pub struct NetworkWatch {}
#[derive(Debug, thiserror::Error)]
pub enum NetError {}
pub struct Conflict {/* Display: a sentence */}

impl Network {
    pub fn open(config: &NetConfig) -> Result<Self, NetError> {
        unimplemented!()
    }
    pub fn changes(&self) -> &[Change] {
        unimplemented!()
    }
    pub fn config(&self) -> &NetConfig {
        unimplemented!()
    }
    /// eth0 in `netns`, one end on the bridge; idempotent.
    pub fn attach(&self, netns: BorrowedFd<'_>, interface: &TaskInterface) -> Result<(), NetError> {
        unimplemented!()
    }
    /// lo up and nothing else (network mode none).
    pub fn loopback(netns: BorrowedFd<'_>) -> Result<(), NetError> {
        unimplemented!()
    }
    /// Deletes a host end; idempotent.
    pub fn detach(&self, host: &LinkName) -> Result<(), NetError> {
        unimplemented!()
    }
    pub fn install(&self, tables: &Tables) -> Result<Installed, NetError> {
        unimplemented!()
    }
    /// Bridge, its links and the tables put back as they should be.
    pub fn repair(&self, tables: &Tables) -> Result<Installed, NetError> {
        unimplemented!()
    }
    pub fn watch(&self) -> Result<NetworkWatch, NetError> {
        unimplemented!()
    }
    /// Host ends of this instance, for sweeping.
    pub fn links(&self) -> Result<Vec<LinkName>, NetError> {
        unimplemented!()
    }
    /// For doctor: other tables with a dropping forward chain.
    pub fn conflicts(&self) -> Result<Vec<Conflict>, NetError> {
        unimplemented!()
    }
    /// Links, bridge and table removed; idempotent.
    pub fn remove_all(config: &NetConfig) -> Result<(), NetError> {
        unimplemented!()
    }
}
impl AsFd for NetworkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        unimplemented!()
    }
}
impl NetworkWatch {
    /// Whether somebody else touched our table or bridge since the last call; never blocks.
    pub fn drain(&mut self) -> bool {
        unimplemented!()
    }
}
pub mod ipam {
    use super::*;
    /// The next free address after `last`.
    pub fn allocate(
        subnet: Subnet,
        used: &std::collections::BTreeSet<Ipv4Addr>,
        last: Option<Ipv4Addr>,
    ) -> Option<Ipv4Addr> {
        unimplemented!()
    }
    /// The first of `count` free contiguous ports, after `last`, wrapping once.
    pub fn allocate_ports(
        range: std::ops::RangeInclusive<u16>,
        count: u16,
        last: Option<u16>,
        is_free: impl FnMut(u16) -> bool,
    ) -> Option<u16> {
        unimplemented!()
    }
    /// ip_local_port_range, or 49153-65535.
    pub fn dynamic_range() -> std::ops::RangeInclusive<u16> {
        unimplemented!()
    }
    /// Whether a port can be bound on the host now.
    pub fn is_bindable(protocol: crate::model::network::Protocol, bind: Ipv4Addr, port: u16) -> bool {
        unimplemented!()
    }
}
