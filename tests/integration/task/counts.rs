//! What one task costs, counted: what noise cannot explain has a ceiling here, and a start that grows past it fails.
//!
//! The ceilings have some air for hosts with more hierarchies of control groups; they are lowered when a change makes
//! them so. Times are not for tests: `scripts/bench` takes them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::harness::{Instance, require, stage::definition};

/// System calls of daemon and shim for a task with one container and a network, from the request until it is swept.
const SYSTEM_CALLS: u64 = 2700;

/// Bytes that the daemon has the disk write for it: its request, what was seen of it, its directory.
const DISK_BYTES: u64 = 640 << 10;

/// Counts the system calls of a process, of its threads and of its children.
struct Counter {
    strace: Child,
}

impl Counter {
    /// Begins to count; returns when every call is seen.
    fn attach(pid: i32, report: &Path) -> Self {
        let mut strace = Command::new("strace")
            .args(["-f", "-c", "-S", "calls", "-o"])
            .arg(report)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(strace.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("attached") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "strace ended");
        }
        // Whatever else it has to say must not stop it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { strace }
    }

    /// Ends the count; the calls of all kinds.
    fn total(mut self, report: &Path) -> u64 {
        kill(Pid::from_raw(i32::try_from(self.strace.id()).unwrap()), Signal::SIGINT).unwrap();
        self.strace.wait().unwrap();
        let text = fs::read_to_string(report).unwrap();
        let total = text.lines().find(|line| line.ends_with(" total")).unwrap_or_else(|| panic!("{text}"));
        let calls = total.split_whitespace().nth(3).unwrap().parse().unwrap();
        println!("{text}");
        calls
    }
}

fn nothing_much() -> serde_json::Value {
    let container = json!({ "name": "main", "image": "busybox", "command": ["true"], "memory": 32 });
    definition("counted", &[container])
}

#[test]
fn a_task_takes_no_more_system_calls_than_it_did() {
    require!(root, netns, busybox, strace);
    let instance = Instance::with_busybox("counts");
    // The first one makes what all share.
    instance.ran(&nothing_much());
    instance.nothing_is_left();
    let report = instance.path("strace");
    let counter = Counter::attach(instance.daemon_pid().as_raw(), &report);
    let said = instance.cli(&["run", "--wait", "counted"]);
    assert_eq!(said.code, 0, "{}", said.err);
    instance.nothing_is_left();
    let calls = counter.total(&report);
    assert!(calls <= SYSTEM_CALLS, "{calls} system calls, and {SYSTEM_CALLS} are allowed");
}

#[test]
fn a_task_has_no_more_written_to_disk_than_it_did() {
    require!(root, netns, busybox);
    let instance = Instance::with_busybox("written");
    instance.ran(&nothing_much());
    let written = || {
        let text = fs::read_to_string(format!("/proc/{}/io", instance.daemon_pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
        line.parse::<u64>().unwrap()
    };
    let before = written();
    instance.ran(&nothing_much());
    let bytes = written() - before;
    println!("{bytes} bytes");
    assert!(bytes > 0, "a task that was written down nowhere");
    assert!(bytes <= DISK_BYTES, "{bytes} bytes, and {DISK_BYTES} are allowed");
}
