//! A health probe: a command in a running container, what it says and what it comes to.

use std::{
    error::Error,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::sys::signal::{Signal as RawSignal, killpg};

use super::{REASON, exit, output, read_output};
use crate::{
    kernel::process::Signal,
    model::{task::Exit, task_definition::HealthCheck},
    runtime::{self, ExecOptions, Running, Stdio, Stream},
    shim::{bundle::probe, spec::ContainerSpec},
};

/// Bytes of a health probe's output that are thrown away at a time, once it has said enough.
const THROWN: usize = 4 << 10;

/// A health probe that runs.
#[derive(Debug)]
pub(super) struct Probe {
    exec: runtime::Exec,
    /// Where its output comes from; none once that has ended.
    output: Option<OwnedFd>,
    /// The begin of what it says.
    said: Vec<u8>,
    /// Whether it was ended because it took too long.
    is_late: bool,
}

/// What a health probe came to.
#[derive(Debug)]
pub(in crate::shim) struct Probed {
    /// Whether the container is well.
    pub(in crate::shim) passed: bool,
    /// The exit code; -1 for one that took too long.
    pub(in crate::shim) code: i32,
    /// What it said, shortened.
    pub(in crate::shim) output: String,
}

impl Probe {
    /// Runs the command of `check` in a container.
    pub(super) fn begin(
        running: &Running,
        spec: &ContainerSpec,
        check: &HealthCheck,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let command = probe(spec, check)?;
        let options = ExecOptions { spec: Some(&command.spec), ..ExecOptions::default() };
        let (read, write) = output()?;
        let streams =
            Stdio { stdin: Stream::Null, stdout: Stream::Fd(write.try_clone()?), stderr: Stream::Fd(write) };
        let exec = running.exec(&command.process, streams, &options)?;
        Ok(Self { exec, output: Some(read), said: Vec::new(), is_late: false })
    }

    /// What tells of its end, and what it says.
    pub(super) fn descriptors(&self) -> (BorrowedFd<'_>, Option<BorrowedFd<'_>>) {
        (self.exec.pidfd.as_fd(), self.output.as_ref().map(AsFd::as_fd))
    }

    /// Kills it because it took too long.
    pub(super) fn abort(&mut self) {
        self.is_late = true;
        self.kill();
    }

    /// How it ended; none while it runs.
    pub(super) fn status(&self) -> io::Result<Option<Exit>> {
        Ok(self.exec.pidfd.try_wait()?.map(exit))
    }

    /// What it came to, having ended so; none when that cannot be known.
    pub(super) fn come_to(mut self, status: Option<Exit>, check: Option<&HealthCheck>) -> Probed {
        self.hear();
        let said = String::from_utf8_lossy(&self.said);
        let seconds = check.and_then(|check| check.timeout).unwrap_or(5);
        let output = if self.is_late {
            format!("Health check exceeded timeout ({seconds}s): {said}")
        } else {
            said.into_owned()
        };
        Probed {
            passed: status == Some(Exit::Code(0)),
            code: status.filter(|_| !self.is_late).map_or(-1, Exit::code),
            output: output.chars().take(REASON).collect(),
        }
    }

    /// Kills it and what it started.
    pub(super) fn kill(&self) {
        // It is our child and not reaped yet, so its number is still its own.
        let _ = killpg(self.exec.pid, RawSignal::SIGKILL);
        let _ = self.exec.pidfd.signal(Signal::KILL);
    }

    /// Reads what is there and keeps the begin. A pipe holds 64 KiB, so there is an end to one that floods.
    pub(super) fn hear(&mut self) {
        let mut bytes = [0; THROWN];
        for _ in 0..(64 << 10) / THROWN {
            let Some(output) = &self.output else { return };
            match read_output(output, &mut bytes) {
                Ok(count) if count > 0 => {
                    let room = REASON.saturating_sub(self.said.len()).min(count);
                    self.said.extend_from_slice(&bytes[..room]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Closing it also ends that the loop waits for it.
                Ok(_) | Err(_) => self.output = None,
            }
        }
    }
}
