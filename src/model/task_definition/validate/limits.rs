//! Rules of a container's resource limits, capabilities, devices, memory file systems and kernel parameters.

use super::{absolute, in_range, one_of};
use crate::model::{
    reading::{Fault, MemberPath, Refusal},
    task_definition::{ContainerDefinition, Document, IpcMode, LinuxParameters, NetworkMode, SystemControl},
};

const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYSLOG",
    "WAKE_ALARM",
];

/// Parameters of an IPC namespace, besides `fs.mqueue.*`.
const IPC_CONTROLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

pub(super) fn check(
    document: &Document,
    container: &ContainerDefinition,
    path: &MemberPath,
) -> Result<(), Refusal> {
    for (index, limit) in container.ulimits.iter().enumerate() {
        let path = path.member("ulimits").element(index);
        one_of(&limit.name, &ULIMITS, || path.member("name"))?;
        let endless = |limit: i64| if limit == -1 { i64::MAX } else { limit };
        let (soft, hard) = (endless(limit.soft_limit), endless(limit.hard_limit));
        if soft < 0 || hard < 0 {
            let path = path.member(if soft < 0 { "softLimit" } else { "hardLimit" });
            return Err(Refusal::rule(path, "A ulimit is a positive number, or -1 for none."));
        }
        if soft > hard {
            let message = format!("The soft limit of '{}' must not exceed its hard limit.", limit.name);
            return Err(Refusal::rule(path.member("softLimit"), message));
        }
    }
    if let Some(parameters) = &container.linux_parameters {
        linux(parameters, &path.member("linuxParameters"))?;
    }
    for (index, control) in container.system_controls.iter().enumerate() {
        system_control(document, control, &path.member("systemControls").element(index).member("namespace"))?;
    }
    Ok(())
}

fn linux(parameters: &LinuxParameters, path: &MemberPath) -> Result<(), Refusal> {
    if let Some(capabilities) = &parameters.capabilities {
        for (member, names) in [("add", &capabilities.add), ("drop", &capabilities.drop)] {
            let path = path.member("capabilities").member(member);
            for (index, name) in names.iter().enumerate() {
                one_of(name, &CAPABILITIES, || path.element(index))?;
            }
        }
    }
    for (index, device) in parameters.devices.iter().enumerate() {
        let path = path.member("devices").element(index);
        absolute(&device.host_path, || path.member("hostPath"))?;
        if let Some(inside) = &device.container_path {
            absolute(inside, || path.member("containerPath"))?;
        }
        for (index, word) in device.permissions.iter().enumerate() {
            one_of(word, &["read", "write", "mknod"], || path.member("permissions").element(index))?;
        }
    }
    for (index, tmpfs) in parameters.tmpfs.iter().enumerate() {
        let path = path.member("tmpfs").element(index);
        absolute(&tmpfs.container_path, || path.member("containerPath"))?;
        in_range(Some(tmpfs.size), 1..=u32::MAX, || path.member("size"))?;
    }
    in_range(parameters.shared_memory_size, 1..=u32::MAX, || path.member("sharedMemorySize"))?;
    in_range(parameters.swappiness, 0..=100, || path.member("swappiness"))
}

fn system_control(document: &Document, control: &SystemControl, path: &MemberPath) -> Result<(), Refusal> {
    let name = control.namespace.as_str();
    let of_network = name.starts_with("net.");
    let of_ipc = IPC_CONTROLS.contains(&name) || name.starts_with("fs.mqueue.");
    if !of_network && !of_ipc {
        return Err(Refusal {
            fault: Fault::WrongValue,
            path: path.clone(),
            message: format!(
                "`{name}` is not a kernel parameter of a container: those are net.*, fs.mqueue.* and those of System V IPC"
            ),
            nearest: crate::model::reading::nearest_word(name, IPC_CONTROLS),
            place: None,
        });
    }
    if of_network && document.network_mode() == NetworkMode::Host {
        let message = format!("Invalid systemControls '{name}'. It is not supported when networkMode=host.");
        return Err(Refusal::rule(path.clone(), message));
    }
    if of_ipc && document.ipc_mode == Some(IpcMode::Host) {
        let message = format!("Invalid systemControls '{name}'. It is not supported when ipcMode=host.");
        return Err(Refusal::rule(path.clone(), message));
    }
    Ok(())
}
