//! One record as Docker's `json-file` driver writes it, and back.
//!
//! ```text
//!   {"log":"a whole line\n","stream":"stdout","time":"2026-11-21T07:00:00.12Z"}
//!   {"log":"the begin of a long one","stream":"stderr","attrs":{"team":"a"},"time":"2026-11-21T07:00:00.13Z"}
//! ```
//!
//! The end of line in `log` says that the output had one there. What is not UTF-8 is replaced, as Docker does.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Deserialize;

use super::{
    Record, Stream,
    time::{TIME, read_time, short},
};

#[derive(Deserialize)]
struct Line {
    log: String,
    stream: String,
    time: String,
}

/// The member `attrs` as text, with the comma in front; empty without attributes.
pub(super) fn attributes(all: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, value) in all {
        text.push_str(if text.is_empty() { ",\"attrs\":{" } else { "," });
        quote(&mut text, name);
        text.push(':');
        quote(&mut text, value);
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

/// Appends a record to `text`; `attributes` is what [`attributes`] gave.
pub(super) fn put(
    text: &mut Vec<u8>,
    time: &[u8; TIME],
    stream: Stream,
    whole: bool,
    bytes: &[u8],
    attributes: &str,
) {
    let mut log = String::from_utf8_lossy(bytes).into_owned();
    if whole {
        log.push('\n');
    }
    let mut line = String::with_capacity(log.len() + 96);
    line.push_str("{\"log\":");
    quote(&mut line, &log);
    line.push_str(",\"stream\":\"");
    line.push_str(stream.name());
    line.push('"');
    line.push_str(attributes);
    line.push_str(",\"time\":\"");
    line.push_str(&short(time));
    line.push_str("\"}\n");
    text.extend_from_slice(line.as_bytes());
}

/// Reads a record from a line without its end; none when it is torn.
pub(super) fn parse(line: &[u8]) -> Option<Record> {
    let Line { log, stream, time } = serde_json::from_slice(line).ok()?;
    let streams = [Stream::Stdout, Stream::Stderr, Stream::Note];
    let stream = streams.into_iter().find(|known| known.name() == stream)?;
    let whole = log.strip_suffix('\n');
    let bytes = whole.unwrap_or(&log).as_bytes().to_vec();
    Some(Record { nanos: read_time(time.as_bytes())?, stream, bytes, whole: whole.is_some() })
}

/// Appends a JSON string. What HTML or JavaScript would take for its own is escaped too, as in Docker's files.
fn quote(text: &mut String, value: &str) {
    text.push('"');
    for letter in value.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(letter)); // a String takes everything
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::time::time, *};

    fn text(stream: Stream, whole: bool, bytes: &[u8], attrs: &[(&str, &str)]) -> String {
        let attrs = attrs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut line = Vec::new();
        put(&mut line, &time(1_795_254_097_120_000_000), stream, whole, bytes, &attributes(&attrs));
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_record_reads_as_docker_writes_it() {
        assert_eq!(
            text(Stream::Stdout, true, b"hello \"you\" <b>\t\\", &[]),
            "{\"log\":\"hello \\\"you\\\" \\u003cb\\u003e\\u0009\\\\\\n\",\"stream\":\"stdout\",\
             \"time\":\"2026-11-21T09:41:37.12Z\"}\n"
        );
        assert_eq!(
            text(Stream::Stderr, false, b"half\xff", &[("a", "1"), ("team", "x&y")]),
            "{\"log\":\"half\u{fffd}\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"1\",\"team\":\"x\\u0026y\"},\
             \"time\":\"2026-11-21T09:41:37.12Z\"}\n"
        );
    }

    #[test]
    fn a_torn_record_is_none() {
        let line = text(Stream::Stdout, true, b"x", &[]);
        assert!(parse(line.trim_end().as_bytes()).is_some());
        for end in 0..line.len() - 2 {
            assert_eq!(parse(&line.as_bytes()[..end]), None, "{end} bytes");
        }
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(whole: bool, log in "[^\n]{0,99}") {
            let line = text(Stream::Stdout, whole, log.as_bytes(), &[("k", "v")]);
            let record = parse(line.trim_end_matches('\n').as_bytes()).unwrap();
            prop_assert_eq!((record.bytes, record.whole), (log.into_bytes(), whole));
            prop_assert_eq!(line.matches('\n').count(), 1);
        }
    }
}
