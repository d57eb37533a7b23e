//! Answers taken apart: messages in a buffer, attributes in a message.
//!
//! Every reader is total: a length that does not fit ends the walk, a value of the wrong size reads as absent. The
//! kernel is trusted to tell the truth, not to be the version this was written for.

use std::net::Ipv4Addr;

use nix::errno::Errno;

use super::message::HEADER;

const ERROR: u16 = 2;
const DONE: u16 = 3;

const CAPPED: u16 = 0x100;
const EXPLAINED: u16 = 0x200;
const EXPLANATION: u16 = 1;

/// The kernel changed what was being listed: start again.
pub(super) const INTERRUPTED: u16 = 0x10;

/// One message from the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The kind of message.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// Which request it answers.
    pub sequence: u32,
    /// Whose request it answers or, in news, whose request caused it.
    pub port: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) errno: Option<Errno>,
    pub(super) explanation: Option<String>,
}

impl<'a> Reply<'a> {
    /// The attributes after a fixed body of `body` bytes.
    #[must_use]
    pub fn attributes(&self, body: usize) -> Attributes<'a> {
        Attributes(self.payload.get(body.next_multiple_of(4)..).unwrap_or_default())
    }

    /// How the request ended, when this message says so.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        if self.kind != ERROR && self.kind != DONE {
            return None;
        }
        let code = self.payload.get(..4).and_then(|four| four.try_into().ok()).map_or(0, i32::from_ne_bytes);
        let errno = (code != 0).then(|| Errno::from_raw(-code));
        Some(Outcome { errno, explanation: self.explanation() })
    }

    fn explanation(&self) -> Option<String> {
        if self.flags & EXPLAINED == 0 {
            return None;
        }
        let echoed = match (self.kind, self.flags & CAPPED) {
            (ERROR, 0) => {
                self.payload.get(4..8).and_then(|four| four.try_into().ok()).map(u32::from_ne_bytes)
            }
            (ERROR, _) => u32::try_from(HEADER).ok(),
            (_, _) => Some(0),
        }?;
        let body = 4 + usize::try_from(echoed).ok()?;
        self.attributes(body).text(EXPLANATION)
    }
}

/// Walks the messages in a buffer.
#[derive(Debug, Clone)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Reply<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.0.get(..HEADER)?;
        let length = usize::try_from(word(header, 0)?).ok()?;
        let payload = self.0.get(HEADER..length)?;
        let reply = Reply {
            kind: half(header, 4)?,
            flags: half(header, 6)?,
            sequence: word(header, 8)?,
            port: word(header, 12)?,
            payload,
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(reply)
    }
}

/// A run of attributes.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// Every attribute with its kind, flags of the kind removed.
    pub fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let length = usize::from(half(rest, 0)?);
            let kind = half(rest, 2)? & 0x3fff;
            let value = rest.get(4..length)?;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some((kind, value))
        })
    }

    /// The value of the first attribute of `kind`.
    #[must_use]
    pub fn get(self, kind: u16) -> Option<&'a [u8]> {
        self.iter().find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// The attributes inside the first attribute of `kind`, none when it is absent.
    #[must_use]
    pub fn inside(self, kind: u16) -> Self {
        Self(self.get(kind).unwrap_or_default())
    }

    /// A text without its closing zero.
    #[must_use]
    pub fn text(self, kind: u16) -> Option<String> {
        let value = self.get(kind)?;
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        Some(String::from_utf8_lossy(&value[..end]).into_owned())
    }

    /// One byte.
    #[must_use]
    pub fn u8(self, kind: u16) -> Option<u8> {
        self.get(kind)?.first().copied()
    }

    /// An integer in the machine's byte order.
    #[must_use]
    pub fn u32(self, kind: u16) -> Option<u32> {
        word(self.get(kind)?, 0)
    }

    /// An integer in network byte order.
    #[must_use]
    pub fn be32(self, kind: u16) -> Option<u32> {
        self.u32(kind).map(u32::from_be)
    }

    /// A short integer in network byte order.
    #[must_use]
    pub fn be16(self, kind: u16) -> Option<u16> {
        half(self.get(kind)?, 0).map(u16::from_be)
    }

    /// An IPv4 address.
    #[must_use]
    pub fn ipv4(self, kind: u16) -> Option<Ipv4Addr> {
        self.be32(kind).map(Ipv4Addr::from_bits)
    }
}

/// Four bytes at `at` in the machine's byte order.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
