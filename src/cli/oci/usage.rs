//! What a container uses, as a document under the names that container managers read.

use serde_json::{Map, Value, json};

use crate::kernel::cgroup::{Detail, DiskCount, Group, Pressure, RdmaCount, Stats, Taken};
use crate::kernel::resctrl::{Class, Counts};

/// The counters of a group, and of the class of service if there is one.
pub(super) fn of(group: &Group, class: Option<&Class>) -> Value {
    let (stats, detail) = (group.stats(), group.detail());
    let mut document = json!({
        "cpu": cpu(&stats, &detail),
        "cpuset": cpuset(group),
        "memory": memory(&stats, &detail),
        "pids": pids(&stats, &detail),
        "blkio": disks(&detail),
        "hugetlb": huge_pages(&detail),
        "intel_rdt": caches(&class.map(Class::counts).unwrap_or_default()),
        "network_interfaces": null,
    });
    let [in_use, most] = &detail.rdma;
    if !in_use.is_empty() || !most.is_empty() {
        document["rdma"] = json!({"rdma_current": devices(in_use), "rdma_limit": devices(most)});
    }
    for (member, pressure) in ["cpu", "memory", "blkio"].into_iter().zip(&detail.pressure) {
        if let Some(pressure) = pressure {
            document[member]["psi"] = lost(pressure);
        }
    }
    document
}

fn nanos(micros: Option<u64>) -> u64 {
    micros.unwrap_or(0).saturating_mul(1000)
}

fn cpu(stats: &Stats, detail: &Detail) -> Value {
    let mut usage = json!({
        "total": nanos(stats.cpu_usage_usec),
        "kernel": nanos(stats.cpu_system_usec),
        "user": nanos(stats.cpu_user_usec),
    });
    for (name, each) in [
        ("percpu", &detail.processors),
        ("percpu_kernel", &detail.processors_system),
        ("percpu_user", &detail.processors_user),
    ] {
        if !each.is_empty() {
            usage[name] = json!(each);
        }
    }
    json!({
        "usage": usage,
        "throttling": {
            "periods": detail.periods,
            "throttledPeriods": detail.throttled_periods,
            "throttledTime": nanos(stats.cpu_throttled_usec),
        },
    })
}

fn cpuset(group: &Group) -> Value {
    let kept = group.cpuset();
    let mut document: Map<String, Value> =
        kept.settings.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    document.insert("cpus".to_owned(), json!(kept.processors));
    document.insert("mems".to_owned(), json!(kept.nodes));
    document.into()
}

fn memory(stats: &Stats, detail: &Detail) -> Value {
    let counted: Map<String, Value> =
        detail.memory.iter().map(|(name, count)| (name.clone(), (*count).into())).collect();
    // Version 2 calls the cache by what it holds.
    let cache = counted.get("cache").or_else(|| counted.get("file")).cloned().unwrap_or(json!(0));
    let all = Taken {
        usage: stats.memory_usage.unwrap_or(0),
        peak: stats.memory_peak,
        limit: stats.memory_limit,
        refused: detail.memory_refused.unwrap_or(0),
    };
    json!({
        "cache": cache,
        "usage": taken(&all),
        "swap": detail.swap.as_ref().map_or_else(uncounted, taken),
        "kernel": detail.kernel_memory.as_ref().map_or_else(uncounted, taken),
        "kernelTCP": detail.tcp_memory.as_ref().map_or_else(uncounted, taken),
        "raw": counted,
    })
}

/// What the host does not count by itself.
fn uncounted() -> Value {
    json!({"limit": 0, "usage": 0, "max": 0, "failcnt": 0})
}

/// No limit is the largest number there is.
fn taken(taken: &Taken) -> Value {
    json!({
        "limit": taken.limit.unwrap_or(u64::MAX),
        "usage": taken.usage,
        "max": taken.peak.unwrap_or(0),
        "failcnt": taken.refused,
    })
}

fn pids(stats: &Stats, detail: &Detail) -> Value {
    let mut pids = json!({"current": stats.pids.unwrap_or(0)});
    if let Some(limit) = detail.pids_limit {
        pids["limit"] = limit.into();
    }
    pids
}

fn disks(detail: &Detail) -> Value {
    let mut document = Map::new();
    let lists =
        [("ioServiceBytesRecursive", &detail.disk_bytes), ("ioServicedRecursive", &detail.disk_operations)];
    let entry = |one: &DiskCount| json!({"major": one.major, "minor": one.minor, "op": one.operation, "value": one.count});
    for (name, counts) in lists.into_iter().filter(|(_, counts)| !counts.is_empty()) {
        document.insert(name.to_owned(), counts.iter().map(entry).collect());
    }
    document.into()
}

fn huge_pages(detail: &Detail) -> Value {
    let one = |(size, pages): &(String, Taken)| {
        let document =
            json!({"usage": pages.usage, "max": pages.peak.unwrap_or(0), "failcnt": pages.refused});
        (size.clone(), document)
    };
    detail.huge_pages.iter().map(one).collect::<Map<_, _>>().into()
}

/// Only what is counted; a document without members is that of a container without a class.
fn caches(counts: &[Counts]) -> Value {
    let mut document = Map::new();
    let occupancy: Vec<_> =
        counts.iter().filter_map(|one| Some(json!({"llc_occupancy": one.occupancy?}))).collect();
    let bandwidth = counts.iter().filter(|one| one.total.or(one.local).is_some());
    let bandwidth: Vec<_> =
        bandwidth.map(|one| json!({"mbm_total_bytes": one.total, "mbm_local_bytes": one.local})).collect();
    for (member, list) in [("cmt_stats", occupancy), ("mbm_stats", bandwidth)] {
        if !list.is_empty() {
            document.insert(member.to_owned(), list.into());
        }
    }
    document.into()
}

fn devices(counts: &[RdmaCount]) -> Value {
    let number = |count: Option<u64>| count.unwrap_or(u64::from(u32::MAX));
    let one = |count: &RdmaCount| json!({"device": count.device, "hca_handles": number(count.handles), "hca_objects": number(count.objects)});
    counts.iter().map(one).collect()
}

fn lost(pressure: &Pressure) -> Value {
    let line = |lost: &crate::kernel::cgroup::Lost| {
        let [ten, minute, five] = lost.shares;
        json!({"avg10": ten, "avg60": minute, "avg300": five, "total": lost.total})
    };
    json!({"some": line(&pressure.some), "full": line(&pressure.full)})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::cgroup::Lost;

    #[test]
    fn caches_are_listed_as_far_as_they_are_counted() {
        assert_eq!(caches(&[]), json!({}));
        let one = Counts { occupancy: Some(7), ..Counts::default() };
        assert_eq!(caches(&[one]), json!({"cmt_stats": [{"llc_occupancy": 7}]}));
        let all = Counts { occupancy: Some(7), total: Some(9), local: Some(8) };
        let bandwidth = json!([{"mbm_total_bytes": 9, "mbm_local_bytes": 8}]);
        assert_eq!(caches(&[one, all])["mbm_stats"], bandwidth);
    }

    #[test]
    fn counters_stand_under_their_usual_names() {
        let taken = Taken { usage: 2, peak: Some(3), limit: None, refused: 1 };
        let count = DiskCount { major: 8, minor: 16, operation: "Read".to_owned(), count: 512 };
        let detail = Detail {
            memory: vec![("file".to_owned(), 7)],
            swap: Some(taken),
            disk_bytes: vec![count],
            huge_pages: vec![("2MB".to_owned(), taken)],
            pids_limit: Some(9),
            ..Detail::default()
        };
        let stats = Stats { pids: Some(4), cpu_throttled_usec: Some(5), ..Stats::default() };
        let memory = memory(&stats, &detail);
        assert_eq!((&memory["cache"], &memory["raw"]["file"]), (&json!(7), &json!(7)));
        assert_eq!(memory["kernel"]["limit"], 0);
        assert_eq!(memory["swap"], json!({"limit": u64::MAX, "usage": 2, "max": 3, "failcnt": 1}));
        assert_eq!(
            disks(&detail),
            json!({"ioServiceBytesRecursive": [{"major": 8, "minor": 16, "op": "Read", "value": 512}]})
        );
        assert_eq!(huge_pages(&detail), json!({"2MB": {"usage": 2, "max": 3, "failcnt": 1}}));
        assert_eq!(pids(&stats, &detail), json!({"current": 4, "limit": 9}));
        assert_eq!(cpu(&stats, &detail)["throttling"]["throttledTime"], 5000);
        let handles = RdmaCount { device: "mlx4_0".to_owned(), handles: Some(2), objects: None };
        let most = u64::from(u32::MAX);
        assert_eq!(devices(&[handles]), json!([{"device": "mlx4_0", "hca_handles": 2, "hca_objects": most}]));
        let some = Lost { shares: [0.5, 0.0, 0.0], total: 11 };
        let shown = lost(&Pressure { some, full: Lost::default() });
        assert_eq!((&shown["some"]["avg10"], &shown["some"]["total"]), (&json!(0.5), &json!(11)));
    }
}
