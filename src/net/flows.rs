//! Datagram flows that a change of published ports leaves behind.
//!
//! A flow keeps the way its first packet was given. After a publish is gone, a client that goes on sending keeps
//! reaching an address that may mean nobody or somebody else; after one has come, a client that sent before it came
//! keeps missing it. Both kinds are forgotten here, so that the next packet is led anew. TCP needs none of this: a
//! connection ends with its task, and a new one is a new flow.

use std::net::Ipv4Addr;

use nix::errno::Errno;

use super::firewall::elements::{Elements, Key};
use super::{NetConfig, NetError};
use crate::kernel::netlink::conntrack::{self, Flow};
use crate::kernel::netlink::{Socket, route};
use crate::model::network::{Protocol, Subnet, Tables};

/// Makes the kernel forget every flow to a changed port that does not lead where `tables` says.
pub(super) fn forget_stale(
    filter: &mut Socket,
    route: &mut Socket,
    config: &NetConfig,
    tables: &Tables,
    changed: &[Key],
) -> Result<(), NetError> {
    let udp = Protocol::Udp.number();
    let mut ports: Vec<u16> = changed.iter().filter(|key| key.protocol == udp).map(|key| key.port).collect();
    if ports.is_empty() {
        return Ok(());
    }
    ports.sort_unstable();
    let own = route.query(&route::list_addresses(), route::read_address)?;
    let own: Vec<Ipv4Addr> = own.iter().map(|address| address.address).collect();
    let wanted = Elements::of(tables);
    let stale = |flow: &Flow| {
        let is_changed = flow.sent.protocol == udp && ports.binary_search(&flow.sent.target.1).is_ok();
        is_changed && is_stale(flow, &wanted, config.subnet, &own)
    };
    let flows = match filter.query(&conntrack::list(), |reply| conntrack::read(reply).filter(&stale)) {
        // A kernel without connection listing: the flows end by themselves when their clients pause.
        Err(error) if matches!(error.refusal(), Some(Errno::EINVAL | Errno::EOPNOTSUPP)) => return Ok(()),
        other => other?,
    };
    for flow in &flows {
        match filter.transact(&[conntrack::delete(&flow.sent)]) {
            // It ended meanwhile.
            Err(error) if error.refusal() == Some(Errno::ENOENT) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Whether a flow leads elsewhere than a new one with the same first packet would.
fn is_stale(flow: &Flow, wanted: &Elements, subnet: Subnet, own: &[Ipv4Addr]) -> bool {
    let (address, port) = flow.sent.target;
    let goal = wanted.goal(address, Protocol::Udp, port);
    let leads = flow.answer.source;
    if leads == flow.sent.target {
        return goal.is_some() && (address.is_loopback() || own.contains(&address));
    }
    // Somebody else may have redirected the flow: ours lead into the subnet.
    subnet.contains(leads.0) && goal != Some(leads)
}

#[cfg(test)]
mod tests;
