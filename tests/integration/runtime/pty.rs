//! `run` and `exec` driven through a terminal of the caller's: its keys are raw, and its size is the container's.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command},
};

use hythe::kernel::terminal::{Size, set_size};
use nix::sys::termios::{LocalFlags, OutputFlags, tcgetattr};
use serde_json::json;

use super::container::Container;
use crate::harness::{PATIENCE, require, wait_for};

/// A person at a terminal.
struct Person {
    master: File,
    slave: OwnedFd,
    child: Child,
    seen: String,
}

impl Person {
    /// Runs a command with the terminal as its own.
    fn types(command: &Command) -> Self {
        let pair = nix::pty::openpty(None, None).unwrap();
        set_size(pair.master.as_fd(), Size { rows: 20, columns: 60 }).unwrap();
        let stream = || std::process::Stdio::from(pair.slave.try_clone().unwrap());
        // Leads a session with the terminal, so that the kernel tells it of a new size.
        let child = Command::new("busybox")
            .args(["setsid", "-c"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        Self { master: File::from(pair.master), slave: pair.slave, child, seen: String::new() }
    }

    /// Reads until `word` has been shown.
    #[track_caller]
    fn sees(&mut self, word: &str) {
        let mut bytes = [0; 1024];
        while !self.seen.contains(word) {
            let read = self.master.read(&mut bytes).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    fn modes(&self) -> (LocalFlags, OutputFlags) {
        let modes = tcgetattr(&self.slave).unwrap();
        (modes.local_flags, modes.output_flags)
    }
}

/// Says its size whenever it changes, then shows three keys as they came.
const SCRIPT: &str = "trap 'stty size' WINCH; stty size; stty raw -echo; echo ready; \
    n=0; while [ $n -lt 2 ]; do sleep 0.1; n=$((n + $(stty size | grep -c '^44 132$'))); done; \
    echo keys; head -c 3 | od -An -tx1; exit 5";

fn drive(mut person: Person) {
    let is_plain = LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG;
    person.sees("20 60");
    person.sees("ready");
    // Every key goes through, and what comes back is shown as it is.
    let (local, output) = person.modes();
    assert!(!local.intersects(is_plain) && !output.contains(OutputFlags::OPOST), "{local:?} {output:?}");
    set_size(person.master.as_fd(), Size { rows: 44, columns: 132 }).unwrap();
    person.sees("44 132");
    person.sees("keys");
    // An interrupt, an end of file and a carriage return, none of which is acted on here.
    person.master.write_all(b"\x03\x04\r").unwrap();
    person.sees("03 04 0d");
    assert_eq!(person.child.wait().unwrap().code(), Some(5), "{}", person.seen);
    assert!(person.modes().0.contains(is_plain), "the modes are as before");
}

fn tools(container: &Container) {
    std::os::unix::fs::symlink("busybox", container.rootfs().join("bin/od")).unwrap();
}

#[test]
fn a_container_in_the_foreground_has_the_size_and_the_keys_of_the_callers_terminal() {
    require!(root, busybox);
    let mut container = Container::new();
    tools(&container);
    container.config["process"]["terminal"] = json!(true);
    container.script(SCRIPT).save();
    let bundle = container.bundle().display().to_string();
    drive(Person::types(&container.command(&["run", "--bundle", &bundle, &container.id])));
}

#[test]
fn a_later_process_has_the_size_and_the_keys_of_the_callers_terminal() {
    require!(root, busybox);
    let mut container = Container::new();
    tools(&container);
    container.script("sleep 1000");
    container.start();
    drive(Person::types(&container.command(&["exec", "--tty", &container.id, "sh", "-c", SCRIPT])));
}

#[test]
fn the_modes_come_back_when_the_process_is_killed() {
    require!(root, busybox);
    let mut container = Container::new();
    container.script("sleep 1000");
    container.start();
    let mut person =
        Person::types(&container.command(&["exec", "-t", &container.id, "sh", "-c", "echo up; sleep 1000"]));
    person.sees("up");
    assert!(!person.modes().0.contains(LocalFlags::ICANON));
    assert_eq!(container.oci(&["kill", "--all", &container.id, "KILL"]).code, 0);
    assert_eq!(person.child.wait().unwrap().code(), Some(137));
    wait_for("the modes as before", PATIENCE, || person.modes().0.contains(LocalFlags::ICANON).then_some(()));
}
