//! The processors and memory nodes that a group is kept to.

use super::Group;
use super::group::{Home, read};

/// The settings of version 1, by the names of their files after `cpuset.`.
const SETTINGS: [&str; 9] = [
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
];

/// Processors and memory nodes by number, and what version 1 has besides.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Cpuset {
    /// Processors.
    pub processors: Vec<u16>,
    /// Memory nodes.
    pub nodes: Vec<u16>,
    /// Settings that only version 1 has; zero in version 2.
    pub settings: Vec<(&'static str, i64)>,
}

impl Group {
    /// What the group is kept to; nothing where nobody keeps it.
    #[must_use]
    pub fn cpuset(&self) -> Cpuset {
        let (dir, end) = match self.home("cpuset") {
            Some(Home::V1(dir)) => (dir, ""),
            Some(Home::V2(dir)) => (dir, ".effective"),
            None => return Cpuset::default(),
        };
        let file = |name: &str| read(&dir.join(format!("cpuset.{name}"))).unwrap_or_default();
        let numbers = |name: &str| list(&file(&format!("{name}{end}")));
        let setting = |name: &'static str| (name, file(name).trim().parse().unwrap_or(0));
        Cpuset {
            processors: numbers("cpus"),
            nodes: numbers("mems"),
            settings: SETTINGS.into_iter().map(setting).collect(),
        }
    }
}

/// A list such as `0-3,7`.
fn list(text: &str) -> Vec<u16> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_out() {
        assert_eq!(list("0-2,5\n"), [0, 1, 2, 5]);
        assert!(list("\n").is_empty());
    }
}
