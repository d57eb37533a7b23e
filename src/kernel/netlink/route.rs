//! IPv4 addresses of links, and routes, as messages.
//!
//! Nothing here does I/O.

use std::net::Ipv4Addr;

use super::message::{ACK, CREATE, DUMP, Message, REPLACE};
use super::reply::{Reply, word};

const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;

const ADDRESS_PEER: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ADDRESS_BROADCAST: u16 = 4;

const ROUTE_TO: u16 = 1;
const ROUTE_LINK: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;
const ROUTE_PRIORITY: u16 = 6;
const ROUTE_TABLE: u16 = 15;

const INET: u8 = 2;
const ADDRESS_BODY: usize = 8;
const ROUTE_BODY: usize = 12;

/// The table that ordinary routes live in.
pub const MAIN_TABLE: u32 = 254;
/// The table of the host's own addresses.
pub const LOCAL_TABLE: u32 = 255;

const BY_BOOT: u8 = 3;
const ANYWHERE: u8 = 0;
const UNICAST: u8 = 1;

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The link's number.
    pub link: u32,
    /// The address.
    pub address: Ipv4Addr,
    /// The length of its network's prefix.
    pub prefix: u8,
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The network it leads to.
    pub to: Ipv4Addr,
    /// The length of that network's prefix.
    pub prefix: u8,
    /// The link it leaves by.
    pub link: Option<u32>,
    /// The next hop.
    pub gateway: Option<Ipv4Addr>,
    /// Smaller is preferred.
    pub priority: u32,
    /// The table it lives in.
    pub table: u32,
}

/// Gives a link an address, or leaves it the one it has.
#[must_use]
pub fn put_address(new: &Address, broadcast: Ipv4Addr) -> Message {
    let what = format!("set address {}/{}", new.address, new.prefix);
    address(NEW_ADDRESS, ACK | CREATE | REPLACE, what, new).bytes(ADDRESS_BROADCAST, &broadcast.octets())
}

/// Takes an address from a link.
#[must_use]
pub fn delete_address(old: &Address) -> Message {
    address(DELETE_ADDRESS, ACK, format!("delete address {}/{}", old.address, old.prefix), old)
}

fn address(kind: u16, flags: u16, what: String, address: &Address) -> Message {
    let mut body = [INET, address.prefix, 0, 0, 0, 0, 0, 0];
    body[4..8].copy_from_slice(&address.link.to_ne_bytes());
    Message::new(kind, flags, what)
        .body(&body)
        .bytes(ADDRESS_LOCAL, &address.address.octets())
        .bytes(ADDRESS_PEER, &address.address.octets())
}

/// Asks for every IPv4 address.
#[must_use]
pub fn list_addresses() -> Message {
    Message::new(GET_ADDRESS, DUMP, "list addresses").body(&[INET, 0, 0, 0, 0, 0, 0, 0])
}

/// Reads an address from an answer.
#[must_use]
pub fn read_address(reply: &Reply<'_>) -> Option<Address> {
    if reply.kind != NEW_ADDRESS || reply.payload.first() != Some(&INET) {
        return None;
    }
    let attributes = reply.attributes(ADDRESS_BODY);
    Some(Address {
        link: word(reply.payload, 4)?,
        address: attributes.ipv4(ADDRESS_LOCAL).or_else(|| attributes.ipv4(ADDRESS_PEER))?,
        prefix: *reply.payload.get(1)?,
    })
}

/// Sends everything without a better route to `gateway`, replacing an earlier route of that kind.
#[must_use]
pub fn put_default_route(link: u32, gateway: Ipv4Addr) -> Message {
    let body = [INET, 0, 0, 0, MAIN_TABLE.to_le_bytes()[0], BY_BOOT, ANYWHERE, UNICAST, 0, 0, 0, 0];
    Message::new(NEW_ROUTE, ACK | CREATE | REPLACE, format!("set the default route by {gateway}"))
        .body(&body)
        .u32(ROUTE_LINK, link)
        .bytes(ROUTE_GATEWAY, &gateway.octets())
}

/// Asks for every IPv4 route.
#[must_use]
pub fn list_routes() -> Message {
    Message::new(GET_ROUTE, DUMP, "list routes").body(&[INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// Reads a route from an answer.
#[must_use]
pub fn read_route(reply: &Reply<'_>) -> Option<Route> {
    if reply.kind != NEW_ROUTE || reply.payload.first() != Some(&INET) {
        return None;
    }
    let attributes = reply.attributes(ROUTE_BODY);
    Some(Route {
        to: attributes.ipv4(ROUTE_TO).unwrap_or(Ipv4Addr::UNSPECIFIED),
        prefix: *reply.payload.get(1)?,
        link: attributes.u32(ROUTE_LINK),
        gateway: attributes.ipv4(ROUTE_GATEWAY),
        priority: attributes.u32(ROUTE_PRIORITY).unwrap_or(0),
        table: attributes
            .u32(ROUTE_TABLE)
            .unwrap_or_else(|| reply.payload.get(4).copied().unwrap_or(0).into()),
    })
}
