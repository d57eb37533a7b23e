//! What is done with a container: start, signal, run more in it, pause, delete.
//!
//! Each phase is a type and each step to the next consumes it: what was not started cannot be given a second
//! process, and what was deleted cannot be signalled. How a container ended comes from its wait status alone.

use std::cell::Cell;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::bundle::ContainerId;
use super::create::Timing;
use super::failure::ExecFailure;
use super::handshake::{self, ParentEnd, Report};
use super::steps::{MAKE_NODES, Plan};
use crate::kernel::cgroup::{CgroupError, Group, HELD_AFTER, NotEnforced};
use crate::kernel::process::{self, Exit, Pid, Pidfd, Signal};
use crate::kernel::resctrl::{Class, ResctrlError};
use crate::kernel::security::bounding_of;

/// Why the program of a container did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program could not be executed.
    #[error(transparent)]
    Exec(#[from] ExecFailure),
    /// Nobody waits to be started.
    #[error("the container is not waiting to be started")]
    NotWaiting(#[source] Errno),
}

/// Why a container was not removed whole.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// Its processes or its control group remain.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Its class of service remains.
    #[error(transparent)]
    Class(#[from] ResctrlError),
    /// Its first process could not be waited for.
    #[error("wait for the container's first process")]
    Wait(#[source] Errno),
}

/// What all phases have in common.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: ContainerId,
    pub(super) pid: Pid,
    pub(super) pidfd: Pidfd,
    pub(super) group: Group,
    pub(super) die_with_parent: bool,
    /// Its class of service, if it asked for one.
    pub(super) class: Option<Class>,
    is_child: bool,
    exit: Cell<Option<Exit>>,
}

impl Container {
    pub(super) fn new(id: ContainerId, child: process::Child, group: Group, die_with_parent: bool) -> Self {
        let process::Child { pid, pidfd } = child;
        Self { id, pid, pidfd, group, die_with_parent, class: None, is_child: true, exit: Cell::new(None) }
    }

    fn try_wait(&self) -> Result<Option<Exit>, Errno> {
        if self.exit.get().is_none() {
            self.exit.set(self.pidfd.try_wait()?);
        }
        Ok(self.exit.get())
    }

    fn wait(&self) -> Result<Exit, Errno> {
        if let Some(exit) = self.exit.get() {
            return Ok(exit);
        }
        let exit = self.pidfd.wait()?;
        self.exit.set(Some(exit));
        Ok(exit)
    }

    /// Whether it was made without the right to make device nodes because no rules say which of them open.
    pub(super) fn are_nodes_withheld(&self) -> bool {
        let is_bound = bounding_of(self.pid).is_ok_and(|bound| bound.has(MAKE_NODES));
        !is_bound && !self.group.has_device_rules()
    }

    /// The version 2 group that the first process is in.
    pub(super) fn unified_place(&self) -> Option<PathBuf> {
        let mount = &self.group.layout().unified()?.mount;
        let text = fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).ok()?;
        let own = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
        Some(mount.join(own))
    }

    /// Ends everything, reaps the first process if it is ours, removes the group.
    fn delete(&self) -> Result<(), DeleteError> {
        if self.exit.get().is_none() {
            // Reaped by somebody else is as good as dead.
            let _ = self.pidfd.signal(Signal::KILL);
        }
        self.group.kill()?;
        if !self.pidfd.ends_within(Some(HELD_AFTER)).map_err(DeleteError::Wait)? {
            self.group.kill_namespace_of(self.pid);
        }
        if self.is_child {
            self.wait().map_err(DeleteError::Wait)?;
        } else {
            self.pidfd.ends_within(None).map_err(DeleteError::Wait)?;
        }
        self.group.delete()?;
        Ok(self.class.as_ref().map_or(Ok(()), Class::remove)?)
    }
}

/// A container in which everything is ready, waiting to execute its program.
#[derive(Debug)]
#[must_use = "a created container lives until it is deleted"]
pub struct Created {
    container: Container,
    line: ParentEnd,
    plan: Plan,
    timing: Timing,
    terminal: Option<OwnedFd>,
}

impl Created {
    pub(super) fn new(
        container: Container,
        line: ParentEnd,
        plan: Plan,
        timing: Timing,
        terminal: Option<OwnedFd>,
    ) -> Self {
        Self { container, line, plan, timing, terminal }
    }

    /// The master of the container's terminal, once, if it has one that nobody else was to get.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// The first process, as the host numbers it.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.container.pid
    }

    /// Readable when the first process has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.container.pidfd.as_fd()
    }

    /// Its control group.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.container.group
    }

    /// Its class of service, if it asked for one.
    #[must_use]
    pub fn class(&self) -> Option<&Class> {
        self.container.class.as_ref()
    }

    /// What this host does not hold to.
    #[must_use]
    pub fn not_enforced(&self) -> &[NotEnforced] {
        &self.plan.not_enforced
    }

    /// Where the time went.
    #[must_use]
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Executes the program. If that fails, nothing is left of the container.
    pub fn start(self) -> Result<Running, StartError> {
        let started = self.line.go_on().map_err(StartError::NotWaiting);
        let started = started.and_then(|()| wait_executed(&self.line, &self.plan.program.name));
        match started {
            Ok(()) => Ok(Running { container: self.container }),
            Err(err) => {
                // What went wrong first is what the caller needs to know.
                let _ = self.container.delete();
                Err(err)
            }
        }
    }

    /// Gives up the container: kills it and removes its control group.
    pub fn delete(self) -> Result<(), DeleteError> {
        self.container.delete()
    }
}

/// Starts the program of a container that another process has created with a start socket.
pub fn start_waiting(socket: &Path, program: &str) -> Result<(), StartError> {
    let line = handshake::call(socket).map_err(StartError::NotWaiting)?;
    line.go_on().map_err(StartError::NotWaiting)?;
    wait_executed(&line, program)
}

/// Reads the verdict on a program that was told to start.
fn wait_executed(line: &ParentEnd, program: &str) -> Result<(), StartError> {
    match line.receive().map_err(StartError::NotWaiting)? {
        Some((Report::NotExecuted { part, code, hook }, _)) => {
            Err(ExecFailure::new(program, (part, code), hook).into())
        }
        // The end of the line: it runs, or was killed on the way, which its wait status tells.
        Some(_) | None => Ok(()),
    }
}

/// A container whose program was started; it may have ended since.
#[derive(Debug)]
#[must_use = "a container lives until it is deleted"]
pub struct Running {
    pub(super) container: Container,
}

impl Running {
    /// A container that another process has started. Its exit status is not ours to learn.
    pub fn adopt(id: ContainerId, pid: Pid, group: Group, class: Option<Class>) -> Result<Self, Errno> {
        let pidfd = Pidfd::open(pid)?;
        let exit = Cell::new(None);
        let container =
            Container { id, pid, pidfd, group, die_with_parent: false, class, is_child: false, exit };
        Ok(Self { container })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.container.id
    }

    /// The first process, as the host numbers it.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.container.pid
    }

    /// Readable when the first process has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.container.pidfd.as_fd()
    }

    /// Its control group.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.container.group
    }

    /// How the first process ended, if it has. Reaps it; asking again gives the same answer.
    pub fn try_wait(&self) -> Result<Option<Exit>, Errno> {
        self.container.try_wait()
    }

    /// Waits for the first process to end.
    pub fn wait(&self) -> Result<Exit, Errno> {
        self.container.wait()
    }

    /// Waits for the first process to end, whoever's child it is, and leaves it to be reaped.
    pub fn wait_end(&self) -> Result<(), Errno> {
        self.container.pidfd.ends_within(None).map(drop)
    }

    /// Sends a signal to the first process.
    pub fn kill(&self, signal: Signal) -> Result<(), Errno> {
        if self.container.exit.get().is_some() {
            return Err(Errno::ESRCH);
        }
        self.container.pidfd.signal(signal)
    }

    /// Ends every process of the container, and waits until they have.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        self.container.group.kill()
    }

    /// Stops every process of the container until [`Running::resume`].
    pub fn pause(&self) -> Result<(), CgroupError> {
        self.container.group.freeze()
    }

    /// Lets a paused container go on.
    pub fn resume(&self) -> Result<(), CgroupError> {
        self.container.group.thaw()
    }

    /// Ends the container and removes its control group.
    pub fn delete(self) -> Result<(), DeleteError> {
        self.container.delete()
    }
}
