//! One record as text, and back. A line that begins with a brace is one of [`json`].

use super::{
    Record, Stream, json,
    time::{TIME, read_time, time},
};

/// What is behind the bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// An end of line, and with it the end of the entry.
    End,
    /// The rest of the line.
    Rest,
    /// An end of line, and more lines of the same event.
    Line,
}

/// What is in front of the bytes of a record: the same for all that were read at a time, so it is made once.
#[derive(Clone, Copy)]
pub(super) struct Head {
    text: [u8; Self::ROOM],
    /// Bytes of it that are written.
    length: usize,
    stream: Stream,
}

impl Head {
    /// The time, the longest name of a stream, the letter, and the blanks behind them.
    const ROOM: usize = TIME + 1 + 6 + 3;

    /// The head of what `stream` gave at `nanos`.
    pub(super) fn new(stream: Stream, nanos: u64) -> Self {
        Self::made(stream, &time(nanos))
    }

    /// The head of what `stream` gave at the same time.
    pub(super) fn of(&self, stream: Stream) -> Self {
        Self::made(stream, self.time())
    }

    fn made(stream: Stream, time: &[u8; TIME]) -> Self {
        let mut text = [b' '; Self::ROOM];
        let name = stream.name().as_bytes();
        text[..TIME].copy_from_slice(time);
        text[TIME + 1..][..name.len()].copy_from_slice(name);
        Self { text, length: TIME + 1 + name.len() + 3, stream }
    }

    /// The time, with all its digits.
    pub(super) fn time(&self) -> &[u8; TIME] {
        self.text.first_chunk().unwrap_or(&[0; TIME])
    }

    /// Which output it is of.
    pub(super) fn stream(&self) -> Stream {
        self.stream
    }
}

/// Appends a record to `text`.
pub(super) fn put(text: &mut Vec<u8>, head: &Head, behind: Behind, bytes: &[u8]) {
    let mut begin = head.text;
    begin[head.length - 2] = match behind {
        Behind::End => b'F',
        Behind::Rest => b'P',
        Behind::Line => b'L',
    };
    text.reserve(head.length + bytes.len() + 1);
    text.extend_from_slice(&begin[..head.length]);
    text.extend_from_slice(bytes);
    text.push(b'\n');
}

/// Reads a record from a line without its end; none when it is torn.
pub(super) fn parse(line: &[u8]) -> Option<Record> {
    if line.first() == Some(&b'{') {
        return json::parse(line);
    }
    let nanos = read_time(line.get(..TIME)?)?;
    let rest = line.get(TIME..)?.strip_prefix(b" ")?;
    let (stream, rest) = [Stream::Stdout, Stream::Stderr, Stream::Note]
        .into_iter()
        .find_map(|stream| Some((stream, rest.strip_prefix(stream.name().as_bytes())?)))?;
    let (mark, bytes) = rest.split_at_checked(3)?;
    let (whole, end): (bool, &[u8]) = match mark {
        b" F " => (true, b""),
        b" P " => (false, b""),
        b" L " => (false, b"\n"),
        _ => return None,
    };
    Some(Record { nanos, stream, bytes: [bytes, end].concat(), whole })
}

/// Whether a line without its end is a record with an end of line.
pub(super) fn is_whole(line: &[u8]) -> bool {
    if line.first() == Some(&b'{') {
        return json::parse(line).is_some_and(|record| record.whole);
    }
    let stream = line.get(TIME + 1..).and_then(|rest| rest.iter().position(|&byte| byte == b' '));
    stream.is_some_and(|length| line.get(TIME + length + 2) == Some(&b'F'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_torn_record_is_none() {
        let mut line = Vec::new();
        put(&mut line, &Head::new(Stream::Stderr, 5), Behind::End, b"x");
        line.pop();
        assert!(parse(&line).is_some());
        for end in 0..line.len() - 1 {
            assert_eq!(parse(&line[..end]), None, "{end} bytes");
        }
        assert_eq!(parse(b"2026-13-01T00:00:00.000000000Z stdout F x"), None);
    }

    #[test]
    fn a_line_of_an_event_has_its_end_with_it() {
        let mut line = Vec::new();
        put(&mut line, &Head::new(Stream::Stdout, 5), Behind::Line, b"first");
        line.pop();
        let record = parse(&line).unwrap();
        assert_eq!((record.bytes.as_slice(), record.whole), (b"first\n".as_slice(), false));
        assert!(!is_whole(&line));
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(
            nanos in 0..9_000_000_000_000_000_000u64, whole: bool, out: bool,
            bytes in proptest::collection::vec(any::<u8>().prop_filter("no end of line", |byte| *byte != b'\n'), 0..99)
        ) {
            let stream = if out { Stream::Stdout } else { Stream::Stderr };
            let mut line = Vec::new();
            put(&mut line, &Head::new(stream, nanos), if whole { Behind::End } else { Behind::Rest }, &bytes);
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert_eq!(is_whole(&line), whole);
            prop_assert_eq!(parse(&line), Some(Record { nanos, stream, bytes, whole }));
        }
    }
}
