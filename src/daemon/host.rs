//! This host: what it has for tasks, and which boot it is in.

use std::{collections::BTreeSet, fs, path::Path};

use super::config::HostConfig;
use crate::model::resources::{Capacity, HostPort, Resources, Traits};

/// What the host has for tasks: as configured, otherwise all of it.
#[must_use]
pub fn capacity(config: &HostConfig, region: &str) -> Capacity {
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let reserved_ports: BTreeSet<HostPort> = config.reserved_ports.clone();
    Capacity {
        registered: Resources {
            cpu: config.cpu.unwrap_or(processors * 1024),
            memory: config.memory.unwrap_or_else(|| memory(&read(Path::new("/proc/meminfo")))),
        },
        reserved_ports,
        traits: Traits {
            zone: format!("{region}a"),
            allow_privileged: config.allow_privileged,
            ..Traits::default()
        },
    }
}

/// MiB of memory by the text of `/proc/meminfo`.
fn memory(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() / 1024
}

/// A name of the boot that the host is in.
#[must_use]
pub fn boot_id() -> String {
    read(Path::new("/proc/sys/kernel/random/boot_id")).trim().to_owned()
}

/// The text of a file that may not be there.
pub(super) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_in_mebibytes() {
        assert_eq!(memory("MemTotal:       16384000 kB\nMemFree: 1 kB\n"), 16000);
        assert_eq!(memory(""), 0);
    }

    #[test]
    fn a_configured_value_wins() {
        let config = HostConfig { cpu: Some(512), memory: None, ..HostConfig::default() };
        let capacity = capacity(&config, "eu-west-1");
        assert_eq!(capacity.registered.cpu, 512);
        assert!(capacity.registered.memory > 0);
        assert_eq!(capacity.traits.zone, "eu-west-1a");
        assert!(!boot_id().is_empty());
    }
}
