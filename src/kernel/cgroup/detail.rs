//! The finer counters of a group: what people draw curves of, and nobody decides by.
//!
//! Read only when somebody asks, because it is a dozen files.

use std::fs;
use std::path::Path;

use super::disks::{Disk, DiskCount, counts_v1, counts_v2, disks};
use super::group::{Home, read};
use super::stats::{field, number};
use super::{Group, pressure::Pressure};

/// A reading of a group's finer counters; empty where the host does not count.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Detail {
    /// `memory.stat`, as the kernel names and orders it.
    pub memory: Vec<(String, u64)>,
    /// How often memory was refused at the limit.
    pub memory_refused: Option<u64>,
    /// Memory and swap together.
    pub swap: Option<Taken>,
    /// Memory of the kernel, where it is counted by itself.
    pub kernel_memory: Option<Taken>,
    /// Memory of TCP's buffers, where it is counted by itself.
    pub tcp_memory: Option<Taken>,
    /// Nanoseconds of each processor, where the host tells them apart.
    pub processors: Vec<u64>,
    /// Of which in the kernel.
    pub processors_system: Vec<u64>,
    /// Of which in user mode.
    pub processors_user: Vec<u64>,
    /// Periods in which the quota counted.
    pub periods: u64,
    /// Periods in which the quota held the group back.
    pub throttled_periods: u64,
    /// The most processes and threads; `None` also when there is no limit.
    pub pids_limit: Option<u64>,
    /// What went to and came from each disk.
    pub disks: Vec<Disk>,
    /// Bytes of each disk, by what was done.
    pub disk_bytes: Vec<DiskCount>,
    /// Operations of each disk, by what was done.
    pub disk_operations: Vec<DiskCount>,
    /// Huge pages, by their size as the kernel writes it, such as `2MB`.
    pub huge_pages: Vec<(String, Taken)>,
    /// Handles and objects of each RDMA device: those in use, and the most of them.
    pub rdma: [Vec<RdmaCount>; 2],
    /// Time lost for want of the processor, of memory and of disks, in this order.
    pub pressure: [Option<Pressure>; 3],
}

/// How much of something a group has, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// What it has.
    pub usage: u64,
    /// The most that it has had, if the kernel remembers.
    pub peak: Option<u64>,
    /// The most that it may have; `None` also when there is no limit.
    pub limit: Option<u64>,
    /// How often more was refused.
    pub refused: u64,
}

/// Handles and objects of an RDMA device; `None` is any number.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RdmaCount {
    /// The device.
    pub device: String,
    /// Handles.
    pub handles: Option<u64>,
    /// Objects.
    pub objects: Option<u64>,
}

impl Group {
    /// Reads the finer counters.
    #[must_use]
    pub fn detail(&self) -> Detail {
        let mut detail = Detail::default();
        self.detail_memory(&mut detail);
        self.detail_cpu(&mut detail);
        if let Some(Home::V1(dir) | Home::V2(dir)) = self.home("pids") {
            detail.pids_limit = number(&dir.join("pids.max"));
        }
        self.detail_disks(&mut detail);
        if let Some(home) = self.home("hugetlb") {
            detail.huge_pages = huge_pages(&home);
        }
        if let Some(Home::V1(dir) | Home::V2(dir)) = self.home("rdma") {
            let file = |name: &str| rdma(&read(&dir.join(name)).unwrap_or_default());
            detail.rdma = ["rdma.current", "rdma.max"].map(file);
        }
        detail
    }

    fn detail_memory(&self, detail: &mut Detail) {
        match self.home("memory") {
            Some(Home::V1(dir)) => {
                detail.memory = pairs(&dir.join("memory.stat"));
                detail.memory_refused = number(&dir.join("memory.failcnt"));
                detail.swap = taken_v1(&dir, "memory.memsw");
                detail.kernel_memory = taken_v1(&dir, "memory.kmem");
                detail.tcp_memory = taken_v1(&dir, "memory.kmem.tcp");
            }
            Some(Home::V2(dir)) => {
                detail.memory = pairs(&dir.join("memory.stat"));
                let file = |name: &str| number(&dir.join(name));
                // Version 1 counts both together, and so does who reads this.
                detail.swap = file("memory.swap.current").map(|swap| Taken {
                    usage: swap + file("memory.current").unwrap_or(0),
                    peak: None,
                    limit: file("memory.swap.max")
                        .and_then(|swap| Some(swap.saturating_add(file("memory.max")?))),
                    refused: field(&dir.join("memory.swap.events"), "max").unwrap_or(0),
                });
                detail.memory_refused = field(&dir.join("memory.events"), "max");
                detail.pressure[1] = Pressure::read(&dir.join("memory.pressure"));
            }
            None => {}
        }
    }

    fn detail_cpu(&self, detail: &mut Detail) {
        if let Some(Home::V1(dir)) = self.home("cpuacct") {
            let each = |name: &str| {
                let text = read(&dir.join(name)).unwrap_or_default();
                text.split_whitespace().map_while(|word| word.parse().ok()).collect()
            };
            detail.processors = each("cpuacct.usage_percpu");
            detail.processors_system = each("cpuacct.usage_percpu_sys");
            detail.processors_user = each("cpuacct.usage_percpu_user");
        }
        let Some(home) = self.home("cpu") else { return };
        let (Home::V1(dir) | Home::V2(dir)) = &home;
        let file = dir.join("cpu.stat");
        detail.periods = field(&file, "nr_periods").unwrap_or(0);
        detail.throttled_periods = field(&file, "nr_throttled").unwrap_or(0);
        if let Home::V2(dir) = &home {
            detail.pressure[0] = Pressure::read(&dir.join("cpu.pressure"));
        }
    }

    fn detail_disks(&self, detail: &mut Detail) {
        match self.home("io") {
            Some(Home::V1(dir)) => {
                let counts = |file: &str| counts_v1(&read(&dir.join(file)).unwrap_or_default());
                detail.disk_bytes = counts("blkio.throttle.io_service_bytes_recursive");
                detail.disk_operations = counts("blkio.throttle.io_serviced_recursive");
            }
            Some(Home::V2(dir)) => {
                let text = read(&dir.join("io.stat")).unwrap_or_default();
                detail.disk_bytes = counts_v2(&text, [("rbytes", "Read"), ("wbytes", "Write")]);
                detail.disk_operations = counts_v2(&text, [("rios", "Read"), ("wios", "Write")]);
                detail.pressure[2] = Pressure::read(&dir.join("io.pressure"));
            }
            None => {}
        }
        detail.disks = disks(&detail.disk_bytes, &detail.disk_operations);
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

/// The four files that version 1 has for each sort of memory.
fn taken_v1(dir: &Path, what: &str) -> Option<Taken> {
    let file = |name: &str| number(&dir.join(format!("{what}.{name}")));
    Some(Taken {
        usage: file("usage_in_bytes")?,
        peak: file("max_usage_in_bytes"),
        limit: file("limit_in_bytes"),
        refused: file("failcnt").unwrap_or(0),
    })
}

/// Every size of huge page that the kernel has, smallest names first.
fn huge_pages(home: &Home) -> Vec<(String, Taken)> {
    let (Home::V1(dir) | Home::V2(dir)) = home;
    let (in_use, end) = match home {
        Home::V1(_) => ("usage_in_bytes", ".usage_in_bytes"),
        Home::V2(_) => ("current", ".current"),
    };
    let mut sizes: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let size = name.strip_prefix("hugetlb.")?.strip_suffix(end)?;
            // What is only reserved is counted beside it, under a longer name.
            (!size.contains('.')).then(|| size.to_owned())
        })
        .collect();
    sizes.sort();
    let taken = |size: String| {
        let path = |name: &str| dir.join(format!("hugetlb.{size}.{name}"));
        let usage = number(&path(in_use))?;
        let taken = match home {
            Home::V1(_) => taken_v1(dir, &format!("hugetlb.{size}"))?,
            Home::V2(_) => Taken {
                usage,
                peak: None,
                limit: number(&path("max")),
                refused: field(&path("events"), "max").unwrap_or(0),
            },
        };
        Some((size, taken))
    };
    sizes.into_iter().filter_map(taken).collect()
}

/// Lines `mlx4_0 hca_handle=2 hca_object=max`.
fn rdma(text: &str) -> Vec<RdmaCount> {
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        let device = words.next()?.to_owned();
        let counts: Vec<_> = words.filter_map(|word| word.split_once('=')).collect();
        let of = |name: &str| counts.iter().find(|(known, _)| *known == name)?.1.parse().ok();
        Some(RdmaCount { device, handles: of("hca_handle"), objects: of("hca_object") })
    };
    text.lines().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_of_a_device_may_be_without_number() {
        let counts = rdma("mlx4_0 hca_handle=2 hca_object=2000\nocrdma1 hca_handle=3 hca_object=max\n");
        let count =
            |device: &str, handles, objects| RdmaCount { device: device.to_owned(), handles, objects };
        assert_eq!(counts, [count("mlx4_0", Some(2), Some(2000)), count("ocrdma1", Some(3), None)]);
    }

    #[test]
    fn huge_pages_are_found_by_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        for (name, text) in [
            ("hugetlb.2MB.current", "4194304\n"),
            ("hugetlb.2MB.max", "max\n"),
            ("hugetlb.2MB.events", "max 3\n"),
            ("hugetlb.2MB.rsvd.current", "0\n"),
            ("hugetlb.1GB.usage_in_bytes", "1\n"),
            ("hugetlb.1GB.max_usage_in_bytes", "2\n"),
            ("hugetlb.1GB.limit_in_bytes", "9\n"),
            ("hugetlb.1GB.failcnt", "7\n"),
        ] {
            put(name, text);
        }
        let new = Taken { usage: 4 << 20, peak: None, limit: None, refused: 3 };
        assert_eq!(huge_pages(&Home::V2(dir.path().to_owned())), [("2MB".to_owned(), new)]);
        let old = Taken { usage: 1, peak: Some(2), limit: Some(9), refused: 7 };
        assert_eq!(huge_pages(&Home::V1(dir.path().to_owned())), [("1GB".to_owned(), old)]);
    }
}
