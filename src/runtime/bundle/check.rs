//! The checks on a specification, each naming the member it found wrong.

use std::path::Path;

use oci_spec::runtime::{Hooks, Linux, LinuxNamespaceType, Mount, Process, Spec};

use super::BundleError;
use super::namespaces::{self, has_namespace};

/// Kernel parameters that have a value of their own in each IPC namespace.
const IPC_PARAMETERS: [&str; 11] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.msg_next_id",
    "kernel.sem_next_id",
    "kernel.shm_next_id",
];

pub(super) fn invalid(member: impl Into<String>, reason: impl Into<String>) -> BundleError {
    BundleError::Invalid { member: member.into(), reason: reason.into() }
}

fn not_absolute(path: &Path) -> String {
    format!("{} is not an absolute path", path.display())
}

pub(super) fn check(spec: &Spec) -> Result<(), BundleError> {
    if !spec.version().starts_with("1.") {
        return Err(invalid(
            "ociVersion",
            format!("{:?} is not a version 1 this runtime knows", spec.version()),
        ));
    }
    if spec.root().as_ref().is_none_or(|root| root.path().as_os_str().is_empty()) {
        return Err(invalid("root.path", "is missing"));
    }
    // One without can be created, though not started.
    if let Some(process) = spec.process() {
        check_process(process)?;
    }
    let linux = spec.linux().as_ref().ok_or_else(|| invalid("linux", "is missing"))?;
    namespaces::check(spec, linux)?;
    if let Some(hooks) = spec.hooks() {
        check_hooks(hooks)?;
    }
    check_mounts(spec)?;
    check_sysctl(linux)?;
    for (member, paths) in
        [("linux.maskedPaths", linux.masked_paths()), ("linux.readonlyPaths", linux.readonly_paths())]
    {
        if let Some(bad) = paths.iter().flatten().find(|path| !path.starts_with('/')) {
            return Err(invalid(member, format!("{bad:?} is not an absolute path")));
        }
    }
    Ok(())
}

/// Checks the process of a container, or one to be run in it later.
pub fn check_process(process: &Process) -> Result<(), BundleError> {
    if process.args().as_ref().is_none_or(|args| args.first().is_none_or(String::is_empty)) {
        return Err(invalid("process.args", "names no program"));
    }
    if !process.cwd().is_absolute() {
        return Err(invalid("process.cwd", not_absolute(process.cwd())));
    }
    let texts = process.args().iter().flatten().chain(process.env().iter().flatten());
    if let Some(bad) = texts.into_iter().find(|text| text.contains('\0')) {
        return Err(invalid("process", format!("{bad:?} holds a zero byte")));
    }
    for (at, limit) in process.rlimits().iter().flatten().enumerate() {
        if limit.soft() > limit.hard() {
            return Err(invalid(format!("process.rlimits[{at}]"), "the soft limit is above the hard limit"));
        }
        let same = |other: &&oci_spec::runtime::PosixRlimit| other.typ() == limit.typ();
        if process.rlimits().iter().flatten().take(at).any(|other| same(&other)) {
            return Err(invalid(format!("process.rlimits[{at}]"), format!("{} is given twice", limit.typ())));
        }
    }
    Ok(())
}

/// Every hook has an absolute path and, if any, a time that is more than nothing.
#[allow(deprecated, reason = "still written by container managers")]
fn check_hooks(hooks: &Hooks) -> Result<(), BundleError> {
    let kinds = [
        ("prestart", hooks.prestart()),
        ("createRuntime", hooks.create_runtime()),
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
        ("poststart", hooks.poststart()),
        ("poststop", hooks.poststop()),
    ];
    for (kind, list) in kinds {
        for (at, hook) in list.iter().flatten().enumerate() {
            let member = format!("hooks.{kind}[{at}]");
            if !hook.path().is_absolute() {
                return Err(invalid(format!("{member}.path"), not_absolute(hook.path())));
            }
            if hook.timeout().is_some_and(|seconds| seconds <= 0) {
                return Err(invalid(format!("{member}.timeout"), "is not greater than zero"));
            }
        }
    }
    Ok(())
}

/// Whether it changes what is mounted, and mounts nothing.
pub(super) fn is_remount(mount: &Mount) -> bool {
    mount.options().iter().flatten().any(|option| option == "remount")
}

fn check_mounts(spec: &Spec) -> Result<(), BundleError> {
    for (at, mount) in spec.mounts().iter().flatten().enumerate() {
        let member = format!("mounts[{at}]");
        if !mount.destination().is_absolute() {
            return Err(invalid(format!("{member}.destination"), not_absolute(mount.destination())));
        }
        let has = |list: &Option<Vec<_>>| list.as_ref().is_some_and(|list| !list.is_empty());
        for (name, this, other) in [
            ("uidMappings", mount.uid_mappings(), mount.gid_mappings()),
            ("gidMappings", mount.gid_mappings(), mount.uid_mappings()),
        ] {
            if !has(this) && has(other) {
                return Err(invalid(format!("{member}.{name}"), "is missing although the other is given"));
            }
        }
        let is_root = |mount: &Mount| mount.destination() == Path::new("/") && !is_remount(mount);
        if is_root(mount) && spec.mounts().iter().flatten().take(at).any(is_root) {
            return Err(invalid(member, "the root filesystem is mounted twice"));
        }
    }
    Ok(())
}

/// Only parameters that belong to the container's own namespaces may be set.
fn check_sysctl(linux: &Linux) -> Result<(), BundleError> {
    for name in linux.sysctl().iter().flatten().map(|(name, _)| name) {
        let member = format!("linux.sysctl.{name}");
        let dotted = name.replace('/', ".");
        if dotted.split('.').any(str::is_empty) {
            return Err(invalid(member, "is not a name of a kernel parameter"));
        }
        let needs = if dotted.starts_with("net.") {
            LinuxNamespaceType::Network
        } else if IPC_PARAMETERS.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
            LinuxNamespaceType::Ipc
        } else if dotted == "kernel.domainname" {
            LinuxNamespaceType::Uts
        } else {
            return Err(invalid(member, "is not a parameter of a container; it would change the host"));
        };
        if !has_namespace(linux, needs) {
            return Err(invalid(member, format!("cannot be set without a {needs} namespace")));
        }
    }
    Ok(())
}
