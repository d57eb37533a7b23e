//! What the kernel counts for a class or a monitoring group, cache by cache (`mon_data/mon_L3_00/llc_occupancy`).

use std::fs;
use std::path::Path;

use super::Class;

/// The counters of one cache; `None` is one that this host does not count.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Bytes of the cache that hold the group's data.
    pub occupancy: Option<u64>,
    /// Bytes from and to memory.
    pub total: Option<u64>,
    /// Those of them from and to the cache's own memory.
    pub local: Option<u64>,
}

impl Class {
    /// The counters of the container's own group, in the order of the caches. None where it shares a class and has no
    /// group of its own, because they would be everybody's.
    #[must_use]
    pub fn counts(&self) -> Vec<Counts> {
        let own = Some(&self.dir).filter(|_| self.is_own);
        let Some(group) = self.monitor.as_ref().or(own) else { return Vec::new() };
        let mut caches: Vec<_> = fs::read_dir(group.join("mon_data"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        caches.sort();
        let is_cache = |path: &&std::path::PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("mon_L3_"))
        };
        caches.iter().filter(is_cache).map(|cache| read(cache)).collect()
    }
}

fn read(cache: &Path) -> Counts {
    let number = |name: &str| fs::read_to_string(cache.join(name)).ok()?.trim().parse().ok();
    Counts {
        occupancy: number("llc_occupancy"),
        total: number("mbm_total_bytes"),
        local: number("mbm_local_bytes"),
    }
}
