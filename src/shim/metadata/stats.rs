//! What a container uses, in the shape of Docker's statistics, which every collector of them reads.
//!
//! Nothing is counted while nobody asks. The values "before" are those of an earlier question, so the first answer has
//! none, as Docker's own first one.

use std::fs;

use serde_json::{Map, Value, json};

use crate::{
    kernel::{
        cgroup::{Detail, Disk, Group, Stats},
        process::Pid,
    },
    model::time::Timestamp,
    shim::container::Container,
};

/// Nanoseconds of the unit in which `/proc/stat` counts, on every Linux.
const TICK: u64 = 10_000_000;

/// The time that Docker writes for "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Between the values of a pair lie so many milliseconds at least, however often somebody asks.
const APART: u64 = 1000;

/// One look at a container's counters.
#[derive(Debug)]
pub(super) struct Sample {
    at: Timestamp,
    pid: Pid,
    cpu: Value,
    received: u64,
    sent: u64,
}

/// The statistics of a container that runs; `before` is what was seen at an earlier question. Gives the document and
/// what to remember for the next.
pub(super) fn of(
    container: &Container,
    (name, id): (&str, &str),
    now: Timestamp,
    before: Option<Sample>,
) -> (Value, Sample) {
    let (group, pid) = (container.group(), container.pid());
    let (stats, detail) = (group.stats(), group.detail());
    let networks = networks(&fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default());
    let total = |member: &str| networks.values().filter_map(|link| link[member].as_u64()).sum();
    let sample = Sample {
        at: now,
        pid,
        cpu: cpu(&stats, &detail, &fs::read_to_string("/proc/stat").unwrap_or_default()),
        received: total("rx_bytes"),
        sent: total("tx_bytes"),
    };
    let before = before.filter(|before| before.pid == pid && before.at < now);
    let mut document = json!({
        "read": now.to_rfc3339(),
        "preread": before.as_ref().map_or_else(|| NEVER.to_owned(), |before| before.at.to_rfc3339()),
        "pids_stats": pids(&stats, &detail),
        "blkio_stats": disks(&detail.disks),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": sample.cpu,
        "precpu_stats": before.as_ref().map_or_else(|| cpu(&Stats::default(), &Detail::default(), ""), |before| before.cpu.clone()),
        "memory_stats": memory(group, &stats, &detail),
        "name": name,
        "id": id,
    });
    if !networks.is_empty() {
        document["networks"] = networks.into();
    }
    if let Some(before) = &before {
        document["network_rate_stats"] = rates(before, &sample);
    }
    let kept = before.filter(|before| now.0 - before.at.0 < APART).unwrap_or(sample);
    (document, kept)
}

fn pids(stats: &Stats, detail: &Detail) -> Value {
    let mut pids = json!({ "current": stats.pids.unwrap_or(0) });
    if let Some(limit) = detail.pids_limit {
        pids["limit"] = limit.into();
    }
    pids
}

/// `system` is the text of `/proc/stat`.
fn cpu(stats: &Stats, detail: &Detail, system: &str) -> Value {
    let nanos = |micros: Option<u64>| micros.unwrap_or(0).saturating_mul(1000);
    let mut usage = json!({
        "total_usage": nanos(stats.cpu_usage_usec),
        "usage_in_kernelmode": nanos(stats.cpu_system_usec),
        "usage_in_usermode": nanos(stats.cpu_user_usec),
    });
    if !detail.processors.is_empty() {
        usage["percpu_usage"] = json!(detail.processors);
    }
    let mut cpu = json!({ "cpu_usage": usage });
    if let Some((spent, processors)) = processors(system) {
        cpu["system_cpu_usage"] = spent.into();
        cpu["online_cpus"] = processors.into();
    }
    cpu["throttling_data"] = json!({
        "periods": detail.periods,
        "throttled_periods": detail.throttled_periods,
        "throttled_time": nanos(stats.cpu_throttled_usec),
    });
    cpu
}

/// Nanoseconds that all processors spent, idle ones included, and how many processors there are.
fn processors(text: &str) -> Option<(u64, usize)> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // What follows the first seven is time of guests, which is counted in theirs already, and stolen time.
    let ticks: u64 = line.split_whitespace().take(7).filter_map(|word| word.parse::<u64>().ok()).sum();
    let is_one = |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| !rest.starts_with(' '));
    Some((ticks.saturating_mul(TICK), text.lines().filter(is_one).count()))
}

/// The limit is the container's own, else the nearest above it, else all the host has.
fn memory(group: &Group, stats: &Stats, detail: &Detail) -> Value {
    let mut memory = json!({ "usage": stats.memory_usage.unwrap_or(0) });
    if let Some(peak) = stats.memory_peak {
        memory["max_usage"] = peak.into();
    }
    let counted: Map<String, Value> =
        detail.memory.iter().map(|(name, count)| (name.clone(), (*count).into())).collect();
    memory["stats"] = counted.into();
    if let Some(refused) = detail.memory_refused {
        memory["failcnt"] = refused.into();
    }
    let above = || group.parent().and_then(|task| task.stats().memory_limit);
    let host = || fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(memory_of_host);
    if let Some(limit) = stats.memory_limit.or_else(above).or_else(host) {
        memory["limit"] = limit.into();
    }
    memory
}

fn memory_of_host(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn disks(disks: &[Disk]) -> Value {
    let list = |of: &dyn Fn(&Disk) -> [u64; 2]| -> Value {
        let entry = |disk: &Disk| {
            let of = of(disk);
            let one = |op: &str, value: u64| json!({ "major": disk.major, "minor": disk.minor, "op": op, "value": value });
            [one("read", of[0]), one("write", of[1])]
        };
        disks.iter().flat_map(entry).collect()
    };
    json!({
        "io_service_bytes_recursive": list(&|disk| [disk.read_bytes, disk.written_bytes]),
        "io_serviced_recursive": list(&|disk| [disk.reads, disk.writes]),
        "io_queue_recursive": [],
        "io_service_time_recursive": [],
        "io_wait_time_recursive": [],
        "io_merged_recursive": [],
        "io_time_recursive": [],
        "sectors_recursive": [],
    })
}

/// The links in the text of a process's `net/dev`, without loopback.
fn networks(text: &str) -> Map<String, Value> {
    let mut networks = Map::new();
    for line in text.lines() {
        let Some((name, counts)) = line.split_once(':') else { continue };
        let counts: Vec<u64> = counts.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
            ..,
        ] = counts[..]
        else {
            continue;
        };
        if name.trim() != "lo" {
            let link = json!({
                "rx_bytes": rx_bytes, "rx_packets": rx_packets, "rx_errors": rx_errors, "rx_dropped": rx_dropped,
                "tx_bytes": tx_bytes, "tx_packets": tx_packets, "tx_errors": tx_errors, "tx_dropped": tx_dropped,
            });
            networks.insert(name.trim().to_owned(), link);
        }
    }
    networks
}

fn rates(before: &Sample, now: &Sample) -> Value {
    let millis = now.at.0.saturating_sub(before.at.0).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a rate that is wrong in the sixteenth digit is right")]
    let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 * 1000.0 / millis as f64;
    json!({
        "rx_bytes_per_sec": rate(before.received, now.received),
        "tx_bytes_per_sec": rate(before.sent, now.sent),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_proc_are_read_as_docker_reads_them() {
        let text = "cpu  1 2 3 4 5 6 7 100 100 100\ncpu0 1 2 3\ncpu1 1 2 3\nintr 1 2\n";
        assert_eq!(processors(text), Some((28 * TICK, 2)));
        assert_eq!(processors(""), None);
        assert_eq!(memory_of_host("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        let text = "Inter-| Receive | Transmit\n face |bytes | bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n\
                    eth0: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n";
        let read = networks(text);
        assert_eq!(read.len(), 1);
        assert_eq!(read["eth0"]["rx_bytes"], 10);
        assert_eq!(read["eth0"]["tx_dropped"], 8);
    }

    #[test]
    fn disks_have_an_entry_for_each_way() {
        let disk = Disk { major: 8, minor: 1, read_bytes: 2, written_bytes: 3, reads: 4, writes: 5 };
        let told = disks(&[disk]);
        let expected = json!([
            { "major": 8, "minor": 1, "op": "read", "value": 2 }, { "major": 8, "minor": 1, "op": "write", "value": 3 },
        ]);
        assert_eq!(told["io_service_bytes_recursive"], expected);
        assert_eq!(told["io_serviced_recursive"][1]["value"], 5);
    }
}
