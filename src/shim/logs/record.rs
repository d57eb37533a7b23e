//! One record as text, and back.

use super::{Record, Stream};

/// Bytes of the time at the begin of a record.
const TIME: usize = 30;

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
    let stream = line.get(TIME + 1..).and_then(|rest| rest.iter().position(|&byte| byte == b' '));
    stream.is_some_and(|length| line.get(TIME + length + 2) == Some(&b'F'))
}

/// `2026-11-21T07:00:00.123456789Z`
pub(super) fn time(nanos: u64) -> [u8; TIME] {
    let (seconds, below) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(day);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    let fields = [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, second / 3600),
        (14, 2, second / 60 % 60),
        (17, 2, second % 60),
        (20, 9, below),
    ];
    for (at, digits, mut value) in fields {
        for place in (at..at + digits).rev() {
            text[place] = b"0123456789"[(value % 10) as usize];
            value /= 10;
        }
    }
    text
}

fn read_time(text: &[u8]) -> Option<u64> {
    let shape = b"dddd-dd-ddTdd:dd:dd.dddddddddZ";
    let fits = |(&byte, &form): (&u8, &u8)| if form == b'd' { byte.is_ascii_digit() } else { byte == form };
    if text.len() != TIME || !text.iter().zip(shape).all(fits) {
        return None;
    }
    let number = |at: usize, digits: usize| {
        text[at..at + digits].iter().fold(0, |n, byte| 10 * n + u64::from(byte - b'0'))
    };
    let days = days(number(0, 4), number(5, 2), number(8, 2))?;
    let seconds = days * 86_400 + number(11, 2) * 3600 + number(14, 2) * 60 + number(17, 2);
    seconds.checked_mul(1_000_000_000)?.checked_add(number(20, 9))
}

/// Year, month and day of the day so many days after 1970-01-01. Years begin in March here, so that the day that a
/// leap year has more is its last; 400 of them have 146097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// The inverse of [`date`]; none before 1970 or for a month that is none.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year.checked_sub(u64::from(month <= 2))?;
    let (era, year) = (year / 400, year % 400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day = (153 * month + 2) / 5 + day - 1;
    (era * 146_097 + year * 365 + year / 4 - year / 100 + day).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        let text = |nanos| String::from_utf8(time(nanos).to_vec()).unwrap();
        assert_eq!(text(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(text(951_827_696_000_000_007), "2000-02-29T12:34:56.000000007Z");
        assert_eq!(text(1_795_254_097_123_456_789), "2026-11-21T09:41:37.123456789Z");
    }

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
