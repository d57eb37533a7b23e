//! The finer counters of a group: what people draw curves of, and nobody decides by.
//!
//! Read only when somebody asks, because it is a dozen files.

use std::path::Path;

use super::Group;
use super::group::{Home, read};
use super::stats::number;

/// A reading of a group's finer counters; empty where the host does not count.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Detail {
    /// `memory.stat`, as the kernel names and orders it.
    pub memory: Vec<(String, u64)>,
    /// How often memory was refused at the limit.
    pub memory_refused: Option<u64>,
    /// Nanoseconds of each processor, where the host tells them apart.
    pub processors: Vec<u64>,
    /// Periods in which the quota counted.
    pub periods: u64,
    /// Periods in which the quota held the group back.
    pub throttled_periods: u64,
    /// The most processes and threads; `None` also when there is no limit.
    pub pids_limit: Option<u64>,
    /// What went to and came from each disk.
    pub disks: Vec<Disk>,
}

/// What a group read from a disk and wrote to it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// The device's major number.
    pub major: u64,
    /// Its minor number.
    pub minor: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

impl Group {
    /// Reads the finer counters.
    #[must_use]
    pub fn detail(&self) -> Detail {
        let mut detail = Detail::default();
        match self.home("memory") {
            Some(Home::V1(dir)) => {
                detail.memory = pairs(&dir.join("memory.stat"));
                detail.memory_refused = number(&dir.join("memory.failcnt"));
            }
            Some(Home::V2(dir)) => {
                detail.memory = pairs(&dir.join("memory.stat"));
                let events = pairs(&dir.join("memory.events"));
                detail.memory_refused =
                    events.into_iter().find(|(name, _)| name == "max").map(|(_, count)| count);
            }
            None => {}
        }
        if let Some(Home::V1(dir)) = self.home("cpuacct") {
            let text = read(&dir.join("cpuacct.usage_percpu")).unwrap_or_default();
            detail.processors = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
        }
        if let Some(Home::V1(dir) | Home::V2(dir)) = self.home("cpu") {
            let counted = pairs(&dir.join("cpu.stat"));
            let of =
                |name: &str| counted.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count);
            (detail.periods, detail.throttled_periods) = (of("nr_periods"), of("nr_throttled"));
        }
        if let Some(Home::V1(dir) | Home::V2(dir)) = self.home("pids") {
            detail.pids_limit = number(&dir.join("pids.max"));
        }
        match self.home("io") {
            Some(Home::V1(dir)) => {
                let text = |file: &str| read(&dir.join(file)).unwrap_or_default();
                let bytes = text("blkio.throttle.io_service_bytes_recursive");
                detail.disks = disks_v1(&bytes, &text("blkio.throttle.io_serviced_recursive"));
            }
            Some(Home::V2(dir)) => detail.disks = disks_v2(&read(&dir.join("io.stat")).unwrap_or_default()),
            None => {}
        }
        detail
    }
}

/// A file of lines `name number`.
fn pairs(path: &Path) -> Vec<(String, u64)> {
    let pair = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    read(path).unwrap_or_default().lines().filter_map(pair).collect()
}

/// Lines `8:0 Read 4096`, one file for bytes and one for operations.
fn disks_v1(bytes: &str, operations: &str) -> Vec<Disk> {
    let mut disks = Vec::new();
    let lines = bytes.lines().map(|line| (line, true)).chain(operations.lines().map(|line| (line, false)));
    for (line, is_bytes) in lines {
        let mut words = line.split_whitespace();
        let device = words.next().and_then(device);
        let (Some(device), Some(what), Some(count)) = (device, words.next(), words.next()) else { continue };
        let disk = of(&mut disks, device);
        let counter = match (what, is_bytes) {
            ("Read", true) => &mut disk.read_bytes,
            ("Write", true) => &mut disk.written_bytes,
            ("Read", false) => &mut disk.reads,
            ("Write", false) => &mut disk.writes,
            _ => continue,
        };
        *counter = count.parse().unwrap_or(0);
    }
    disks
}

/// Lines `8:0 rbytes=4096 wbytes=0 rios=1 wios=0`.
fn disks_v2(text: &str) -> Vec<Disk> {
    let mut disks = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(device) = words.next().and_then(device) else { continue };
        let disk = of(&mut disks, device);
        for (name, count) in words.filter_map(|word| word.split_once('=')) {
            let counter = match name {
                "rbytes" => &mut disk.read_bytes,
                "wbytes" => &mut disk.written_bytes,
                "rios" => &mut disk.reads,
                "wios" => &mut disk.writes,
                _ => continue,
            };
            *counter = count.parse().unwrap_or(0);
        }
    }
    disks
}

fn device(word: &str) -> Option<(u64, u64)> {
    let (major, minor) = word.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The disk in the list; a new one at its end when it is not there.
fn of(disks: &mut Vec<Disk>, (major, minor): (u64, u64)) -> &mut Disk {
    let known = disks.iter().position(|disk| (disk.major, disk.minor) == (major, minor));
    let at = known.unwrap_or_else(|| {
        disks.push(Disk { major, minor, ..Disk::default() });
        disks.len() - 1
    });
    &mut disks[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_tell_of_disks_in_their_own_words() {
        let disk = |minor, read_bytes, written_bytes, reads, writes| Disk {
            major: 8,
            minor,
            read_bytes,
            written_bytes,
            reads,
            writes,
        };
        let bytes = "8:0 Read 4096\n8:0 Write 512\n8:0 Sync 1\n8:16 Read 1\nTotal 4609\n";
        let operations = "8:0 Read 2\n8:0 Write 1\nTotal 3\n";
        assert_eq!(disks_v1(bytes, operations), [disk(0, 4096, 512, 2, 1), disk(16, 1, 0, 0, 0)]);
        let text = "8:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0\n8:16 \n";
        assert_eq!(disks_v2(text), [disk(0, 4096, 512, 2, 1), disk(16, 0, 0, 0, 0)]);
    }
}
