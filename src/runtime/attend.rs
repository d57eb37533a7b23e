//! The parent's part while the child runs its list: it answers what the child asks, passes on what the child hands
//! over, and puts a failed step into words.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use oci_spec::runtime::{LinuxSeccomp, Spec};
use serde_json::{Map, Value, json};

use super::bundle::{Bundle, ContainerId};
use super::create::CreateError;
use super::failure::ExecFailure;
use super::handshake::{ParentEnd, Part, Report};
use super::hooks::{HookError, Outside, describe, run_all, run_outside};
use super::net_devices::give;
use super::steps::{Plan, Request, Step, Users};
use crate::kernel::cgroup::Group;
use crate::kernel::mapping::write_mappings;
use crate::kernel::process::{self, send_with_fds};
use crate::kernel::security::set_limit_of;
use crate::kernel::terminal;

/// A descriptor that did not reach who waits for it.
#[derive(Debug, thiserror::Error)]
#[error("send the {what} to {}", path.display())]
pub struct DeliveryError {
    /// What it is.
    pub what: &'static str,
    /// The socket.
    pub path: PathBuf,
    /// Why.
    pub source: Errno,
}

/// The state of a container, as hooks and listeners are told it.
#[derive(Debug, Clone)]
pub(super) struct HookState(Map<String, Value>);

impl HookState {
    pub(super) fn new(id: &ContainerId, bundle: &Bundle) -> Self {
        Self::of(id, Some(bundle.spec()), Some(bundle.dir()))
    }

    pub(super) fn of(id: &ContainerId, spec: Option<&Spec>, bundle: Option<&Path>) -> Self {
        let mut members = Map::new();
        members.insert("ociVersion".to_owned(), json!(spec.map(Spec::version)));
        members.insert("id".to_owned(), json!(id.as_str()));
        members.insert("bundle".to_owned(), json!(bundle));
        let annotations = spec.and_then(|spec| spec.annotations().as_ref());
        if let Some(annotations) = annotations.filter(|all| !all.is_empty()) {
            members.insert("annotations".to_owned(), json!(annotations));
        }
        Self(members)
    }

    /// The state with what changes: the status, and the first process unless there is none.
    pub(super) fn at(&self, status: &str, pid: Option<i32>) -> Value {
        let mut members = self.0.clone();
        members.insert("status".to_owned(), json!(status));
        if let Some(pid) = pid {
            members.insert("pid".to_owned(), json!(pid));
        }
        Value::Object(members)
    }
}

/// What the parent needs to see a child through its list.
pub(super) struct Attendant<'a> {
    pub line: &'a ParentEnd,
    pub plan: &'a Plan,
    pub child: &'a process::Child,
    pub group: &'a Group,
    pub console_socket: Option<&'a Path>,
    pub state: HookState,
}

impl Attendant<'_> {
    /// Serves the child until it is ready. Returns when its parts began, and its terminal if that stays here.
    pub(super) fn until_ready(&self) -> Result<([Duration; 4], Option<OwnedFd>), CreateError> {
        let mut terminal = None;
        loop {
            let heard = self
                .line
                .receive()
                .map_err(|source| CreateError::Prepare { what: "hear from the child", source })?;
            let Some((report, fd)) = heard else { return Err(self.silence()) };
            match report {
                Report::Ready(times) => return Ok((times, terminal)),
                Report::Gives { step } => {
                    if let Some(fd) = fd {
                        let state = self.state.at("creating", Some(self.child.pid.as_raw()));
                        let kept = self.take(step, fd, state)?;
                        terminal = kept.or(terminal);
                    }
                }
                Report::Asks { step } => self.answer(step)?,
                // A first process stays what it is.
                Report::Born => {}
                Report::Failed { step, part, code, hook } => {
                    return Err(self.failed(step, (part, code), hook.into()));
                }
                Report::NotExecuted { part, code, hook } => {
                    return Err(ExecFailure::new(&self.plan.program.name, (part, code), hook).into());
                }
            }
            // A child that has died meanwhile is noticed by the next look.
            let _ = self.line.go_on();
        }
    }

    /// Does what a step asks of the parent.
    fn answer(&self, step: usize) -> Result<(), CreateError> {
        match self.plan.steps.get(step) {
            Some(Step::Ask(Request::MapUsers)) => self.map_users(),
            Some(Step::Ask(Request::NetDevices)) => Ok(give(&self.plan.net_devices, self.child.pid)?),
            Some(Step::Ask(Request::RuntimeHooks)) => self.run_hooks(),
            Some(_) | None => Ok(()),
        }
    }

    fn map_users(&self) -> Result<(), CreateError> {
        for step in &self.plan.for_parent {
            self.do_for_child(step)
                .map_err(|source| CreateError::ForChild { step: step.to_string(), source })?;
        }
        match &self.plan.users {
            Users::New(mappings) => write_mappings(self.child.pid, mappings).map_err(CreateError::Users),
            Users::Host | Users::Joined(_) => Ok(()),
        }
    }

    fn do_for_child(&self, step: &Step) -> Result<(), Errno> {
        let pid = self.child.pid;
        if let Step::Limit(limit, soft, hard) = step {
            set_limit_of(pid, *limit, *soft, *hard)?;
        }
        if let Step::OomScore(_, score) = step {
            let file = CString::new(format!("/proc/{pid}/oom_score_adj")).map_err(|_| Errno::EINVAL)?;
            process::write_file(&file, score.to_bytes())?;
        }
        Ok(())
    }

    fn run_hooks(&self) -> Result<(), CreateError> {
        let Some(hooks) = &self.plan.hooks else { return Ok(()) };
        for kind in [Outside::Prestart, Outside::CreateRuntime] {
            let state = self.state.at(kind.status(), Some(self.child.pid.as_raw()));
            run_outside(hooks, kind, &state.to_string())?;
        }
        Ok(())
    }

    /// What follows a container that came to nothing. Its own failure is the one to tell.
    pub(super) fn after_failure(&self) {
        if let Some(hooks) = &self.plan.hooks {
            let _ = run_all(hooks, Outside::Poststop, &self.state.at("stopped", None).to_string());
        }
    }

    fn take(&self, step: usize, fd: OwnedFd, state: Value) -> Result<Option<OwnedFd>, DeliveryError> {
        take(self.plan, step, fd, self.console_socket, (self.child.pid.as_raw(), state))
    }

    fn failed(&self, step: usize, (part, code): (Part, i32), at: usize) -> CreateError {
        let found = self.plan.steps.get(step);
        if let (Some(Step::ContainerHooks), Some(hooks)) = (found, &self.plan.hooks) {
            let path = hooks.create_container().iter().flatten().map(|hook| hook.path().clone()).nth(at);
            let reason = describe(&path.unwrap_or_default(), part, code);
            return HookError { kind: "createContainer", at, reason }.into();
        }
        let step = found.map_or_else(|| format!("step {step}"), ToString::to_string);
        CreateError::Step { step, part, source: Errno::from_raw(code) }
    }

    /// Why a child that says nothing any more has ended.
    fn silence(&self) -> CreateError {
        if self.group.oom_kills() > 0 {
            return CreateError::OutOfMemory;
        }
        CreateError::Ended(self.child.pidfd.peek().ok().flatten())
    }
}

/// Runs the hooks of one sort of a container that is there already, or has been; returns what failed.
///
/// The caller must have one thread.
#[must_use]
pub fn run_hooks(
    id: &ContainerId,
    spec: &Spec,
    bundle: &Path,
    kind: Outside,
    pid: Option<i32>,
) -> Vec<HookError> {
    let Some(hooks) = spec.hooks() else { return Vec::new() };
    let state = HookState::of(id, Some(spec), Some(bundle)).at(kind.status(), pid);
    match kind {
        Outside::Poststop => run_all(hooks, kind, &state.to_string()),
        // One that fails ends the container, so there is nothing for the others to do.
        Outside::Prestart | Outside::CreateRuntime | Outside::Poststart => {
            run_outside(hooks, kind, &state.to_string()).err().into_iter().collect()
        }
    }
}

/// Passes on what a step has made; a terminal that nobody else waits for stays here.
pub(super) fn take(
    plan: &Plan,
    step: usize,
    fd: OwnedFd,
    console_socket: Option<&Path>,
    (pid, state): (i32, Value),
) -> Result<Option<OwnedFd>, DeliveryError> {
    match plan.steps.get(step) {
        Some(Step::Filter(_)) => {
            if let Some(profile) = &plan.profile {
                send_listener(profile, fd.as_fd(), pid, &state)?;
            }
            Ok(None)
        }
        _ => match console_socket {
            Some(path) => send_terminal(path, fd.as_fd()).map(|()| None),
            None => Ok(Some(fd)),
        },
    }
}

/// Sends a terminal's master to whoever shows it, with its name as the message.
fn send_terminal(path: &Path, master: BorrowedFd<'_>) -> Result<(), DeliveryError> {
    let error = |source| DeliveryError { what: "terminal", path: path.to_path_buf(), source };
    let number = terminal::number_of(master).map_err(error)?;
    send(path, format!("/dev/pts/{number}").as_bytes(), master).map_err(error)
}

/// Sends a filter's listener to whoever decides, with the state that the specification has for it.
fn send_listener(
    profile: &LinuxSeccomp,
    listener: BorrowedFd<'_>,
    pid: i32,
    state: &Value,
) -> Result<(), DeliveryError> {
    let Some(path) = profile.listener_path() else { return Ok(()) };
    let mut message = json!({
        "ociVersion": state["ociVersion"],
        "fds": [oci_spec::runtime::SECCOMP_FD_NAME],
        "pid": pid,
        "state": state,
    });
    if let Some(metadata) = profile.listener_metadata() {
        message["metadata"] = json!(metadata);
    }
    send(path, message.to_string().as_bytes(), listener).map_err(|source| DeliveryError {
        what: "seccomp listener",
        path: path.clone(),
        source,
    })
}

fn send(path: &Path, message: &[u8], fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &UnixAddr::new(path)?)?;
    let sent = send_with_fds(socket.as_fd(), message, &[fd])?;
    // A stream takes what fits; the descriptor goes with the first part.
    let mut rest = &message[sent..];
    while !rest.is_empty() {
        let sent = nix::unistd::write(&socket, rest)?;
        rest = &rest[sent..];
    }
    Ok(())
}
