//! One run of one container: from its bundle to its end.
//!
//! A [`Container`] holds the process by its handle and the ends of its pipes. When the process has ended,
//! [`Container::end`] kills what may be left in the control group, reads the kernel's own counters to learn whether
//! memory was the reason, and removes the group; nothing of the run is left then.

use std::{
    error::Error,
    io, iter,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::{Signal as RawSignal, killpg},
    unistd::{Uid, fchown, pipe2},
};

use super::{
    bundle::{prepare, probe},
    shared::Shared,
    spec::{ContainerSpec, TaskSpec},
};
use crate::{
    kernel::{
        cgroup::{Group, Layout, NotEnforced},
        process::{Exit as Status, Pid, Signal},
    },
    model::{task::Exit, task_definition::HealthCheck},
    runtime::{
        self, ContainerId, CreateError, ExecOptions, FirstProcess, Options, Running, Stdio, Stream, Timing,
    },
};

/// The longest reason that ECS knows, and the most that it tells of what a health probe says.
const REASON: usize = 1024;

/// Bytes of a health probe's output that are thrown away at a time, once it has said enough.
const THROWN: usize = 4 << 10;

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// Before there was a process of it.
    #[error("CannotCreateContainerError: {}", report(.0.as_ref()))]
    Create(Box<dyn Error + Send + Sync>),
    /// Its process could not become what the bundle says.
    #[error("CannotStartContainerError: {}", report(.0.as_ref()))]
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

/// A health probe that runs.
#[derive(Debug)]
struct Probe {
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
pub(super) struct Probed {
    /// Whether the container is well.
    pub(super) passed: bool,
    /// The exit code; -1 for one that took too long.
    pub(super) code: i32,
    /// What it said, shortened.
    pub(super) output: String,
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

/// The ends of the pipes, or of the terminal once there is one: the container's and ours.
struct Streams {
    stdio: Stdio,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
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

/// Starts a container of `task`.
pub(super) fn start(
    task: &TaskSpec,
    container: &ContainerSpec,
    shared: &Shared,
    layout: &Layout,
) -> Result<Started, StartError> {
    let bundle = prepare(task, container, shared).map_err(StartError::create)?;
    let id = ContainerId::parse(&format!("{}-{}", task.task, container.name)).map_err(StartError::create)?;
    let user = bundle.process().map_err(StartError::create)?.user().uid();
    let mut streams =
        streams(container, task.users.unwrap_or(0).saturating_add(user)).map_err(StartError::create)?;
    let first_process = if container.init { FirstProcess::Attendant } else { FirstProcess::Program };
    let options = Options { die_with_parent: true, first_process, ..Options::new(layout.clone()) };
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
    ) -> Result<(BorrowedFd<'_>, BorrowedFd<'_>), Box<dyn Error + Send + Sync>> {
        let command = probe(spec, check)?;
        let options = ExecOptions { spec: Some(&command.spec), ..ExecOptions::default() };
        let (read, write) = output()?;
        let streams =
            Stdio { stdin: Stream::Null, stdout: Stream::Fd(write.try_clone()?), stderr: Stream::Fd(write) };
        let exec = self.running.exec(&command.process, streams, &options)?;
        let begun = self.probe.insert(Probe { exec, output: None, said: Vec::new(), is_late: false });
        let Probe { exec, output, .. } = begun;
        Ok((exec.pidfd.as_fd(), (*output.insert(read)).as_fd()))
    }

    /// Hears what the health probe says, so that it never waits for us.
    pub(super) fn hear_probe(&mut self) {
        self.probe.iter_mut().for_each(Probe::hear);
    }

    /// Kills the health probe, which took too long, and what it started.
    pub(super) fn abort_probe(&mut self) {
        if let Some(probe) = &mut self.probe {
            probe.is_late = true;
            probe.kill();
        }
    }

    /// What the health probe came to; none while it runs or when there is none.
    pub(super) fn probed(&mut self, check: Option<&HealthCheck>) -> Option<Probed> {
        let status = match self.probe.as_ref()?.exec.pidfd.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => Some(exit(status)),
            Err(_) => None,
        };
        let mut probe = self.probe.take()?;
        probe.hear();
        let said = String::from_utf8_lossy(&probe.said);
        let seconds = check.and_then(|check| check.timeout).unwrap_or(5);
        let output = if probe.is_late {
            format!("Health check exceeded timeout ({seconds}s): {said}")
        } else {
            said.into_owned()
        };
        Some(Probed {
            passed: status == Some(Exit::Code(0)),
            code: status.filter(|_| !probe.is_late).map_or(-1, Exit::code),
            output: output.chars().take(REASON).collect(),
        })
    }

    /// Clears away a run whose first process has ended so. Gives the reason if there is more to say than the exit
    /// code, and what went wrong.
    pub(super) fn end(
        self,
        exit: Exit,
        spec: &ContainerSpec,
        task_limit: Option<u64>,
    ) -> (Option<String>, Option<String>) {
        let group = self.running.group();
        let killed = group.oom_kills() > self.oom_kills;
        let peak = group.stats().memory_peak;
        let reason = (killed && exit != Exit::Code(0)).then(|| out_of_memory(spec, peak, task_limit));
        self.probe.iter().for_each(Probe::kill);
        let left = group.kill().err().map(|error| report(&error));
        if let Some(probe) = &self.probe {
            // Everything in the group has ended, so this does not wait.
            let _ = probe.exec.pidfd.try_wait();
        }
        let undone = self.running.delete().err().map(|error| report(&error));
        (reason, left.or(undone))
    }
}

impl Probe {
    fn kill(&self) {
        // It is our child and not reaped yet, so its number is still its own.
        let _ = killpg(self.exec.pid, RawSignal::SIGKILL);
        let _ = self.exec.pidfd.signal(Signal::KILL);
    }

    /// Reads what is there and keeps the begin. A pipe holds 64 KiB, so there is an end to one that floods.
    fn hear(&mut self) {
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

/// The whole chain on one line: `a: b: c`.
pub(super) fn report(error: &(dyn Error + 'static)) -> String {
    iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Makes the container's standard streams. They belong to the user of its process, as the host numbers them: who opens
/// `/dev/stdout` opens the pipe anew.
fn streams(spec: &ContainerSpec, user: u32) -> io::Result<Streams> {
    if spec.tty {
        // All three are the terminal that the container makes for itself.
        return Ok(Streams { stdio: Stdio::default(), stdin: None, stdout: None, stderr: None });
    }
    let (input, our_input) = if spec.open_stdin {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        (Stream::Fd(read), Some(write))
    } else {
        (Stream::Null, None)
    };
    if spec.log.is_none() {
        let stdio = Stdio { stdin: input, stdout: Stream::Null, stderr: Stream::Null };
        return Ok(Streams { stdio, stdin: our_input, stdout: None, stderr: None });
    }
    let (our_stdout, stdout) = output()?;
    let (our_stderr, stderr) = output()?;
    for pipe in [&stdout, &stderr] {
        fchown(pipe, Some(Uid::from_raw(user)), None)?;
    }
    let stdio = Stdio { stdin: input, stdout: Stream::Fd(stdout), stderr: Stream::Fd(stderr) };
    Ok(Streams { stdio, stdin: our_input, stdout: Some(our_stdout), stderr: Some(our_stderr) })
}

/// A pipe whose reading end, ours, never makes us wait.
pub(super) fn output() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    never_wait(&read)?;
    Ok((read, write))
}

/// Makes reads and writes return at once.
pub(super) fn never_wait(fd: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Reads what is there. Zero is the end; nothing yet is [`io::ErrorKind::WouldBlock`].
pub(super) fn read_output(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    match nix::unistd::read(fd, buffer) {
        // A terminal whose other end is gone.
        Err(nix::errno::Errno::EIO) => Ok(0),
        result => Ok(result?),
    }
}
