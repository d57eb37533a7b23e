//! What a process is besides its user: labels, scheduler, priorities, personality, memory policy.
//!
//! What this host has no means for is refused by the member's name: a container that asks for a label is not to run
//! without it.

use std::path::Path;

use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxMemoryPolicy, LinuxPersonalityDomain, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType, Process, Scheduler,
};

use super::process::text;
use super::{PlanError, Step};
use crate::kernel::process::{Processors, Scheduling};

/// Where the kernel tells of its security modules.
const APPARMOR: &str = "/sys/module/apparmor/parameters/enabled";
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// The personality of 32-bit programs (personality(2)).
const LINUX32: u32 = 8;

/// Whether this host confines programs by AppArmor profiles.
#[must_use]
pub fn has_apparmor() -> bool {
    std::fs::read_to_string(APPARMOR).is_ok_and(|text| text.starts_with('Y'))
}

/// Whether this host confines programs by SELinux labels.
#[must_use]
pub fn has_selinux() -> bool {
    Path::new(SELINUX).exists()
}

/// The label and the profile of the next program, written through the host's /proc, which no image can have prepared.
pub(in crate::runtime) fn labels(process: &Process) -> Result<Vec<Step>, PlanError> {
    let is_set = |text: &&String| !text.is_empty();
    let missing = |member, module| PlanError::Member { member, reason: format!("this host has no {module}") };
    let mut steps = Vec::new();
    if let Some(profile) = process.apparmor_profile().as_ref().filter(is_set) {
        if !has_apparmor() {
            return Err(missing("process.apparmorProfile", "AppArmor"));
        }
        let own = c"/proc/self/attr/apparmor/exec";
        let file = if Path::new("/proc/self/attr/apparmor").exists() { own } else { c"/proc/self/attr/exec" };
        steps.push(Step::Label("AppArmor profile", file.to_owned(), text(format!("exec {profile}"))?));
    }
    if let Some(label) = process.selinux_label().as_ref().filter(is_set) {
        if !has_selinux() {
            return Err(missing("process.selinuxLabel", "SELinux"));
        }
        steps.push(Step::Label("SELinux label", c"/proc/self/attr/exec".to_owned(), text(label.as_str())?));
    }
    Ok(steps)
}

/// What needs rights that are given up with the user.
pub(in crate::runtime) fn surroundings(linux: &Linux, process: &Process) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    if let Some(wanted) = process.scheduler() {
        steps.push(Step::Scheduler(Box::new(scheduling(wanted)?)));
    }
    if let Some(wanted) = process.io_priority() {
        let class = match wanted.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let level = i32::try_from(wanted.priority()).ok().filter(|level| (0..8).contains(level));
        let level = level.ok_or_else(|| PlanError::Member {
            member: "process.ioPriority.priority",
            reason: format!("{} is not between 0 and 7", wanted.priority()),
        })?;
        steps.push(Step::IoPriority(class << 13 | level));
    }
    if let Some(wanted) = linux.personality() {
        if wanted.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
            return Err(PlanError::Member {
                member: "linux.personality.flags",
                reason: "none are defined".to_owned(),
            });
        }
        steps.push(Step::Personality(match wanted.domain() {
            LinuxPersonalityDomain::PerLinux => 0,
            LinuxPersonalityDomain::PerLinux32 => LINUX32,
        }));
    }
    if let Some(wanted) = linux.memory_policy() {
        steps.push(memory_policy(wanted)?);
    }
    Ok(steps)
}

fn scheduling(wanted: &Scheduler) -> Result<Scheduling, PlanError> {
    let policy = match wanted.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flags = wanted.flags().iter().flatten().fold(0, |flags, flag| {
        flags
            | match flag {
                LinuxSchedulerFlag::SchedResetOnFork => 0x01,
                LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
                LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
                LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
                LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
                LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
                LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
            }
    });
    let priority = wanted.priority().unwrap_or(0);
    let priority = u32::try_from(priority).map_err(|_| PlanError::Member {
        member: "process.scheduler.priority",
        reason: format!("{priority} is below 0"),
    })?;
    let mut out = Scheduling::default();
    (out.policy, out.flags, out.priority) = (policy, flags, priority);
    out.nice = wanted.nice().unwrap_or(0);
    out.runtime = wanted.runtime().unwrap_or(0);
    out.deadline = wanted.deadline().unwrap_or(0);
    out.period = wanted.period().unwrap_or(0);
    Ok(out)
}

fn memory_policy(wanted: &LinuxMemoryPolicy) -> Result<Step, PlanError> {
    let mode = match wanted.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flags = wanted.flags().iter().flatten().fold(0, |flags, flag| {
        flags
            | match flag {
                MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
                MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
                MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
            }
    });
    let nodes = processors("linux.memoryPolicy.nodes", wanted.nodes().as_deref())?;
    Ok(Step::MemoryPolicy(mode | flags, nodes))
}

/// Reads a list such as `0-3,7`; nothing is no list.
pub(in crate::runtime) fn processors(
    member: &'static str,
    list: Option<&str>,
) -> Result<Option<Processors>, PlanError> {
    let Some(list) = list.filter(|list| !list.is_empty()) else { return Ok(None) };
    let read = Processors::parse(list);
    let error = || PlanError::Member { member, reason: format!("{list:?} is not a list such as 0-3,7") };
    read.ok_or_else(error).map(Some)
}

/// What a process run later is kept to, before and after it joins the container's control group.
pub(in crate::runtime) fn affinity(process: &Process) -> Result<[Option<Step>; 2], PlanError> {
    let Some(wanted) = process.exec_cpu_affinity() else { return Ok([None, None]) };
    let initial = processors("process.execCPUAffinity.initial", wanted.initial().as_deref())?;
    let last = processors("process.execCPUAffinity.final", wanted.cpu_affinity_final().as_deref())?;
    Ok([initial.map(Step::Affinity), last.map(Step::Affinity)])
}
