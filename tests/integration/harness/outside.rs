//! Another host: a network namespace behind a cable that ends in the test's own.
//!
//! It has the address 192.0.2.2, the test's side 192.0.2.1, and no route to the tasks' network, so an answer that
//! reaches a task from it has been translated on the way.

use std::process::{Child, Command, Output, Stdio};

use super::{PATIENCE, wait_for};

/// The address of the other host.
pub const THERE: &str = "192.0.2.2";
/// The address of the test's own end.
pub const HERE: &str = "192.0.2.1";

/// Another host.
pub struct Outside {
    holder: Child,
    servers: Vec<Child>,
}

impl Outside {
    /// Plugs the cable in.
    pub fn new() -> Self {
        // `cat` holds the namespace until its input ends.
        let holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let outside = Self { holder, servers: Vec::new() };
        let pid = outside.holder.id().to_string();
        let own = std::fs::read_link("/proc/thread-self/ns/net").expect("a namespace has a name");
        wait_for("the other host's namespace", PATIENCE, || {
            let other = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
            (other != own).then_some(())
        });
        ip(&["link", "add", "out0", "type", "veth", "peer", "name", "eth0", "netns", &pid]);
        ip(&["addr", "add", &format!("{HERE}/24"), "dev", "out0"]);
        ip(&["link", "set", "out0", "up"]);
        outside.succeed(&["ip", "addr", "add", &format!("{THERE}/24"), "dev", "eth0"]);
        outside.succeed(&["ip", "link", "set", "eth0", "up"]);
        outside.succeed(&["ip", "link", "set", "lo", "up"]);
        outside
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).args(words).stdin(Stdio::null());
        command
    }

    /// Runs a program on the other host.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("nsenter runs")
    }

    fn succeed(&self, words: &[&str]) {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a server on the other host; it ends with it.
    pub fn serve(&mut self, words: &[&str]) {
        self.servers.push(self.command(words).spawn().expect("nsenter runs"));
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for child in self.servers.iter_mut().chain([&mut self.holder]) {
            let _ = child.kill();
            let _ = child.wait();
        }
        // The cable goes with the namespace, some time after its last process.
        let _ = Command::new("ip").args(["link", "del", "out0"]).stderr(Stdio::null()).status();
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("ip runs");
    assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
