//! Two clocks that cannot be mixed up.
//!
//! Decisions measure with [`Moment`], which never jumps; people and the wire see [`Timestamp`]. Only the edges of
//! the program read a clock, and they turn one into the other.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Wall time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Seconds since the epoch with a fraction of milliseconds, as the ECS protocol writes times.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "milliseconds fit a double until the year 287396")]
    pub fn as_epoch_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The time from `earlier` to `self`; zero when the clock was stepped back between the two.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The time that lies `span` before; not before the epoch.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The text of RFC 3339, in UTC and with nanoseconds, as the metadata of tasks writes times.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        format!("{}.{:03}000000Z", date_and_time(self.0 / 1000), self.0 % 1000)
    }

    /// Reads a text of RFC 3339; none when it is not one, or lies before 1970.
    #[must_use]
    pub fn of_rfc3339(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (clock, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
        let [year, month, day] = fields(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
        let (fraction, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
        let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
        let is_time = hour < 24 && minute < 60 && second <= 60;
        if !is_date || !is_time || year < 1970 {
            return None;
        }
        let seconds = days_to(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        let seconds = i64::try_from(seconds).ok()? - offset(zone)?;
        Some(Self(u64::try_from(seconds).ok()? * 1000 + millis(fraction)?))
    }
}

/// Seconds since 1970 as `YYYY-MM-DDThh:mm:ss`, by the calendar's 400-year cycle.
#[must_use]
pub fn date_and_time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years are counted from March, so that the leap day is the last of its year; 719468 days lie before 1970.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Days from 1970 to a date not before it: the other way round.
fn days_to(year: u64, month: u64, day: u64) -> u64 {
    let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

/// Three numbers of so many digits each, parted by a sign.
fn fields(text: &str, sign: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(sign);
    let mut found = [0; 3];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(found)
}

/// `.123456` as milliseconds; nothing is none of them.
fn millis(fraction: &str) -> Option<u64> {
    let Some(digits) = fraction.strip_prefix('.') else { return fraction.is_empty().then_some(0) };
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let first: String = digits.chars().chain("00".chars()).take(3).collect();
    are_digits.then(|| first.parse().ok())?
}

/// `Z`, `+02:00`, `-02:00`: seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, clock) = zone.split_at_checked(1)?;
    let [hours, minutes, _] = fields(&format!("{clock}:00"), ':', [2, 2, 2])?;
    let seconds = i64::try_from(hours * 3600 + minutes * 60).ok()?;
    Some(if sign == "-" { -seconds } else { seconds })
}

/// Monotonic time: milliseconds since the host booted, suspend included (`CLOCK_BOOTTIME`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl Moment {
    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, more: Duration) -> Self {
        let millis = u64::try_from(more.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

impl Sub<Moment> for Moment {
    type Output = Duration;

    fn sub(self, earlier: Moment) -> Duration {
        self.since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_as_rfc_3339() {
        let known = [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_005, "2000-02-29T00:00:00.005000000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999000000Z"),
        ];
        for (millis, text) in known {
            assert_eq!(Timestamp(millis).to_rfc3339(), text);
            assert_eq!(Timestamp::of_rfc3339(text), Some(Timestamp(millis)), "{text}");
        }
        // Every month of a century, and the seconds around its ends.
        for day in 0..36_600 {
            for time in [Timestamp(day * 86_400_000), Timestamp(day * 86_400_000 + 86_399_500)] {
                assert_eq!(Timestamp::of_rfc3339(&time.to_rfc3339()), Some(time));
            }
        }
    }

    #[test]
    fn other_zones_are_read_and_other_texts_are_not() {
        let read = |text| Timestamp::of_rfc3339(text).map(|time| time.0);
        assert_eq!(read("1970-01-01T02:00:01+02:00"), Some(1000));
        assert_eq!(read("1970-01-01t00:00:00.5-00:30"), Some(1_800_500));
        for text in [
            "",
            "never",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-13-01T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+2",
            "1969-12-31T23:59:59Z",
            "1970-01-01T01:00:00+02:00",
            "+970-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z ",
            "1970-01-0\u{e9}T00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
