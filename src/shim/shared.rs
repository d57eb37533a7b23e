//! What the containers of a task share: network, processes, queues, memory.
//!
//! None of it is any container's own, so each may end and begin as it likes. The network and the queues are
//! namespaces that the shim holds open. A pid namespace needs a process: the shim has one that does nothing but reap,
//! made like a container, with nothing in its root and no right at all. The memory is a file system that is mounted in
//! the shim's own mount namespace and nowhere on the host, so it goes with the shim.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use nix::errno::Errno;
use oci_spec::{
    OciSpecError,
    runtime::{
        Capabilities, LinuxBuilder, LinuxCapabilities, LinuxNamespaceBuilder, LinuxNamespaceType,
        MountBuilder, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
    },
};

use super::{
    bundle::{PrepareError, join, path_of},
    spec::{SharedMemory, TaskSpec},
};
use crate::{
    kernel::{
        cgroup::Layout,
        mount::{self, Attributes, Filesystem, Propagation},
        namespace::{self, NamespaceError, Namespaces},
    },
    runtime::{
        self, Bundle, BundleError, ContainerId, CreateError, FirstProcess, InvalidId, Options, Running,
        StartError, Stdio,
    },
};

/// The control group of the process that holds a pid namespace; no container can have the name.
const PAUSE: &str = ".pause";

/// Something that the containers were to share could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShareError {
    /// A namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The process that holds the pid namespace: its description.
    #[error("describe the process that holds the task's pid namespace")]
    Describe(#[from] OciSpecError),
    /// The same: its bundle.
    #[error("prepare the process that holds the task's pid namespace")]
    Prepare(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The same: itself.
    #[error("start the process that holds the task's pid namespace")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The users.
    #[error("open a namespace of the task's own users")]
    Users(#[source] Errno),
    /// The first processes that are ours.
    #[error("open this program for first processes")]
    Own(#[source] Errno),
    /// The memory.
    #[error("mount the task's shared memory on {}", path.display())]
    Memory {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<PrepareError> for ShareError {
    fn from(error: PrepareError) -> Self {
        Self::Prepare(Box::new(error))
    }
}

impl From<BundleError> for ShareError {
    fn from(error: BundleError) -> Self {
        Self::Prepare(Box::new(error))
    }
}

impl From<InvalidId> for ShareError {
    fn from(error: InvalidId) -> Self {
        Self::Prepare(Box::new(error))
    }
}

impl From<CreateError> for ShareError {
    fn from(error: CreateError) -> Self {
        Self::Start(Box::new(error))
    }
}

impl From<StartError> for ShareError {
    fn from(error: StartError) -> Self {
        Self::Start(Box::new(error))
    }
}

/// What the containers share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The task's network.
    pub(super) network: Option<OwnedFd>,
    /// The task's users, where they are not the host's.
    pub(super) users: Option<OwnedFd>,
    /// The task's queues.
    pub(super) queues: Option<OwnedFd>,
    /// The process that holds the pid namespace.
    pause: Option<Running>,
}

impl Shared {
    /// Makes what the containers of the task ask for.
    pub(super) fn make(
        spec: &TaskSpec,
        network: Option<OwnedFd>,
        layout: &Layout,
    ) -> Result<Self, ShareError> {
        let wants = |wanted: fn(&super::spec::Sharing) -> bool| {
            spec.containers.iter().any(|container| wanted(&container.shares))
        };
        let has_pause = wants(|shares| shares.pid) || (wants(|shares| shares.ipc) && spec.users.is_some());
        if has_pause || spec.containers.iter().any(|container| container.init) {
            runtime::hold_own_program().map_err(ShareError::Own)?;
        }
        if let Some(memory) = &spec.shared_memory {
            let failed = |source| ShareError::Memory { path: memory.path.clone(), source };
            mount_memory(memory).map_err(failed)?;
        }
        let users = spec.users.and(network.as_ref()).map(namespace::owner_of).transpose();
        let users = users.map_err(ShareError::Users)?;
        let (has_own, wants_queues) = (users.is_some(), wants(|shares| shares.ipc));
        // A namespace belongs to the users of who makes it, which the process there makes for itself.
        let queues = (wants_queues && !has_own).then(namespace::new_ipc).transpose()?;
        let mut shared = Self { network, users, queues, pause: None };
        if wants(|shares| shares.pid) || (wants_queues && has_own) {
            let pause = shared.start_pause(spec, layout)?;
            if wants_queues && has_own {
                let path = format!("/proc/{}/ns/ipc", pause.pid());
                shared.queues = Some(namespace::open(Path::new(&path)).map_err(ShareError::Users)?);
            }
            shared.pause = Some(pause);
        }
        Ok(shared)
    }

    /// The file of the pid namespace.
    pub(super) fn processes(&self) -> Option<String> {
        self.pause.as_ref().map(|pause| format!("/proc/{}/ns/pid", pause.pid()))
    }

    /// Takes away the process that holds the pid namespace, and with it all others in there.
    pub(super) fn clear(&mut self) -> Result<(), runtime::DeleteError> {
        self.pause.take().map_or(Ok(()), Running::delete)
    }

    fn start_pause(&self, spec: &TaskSpec, layout: &Layout) -> Result<Running, ShareError> {
        // Its root is mounted on this directory in its own mount namespace only.
        let place = spec.ledger.parent().unwrap_or(Path::new("/"));
        let bundle = Bundle::new(place, self.pause_spec(place, &spec.cgroup.join(PAUSE))?)?;
        let id = ContainerId::parse(&format!("{}-pause", spec.task))?;
        let options = Options {
            die_with_parent: true,
            first_process: FirstProcess::Pause,
            ..Options::new(layout.clone())
        };
        Ok(runtime::create(&id, &bundle, Stdio::default(), &options)?.start()?)
    }

    /// A container with nothing in it.
    fn pause_spec(&self, place: &Path, group: &Path) -> Result<Spec, ShareError> {
        let process = ProcessBuilder::default()
            .args(["hythe".to_owned(), "init".to_owned()])
            .cwd("/")
            .user(UserBuilder::default().uid(0_u32).gid(0_u32).build()?)
            .capabilities(no_capabilities())
            .no_new_privileges(true)
            .oom_score_adj(-998)
            .build()?;
        let options = ["nosuid", "nodev", "noexec", "size=64k", "mode=755"].map(str::to_owned);
        let root = MountBuilder::default().destination("/").typ("tmpfs").source("tmpfs");
        let kinds = [
            LinuxNamespaceType::Mount,
            LinuxNamespaceType::Pid,
            LinuxNamespaceType::Ipc,
            LinuxNamespaceType::Uts,
            LinuxNamespaceType::Cgroup,
        ];
        let namespaces = kinds.map(|kind| LinuxNamespaceBuilder::default().typ(kind).build());
        let mut linux = LinuxBuilder::default()
            .cgroups_path(Path::new("/").join(group))
            .namespaces(namespaces.into_iter().collect::<Result<Vec<_>, _>>()?)
            .masked_paths(Vec::new())
            .readonly_paths(Vec::new())
            .build()?;
        if let Some(users) = &self.users {
            join(&mut linux, LinuxNamespaceType::User, path_of(users))?;
        }
        if let Some(network) = &self.network {
            // What it sees of a network can be looked at through its number.
            join(&mut linux, LinuxNamespaceType::Network, path_of(network))?;
        }
        Ok(SpecBuilder::default()
            .version("1.2.0")
            .root(RootBuilder::default().path(place).readonly(true).build()?)
            .process(process)
            .mounts(vec![root.options(options.to_vec()).build()?])
            .linux(linux)
            .build()?)
    }
}

/// Every set with nothing in it; a set that is left out would be the usual one.
fn no_capabilities() -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(Capabilities::new()))
        .set_effective(Some(Capabilities::new()))
        .set_permitted(Some(Capabilities::new()))
        .set_inheritable(Some(Capabilities::new()))
        .set_ambient(Some(Capabilities::new()));
    sets
}

/// Mounts the memory where only the shim, and what it starts, sees it.
fn mount_memory(memory: &SharedMemory) -> io::Result<()> {
    fs::create_dir_all(&memory.path)?;
    namespace::make(Namespaces::MOUNT)?;
    // What the host mounts and unmounts later still arrives; nothing of ours leaves.
    mount::set_propagation(c"/", Propagation::Slave, true)?;
    let made = filesystem(memory.size)?;
    let place = CString::new(memory.path.as_os_str().as_bytes())?;
    let place = mount::open_directory(&place)?;
    Ok(mount::attach(made.as_fd(), place.as_fd())?)
}

fn filesystem(size: u64) -> Result<OwnedFd, Errno> {
    let filesystem = Filesystem::open(c"tmpfs")?;
    let size = CString::new(size.to_string()).map_err(|_| Errno::EINVAL)?;
    filesystem.set(c"size", &size)?;
    filesystem.set(c"mode", c"1777")?;
    filesystem.mount(Attributes::NO_SUID.then(Attributes::NO_DEV).then(Attributes::NO_EXEC))
}
