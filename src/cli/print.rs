//! Words for numbers: sizes, ages, times, names without their ARN.

use std::fmt::Write as _;

use serde_json::Value;

use super::failure::Failure;

/// The strings of a JSON list.
pub(super) fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A JSON string, or `-`. What would steer a terminal is shown as its escape instead.
pub(super) fn text(value: &Value) -> String {
    let text = value.as_str().filter(|text| !text.is_empty()).unwrap_or("-");
    let shown = |letter: char| {
        let escaped = letter.is_control().then(|| letter.escape_default());
        escaped.map_or_else(|| letter.to_string(), |escape| escape.to_string())
    };
    text.chars().map(shown).collect()
}

/// One word a line.
pub(super) fn lines(words: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    words.into_iter().fold(String::new(), |mut text, word| {
        text.push_str(word.as_ref());
        text.push('\n');
        text
    })
}

/// The last part of an ARN or a path: a task's id, a service's name, `family:revision`.
pub(super) fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The first eight digits of a task's id.
pub(super) fn short_id(arn: &str) -> String {
    last_part(arn).chars().take(8).collect()
}

/// `12s`, `5m`, `3h`, `2d`: how long `seconds` are.
pub(super) fn duration(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an age fits, and is not negative"
    )]
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago an ECS time was, or `-`.
pub(super) fn ago(time: &Value, now: f64) -> String {
    time.as_f64().map_or_else(|| "-".to_owned(), |time| format!("{} ago", duration(now - time)))
}

/// An ECS time as `2030-01-02T03:04:05Z`, or `-`.
pub(super) fn time(time: &Value) -> String {
    time.as_f64().map_or_else(|| "-".to_owned(), utc)
}

/// Seconds since 1970 as `2030-01-02T03:04:05Z`.
#[expect(clippy::cast_possible_truncation, reason = "times of this era fit")]
pub(super) fn utc(seconds: f64) -> String {
    let seconds = seconds.floor() as i64;
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, date) = date_of(day);
    format!("{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and date of a day since 1970-01-01, in the Gregorian calendar.
fn date_of(day: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, so that the leap day is the last of its year; 146097 days are 400 years.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, date)
}

/// The day since 1970-01-01 of a date in the Gregorian calendar.
fn day_of(year: i64, month: i64, date: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted_month + 2) / 5 + date - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

/// The moment that `90s`, `15m`, `2h`, `1d` ago or `2030-01-02T03:04:05Z` is, in milliseconds since 1970.
pub(super) fn moment(text: &str, now: f64) -> Result<u64, Failure> {
    let seconds = length(text).map(|length| now - length).or_else(|| instant(text));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
    seconds.map(|seconds| (seconds * 1000.0).max(0.0) as u64).ok_or_else(|| {
        Failure::usage(format!("'{text}' is not a time: 90s, 15m, 2h, 1d or 2030-01-02T03:04:05Z"))
    })
}

fn length(text: &str) -> Option<f64> {
    let unit = match text.chars().last()? {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        'd' => 86_400.0,
        _ => return None,
    };
    text[..text.len() - 1]
        .parse::<f64>()
        .ok()
        .filter(|count| count.is_finite() && *count >= 0.0)
        .map(|n| n * unit)
}

#[expect(clippy::cast_precision_loss, reason = "seconds of this era fit a double")]
fn instant(text: &str) -> Option<f64> {
    let (date, clock) =
        text.strip_suffix('Z').unwrap_or(text).split_once(['T', ' ']).unwrap_or((text, "0:0:0"));
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.splitn(3, ':').map(|part| part.parse::<f64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next().unwrap_or(Some(0.0))?);
    let sound = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24.0 && minute < 60.0;
    sound.then(|| day_of(year, month, day) as f64 * 86_400.0 + hour * 3600.0 + minute * 60.0 + second)
}

/// `12.3 MB`.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(super) fn bytes(count: u64) -> String {
    let mut size = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 1000.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1000.0;
    }
    format!("{size:.1} TB")
}

/// `1.234 ms`, as a start's steps are measured.
#[expect(clippy::cast_precision_loss, reason = "three decimals are shown")]
pub(super) fn millis(micros: u64) -> String {
    format!("{:.3} ms", micros as f64 / 1000.0)
}

/// The published ports of some containers: `0.0.0.0:32768->80/tcp`.
pub(super) fn ports(containers: &Value) -> String {
    let mut all = String::new();
    for binding in containers.as_array().into_iter().flatten().flat_map(bindings) {
        if !all.is_empty() {
            all.push_str(", ");
        }
        let _ = write!(all, "{binding}");
    }
    if all.is_empty() { "-".to_owned() } else { all }
}

fn bindings(container: &Value) -> Vec<String> {
    let list = container["networkBindings"].as_array();
    list.into_iter()
        .flatten()
        .map(|binding| {
            let part = |single: &str, range: &str| match (&binding[single], &binding[range]) {
                (Value::Number(port), _) => port.to_string(),
                (_, Value::String(range)) => range.clone(),
                _ => "?".to_owned(),
            };
            format!(
                "{}:{}->{}/{}",
                text(&binding["bindIP"]),
                part("hostPort", "hostPortRange"),
                part("containerPort", "containerPortRange"),
                text(&binding["protocol"])
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn known_times_read_as_they_should() {
        assert_eq!(utc(0.0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_827_696.5), "2000-02-29T12:34:56Z");
        assert_eq!(utc(4_102_444_799.0), "2099-12-31T23:59:59Z");
    }

    #[test]
    fn a_since_is_a_length_or_a_time() {
        assert_eq!(moment("90s", 100.0).unwrap(), 10_000);
        assert_eq!(moment("2h", 10_000.0).unwrap(), 2_800_000);
        assert_eq!(moment("1970-01-02T00:00:01Z", 0.0).unwrap(), 86_401_000);
        assert_eq!(moment("1970-01-02", 0.0).unwrap(), 86_400_000);
        assert!(moment("yesterday", 0.0).is_err());
        assert!(moment("1970-13-02", 0.0).is_err());
        assert!(moment("s", 0.0).is_err());
    }

    #[test]
    fn sizes_and_ages_take_the_unit_that_fits() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(4_260_000), "4.3 MB");
        assert_eq!(duration(59.9), "59s");
        assert_eq!(duration(7_300.0), "2h");
    }

    #[test]
    fn ports_are_read_from_every_container() {
        let containers = json!([
            { "networkBindings": [
                { "bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp" },
                { "bindIP": "0.0.0.0", "containerPortRange": "1-3", "hostPortRange": "4-6", "protocol": "udp" }
            ] },
            { "name": "sidecar" }
        ]);
        assert_eq!(ports(&containers), "0.0.0.0:32768->80/tcp, 0.0.0.0:4-6->1-3/udp");
    }

    proptest! {
        #[test]
        fn a_time_that_is_written_reads_the_same(seconds in 0_u32..) {
            let written = utc(f64::from(seconds));
            prop_assert_eq!(moment(&written, 0.0).unwrap(), u64::from(seconds) * 1000);
        }
    }
}
