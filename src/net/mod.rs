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
//! Inside a task, the address of its metadata leads to the shim, and the packets stay there ([`metadata`]).
//!
//! Which task gets which address or port is somebody else's decision; [`ipam`] only offers the next free one.

mod bridge;
mod conflict;
mod error;
mod firewall;
mod flows;
mod hold;
mod host;
mod interface;
pub mod ipam;
mod metadata;
mod namespace;
mod sockets;
mod watch;

use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::kernel::netlink::{Family, Socket, link};
use crate::model::network::{LinkName, Subnet, Tables, TaskInterface};

pub use conflict::Conflict;
pub use error::NetError;
pub use firewall::Installed;
use firewall::Shape;
use firewall::elements::Key;
pub use hold::{HoldError, PortHold};
pub use host::Change;
pub use interface::TASK_LINK;
pub use namespace::{new_namespace, new_namespace_of_users};
use sockets::Sockets;
pub use watch::NetworkWatch;

/// How every instance's label begins.
const LABEL: &str = "hythe ";

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

impl NetConfig {
    /// The text kept with every link of this instance: how a link says whose it is.
    fn label(&self) -> String {
        format!("{LABEL}{}", self.table)
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
    shape: Shape,
    changes: Vec<Change>,
    route: Sockets,
    flows: Sockets,
    filter: Mutex<Socket>,
}

impl Network {
    /// Makes the bridge, lets the host forward packets and installs an empty firewall, each unless it is there.
    ///
    /// A firewall that is there keeps its published ports: a daemon that starts again disturbs no connection.
    pub fn open(config: &NetConfig) -> Result<Self, NetError> {
        config.check()?;
        let route = Sockets::open(Family::Route)?;
        let mut filter = Socket::open(Family::Netfilter)?;
        let mut talk = route.borrow()?;
        // Looked at before anything is made, so that a refusal leaves nothing behind.
        bridge::check(&mut talk, config)?;
        let shape = Shape::of(config);
        firewall::ensure(&mut filter, &shape)?;
        let mtu = bridge::mtu(&mut talk, config)?;
        bridge::ensure(&mut talk, config, mtu)?;
        drop(talk);
        let changes = host::enable_forwarding()?.into_iter().collect();
        Ok(Self {
            config: config.clone(),
            mtu,
            shape,
            changes,
            route,
            flows: Sockets::open(Family::Netfilter)?,
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
        interface::attach(&mut *self.route.borrow()?, &self.config, self.mtu, netns, interface)?;
        interface::configure(netns, interface).inspect_err(|_| {
            // What is half made must not stay; the failure itself is the one worth telling.
            let _ = self.detach(&interface.host);
        })
    }

    /// Does what [`Network::attach`] does but for the interface's place on the bridge: for a task that is not known yet.
    /// Nothing reaches the namespace, and the interface goes with it.
    pub fn prepare(&self, netns: BorrowedFd<'_>, interface: &TaskInterface) -> Result<(), NetError> {
        interface::prepare(&mut *self.route.borrow()?, &self.config, self.mtu, netns, interface)?;
        interface::configure(netns, interface).inspect_err(|_| {
            // The failure itself is the one worth telling.
            let _ = self.detach(&interface.host);
        })
    }

    /// Puts an interface that was [prepared](Network::prepare) on the bridge.
    pub fn join(&self, interface: &TaskInterface) -> Result<(), NetError> {
        interface::join(&mut *self.route.borrow()?, &self.config, interface)
    }

    /// Gives the namespace `netns` its loopback and nothing else.
    pub fn loopback(netns: BorrowedFd<'_>) -> Result<(), NetError> {
        interface::loopback(netns)
    }

    /// Deletes a task's interface by the name of its end on the host. Detaching twice is fine.
    pub fn detach(&self, host: &LinkName) -> Result<(), NetError> {
        interface::detach(&mut *self.route.borrow()?, host)
    }

    /// Makes the firewall hold exactly these tables, in one transaction.
    ///
    /// Where only published ports differ only their elements change; where the table is missing or was tampered with
    /// it is made anew. Of two publishes of one port the first counts.
    pub fn install(&self, tables: &Tables) -> Result<Installed, NetError> {
        let (installed, changed) = firewall::install(&mut self.filter(), &self.shape, tables)?;
        self.settle_flows(tables, &changed)?;
        Ok(installed)
    }

    /// Puts back what is missing: the bridge, the links' places on it, the firewall, which is made anew.
    pub fn repair(&self, tables: &Tables) -> Result<(), NetError> {
        let mut route = self.route.borrow()?;
        bridge::ensure(&mut route, &self.config, self.mtu)?;
        bridge::gather(&mut route, &self.config)?;
        drop(route);
        host::enable_forwarding()?;
        let changed = firewall::replace(&mut self.filter(), &self.shape, tables)?;
        self.settle_flows(tables, &changed)
    }

    fn settle_flows(&self, tables: &Tables, changed: &[Key]) -> Result<(), NetError> {
        if changed.is_empty() {
            return Ok(());
        }
        let (mut flows, mut route) = (self.flows.borrow()?, self.route.borrow()?);
        flows::forget_stale(&mut flows, &mut route, &self.config, tables, changed)
    }

    /// Starts watching for changes by others. To miss none, watch before the first [`Network::install`].
    pub fn watch(&self) -> Result<NetworkWatch, NetError> {
        NetworkWatch::start(&self.config, self.filter().port())
    }

    /// The host ends of this instance's task interfaces.
    pub fn links(&self) -> Result<Vec<LinkName>, NetError> {
        let mut names = bridge::task_links(&mut *self.route.borrow()?, &self.config)?;
        names.sort();
        Ok(names)
    }

    /// What on this host may keep packets from the tasks, for a person to look at.
    pub fn conflicts(&self) -> Result<Vec<Conflict>, NetError> {
        conflict::find(&mut self.filter(), &mut *self.route.borrow()?, &self.config)
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
        firewall::remove(&mut Socket::open(Family::Netfilter)?, &Shape::of(config))
    }

    /// What [`Network::open`] would change on the host beyond what is the instance's own. To be noted before it does.
    #[must_use]
    pub fn changes_needed() -> Vec<Change> {
        host::forwarding_needed().into_iter().collect()
    }

    /// Sets back what was changed on the host and gives what was: neither what somebody else has changed since, nor
    /// anything while another instance stands. Call it after [`Network::remove_all`].
    pub fn undo(changes: &[Change]) -> Result<Vec<Change>, NetError> {
        if bridge::is_any(&mut Socket::open(Family::Route)?)? {
            return Ok(Vec::new());
        }
        let mut undone = Vec::new();
        for change in changes {
            if host::undo(change)? {
                undone.push(change.clone());
            }
        }
        Ok(undone)
    }

    /// What on this host would keep an instance from its network, or packets from its tasks: asked before there is one.
    pub fn obstacles(config: &NetConfig) -> Result<Vec<Conflict>, NetError> {
        config.check()?;
        let mut route = Socket::open(Family::Route)?;
        bridge::check(&mut route, config)?;
        conflict::find(&mut Socket::open(Family::Netfilter)?, &mut route, config)
    }

    fn filter(&self) -> MutexGuard<'_, Socket> {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
