//! The bridge that an instance's tasks meet on, and the links that belong to it.
//!
//! A bridge is ours by the label the kernel keeps with it; a bridge of that name without our label is left alone. Its
//! hardware address follows from its IP address, so a bridge that was deleted and made again is the same neighbour to
//! every task.

use nix::errno::Errno;

use super::{LABEL, NetConfig, NetError, host};
use crate::kernel::netlink::link::Link;
use crate::kernel::netlink::route::{Address, LOCAL_TABLE, MAIN_TABLE, Route};
use crate::kernel::netlink::{NetlinkError, Socket, link, route};
use crate::model::network::{LinkName, Mac, Subnet};

/// The largest packet where nothing says otherwise.
const ETHERNET: u32 = 1500;

/// The largest packet for this instance's interfaces.
pub(super) fn mtu(socket: &mut Socket, config: &NetConfig) -> Result<u32, NetError> {
    if let Some(mtu) = config.mtu {
        return Ok(mtu);
    }
    let routes = socket.query(&route::list_routes(), route::read_route)?;
    let default = routes.iter().filter(|route| route.prefix == 0 && route.table == MAIN_TABLE);
    let Some(out) = default.min_by_key(|route| route.priority).and_then(|route| route.link) else {
        return Ok(ETHERNET);
    };
    let links = socket.query(&link::list(), link::read)?;
    Ok(links.iter().find(|link| link.index == out).map_or(ETHERNET, |link| link.mtu.clamp(576, 65535)))
}

/// Looks this instance's bridge up; somebody else's is an error.
pub(super) fn find(socket: &mut Socket, config: &NetConfig) -> Result<Option<Link>, NetError> {
    let Some(found) = look_up(socket, config.bridge.as_str())? else { return Ok(None) };
    if found.kind.as_deref() != Some("bridge") {
        return Err(NetError::NotABridge(config.bridge.clone()));
    }
    // A bridge without a label is one whose maker was stopped before it wrote one: the address tells.
    let is_ours = match &found.alias {
        Some(alias) => *alias == config.label(),
        None => found.mac == bridge_mac(config).bytes(),
    };
    if is_ours { Ok(Some(found)) } else { Err(NetError::BridgeTaken(config.bridge.clone())) }
}

/// Whether any instance has a bridge on this host.
pub(super) fn is_any(socket: &mut Socket) -> Result<bool, NetlinkError> {
    let links = socket.query(&link::list(), link::read)?;
    let is_labelled = |link: &Link| link.alias.as_ref().is_some_and(|alias| alias.starts_with(LABEL));
    Ok(links.iter().any(|link| link.kind.as_deref() == Some("bridge") && is_labelled(link)))
}

/// Looks a link up by name.
pub(super) fn look_up(socket: &mut Socket, name: &str) -> Result<Option<Link>, NetlinkError> {
    match socket.query(&link::get(name), link::read) {
        Ok(found) => Ok(found.into_iter().next()),
        Err(error) if error.refusal() == Some(Errno::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes "there is no such link" for success.
pub(super) fn unless_absent(result: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match result {
        Err(error) if error.refusal() == Some(Errno::ENODEV) => Ok(()),
        other => other,
    }
}

fn bridge_mac(config: &NetConfig) -> Mac {
    Mac::for_address(config.subnet.gateway())
}

/// Makes the bridge unless it is there, and sees to its label, address and settings.
pub(super) fn ensure(socket: &mut Socket, config: &NetConfig, mtu: u32) -> Result<(), NetError> {
    let name = config.bridge.as_str();
    let found = match find(socket, config)? {
        Some(found) => found,
        None => create(socket, config, mtu)?,
    };
    if found.mtu != mtu {
        socket.transact(&[link::resize(found.index, name, mtu)])?;
    }
    address(socket, config, &found)?;
    if !found.up || found.alias.is_none() {
        socket.transact(&[link::label_and_raise(name, &config.label())])?;
    }
    host::route_loopback(&config.bridge)
}

/// Whether the bridge is there or could be made.
pub(super) fn check(socket: &mut Socket, config: &NetConfig) -> Result<(), NetError> {
    if find(socket, config)?.is_some() {
        return Ok(());
    }
    match overlap(socket, config)? {
        Some((route, link)) => Err(NetError::SubnetTaken { subnet: config.subnet, route, link }),
        None => Ok(()),
    }
}

fn create(socket: &mut Socket, config: &NetConfig, mtu: u32) -> Result<Link, NetError> {
    check(socket, config)?;
    let name = config.bridge.as_str();
    match socket.transact(&[link::create_bridge(name, bridge_mac(config).bytes(), mtu)]) {
        // Somebody was faster: whose it is shows below.
        Err(error) if error.refusal() == Some(Errno::EEXIST) => {}
        other => other?,
    }
    find(socket, config)?.ok_or_else(|| NetError::NoBridge(config.bridge.clone()))
}

/// A network in use on this host that shares addresses with the instance's, and the interface it is reached by.
pub(super) fn overlap(
    socket: &mut Socket,
    config: &NetConfig,
) -> Result<Option<(Subnet, String)>, NetlinkError> {
    let links = socket.query(&link::list(), link::read)?;
    let routes = socket.query(&route::list_routes(), route::read_route)?;
    let name = |index| links.iter().find(|link| link.index == index).map(|link| link.name.clone());
    let collides = |route: &Route| {
        let network = Subnet::new(route.to, route.prefix)?;
        // Default routes, also when halved as tunnels do, give way to the bridge's more exact route.
        let is_exact = route.prefix > 1 && [MAIN_TABLE, LOCAL_TABLE].contains(&route.table);
        (is_exact && network.overlaps(config.subnet)).then_some(network)
    };
    Ok(routes.iter().find_map(|route| {
        let network = collides(route)?;
        let link = route.link.and_then(name).unwrap_or_else(|| "a route without an interface".to_owned());
        (link != config.bridge.as_str()).then_some((network, link))
    }))
}

fn address(socket: &mut Socket, config: &NetConfig, bridge: &Link) -> Result<(), NetError> {
    let subnet = config.subnet;
    let wanted = Address { link: bridge.index, address: subnet.gateway(), prefix: subnet.prefix() };
    let all = socket.query(&route::list_addresses(), route::read_address)?;
    let present: Vec<Address> = all.into_iter().filter(|address| address.link == bridge.index).collect();
    let others: Vec<&Address> = present.iter().filter(|address| **address != wanted).collect();
    if let Some(other) = others.first() {
        if !task_links(socket, config)?.is_empty() {
            let (bridge, has) = (config.bridge.clone(), other.address);
            return Err(NetError::Readdressed { bridge, subnet, has });
        }
        let stale: Vec<_> = others.into_iter().map(route::delete_address).collect();
        socket.transact(&stale)?;
    }
    if !present.contains(&wanted) {
        socket.transact(&[route::put_address(&wanted, subnet.broadcast())])?;
    }
    Ok(())
}

/// The host ends of the instance's task interfaces: by label, or by being on the bridge without one.
pub(super) fn task_links(socket: &mut Socket, config: &NetConfig) -> Result<Vec<LinkName>, NetlinkError> {
    let links = socket.query(&link::list(), link::read)?;
    let (label, bridge) = (config.label(), config.bridge.as_str());
    let bridge = links.iter().find(|link| link.name == bridge && link.alias.as_ref() == Some(&label));
    let index = bridge.map(|bridge| bridge.index);
    let is_ours = |link: &&Link| {
        let labelled = link.alias.as_ref() == Some(&label);
        let nameless = link.alias.is_none() && link.master.is_some() && link.master == index;
        link.kind.as_deref() == Some("veth") && (labelled || nameless)
    };
    let names = links.iter().filter(is_ours).filter_map(|link| LinkName::parse(&link.name).ok());
    Ok(names.collect())
}

/// Puts every task link back on the bridge, after the bridge was made again.
pub(super) fn gather(socket: &mut Socket, config: &NetConfig) -> Result<(), NetError> {
    let bridge = find(socket, config)?.ok_or_else(|| NetError::NoBridge(config.bridge.clone()))?;
    for name in task_links(socket, config)? {
        let Some(found) = look_up(socket, name.as_str())? else { continue };
        let mut steps = Vec::new();
        if found.master != Some(bridge.index) {
            steps.push(link::enslave(name.as_str(), bridge.index));
        }
        if found.master != Some(bridge.index) || !found.up || found.alias.is_none() {
            steps.push(link::label_and_raise_port(name.as_str(), &config.label()));
        }
        // A task may end, and its link with it, between the listing and this.
        unless_absent(socket.transact(&steps))?;
    }
    Ok(())
}
