//! What a group has used, from the kernel's own counters.

use std::path::Path;

use super::Group;
use super::group::{Home, read};

/// A reading of a group's counters; `None` where the host does not count.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Bytes in use, with caches.
    pub memory_usage: Option<u64>,
    /// Bytes of file cache that could be given back at once.
    pub memory_inactive_file: Option<u64>,
    /// The highest use seen.
    pub memory_peak: Option<u64>,
    /// The limit; `None` also when there is none.
    pub memory_limit: Option<u64>,
    /// Processor time in microseconds.
    pub cpu_usage_usec: Option<u64>,
    /// Of which in user mode.
    pub cpu_user_usec: Option<u64>,
    /// Of which in the kernel.
    pub cpu_system_usec: Option<u64>,
    /// Time spent held back by the quota.
    pub cpu_throttled_usec: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// Version 1 writes "no limit" as the highest page-aligned number; anything near it is none.
const V1_UNLIMITED: u64 = 1 << 62;

/// The unit of version 1's `cpuacct.stat`: a hundredth of a second on every Linux.
const TICK_USEC: u64 = 10_000;

impl Group {
    /// How many processes of the group the kernel has killed for lack of memory.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let found = match self.home("memory") {
            Some(Home::V1(dir)) => field(&dir.join("memory.oom_control"), "oom_kill"),
            Some(Home::V2(dir)) => field(&dir.join("memory.events"), "oom_kill"),
            None => None,
        };
        found.unwrap_or(0)
    }

    /// Reads the counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.read_memory(&mut stats);
        self.read_cpu(&mut stats);
        if let Some(Home::V1(dir) | Home::V2(dir)) = self.home("pids") {
            stats.pids = number(&dir.join("pids.current"));
        }
        stats
    }

    fn read_memory(&self, stats: &mut Stats) {
        match self.home("memory") {
            Some(Home::V1(dir)) => {
                stats.memory_usage = number(&dir.join("memory.usage_in_bytes"));
                stats.memory_peak = number(&dir.join("memory.max_usage_in_bytes"));
                stats.memory_limit =
                    number(&dir.join("memory.limit_in_bytes")).filter(|limit| *limit < V1_UNLIMITED);
                stats.memory_inactive_file = field(&dir.join("memory.stat"), "total_inactive_file");
            }
            Some(Home::V2(dir)) => {
                stats.memory_usage = number(&dir.join("memory.current"));
                stats.memory_peak = number(&dir.join("memory.peak"));
                stats.memory_limit = number(&dir.join("memory.max"));
                stats.memory_inactive_file = field(&dir.join("memory.stat"), "inactive_file");
            }
            None => {}
        }
    }

    fn read_cpu(&self, stats: &mut Stats) {
        if let Some(Home::V1(dir)) = self.home("cpuacct") {
            stats.cpu_usage_usec = number(&dir.join("cpuacct.usage")).map(|nanos| nanos / 1000);
            let ticks = |name| field(&dir.join("cpuacct.stat"), name).map(|ticks| ticks * TICK_USEC);
            stats.cpu_user_usec = ticks("user");
            stats.cpu_system_usec = ticks("system");
        }
        match self.home("cpu") {
            Some(Home::V1(dir)) => {
                stats.cpu_throttled_usec =
                    field(&dir.join("cpu.stat"), "throttled_time").map(|nanos| nanos / 1000);
            }
            Some(Home::V2(dir)) => {
                let file = dir.join("cpu.stat");
                stats.cpu_usage_usec = field(&file, "usage_usec");
                stats.cpu_user_usec = field(&file, "user_usec");
                stats.cpu_system_usec = field(&file, "system_usec");
                stats.cpu_throttled_usec = field(&file, "throttled_usec");
            }
            None => {}
        }
    }
}

/// A file that is one number; `max` is none.
pub(super) fn number(path: &Path) -> Option<u64> {
    read(path).ok()?.trim().parse().ok()
}

/// The number after `name` in a file of `name number` lines.
pub(super) fn field(path: &Path, name: &str) -> Option<u64> {
    let text = read(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
