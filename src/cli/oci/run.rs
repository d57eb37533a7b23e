//! `create` and `run`.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use super::commands::write_pid_file;
use super::report::{Failure, Log, now};
use super::terminal::{Attended, FORWARDED, attend};
use super::{CreateArgs, Global, RunArgs};
use crate::kernel::cgroup::Layout;
use crate::kernel::event::SignalFd;
use crate::kernel::process::is_open;
use crate::runtime::state::{Record, Records, starts_at};
use crate::runtime::{Bundle, ContainerId, Created, NotEnforced, Options, Running, StartError, Stdio};

pub(super) fn create(global: &Global, args: &CreateArgs, log: &Log<'_>) -> Result<ExitCode, Failure> {
    let making = Making::begin(global, args)?;
    let created = making.create(Mode::Waiting, log)?;
    making.keep();
    // The container goes on without us; its record is what remains.
    drop(created);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run(global: &Global, args: &RunArgs, log: &Log<'_>) -> Result<ExitCode, Failure> {
    let making = Making::begin(global, &args.create)?;
    // Blocked before there is a container, so that none is lost between its start and the first look.
    let signals = if args.detach { None } else { Some(SignalFd::new(&FORWARDED)?) };
    let mut created = making.create(if args.detach { Mode::Detached } else { Mode::Attached }, log)?;
    let terminal = created.take_terminal();
    let running = created.start().map_err(|err| match err {
        StartError::Exec(failure) => {
            let code = failure.code();
            Failure::from(failure).with_code(code)
        }
        err @ StartError::NotWaiting(_) => err.into(),
    })?;
    let Some(signals) = signals else {
        making.keep();
        return Ok(ExitCode::SUCCESS);
    };
    let exit = attend_container(&running, &signals, terminal)?;
    if args.keep {
        running.kill_all()?;
        making.keep();
    } else {
        running.delete()?;
    }
    Ok(ExitCode::from(u8::try_from(exit.code()).unwrap_or(u8::MAX)))
}

fn attend_container(
    running: &Running,
    signals: &SignalFd,
    terminal: Option<OwnedFd>,
) -> Result<crate::kernel::process::Exit, Failure> {
    let process = Attended {
        pidfd: running.pidfd(),
        signal: &|signal| {
            let _ = running.kill(signal);
        },
        try_wait: &|| running.try_wait(),
    };
    attend(&process, signals, terminal)
}

/// How the container relates to this process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Another process will start it.
    Waiting,
    /// This process starts it and leaves.
    Detached,
    /// This process stays, and the container ends with it.
    Attached,
}

/// Descriptors that are to be inherited must be there, or ours would take their numbers.
pub(super) fn check_descriptors(preserved: u32) -> Result<(), Failure> {
    match (3..3 + preserved.cast_signed()).find(|number| !is_open(*number)) {
        Some(missing) => Err(Failure::new(format!("--preserve-fds: descriptor {missing} is not open"))),
        None => Ok(()),
    }
}

/// A terminal needs somebody who shows it: us, or whoever listens on the socket.
pub(super) fn check_console(has_terminal: bool, leaves: bool, has_socket: bool) -> Result<(), Failure> {
    match (has_terminal, leaves, has_socket) {
        (true, true, false) => {
            Err(Failure::new("process.terminal: cannot allocate a terminal without --console-socket"))
        }
        (false, _, true) | (true, false, true) => Err(Failure::new(
            "--console-socket: cannot be used unless the container is detached and process.terminal is set",
        )),
        (true, true, true) | (true | false, false, false) | (false, true, false) => Ok(()),
    }
}

/// A reserved name; given back unless the container is kept.
struct Making<'a> {
    args: &'a CreateArgs,
    records: Records,
    id: ContainerId,
    bundle: Bundle,
    layout: Layout,
    is_kept: std::cell::Cell<bool>,
}

impl<'a> Making<'a> {
    fn begin(global: &Global, args: &'a CreateArgs) -> Result<Self, Failure> {
        check_descriptors(args.preserve_fds)?;
        let id = ContainerId::parse(&args.id)?;
        let records = Records::at(&global.root);
        if records.is_reserved(&id) {
            return Err(crate::runtime::state::StateError::Exists(id.to_string()).into());
        }
        let bundle = Bundle::load(&args.bundle)?;
        let layout = Layout::detect()?;
        records.reserve(&id)?;
        Ok(Self { args, records, id, bundle, layout, is_kept: std::cell::Cell::new(false) })
    }

    fn create(&self, mode: Mode, log: &Log<'_>) -> Result<Created, Failure> {
        let has_terminal = self.bundle.process()?.terminal() == Some(true);
        check_console(has_terminal, mode != Mode::Attached, self.args.console_socket.is_some())?;
        let options = Options {
            die_with_parent: mode == Mode::Attached,
            start_socket: (mode == Mode::Waiting).then(|| self.records.start_socket(&self.id)),
            console_socket: self.args.console_socket.clone(),
            preserved_fds: self.args.preserve_fds,
            keeps_keyring: self.args.no_new_keyring,
            no_pivot: self.args.no_pivot,
            ..Options::new(self.layout.clone())
        };
        log.debug(&format!("creating container {} from {}", self.id, self.bundle.dir().display()));
        let created = crate::runtime::create(&self.id, &self.bundle, Stdio::inherit(), &options)?;
        for NotEnforced { resource, reason } in created.not_enforced() {
            log.warn(&format!("{resource} is not enforced: {reason}"));
        }
        match self.record(&created) {
            Ok(()) => Ok(created),
            Err(failure) => {
                // The first failure is the one to tell.
                let _ = created.delete();
                Err(failure)
            }
        }
    }

    fn record(&self, created: &Created) -> Result<(), Failure> {
        let spec = self.bundle.spec();
        let pid = created.pid().as_raw();
        let args = self.bundle.process()?.args().as_deref().unwrap_or_default();
        let record = Record {
            oci_version: spec.version().clone(),
            id: self.id.to_string(),
            pid,
            pid_start_time: starts_at(pid).ok_or_else(|| Failure::new("the container's process is gone"))?,
            bundle: self.bundle.dir().to_path_buf(),
            rootfs: self.bundle.root().to_path_buf(),
            created: now(),
            owner: nix::unistd::getuid().as_raw(),
            cgroup: created.group().path().as_path().display().to_string(),
            program: args.first().cloned().unwrap_or_default(),
            annotations: spec.annotations().clone().unwrap_or_default(),
        };
        self.records.save_spec(&self.id, spec)?;
        self.records.save(&self.id, &record)?;
        match &self.args.pid_file {
            Some(path) => write_pid_file(path, pid),
            None => Ok(()),
        }
    }

    fn keep(&self) {
        self.is_kept.set(true);
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if !self.is_kept.get() {
            // A name that cannot be given back now can be taken back with `delete --force`.
            let _ = self.records.remove(&self.id);
        }
    }
}
