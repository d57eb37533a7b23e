//! Messages of D-Bus: bytes in and out, as far as a scope needs them. Pure.
//!
//! Numbers are little-endian and lie at multiples of their size, counted from the beginning of the message, whose body
//! begins at a multiple of eight (D-Bus specification, "Message Protocol").

/// Types of message.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Fields of a header.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// The fixed part of a header, up to the length of its fields.
pub(super) const FIXED: usize = 16;

/// A value of a unit's property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Bool(bool),
    Number(u64),
    Pids(Vec<u32>),
}

/// Bytes being written.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn u32(&mut self, number: u32) {
        self.align(4);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.u32(length(text.len()));
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    /// An array, of elements at multiples of `align`; the space before the first does not count.
    fn array(&mut self, align: usize, fill: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.0.len() - 4;
        self.align(align);
        let begin = self.0.len();
        fill(self);
        let size = length(self.0.len() - begin);
        self.0[length_at..length_at + 4].copy_from_slice(&size.to_le_bytes());
    }

    /// `a(sv)`.
    pub(super) fn properties(&mut self, all: &[(&str, Value)]) {
        self.array(8, |out| {
            for (name, value) in all {
                out.align(8);
                out.text(name);
                out.variant(value);
            }
        });
    }

    /// `a(sa(sv))`, of which there are none.
    pub(super) fn no_units(&mut self) {
        self.array(8, |_| {});
    }

    /// `au`.
    pub(super) fn pids(&mut self, pids: &[u32]) {
        self.array(4, |out| pids.iter().for_each(|pid| out.u32(*pid)));
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.u32(u32::from(value));
    }

    fn variant(&mut self, value: &Value) {
        match value {
            Value::Text(text) => {
                self.signature("s");
                self.text(text);
            }
            Value::Bool(value) => {
                self.signature("b");
                self.bool(*value);
            }
            Value::Number(number) => {
                self.signature("t");
                self.align(8);
                self.0.extend_from_slice(&number.to_le_bytes());
            }
            Value::Pids(pids) => {
                self.signature("au");
                self.pids(pids);
            }
        }
    }
}

fn length(bytes: usize) -> u32 {
    // The bus refuses messages long before this is wrong.
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Where a call goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub destination: &'static str,
    pub path: &'static str,
    pub interface: &'static str,
}

/// A call of `member` with a body of the signature given.
pub(super) fn call(serial: u32, target: Target, member: &str, signature: &str, body: &Writer) -> Vec<u8> {
    let mut out = Writer(vec![b'l', CALL, 0, 1]);
    out.u32(length(body.0.len()));
    out.u32(serial);
    out.array(8, |out| {
        let fields = [
            (PATH, "o", target.path),
            (INTERFACE, "s", target.interface),
            (MEMBER, "s", member),
            (DESTINATION, "s", target.destination),
        ];
        for (field, kind, text) in fields {
            out.align(8);
            out.0.push(field);
            out.signature(kind);
            out.text(text);
        }
        if !signature.is_empty() {
            out.align(8);
            out.0.push(SIGNATURE);
            out.signature("g");
            out.signature(signature);
        }
    });
    out.align(8);
    out.0.extend_from_slice(&body.0);
    out.0
}

/// What came from the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// The answer to a call, as text if that is what it begins with.
    Answer { to: u32, text: Option<String> },
    /// The refusal of a call: its name and its words.
    Refusal { to: u32, name: String, text: String },
    /// A job has ended: its path and how.
    JobRemoved { job: String, result: String },
    /// Anything else.
    Other,
}

/// The length of a whole message, from its fixed part.
pub(super) fn length_of(fixed: &[u8; FIXED]) -> Option<usize> {
    let number =
        |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]) as usize;
    let (body, fields) = (number(4), number(12));
    let header = FIXED.checked_add(fields)?.next_multiple_of(8);
    // Nobody we talk to writes big-endian here, and the bus takes no more than this.
    (fixed[0] == b'l' && body < 1 << 27 && fields < 1 << 26).then_some(header + body)
}

/// Reads a whole message.
pub(super) fn read(bytes: &[u8]) -> Option<Heard> {
    let kind = *bytes.get(1)?;
    let mut reader = Reader { bytes, at: 12 };
    let fields_end = reader.u32()? as usize + FIXED;
    let (mut to, mut member, mut error, mut signature) = (0, String::new(), String::new(), String::new());
    while reader.at < fields_end {
        reader.align(8);
        let field = reader.byte()?;
        match reader.signature()?.as_str() {
            "u" if field == REPLY_SERIAL => to = reader.u32()?,
            "u" => drop(reader.u32()?),
            "g" if field == SIGNATURE => signature = reader.signature()?,
            "g" => drop(reader.signature()?),
            _ => match (field, reader.text()?) {
                (MEMBER, text) => member = text,
                (ERROR_NAME, text) => error = text,
                _ => {}
            },
        }
    }
    reader.at = fields_end.next_multiple_of(8);
    if signature == "v" {
        // A property comes with its type.
        signature = reader.signature()?;
    }
    let begins_with_text = signature.starts_with(['s', 'o']);
    Some(match kind {
        RETURN => Heard::Answer { to, text: if begins_with_text { reader.text() } else { None } },
        ERROR => {
            let text = if begins_with_text { reader.text()? } else { String::new() };
            Heard::Refusal { to, name: error, text }
        }
        SIGNAL if member == "JobRemoved" && signature == "uoss" => {
            reader.u32()?;
            let job = reader.text()?;
            reader.text()?;
            Heard::JobRemoved { job, result: reader.text()? }
        }
        _ => Heard::Other,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn byte(&mut self) -> Option<u8> {
        self.at += 1;
        self.bytes.get(self.at - 1).copied()
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    fn string(&mut self, length: usize) -> Option<String> {
        let text = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length + 1;
        String::from_utf8(text.to_vec()).ok()
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        self.string(length)
    }

    fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        self.string(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target { destination: "a.b", path: "/a/b", interface: "a.b.C" };

    #[test]
    fn a_message_is_as_long_as_its_beginning_says() {
        let mut body = Writer::default();
        body.text("unit.scope");
        body.properties(&[
            ("PIDs", Value::Pids(vec![1, 2])),
            ("Delegate", Value::Bool(true)),
            ("MemoryMax", Value::Number(1 << 40)),
            ("Slice", Value::Text("a.slice".to_owned())),
        ]);
        let whole = call(7, TARGET, "Do", "sa(sv)", &body);
        let fixed: [u8; FIXED] = whole[..FIXED].try_into().unwrap();
        assert_eq!(length_of(&fixed), Some(whole.len()));
    }

    #[test]
    fn a_property_is_read_with_its_type() {
        let mut body = Writer::default();
        body.variant(&Value::Text("/user.slice".to_owned()));
        let mut answer = call(7, TARGET, "Get", "v", &body);
        answer[1] = RETURN;
        assert_eq!(read(&answer), Some(Heard::Answer { to: 0, text: Some("/user.slice".to_owned()) }));
    }

    #[test]
    fn an_answer_is_read_and_rubbish_is_not() {
        let mut body = Writer::default();
        body.text("/job/1");
        let mut answer = call(7, TARGET, "Do", "s", &body);
        answer[1] = RETURN;
        assert_eq!(read(&answer), Some(Heard::Answer { to: 0, text: Some("/job/1".to_owned()) }));
        for length in 0..answer.len() {
            // None of the beginnings is taken for more than it is.
            let _ = read(&answer[..length]);
        }
        assert_eq!(length_of(&[0xff; FIXED]), None);
    }
}
