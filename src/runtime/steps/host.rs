//! The facts about this host that change what a container's steps are.

use std::ffi::CString;

use nix::sys::stat::makedev;
use oci_spec::runtime::Process;

use super::has_selinux;
use crate::kernel::cgroup::Layout;
use crate::kernel::process::kernel_release;
use crate::kernel::security::{CapabilitySet, Limit, held, known, limit_of};

/// The capability to make device nodes.
pub const MAKE_NODES: &str = "CAP_MKNOD";

/// What the host is and what we may do on it.
#[derive(Debug, Clone)]
pub struct Host {
    /// The kernel's version.
    pub kernel: (u32, u32),
    /// The capabilities this process holds.
    pub held: CapabilitySet,
    /// The capabilities the kernel knows.
    pub known: CapabilitySet,
    /// The capabilities that no process is given, whatever is asked for.
    pub withheld: CapabilitySet,
    /// Our own hard limits, for those the process asks about.
    pub hard_limits: Vec<(Limit, u64)>,
    /// The most files that any process may be allowed to open, whatever its capabilities: `fs.nr_open`.
    pub open_files: u64,
    /// Whether supplementary groups stay as they are, because they may not be changed here (user_namespaces(7)).
    pub keeps_groups: bool,
    /// Our own out-of-memory score adjustment.
    pub oom_score: i32,
    /// Where control groups are.
    pub layout: Layout,
    /// Mounts of proc and sysfs, to be taken away where the root is only moved.
    pub pseudo_mounts: Vec<CString>,
    /// The device numbers of the filesystems that are mounted here, for those who change one.
    pub filesystems: Vec<u64>,
    /// Whether programs and files have SELinux labels.
    pub has_selinux: bool,
}

impl Host {
    /// Looks around, as far as `process` makes a difference.
    #[must_use]
    pub fn look(layout: &Layout, process: &Process) -> Self {
        let limits = process.rlimits().iter().flatten();
        let hard_limits = limits
            .filter_map(|limit| Limit::named(&limit.typ().to_string()))
            .filter_map(|limit| Some((limit, limit_of(limit).ok()?.1)))
            .collect();
        let oom_score = if process.oom_score_adj().is_some() { own_oom_score() } else { 0 };
        Self {
            kernel: kernel_release(),
            held: held().unwrap_or_default(),
            known: known(),
            withheld: CapabilitySet::NONE,
            hard_limits,
            open_files: number("/proc/sys/fs/nr_open").unwrap_or(u64::MAX),
            keeps_groups: may_not_set_groups(),
            oom_score,
            layout: layout.clone(),
            pseudo_mounts: Vec::new(),
            filesystems: Vec::new(),
            has_selinux: has_selinux(),
        }
    }

    /// Keeps processes from making device nodes, where no rules say which of them open.
    pub fn withhold_nodes(&mut self) {
        self.withheld = self.withheld.with(MAKE_NODES).unwrap_or(self.withheld);
    }

    /// Looks where proc and sysfs are mounted, the innermost first.
    pub fn find_pseudo_mounts(&mut self) {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let place = |line: &str| {
            let (front, back) = line.split_once(" - ")?;
            let is_pseudo = ["proc ", "sysfs "].iter().any(|fstype| back.starts_with(fstype));
            let place = front.split(' ').nth(4).filter(|_| is_pseudo)?;
            CString::new(place).ok()
        };
        self.pseudo_mounts = text.lines().rev().filter_map(place).collect();
    }

    /// Looks which filesystems are mounted.
    pub fn find_filesystems(&mut self) {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let number = |line: &str| {
            let (major, minor) = line.split(' ').nth(2)?.split_once(':')?;
            Some(makedev(major.parse().ok()?, minor.parse().ok()?))
        };
        self.filesystems = text.lines().filter_map(number).collect();
        self.filesystems.sort_unstable();
        self.filesystems.dedup();
    }

    /// Whether limits can be raised above what this process has itself.
    #[must_use]
    pub fn can_raise_limits(&self) -> bool {
        self.held.has("CAP_SYS_RESOURCE")
    }
}

/// Others than root give the right up for the user namespaces that they make, and it is not there in those they are in.
fn may_not_set_groups() -> bool {
    let word = std::fs::read_to_string("/proc/self/setgroups").unwrap_or_default();
    word.trim() == "deny" || !nix::unistd::geteuid().is_root()
}

fn own_oom_score() -> i32 {
    number("/proc/self/oom_score_adj").unwrap_or(0)
}

fn number<N: std::str::FromStr>(file: &str) -> Option<N> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}
