//! The steps a rule is made of: load into a register, compare, look up, translate, decide.
//!
//! A rule runs its expressions in order and ends at the first comparison or lookup that fails. Registers are four bytes
//! wide; a longer value fills the ones that follow.

use crate::kernel::netlink::Message;

/// One of the sixteen four-byte registers of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(pub u8);

impl Register {
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }
}

/// How a rule ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The packet passes this table's chains at this hook.
    Accept,
    /// The packet is gone.
    Drop,
    /// Back to the chain that jumped here, or to the base chain's policy.
    Return,
    /// On with the rules of another chain.
    Jump(String),
}

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads the name of the interface the packet came in by, sixteen bytes.
    InputName(Register),
    /// Loads the name of the interface the packet leaves by, sixteen bytes.
    OutputName(Register),
    /// Loads the number of the transport protocol.
    TransportProtocol(Register),
    /// Loads the IPv4 source address.
    Source(Register),
    /// Loads the IPv4 destination address.
    Target(Register),
    /// Loads the source port.
    SourcePort(Register),
    /// Loads the destination port.
    TargetPort(Register),
    /// Loads these bytes.
    Load(Register, Vec<u8>),
    /// Writes a register over the source port of a TCP packet.
    WriteSourcePort(Register),
    /// Writes a register over the destination port of a TCP packet.
    WriteTargetPort(Register),
    /// Loads what kind of address the destination is on this host.
    TargetKind(Register),
    /// Loads the state of the packet's connection, one bit for each state.
    ConnectionState(Register),
    /// Loads what was done to the packet's connection, one bit for each.
    ConnectionStatus(Register),
    /// Keeps the bits of a register that `mask` has.
    Mask(Register, Vec<u8>),
    /// Goes on only when the register holds these bytes.
    Equal(Register, Vec<u8>),
    /// Goes on only when the register does not hold these bytes.
    Unequal(Register, Vec<u8>),
    /// Looks the registers from `key` on up in a map and loads what it finds, or ends the rule.
    Lookup {
        /// The map's name.
        map: String,
        /// The first register of the key.
        key: Register,
        /// The first register of the result.
        result: Register,
    },
    /// Sends the connection to another address and port.
    Redirect {
        /// The register of the address.
        address: Register,
        /// The register of the port.
        port: Register,
    },
    /// Lets the connection seem to come from the interface it leaves by.
    Masquerade,
    /// Ends the rule.
    Decide(Verdict),
}

/// What [`Expression::TargetKind`] loads for an address of this host.
pub const LOCAL: u32 = 2;
/// The states of [`Expression::ConnectionState`] that belong to a known connection: established, related.
pub const KNOWN: u32 = 2 | 4;
/// The bit of [`Expression::ConnectionStatus`] of a connection that was redirected.
pub const REDIRECTED: u32 = 0x20;

const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

impl Expression {
    /// Appends this step to the list of a rule.
    pub(super) fn write(&self, list: Message) -> Message {
        list.nest(1, |step| step.text(1, self.name()).nest(2, |data| self.data(data)))
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::InputName(_) | Self::OutputName(_) | Self::TransportProtocol(_) => "meta",
            Self::Source(_)
            | Self::Target(_)
            | Self::SourcePort(_)
            | Self::TargetPort(_)
            | Self::WriteSourcePort(_)
            | Self::WriteTargetPort(_) => "payload",
            Self::TargetKind(_) => "fib",
            Self::ConnectionState(_) | Self::ConnectionStatus(_) => "ct",
            Self::Mask(..) => "bitwise",
            Self::Equal(..) | Self::Unequal(..) => "cmp",
            Self::Lookup { .. } => "lookup",
            Self::Redirect { .. } => "nat",
            Self::Masquerade => "masq",
            Self::Load(..) | Self::Decide(_) => "immediate",
        }
    }

    fn data(&self, data: Message) -> Message {
        match self {
            Self::InputName(to) => data.be32(1, to.number()).be32(2, 6),
            Self::OutputName(to) => data.be32(1, to.number()).be32(2, 7),
            Self::TransportProtocol(to) => data.be32(1, to.number()).be32(2, 16),
            Self::Source(to) => payload(data, *to, NETWORK_HEADER, 12, 4),
            Self::Target(to) => payload(data, *to, NETWORK_HEADER, 16, 4),
            Self::SourcePort(to) => payload(data, *to, TRANSPORT_HEADER, 0, 2),
            Self::TargetPort(to) => payload(data, *to, TRANSPORT_HEADER, 2, 2),
            Self::Load(to, value) => data.be32(1, to.number()).nest(2, |data| data.bytes(1, value)),
            Self::WriteSourcePort(from) => write_port(data, *from, 0),
            Self::WriteTargetPort(from) => write_port(data, *from, 2),
            Self::TargetKind(to) => data.be32(1, to.number()).be32(2, 3).be32(3, 2),
            Self::ConnectionState(to) => data.be32(1, to.number()).be32(2, 0),
            Self::ConnectionStatus(to) => data.be32(1, to.number()).be32(2, 2),
            Self::Mask(at, mask) => mask_data(data, *at, mask),
            Self::Equal(at, value) => compare(data, *at, 0, value),
            Self::Unequal(at, value) => compare(data, *at, 1, value),
            Self::Lookup { map, key, result } => {
                data.text(1, map).be32(2, key.number()).be32(3, result.number())
            }
            Self::Redirect { address, port } => data
                .be32(1, 1)
                .be32(2, 2)
                .be32(3, address.number())
                .be32(4, address.number())
                .be32(5, port.number())
                .be32(6, port.number()),
            Self::Masquerade => data,
            Self::Decide(verdict) => {
                data.be32(1, 0).nest(2, |value| value.nest(2, |code| decide(code, verdict)))
            }
        }
    }
}

fn payload(data: Message, to: Register, header: u32, offset: u32, length: u32) -> Message {
    data.be32(1, to.number()).be32(2, header).be32(3, offset).be32(4, length)
}

/// Overwrites a port in the header of a TCP packet, whose checksum the kernel keeps right.
fn write_port(data: Message, from: Register, offset: u32) -> Message {
    const INTERNET_CHECKSUM: u32 = 1;
    const CHECKSUM_OFFSET: u32 = 16;
    data.be32(2, TRANSPORT_HEADER)
        .be32(3, offset)
        .be32(4, 2)
        .be32(5, from.number())
        .be32(6, INTERNET_CHECKSUM)
        .be32(7, CHECKSUM_OFFSET)
}

fn mask_data(data: Message, at: Register, mask: &[u8]) -> Message {
    let length = u32::try_from(mask.len()).expect("a mask is at most sixteen bytes");
    data.be32(1, at.number())
        .be32(2, at.number())
        .be32(3, length)
        .nest(4, |value| value.bytes(1, mask))
        .nest(5, |value| value.bytes(1, &vec![0; mask.len()]))
}

fn compare(data: Message, at: Register, operation: u32, value: &[u8]) -> Message {
    data.be32(1, at.number()).be32(2, operation).nest(3, |with| with.bytes(1, value))
}

fn decide(code: Message, verdict: &Verdict) -> Message {
    const JUMP: u32 = (-3_i32).cast_unsigned();
    const RETURN: u32 = (-5_i32).cast_unsigned();
    match verdict {
        Verdict::Drop => code.be32(1, 0),
        Verdict::Accept => code.be32(1, 1),
        Verdict::Return => code.be32(1, RETURN),
        Verdict::Jump(chain) => code.be32(1, JUMP).text(2, chain),
    }
}
