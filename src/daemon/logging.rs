//! Where the daemon's own words go: standard error, as much as `HYTHE_LOG` asks for.
//!
//! `HYTHE_LOG` is a filter such as `debug` or `info,hythe::daemon=trace`; `HYTHE_LOG_FORMAT=json` writes one JSON
//! object a line. The journal puts its own times to lines, so none are written for it.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    filter::Targets, fmt, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _,
};

/// Starts logging. A filter that cannot be read is said, and `info` taken instead.
pub fn start() {
    let wish = std::env::var("HYTHE_LOG").unwrap_or_default();
    let wish = if wish.is_empty() { "info" } else { &wish };
    let (filter, trouble) = match wish.parse() {
        Ok(filter) => (filter, None),
        Err(error) => (Targets::new().with_default(LevelFilter::INFO), Some(error)),
    };
    let is_json = std::env::var("HYTHE_LOG_FORMAT").is_ok_and(|format| format == "json");
    let to_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let all = registry().with(filter);
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // A second start in one process finds a logger in place, which is as good.
    let _ = match (is_json, to_journal) {
        (true, _) => all.with(lines.json()).try_init(),
        (false, true) => all.with(lines.without_time()).try_init(),
        (false, false) => all.with(lines).try_init(),
    };
    if let Some(error) = trouble {
        tracing::warn!(%error, filter = wish, "HYTHE_LOG not understood");
    }
}
