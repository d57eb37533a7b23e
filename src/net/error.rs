//! Why the network is not as it should be.

use std::io;
use std::net::Ipv4Addr;

use crate::kernel::netlink::NetlinkError;
use crate::model::network::{LinkName, Subnet};

/// Why an operation on the network failed.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A name that nftables would not take.
    #[error(
        "'{0}' is not a name for an nftables table: a letter, then letters, digits, '-' and '_', 64 at most"
    )]
    TableName(String),
    /// A network with no room, or with far too much.
    #[error("subnet {0} cannot hold tasks: its prefix must be between /8 and /29")]
    SubnetSize(Subnet),
    /// A packet size that IPv4 does not allow.
    #[error("mtu {0} is not between 576 and 65535")]
    Mtu(u32),
    /// A link that is something else.
    #[error("interface {0} exists and is not a bridge")]
    NotABridge(LinkName),
    /// Somebody else's bridge.
    #[error("bridge {0} exists and does not belong to this instance")]
    BridgeTaken(LinkName),
    /// The subnet was changed under running tasks.
    #[error("bridge {bridge} has tasks on it and an address of another subnet than {subnet}: {has}")]
    Readdressed {
        /// The bridge.
        bridge: LinkName,
        /// The subnet in the configuration.
        subnet: Subnet,
        /// The bridge's address.
        has: Ipv4Addr,
    },
    /// The subnet is in use elsewhere.
    #[error("subnet {subnet} overlaps {route}, which this host reaches by {link}")]
    SubnetTaken {
        /// The subnet in the configuration.
        subnet: Subnet,
        /// The network in use.
        route: Subnet,
        /// The interface it is reached by.
        link: String,
    },
    /// Somebody else's table.
    #[error("nftables table ip {0} exists and does not belong to this instance")]
    TableTaken(String),
    /// A kernel without packet rules.
    #[error("this kernel has no nftables: module nf_tables is missing")]
    NoNftables(#[source] NetlinkError),
    /// Somebody else's link.
    #[error("interface {0} exists and does not belong to this instance")]
    LinkTaken(LinkName),
    /// The bridge went away.
    #[error("bridge {0} does not exist")]
    NoBridge(LinkName),
    /// The task's interface went away.
    #[error("the task has no interface {0}")]
    NoInterface(&'static str),
    /// A setting of the kernel that cannot be made.
    #[error("set {path} to {value}")]
    Setting {
        /// Where the setting lives.
        path: String,
        /// What it should be.
        value: String,
        /// What the system said.
        source: io::Error,
    },
    /// A task's interface that cannot be made.
    #[error("connect a task to bridge {bridge} by {host}")]
    Attach {
        /// The bridge.
        bridge: LinkName,
        /// The host's end of the pair.
        host: LinkName,
        /// What the kernel said.
        source: NetlinkError,
    },
    /// A task's interface that cannot be configured.
    #[error("set up the network inside the task")]
    Inside(#[source] NetlinkError),
    /// A host without /proc.
    #[error("open the host's network namespace")]
    Namespace(#[source] io::Error),
    /// News that cannot be waited for.
    #[error("wait for changes of the host's network")]
    Watch(#[source] io::Error),
    /// A task's namespace that cannot be made.
    #[error(transparent)]
    NewNamespace(crate::kernel::namespace::NamespaceError),
    /// The same, where it is to belong to users of its own.
    #[error("make a network namespace of the task's own users")]
    NewUsers(#[source] io::Error),
    /// Anything else that the kernel refused.
    #[error("change the host's network")]
    Kernel(#[from] NetlinkError),
}
