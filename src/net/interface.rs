//! A task's interface: a pair with one end on the bridge and the other, `eth0`, in the task's network namespace.
//!
//! The pair is born with its ends where they belong, so nothing is ever moved or renamed. Every step looks at what is
//! there first only when the kernel says that something is: the ordinary start asks nothing.

use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::bridge::{look_up, unless_absent};
use super::{NetConfig, NetError, metadata};
use crate::kernel::netlink::link::{LOOPBACK, Link, Peer};
use crate::kernel::netlink::route::Address;
use crate::kernel::netlink::{Family, NetlinkError, Socket, link, route};
use crate::model::network::{LinkName, METADATA_ADDRESS, Subnet, TaskInterface};

/// The name of a task's interface inside the task.
pub const TASK_LINK: &str = "eth0";

/// Makes the pair, or leaves the one that is there.
pub(super) fn attach(
    socket: &mut Socket,
    config: &NetConfig,
    mtu: u32,
    netns: BorrowedFd<'_>,
    interface: &TaskInterface,
) -> Result<(), NetError> {
    let failed = |source| failure(config, interface, source);
    let name = interface.host.as_str();
    let bridge = bridge_index(socket, config, interface)?;
    let peer = Peer { name: TASK_LINK, mac: interface.mac().bytes(), netns };
    let create = [link::create_pair(name, mtu, Some(bridge), &peer)];
    match socket.transact(&create) {
        Err(error) if error.refusal() == Some(Errno::EEXIST) => {
            if !is_whole(socket, config, bridge, netns, interface)? {
                clear(socket, netns, interface).map_err(failed)?;
                socket.transact(&create).map_err(failed)?;
            }
        }
        other => other.map_err(failed)?,
    }
    // Not in one batch with the creation: had that been refused, this would label somebody else's link.
    place(socket, config, bridge, interface)
}

/// Makes the pair for nobody yet: its host's end is on no bridge, has no label and is down.
pub(super) fn prepare(
    socket: &mut Socket,
    config: &NetConfig,
    mtu: u32,
    netns: BorrowedFd<'_>,
    interface: &TaskInterface,
) -> Result<(), NetError> {
    let peer = Peer { name: TASK_LINK, mac: interface.mac().bytes(), netns };
    match socket.transact(&[link::create_pair(interface.host.as_str(), mtu, None, &peer)]) {
        Err(error) if error.refusal() == Some(Errno::EEXIST) => {
            Err(NetError::LinkTaken(interface.host.clone()))
        }
        other => other.map_err(|source| failure(config, interface, source)),
    }
}

/// Puts the host's end of a prepared pair on the bridge.
pub(super) fn join(
    socket: &mut Socket,
    config: &NetConfig,
    interface: &TaskInterface,
) -> Result<(), NetError> {
    let bridge = bridge_index(socket, config, interface)?;
    place(socket, config, bridge, interface)
}

fn bridge_index(socket: &mut Socket, config: &NetConfig, interface: &TaskInterface) -> Result<u32, NetError> {
    let bridge =
        look_up(socket, config.bridge.as_str()).map_err(|source| failure(config, interface, source))?;
    Ok(bridge.ok_or_else(|| NetError::NoBridge(config.bridge.clone()))?.index)
}

fn place(
    socket: &mut Socket,
    config: &NetConfig,
    bridge: u32,
    interface: &TaskInterface,
) -> Result<(), NetError> {
    let name = interface.host.as_str();
    let finish = [link::enslave(name, bridge), link::label_and_raise_port(name, &config.label())];
    socket.transact(&finish).map_err(|source| {
        // What is half made must not stay; the first failure is the one worth telling.
        let _ = socket.transact(&[link::delete(name)]);
        failure(config, interface, source)
    })
}

fn failure(config: &NetConfig, interface: &TaskInterface, source: NetlinkError) -> NetError {
    NetError::Attach { bridge: config.bridge.clone(), host: interface.host.clone(), source }
}

/// Whether the pair that is in the way is the very pair that is wanted.
fn is_whole(
    socket: &mut Socket,
    config: &NetConfig,
    bridge: u32,
    netns: BorrowedFd<'_>,
    interface: &TaskInterface,
) -> Result<bool, NetError> {
    let Some(outside) = look_up(socket, interface.host.as_str())? else { return Ok(false) };
    let unlabelled = outside.alias.is_none() && outside.master == Some(bridge);
    if outside.alias != Some(config.label()) && !unlabelled {
        return Err(NetError::LinkTaken(interface.host.clone()));
    }
    let mut within = Socket::open_in(netns, Family::Route)?;
    let inside = look_up(&mut within, TASK_LINK).map_err(NetError::Inside)?;
    Ok(inside.is_some_and(|inside| {
        inside.other_end == Some(outside.index) && inside.mac == interface.mac().bytes()
    }))
}

/// Deletes what is left of an earlier attempt on either side.
fn clear(socket: &mut Socket, netns: BorrowedFd<'_>, interface: &TaskInterface) -> Result<(), NetlinkError> {
    unless_absent(socket.transact(&[link::delete(interface.host.as_str())]))?;
    let mut within = Socket::open_in(netns, Family::Route)?;
    let is_pair = |found: &Link| found.kind.as_deref() == Some("veth");
    match look_up(&mut within, TASK_LINK)? {
        Some(found) if is_pair(&found) => unless_absent(within.transact(&[link::delete(TASK_LINK)])),
        Some(_) | None => Ok(()),
    }
}

/// Sets the inside up: loopback, address, default route, and the way to the task's metadata.
pub(super) fn configure(netns: BorrowedFd<'_>, interface: &TaskInterface) -> Result<(), NetError> {
    let mut within = Socket::open_in(netns, Family::Route)?;
    let found = look_up(&mut within, TASK_LINK).map_err(NetError::Inside)?;
    let index = found.ok_or(NetError::NoInterface(TASK_LINK))?.index;
    let (address, prefix) = (interface.address, interface.prefix);
    let broadcast = Subnet::new(address, prefix).map_or(address, Subnet::broadcast);
    // On loopback, so that no packet to it leaves the task; a broadcast address of its own it does not have.
    let metadata = Address { link: LOOPBACK, address: METADATA_ADDRESS, prefix: 32 };
    let steps = [
        link::raise(LOOPBACK, "lo"),
        route::put_address(&metadata, Ipv4Addr::BROADCAST),
        route::put_address(&Address { link: index, address, prefix }, broadcast),
        link::raise(index, TASK_LINK),
        route::put_default_route(index, interface.gateway),
    ];
    within.transact(&steps).map_err(NetError::Inside)?;
    metadata::lead(netns)
}

/// Brings up the loopback inside, and nothing else.
pub(super) fn loopback(netns: BorrowedFd<'_>) -> Result<(), NetError> {
    let mut within = Socket::open_in(netns, Family::Route)?;
    within.transact(&[link::raise(LOOPBACK, "lo")]).map_err(NetError::Inside)
}

/// Deletes the pair by its end on the host.
pub(super) fn detach(socket: &mut Socket, host: &LinkName) -> Result<(), NetError> {
    Ok(unless_absent(socket.transact(&[link::delete(host.as_str())]))?)
}
