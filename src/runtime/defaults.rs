//! What a container usually gets, in the words of the specification. Pure data.
//!
//! These are the sets that Docker and its successors have made the expectation of every image: fourteen
//! capabilities, the pseudo filesystems, six devices, and the parts of /proc and /sys that are hidden or read-only.
//! Whoever writes a specification starts from here; the runtime itself adds nothing but the devices, which the
//! standard asks of it.

mod calls;
mod seccomp;

use std::path::PathBuf;

use oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilities, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxNamespace, LinuxNamespaceType, Mount,
};

pub use seccomp::{keep_project, seccomp};

/// The capabilities of an ordinary container.
pub const CAPABILITIES: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Paths that tell about the host or reach into it.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths through which the kernel could be set.
pub const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The usual capabilities, in the three sets a root process needs; a process of another user keeps only the bound.
#[must_use]
pub fn capabilities() -> LinuxCapabilities {
    capability_sets(CAPABILITIES.into_iter().collect())
}

/// `set` as bounding, effective and permitted capabilities; nothing inheritable or ambient.
#[must_use]
pub fn capability_sets(set: Capabilities) -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(set.clone()))
        .set_effective(Some(set.clone()))
        .set_permitted(Some(set))
        .set_inheritable(None)
        .set_ambient(None);
    sets
}

/// [`MASKED_PATHS`] as the specification takes them.
#[must_use]
pub fn masked_paths() -> Vec<String> {
    MASKED_PATHS.map(ToOwned::to_owned).to_vec()
}

/// [`READONLY_PATHS`] as the specification takes them.
#[must_use]
pub fn readonly_paths() -> Vec<String> {
    READONLY_PATHS.map(ToOwned::to_owned).to_vec()
}

/// The pseudo filesystems; `shm_size` is in bytes.
#[must_use]
pub fn mounts(shm_size: u64) -> Vec<Mount> {
    let shm = format!("size={shm_size}");
    vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", &shm]),
    ]
}

fn mount(destination: &str, fstype: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(destination))
        .set_typ(Some(fstype.to_owned()))
        .set_source(Some(PathBuf::from(fstype)))
        .set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
    mount
}

/// New namespaces of the usual kinds; the network one at `network`, new if `None`.
#[must_use]
pub fn namespaces(network: Option<PathBuf>) -> Vec<LinuxNamespace> {
    let new = |kind| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind);
        namespace
    };
    let mut all: Vec<_> = [
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Cgroup,
    ]
    .map(new)
    .to_vec();
    let mut shared = new(LinuxNamespaceType::Network);
    shared.set_path(network);
    all.push(shared);
    all
}

/// Names and numbers of the devices that every container has.
const DEVICES: [(&str, i64, i64); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// The devices that every container has.
#[must_use]
pub fn devices() -> Vec<LinuxDevice> {
    let device = |(path, major, minor): (&str, i64, i64)| {
        LinuxDeviceBuilder::default()
            .path(path)
            .typ(LinuxDeviceType::C)
            .major(major)
            .minor(minor)
            .file_mode(0o666_u32)
            .uid(0_u32)
            .gid(0_u32)
            .build()
            .ok()
    };
    DEVICES.into_iter().filter_map(device).collect()
}

/// The rules of an ordinary container: no device but the usual ones; nodes may be made, not used.
#[must_use]
pub fn device_rules() -> Vec<LinuxDeviceCgroup> {
    let rule = |allow, kind, major, minor, access: &str| {
        let mut rule = LinuxDeviceCgroupBuilder::default().allow(allow).access(access);
        if let Some(kind) = kind {
            rule = rule.typ(kind);
        }
        if let Some(major) = major {
            rule = rule.major(major);
        }
        if let Some(minor) = minor {
            rule = rule.minor(minor);
        }
        rule.build().ok()
    };
    let character = Some(LinuxDeviceType::C);
    let mut rules = vec![
        rule(false, None, None, None, "rwm"),
        rule(true, character, None, None, "m"),
        rule(true, Some(LinuxDeviceType::B), None, None, "m"),
    ];
    for (_, major, minor) in DEVICES {
        rules.push(rule(true, character, Some(major), Some(minor), "rwm"));
    }
    // Pseudo terminals, and the device that makes them.
    rules.push(rule(true, character, Some(5_i64), Some(2_i64), "rwm"));
    rules.push(rule(true, character, Some(136), None, "rwm"));
    rules.into_iter().flatten().collect()
}
