//! The order of things: what can only be done as the host's root comes first, what gives up power last.

use std::cell::RefCell;
use std::ffi::CString;
use std::path::PathBuf;

use oci_spec::runtime::{Hooks, Linux, LinuxNetDevice, LinuxSeccomp, Process, Spec};

use super::attributes::{labels, surroundings};
use super::label::{labelled, mount_label};
use super::mounts::{self, Entry, Scene, clean};
use super::namespaces::{Users, Wanted};
use super::nodes;
use super::process::{Program, early, filter_of, process_steps, terminal_of, text};
use super::remount::{self, Kept};
use super::root;
use super::{Host, MountPlanError, NetDevice, Request, Source, Step};
use crate::kernel::cgroup::{CgroupPath, NotEnforced, Placement};
use crate::kernel::mount::{Attributes, Propagation};
use crate::kernel::namespace::Namespaces;
use crate::kernel::security::seccomp::{Filter, SeccompError};
use crate::runtime::bundle::Bundle;
use crate::runtime::defaults;
use crate::runtime::inherited::has_inherited;

/// Why a bundle cannot be turned into steps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A string with a zero byte.
    #[error("a string of the specification holds a zero byte")]
    Zero,
    /// A capability without a number.
    #[error("process.capabilities: {0} is unknown")]
    Capability(String),
    /// A propagation that is none.
    #[error("linux.rootfsPropagation: {0:?} is unknown")]
    RootPropagation(String),
    /// A mount.
    #[error(transparent)]
    Mount(#[from] MountPlanError),
    /// A member with a value that cannot be.
    #[error("{member}: {reason}")]
    Member {
        /// The member.
        member: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A profile of system calls.
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
}

/// Everything that is decided before the child exists.
#[derive(Debug)]
pub struct Plan {
    /// Namespaces that the child is born in.
    pub clone: Namespaces,
    /// A pid namespace to be born in; one cannot move to it later.
    pub pid_namespace: Option<PathBuf>,
    /// Other namespaces to be born in.
    pub first: Vec<(Namespaces, PathBuf)>,
    /// Whose users the container's are.
    pub users: Users,
    /// What the parent does for a child that has no rights over the host.
    pub for_parent: Vec<Step>,
    /// Mounts that the parent makes ready.
    pub sources: Vec<Source>,
    /// Network devices that the parent brings.
    pub net_devices: Vec<NetDevice>,
    /// What the child does, in order.
    pub steps: Vec<Step>,
    /// Which of the steps begin the parts that are timed: mounts, then identity.
    pub marks: [usize; 2],
    /// What it executes then.
    pub program: Program,
    /// The filter to load at the very last moment.
    pub late_filter: Option<Filter>,
    /// The hooks, which run at several places.
    pub hooks: Option<Hooks>,
    /// Where a filter's listener goes.
    pub profile: Option<LinuxSeccomp>,
    /// What this host cannot hold to.
    pub not_enforced: Vec<NotEnforced>,
}

/// What surrounds a container besides its specification.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The host.
    pub host: &'a Host,
    /// Its control group's path.
    pub cgroup: &'a CgroupPath,
    /// How it gets there.
    pub placement: &'a Placement,
    /// How it is made.
    pub manner: Manner,
}

/// How a container is made, as far as it changes the steps.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// Whether it ends with the process that made it.
    pub die_with_parent: bool,
    /// Descriptors after the standard three that the program inherits.
    pub preserved_fds: u32,
    /// Whether the caller's session keyring is kept.
    pub keeps_keyring: bool,
    /// Whether the root is changed without pivot_root, which an initial ramdisk does not allow.
    pub no_pivot: bool,
}

/// Turns a bundle into steps.
pub fn plan(bundle: &Bundle, process: &Process, setting: &Setting<'_>) -> Result<Plan, PlanError> {
    let Setting { host, cgroup, placement, manner } = *setting;
    let spec = bundle.spec();
    let empty = Linux::default();
    let linux = spec.linux().as_ref().unwrap_or(&empty);
    let namespaces = Wanted::of(linux)?;
    let mut not_enforced = Vec::new();

    let mut steps = vec![Step::Undumpable];
    steps.extend(manner.die_with_parent.then_some(Step::DieWithParent));
    steps.extend([Step::NewSession, Step::Umask(0), Step::Stdio]);
    let mut for_parent = early(process, host, &mut not_enforced)?;
    if !namespaces.users.are_apart() {
        steps.append(&mut for_parent);
    }
    steps.extend(placement.join.iter().cloned().map(Step::JoinCgroup));
    steps.extend((!manner.keeps_keyring).then_some(Step::SessionKeyring));
    steps.extend(namespaces.steps.iter().cloned());
    let net_devices = net_devices(linux);
    steps.extend((!net_devices.is_empty()).then_some(Step::Ask(Request::NetDevices)));
    steps.extend(names(spec)?);
    steps.extend(sysctls(linux)?);

    let mounts_begin = steps.len();
    let scene = Scene {
        host,
        bundle: bundle.dir(),
        root: bundle.root(),
        cgroup_namespace: namespaces.has_cgroup,
        cgroup,
        no_pivot: manner.no_pivot,
        users: &namespaces.users,
        label: mount_label(linux, host)?,
        sources: RefCell::default(),
    };
    steps.extend(filesystem(spec, linux, process, &scene)?);
    let sources = scene.sources.into_inner();

    let identity_begins = steps.len();
    let mut filter = filter_of(Some(linux))?;
    steps.extend(surroundings(linux, process)?);
    steps.extend(process_steps(process, host, &mut filter, manner.preserved_fds, &mut not_enforced)?);
    if manner.die_with_parent {
        // The change of user has cleared it.
        steps.push(Step::DieWithParent);
    }
    if namespaces.users.are_apart() {
        let is_limit = |step: &mut Step| matches!(step, Step::Limit(..));
        for_parent.extend(steps.extract_if(.., is_limit));
    }
    Ok(Plan {
        clone: namespaces.clone,
        pid_namespace: namespaces.pid,
        first: namespaces.first,
        users: namespaces.users,
        for_parent,
        sources,
        net_devices,
        steps,
        marks: [mounts_begin, identity_begins],
        program: Program::of(process)?,
        late_filter: filter,
        profile: linux.seccomp().clone(),
        hooks: spec.hooks().clone(),
        not_enforced,
    })
}

/// In the order of their names, because the specification has none.
fn net_devices(linux: &Linux) -> Vec<NetDevice> {
    let one = |(name, device): (&String, &LinuxNetDevice)| {
        let wanted = device.name().clone().filter(|wanted| !wanted.is_empty());
        NetDevice { name: name.clone(), as_name: wanted.unwrap_or_else(|| name.clone()) }
    };
    let mut devices: Vec<_> = linux.net_devices().iter().flatten().map(one).collect();
    devices.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    devices
}

fn names(spec: &Spec) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    if let Some(name) = spec.hostname().as_ref().filter(|name| !name.is_empty()) {
        steps.push(Step::HostName(text(name.as_str())?));
    }
    if let Some(name) = spec.domainname().as_ref().filter(|name| !name.is_empty()) {
        steps.push(Step::DomainName(text(name.as_str())?));
    }
    Ok(steps)
}

/// Parameters are written through the host's /proc, which no image can have prepared; the kernel shows each process
/// those of its own namespaces.
fn sysctls(linux: &Linux) -> Result<Vec<Step>, PlanError> {
    let mut wanted: Vec<_> = linux.sysctl().iter().flatten().collect();
    wanted.sort_unstable();
    let step = |(name, value): (&String, &String)| {
        // With dots the separator is a dot; where there is a slash, dots belong to the names.
        let path = if name.contains('/') { name.clone() } else { name.replace('.', "/") };
        Ok(Step::Sysctl(name.clone(), text(format!("/proc/sys/{path}"))?, text(value.as_str())?))
    };
    wanted.into_iter().map(step).collect()
}

fn filesystem(
    spec: &Spec,
    linux: &Linux,
    process: &Process,
    scene: &Scene<'_>,
) -> Result<Vec<Step>, PlanError> {
    let entries = spec.mounts().iter().flatten().enumerate();
    let entries = entries
        .map(|(at, mount)| Ok(labelled(Entry::read(at, mount)?, scene.label, scene.users)))
        .collect::<Result<Vec<_>, MountPlanError>>()?;
    let masked = linux.masked_paths().as_deref().unwrap_or_default();

    let is_inherited = has_inherited(spec);
    let kept = Kept::of(linux, is_inherited);
    // What is mounted in the caller's own namespace is not ours to change.
    let mut steps: Vec<Step> =
        (!is_inherited).then_some(Step::HostPropagation(Propagation::Slave)).into_iter().collect();
    if !masked.is_empty() {
        steps.push(Step::FindNull);
    }
    let root = entries.iter().find(|entry| entry.is_root());
    steps.push(root::root(scene, root)?);
    let mut late = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_root()) {
        if entry.remounts() {
            let (step, is_late) = remount::step(scene, entry, &kept)?;
            let list = if is_late { &mut late } else { &mut steps };
            list.push(step);
            continue;
        }
        let (now, later) = mounts::steps(scene, entry)?;
        steps.extend(now);
        late.extend(later);
    }
    if !entries.iter().any(Entry::is_bound_dev) {
        steps.extend(devices(linux));
        steps.extend(nodes::dev_links());
    }
    steps.extend(terminal_of(process, true));
    steps.push(Step::Directory(path_text(&clean(process.cwd()))?));
    steps.extend(late);
    for path in linux.readonly_paths().iter().flatten() {
        steps.push(Step::ReadOnly(path_text(path)?));
    }
    for path in masked {
        steps.push(Step::Mask(path_text(path)?));
    }
    if spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly) == Some(true) {
        steps.push(Step::Attributes(c"/".to_owned(), Attributes::READ_ONLY));
    }
    if !scene.host.withheld.is_empty() && entries.iter().any(Entry::is_dev) && are_all_in_dev(linux) {
        // Nodes that cannot be made must not come with the image either.
        steps.push(Step::Attributes(c"/".to_owned(), Attributes::NO_DEV));
    }
    steps.extend(hooks(spec));
    steps.extend(labels(process)?);
    steps.push(match (is_inherited, scene.no_pivot) {
        (true, _) => Step::ChangeRoot(None),
        (false, true) => Step::MoveRoot(scene.host.pseudo_mounts.clone()),
        (false, false) => Step::Pivot,
    });
    if let Some(wanted) = linux.rootfs_propagation().as_ref().filter(|wanted| !wanted.is_empty()) {
        let (kind, deep) = root_propagation(wanted)?;
        steps.push(Step::RootPropagation(kind, deep));
    }
    Ok(steps)
}

/// The hooks that run while the container is made, when everything but its root is in place.
#[allow(deprecated, reason = "still written by container managers")]
fn hooks(spec: &Spec) -> Vec<Step> {
    let Some(hooks) = spec.hooks() else { return Vec::new() };
    let has = |list: &Option<Vec<_>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let mut steps = Vec::new();
    if has(hooks.prestart()) || has(hooks.create_runtime()) {
        steps.push(Step::Ask(Request::RuntimeHooks));
    }
    if has(hooks.create_container()) {
        steps.push(Step::ContainerHooks);
    }
    steps
}

fn path_text(path: &str) -> Result<CString, PlanError> {
    text(path)
}

/// The devices every container has, and those of the specification, which win.
fn devices(linux: &Linux) -> Vec<Step> {
    let own = linux.devices().as_deref().unwrap_or_default();
    let is_replaced = |path: &PathBuf| own.iter().any(|device| device.path() == path);
    let usual = defaults::devices();
    let usual = usual.iter().filter(|device| !is_replaced(device.path()));
    usual.chain(own).filter_map(nodes::node).collect()
}

fn are_all_in_dev(linux: &Linux) -> bool {
    linux.devices().iter().flatten().all(|device| device.path().starts_with("/dev"))
}

fn root_propagation(wanted: &str) -> Result<(Propagation, bool), PlanError> {
    let deep = wanted.starts_with('r');
    let kind = match wanted.strip_prefix('r').unwrap_or(wanted) {
        "private" => Propagation::Private,
        "slave" => Propagation::Slave,
        "shared" => Propagation::Shared,
        "unbindable" => Propagation::Unbindable,
        _ => return Err(PlanError::RootPropagation(wanted.to_owned())),
    };
    Ok((kind, deep))
}
