//! One container's bundle: the OCI `config.json` that the runtime is given.
//!
//! [`spec`] is a pure function of a [`Recipe`]: the definition, what the RunTask call changes, what the image says,
//! and what was found out about this host beforehand. It starts from what every container has ([`shim::defaults`])
//! and follows Docker's rules for the rest, because task definitions were written with them in mind. What cannot be
//! had and must be had is an error; what is asked for and is merely not enforced here is a note.
//!
//! The root file system is the first mount: an overlay of the image's layers, made in the container's own mount
//! namespace, so the host's mount table never sees it.
//!
//! [`shim::defaults`]: crate::shim::defaults

use std::path::{Path, PathBuf};

use oci_spec::image::Config as ImageDefaults;
use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Root, RootBuilder, Spec,
    SpecBuilder,
};

use crate::agent::ContainersConfig;
use crate::agent::environment::Variables;
use crate::image::users::User;
use crate::model::task::ContainerOverride;
use crate::model::task_definition::{ContainerDefinition, Document, IpcMode, NetworkMode, PidMode};
use crate::shim::defaults;

mod devices;
mod mounts;
mod process;
mod resources;
mod security;

pub(crate) use devices::{HostDevice, find as find_devices};
pub(crate) use mounts::{Bind, shared_memory};
pub(crate) use resources::task as task_resources;

/// Everything that goes into a bundle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe<'a> {
    /// The document that the container is of.
    pub document: &'a Document,
    /// The container.
    pub definition: &'a ContainerDefinition,
    /// What the RunTask call changes of it.
    pub change: Option<&'a ContainerOverride>,
    /// What the image's maker wants run, and how.
    pub image: &'a ImageDefaults,
    /// The image's layers, top first.
    pub layers: &'a [PathBuf],
    /// The variables by which it asks about itself.
    pub endpoint: &'a [(String, String)],
    /// Who it runs as.
    pub user: &'a User,
    /// Its environment files.
    pub files: &'a [Variables],
    /// Its secrets, resolved.
    pub secrets: &'a [(String, String)],
    /// Its directory: `rootfs`, `upper`, `work` are in it.
    pub directory: &'a Path,
    /// Where the memory is that the containers of its task share.
    pub shared_memory: Option<&'a Path>,
    /// What is mounted from the host, in any order.
    pub binds: &'a [Bind],
    /// The devices it asks for, as they are on this host.
    pub devices: &'a [HostDevice],
    /// Its host name.
    pub hostname: &'a str,
    /// The first of its task's own users, if there are some.
    pub users: Option<u32>,
    /// Whether what its task writes is counted.
    pub is_counted: bool,
    /// What a container may ask of this host.
    pub policy: &'a ContainersConfig,
}

/// A definition that makes no bundle.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    /// Neither the definition nor the image says what to run.
    #[error("neither the task definition nor the image {0} names a command")]
    NoCommand(String),
    /// The host does not grant it.
    #[error("privileged containers are not allowed on this host: set allow_privileged in its configuration")]
    Privileged,
    /// No such capability.
    #[error("{0:?} is not a Linux capability")]
    Capability(String),
    /// No such limit.
    #[error("{0:?} is not a resource limit")]
    Ulimit(String),
    /// A security option that is not known.
    #[error("security option {0:?} is not known")]
    SecurityOption(String),
    /// A relative working directory.
    #[error("working directory {0:?} is not absolute")]
    WorkingDirectory(String),
    /// The container asks for more than its task has.
    #[error("memory of {container} MiB is more than the {task} MiB of the task")]
    Memory {
        /// MiB of the container.
        container: u64,
        /// MiB of the task.
        task: u64,
    },
    /// A part was put together wrongly.
    #[error("put together the container's configuration")]
    Build(#[from] oci_spec::OciSpecError),
}

/// The bundle, and what it does not enforce.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// `config.json`.
    pub spec: Spec,
    /// A sentence each.
    pub notes: Vec<String>,
}

impl Recipe<'_> {
    pub(crate) fn is_privileged(&self) -> bool {
        self.definition.privileged == Some(true)
    }
}

/// The bundle of a recipe.
pub(crate) fn spec(recipe: &Recipe<'_>) -> Result<Bundle, BundleError> {
    if recipe.is_privileged() && !recipe.policy.allow_privileged {
        return Err(BundleError::Privileged);
    }
    let mut notes = Vec::new();
    let options = security::options(recipe, &mut notes)?;
    let spec = SpecBuilder::default()
        .version("1.2.0")
        .hostname(recipe.hostname)
        .root(root(recipe)?)
        .process(process::process(recipe, &options)?)
        .mounts(mounts::mounts(recipe)?)
        .linux(linux(recipe, &options, &mut notes)?)
        .build()?;
    Ok(Bundle { spec, notes })
}

fn root(recipe: &Recipe<'_>) -> Result<Root, BundleError> {
    let readonly = recipe.definition.readonly_root_filesystem.unwrap_or(false);
    Ok(RootBuilder::default().path("rootfs").readonly(readonly).build()?)
}

fn linux(
    recipe: &Recipe<'_>,
    options: &security::Options,
    notes: &mut Vec<String>,
) -> Result<Linux, BundleError> {
    let resources = resources::container(recipe, notes)?;
    let mut builder = LinuxBuilder::default()
        .namespaces(namespaces(recipe)?)
        .resources(resources)
        .sysctl(sysctls(recipe, notes))
        .rootfs_propagation("rprivate");
    let made = devices::nodes(recipe.devices)?;
    if !made.is_empty() {
        builder = builder.devices(made);
    }
    if let Some(filter) = security::filter(recipe, options)? {
        builder = builder.seccomp(filter);
    }
    // A list left out is not an empty one: the type has a usual list of its own.
    let (masked, read_only) = if recipe.is_privileged() {
        (Vec::new(), Vec::new())
    } else {
        (defaults::masked_paths(), defaults::readonly_paths())
    };
    Ok(builder.masked_paths(masked).readonly_paths(read_only).build()?)
}

/// The namespaces that are the container's own. Shared ones are the shim's to fill in.
fn namespaces(recipe: &Recipe<'_>) -> Result<Vec<LinuxNamespace>, BundleError> {
    use LinuxNamespaceType as Kind;
    let mut kinds = vec![Kind::Mount, Kind::Uts, Kind::Cgroup];
    match recipe.document.pid_mode {
        None => kinds.push(Kind::Pid),
        Some(PidMode::Task | PidMode::Host) => {}
    }
    match recipe.document.ipc_mode {
        None | Some(IpcMode::None) => kinds.push(Kind::Ipc),
        Some(IpcMode::Task | IpcMode::Host) => {}
    }
    if recipe.definition.disable_networking == Some(true) {
        kinds.push(Kind::Network);
    }
    let build = |kind| Ok(LinuxNamespaceBuilder::default().typ(kind).build()?);
    kinds.into_iter().map(build).collect()
}

fn sysctls(recipe: &Recipe<'_>, notes: &mut Vec<String>) -> std::collections::HashMap<String, String> {
    let is_host_network = recipe.document.network_mode() == NetworkMode::Host;
    let is_host_ipc = recipe.document.ipc_mode == Some(IpcMode::Host);
    let mut sysctls = std::collections::HashMap::new();
    for control in &recipe.definition.system_controls {
        let is_network = control.namespace.starts_with("net.");
        if (is_network && is_host_network) || (!is_network && is_host_ipc) {
            notes.push(format!(
                "container {}: kernel parameter {} belongs to the host here and is not changed",
                recipe.definition.name, control.namespace
            ));
            continue;
        }
        sysctls.insert(control.namespace.clone(), control.value.clone());
    }
    sysctls
}

#[cfg(test)]
mod tests;
