//! Another process in a container: it joins the control group and every namespace, and gets the same walls.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use oci_spec::runtime::{Capability, Linux, Process, Spec};

use super::attend::{DeliveryError, HookState, take};
use super::bundle::{BundleError, check_process};
use super::create::{detail, join};
use super::failure::ExecFailure;
use super::handshake::{self, ChildEnd, Gate, ParentEnd, Part, Report};
use super::init::{self, Brought};
use super::launch::{Unborn, born_in_pid_namespace, may_come_back, open_dir, through_helper};
use super::ops::{Container, Running};
use super::steps::{
    Host, MAKE_NODES, Plan, PlanError, Program, Step, Users, affinity, early_steps, filter_of, labels,
    process_steps, surroundings, terminal_of,
};
use super::streams::Stdio;
use crate::kernel::cgroup::{Below, CgroupError, NotEnforced, Placement};
use crate::kernel::mapping::is_elsewhere;
use crate::kernel::namespace::{self, Namespaces};
use crate::kernel::process::{self, CloneRequest, Pid, Pidfd, Signal};
use crate::kernel::security::bounding_of;

/// What a later process of a container joins; its pid namespace it is born in.
const JOINED: Namespaces = Namespaces::MOUNT
    .with(Namespaces::IPC)
    .with(Namespaces::UTS)
    .with(Namespaces::NETWORK)
    .with(Namespaces::CGROUP);

/// Why a process could not be run in a container.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The process is not described properly.
    #[error(transparent)]
    Process(#[from] BundleError),
    /// It cannot be turned into steps.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It has no place among the control groups.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
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
    /// Something it has made did not reach who waits for it.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}

/// How a process is run, apart from what it is itself.
#[derive(Debug, Default, Clone, Copy)]
pub struct ExecOptions<'a> {
    /// The container's specification, whose walls the process gets.
    pub spec: Option<&'a Spec>,
    /// The container's bundle, for those who are told of it.
    pub bundle: Option<&'a Path>,
    /// Where the master of its terminal is sent; without it [`Exec::terminal`] is it.
    pub console_socket: Option<&'a Path>,
    /// Descriptors after the standard three that it inherits.
    pub preserved_fds: u32,
    /// Where below the container's control group it goes; into that itself if there is none.
    pub cgroups: &'a [Below],
}

/// A process run in a container after its first one: a child of the caller.
#[derive(Debug)]
pub struct Exec {
    /// As the host numbers it.
    pub pid: Pid,
    /// Readable when it has ended.
    pub pidfd: Pidfd,
    /// The master of its terminal, if it has one that nobody else was to get.
    pub terminal: Option<OwnedFd>,
    /// What this host does not hold to.
    pub not_enforced: Vec<NotEnforced>,
}

impl Running {
    /// Runs another process in the container. The caller must have one thread.
    pub fn exec(
        &self,
        process: &Process,
        stdio: Stdio,
        options: &ExecOptions<'_>,
    ) -> Result<Exec, ExecError> {
        check_process(process)?;
        let container = &self.container;
        let mut host = Host::look(container.group.layout(), process);
        if container.are_nodes_withheld() {
            host.withhold_nodes();
        }
        let placement = match options.cgroups {
            [] => container.group.placement(),
            below => container.group.placement_below(below)?,
        };
        let placement = join(placement, container.class.as_ref());
        let is_watched = is_watched(container.pid) && may_give_way(process, options.spec);
        let plan = exec_plan(container, process, &host, &placement, (options, is_watched))?;
        let streams = stdio.open().map_err(ExecError::Make)?;
        let (ours, theirs) = handshake::line().map_err(ExecError::Make)?;
        let to_parent = ChildEnd { line: theirs.as_fd(), gate: Gate::Open };
        let brought = Brought::default();
        let mut child = init::Child::new(&plan, &brought, streams.borrow(), to_parent);
        child.container = Some(&container.pidfd);
        child.gives_way = is_watched.then_some(container.die_with_parent);
        child.parents_end = Some(ours.as_raw_fd());
        let birth = Birth { container, child: &child, is_watched, is_at_the_top: options.cgroups.is_empty() };
        let made = birth.take_place(&placement);
        drop(theirs);
        let mut made = made.map_err(|unborn| match unborn {
            // A pid namespace whose first process has ended takes no other.
            Unborn::Made(errno @ (Errno::ESRCH | Errno::ENOMEM)) => ExecError::NotRunning(errno),
            Unborn::Made(errno) => ExecError::Make(errno),
            Unborn::Moved(err) => ExecError::Cgroup(err.into()),
        })?;
        let verdict = Verdict { line: &ours, plan: &plan, options };
        match verdict.wait(container, &mut made) {
            Ok(terminal) => {
                Ok(Exec { pid: made.pid, pidfd: made.pidfd, terminal, not_enforced: plan.not_enforced })
            }
            Err(err) => {
                let _ = made.pidfd.signal(Signal::KILL);
                let _ = made.pidfd.wait();
                Err(err)
            }
        }
    }
}

/// Whether somebody may look into what enters the container: its own processes, or others in a pid namespace that it has
/// joined, may have the right to trace, and it is worth something over the host's processes.
fn is_watched(first: Pid) -> bool {
    let is_open = may_trace(first) || !namespace::is_first(first);
    is_open && !is_elsewhere(first, "user").unwrap_or(true)
}

/// Whether a process, and what it executes, may have the right to trace others. One that cannot be told of may.
#[must_use]
pub fn may_trace(pid: Pid) -> bool {
    bounding_of(pid).map_or(true, |bound| bound.has("CAP_SYS_PTRACE"))
}

/// Whether another process can go on when the steps are done: a scheduler of its own may not be handed on, and who
/// listens to a filter is told the number of the process that has loaded it.
fn may_give_way(process: &Process, spec: Option<&Spec>) -> bool {
    let linux = spec.and_then(|spec| spec.linux().as_ref());
    let filter = linux.and_then(|linux| linux.seccomp().as_ref());
    process.scheduler().is_none() && filter.is_none_or(|filter| filter.listener_path().is_none())
}

/// The making of a later process.
struct Birth<'a> {
    container: &'a Container,
    child: &'a init::Child<'a>,
    /// Whether it enters the pid namespace by itself, when it has given up everything.
    is_watched: bool,
    /// Whether it is meant for the container's own group, and not for one below.
    is_at_the_top: bool,
}

impl Birth<'_> {
    /// Makes it in its group, or where the group lets it be made.
    fn take_place(&self, placement: &Placement) -> Result<process::Child, Unborn> {
        match (self.born_in(placement.born_in.as_deref()), self.container.group.scope()) {
            // A group that hands controllers down takes no process; the container has made groups below it then.
            (Err(Errno::EBUSY), _) if self.is_at_the_top => {
                self.born_in(self.container.unified_place().as_deref()).map_err(Unborn::Made)
            }
            (Err(Errno::EACCES), Some(scope)) if self.is_at_the_top => through_helper(
                |helper| scope.take_in(helper).map_err(Unborn::Moved),
                || self.make_elsewhere(&CloneRequest::default()),
            ),
            (other, _) => other.map_err(Unborn::Made),
        }
    }

    fn born_in(&self, group: Option<&Path>) -> Result<process::Child, Errno> {
        let group =
            open_dir(group).map_err(|errno| if errno == Errno::ENOENT { Errno::ESRCH } else { errno })?;
        let request = CloneRequest { cgroup: group.as_ref().map(AsFd::as_fd), ..CloneRequest::default() };
        if self.is_watched {
            self.make(&request)
        } else if may_come_back() {
            born_in_pid_namespace(|| self.enter(), || self.make(&request))
        } else {
            through_helper(|_| Ok(()), || self.make_elsewhere(&request))
        }
    }

    /// In a helper: enters and makes it as our own child.
    fn make_elsewhere(&self, request: &CloneRequest<'_>) -> Result<process::Child, Errno> {
        self.enter()?;
        self.make(&CloneRequest { is_sibling: true, ..*request })
    }

    fn enter(&self) -> Result<(), Errno> {
        if self.is_watched {
            return Ok(());
        }
        namespace::enter_those_of(&self.container.pidfd, Namespaces::PID)
    }

    fn make(&self, request: &CloneRequest<'_>) -> Result<process::Child, Errno> {
        process::clone(request, || init::run(self.child))
    }
}

fn exec_plan(
    container: &Container,
    process: &Process,
    host: &Host,
    placement: &Placement,
    (options, is_watched): (&ExecOptions<'_>, bool),
) -> Result<Plan, ExecError> {
    let mut not_enforced = Vec::new();
    let asked = process.capabilities().as_ref().and_then(|sets| sets.permitted().as_ref());
    if !host.withheld.is_empty() && asked.is_some_and(|asked| asked.contains(&Capability::Mknod)) {
        not_enforced.push(NotEnforced::lacking(
            "process.capabilities",
            format!("{MAKE_NODES} is withheld because no device rules are enforced here"),
        ));
    }
    let linux = options.spec.and_then(|spec| spec.linux().as_ref());
    let mut steps = vec![Step::Undumpable];
    steps.extend(container.die_with_parent.then_some(Step::DieWithParent));
    steps.extend([Step::NewSession, Step::Umask(0), Step::Stdio]);
    steps.extend(early_steps(process, host, &mut not_enforced)?);
    let [initial, last] = affinity(process)?;
    steps.extend(initial);
    steps.extend(placement.join.iter().cloned().map(Step::JoinCgroup));
    steps.extend(last);
    steps.extend(labels(process)?);
    // A container without mounts of its own has a root all the same.
    let shares_mounts = !is_elsewhere(container.pid, "mnt").unwrap_or(true);
    let mut joined_kinds = if shares_mounts { JOINED.without(Namespaces::MOUNT) } else { JOINED };
    for (kind, name) in [(Namespaces::USER, "user"), (Namespaces::TIME, "time")] {
        // Entering one's own user namespace again is refused; a kernel without time namespaces has no file.
        if is_elsewhere(container.pid, name).unwrap_or(false) {
            joined_kinds = joined_kinds.with(kind);
        }
    }
    if is_watched {
        joined_kinds = joined_kinds.with(Namespaces::PID);
    }
    steps.extend([Step::SessionKeyring, Step::JoinContainer(joined_kinds)]);
    if shares_mounts {
        let root = CString::new(format!("/proc/{}/root", container.pid)).map_err(|_| PlanError::Zero)?;
        steps.push(Step::ChangeRoot(Some(root)));
    }
    steps.extend(joined_kinds.contains(Namespaces::USER).then_some(Step::BecomeRoot));
    steps.extend(terminal_of(process, false));
    let joined = steps.len();
    let mut filter = filter_of(linux)?;
    let empty = Linux::default();
    steps.extend(surroundings(linux.unwrap_or(&empty), process)?);
    steps.extend(process_steps(process, host, &mut filter, options.preserved_fds, &mut not_enforced)?);
    steps.extend(container.die_with_parent.then_some(Step::DieWithParent));
    Ok(Plan {
        clone: Namespaces::NONE,
        pid_namespace: None,
        first: Vec::new(),
        users: Users::Host,
        for_parent: Vec::new(),
        sources: Vec::new(),
        net_devices: Vec::new(),
        hooks: None,
        steps,
        marks: [joined, joined],
        program: Program::of(process)?,
        late_filter: filter,
        profile: linux.and_then(|linux| linux.seccomp().clone()),
        not_enforced,
    })
}

/// Waiting until the process has executed its program.
struct Verdict<'a> {
    line: &'a ParentEnd,
    plan: &'a Plan,
    options: &'a ExecOptions<'a>,
}

impl Verdict<'_> {
    /// Serves the child until its program runs. Returns its terminal if that stays here. Another one may take its place.
    fn wait(&self, container: &Container, made: &mut process::Child) -> Result<Option<OwnedFd>, ExecError> {
        let mut terminal = None;
        while let Some((report, fd)) = self.line.receive().map_err(ExecError::Make)? {
            match report {
                Report::Failed { step, part, code, .. } => return Err(self.failed(step, part, code)),
                Report::NotExecuted { part, code, hook } => {
                    return Err(ExecFailure::new(&self.plan.program.name, (part, code), hook).into());
                }
                Report::Gives { step } => {
                    if let Some(fd) = fd {
                        let state = HookState::of(&container.id, self.options.spec, self.options.bundle);
                        let state = state.at("running", Some(container.pid.as_raw()));
                        let about = (made.pid.as_raw(), state);
                        terminal =
                            take(self.plan, step, fd, self.options.console_socket, about)?.or(terminal);
                    }
                }
                Report::Born => {
                    let pidfd = Pidfd::from_owned(fd.ok_or(ExecError::Make(Errno::EBADF))?);
                    let pid = pidfd.number().map_err(ExecError::Make)?;
                    let before = std::mem::replace(made, process::Child { pid, pidfd });
                    before.pidfd.wait().map_err(ExecError::Make)?;
                }
                Report::Asks { .. } | Report::Ready(_) => {}
            }
            // A child that has died meanwhile is noticed by the next look.
            let _ = self.line.go_on();
        }
        Ok(terminal)
    }

    fn failed(&self, step: usize, part: Part, code: i32) -> ExecError {
        let source = Errno::from_raw(code);
        let step = self.plan.steps.get(step);
        if matches!(step, Some(Step::JoinContainer(_))) && source == Errno::ESRCH {
            return ExecError::NotRunning(source);
        }
        let step = step.map_or_else(|| "run a step".to_owned(), ToString::to_string);
        ExecError::Step { step: format!("{step}{}", detail(part)), source }
    }
}
