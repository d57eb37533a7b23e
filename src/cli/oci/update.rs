//! `update`: other limits for a container that is there.

mod schema;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};

use super::commands::Known;
use super::report::Failure;
use super::{Global, UpdateArgs};

pub(super) fn update(global: &Global, args: &UpdateArgs) -> Result<ExitCode, Failure> {
    let known = Known::find(global, &args.id)?;
    let running = known.open()?;
    let resources = match &args.resources {
        Some(path) => read(path)?,
        None => from_flags(args)?,
    };
    // Before the limits, because a host may have no classes at all.
    if let Some(wish) = schema::wish(args)? {
        schema::change(known, &running, &wish)?;
    }
    let missed = running.group().apply(&resources);
    if let Some(scope) = running.group().scope() {
        // Or it would set the old ones again when it next looks.
        scope.change(&resources)?;
    }
    match missed.first() {
        Some(missed) => Err(Failure::new(format!("{}: {}", missed.resource, missed.reason))),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn read(path: &Path) -> Result<LinuxResources, Failure> {
    let error = |err: &dyn std::fmt::Display| Failure::new(format!("read {}: {err}", path.display()));
    let mut text = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut text).map_err(|err| error(&err))?;
    } else {
        text = fs::read(path).map_err(|err| error(&err))?;
    }
    serde_json::from_slice(&text).map_err(|err| error(&err))
}

/// The limits that the flags name; none of them leaves everything as it is.
fn from_flags(args: &UpdateArgs) -> Result<LinuxResources, Failure> {
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(args.cpu_share)
        .set_quota(args.cpu_quota)
        .set_period(args.cpu_period)
        .set_burst(args.cpu_burst)
        .set_realtime_period(args.cpu_rt_period)
        .set_realtime_runtime(args.cpu_rt_runtime)
        .set_idle(args.cpu_idle)
        .set_cpus(args.cpuset_cpus.clone())
        .set_mems(args.cpuset_mems.clone());
    let mut memory = LinuxMemory::default();
    memory
        .set_limit(size("--memory", args.memory.as_ref())?)
        .set_reservation(size("--memory-reservation", args.memory_reservation.as_ref())?)
        .set_swap(size("--memory-swap", args.memory_swap.as_ref())?);
    let mut resources = LinuxResources::default();
    resources.set_devices(None).set_cpu(Some(cpu)).set_memory(Some(memory));
    if let Some(limit) = args.pids_limit {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        resources.set_pids(Some(pids));
    }
    if let Some(weight) = args.blkio_weight {
        let mut io = LinuxBlockIo::default();
        io.set_weight(Some(weight));
        resources.set_block_io(Some(io));
    }
    Ok(resources)
}

/// Bytes, or a number with a suffix for a power of 1024.
fn size(flag: &str, text: Option<&String>) -> Result<Option<i64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let bad = || Failure::new(format!("{flag}: {text:?} is not a number of bytes"));
    let lower = text.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let split = lower.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(lower.len());
    let (digits, unit) = lower.split_at(split);
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(bad()),
    };
    let number: i64 = digits.trim().parse().map_err(|_| bad())?;
    number.checked_mul(1 << shift).map(Some).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_may_have_suffixes() {
        let read = |text: &str| size("--memory", Some(&text.to_owned())).ok().flatten();
        assert_eq!(
            ["1024", "4k", "3M", "2GiB", "-1"].map(read),
            [Some(1024), Some(4096), Some(3 << 20), Some(2 << 30), Some(-1)]
        );
        assert_eq!(["", "lots", "1x", "99999999999T"].map(read), [None; 4]);
    }
}
