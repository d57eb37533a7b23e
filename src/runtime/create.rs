//! From a bundle to a process that waits to be started.
//!
//! Everything the child will do is decided and every buffer filled before it exists. A failure at any point takes
//! back what was made: the process is killed and reaped, its control group removed; its mounts go with its namespace.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::bundle::{Bundle, BundleError, ContainerId};
use super::handshake::{self, ChildEnd, Gate, ParentEnd, Part, Report};
use super::init;
use super::ops::{Container, Created};
use super::steps::{Host, MAKE_NODES, Plan, PlanError, plan};
use crate::kernel::cgroup::{CgroupError, CgroupPath, Group, Layout};
use crate::kernel::event::monotonic;
use crate::kernel::namespace::{self, Namespaces};
use crate::kernel::process::{self, CloneRequest, Exit, dup_above_stdio};

/// Where one of the standard streams goes.
#[derive(Debug, Default)]
pub enum Stream {
    /// Nowhere.
    #[default]
    Null,
    /// Where the caller's goes.
    Inherit,
    /// To this open file.
    Fd(OwnedFd),
}

/// The three standard streams.
#[derive(Debug, Default)]
pub struct Stdio {
    /// Standard input.
    pub stdin: Stream,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
}

impl Stdio {
    /// All three where the caller's go.
    #[must_use]
    pub fn inherit() -> Self {
        Self { stdin: Stream::Inherit, stdout: Stream::Inherit, stderr: Stream::Inherit }
    }

    /// The descriptors, none of them in the way of the child's own three.
    pub(super) fn open(self) -> Result<Streams, Errno> {
        let open_one = |stream| match stream {
            Stream::Null => {
                let null = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
                dup_above_stdio(null).map(Some)
            }
            Stream::Inherit => Ok(None),
            Stream::Fd(fd) => dup_above_stdio(fd).map(Some),
        };
        Ok(Streams([open_one(self.stdin)?, open_one(self.stdout)?, open_one(self.stderr)?]))
    }
}

/// Opened standard streams; `None` is the caller's own.
pub(super) struct Streams([Option<OwnedFd>; 3]);

impl Streams {
    pub(super) fn borrow(&self) -> [BorrowedFd<'_>; 3] {
        std::array::from_fn(|number| {
            self.0[number].as_ref().map_or_else(|| process::own_stream(number), AsFd::as_fd)
        })
    }
}

/// How a container is made, apart from what its specification says.
#[derive(Debug, Clone)]
pub struct Options {
    /// The host's control groups.
    pub layout: Layout,
    /// Whether the container ends with the process that made it.
    pub die_with_parent: bool,
    /// Where the container waits to be started by another process; without it only [`Created::start`] can.
    pub start_socket: Option<PathBuf>,
}

/// Where the time of a creation went.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Looking at the host and planning the steps.
    pub plan: Duration,
    /// Making the control group and setting its limits.
    pub cgroup: Duration,
    /// Making the process.
    pub clone: Duration,
    /// Joining control groups and namespaces.
    pub join: Duration,
    /// Mounting everything.
    pub mounts: Duration,
    /// Limits, user, capabilities.
    pub identity: Duration,
    /// From the call to the child's word that it is ready.
    pub total: Duration,
}

/// Why a container was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The bundle is wrong.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The specification cannot be turned into steps.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The control group could not be made.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Somebody lives in the control group.
    #[error("control group {} has processes in it already", .0.display())]
    CgroupInUse(PathBuf),
    /// The specification's control group path is none.
    #[error("linux.cgroupsPath")]
    CgroupPath(#[source] CgroupError),
    /// Something the child needs could not be made ready.
    #[error("{what}")]
    Prepare {
        /// What.
        what: &'static str,
        /// Why.
        source: Errno,
    },
    /// The pid namespace could not be entered.
    #[error("join the pid namespace {}", path.display())]
    PidNamespace {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// The process could not be made.
    #[error("make the container's process")]
    Clone(#[source] Errno),
    /// A step failed.
    #[error("{step}{}", detail(*part))]
    Step {
        /// The step, as a phrase.
        step: String,
        /// Which part of it.
        part: Part,
        /// Why.
        source: Errno,
    },
    /// The limit is too small for the container to begin in.
    #[error("the container ran out of memory before its program was started")]
    OutOfMemory,
    /// The child ended without a word.
    #[error("the container's process ended before its program was started ({0:?})")]
    Ended(Option<Exit>),
}

fn detail(part: Part) -> &'static str {
    match part {
        Part::Whole => "",
        Part::Source => ": the source",
        Part::Target => ": the place within the root filesystem",
        Part::Attributes => ": the attributes",
        Part::Type => ": the filesystem type",
        Part::Option => ": the options",
    }
}

/// Makes the container and everything in it but its program, which waits for [`Created::start`].
///
/// The caller must have one thread.
pub fn create(
    id: &ContainerId,
    bundle: &Bundle,
    stdio: Stdio,
    options: &Options,
) -> Result<Created, CreateError> {
    let began = monotonic();
    let process = bundle.process()?;
    let mut host = Host::look(&options.layout, process);
    let path = cgroup_path(id, bundle)?;
    let group = options.layout.group(&path);
    let placement = group.placement();
    let plan_on = |host: &Host| plan(bundle, process, host, &path, &placement, options.die_with_parent);
    let mut plan = plan_on(&host)?;
    let planned = monotonic();

    if group.exists() && !group.procs()?.is_empty() {
        return Err(CreateError::CgroupInUse(path.as_path().into()));
    }
    options.layout.create(&path)?;
    let undo = Undo(Some(&group));
    if let Some(resources) = bundle.spec().linux().as_ref().and_then(|linux| linux.resources().as_ref()) {
        let mut missed = group.apply(resources);
        if let Some(open) = missed.iter_mut().find(|missed| missed.leaves_devices_open()) {
            // Whoever can make a node could then open the host's disks with it.
            host.withhold_nodes();
            plan = plan_on(&host)?;
            open.reason = format!("{}; {MAKE_NODES} is withheld instead", open.reason);
        }
        plan.not_enforced.extend(missed);
    }
    let grouped = monotonic();

    let launch = Launch { plan: &plan, group: &group, socket: options.start_socket.as_deref() };
    let (child, line) = launch.run(stdio)?;
    let cloned = monotonic();
    let times = match wait_ready(&line, &plan, &child, &group) {
        Ok(times) => times,
        Err(err) => {
            // Its pid namespace, and with it every mount, ends with it.
            let _ = child.pidfd.signal(process::Signal::KILL);
            let _ = child.pidfd.wait();
            return Err(err);
        }
    };
    undo.keep();
    let timing = Timing {
        plan: planned.saturating_sub(began),
        cgroup: grouped.saturating_sub(planned),
        clone: cloned.saturating_sub(grouped),
        join: times[1].saturating_sub(times[0]),
        mounts: times[2].saturating_sub(times[1]),
        identity: times[3].saturating_sub(times[2]),
        total: monotonic().saturating_sub(began),
    };
    let container = Container::new(id.clone(), child, group.clone(), options.die_with_parent);
    Ok(Created::new(container, line, plan, timing))
}

/// The path in the specification, or one of the container's own.
fn cgroup_path(id: &ContainerId, bundle: &Bundle) -> Result<CgroupPath, CreateError> {
    let wanted = bundle.spec().linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
    let text = wanted.map_or_else(|| id.to_string(), |path| path.to_string_lossy().into_owned());
    CgroupPath::parse(&text).map_err(CreateError::CgroupPath)
}

/// Removes the group of a container that did not come to be.
struct Undo<'a>(Option<&'a Group>);

impl Undo<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The first error is the one to tell.
            let _ = group.kill();
            let _ = group.delete();
        }
    }
}

/// Making the process.
struct Launch<'a> {
    plan: &'a Plan,
    group: &'a Group,
    socket: Option<&'a Path>,
}

impl Launch<'_> {
    fn run(&self, stdio: Stdio) -> Result<(process::Child, ParentEnd), CreateError> {
        let prepare = |what| move |source| CreateError::Prepare { what, source };
        let streams = stdio.open().map_err(prepare("open the standard streams"))?;
        let (ours, theirs) = handshake::line().map_err(prepare("make a socket pair"))?;
        let listener = self.socket.map(handshake::listen).transpose();
        let listener = listener.map_err(prepare("make the start socket"))?;
        let born_in = open_dir(self.group.unified_dir().as_deref())
            .map_err(prepare("open the version 2 control group"))?;
        let request = CloneRequest { namespaces: self.plan.clone, cgroup: born_in.as_ref().map(AsFd::as_fd) };
        let gate = listener.as_ref().map_or(Gate::Line, |listener| Gate::Socket(listener.as_fd()));
        let to_parent = ChildEnd { line: theirs.as_fd(), gate };
        let child = init::Child::new(self.plan, streams.borrow(), to_parent);
        let made = match &self.plan.pid_namespace {
            None => process::clone(&request, || init::run(&child)).map_err(CreateError::Clone)?,
            Some(path) => {
                let error = |source| CreateError::PidNamespace { path: path.clone(), source };
                let target = namespace::open(path).map_err(error)?;
                born_in_pid_namespace(
                    || namespace::enter(&target, Namespaces::PID),
                    || process::clone(&request, || init::run(&child)),
                )
                .map_err(error)?
            }
        };
        Ok((made, ours))
    }
}

/// Makes children for another pid namespace while `make` runs, and for our own again afterwards.
pub(super) fn born_in_pid_namespace<T>(
    enter: impl FnOnce() -> Result<(), Errno>,
    make: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let own = namespace::open(Path::new("/proc/self/ns/pid"))?;
    enter()?;
    let child = make();
    namespace::enter(&own, Namespaces::PID)?;
    child
}

pub(super) fn open_dir(path: Option<&Path>) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    path.map(|path| open(path, flags, Mode::empty())).transpose()
}

fn wait_ready(
    line: &ParentEnd,
    plan: &Plan,
    child: &process::Child,
    group: &Group,
) -> Result<[Duration; 4], CreateError> {
    let report =
        line.receive().map_err(|source| CreateError::Prepare { what: "hear from the child", source })?;
    match report {
        Some(Report::Ready(times)) => Ok(times),
        Some(Report::Failed { step, part, errno }) => {
            let step = plan.steps.get(step).map_or_else(|| format!("step {step}"), ToString::to_string);
            Err(CreateError::Step { step, part, source: errno })
        }
        Some(Report::NotExecuted { errno, .. }) => Err(CreateError::Step {
            step: "execute the program".to_owned(),
            part: Part::Whole,
            source: errno,
        }),
        None if group.oom_kills() > 0 => Err(CreateError::OutOfMemory),
        None => Err(CreateError::Ended(child.pidfd.peek().ok().flatten())),
    }
}
