//! The order of things: what can only be done as the host's root comes first, what gives up power last.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxNamespaceType, LinuxSeccomp, Process, Spec};

use super::mounts::{self, Entry, Scene, clean};
use super::process::{Program, early, filter_of, process_steps, terminal_of, text};
use super::{Host, MountPlanError, Step};
use crate::kernel::cgroup::{CgroupPath, NotEnforced, Placement};
use crate::kernel::mount::{Attributes, Propagation};
use crate::kernel::namespace::Namespaces;
use crate::kernel::security::seccomp::{Filter, SeccompError};
use crate::runtime::bundle::Bundle;
use crate::runtime::defaults;

/// Why a bundle cannot be turned into steps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No program.
    #[error("process.args: names no program")]
    NoProgram,
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
    /// What the child does, in order.
    pub steps: Vec<Step>,
    /// Which of the steps begin the parts that are timed: mounts, then identity.
    pub marks: [usize; 2],
    /// What it executes then.
    pub program: Program,
    /// The filter to load at the very last moment.
    pub late_filter: Option<Filter>,
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
    steps.extend(early(process, host, &mut not_enforced)?);
    steps.extend(placement.join.iter().cloned().map(Step::JoinCgroup));
    steps.extend((!manner.keeps_keyring).then_some(Step::SessionKeyring));
    steps.extend(namespaces.steps);
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
    };
    steps.extend(filesystem(spec, linux, process, &scene)?);

    let identity_begins = steps.len();
    let mut filter = filter_of(Some(linux))?;
    steps.extend(process_steps(process, host, &mut filter, manner.preserved_fds, &mut not_enforced)?);
    if manner.die_with_parent {
        // The change of user has cleared it.
        steps.push(Step::DieWithParent);
    }
    Ok(Plan {
        clone: namespaces.clone,
        pid_namespace: namespaces.pid,
        steps,
        marks: [mounts_begin, identity_begins],
        program: Program::of(process)?,
        late_filter: filter,
        profile: linux.seccomp().clone(),
        not_enforced,
    })
}

/// Which namespaces are new from birth, which are joined, which are made by the child.
struct Wanted {
    clone: Namespaces,
    pid: Option<PathBuf>,
    steps: Vec<Step>,
    has_cgroup: bool,
}

impl Wanted {
    fn of(linux: &Linux) -> Result<Self, PlanError> {
        let mut out = Self { clone: Namespaces::NONE, pid: None, steps: Vec::new(), has_cgroup: false };
        for namespace in linux.namespaces().iter().flatten() {
            let kind = kind_of(namespace.typ());
            match namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty()) {
                Some(path) if kind == Namespaces::PID => out.pid = Some(path.clone()),
                Some(path) => {
                    out.steps.push(Step::JoinNamespace(kind, text(path.as_os_str().as_bytes())?));
                }
                // Made once the control groups are joined, which then are its root.
                None if kind == Namespaces::CGROUP => {}
                None => out.clone = out.clone | kind,
            }
            if kind == Namespaces::CGROUP {
                out.has_cgroup = true;
                if namespace.path().is_none() {
                    out.steps.push(Step::NewNamespaces(kind));
                }
            }
        }
        Ok(out)
    }
}

fn kind_of(kind: LinuxNamespaceType) -> Namespaces {
    match kind {
        LinuxNamespaceType::Mount => Namespaces::MOUNT,
        LinuxNamespaceType::Cgroup => Namespaces::CGROUP,
        LinuxNamespaceType::Uts => Namespaces::UTS,
        LinuxNamespaceType::Ipc => Namespaces::IPC,
        LinuxNamespaceType::User => Namespaces::USER,
        LinuxNamespaceType::Pid => Namespaces::PID,
        LinuxNamespaceType::Network => Namespaces::NETWORK,
        LinuxNamespaceType::Time => Namespaces::TIME,
    }
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
    let entries = entries.map(|(at, mount)| Entry::read(at, mount)).collect::<Result<Vec<_>, _>>()?;
    let masked = linux.masked_paths().as_deref().unwrap_or_default();

    let mut steps = vec![Step::HostPropagation(Propagation::Slave)];
    if !masked.is_empty() {
        steps.push(Step::FindNull);
    }
    let root = entries.iter().find(|entry| entry.is_root());
    steps.push(mounts::root(scene, root)?);
    let mut late = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_root()) {
        let (now, later) = mounts::steps(scene, entry)?;
        steps.extend(now);
        late.extend(later);
    }
    if !entries.iter().any(Entry::is_bound_dev) {
        steps.extend(devices(linux));
        steps.extend(mounts::dev_links());
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
    steps.push(if scene.no_pivot { Step::MoveRoot(scene.host.pseudo_mounts.clone()) } else { Step::Pivot });
    if let Some(wanted) = linux.rootfs_propagation().as_ref().filter(|wanted| !wanted.is_empty()) {
        let (kind, deep) = root_propagation(wanted)?;
        steps.push(Step::RootPropagation(kind, deep));
    }
    Ok(steps)
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
    usual.chain(own).filter_map(mounts::node).collect()
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
