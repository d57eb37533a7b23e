//! The commands that take a line or two each, and the way to the larger ones.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use oci_spec::runtime::ContainerState;

use super::report::{Failure, Log};
use super::{Command, DeleteArgs, Global, IdArg, KillArgs};
use super::{events, exec, features, listing, ps, run, spec, update};
use crate::kernel::cgroup::{Group, Layout};
use crate::kernel::process::{Pidfd, Signal};
use crate::runtime::state::{Record, Records};
use crate::runtime::{
    ContainerId, HookError, Outside, Running, StartError, run_hooks, start_waiting, unmount_inherited,
};

/// A container's name, its record, and where the records are.
pub(super) struct Known {
    pub records: Records,
    pub id: ContainerId,
    pub record: Record,
}

impl Known {
    pub(super) fn find(global: &Global, id: &str) -> Result<Self, Failure> {
        let records = Records::at(&global.root);
        let id = ContainerId::parse(id)?;
        let record = records.load(&id)?;
        Ok(Self { records, id, record })
    }

    pub(super) fn status(&self) -> ContainerState {
        self.records.status(&self.id, &self.record)
    }

    fn run_hooks(&self, kind: Outside) -> Vec<HookError> {
        // Without a specification, nothing can be known of hooks.
        let Ok(spec) = self.records.spec(&self.id) else { return Vec::new() };
        let pid = (kind == Outside::Poststart).then_some(self.record.pid);
        run_hooks(&self.id, &spec, &self.record.bundle, kind, pid)
    }

    pub(super) fn group(&self, layout: &Layout) -> Result<Group, Failure> {
        Ok(self.record.group(layout)?)
    }

    /// A handle to the container, which must not have ended.
    pub(super) fn open(&self) -> Result<Running, Failure> {
        self.open_for("container not running")
    }

    /// The same; `otherwise` is what is said of one that has.
    pub(super) fn open_for(&self, otherwise: &str) -> Result<Running, Failure> {
        let not_running = || Failure::new(format!("{otherwise}: {}", self.id));
        match self.status() {
            ContainerState::Stopped => Err(not_running()),
            ContainerState::Creating | ContainerState::Created | ContainerState::Running => {
                self.record.open(&Layout::detect()?)?.ok_or_else(not_running)
            }
        }
    }
}

pub(super) fn perform(global: &Global, command: Command, log: &Log<'_>) -> Result<ExitCode, Failure> {
    match command {
        Command::Create(args) => run::create(global, &args, log),
        Command::Run(args) => run::run(global, &args, log),
        Command::Start(args) => start(global, &args),
        Command::State(args) => listing::state(&Known::find(global, &args.id)?),
        Command::Kill(args) => kill(global, &args),
        Command::Delete(args) => delete(global, &args, log),
        Command::List(args) => listing::list(global, &args),
        Command::Exec(args) => exec::exec(global, &args, log),
        Command::Ps(args) => ps::ps(&Known::find(global, &args.id)?, &args),
        Command::Pause(args) => pause(global, &args),
        Command::Resume(args) => resume(global, &args),
        Command::Update(args) => update::update(global, &args),
        Command::Events(args) => events::events(global, &args),
        Command::Spec(args) => spec::write(&args),
        Command::Features => features::print_features(),
    }
}

fn start(global: &Global, args: &IdArg) -> Result<ExitCode, Failure> {
    let known = Known::find(global, &args.id)?;
    match known.status() {
        ContainerState::Created if known.record.program.is_empty() => {
            let sentence = "cannot start a container whose config.json had no process";
            return Err(Failure::new(format!("{sentence}: {}", known.id)));
        }
        ContainerState::Created => {}
        ContainerState::Creating => {
            return Err(Failure::new(format!(
                "cannot start a container that is being created: {}",
                known.id
            )));
        }
        ContainerState::Running => {
            return Err(Failure::new(format!("cannot start an already running container: {}", known.id)));
        }
        ContainerState::Stopped => {
            return Err(Failure::new(format!("cannot start a container that has stopped: {}", known.id)));
        }
    }
    let started = start_waiting(&known.records.start_socket(&known.id), &known.record.program);
    known.records.started(&known.id)?;
    match started {
        Ok(()) => match known.run_hooks(Outside::Poststart).into_iter().next() {
            Some(failed) => {
                // A container of which not all that belongs to its start is done does not go on.
                if let Some(running) = known.record.open(&Layout::detect()?)? {
                    running.kill_all()?;
                    running.wait_end()?;
                }
                Err(failed.into())
            }
            None => Ok(ExitCode::SUCCESS),
        },
        Err(StartError::Exec(failure)) => {
            // It is on its way out; whoever deletes it next must not find it running.
            if let Some(running) = known.record.open(&Layout::detect()?)? {
                running.wait_end()?;
            }
            let code = failure.code();
            Err(Failure::from(failure).with_code(code))
        }
        Err(err @ StartError::NotWaiting(_)) => Err(err.into()),
    }
}

fn pause(global: &Global, args: &IdArg) -> Result<ExitCode, Failure> {
    let known = Known::find(global, &args.id)?;
    known.open()?.pause()?;
    Ok(ExitCode::SUCCESS)
}

fn resume(global: &Global, args: &IdArg) -> Result<ExitCode, Failure> {
    let known = Known::find(global, &args.id)?;
    let running = known.open()?;
    if !running.group().is_frozen() {
        return Err(Failure::new(format!("container not paused: {}", known.id)));
    }
    running.resume()?;
    Ok(ExitCode::SUCCESS)
}

fn kill(global: &Global, args: &KillArgs) -> Result<ExitCode, Failure> {
    let known = Known::find(global, &args.id)?;
    if args.signal == "0" {
        // No signal at all, as with kill(2): whether there is somebody to send one to.
        known.open().map(drop)?;
        return Ok(ExitCode::SUCCESS);
    }
    let signal = Signal::parse(&args.signal)?;
    if args.all {
        let group = known.group(&Layout::detect()?)?;
        if signal == Signal::KILL {
            // One by one, a process that forks without end would never be met.
            group.kill()?;
            return Ok(ExitCode::SUCCESS);
        }
        for pid in group.procs()? {
            // A process that ends meanwhile needs no signal.
            if let Ok(handle) = Pidfd::open(pid) {
                let _ = handle.signal(signal);
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    known.open()?.kill(signal)?;
    Ok(ExitCode::SUCCESS)
}

fn delete(global: &Global, args: &DeleteArgs, log: &Log<'_>) -> Result<ExitCode, Failure> {
    let records = Records::at(&global.root);
    let id = ContainerId::parse(&args.id)?;
    if args.force && !records.is_reserved(&id) {
        return Ok(ExitCode::SUCCESS);
    }
    let record = match records.load(&id) {
        Ok(record) => record,
        // A name without a record is what a creation killed half-way leaves.
        Err(_) if args.force => {
            records.remove(&id)?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(err) => return Err(err.into()),
    };
    let known = Known { records, id, record };
    let status = known.status();
    if !args.force && status != ContainerState::Stopped {
        return Err(Failure::new(format!(
            "cannot delete container {} that is not stopped: {status}",
            known.id
        )));
    }
    remove(&known, log)?;
    Ok(ExitCode::SUCCESS)
}

/// Ends what is left of a container and forgets it.
fn remove(known: &Known, log: &Log<'_>) -> Result<(), Failure> {
    let layout = Layout::detect()?;
    if let Some(running) = known.record.open(&layout)? {
        running.delete()?;
    } else {
        let group = known.group(&layout)?;
        group.kill()?;
        group.delete()?;
        if let Some(class) = &known.record.class {
            class.remove()?;
        }
    }
    if let Ok(spec) = known.records.spec(&known.id) {
        unmount_inherited(&spec, &known.record.rootfs)?;
    }
    log.warn_all(&known.run_hooks(Outside::Poststop));
    Ok(known.records.remove(&known.id)?)
}

/// Writes a process's number for other programs, whole or not at all.
pub(super) fn write_pid_file(path: &Path, pid: i32) -> Result<(), Failure> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    fs::write(&aside, pid.to_string())
        .and_then(|()| fs::rename(&aside, path))
        .map_err(|err| Failure::new(format!("write {}: {err}", path.display())))
}
