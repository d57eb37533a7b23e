//! The next free address, the next free port.
//!
//! Both walk forward from the last one given, so that an address or a port that was just let go rests as long as it
//! can before it means somebody else. What is free is the caller's to know: [`allocate`] and [`allocate_ports`] are
//! pure, [`dynamic_range`] and [`try_bind`] ask the host.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use super::hold;
use crate::model::network::{Protocol, Subnet};

/// Dynamic ports on a host that names none of its own.
const FALLBACK: RangeInclusive<u16> = 49153..=65535;

/// The first free address after `last`, skipping the network, the gateway and the broadcast.
#[must_use]
pub fn allocate(subnet: Subnet, used: &BTreeSet<Ipv4Addr>, last: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
    let first = subnet.gateway().to_bits().checked_add(1)?;
    let end = subnet.broadcast().to_bits();
    let start = last.map_or(first, |last| last.to_bits().saturating_add(1));
    let start = if (first..end).contains(&start) { start } else { first };
    (start..end).chain(first..start).map(Ipv4Addr::from_bits).find(|address| !used.contains(address))
}

/// The first of `count` free ports in a row after `last`, wrapping once; rows do not wrap.
///
/// `is_free` is asked port by port and may bind to find out.
pub fn allocate_ports(
    range: RangeInclusive<u16>,
    count: u16,
    last: Option<u16>,
    mut is_free: impl FnMut(u16) -> bool,
) -> Option<u16> {
    let (low, high) = (u32::from(*range.start()), u32::from(*range.end()));
    let count = u32::from(count.max(1));
    let start = last.map_or(low, |last| u32::from(last) + 1);
    let start = if (low..=high).contains(&start) { start } else { low };
    let mut row = |from: u32, before: u32| {
        let mut at = from;
        while at < before && at + count - 1 <= high {
            let taken = (at..at + count).find(|port| u16::try_from(*port).is_ok_and(|port| !is_free(port)));
            let Some(taken) = taken else { return u16::try_from(at).ok() };
            at = taken + 1;
        }
        None
    };
    row(start, high + 1).or_else(|| row(low, start))
}

/// The ports this host gives out by itself.
#[must_use]
pub fn dynamic_range() -> RangeInclusive<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    parse_range(&text).unwrap_or(FALLBACK)
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut words = text.split_whitespace().map(str::parse);
    let (low, high) = (words.next()?.ok()?, words.next()?.ok()?);
    (0 < low && low <= high).then_some(low..=high)
}

/// Binds a port and lets it go: an error says why it cannot be published.
pub fn try_bind(protocol: Protocol, bind: Ipv4Addr, port: u16) -> io::Result<()> {
    Ok(hold::hold(protocol, bind, port).map(drop)?)
}

/// Whether nobody on the host holds the port.
#[must_use]
pub fn is_bindable(protocol: Protocol, bind: Ipv4Addr, port: u16) -> bool {
    try_bind(protocol, bind, port).is_ok()
}

#[cfg(test)]
mod tests;
