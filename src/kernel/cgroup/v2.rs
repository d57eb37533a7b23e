//! The limits in the files of version 2. Pure: values in, settings out.

use oci_spec::runtime::{LinuxMemory, LinuxResources, LinuxThrottleDevice};

use super::apply::Setting;
use super::v1::limit_or_max;

/// The period the kernel uses when none is given.
const DEFAULT_PERIOD: u64 = 100_000;

/// The `cpu.weight` that stands for a number of shares: 1024 become 100, and both ends of the scales meet.
///
/// `None` for no shares, which leaves the weight alone.
#[must_use]
pub fn weight_of_shares(shares: u64) -> Option<u64> {
    match shares {
        0 => None,
        1..=2 => Some(1),
        262_144.. => Some(10_000),
        shares => {
            #[allow(clippy::cast_precision_loss, reason = "the range is below 2^18")]
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 10000")]
            let weight = 10_f64.powf(exponent).ceil() as u64;
            Some(weight)
        }
    }
}

pub(super) fn cpu(resources: &LinuxResources) -> Vec<Setting> {
    let Some(cpu) = resources.cpu() else { return Vec::new() };
    let mut out = Vec::new();
    if let Some(idle) = cpu.idle() {
        out.push(Setting::new("cpu.idle", "cpu.idle", idle));
    }
    if let Some(weight) = cpu.shares().and_then(weight_of_shares) {
        out.push(Setting::new("cpu.shares", "cpu.weight", weight));
    }
    let period = cpu.period().filter(|period| *period > 0);
    let quota = cpu.quota().filter(|quota| *quota != 0);
    if period.is_some() || quota.is_some() {
        // One file for both: a refusal names the one that was asked for.
        let member = if quota.is_some() { "cpu.quota" } else { "cpu.period" };
        let quota = limit_or_max(quota.unwrap_or(-1));
        let value = format!("{quota} {}", period.unwrap_or(DEFAULT_PERIOD));
        out.push(Setting::new(member, "cpu.max", value));
    }
    if let Some(burst) = cpu.burst() {
        out.push(Setting::new("cpu.burst", "cpu.max.burst", burst));
    }
    if cpu.realtime_runtime().is_some_and(|runtime| runtime != 0) {
        out.push(Setting::new(
            "cpu.realtimeRuntime",
            "cpu.rt_runtime_us",
            cpu.realtime_runtime().unwrap_or(0),
        ));
    }
    out
}

pub(super) fn cpuset(resources: &LinuxResources) -> Vec<Setting> {
    super::v1::cpuset(resources)
}

pub(super) fn memory(resources: &LinuxResources) -> Vec<Setting> {
    let Some(memory) = resources.memory() else { return Vec::new() };
    let mut out = Vec::new();
    if let Some(limit) = memory.limit().filter(|limit| *limit != 0) {
        out.push(Setting::new("memory.limit", "memory.max", limit_or_max(limit)));
    }
    if let Some(swap) = swap_alone(memory) {
        out.push(Setting::new("memory.swap", "memory.swap.max", swap));
    }
    if let Some(reservation) = memory.reservation().filter(|reservation| *reservation > 0) {
        out.push(Setting::new("memory.reservation", "memory.low", reservation));
    }
    if let Some(swappiness) = memory.swappiness() {
        out.push(Setting::new("memory.swappiness", "memory.swappiness", swappiness));
    }
    if memory.disable_oom_killer() == Some(true) {
        out.push(Setting::new("memory.disableOOMKiller", "memory.oom_control", 1));
    }
    if let Some(tcp) = memory.kernel_tcp().filter(|tcp| *tcp > 0) {
        out.push(Setting::new("memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", tcp));
    }
    out
}

/// Version 2 limits swap by itself, the specification memory and swap together.
fn swap_alone(memory: &LinuxMemory) -> Option<String> {
    let both = memory.swap().filter(|swap| *swap != 0)?;
    if both < 0 {
        return Some("max".to_owned());
    }
    let limit = memory.limit().filter(|limit| *limit > 0)?;
    Some((both - limit).max(0).to_string())
}

pub(super) fn pids(resources: &LinuxResources) -> Vec<Setting> {
    super::v1::pids(resources)
}

pub(super) fn io(resources: &LinuxResources) -> Vec<Setting> {
    let Some(io) = resources.block_io() else { return Vec::new() };
    let mut out = Vec::new();
    if let Some(weight) = io.weight().filter(|weight| *weight > 0) {
        // Both scales begin and end where the specification's 10 to 1000 does; the kernel has the one or the other.
        let scaled = 1 + (u64::from(weight).clamp(10, 1000) - 10) * 9999 / 990;
        out.push(
            Setting::new("blockIO.weight", "io.weight", format!("default {scaled}")).either("io.bfq.weight"),
        );
    }
    for device in io.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            let value = format!("{}:{} {weight}", device.major(), device.minor());
            out.push(Setting::new("blockIO.weightDevice", "io.bfq.weight", value));
        }
    }
    let mut throttle = |resource: &str, key: &str, devices: &Option<Vec<LinuxThrottleDevice>>| {
        for device in devices.iter().flatten() {
            let value = format!("{}:{} {key}={}", device.major(), device.minor(), device.rate());
            out.push(Setting::new(resource, "io.max", value));
        }
    };
    throttle("blockIO.throttleReadBpsDevice", "rbps", io.throttle_read_bps_device());
    throttle("blockIO.throttleWriteBpsDevice", "wbps", io.throttle_write_bps_device());
    throttle("blockIO.throttleReadIOPSDevice", "riops", io.throttle_read_iops_device());
    throttle("blockIO.throttleWriteIOPSDevice", "wiops", io.throttle_write_iops_device());
    out
}

pub(super) fn hugetlb(resources: &LinuxResources) -> Vec<Setting> {
    let limits = resources.hugepage_limits().iter().flatten();
    limits
        .map(|limit| {
            let file = format!("hugetlb.{}.max", limit.page_size());
            Setting::new("hugepageLimits", &file, limit.limit())
        })
        .collect()
}
