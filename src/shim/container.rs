//! One run of one container: from its bundle to its end.
//!
//! A [`Container`] holds the process by its handle and the ends of its pipes. When the process has ended,
//! [`Container::end`] kills what may be left in the control group, reads the kernel's own counters to learn whether
//! memory was the reason, and removes the group; nothing of the run is left then.

use std::{
    error::Error,
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use super::{
    bundle::prepare,
    shared::Shared,
    siblings::Still,
    spec::{ContainerSpec, TaskSpec},
};
use crate::{
    kernel::{
        cgroup::{Group, Layout, NotEnforced},
        process::{Exit as Status, Pid, Signal},
    },
    model::{report::chain, task::Exit, task_definition::HealthCheck},
    runtime::{self, ContainerId, CreateError, FirstProcess, Options, Running, Timing},
};

mod probe;
mod streams;

use probe::Probe;
pub(super) use probe::Probed;
use streams::Streams;
pub(super) use streams::{never_wait, output, read_output};

/// The longest reason that ECS knows, and the most that it tells of what a health probe says.
const REASON: usize = 1024;

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// Before there was a process of it.
    #[error("CannotCreateContainerError: {}", chain(.0.as_ref()))]
    Create(Box<dyn Error + Send + Sync>),
    /// Its process could not become what the bundle says.
    #[error("CannotStartContainerError: {}", chain(.0.as_ref()))]
    Start(Box<dyn Error + Send + Sync>),
}

/// A container whose process runs.
#[derive(Debug)]
pub(super) struct Container {
    running: Running,
    /// Where its output comes from.
    pub(super) stdout: Option<OwnedFd>,
    /// Where its errors come from.
    pub(super) stderr: Option<OwnedFd>,
    /// Keeps its standard input open.
    _stdin: Option<OwnedFd>,
    /// The health probe that runs.
    probe: Option<Probe>,
    /// What the kernel had killed in the group for lack of memory before the run.
    oom_kills: u64,
}

/// What a start had to say beside the container itself.
pub(super) struct Started {
    /// The container.
    pub(super) container: Container,
    /// What this host does not hold.
    pub(super) not_enforced: Vec<NotEnforced>,
    /// Where the time went until the program was executed.
    pub(super) timing: Timing,
}

impl StartError {
    fn create(source: impl Error + Send + Sync + 'static) -> Self {
        Self::Create(Box::new(source))
    }

    /// The error as ECS shows it on a container.
    pub(super) fn reason(&self) -> String {
        self.to_string().chars().take(REASON).collect()
    }
}

/// Starts the container `at` of `task`, beside those of them that run.
pub(super) fn start(
    task: &TaskSpec,
    at: usize,
    running: &[Option<Container>],
    shared: &Shared,
    layout: &Layout,
) -> Result<Started, StartError> {
    let container = &task.containers[at];
    let bundle = prepare(task, container, shared).map_err(StartError::create)?;
    let id = ContainerId::parse(&format!("{}-{}", task.task, container.name)).map_err(StartError::create)?;
    let user = bundle.process().map_err(StartError::create)?.user().uid();
    let owner = task.users.unwrap_or(0).saturating_add(user);
    let mut streams = Streams::of(container, owner).map_err(StartError::create)?;
    let first_process = if container.init { FirstProcess::Attendant } else { FirstProcess::Program };
    let options = Options { die_with_parent: true, first_process, ..Options::new(layout.clone()) };
    // Until the program runs.
    let _still = Still::around(at, task, running).map_err(StartError::create)?;
    let mut created = match runtime::create(&id, &bundle, streams.stdio, &options) {
        // The container could be made; what it is to run could not.
        Err(CreateError::Exec(failure)) => return Err(StartError::Start(Box::new(failure))),
        other => other.map_err(StartError::create)?,
    };
    if let Some(master) = created.take_terminal() {
        never_wait(&master).map_err(StartError::create)?;
        // What it shows is the standard output.
        streams.stdout = Some(master);
    }
    let (not_enforced, timing) = (created.not_enforced().to_vec(), *created.timing());
    let oom_kills = created.group().oom_kills();
    let running = created.start().map_err(|error| StartError::Start(Box::new(error)))?;
    let container = Container {
        running,
        stdout: streams.stdout,
        stderr: streams.stderr,
        _stdin: streams.stdin,
        probe: None,
        oom_kills,
    };
    Ok(Started { container, not_enforced, timing })
}

impl Container {
    /// It, for what else is run in it.
    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    /// The first process, as the host numbers it.
    pub(super) fn pid(&self) -> Pid {
        self.running.pid()
    }

    /// Its control group.
    pub(super) fn group(&self) -> &Group {
        self.running.group()
    }

    /// Readable once the first process has ended.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.running.pidfd()
    }

    /// How the first process ended; none while it runs.
    pub(super) fn status(&self) -> io::Result<Option<Exit>> {
        Ok(self.running.try_wait()?.map(exit))
    }

    /// Sends a signal to the first process. One that has ended needs none.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = self.running.kill(signal);
    }

    /// Kills everything in the container, and waits for it.
    pub(super) fn kill_all(&self) -> Result<(), impl Error + use<>> {
        self.running.group().kill()
    }

    /// Begins a health probe. One descriptor tells of its end, the other of what it says.
    pub(super) fn probe(
        &mut self,
        spec: &ContainerSpec,
        check: &HealthCheck,
    ) -> Result<(BorrowedFd<'_>, Option<BorrowedFd<'_>>), Box<dyn Error + Send + Sync>> {
        let probe = self.probe.insert(Probe::begin(&self.running, spec, check)?);
        Ok(probe.descriptors())
    }

    /// Hears what the health probe says, so that it never waits for us.
    pub(super) fn hear_probe(&mut self) {
        self.probe.iter_mut().for_each(Probe::hear);
    }

    /// Kills the health probe, which took too long, and what it started.
    pub(super) fn abort_probe(&mut self) {
        if let Some(probe) = &mut self.probe {
            probe.abort();
        }
    }

    /// What the health probe came to; none while it runs or when there is none.
    pub(super) fn probed(&mut self, check: Option<&HealthCheck>) -> Option<Probed> {
        let status = match self.probe.as_ref()?.status() {
            Ok(None) => return None,
            Ok(Some(exit)) => Some(exit),
            Err(_) => None,
        };
        Some(self.probe.take()?.come_to(status, check))
    }

    /// Why the first process ended so, if there is more to say than its exit code.
    pub(super) fn reason(&self, exit: Exit, spec: &ContainerSpec, task_limit: Option<u64>) -> Option<String> {
        let group = self.running.group();
        let killed = group.oom_kills() > self.oom_kills;
        (killed && exit != Exit::Code(0)).then(|| out_of_memory(spec, group.stats().memory_peak, task_limit))
    }

    /// Clears away a run whose first process has ended. Gives what went wrong.
    pub(super) fn clear(self) -> Option<String> {
        self.probe.iter().for_each(Probe::kill);
        let left = self.running.group().kill().err().map(|error| chain(&error));
        if let Some(probe) = &self.probe {
            // Everything in the group has ended, so this does not wait.
            let _ = probe.status();
        }
        let undone = self.running.delete().err().map(|error| chain(&error));
        left.or(undone)
    }
}

/// The sentence about a container that ran out of memory: out of its own, or out of what the task has.
fn out_of_memory(spec: &ContainerSpec, peak: Option<u64>, task_limit: Option<u64>) -> String {
    const MIB: u64 = 1 << 20;
    let name = &spec.name;
    let limit = match (spec.memory, task_limit) {
        (Some(own), Some(task)) if own * MIB > task || peak.is_some_and(|peak| peak < own * MIB) => {
            format!("the task's limit of {} MiB", task / MIB)
        }
        (Some(own), _) => format!("its limit of {own} MiB"),
        (None, Some(task)) => format!("the task's limit of {} MiB", task / MIB),
        (None, None) => "the memory of the host".to_owned(),
    };
    format!("OutOfMemoryError: Container killed due to memory usage: container {name} went over {limit}")
}

/// How a process ended, in the words of facts.
pub(super) fn exit(status: Status) -> Exit {
    match status {
        Status::Code(code) => Exit::Code(code),
        Status::Signal(signal) => Exit::Signal(signal.as_raw()),
    }
}
