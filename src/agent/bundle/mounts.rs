//! The mounts of a bundle: the root, what every container has, and what this one asks for, parents before children.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, Mount, MountBuilder};

use super::{BundleError, Recipe};
use crate::agent::{users, volumes};
use crate::model::task_definition::{Document, IpcMode, LinuxParameters, Tmpfs};
use crate::shim::defaults;

const SHARED_MEMORY: &str = "/dev/shm";
/// Its size in MiB where the definition names none.
const SHARED_MIB: u32 = 64;

/// Bytes of the memory that all containers of a task share: what the one that asks for most asks for.
pub(crate) fn shared_memory(document: &Document) -> u64 {
    let linux =
        document.container_definitions.iter().filter_map(|definition| definition.linux_parameters.as_ref());
    let most = linux.filter_map(|linux| linux.shared_memory_size).filter(|mib| *mib > 0).max();
    u64::from(most.unwrap_or(SHARED_MIB)) << 20
}

/// Something of the host that a container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    /// The path on the host.
    pub source: PathBuf,
    /// Where the container sees it.
    pub destination: PathBuf,
    /// Without write access.
    pub read_only: bool,
}

/// All mounts, in the order in which they are made.
pub(super) fn mounts(recipe: &Recipe<'_>) -> Result<Vec<Mount>, BundleError> {
    let linux = recipe.definition.linux_parameters.as_ref();
    let mut own: Vec<Mount> = Vec::new();
    for tmpfs in linux.iter().flat_map(|linux| &linux.tmpfs) {
        own.push(memory(tmpfs)?);
    }
    for bind in recipe.binds {
        let mut mount = host(bind)?;
        map(&mut mount, recipe)?;
        if recipe.users.is_some() {
            // What is mounted below it as well, or it would be full of nobody's files.
            let mut options = mount.options().clone().unwrap_or_default();
            options.push("ridmap".to_owned());
            mount.set_options(Some(options));
        }
        own.push(mount);
    }
    own.sort_by_key(|mount| volumes::depth(mount.destination()));
    let mut mounts = vec![overlay(recipe)?];
    for usual in usual(recipe, linux)? {
        if !own.iter().any(|mount| mount.destination() == usual.destination()) {
            mounts.push(usual);
        }
    }
    mounts.extend(own);
    Ok(mounts)
}

/// The image's layers under a directory of the container's own.
fn overlay(recipe: &Recipe<'_>) -> Result<Mount, BundleError> {
    let text = |path: &Path| escape(&path.to_string_lossy());
    let layers: Vec<String> = recipe.layers.iter().map(|layer| text(layer)).collect();
    let options = vec![
        format!("lowerdir={}", layers.join(":")),
        format!("upperdir={}", text(&recipe.directory.join("upper"))),
        format!("workdir={}", text(&recipe.directory.join("work"))),
    ];
    let root = MountBuilder::default().destination("/").typ("overlay").source("overlay").options(options);
    let mut root = root.build()?;
    map(&mut root, recipe)?;
    Ok(root)
}

/// Shows the files of a mount as those of the task's own users: what root has on the host, root has in the container. In
/// memory that is open to all there is nothing to show, so that one is left as it is.
fn map(mount: &mut Mount, recipe: &Recipe<'_>) -> Result<(), BundleError> {
    let Some(first) = recipe.users else { return Ok(()) };
    let line =
        || LinuxIdMappingBuilder::default().container_id(0_u32).host_id(first).size(users::COUNT).build();
    let lines: Vec<LinuxIdMapping> = vec![line()?];
    mount.set_uid_mappings(Some(lines.clone()));
    mount.set_gid_mappings(Some(lines));
    Ok(())
}

/// A colon parts layers and a comma options; in a path each is written with a backslash.
fn escape(path: &str) -> String {
    path.chars().fold(String::new(), |mut text, letter| {
        if [':', ',', '\\'].contains(&letter) {
            text.push('\\');
        }
        text.push(letter);
        text
    })
}

/// What every container has, with the shared memory it asks for.
fn usual(recipe: &Recipe<'_>, linux: Option<&LinuxParameters>) -> Result<Vec<Mount>, BundleError> {
    let shared_mib = linux.and_then(|linux| linux.shared_memory_size).filter(|mib| *mib > 0);
    let mut mounts = defaults::mounts(u64::from(shared_mib.unwrap_or(SHARED_MIB)) << 20);
    if recipe.document.ipc_mode == Some(IpcMode::None) {
        mounts.retain(|mount| mount.destination() != Path::new(SHARED_MEMORY));
    }
    for mount in &mut mounts {
        let destination = mount.destination().clone();
        let mut options = mount.options().clone().unwrap_or_default();
        let shared = match recipe.document.ipc_mode {
            Some(IpcMode::Host) => Some(Path::new(SHARED_MEMORY)),
            Some(IpcMode::Task) => recipe.shared_memory,
            Some(IpcMode::None) | None => None,
        };
        if let Some(source) = shared.filter(|_| destination == Path::new(SHARED_MEMORY)) {
            *mount = host(&Bind {
                source: source.to_owned(),
                destination: SHARED_MEMORY.into(),
                read_only: false,
            })?;
            continue;
        }
        let is_system = ["/sys", "/sys/fs/cgroup"].iter().any(|path| destination == Path::new(path));
        if recipe.is_privileged() && is_system {
            options.retain(|option| option != "ro");
            options.push("rw".to_owned());
        }
        mount.set_options(Some(options));
    }
    Ok(mounts)
}

fn memory(tmpfs: &Tmpfs) -> Result<Mount, BundleError> {
    let mut options: Vec<String> = ["nosuid", "nodev", "noexec"].map(str::to_owned).to_vec();
    // A wish overrides the usual: `exec` takes `noexec` away.
    options.retain(|usual| !tmpfs.mount_options.iter().any(|wish| usual.strip_prefix("no") == Some(wish)));
    options.extend(tmpfs.mount_options.iter().filter(|wish| !wish.starts_with("size=")).cloned());
    options.push(format!("size={}m", tmpfs.size));
    let builder = MountBuilder::default().destination(&tmpfs.container_path).typ("tmpfs").source("tmpfs");
    Ok(builder.options(options).build()?)
}

fn host(bind: &Bind) -> Result<Mount, BundleError> {
    let access = if bind.read_only { "ro" } else { "rw" };
    let options: Vec<String> = ["rbind", "rprivate", access].map(str::to_owned).to_vec();
    let builder = MountBuilder::default().destination(&bind.destination).typ("bind");
    Ok(builder.source(&bind.source).options(options).build()?)
}
