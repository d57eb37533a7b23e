//! What goes wrong: one line on standard error, and one in the log file for container managers.

use std::error::Error;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::LogFormat;
use crate::model::time::date_and_time;

/// The exit code of a failure that has no better one.
pub(super) const FAILED: u8 = 1;

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
        for one in all {
            self.warn(&one.to_string());
        }
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
    format!("{}.{:09}Z", date_and_time(since.as_secs()), since.subsec_nanos())
}
