//! From a bundle to a process that waits to be started.
//!
//! Everything the child will do is decided and every buffer filled before it exists. A failure at any point takes
//! back what was made: the process is killed and reaped, its control group removed; its mounts go with its namespace.

mod class;
mod errors;
mod first_process;

pub use class::class_of;
pub(super) use class::join;
pub use errors::CreateError;
pub(super) use errors::detail;
pub use first_process::{FirstProcess, close_own_program, hold_own_program};

use std::path::PathBuf;
use std::time::Duration;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};

use super::attend::{Attendant, HookState};
use super::bundle::{Bundle, ContainerId};
use super::defaults;
use super::hooks::Inside;
use super::inherited::unmount_inherited;
use super::init::{self, Brought};
use super::launch::Launch;
use super::ops::{Container, Created};
use super::sources;
use super::steps::{Host, MAKE_NODES, Manner, Setting, plan};
use super::streams::Stdio;
use crate::kernel::cgroup::{CgroupError, CgroupPath, Group, Layout, Manager, NotEnforced, Scope};
use crate::kernel::event::monotonic;
use crate::kernel::process;
use crate::kernel::resctrl::Class;

/// How a container is made, apart from what its specification says.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, of which any may be set"
)]
pub struct Options {
    /// The host's control groups.
    pub layout: Layout,
    /// Whether the container ends with the process that made it.
    pub die_with_parent: bool,
    /// Where the container waits to be started by another process; without it only [`Created::start`] can.
    pub start_socket: Option<PathBuf>,
    /// Where the master of the container's terminal is sent; without it [`Created::take_terminal`] has it.
    pub console_socket: Option<PathBuf>,
    /// Descriptors after the standard three that the program inherits.
    pub preserved_fds: u32,
    /// Whether the caller's session keyring is kept.
    pub keeps_keyring: bool,
    /// Whether the root is changed without pivot_root, which an initial ramdisk does not allow.
    pub no_pivot: bool,
    /// Whether systemd makes the control group, as a scope.
    pub systemd: bool,
    /// Whether the first process is one of ours.
    pub first_process: FirstProcess,
    /// Whether a limit that the kernel refuses is an error, as the specification has it, or is told.
    pub is_strict: bool,
}

impl Options {
    /// The usual way on this host.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            die_with_parent: false,
            start_socket: None,
            console_socket: None,
            preserved_fds: 0,
            keeps_keyring: false,
            no_pivot: false,
            systemd: false,
            first_process: FirstProcess::Program,
            is_strict: false,
        }
    }

    fn manner(&self) -> Manner {
        Manner {
            die_with_parent: self.die_with_parent,
            preserved_fds: self.preserved_fds,
            keeps_keyring: self.keeps_keyring,
            no_pivot: self.no_pivot,
        }
    }
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

impl Timing {
    /// From when the parent had [begun, planned, made the group, made the child], and the child's own four marks.
    fn of([began, planned, grouped, cloned]: [Duration; 4], child: [Duration; 4]) -> Self {
        Self {
            plan: planned.saturating_sub(began),
            cgroup: grouped.saturating_sub(planned),
            clone: cloned.saturating_sub(grouped),
            join: child[1].saturating_sub(child[0]),
            mounts: child[2].saturating_sub(child[1]),
            identity: child[3].saturating_sub(child[2]),
            total: monotonic().saturating_sub(began),
        }
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
    make(id, bundle, stdio, options).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = unmount_inherited(bundle.spec(), bundle.root());
    })
}

fn make(id: &ContainerId, bundle: &Bundle, stdio: Stdio, options: &Options) -> Result<Created, CreateError> {
    let began = monotonic();
    let process = bundle.first_process();
    let mut host = look(bundle, options);
    let (path, scope) = place(id, bundle, options.systemd)?;
    let group = options.layout.group(&path).in_scope(scope.clone());
    let class = class_of(id, bundle.spec())?;
    let placement = join(group.placement(), class.as_ref().map(|(_, class)| class));
    let plan_on = |host: &Host| {
        let setting = Setting { host, cgroup: &path, placement: &placement, manner: options.manner() };
        plan(bundle, process, &setting)
    };
    let mut plan = plan_on(&host)?;
    let planned = monotonic();

    if group.exists() && !group.procs()?.is_empty() {
        return Err(CreateError::CgroupInUse(path.as_path().into()));
    }
    let resources = bundle.spec().linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let unit = scope.map(|scope| scope.begin(resources)).transpose().map_err(CgroupError::from)?;
    options.layout.create(&path)?;
    let mut undo = Undo { group: Some(&group), class: None };
    if let Some((wish, class)) = &class {
        class.make(wish)?;
        undo.class = Some(class);
    }
    let (missed, are_devices_open) = limit(&group, resources, options.is_strict)?;
    if are_devices_open {
        // Whoever can make a node could then open the host's disks with it.
        host.withhold_nodes();
        plan = plan_on(&host)?;
    }
    plan.not_enforced.extend_from_slice(bundle.missed());
    plan.not_enforced.extend(missed);
    let grouped = monotonic();

    let own = options.first_process.open();
    let own = own.map_err(|source| CreateError::Prepare { what: "open the first process", source })?;
    let is_alone = options.first_process == FirstProcess::Pause;
    let attendant = own.map(|program| init::Attendant { program, is_alone });
    let state = HookState::new(id, bundle);
    let brought =
        Brought { hooks: Inside::of(plan.hooks.as_ref(), &state)?, sources: sources::open(&plan.sources)? };
    let socket = options.start_socket.as_deref();
    let launch = Launch { brought: &brought, plan: &plan, group: &group, socket, attendant };
    let (child, line) = launch.run(stdio)?;
    let cloned = monotonic();
    let attendant = Attendant {
        line: &line,
        plan: &plan,
        child: &child,
        group: &group,
        console_socket: options.console_socket.as_deref(),
        state,
    };
    let (times, terminal) = match attendant.until_ready() {
        Ok(ready) => ready,
        Err(err) => {
            // Its pid namespace, and with it every mount, ends with it.
            let _ = child.pidfd.signal(process::Signal::KILL);
            let _ = child.pidfd.wait();
            attendant.after_failure();
            return Err(err);
        }
    };
    undo.keep();
    // The container's own process is in its place.
    drop(unit);
    let timing = Timing::of([began, planned, grouped, cloned], times);
    let mut container = Container::new(id.clone(), child, group.clone(), options.die_with_parent);
    container.class = class.map(|(_, class)| class);
    Ok(Created::new(container, line, plan, timing, terminal))
}

/// The facts about the host that this container makes a difference to.
fn look(bundle: &Bundle, options: &Options) -> Host {
    let mut host = Host::look(&options.layout, bundle.first_process());
    if options.no_pivot {
        host.find_pseudo_mounts();
    }
    if bundle.remounts() {
        host.find_filesystems();
    }
    host
}

/// Sets the limits. Returns those that this host does not hold, and whether devices are open that rules should close.
fn limit(
    group: &Group,
    resources: Option<&LinuxResources>,
    is_strict: bool,
) -> Result<(Vec<NotEnforced>, bool), CreateError> {
    let Some(resources) = resources else { return Ok((Vec::new(), false)) };
    let mut missed = group.apply(&with_usual_devices(resources));
    let open = missed.iter_mut().find(|missed| missed.leaves_devices_open());
    let are_devices_open = open.is_some();
    if let Some(open) = open {
        open.reason = format!("{}; {MAKE_NODES} is withheld instead", open.reason);
    }
    let is_error = |missed: &&NotEnforced| is_strict && missed.is_refused && !missed.leaves_devices_open();
    match missed.iter().find(is_error) {
        Some(refused) => Err(CreateError::Limit(refused.clone())),
        None => Ok((missed, are_devices_open)),
    }
}

/// The path in the specification, or one of the container's own; and systemd's name for it if it is to make it.
pub fn place(
    id: &ContainerId,
    bundle: &Bundle,
    systemd: bool,
) -> Result<(CgroupPath, Option<Scope>), CreateError> {
    let wanted = bundle.spec().linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
    let wanted = wanted.filter(|path| !path.as_os_str().is_empty());
    let text = wanted.map(|path| path.to_string_lossy().into_owned());
    if systemd {
        let manager = Manager::ours();
        let text = text.unwrap_or_else(|| format!(":hythe:{id}"));
        let scope = Scope::parse(&text, manager.usual_slice());
        let scope = scope.map_err(|err| CreateError::CgroupPath(err.into()))?;
        return Ok((scope.path_of(manager)?, Some(scope)));
    }
    let path = CgroupPath::parse(&text.unwrap_or_else(|| id.to_string())).map_err(CreateError::CgroupPath)?;
    Ok((path, None))
}

/// The limits, with rules that open the devices every container has where others close them.
fn with_usual_devices(resources: &LinuxResources) -> LinuxResources {
    let mut resources = resources.clone();
    if let Some(rules) =
        resources.devices_mut().as_mut().filter(|rules| rules.iter().any(|rule| !rule.allow()))
    {
        rules.extend(defaults::device_rules().into_iter().filter(LinuxDeviceCgroup::allow));
    }
    resources
}

/// Removes the groups of a container that did not come to be.
struct Undo<'a> {
    group: Option<&'a Group>,
    class: Option<&'a Class>,
}

impl Undo<'_> {
    fn keep(mut self) {
        (self.group, self.class) = (None, None);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        // The first error is the one to tell.
        if let Some(group) = self.group {
            let _ = group.kill();
            let _ = group.delete();
        }
        let _ = self.class.map(Class::remove);
    }
}
