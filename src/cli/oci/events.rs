//! `events`: what a container uses, once or every so often, and when it runs out of memory.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::commands::Known;
use super::listing::print;
use super::report::Failure;
use super::{EventsArgs, Global, usage};
use crate::kernel::cgroup::Lack;
use crate::kernel::event::{Interest, Poll, TimerFd, Token};

const ENDED: Token = Token(0);
const TIME: Token = Token(1);
const LACK: Token = Token(2);

pub(super) fn events(global: &Global, args: &EventsArgs) -> Result<ExitCode, Failure> {
    let known = Known::find(global, &args.id)?;
    let running = known.open()?;
    let (group, class) = (running.group(), known.record.class.as_ref());
    let tell = || print(&line(&args.id, "stats", Some(usage::of(group, class))));
    if args.stats {
        return tell();
    }
    let interval = duration(&args.interval)?;
    let (poll, timer) = (Poll::new()?, TimerFd::new()?);
    let mut lack = group.lack_of_memory()?;
    poll.add(running.pidfd(), ENDED, Interest::READ)?;
    poll.add(&timer, TIME, Interest::READ)?;
    if let Some(lack) = &lack {
        poll.add(lack, LACK, Interest::READ)?;
    }
    let mut events = Vec::new();
    tell()?;
    timer.set_after(interval)?;
    loop {
        poll.wait(&mut events, None)?;
        if timer.clear()? {
            tell()?;
            timer.set_after(interval)?;
        }
        // Told even when the container has ended of it.
        let lacks = lack.as_mut().map_or(Ok(0), Lack::times)?;
        for _ in 0..lacks {
            print(&line(&args.id, "oom", None))?;
        }
        if events.iter().any(|event| event.token == ENDED) {
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
