//! `events`: what a container uses, once or every so often, and when it runs out of memory.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::commands::Known;
use super::listing::print;
use super::report::Failure;
use super::{EventsArgs, Global};
use crate::kernel::cgroup::Group;
use crate::kernel::event::{Interest, Poll, Token};

/// How often the count of killed processes is looked at.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn events(global: &Global, args: &EventsArgs) -> Result<ExitCode, Failure> {
    let known = Known::find(global, &args.id)?;
    let running = known.open()?;
    let group = running.group();
    if args.stats {
        return print(&line(&args.id, "stats", Some(stats(group))));
    }
    let interval = duration(&args.interval)?;
    let poll = Poll::new()?;
    poll.add(running.pidfd(), Token(0), Interest::READ)?;
    let mut events = Vec::new();
    let (mut killed, mut next) = (group.oom_kills(), Instant::now());
    loop {
        if Instant::now() >= next {
            print(&line(&args.id, "stats", Some(stats(group))))?;
            next += interval;
        }
        let now_killed = group.oom_kills();
        if now_killed > killed {
            killed = now_killed;
            print(&line(&args.id, "oom", None))?;
        }
        let pause = next.saturating_duration_since(Instant::now()).min(LOOK);
        poll.wait(&mut events, Some(pause))?;
        if !events.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn line(id: &str, kind: &str, data: Option<Value>) -> String {
    let mut line = json!({"type": kind, "id": id});
    if let Some(data) = data {
        line["data"] = data;
    }
    line.to_string()
}

/// The counters under the names that container managers read.
fn stats(group: &Group) -> Value {
    let stats = group.stats();
    let nanos = |micros: Option<u64>| micros.unwrap_or(0) * 1000;
    let limit = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    json!({
        "cpu": {
            "usage": {
                "total": nanos(stats.cpu_usage_usec),
                "kernel": nanos(stats.cpu_system_usec),
                "user": nanos(stats.cpu_user_usec),
            },
            "throttling": {"throttledTime": nanos(stats.cpu_throttled_usec)},
        },
        "memory": {
            "usage": {
                "limit": limit(stats.memory_limit),
                "usage": stats.memory_usage.unwrap_or(0),
                "max": stats.memory_peak.unwrap_or(0),
                "failcnt": 0,
            },
            "cache": stats.memory_inactive_file.unwrap_or(0),
            "raw": {"inactive_file": stats.memory_inactive_file.unwrap_or(0)},
        },
        "pids": {"current": stats.pids.unwrap_or(0)},
        "blkio": {},
        "hugetlb": {},
        "network_interfaces": null,
    })
}

/// A number with a unit, such as `500ms`, `5s` or `2m`.
fn duration(text: &str) -> Result<Duration, Failure> {
    let bad = || Failure::new(format!("--interval: {text:?} is not a duration such as 5s"));
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (digits, unit) = text.split_at(split);
    let number: u64 = digits.parse().map_err(|_| bad())?;
    let length = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        "h" => Duration::from_secs(number.saturating_mul(3600)),
        _ => return Err(bad()),
    };
    if length.is_zero() { Err(bad()) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_a_unit() {
        let read = |text: &str| duration(text).ok();
        assert_eq!(
            ["250ms", "5s", "2m"].map(read),
            [Some(Duration::from_millis(250)), Some(Duration::from_secs(5)), Some(Duration::from_secs(120))]
        );
        assert_eq!(["5", "s", "0s", "1y", ""].map(read), [None; 5]);
    }
}
