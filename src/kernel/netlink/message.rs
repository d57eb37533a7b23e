//! One netlink request: a header, a fixed body, and attributes that may hold attributes.
//!
//! Lengths and padding are kept right by construction; sequence number and sender are filled in by the socket. Route
//! netlink speaks the machine's byte order, netfilter speaks big-endian, hence two writers for the same integer.

/// Bytes before the body: length, kind, flags, sequence number, sender.
pub(super) const HEADER: usize = 16;

const REQUEST: u16 = 0x1;
/// Asks for an answer even when all is well.
pub const ACK: u16 = 0x4;
/// Replaces what exists.
pub const REPLACE: u16 = 0x100;
/// Asks for every object of a kind.
pub const DUMP: u16 = 0x300;
/// Refuses when the object exists.
pub const EXCLUSIVE: u16 = 0x200;
/// Makes the object when it does not exist.
pub const CREATE: u16 = 0x400;
/// Adds at the end of a list.
pub const APPEND: u16 = 0x800;

/// Marks an attribute that holds attributes.
const NESTED: u16 = 0x8000;

/// A request in the making, and the words that name it when it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
    what: String,
}

impl Message {
    /// A request of `kind`; `what` completes the sentence "could not …".
    #[must_use]
    pub fn new(kind: u16, flags: u16, what: impl Into<String>) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend([0; 4]);
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | REQUEST).to_ne_bytes());
        bytes.extend([0; 8]);
        Self { bytes, what: what.into() }
    }

    /// The words that name this request.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Adds a fixed body, padded.
    #[must_use]
    pub fn body(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self.pad();
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn bytes(self, kind: u16, value: &[u8]) -> Self {
        self.attribute(kind, |message| message.bytes.extend(value))
    }

    /// Adds one byte.
    #[must_use]
    pub fn u8(self, kind: u16, value: u8) -> Self {
        self.bytes(kind, &[value])
    }

    /// Adds an integer in the machine's byte order.
    #[must_use]
    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Adds an integer in network byte order.
    #[must_use]
    pub fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Adds a text with the closing zero the kernel expects.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, |message| {
            message.bytes.extend(value.as_bytes());
            message.bytes.push(0);
        })
    }

    /// Adds an attribute that holds what `inner` writes.
    #[must_use]
    pub fn nest(self, kind: u16, inner: impl FnOnce(Self) -> Self) -> Self {
        self.attribute(kind | NESTED, |message| {
            let whole = Self { bytes: std::mem::take(&mut message.bytes), what: String::new() };
            message.bytes = inner(whole).bytes;
        })
    }

    fn attribute(mut self, kind: u16, write: impl FnOnce(&mut Self)) -> Self {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        write(&mut self);
        let length = u16::try_from(self.bytes.len() - start).expect("writers keep attributes below 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Whether the sender wants an answer.
    pub(super) fn wants_answer(&self) -> bool {
        self.bytes[6] & ACK.to_ne_bytes()[0] != 0
    }

    /// Appends the finished message to `batch`.
    pub(super) fn write(&self, sequence: u32, batch: &mut Vec<u8>) {
        let start = batch.len();
        batch.extend(&self.bytes);
        let length = u32::try_from(self.bytes.len()).expect("a message is far below 4 GiB");
        batch[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        batch[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
    }

    /// The message as it would be sent with sequence number 0.
    #[cfg(test)]
    pub(crate) fn finished(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(0, &mut out);
        out
    }
}
