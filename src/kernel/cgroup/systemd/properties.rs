//! Limits in systemd's words. Pure.

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};

use super::message::Value;
use crate::kernel::cgroup::weight_of_shares;

/// The limits that systemd has properties for.
pub(super) fn limits(resources: Option<&LinuxResources>) -> impl Iterator<Item = (&'static str, Value)> {
    let cpu = resources.and_then(|resources| resources.cpu().as_ref());
    let memory = resources.and_then(|resources| resources.memory().as_ref());
    let positive = |number: Option<i64>| {
        // Below zero there is no limit, at zero nothing is said.
        let number = number.filter(|number| *number != 0)?;
        Some(Value::Number(u64::try_from(number).unwrap_or(u64::MAX)))
    };
    let quota = cpu.and_then(|cpu| {
        let period = cpu.period().filter(|period| *period > 0).unwrap_or(100_000);
        let quota = cpu.quota().filter(|quota| *quota != 0)?;
        // Of each second, in steps of ten milliseconds as systemd counts.
        let second = u64::try_from(quota)
            .map_or(u64::MAX, |quota| (quota.saturating_mul(1_000_000) / period).next_multiple_of(10_000));
        Some(Value::Number(second))
    });
    let weight = cpu.and_then(LinuxCpu::shares).and_then(weight_of_shares).map(Value::Number);
    let tasks = resources.and_then(|resources| resources.pids().as_ref()).map(LinuxPids::limit);
    [
        ("MemoryMax", positive(memory.and_then(LinuxMemory::limit))),
        ("MemoryLow", positive(memory.and_then(LinuxMemory::reservation))),
        ("TasksMax", positive(tasks)),
        ("CPUQuotaPerSecUSec", quota),
        ("CPUWeight", weight),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_properties() {
        let resources: LinuxResources = serde_json::from_value(serde_json::json!({
            "memory": {"limit": 1 << 20}, "pids": {"limit": -1},
            "cpu": {"shares": 1024, "quota": 25_000, "period": 50_000},
        }))
        .unwrap();
        let said: Vec<_> = limits(Some(&resources)).collect();
        assert_eq!(
            said,
            [
                ("MemoryMax", Value::Number(1 << 20)),
                ("TasksMax", Value::Number(u64::MAX)),
                ("CPUQuotaPerSecUSec", Value::Number(500_000)),
                ("CPUWeight", Value::Number(100)),
            ]
        );
        assert_eq!(limits(None).count(), 0);
    }
}
