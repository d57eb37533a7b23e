//! Times of output as text: nanoseconds since 1970, always in UTC.

/// Bytes of a time with all its digits.
pub(super) const TIME: usize = 30;

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

/// The same without the zeros at its end, as Go writes times.
pub(super) fn short(time: &[u8; TIME]) -> String {
    let text = String::from_utf8_lossy(&time[..TIME - 1]);
    format!("{}Z", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `Nov 21 07:00:00`, as syslog has written times since BSD; the day of a month that is below 10 has a blank before it.
pub(super) fn stamp(nanos: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = nanos / 1_000_000_000;
    let (_, month, day) = date(seconds / 86_400);
    let month = usize::try_from(month - 1).ok().and_then(|at| MONTHS.get(at)).unwrap_or(&MONTHS[0]);
    let second = seconds % 86_400;
    format!("{month} {day:2} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Reads what [`time`] or [`short`] wrote.
pub(super) fn read_time(text: &[u8]) -> Option<u64> {
    let (text, below) = (text.get(..19)?, text.get(19..)?.strip_suffix(b"Z")?);
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(&byte, &form): (&u8, &u8)| if form == b'd' { byte.is_ascii_digit() } else { byte == form };
    if !text.iter().zip(shape).all(fits) {
        return None;
    }
    let below = match below {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            let missing = 10_u64.pow(u32::try_from(9 - digits.len()).ok()?);
            digits.iter().fold(0, |n, byte| 10 * n + u64::from(byte - b'0')) * missing
        }
        [..] => return None,
    };
    let number = |at: usize, digits: usize| {
        text[at..at + digits].iter().fold(0, |n, byte| 10 * n + u64::from(byte - b'0'))
    };
    let days = days(number(0, 4), number(5, 2), number(8, 2))?;
    let seconds = days * 86_400 + number(11, 2) * 3600 + number(14, 2) * 60 + number(17, 2);
    seconds.checked_mul(1_000_000_000)?.checked_add(below)
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
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        let text = |nanos| String::from_utf8(time(nanos).to_vec()).unwrap();
        assert_eq!(text(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(text(951_827_696_000_000_007), "2000-02-29T12:34:56.000000007Z");
        assert_eq!(text(1_795_254_097_123_456_789), "2026-11-21T09:41:37.123456789Z");
    }

    #[test]
    fn times_come_back_whole_and_short() {
        for nanos in [0, 951_827_696_000_000_007, 1_795_254_097_120_000_000] {
            assert_eq!(read_time(&time(nanos)), Some(nanos));
            assert_eq!(read_time(short(&time(nanos)).as_bytes()), Some(nanos));
        }
        assert_eq!(short(&time(1_795_254_097_120_000_000)), "2026-11-21T09:41:37.12Z");
        assert_eq!(short(&time(0)), "1970-01-01T00:00:00Z");
        for bad in ["", "2026-11-21T09:41:37", "2026-11-21T09:41:37.Z", "2026-13-21T09:41:37Z"] {
            assert_eq!(read_time(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_stamp_has_a_blank_before_a_small_day() {
        assert_eq!(stamp(951_827_696_000_000_007), "Feb 29 12:34:56");
        assert_eq!(stamp(0), "Jan  1 00:00:00");
    }
}
