//! What goes wrong: one line on standard error, and one in the log file for container managers.

use std::error::Error;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::LogFormat;

/// The exit code of a failure that has no better one.
const FAILED: u8 = 1;

/// A failure, already one line, and the exit code it deserves.
#[derive(Debug)]
pub(super) struct Failure {
    text: String,
    pub code: u8,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: FAILED }
    }

    pub(super) fn with_code(mut self, code: i32) -> Self {
        self.code = u8::try_from(code).unwrap_or(FAILED);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(err: E) -> Self {
        let mut text = err.to_string();
        let mut next = err.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        Self::new(text)
    }
}

/// Where errors and warnings go besides standard error.
pub(super) struct Log<'a> {
    file: Option<&'a Path>,
    format: LogFormat,
    debug: bool,
}

impl<'a> Log<'a> {
    pub(super) fn new(file: Option<&'a Path>, format: LogFormat, debug: bool) -> Self {
        Self { file, format, debug }
    }

    pub(super) fn error(&self, text: &str) {
        eprintln!("hythe oci: {text}");
        self.write("error", text);
    }

    /// Standard error may be the container's own, so a warning goes there only where there is no log.
    pub(super) fn warn(&self, text: &str) {
        if self.file.is_none() {
            eprintln!("hythe oci: warning: {text}");
        }
        self.write("warning", text);
    }

    /// Warns of each.
    pub(super) fn warn_all(&self, all: &[impl fmt::Display]) {
        all.iter().for_each(|one| self.warn(&one.to_string()));
    }

    /// Something for who looks for a fault.
    pub(super) fn debug(&self, text: &str) {
        if !self.debug {
            return;
        }
        match self.file {
            Some(_) => self.write("debug", text),
            None => eprintln!("{}", self.line("debug", text)),
        }
    }

    /// A log that cannot be written must not hide what it was about.
    fn write(&self, level: &str, text: &str) {
        let Some(path) = self.file else { return };
        let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path) else { return };
        let _ = writeln!(file, "{}", self.line(level, text));
    }

    fn line(&self, level: &str, text: &str) -> String {
        let time = now();
        match self.format {
            LogFormat::Json => serde_json::json!({"level": level, "msg": text, "time": time}).to_string(),
            LogFormat::Text => format!("time={time:?} level={level} msg={text:?}"),
        }
    }
}

/// The time of day as RFC 3339 text, in UTC.
pub(super) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs(), since.subsec_nanos())
}

pub(super) fn rfc3339(seconds: u64, nanos: u32) -> String {
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
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(rfc3339(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(951_782_400, 5), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(rfc3339(1_735_689_599, 0), "2024-12-31T23:59:59.000000000Z");
    }
}
