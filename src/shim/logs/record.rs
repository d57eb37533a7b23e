//! One record as text, and back. A line that begins with a brace is one of [`json`].

use super::{
    Record, Stream, json,
    time::{TIME, read_time},
};

/// Appends a record to `text`.
pub(super) fn put(text: &mut Vec<u8>, time: &[u8; TIME], stream: Stream, whole: bool, bytes: &[u8]) {
    text.extend_from_slice(time);
    text.push(b' ');
    text.extend_from_slice(stream.name().as_bytes());
    text.extend_from_slice(if whole { b" F " } else { b" P " });
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
    let (whole, bytes) = match rest.get(..3)? {
        b" F " => (true, &rest[3..]),
        b" P " => (false, &rest[3..]),
        _ => return None,
    };
    Some(Record { nanos, stream, bytes: bytes.to_vec(), whole })
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

    use super::{super::time::time, *};

    #[test]
    fn a_torn_record_is_none() {
        let mut line = Vec::new();
        put(&mut line, &time(5), Stream::Stderr, true, b"x");
        line.pop();
        assert!(parse(&line).is_some());
        for end in 0..line.len() - 1 {
            assert_eq!(parse(&line[..end]), None, "{end} bytes");
        }
        assert_eq!(parse(b"2026-13-01T00:00:00.000000000Z stdout F x"), None);
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(
            nanos in 0..9_000_000_000_000_000_000u64, whole: bool, out: bool,
            bytes in proptest::collection::vec(any::<u8>().prop_filter("no end of line", |byte| *byte != b'\n'), 0..99)
        ) {
            let stream = if out { Stream::Stdout } else { Stream::Stderr };
            let mut line = Vec::new();
            put(&mut line, &time(nanos), stream, whole, &bytes);
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert_eq!(is_whole(&line), whole);
            prop_assert_eq!(parse(&line), Some(Record { nanos, stream, bytes, whole }));
        }
    }
}
