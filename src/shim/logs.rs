//! The output of containers: into files, or to whoever the definition names.
//!
//! ```text
//!   pipe ──▶ output ──▶ (events) ──▶ writer ──▶ files ──▶ reader ──▶ daemon
//!              │   └──▶ queue ──▶ link ──▶ journald, syslog
//!              └──▶ last: the last lines, for when it has ended
//! ```
//!
//! A file is text, one record a line, in the form that Kubernetes' container runtimes write too, or in Docker's
//! ([`json`]) where the definition says `json-file`:
//!
//! ```text
//!   2026-11-21T07:00:00.123456789Z stdout F a whole line
//!   2026-11-21T07:00:00.123460000Z stderr P the begin of a line that
//!   2026-11-21T07:00:00.223461000Z stderr F  ends here
//!   2026-11-21T07:00:01.000000000Z note F 4096 bytes were dropped: no space left on device
//! ```
//!
//! `F` means that the output had an end of line there, `P` that it had not, so the records give back every byte; `L`
//! that it had one, and that the next line is of the same event ([`events`]). The stream `note` is the shim's own. When a file would grow past its size, it becomes `.1`, the older ones move up,
//! and the oldest goes: what a container's output can take from the disk has a ceiling.
//!
//! [`writer`] is the shim's side, [`reader`] the daemon's.

use std::fmt;

use crate::model::time::Timestamp;

mod events;
mod journald;
mod json;
mod last;
mod lines;
mod link;
mod names;
pub(super) mod output;
mod pack;
mod queue;
pub mod reader;
mod record;
mod syslog;
mod time;
mod tls;
pub mod writer;

pub use reader::{Reader, Selection};
pub(crate) use tls::check as check_tls;

/// Which output a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The shim's own word about the output.
    Note,
}

/// One line of output, or the part of it that was written at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was read from the container: nanoseconds since 1970-01-01T00:00:00Z.
    pub nanos: u64,
    /// Which output.
    pub stream: Stream,
    /// The bytes, without the end of line; with it where the next line is of the same event.
    pub bytes: Vec<u8>,
    /// Whether there was an end of line behind them, and the end of the entry.
    pub whole: bool,
}

impl Record {
    /// When it was read, as the rest of hythe counts.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        Timestamp(self.nanos / 1_000_000)
    }
}

impl Stream {
    /// `stdout`, `stderr` or `note`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
