//! Addresses of either family, to be given to a link again that has lost them on its way to another namespace.
//!
//! Nothing here does I/O. The addresses that this program gives out itself are in [`super::route`].

use super::message::{ACK, CREATE, DUMP, EXCLUSIVE, Message};
use super::reply::{Reply, word};

const NEW: u16 = 20;
const GET: u16 = 22;

const FLAGS: u16 = 8;

/// What is given again: the address, the local one of a pair, the broadcast address.
const KEPT: [u16; 3] = [1, 2, 4];

/// Set by a person or a program, not learnt from the network (linux/if_addr.h).
const PERMANENT: u32 = 0x80;
const EVERYWHERE: u8 = 0;

const BODY: usize = 8;

/// An address as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The number of the link that had it.
    pub link: u32,
    family: u8,
    prefix: u8,
    attributes: Vec<(u16, Vec<u8>)>,
}

/// Asks for every address of either family.
#[must_use]
pub fn list() -> Message {
    Message::new(GET, DUMP, "list addresses").body(&[0; BODY])
}

/// Reads an address from an answer, if it is one to keep: set for good, and good everywhere.
#[must_use]
pub fn read(reply: &Reply<'_>) -> Option<Kept> {
    let [family, prefix, short_flags, scope] = *reply.payload.first_chunk::<4>()?;
    let found = reply.attributes(BODY);
    let flags = found.u32(FLAGS).unwrap_or(u32::from(short_flags));
    if reply.kind != NEW || flags & PERMANENT == 0 || scope != EVERYWHERE {
        return None;
    }
    let kept = KEPT.into_iter().filter_map(|kind| Some((kind, found.get(kind)?.to_vec())));
    Some(Kept { link: word(reply.payload, 4)?, family, prefix, attributes: kept.collect() })
}

/// Gives the address to a link.
#[must_use]
pub fn put(kept: &Kept, link: u32, name: &str) -> Message {
    let mut body = [kept.family, kept.prefix, 0, EVERYWHERE, 0, 0, 0, 0];
    body[4..].copy_from_slice(&link.to_ne_bytes());
    let what = format!("give {name} the address that it had");
    let message = Message::new(NEW, ACK | CREATE | EXCLUSIVE, what).body(&body);
    kept.attributes.iter().fold(message, |message, (kind, value)| message.bytes(*kind, value))
}
