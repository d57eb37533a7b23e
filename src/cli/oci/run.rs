//! `create` and `run`.

use std::os::fd::AsFd;
use std::process::ExitCode;

use super::commands::write_pid_file;
use super::report::{Failure, Log, now};
use super::{CreateArgs, Global, RunArgs};
use crate::kernel::cgroup::Layout;
use crate::kernel::event::{Interest, Poll, SignalFd, Token};
use crate::kernel::process::{Exit, Signal};
use crate::runtime::state::{Record, Records, starts_at};
use crate::runtime::{Bundle, ContainerId, Created, NotEnforced, Options, Running, StartError, Stdio};

/// Signals that are meant for the container when `run` gets them.
const FORWARDED: [Signal; 7] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2, Signal::WINCH];

const ENDED: Token = Token(0);
const SIGNALLED: Token = Token(1);

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
    let created = making.create(if args.detach { Mode::Detached } else { Mode::Attached }, log)?;
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
    let exit = attend(&running, &signals)?;
    if args.keep {
        running.kill_all()?;
        making.keep();
    } else {
        running.delete()?;
    }
    Ok(ExitCode::from(u8::try_from(exit.code()).unwrap_or(u8::MAX)))
}

/// Passes signals on until the container ends.
pub(super) fn attend(running: &Running, signals: &SignalFd) -> Result<Exit, Failure> {
    let poll = Poll::new()?;
    poll.add(running.pidfd(), ENDED, Interest::READ)?;
    poll.add(signals.as_fd(), SIGNALLED, Interest::READ)?;
    let mut events = Vec::new();
    loop {
        poll.wait(&mut events, None)?;
        while let Some((signal, _)) = signals.read()? {
            // One that ends meanwhile is noticed below.
            let _ = running.kill(signal);
        }
        if let Some(exit) = running.try_wait()? {
            return Ok(exit);
        }
    }
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
        if args.console_socket.is_some() {
            return Err(Failure::new("--console-socket is not supported: terminals are not supported"));
        }
        let id = ContainerId::parse(&args.id)?;
        let bundle = Bundle::load(&args.bundle)?;
        let layout = Layout::detect()?;
        let records = Records::at(&global.root);
        records.reserve(&id)?;
        Ok(Self { args, records, id, bundle, layout, is_kept: std::cell::Cell::new(false) })
    }

    fn create(&self, mode: Mode, log: &Log<'_>) -> Result<Created, Failure> {
        let options = Options {
            layout: self.layout.clone(),
            die_with_parent: mode == Mode::Attached,
            start_socket: (mode == Mode::Waiting).then(|| self.records.start_socket(&self.id)),
        };
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
