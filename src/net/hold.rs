//! Published ports are held, so that nobody else on the host takes one by mistake.
//!
//! Packets to a published port never reach a process here: the firewall leads them away first. The socket bound here
//! only says "in use" to whoever asks the host for that port, be it a program with a configured port, the host's own
//! choice of a free one, or another instance. It does not listen, so without a firewall a client is refused at once.
//!
//! A hold lasts as long as its owner; the published port works without it.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};

use crate::model::network::{Protocol, Publish};

/// Of a long range this many ports are held and the rest only tested: each costs a descriptor.
const KEPT: usize = 64;

/// Why a port cannot be published.
#[derive(Debug, thiserror::Error)]
#[error("port {port}/{protocol} cannot be published on {bind}")]
pub struct HoldError {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The host's address.
    pub bind: Ipv4Addr,
    /// The first port that cannot be had.
    pub port: u16,
    /// In use, not this host's address, and so on.
    pub source: io::Error,
}

impl HoldError {
    /// Whether somebody else has the port.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }
}

/// The ports of one publish, held.
#[derive(Debug)]
pub struct PortHold {
    sockets: Vec<OwnedFd>,
}

impl PortHold {
    /// Holds every port of `publish`, or none.
    pub fn take(publish: &Publish) -> Result<Self, HoldError> {
        let (protocol, bind) = (publish.protocol, publish.bind);
        let mut sockets = Vec::new();
        for (port, _) in publish.pairs() {
            let held = hold(protocol, bind, port);
            let socket = held.map_err(|errno| HoldError { protocol, bind, port, source: errno.into() })?;
            if sockets.len() < KEPT {
                sockets.push(socket);
            }
        }
        Ok(Self { sockets })
    }

    /// How many ports are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.sockets.len()
    }
}

/// Binds a port and nothing more.
pub(super) fn hold(protocol: Protocol, address: Ipv4Addr, port: u16) -> Result<OwnedFd, Errno> {
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let socket = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(address, port)))?;
    Ok(socket)
}
