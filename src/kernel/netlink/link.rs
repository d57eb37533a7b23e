//! Links: bridges and virtual Ethernet pairs, as messages.
//!
//! Nothing here does I/O. An alias is a text the kernel keeps with a link and does nothing with: it is how a link says
//! whose it is.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::message::{ACK, CREATE, DUMP, EXCLUSIVE, Message};
use super::reply::{Reply, word};

const NEW: u16 = 16;
const DELETE: u16 = 17;
const GET: u16 = 18;

const ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const LINK: u16 = 5;
const MASTER: u16 = 10;
const INFO: u16 = 18;
const ALIAS: u16 = 20;
const NAMESPACE: u16 = 28;

const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_PORT_KIND: u16 = 4;
const INFO_PORT_DATA: u16 = 5;

const BRIDGE_FORWARD_DELAY: u16 = 1;
const PAIR_PEER: u16 = 1;
const PORT_HAIRPIN: u16 = 4;

const UP: u32 = 0x1;

/// The group that tells of links made, changed and deleted.
pub const NEWS_GROUP: u32 = 1;

/// The fixed body of a link message: 16 bytes.
const BODY: usize = 16;

/// The number of the loopback interface in every network namespace.
pub const LOOPBACK: u32 = 1;

/// A link as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `bridge`, `veth` and so on; none for hardware.
    pub kind: Option<String>,
    /// The number of the bridge it is a port of.
    pub master: Option<u32>,
    /// The number of the other end of a pair, in that end's namespace.
    pub other_end: Option<u32>,
    /// The text kept with it.
    pub alias: Option<String>,
    /// Its largest packet.
    pub mtu: u32,
    /// Its hardware address.
    pub mac: Vec<u8>,
    /// Whether it was asked to be up.
    pub up: bool,
}

/// The end of a pair that starts its life in another namespace.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// Its name there.
    pub name: &'a str,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The namespace.
    pub netns: BorrowedFd<'a>,
}

/// Makes a bridge with a hardware address of its own, which then does not follow its ports.
///
/// Its ports forward from the first moment. With the usual delay they do, too, as long as nobody has the bridge look for
/// loops, but the kernel would tell everybody who listens of each port again when the delay is over.
#[must_use]
pub fn create_bridge(name: &str, mac: [u8; 6], mtu: u32) -> Message {
    Message::new(NEW, ACK | CREATE | EXCLUSIVE, format!("create bridge {name}"))
        .body(&body(0, 0, 0))
        .text(NAME, name)
        .bytes(ADDRESS, &mac)
        .u32(MTU, mtu)
        .nest(INFO, |info| {
            info.text(INFO_KIND, "bridge").nest(INFO_DATA, |data| data.u32(BRIDGE_FORWARD_DELAY, 0))
        })
}

/// Makes a pair: `name` here, a port of the bridge `master` if any; its peer in another namespace.
#[must_use]
pub fn create_pair(name: &str, mtu: u32, master: Option<u32>, peer: &Peer<'_>) -> Message {
    let descriptor = peer.netns.as_raw_fd().cast_unsigned();
    let what = format!("create the pair of interfaces {name} and {}", peer.name);
    let message =
        Message::new(NEW, ACK | CREATE | EXCLUSIVE, what).body(&body(0, 0, 0)).text(NAME, name).u32(MTU, mtu);
    let message = match master {
        Some(master) => message.u32(MASTER, master),
        None => message,
    };
    message.nest(INFO, |info| {
        info.text(INFO_KIND, "veth").nest(INFO_DATA, |data| {
            data.nest(PAIR_PEER, |end| {
                end.body(&body(0, 0, 0))
                    .text(NAME, peer.name)
                    .bytes(ADDRESS, &peer.mac)
                    .u32(MTU, mtu)
                    .u32(NAMESPACE, descriptor)
            })
        })
    })
}

/// Labels a link and brings it up.
#[must_use]
pub fn label_and_raise(name: &str, alias: &str) -> Message {
    Message::new(NEW, ACK, format!("bring up {name}"))
        .body(&body(0, UP, UP))
        .text(NAME, name)
        .bytes(ALIAS, alias.as_bytes())
}

/// Labels a port of a bridge, lets it send packets back the way they came, and brings it up.
#[must_use]
pub fn label_and_raise_port(name: &str, alias: &str) -> Message {
    label_and_raise(name, alias).nest(INFO, |info| {
        info.text(INFO_PORT_KIND, "bridge").nest(INFO_PORT_DATA, |port| port.u8(PORT_HAIRPIN, 1))
    })
}

/// Makes a link a port of the bridge `master`.
#[must_use]
pub fn enslave(name: &str, master: u32) -> Message {
    Message::new(NEW, ACK, format!("make {name} a port of the bridge"))
        .body(&body(0, 0, 0))
        .text(NAME, name)
        .u32(MASTER, master)
}

/// Brings a link up by number.
#[must_use]
pub fn raise(index: u32, name: &str) -> Message {
    Message::new(NEW, ACK, format!("bring up {name}")).body(&body(index, UP, UP))
}

/// Sets the largest packet of a link.
#[must_use]
pub fn resize(index: u32, name: &str, mtu: u32) -> Message {
    Message::new(NEW, ACK, format!("set the largest packet of {name} to {mtu}"))
        .body(&body(index, 0, 0))
        .u32(MTU, mtu)
}

/// Moves a link to another namespace, where it has the name `as_name` and is down.
#[must_use]
pub fn move_to(link: &Link, netns: BorrowedFd<'_>, as_name: &str) -> Message {
    let what = format!("move {} into another network namespace as {as_name}", link.name);
    Message::new(NEW, ACK, what)
        .body(&body(link.index, 0, 0))
        .u32(NAMESPACE, netns.as_raw_fd().cast_unsigned())
        .text(NAME, as_name)
}

/// Deletes a link, and with one end of a pair the other.
#[must_use]
pub fn delete(name: &str) -> Message {
    Message::new(DELETE, ACK, format!("delete interface {name}")).body(&body(0, 0, 0)).text(NAME, name)
}

/// Asks for one link.
#[must_use]
pub fn get(name: &str) -> Message {
    Message::new(GET, ACK, format!("look up interface {name}")).body(&body(0, 0, 0)).text(NAME, name)
}

/// Asks for every link.
#[must_use]
pub fn list() -> Message {
    Message::new(GET, DUMP, "list interfaces").body(&body(0, 0, 0))
}

/// Reads a link from an answer or from news of a link made or changed.
#[must_use]
pub fn read(reply: &Reply<'_>) -> Option<Link> {
    (reply.kind == NEW).then(|| parse(reply)).flatten()
}

/// Reads the link that news says was deleted.
#[must_use]
pub fn read_deleted(reply: &Reply<'_>) -> Option<Link> {
    (reply.kind == DELETE).then(|| parse(reply)).flatten()
}

fn parse(reply: &Reply<'_>) -> Option<Link> {
    let attributes = reply.attributes(BODY);
    Some(Link {
        index: word(reply.payload, 4)?,
        name: attributes.text(NAME)?,
        kind: attributes.inside(INFO).text(INFO_KIND),
        master: attributes.u32(MASTER),
        other_end: attributes.u32(LINK),
        alias: attributes.text(ALIAS),
        mtu: attributes.u32(MTU).unwrap_or(0),
        mac: attributes.get(ADDRESS).unwrap_or_default().to_vec(),
        up: word(reply.payload, 8)? & UP != 0,
    })
}

fn body(index: u32, flags: u32, change: u32) -> [u8; BODY] {
    let mut bytes = [0; BODY];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}
