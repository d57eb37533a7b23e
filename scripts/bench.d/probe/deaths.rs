//! From the kill of a container to the first instruction of the one that replaces it.
//!
//! The containers are started by the bench and say `stamp SOCKET stay`. Each is killed once: whoever waits longer
//! after each failure is asked for its first wait.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::json;

use crate::stamp::Ear;
use crate::{Failure, numbers};

#[derive(Deserialize)]
struct Request {
    ear: PathBuf,
    /// How many containers there are and are killed.
    count: usize,
    /// The command that starts them all.
    start: Vec<String>,
    /// How long they live before the first is killed, in milliseconds.
    settle: u64,
    /// Between two kills, in milliseconds.
    pause: u64,
}

/// Kills each container once and waits for its replacement.
pub(crate) fn run() -> Result<(), Failure> {
    let request: Request = numbers::request()?;
    let ear = Ear::at(&request.ear)?;
    let program = request.start.first().ok_or("nothing starts the containers")?;
    let started = Command::new(program)
        .args(&request.start[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    if !started.success() {
        return Err(format!("{program}: {started}").into());
    }
    let mut alive = Vec::new();
    for _ in 0..request.count {
        alive.push(ear.next()?.pid);
    }
    thread::sleep(Duration::from_millis(request.settle));
    let mut times = Vec::new();
    for pid in alive {
        let from = numbers::now()?;
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        times.push(numbers::millis(ear.next()?.at.saturating_sub(from)));
        thread::sleep(Duration::from_millis(request.pause));
    }
    numbers::answer(&json!({ "times": times }))
}
