//! Limits into files: what to write is decided per controller by its version, then written. Devices differ.

use std::fmt;
use std::io::ErrorKind;

use nix::errno::Errno;
use oci_spec::runtime::LinuxResources;

use super::group::{Home, write};
use super::{CgroupError, DEVICES, Group, NotEnforced, devices, v1, v2};

/// One value for one file of one controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The limit as the specification names it.
    pub resource: String,
    /// The file, or several of which the first that exists is meant.
    pub files: Vec<String>,
    /// What to write.
    pub value: String,
}

impl Setting {
    pub(super) fn new(resource: &str, file: &str, value: impl fmt::Display) -> Self {
        Self { resource: resource.to_owned(), files: vec![file.to_owned()], value: value.to_string() }
    }

    pub(super) fn either(mut self, other: &str) -> Self {
        self.files.push(other.to_owned());
        self
    }
}

/// The limits of one controller, in both languages. Controllers are named as in version 2.
struct Controller {
    name: &'static str,
    v1: fn(&LinuxResources) -> Vec<Setting>,
    v2: fn(&LinuxResources) -> Vec<Setting>,
}

const CONTROLLERS: [Controller; 9] = [
    Controller { name: "cpu", v1: v1::cpu, v2: v2::cpu },
    Controller { name: "cpuset", v1: v1::cpuset, v2: v2::cpuset },
    Controller { name: "memory", v1: v1::memory, v2: v2::memory },
    Controller { name: "pids", v1: v1::pids, v2: v2::pids },
    Controller { name: "io", v1: v1::io, v2: v2::io },
    Controller { name: "hugetlb", v1: v1::hugetlb, v2: v2::hugetlb },
    Controller { name: "rdma", v1: v1::rdma, v2: v1::rdma },
    Controller { name: "net_cls", v1: v1::net_cls, v2: v1::net_cls },
    Controller { name: "net_prio", v1: v1::net_prio, v2: v1::net_prio },
];

impl Group {
    /// Sets the limits, and returns those that this host does not hold.
    #[must_use]
    pub fn apply(&self, resources: &LinuxResources) -> Vec<NotEnforced> {
        let mut missed = Vec::new();
        for controller in &CONTROLLERS {
            match self.home(controller.name) {
                Some(Home::V1(dir)) => {
                    missed.extend(put_v1(&dir, &in_workable_order((controller.v1)(resources), &dir)));
                }
                Some(Home::V2(dir)) => {
                    for setting in (controller.v2)(resources) {
                        missed.extend(put(&dir, &setting));
                    }
                }
                None => missed.extend((controller.v2)(resources).into_iter().map(|setting| {
                    let reason = format!("this host has no {} control group controller", controller.name);
                    NotEnforced::lacking(&setting.resource, reason)
                })),
            }
        }
        missed.extend(self.apply_devices(resources));
        missed.extend(self.apply_unified(resources));
        missed.dedup();
        missed
    }

    /// Device rules: into files in version 1, as one program in version 2. No rules leave all as it is.
    fn apply_devices(&self, resources: &LinuxResources) -> Vec<NotEnforced> {
        let rules = resources.devices().as_deref().unwrap_or_default();
        if rules.is_empty() {
            return Vec::new();
        }
        let missed = |reason: String| NotEnforced::lacking(DEVICES, reason);
        // Rules that allow everything are kept without anybody's help.
        let is_open = devices::allow_everything(rules);
        match self.home(DEVICES) {
            Some(Home::V1(dir)) => {
                v1::devices(resources).iter().filter_map(|setting| put(&dir, setting)).collect()
            }
            Some(Home::V2(dir)) => {
                let refused = devices::enforce(&dir, rules).err().filter(|_| !is_open);
                let reason =
                    |errno: Errno| format!("the kernel refused the program for them: {}", errno.desc());
                refused.map(reason).map(missed).into_iter().collect()
            }
            None if is_open => Vec::new(),
            None => vec![missed("this host has no control groups for devices".to_owned())],
        }
    }

    /// Whether rules stand between the group and devices. Version 1 always has some, if only those of the groups above.
    #[must_use]
    pub fn has_device_rules(&self) -> bool {
        match self.home(DEVICES) {
            Some(Home::V1(_)) => true,
            // A kernel that does not even tell has refused the program, too.
            Some(Home::V2(dir)) => devices::is_enforced(&dir).unwrap_or(false),
            None => false,
        }
    }

    /// Values for version 2 files by their own names.
    fn apply_unified(&self, resources: &LinuxResources) -> Vec<NotEnforced> {
        let Some(wanted) = resources.unified().as_ref().filter(|wanted| !wanted.is_empty()) else {
            return Vec::new();
        };
        let mut wanted: Vec<_> = wanted.iter().collect();
        wanted.sort_unstable();
        let dir = self.unified_dir();
        let settings =
            wanted.into_iter().map(|(file, value)| Setting::new(&format!("unified.{file}"), file, value));
        settings
            .filter_map(|setting| match &dir {
                Some(_) if setting.files.iter().any(|file| file.contains('/')) => {
                    Some(NotEnforced::refused(&setting.resource, "not a file of a control group"))
                }
                // A file that is not there belongs to a controller that is not, which has to be an error here.
                Some(dir) => put(dir, &setting).map(|missed| NotEnforced { is_refused: true, ..missed }),
                None => {
                    let reason = "this host has no version 2 control groups";
                    Some(NotEnforced::refused(&setting.resource, reason))
                }
            })
            .collect()
    }
}

/// Version 1 checks each memory limit against the other as it is written. Raising both needs the outer one first.
fn in_workable_order(mut settings: Vec<Setting>, dir: &std::path::Path) -> Vec<Setting> {
    let at = |settings: &[Setting], file: &str| settings.iter().position(|one| one.files[0] == file);
    let inner = at(&settings, v1::MEMORY_LIMIT);
    let outer = at(&settings, v1::MEMORY_AND_SWAP_LIMIT);
    if let (Some(inner), Some(outer)) = (inner, outer) {
        let current = super::group::read(&dir.join(v1::MEMORY_AND_SWAP_LIMIT)).ok();
        let current = current.and_then(|text| text.trim().parse::<u64>().ok());
        let wanted = settings[inner].value.parse::<u64>().unwrap_or(u64::MAX);
        if current.is_some_and(|current| wanted > current) {
            settings.swap(inner, outer);
        }
    }
    settings
}

/// Settings of a controller of version 1, in order. Quota and period of the processor are checked together against the
/// group above as either is written, so the quota may have to go first.
fn put_v1(dir: &std::path::Path, settings: &[Setting]) -> Vec<NotEnforced> {
    let quota = settings.iter().find(|one| one.files[0] == v1::CPU_QUOTA);
    let put_one = |setting: &Setting| {
        let missed = put(dir, setting)?;
        let Some(quota) = quota.filter(|_| setting.files[0] == v1::CPU_PERIOD) else { return Some(missed) };
        // The quota's own turn comes again, and tells what there is to tell.
        let _ = put(dir, quota);
        put(dir, setting)
    };
    settings.iter().filter_map(put_one).collect()
}

fn put(dir: &std::path::Path, setting: &Setting) -> Option<NotEnforced> {
    let mut last = None;
    let mut is_refused = false;
    for file in &setting.files {
        match write(&dir.join(file), &setting.value) {
            Ok(()) => return None,
            Err(CgroupError::Write { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(CgroupError::Write { source, .. }) => {
                // The last one: there is no such device.
                is_refused = [Errno::EINVAL, Errno::ERANGE, Errno::ENODEV]
                    .map(|errno| Some(errno as i32))
                    .contains(&source.raw_os_error());
                last = Some(source.to_string());
            }
            Err(err) => last = Some(err.to_string()),
        }
    }
    if last.is_none() && setting.resource == "memory.swap" && !host_has_swap() {
        // No swap at all is what any limit on it comes to.
        return None;
    }
    let reason = last.map_or_else(
        || format!("this kernel has no {}", setting.files.join(" or ")),
        |source| {
            format!("the kernel refused {:?} for {}: {source}", setting.value, setting.files.join(" or "))
        },
    );
    Some(NotEnforced { resource: setting.resource.clone(), reason, is_refused })
}

fn host_has_swap() -> bool {
    std::fs::read_to_string("/proc/swaps").map_or(true, |text| text.lines().count() > 1)
}
