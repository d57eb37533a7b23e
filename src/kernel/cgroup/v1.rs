//! The limits in the files of version 1. Pure: values in, settings out, in the order to write them.

use oci_spec::runtime::{
    LinuxDeviceCgroup, LinuxInterfacePriority, LinuxNetwork, LinuxRdma, LinuxResources, LinuxThrottleDevice,
};
use std::fmt::Write as _;

use super::DEVICES;
use super::apply::Setting;

pub(super) const MEMORY_LIMIT: &str = "memory.limit_in_bytes";
pub(super) const MEMORY_AND_SWAP_LIMIT: &str = "memory.memsw.limit_in_bytes";
pub(super) const CPU_PERIOD: &str = "cpu.cfs_period_us";
pub(super) const CPU_QUOTA: &str = "cpu.cfs_quota_us";

pub(super) fn cpu(resources: &LinuxResources) -> Vec<Setting> {
    let Some(cpu) = resources.cpu() else { return Vec::new() };
    let mut out = Vec::new();
    if let Some(shares) = cpu.shares().filter(|shares| *shares > 0) {
        out.push(Setting::new("cpu.shares", "cpu.shares", shares));
    }
    // The quota is checked against the period, so the period goes first.
    if let Some(period) = cpu.period().filter(|period| *period > 0) {
        out.push(Setting::new("cpu.period", CPU_PERIOD, period));
    }
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        out.push(Setting::new("cpu.quota", CPU_QUOTA, quota.max(-1)));
    }
    if let Some(burst) = cpu.burst() {
        out.push(Setting::new("cpu.burst", "cpu.cfs_burst_us", burst));
    }
    if let Some(period) = cpu.realtime_period().filter(|period| *period > 0) {
        out.push(Setting::new("cpu.realtimePeriod", "cpu.rt_period_us", period));
    }
    if let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) {
        out.push(Setting::new("cpu.realtimeRuntime", "cpu.rt_runtime_us", runtime));
    }
    if let Some(idle) = cpu.idle() {
        out.push(Setting::new("cpu.idle", "cpu.idle", idle));
    }
    out
}

pub(super) fn cpuset(resources: &LinuxResources) -> Vec<Setting> {
    let Some(cpu) = resources.cpu() else { return Vec::new() };
    let mut out = Vec::new();
    if let Some(cpus) = cpu.cpus().as_ref().filter(|cpus| !cpus.is_empty()) {
        out.push(Setting::new("cpu.cpus", "cpuset.cpus", cpus));
    }
    if let Some(mems) = cpu.mems().as_ref().filter(|mems| !mems.is_empty()) {
        out.push(Setting::new("cpu.mems", "cpuset.mems", mems));
    }
    out
}

pub(super) fn memory(resources: &LinuxResources) -> Vec<Setting> {
    let Some(memory) = resources.memory() else { return Vec::new() };
    let mut out = Vec::new();
    if let Some(limit) = memory.limit().filter(|limit| *limit != 0) {
        out.push(Setting::new("memory.limit", MEMORY_LIMIT, limit.max(-1)));
    }
    // Memory without a limit cannot be part of memory and swap with one.
    let swap = memory.swap().filter(|swap| *swap != 0);
    let swap = swap.or_else(|| memory.limit().filter(|limit| *limit < 0));
    if let Some(swap) = swap {
        out.push(Setting::new("memory.swap", MEMORY_AND_SWAP_LIMIT, swap.max(-1)));
    }
    if let Some(reservation) = memory.reservation().filter(|reservation| *reservation != 0) {
        out.push(Setting::new("memory.reservation", "memory.soft_limit_in_bytes", reservation.max(-1)));
    }
    if let Some(tcp) = memory.kernel_tcp().filter(|tcp| *tcp != 0) {
        out.push(Setting::new("memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", tcp.max(-1)));
    }
    if let Some(swappiness) = memory.swappiness() {
        out.push(Setting::new("memory.swappiness", "memory.swappiness", swappiness));
    }
    if memory.disable_oom_killer() == Some(true) {
        out.push(Setting::new("memory.disableOOMKiller", "memory.oom_control", 1));
    }
    out
}

pub(super) fn pids(resources: &LinuxResources) -> Vec<Setting> {
    let limit = resources.pids().as_ref().map(oci_spec::runtime::LinuxPids::limit);
    limit.into_iter().map(|limit| Setting::new("pids.limit", "pids.max", limit_or_max(limit))).collect()
}

/// Zero and below mean no limit.
pub(super) fn limit_or_max(limit: i64) -> String {
    if limit > 0 { limit.to_string() } else { "max".to_owned() }
}

pub(super) fn io(resources: &LinuxResources) -> Vec<Setting> {
    let Some(io) = resources.block_io() else { return Vec::new() };
    let mut out = Vec::new();
    if let Some(weight) = io.weight().filter(|weight| *weight > 0) {
        out.push(Setting::new("blockIO.weight", "blkio.bfq.weight", weight).either("blkio.weight"));
    }
    for device in io.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            let value = format!("{}:{} {weight}", device.major(), device.minor());
            out.push(
                Setting::new("blockIO.weightDevice", "blkio.bfq.weight_device", value)
                    .either("blkio.weight_device"),
            );
        }
    }
    let mut throttle = |resource: &str, file: &str, devices: &Option<Vec<LinuxThrottleDevice>>| {
        for device in devices.iter().flatten() {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            out.push(Setting::new(resource, file, value));
        }
    };
    throttle(
        "blockIO.throttleReadBpsDevice",
        "blkio.throttle.read_bps_device",
        io.throttle_read_bps_device(),
    );
    throttle(
        "blockIO.throttleWriteBpsDevice",
        "blkio.throttle.write_bps_device",
        io.throttle_write_bps_device(),
    );
    throttle(
        "blockIO.throttleReadIOPSDevice",
        "blkio.throttle.read_iops_device",
        io.throttle_read_iops_device(),
    );
    throttle(
        "blockIO.throttleWriteIOPSDevice",
        "blkio.throttle.write_iops_device",
        io.throttle_write_iops_device(),
    );
    out
}

pub(super) fn hugetlb(resources: &LinuxResources) -> Vec<Setting> {
    let limits = resources.hugepage_limits().iter().flatten();
    limits
        .map(|limit| {
            let file = format!("hugetlb.{}.limit_in_bytes", limit.page_size());
            Setting::new("hugepageLimits", &file, limit.limit())
        })
        .collect()
}

/// Both versions have the same file.
pub(super) fn rdma(resources: &LinuxResources) -> Vec<Setting> {
    let mut wanted: Vec<_> = resources.rdma().iter().flatten().collect();
    wanted.sort_unstable_by_key(|(device, _)| device.as_str());
    let line = |(device, limits): (&String, &LinuxRdma)| {
        let mut line = device.clone();
        for (key, limit) in [("hca_handle", limits.hca_handles()), ("hca_object", limits.hca_objects())] {
            if let Some(limit) = limit {
                let _ = write!(line, " {key}={limit}");
            }
        }
        Setting::new("rdma", "rdma.max", line)
    };
    wanted.into_iter().map(line).collect()
}

pub(super) fn net_cls(resources: &LinuxResources) -> Vec<Setting> {
    let class = resources.network().as_ref().and_then(LinuxNetwork::class_id);
    class.into_iter().map(|class| Setting::new("network.classID", "net_cls.classid", class)).collect()
}

pub(super) fn net_prio(resources: &LinuxResources) -> Vec<Setting> {
    let all = resources.network().as_ref().and_then(|network| network.priorities().as_ref());
    let line = |one: &LinuxInterfacePriority| format!("{} {}", one.name(), one.priority());
    let wanted = all.into_iter().flatten();
    wanted.map(|one| Setting::new("network.priorities", "net_prio.ifpriomap", line(one))).collect()
}

/// Device rules, in their order.
pub(super) fn devices(resources: &LinuxResources) -> Vec<Setting> {
    let rules = resources.devices().iter().flatten();
    rules
        .map(|rule| {
            // A refused denial leaves devices open, a refused permission closed: they are told apart by their names.
            let (resource, file) =
                if rule.allow() { ("devices.allow", "devices.allow") } else { (DEVICES, "devices.deny") };
            Setting::new(resource, file, device_rule(rule))
        })
        .collect()
}

fn device_rule(rule: &LinuxDeviceCgroup) -> String {
    let kind = rule.typ().unwrap_or_default();
    let number = |number: Option<i64>| {
        number.filter(|number| *number >= 0).map_or_else(|| "*".to_owned(), |number| number.to_string())
    };
    let access = rule.access().clone().unwrap_or_else(|| "rwm".to_owned());
    format!("{} {}:{} {access}", kind.as_str(), number(rule.major()), number(rule.minor()))
}
