//! `create` and `run`.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use super::commands::write_pid_file;
use super::report::{Failure, Log, now};
use super::terminal::{Attended, FORWARDED, attend};
use super::{CreateArgs, Global, Rootless, RunArgs};
use crate::kernel::cgroup::Layout;
use crate::kernel::event::SignalFd;
use crate::kernel::process::is_open;
use crate::kernel::resctrl::Class;
use crate::runtime::state::{Record, Records, starts_at};
use crate::runtime::{
    Bundle, ContainerId, CreateError, Created, HookError, NotEnforced, Options, Outside, Running, StartError,
    Stdio, class_of, place, run_hooks, unmount_inherited,
};

pub(super) fn create(global: &Global, args: &CreateArgs, log: &Log<'_>) -> Result<ExitCode, Failure> {
    let mut making = Making::begin(global, args)?;
    making.settle_groups(log)?;
    let created = making.create(Mode::Waiting, log)?;
    making.keep();
    // The container goes on without us; its record is what remains.
    drop(created);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run(global: &Global, args: &RunArgs, log: &Log<'_>) -> Result<ExitCode, Failure> {
    let mut making = Making::begin(global, &args.create)?;
    // One without a process can be created, but there is nothing to run.
    making.bundle.process()?;
    making.settle_groups(log)?;
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
    let failed = making.run_hooks(Outside::Poststart, Some(running.pid().as_raw()));
    if let Some(failed) = failed.into_iter().next() {
        running.delete()?;
        log.warn_all(&making.run_hooks(Outside::Poststop, None));
        return Err(failed.into());
    }
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
        log.warn_all(&making.run_hooks(Outside::Poststop, None));
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

/// How many open sockets somebody hands over in the manner of systemd (sd_listen_fds(3)).
fn inherited_sockets() -> u32 {
    std::env::var("LISTEN_FDS").ok().and_then(|number| number.parse().ok()).unwrap_or(0)
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

/// Whether this user is another than the host's root, or is to be taken for one.
fn is_rootless(asked: Rootless) -> bool {
    match asked {
        Rootless::True => true,
        Rootless::False => false,
        Rootless::Auto => {
            let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
            let is_whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
            !nix::unistd::geteuid().is_root() || !is_whole
        }
    }
}

/// A reserved name; given back unless the container is kept.
struct Making<'a> {
    args: &'a CreateArgs,
    records: Records,
    id: ContainerId,
    bundle: Bundle,
    layout: Layout,
    systemd: bool,
    rootless: Rootless,
    is_kept: std::cell::Cell<bool>,
}

impl<'a> Making<'a> {
    fn begin(global: &Global, args: &'a CreateArgs) -> Result<Self, Failure> {
        let sockets = inherited_sockets();
        check_descriptors(args.preserve_fds.max(sockets))?;
        let id = ContainerId::parse(&args.id)?;
        let records = Records::at(&global.root);
        if records.is_reserved(&id) {
            return Err(crate::runtime::state::StateError::Exists(id.to_string()).into());
        }
        let mut bundle = Bundle::load(&args.bundle)?;
        if sockets > 0 {
            bundle.hand_over_sockets(sockets);
        }
        let layout = Layout::detect()?;
        records.reserve(&id)?;
        let is_kept = std::cell::Cell::new(false);
        let (systemd, rootless) = (global.systemd_cgroup, global.rootless);
        Ok(Self { args, records, id, bundle, layout, systemd, rootless, is_kept })
    }

    /// Does without control groups where none may be made, if that is wanted and the specification names none.
    fn settle_groups(&mut self, log: &Log<'_>) -> Result<(), Failure> {
        let named = self.bundle.spec().linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
        let is_named = named.is_some_and(|path| !path.as_os_str().is_empty());
        if is_named || self.systemd || !is_rootless(self.rootless) {
            return Ok(());
        }
        let (path, _) = place(&self.id, &self.bundle, false)?;
        let existed = self.layout.group(&path).exists();
        match self.layout.create(&path) {
            Err(err) if err.is_denied() => {
                log.warn(&format!("the container has no control groups: {}", Failure::from(err)));
                self.layout = Layout::none();
                Ok(())
            }
            // It was to be seen whether it can be made; the container makes its own.
            made if !existed => Ok(made?.delete()?),
            made => Ok(made.map(drop)?),
        }
    }

    fn create(&self, mode: Mode, log: &Log<'_>) -> Result<Created, Failure> {
        let process = self.bundle.spec().process().as_ref();
        let has_terminal = process.and_then(oci_spec::runtime::Process::terminal) == Some(true);
        check_console(has_terminal, mode != Mode::Attached, self.args.console_socket.is_some())?;
        let options = Options {
            die_with_parent: mode == Mode::Attached,
            start_socket: (mode == Mode::Waiting).then(|| self.records.start_socket(&self.id)),
            console_socket: self.args.console_socket.clone(),
            preserved_fds: self.args.preserve_fds.max(inherited_sockets()),
            keeps_keyring: self.args.no_new_keyring,
            no_pivot: self.args.no_pivot,
            systemd: self.systemd,
            is_strict: true,
            ..Options::new(self.layout.clone())
        };
        log.debug(&format!("creating container {} from {}", self.id, self.bundle.dir().display()));
        self.announce()?;
        let created = crate::runtime::create(&self.id, &self.bundle, Stdio::inherit(), &options);
        let created = match created {
            Err(CreateError::Exec(failure)) => {
                let code = failure.code();
                return Err(Failure::from(failure).with_code(code));
            }
            other => other?,
        };
        for NotEnforced { resource, reason, .. } in created.not_enforced() {
            log.warn(&format!("{resource} is not enforced: {reason}"));
        }
        match self.note(&created) {
            Ok(()) => Ok(created),
            Err(failure) => {
                // The first failure is the one to tell.
                let _ = created.delete();
                Err(failure)
            }
        }
    }

    /// Writes down what is about to be made, so that it can be removed even if we are killed meanwhile.
    fn announce(&self) -> Result<(), Failure> {
        self.records.save_spec(&self.id, self.bundle.spec())?;
        let class = class_of(&self.id, self.bundle.spec())?.map(|(_, class)| class);
        Ok(self.records.save(&self.id, &self.record(None, class)?)?)
    }

    /// Writes down what has been made.
    fn note(&self, created: &Created) -> Result<(), Failure> {
        let pid = created.pid().as_raw();
        self.records.save(&self.id, &self.record(Some(pid), created.class().cloned())?)?;
        match &self.args.pid_file {
            Some(path) => write_pid_file(path, pid),
            None => Ok(()),
        }
    }

    fn record(&self, pid: Option<i32>, class: Option<Class>) -> Result<Record, Failure> {
        let spec = self.bundle.spec();
        let (cgroup, scope) = place(&self.id, &self.bundle, self.systemd)?;
        let has_groups = self.layout != Layout::none();
        let start =
            pid.map(|pid| starts_at(pid).ok_or_else(|| Failure::new("the container's process is gone")));
        let program = spec.process().iter().flat_map(|process| process.args().iter().flatten()).next();
        Ok(Record {
            oci_version: spec.version().clone(),
            id: self.id.to_string(),
            pid: pid.unwrap_or(0),
            pid_start_time: start.transpose()?.unwrap_or(0),
            bundle: self.bundle.dir().to_path_buf(),
            rootfs: self.bundle.root().to_path_buf(),
            created: now(),
            owner: nix::unistd::getuid().as_raw(),
            cgroup: if has_groups { cgroup.as_path().display().to_string() } else { String::new() },
            scope: scope.map(|scope| scope.unit().to_owned()),
            class,
            program: program.cloned().unwrap_or_default(),
            annotations: spec.annotations().clone().unwrap_or_default(),
        })
    }

    fn run_hooks(&self, kind: Outside, pid: Option<i32>) -> Vec<HookError> {
        run_hooks(&self.id, self.bundle.spec(), self.bundle.dir(), kind, pid)
    }

    fn keep(&self) {
        self.is_kept.set(true);
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if !self.is_kept.get() {
            // What remains stays visible in the host's own list of mounts.
            let _ = unmount_inherited(self.bundle.spec(), self.bundle.root());
            // A name that cannot be given back now can be taken back with `delete --force`.
            let _ = self.records.remove(&self.id);
        }
    }
}
