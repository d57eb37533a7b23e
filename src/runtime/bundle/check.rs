//! The checks on a specification, each naming the member it found wrong.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxNamespaceType, Process, Spec};

use super::BundleError;

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
    let process = spec.process().as_ref().ok_or_else(|| invalid("process", "is missing"))?;
    check_process(process)?;
    let linux = spec.linux().as_ref().ok_or_else(|| invalid("linux", "is missing"))?;
    refuse_unsupported(spec, linux)?;
    check_namespaces(spec, linux)?;
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
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let unsupported = [
        ("process.apparmorProfile", is_set(process.apparmor_profile())),
        ("process.selinuxLabel", is_set(process.selinux_label())),
        ("process.ioPriority", process.io_priority().is_some()),
        ("process.scheduler", process.scheduler().is_some()),
        ("process.execCPUAffinity", process.exec_cpu_affinity().is_some()),
    ];
    refuse(&unsupported)
}

fn refuse(members: &[(&str, bool)]) -> Result<(), BundleError> {
    match members.iter().find(|(_, is_present)| *is_present) {
        Some((member, _)) => Err(BundleError::Unsupported { member: (*member).to_owned() }),
        None => Ok(()),
    }
}

fn refuse_unsupported(spec: &Spec, linux: &Linux) -> Result<(), BundleError> {
    let has_hooks = spec.hooks().as_ref().is_some_and(|hooks| *hooks != oci_spec::runtime::Hooks::default());
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    refuse(&[
        ("hooks", has_hooks),
        ("linux.uidMappings", linux.uid_mappings().as_ref().is_some_and(|list| !list.is_empty())),
        ("linux.gidMappings", linux.gid_mappings().as_ref().is_some_and(|list| !list.is_empty())),
        ("linux.mountLabel", is_set(linux.mount_label())),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.memoryPolicy", linux.memory_policy().is_some()),
        ("linux.personality", linux.personality().is_some()),
        ("linux.timeOffsets", linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty())),
        ("linux.netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
    ])
}

fn has_namespace(linux: &Linux, kind: LinuxNamespaceType) -> bool {
    linux.namespaces().iter().flatten().any(|namespace| namespace.typ() == kind)
}

fn check_namespaces(spec: &Spec, linux: &Linux) -> Result<(), BundleError> {
    let all = linux.namespaces().as_deref().unwrap_or_default();
    for (at, namespace) in all.iter().enumerate() {
        let member = format!("linux.namespaces[{at}]");
        let kind = namespace.typ();
        if all[..at].iter().any(|other| other.typ() == kind) {
            return Err(invalid(member, format!("the {kind} namespace is given twice")));
        }
        match kind {
            LinuxNamespaceType::User | LinuxNamespaceType::Time => {
                return Err(BundleError::Unsupported { member: format!("{member}: a {kind} namespace") });
            }
            LinuxNamespaceType::Mount if namespace.path().is_some() => {
                return Err(BundleError::Unsupported {
                    member: format!("{member}.path: joining a mount namespace"),
                });
            }
            LinuxNamespaceType::Mount
            | LinuxNamespaceType::Cgroup
            | LinuxNamespaceType::Uts
            | LinuxNamespaceType::Ipc
            | LinuxNamespaceType::Pid
            | LinuxNamespaceType::Network => {}
        }
        if namespace.path().as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(invalid(format!("{member}.path"), "is not an absolute path"));
        }
    }
    if !has_namespace(linux, LinuxNamespaceType::Mount) {
        return Err(invalid("linux.namespaces", "a mount namespace is needed"));
    }
    for (member, name) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        let is_set = name.as_ref().is_some_and(|name| !name.is_empty());
        if is_set && !has_namespace(linux, LinuxNamespaceType::Uts) {
            return Err(invalid(member, "cannot be set without a uts namespace"));
        }
        if name.as_ref().is_some_and(|name| name.len() > 64) {
            return Err(invalid(member, "is longer than 64 bytes"));
        }
    }
    Ok(())
}

fn check_mounts(spec: &Spec) -> Result<(), BundleError> {
    for (at, mount) in spec.mounts().iter().flatten().enumerate() {
        let member = format!("mounts[{at}]");
        if !mount.destination().is_absolute() {
            return Err(invalid(format!("{member}.destination"), not_absolute(mount.destination())));
        }
        if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
            return Err(BundleError::Unsupported { member: format!("{member}.uidMappings") });
        }
        let is_root = mount.destination() == Path::new("/");
        if is_root
            && spec.mounts().iter().flatten().take(at).any(|other| other.destination() == Path::new("/"))
        {
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
