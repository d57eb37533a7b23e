//! Packets: installs what it is told, decides nothing.
//!
//! ```text
//!   task netns           host netns
//!   [ eth0 ]--- pair ---[ hy… ]--[ bridge .1 ]--( routing, our nftables table )--[ the world ]
//! ```
//!
//! [`Network::open`] makes the bridge and the table of one instance, [`Network::attach`] gives a task its interface,
//! [`Network::install`] makes the firewall hold exactly what [`Tables`] says. [`NetworkWatch`] tells when somebody
//! else took any of it away, [`Network::repair`] puts it back. Everything is named by [`NetConfig`], so instances stand
//! side by side, and everything is spoken over netlink, so no other program is run.
//!
//! Which task gets which address or port is somebody else's decision; [`ipam`] only offers the next free one.

<<<<<<< HEAD
use crate::model::network::{LinkName, Mac, Subnet, Tables, TaskInterface};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
=======
mod bridge;
mod conflict;
mod error;
mod firewall;
mod flows;
mod host;
mod interface;
pub mod ipam;
mod watch;

use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::kernel::netlink::{Family, Socket, link};
use crate::model::network::{LinkName, Subnet, Tables, TaskInterface};

pub use conflict::Conflict;
pub use error::NetError;
pub use firewall::Installed;
pub use host::Change;
pub use interface::TASK_LINK;
pub use watch::NetworkWatch;
>>>>>>> net

/// What an instance's network is called and made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetConfig {
    /// The bridge.
    pub bridge: LinkName,
    /// The network of the tasks; the bridge holds its first address.
    pub subnet: Subnet,
    /// The nftables table, of family `ip`.
    pub table: String,
    /// The largest packet; `None` takes that of the interface that the default route leaves by.
    pub mtu: Option<u32>,
}

<<<<<<< HEAD
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
=======
impl NetConfig {
    /// The text kept with every link of this instance: how a link says whose it is.
    fn label(&self) -> String {
        format!("hythe {}", self.table)
    }

    fn check(&self) -> Result<(), NetError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let starts_well = self.table.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if !starts_well || self.table.len() > 64 || !self.table.bytes().all(is_plain) {
            return Err(NetError::TableName(self.table.clone()));
        }
        if !(8..=29).contains(&self.subnet.prefix()) {
            return Err(NetError::SubnetSize(self.subnet));
        }
        match self.mtu {
            Some(mtu) if !(576..=65535).contains(&mtu) => Err(NetError::Mtu(mtu)),
            Some(_) | None => Ok(()),
        }
    }
}

/// The network of one instance, in the network namespace it was opened in.
#[derive(Debug)]
pub struct Network {
    config: NetConfig,
    mtu: u32,
    changes: Vec<Change>,
    route: Mutex<Socket>,
    filter: Mutex<Socket>,
}

impl Network {
    /// Makes the bridge, lets the host forward packets and installs an empty firewall, each unless it is there.
    ///
    /// A firewall that is there keeps its published ports: a daemon that starts again disturbs no connection.
    pub fn open(config: &NetConfig) -> Result<Self, NetError> {
        config.check()?;
        let mut route = Socket::open(Family::Route)?;
        let mut filter = Socket::open(Family::Netfilter)?;
        let mtu = bridge::mtu(&mut route, config)?;
        bridge::ensure(&mut route, config, mtu)?;
        let changes = host::enable_forwarding()?.into_iter().collect();
        firewall::ensure(&mut filter, config)?;
        Ok(Self {
            config: config.clone(),
            mtu,
            changes,
            route: Mutex::new(route),
            filter: Mutex::new(filter),
        })
    }

    /// What [`Network::open`] changed on the host beyond what is the instance's own; worth a line in the log.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What the network is called and made of.
    #[must_use]
    pub const fn config(&self) -> &NetConfig {
        &self.config
    }

    /// The largest packet of every interface.
    #[must_use]
    pub const fn mtu(&self) -> u32 {
        self.mtu
    }

    /// Gives the namespace `netns` its loopback and an interface on the bridge. Attaching twice changes nothing.
    pub fn attach(&self, netns: BorrowedFd<'_>, interface: &TaskInterface) -> Result<(), NetError> {
        interface::attach(&mut self.route(), &self.config, self.mtu, netns, interface)?;
        interface::configure(netns, interface)
    }

    /// Gives the namespace `netns` its loopback and nothing else.
    pub fn loopback(netns: BorrowedFd<'_>) -> Result<(), NetError> {
        interface::loopback(netns)
    }

    /// Deletes a task's interface by the name of its end on the host. Detaching twice is fine.
    pub fn detach(&self, host: &LinkName) -> Result<(), NetError> {
        interface::detach(&mut self.route(), host)
    }

    /// Makes the firewall hold exactly these tables, in one transaction.
    ///
    /// Where only published ports differ only their elements change; where the table is missing or was tampered with
    /// it is made anew. Of two publishes of one port the first counts.
    pub fn install(&self, tables: &Tables) -> Result<Installed, NetError> {
        let (installed, changed) = firewall::install(&mut self.filter(), &self.config, tables)?;
        if !changed.is_empty() {
            flows::forget_stale(&mut self.filter(), &mut self.route(), &self.config, tables, &changed)?;
        }
        Ok(installed)
    }

    /// Puts back what is missing: the bridge, the links' places on it, the firewall.
    pub fn repair(&self, tables: &Tables) -> Result<Installed, NetError> {
        {
            let mut route = self.route();
            bridge::ensure(&mut route, &self.config, self.mtu)?;
            bridge::gather(&mut route, &self.config)?;
        }
        host::enable_forwarding()?;
        self.install(tables)
    }

    /// Starts watching for changes by others. To miss none, watch before the first [`Network::install`].
    pub fn watch(&self) -> Result<NetworkWatch, NetError> {
        NetworkWatch::start(&self.config, self.filter().port())
    }

    /// The host ends of this instance's task interfaces.
    pub fn links(&self) -> Result<Vec<LinkName>, NetError> {
        let mut names = bridge::task_links(&mut self.route(), &self.config)?;
        names.sort();
        Ok(names)
    }

    /// What on this host may keep packets from the tasks, for a person to look at.
    pub fn conflicts(&self) -> Result<Vec<Conflict>, NetError> {
        conflict::find(&mut self.filter(), &mut self.route(), &self.config)
    }

    /// Removes the task interfaces, the bridge and the table of an instance. Removing twice is fine.
    pub fn remove_all(config: &NetConfig) -> Result<(), NetError> {
        config.check()?;
        let mut route = Socket::open(Family::Route)?;
        for name in bridge::task_links(&mut route, config)? {
            interface::detach(&mut route, &name)?;
        }
        if bridge::find(&mut route, config)?.is_some() {
            bridge::unless_absent(route.transact(&[link::delete(config.bridge.as_str())]))?;
        }
        firewall::remove(&mut Socket::open(Family::Netfilter)?, config)
    }

    fn route(&self) -> MutexGuard<'_, Socket> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn filter(&self) -> MutexGuard<'_, Socket> {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
>>>>>>> net
    }
}
