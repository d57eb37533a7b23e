//! What is done with a container: start, signal, run more in it, pause, delete.
//!
//! Each phase is a type and each step to the next consumes it: what was not started cannot be given a second
//! process, and what was deleted cannot be signalled. How a container ended comes from its wait status alone.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::{Capability, Process};

use super::bundle::{BundleError, ContainerId, check_process};
use super::create::{Stdio, Timing, born_in_pid_namespace, open_dir};
use super::handshake::{self, ChildEnd, Gate, ParentEnd, Part, Report};
use super::init;
use super::steps::{Host, MAKE_NODES, Plan, PlanError, Program, Step, process_steps};
use crate::kernel::cgroup::{CgroupError, Group, NotEnforced};
use crate::kernel::namespace::{self, Namespaces};
use crate::kernel::process::{self, CloneRequest, Exit, Pid, Pidfd, Signal};
use crate::kernel::security::bounding_of;

/// What a later process of a container joins; its pid namespace it is born in.
const JOINED: Namespaces = Namespaces::MOUNT
    .with(Namespaces::IPC)
    .with(Namespaces::UTS)
    .with(Namespaces::NETWORK)
    .with(Namespaces::CGROUP);

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

/// Why a program could not be executed, in the words users know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("exec: {program:?}: {}", reason(*errno, *is_searched, *is_runtime))]
pub struct ExecFailure {
    /// The program as it was asked for.
    pub program: String,
    /// The kernel's reason.
    pub errno: Errno,
    /// Whether it was looked for in the search path.
    pub is_searched: bool,
    /// Whether it turned out to be the runtime's own executable.
    pub is_runtime: bool,
}

impl ExecFailure {
    /// The exit code a shell would give: 127 for what is not there, 126 for what cannot be executed.
    #[must_use]
    pub fn code(&self) -> i32 {
        if self.errno == Errno::ENOENT { 127 } else { 126 }
    }
}

fn reason(errno: Errno, is_searched: bool, is_runtime: bool) -> String {
    if is_runtime {
        return "the runtime's own executable is not to be run in a container".to_owned();
    }
    if errno == Errno::ENOENT && is_searched {
        return "executable file not found in $PATH".to_owned();
    }
    errno.desc().to_lowercase()
}

/// Why a process could not be run in a container.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The process is not described properly.
    #[error(transparent)]
    Process(#[from] BundleError),
    /// It cannot be turned into steps.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The container is not running.
    #[error("the container is not running")]
    NotRunning(#[source] Errno),
    /// The process could not be made.
    #[error("make a process in the container")]
    Make(#[source] Errno),
    /// A step failed.
    #[error("{step}")]
    Step {
        /// The step, as a phrase.
        step: String,
        /// Why.
        source: Errno,
    },
    /// The program could not be executed.
    #[error(transparent)]
    Exec(#[from] ExecFailure),
}

/// Why a container was not removed whole.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// Its processes or its control group remain.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Its first process could not be waited for.
    #[error("wait for the container's first process")]
    Wait(#[source] Errno),
}

/// What all phases have in common.
#[derive(Debug)]
pub(super) struct Container {
    id: ContainerId,
    pid: Pid,
    pidfd: Pidfd,
    group: Group,
    die_with_parent: bool,
    is_child: bool,
    exit: Cell<Option<Exit>>,
}

impl Container {
    pub(super) fn new(id: ContainerId, child: process::Child, group: Group, die_with_parent: bool) -> Self {
        let process::Child { pid, pidfd } = child;
        Self { id, pid, pidfd, group, die_with_parent, is_child: true, exit: Cell::new(None) }
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
    fn are_nodes_withheld(&self) -> bool {
        let is_bound = bounding_of(self.pid).is_ok_and(|bound| bound.has(MAKE_NODES));
        !is_bound && !self.group.has_device_rules()
    }

    /// Ends everything, reaps the first process if it is ours, removes the group.
    fn delete(&self) -> Result<(), DeleteError> {
        if self.exit.get().is_none() {
            // Reaped by somebody else is as good as dead.
            let _ = self.pidfd.signal(Signal::KILL);
        }
        self.group.kill()?;
        if self.is_child {
            self.wait().map_err(DeleteError::Wait)?;
        } else {
            wait_for_end(&self.pidfd).map_err(DeleteError::Wait)?;
        }
        Ok(self.group.delete()?)
    }
}

/// Waits until a process that is not our child has ended.
fn wait_for_end(pidfd: &Pidfd) -> Result<(), Errno> {
    loop {
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
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
}

impl Created {
    pub(super) fn new(container: Container, line: ParentEnd, plan: Plan, timing: Timing) -> Self {
        Self { container, line, plan, timing }
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
        let started = self.line.start().map_err(StartError::NotWaiting);
        let started = started.and_then(|()| wait_executed(&self.line, &self.plan.program));
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

/// Reads the verdict on a program that was told to start.
fn wait_executed(line: &ParentEnd, program: &Program) -> Result<(), StartError> {
    match line.receive().map_err(StartError::NotWaiting)? {
        Some(Report::NotExecuted { part, errno }) => {
            Err(failure(&program.name, program.is_searched, part, errno).into())
        }
        // The end of the line: it runs, or was killed on the way, which its wait status tells.
        Some(Report::Ready(_) | Report::Failed { .. }) | None => Ok(()),
    }
}

fn failure(program: &str, is_searched: bool, part: Part, errno: Errno) -> ExecFailure {
    ExecFailure { program: program.to_owned(), errno, is_searched, is_runtime: part == Part::Source }
}

/// Starts the program of a container that another process has created with a start socket.
pub fn start_waiting(socket: &Path, program: &str) -> Result<(), StartError> {
    let line = handshake::call(socket).map_err(StartError::NotWaiting)?;
    line.start().map_err(StartError::NotWaiting)?;
    match line.receive().map_err(StartError::NotWaiting)? {
        Some(Report::NotExecuted { part, errno }) => {
            Err(failure(program, !program.contains('/'), part, errno).into())
        }
        Some(Report::Ready(_) | Report::Failed { .. }) | None => Ok(()),
    }
}

/// A container whose program was started; it may have ended since.
#[derive(Debug)]
#[must_use = "a container lives until it is deleted"]
pub struct Running {
    container: Container,
}

/// A process run in a container after its first one: a child of the caller.
#[derive(Debug)]
pub struct Exec {
    /// As the host numbers it.
    pub pid: Pid,
    /// Readable when it has ended.
    pub pidfd: Pidfd,
    /// What this host does not hold to.
    pub not_enforced: Vec<NotEnforced>,
}

impl Running {
    /// A container that another process has started. Its exit status is not ours to learn.
    pub fn adopt(id: ContainerId, pid: Pid, group: Group) -> Result<Self, Errno> {
        let pidfd = Pidfd::open(pid)?;
        let exit = Cell::new(None);
        let container = Container { id, pid, pidfd, group, die_with_parent: false, is_child: false, exit };
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
        wait_for_end(&self.container.pidfd)
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

    /// Runs another process in the container. The caller must have one thread.
    pub fn exec(&self, process: &Process, stdio: Stdio) -> Result<Exec, ExecError> {
        check_process(process)?;
        let container = &self.container;
        let mut host = Host::look(container.group.layout(), process);
        if container.are_nodes_withheld() {
            host.withhold_nodes();
        }
        let plan = exec_plan(container, process, &host)?;
        let streams = stdio.open().map_err(ExecError::Make)?;
        let (ours, theirs) = handshake::line().map_err(ExecError::Make)?;
        let born_in = open_dir(container.group.unified_dir().as_deref()).map_err(ExecError::NotRunning)?;
        let request =
            CloneRequest { namespaces: Namespaces::NONE, cgroup: born_in.as_ref().map(AsFd::as_fd) };
        let to_parent = ChildEnd { line: theirs.as_fd(), gate: Gate::Open };
        let mut child = init::Child::new(&plan, streams.borrow(), to_parent);
        child.container = Some(&container.pidfd);
        let made = born_in_pid_namespace(
            || namespace::enter_those_of(&container.pidfd, Namespaces::PID),
            || process::clone(&request, || init::run(&child)),
        );
        // A pid namespace whose first process has ended takes no other.
        let is_gone = |errno| [Errno::ESRCH, Errno::ENOMEM].contains(&errno);
        let made =
            made.map_err(
                |errno| if is_gone(errno) { ExecError::NotRunning(errno) } else { ExecError::Make(errno) },
            )?;
        drop(theirs);
        if let Err(err) = exec_verdict(&ours, &plan) {
            let _ = made.pidfd.signal(Signal::KILL);
            let _ = made.pidfd.wait();
            return Err(err);
        }
        Ok(Exec { pid: made.pid, pidfd: made.pidfd, not_enforced: plan.not_enforced })
    }

    /// Ends the container and removes its control group.
    pub fn delete(self) -> Result<(), DeleteError> {
        self.container.delete()
    }
}

fn exec_plan(container: &Container, process: &Process, host: &Host) -> Result<Plan, ExecError> {
    let mut not_enforced = Vec::new();
    let asked = process.capabilities().as_ref().and_then(|sets| sets.permitted().as_ref());
    if !host.withheld.is_empty() && asked.is_some_and(|asked| asked.contains(&Capability::Mknod)) {
        not_enforced.push(NotEnforced {
            resource: "process.capabilities".to_owned(),
            reason: format!("{MAKE_NODES} is withheld because no device rules are enforced here"),
        });
    }
    let mut steps = vec![Step::Undumpable];
    steps.extend(container.die_with_parent.then_some(Step::DieWithParent));
    steps.extend([Step::NewSession, Step::Umask(0), Step::Stdio]);
    steps.extend(super::steps::early_steps(process, host, &mut not_enforced)?);
    steps.extend(container.group.placement().join.into_iter().map(Step::JoinCgroup));
    steps.extend([Step::SessionKeyring, Step::JoinContainer(JOINED)]);
    let joined = steps.len();
    steps.extend(process_steps(process, host, &mut not_enforced)?);
    steps.extend(container.die_with_parent.then_some(Step::DieWithParent));
    Ok(Plan {
        clone: Namespaces::NONE,
        pid_namespace: None,
        steps,
        marks: [joined, joined],
        program: Program::of(process)?,
        not_enforced,
    })
}

fn exec_verdict(line: &ParentEnd, plan: &Plan) -> Result<(), ExecError> {
    match line.receive().map_err(ExecError::Make)? {
        Some(Report::Failed { step, errno, .. }) => {
            let step = plan.steps.get(step);
            if matches!(step, Some(Step::JoinContainer(_))) && errno == Errno::ESRCH {
                return Err(ExecError::NotRunning(errno));
            }
            let step = step.map_or_else(|| "run a step".to_owned(), ToString::to_string);
            Err(ExecError::Step { step, source: errno })
        }
        Some(Report::NotExecuted { part, errno }) => {
            Err(failure(&plan.program.name, plan.program.is_searched, part, errno).into())
        }
        Some(Report::Ready(_)) | None => Ok(()),
    }
}
