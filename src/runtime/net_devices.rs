//! Network devices of the host that a container is given: moved into its network namespace, under another name if one is
//! asked for, with the addresses that they had.
//!
//! What becomes of them is the kernel's business: with the namespace, virtual devices end and others go back to the host.

use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;

use super::steps::NetDevice;
use crate::kernel::namespace;
use crate::kernel::netlink::{Family, NetlinkError, Socket, address, link};
use crate::kernel::process::Pid;

/// Why a device was not moved.
#[derive(Debug, thiserror::Error)]
#[error("linux.netDevices.{device}")]
pub struct NetDeviceError {
    /// Its name on the host.
    pub device: String,
    /// Why.
    pub source: NetDeviceFailure,
}

/// What stood in the way.
#[derive(Debug, thiserror::Error)]
pub enum NetDeviceFailure {
    /// The container's namespace could not be opened.
    #[error("open the container's network namespace")]
    Namespace(#[source] Errno),
    /// The host has no such device.
    #[error("this host has no network device of that name")]
    Missing,
    /// The container has a device with this name already.
    #[error("the container has a network device {0} already")]
    Taken(String),
    /// The kernel refused.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

/// Moves the devices, in order, into the network namespace of `pid`.
pub(super) fn give(devices: &[NetDevice], pid: Pid) -> Result<(), NetDeviceError> {
    devices.iter().try_for_each(|device| {
        let error = |source| NetDeviceError { device: device.name.clone(), source };
        give_one(device, pid).map_err(error)
    })
}

fn give_one(device: &NetDevice, pid: Pid) -> Result<(), NetDeviceFailure> {
    let netns = namespace::open(Path::new(&format!("/proc/{pid}/ns/net")));
    let netns = netns.map_err(NetDeviceFailure::Namespace)?;
    let netns = netns.as_fd();
    let mut here = Socket::open(Family::Route)?;
    let mut there = Socket::open_in(netns, Family::Route)?;
    let links = here.query(&link::list(), link::read)?;
    let found = links.into_iter().find(|link| link.name == device.name);
    let found = found.ok_or(NetDeviceFailure::Missing)?;
    let names = there.query(&link::list(), link::read)?;
    if names.iter().any(|link| link.name == device.as_name) {
        // A device that has been moved and cannot be named would be lost with the container.
        return Err(NetDeviceFailure::Taken(device.as_name.clone()));
    }
    let mut kept = here.query(&address::list(), address::read)?;
    kept.retain(|address| address.link == found.index);
    here.transact(&[link::move_to(&found, netns, &device.as_name)])?;
    let moved = there.query(&link::list(), link::read)?;
    let moved = moved.into_iter().find(|link| link.name == device.as_name);
    let index = moved.ok_or(NetDeviceFailure::Missing)?.index;
    let mut batch: Vec<_> =
        kept.iter().map(|address| address::put(address, index, &device.as_name)).collect();
    batch.push(link::raise(index, &device.as_name));
    Ok(there.transact(&batch)?)
}
