//! Connection tracking: what flows the kernel remembers, and how to make it forget one.
//!
//! A flow keeps the translation it got from its first packet, so a client that goes on sending datagrams keeps
//! reaching the address that a published port had when it began. Forgetting the flow lets the next packet choose
//! again. Nothing here does I/O.

use std::net::Ipv4Addr;

use super::message::{ACK, DUMP, Message};
use super::reply::{Attributes, Reply};

const GET: u16 = (1 << 8) | 1;
const NEW: u16 = 1 << 8;
const DELETE: u16 = (1 << 8) | 2;

const SENT: u16 = 1;
const ANSWER: u16 = 2;

const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PORTS: u16 = 2;
const SOURCE: u16 = 1;
const TARGET: u16 = 2;
const PROTOCOL: u16 = 1;
const SOURCE_PORT: u16 = 2;
const TARGET_PORT: u16 = 3;

const BODY: usize = 4;
const INET: u8 = 2;

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// The protocol's number.
    pub protocol: u8,
    /// Where packets come from.
    pub source: (Ipv4Addr, u16),
    /// Where packets go.
    pub target: (Ipv4Addr, u16),
}

/// A flow: what its first packet said, and what an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The direction of the first packet, before translation.
    pub sent: Tuple,
    /// The direction of an answer, before it is translated back.
    pub answer: Tuple,
}

/// Asks for every IPv4 flow.
#[must_use]
pub fn list() -> Message {
    Message::new(GET, DUMP, "list tracked connections").body(&[INET, 0, 0, 0])
}

/// Reads a flow that has ports from an answer.
#[must_use]
pub fn read(reply: &Reply<'_>) -> Option<Flow> {
    if reply.kind != NEW {
        return None;
    }
    let attributes = reply.attributes(BODY);
    Some(Flow { sent: tuple(attributes.inside(SENT))?, answer: tuple(attributes.inside(ANSWER))? })
}

fn tuple(attributes: Attributes<'_>) -> Option<Tuple> {
    let (addresses, ports) = (attributes.inside(TUPLE_ADDRESSES), attributes.inside(TUPLE_PORTS));
    Some(Tuple {
        protocol: ports.u8(PROTOCOL)?,
        source: (addresses.ipv4(SOURCE)?, ports.be16(SOURCE_PORT)?),
        target: (addresses.ipv4(TARGET)?, ports.be16(TARGET_PORT)?),
    })
}

/// Makes the kernel forget the flow whose first packet was `sent`.
#[must_use]
pub fn delete(sent: &Tuple) -> Message {
    let what = format!("forget the flow from {}:{}", sent.source.0, sent.source.1);
    Message::new(DELETE, ACK, what).body(&[INET, 0, 0, 0]).nest(SENT, |direction| {
        direction
            .nest(TUPLE_ADDRESSES, |addresses| {
                addresses.bytes(SOURCE, &sent.source.0.octets()).bytes(TARGET, &sent.target.0.octets())
            })
            .nest(TUPLE_PORTS, |ports| {
                ports
                    .u8(PROTOCOL, sent.protocol)
                    .bytes(SOURCE_PORT, &sent.source.1.to_be_bytes())
                    .bytes(TARGET_PORT, &sent.target.1.to_be_bytes())
            })
    })
}
