//! `ps`: the processes of a container, in the columns that engines and scripts look for.

use std::fs;
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::commands::Known;
use super::listing::{print, table};
use super::report::Failure;
use super::{ListFormat, PsArgs};
use crate::kernel::cgroup::Layout;
use crate::model::time::date_and_time;

/// The unit of the times in `/proc/PID/stat`: a hundredth of a second on every Linux.
const TICKS: u64 = 100;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

pub(super) fn ps(known: &Known, args: &PsArgs) -> Result<ExitCode, Failure> {
    let pids: Vec<_> =
        known.group(&Layout::detect()?)?.procs()?.into_iter().map(nix::unistd::Pid::as_raw).collect();
    match args.format {
        ListFormat::Json => print(&json!(pids).to_string()),
        ListFormat::Table if args.options.is_empty() => {
            let heading = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
            let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
            let mut rows = vec![heading.map(ToOwned::to_owned)];
            // One that ends meanwhile has no line.
            rows.extend(pids.iter().filter_map(|pid| row(*pid, &users)));
            print(&table(&rows))
        }
        ListFormat::Table => {
            let ps = Command::new("ps").args(&args.options).output();
            let ps = ps.map_err(|err| Failure::new(format!("run ps: {err}")))?;
            if !ps.status.success() {
                let said = String::from_utf8_lossy(&ps.stderr);
                return Err(Failure::new(format!("ps {}: {}", args.options.join(" "), said.trim())));
            }
            print(&rows_of(&String::from_utf8_lossy(&ps.stdout), &pids)?)
        }
    }
}

/// The lines of a table of all processes that are about these; the heading says where the number is.
fn rows_of(table: &str, pids: &[i32]) -> Result<String, Failure> {
    let mut lines = table.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading.split_whitespace().position(|word| word == "PID");
    let column = column.ok_or_else(|| Failure::new("the options of ps leave out the column PID"))?;
    let number = |line: &str| line.split_whitespace().nth(column)?.parse::<i32>().ok();
    let ours = lines.filter(|line| number(line).is_some_and(|pid| pids.contains(&pid)));
    Ok([heading].into_iter().chain(ours).collect::<Vec<_>>().join("\n"))
}

/// What proc(5) says of a process, as `ps -ef` shows it; times of day in UTC.
fn row(pid: i32, users: &str) -> Option<[String; 8]> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    // The third field is the first after the name.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let (used, began) = ((field(14)? + field(15)?) / TICKS, field(22)? / TICKS);
    let up = fs::read_to_string("/proc/uptime").ok()?;
    let up: u64 = up.split('.').next()?.parse().ok()?;
    let age = up.saturating_sub(began);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?;
    let name = users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1) == Some(uid)).then_some(name)
    });
    Some([
        name.unwrap_or(uid).to_owned(),
        pid.to_string(),
        field(4)?.to_string(),
        (used * 100).checked_div(age).unwrap_or(0).to_string(),
        clock(now.saturating_sub(age), now),
        terminal(field(7)?),
        format!("{:02}:{:02}:{:02}", used / 3600, used / 60 % 60, used % 60),
        command(pid),
    ])
}

/// A time of today by the clock, another by its day.
fn clock(then: u64, now: u64) -> String {
    let text = date_and_time(then);
    if then / 86_400 == now / 86_400 {
        return text[11..16].to_owned();
    }
    let month = text[5..7].parse::<usize>().ok().and_then(|month| MONTHS.get(month - 1));
    format!("{}{}", month.unwrap_or(&"???"), &text[8..10])
}

/// The name of a terminal by its device number (proc(5)).
fn terminal(number: u64) -> String {
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00));
    match major {
        0 => "?".to_owned(),
        4 => format!("tty{minor}"),
        136..144 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => format!("{major}:{minor}"),
    }
}

/// A process's command line, or its name where it has none.
fn command(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> =
        line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy).collect();
    if words.is_empty() {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        return format!("[{}]", name.trim());
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_terminals_read_as_those_of_ps() {
        assert_eq!(clock(1_735_689_599, 1_735_689_599), "23:59");
        assert_eq!(clock(951_782_400, 1_735_689_599), "Feb29");
        assert_eq!([0, 0x8803, 0x401].map(terminal), ["?", "pts/3", "tty1"]);
    }
}
