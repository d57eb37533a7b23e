//! CPU, memory and processes: what a definition says, in the words of a control group.
//!
//! A container's `cpu` is a weight, never a cap; a cap comes from the task's own `cpu`. A task without one weighs as
//! much as its containers together.

use oci_spec::runtime::{
    LinuxCpu, LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
};

use super::{BundleError, Recipe, devices};
use crate::model::task::TaskOverride;
use crate::model::task_definition::Document;
use crate::shim::defaults;

const MIB: i64 = 1 << 20;
/// The smallest limit that a container can start under.
const SMALLEST_MIB: u32 = 4;
/// Over which CPU time is counted, in microseconds.
const PERIOD: u64 = 100_000;
const MOST_SHARES: u64 = 262_144;

/// The limits of one container.
pub(super) fn container(recipe: &Recipe<'_>, notes: &mut Vec<String>) -> Result<LinuxResources, BundleError> {
    let (definition, change) = (recipe.definition, recipe.change);
    let units = change.and_then(|change| change.cpu).unwrap_or(definition.cpu);
    let mut rules =
        if recipe.is_privileged() { vec![devices::allow_all()?] } else { defaults::device_rules() };
    rules.extend(devices::rules(recipe.devices)?);
    let mut builder = LinuxResourcesBuilder::default()
        .devices(rules)
        .cpu(LinuxCpuBuilder::default().shares(shares(units)).build()?);
    if let Some(limit) = recipe.policy.pids_limit {
        builder = builder.pids(LinuxPidsBuilder::default().limit(limit).build()?);
    }
    if let Some(memory) = memory(recipe, notes)? {
        builder = builder.memory(memory);
    }
    Ok(builder.build()?)
}

/// The hard limit of a container in MiB, if it has one.
fn container_memory(recipe: &Recipe<'_>) -> Option<u32> {
    let asked = recipe.change.and_then(|change| change.memory).or(recipe.definition.memory);
    asked.filter(|mib| *mib > 0).map(|mib| mib.max(SMALLEST_MIB))
}

fn memory(
    recipe: &Recipe<'_>,
    notes: &mut Vec<String>,
) -> Result<Option<oci_spec::runtime::LinuxMemory>, BundleError> {
    let limit = container_memory(recipe);
    let task = recipe.document.memory.map(|memory| memory.0);
    if let (Some(container), Some(task)) = (limit, task)
        && container > task
    {
        return Err(BundleError::Memory { container: container.into(), task: task.into() });
    }
    let reservation = recipe.change.and_then(|change| change.memory_reservation);
    let reservation = reservation.or(recipe.definition.memory_reservation).filter(|mib| *mib > 0);
    let linux = recipe.definition.linux_parameters.as_ref();
    let swap = linux.and_then(|linux| linux.max_swap);
    let mut builder = LinuxMemoryBuilder::default();
    if let Some(mib) = reservation {
        builder = builder.reservation(i64::from(mib) * MIB);
    }
    match (limit, swap) {
        (Some(limit), Some(swap)) => {
            builder = builder.limit(i64::from(limit) * MIB).swap((i64::from(limit) + i64::from(swap)) * MIB);
            if let Some(swappiness) = linux.and_then(|linux| linux.swappiness) {
                builder = builder.swappiness(u64::from(swappiness));
            }
        }
        (Some(limit), None) => builder = builder.limit(i64::from(limit) * MIB),
        (None, Some(_)) => notes.push(format!(
            "container {}: maxSwap is not enforced without a memory limit",
            recipe.definition.name
        )),
        (None, None) => {}
    }
    Ok((limit.is_some() || reservation.is_some()).then(|| builder.build()).transpose()?)
}

/// The limits of a task as a whole.
pub(crate) fn task(document: &Document, overrides: &TaskOverride) -> Result<LinuxResources, BundleError> {
    let mut builder = LinuxResourcesBuilder::default().cpu(task_cpu(document, overrides)?);
    if let Some(memory) = overrides.memory.or(document.memory) {
        let limit = LinuxMemoryBuilder::default().limit(i64::from(memory.0) * MIB).build()?;
        builder = builder.memory(limit);
    }
    Ok(builder.build()?)
}

fn task_cpu(document: &Document, overrides: &TaskOverride) -> Result<LinuxCpu, BundleError> {
    if let Some(units) = overrides.cpu.or(document.cpu) {
        let quota = u64::from(units.0) * PERIOD / 1024;
        let quota = i64::try_from(quota.max(1000)).unwrap_or(i64::MAX);
        let builder = LinuxCpuBuilder::default().shares(shares(units.0)).quota(quota).period(PERIOD);
        return Ok(builder.build()?);
    }
    let changed =
        |name| overrides.container_overrides.iter().find(|change| change.name == name).and_then(|c| c.cpu);
    let units = document
        .container_definitions
        .iter()
        .map(|container| shares(changed(container.name.clone()).unwrap_or(container.cpu)));
    Ok(LinuxCpuBuilder::default().shares(units.sum::<u64>().min(MOST_SHARES)).build()?)
}

/// The kernel's own bounds: 2 to 262144.
fn shares(units: u32) -> u64 {
    u64::from(units).clamp(2, MOST_SHARES)
}
