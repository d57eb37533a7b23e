//! The filter of system calls that a container gets unless it asks for another, in the specification's form.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

use super::calls;

/// The error for a call that is denied: `EPERM`.
const DENIED: u32 = 1;

/// The error for a call that programs have an older one for: `ENOSYS`.
const NOT_THERE: u32 = 38;

/// The kernel since which tracing does not lead around a filter.
const TRACING_IS_SAFE: (u32, u32) = (4, 8);

/// The filter of a container with these capabilities at most, on this kernel and on the architecture that this program
/// is built for: what is not allowed is denied.
pub fn seccomp(capabilities: &Capabilities, kernel: (u32, u32)) -> Result<LinuxSeccomp, OciSpecError> {
    let builder = LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(DENIED)
        .architectures(architectures());
    builder.syscalls(rules(capabilities, kernel, std::env::consts::ARCH)?).build()
}

/// Refuses what takes files out of the project that they are counted with.
pub fn keep_project(filter: &mut LinuxSeccomp) -> Result<(), OciSpecError> {
    let mut rules = filter.syscalls().clone().unwrap_or_default();
    for request in calls::PROJECT_REQUESTS {
        rules.push(refused_request(request)?);
    }
    filter.set_syscalls(Some(rules));
    Ok(())
}

/// The architectures whose programs a host of ours runs.
fn architectures() -> Vec<Arch> {
    match std::env::consts::ARCH {
        "x86_64" => vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32],
        "aarch64" => vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm],
        "riscv64" => vec![Arch::ScmpArchRiscv64],
        _ => vec![Arch::ScmpArchNative],
    }
}

fn rules(
    capabilities: &Capabilities,
    kernel: (u32, u32),
    architecture: &str,
) -> Result<Vec<LinuxSyscall>, OciSpecError> {
    let mut allowed: Vec<&str> = calls::ALWAYS.iter().flat_map(|group| words(group)).collect();
    if kernel >= TRACING_IS_SAFE {
        allowed.extend(words(calls::ON_OTHERS));
    }
    for (architectures, names) in calls::BY_ARCHITECTURE {
        if architectures.contains(&architecture) {
            allowed.extend(words(names));
        }
    }
    for (capability, names) in calls::BY_CAPABILITY {
        if capabilities.contains(&capability) {
            allowed.extend(words(names));
        }
    }
    allowed.sort_unstable();
    allowed.dedup();
    let below = test(0, LinuxSeccompOperator::ScmpCmpLt, calls::FAMILIES_BELOW)?;
    let mut rules = vec![rule(&allowed, None)?, rule(&["socket"], Some(below))?];
    for family in calls::FAMILIES {
        rules.push(rule(&["socket"], Some(test(0, LinuxSeccompOperator::ScmpCmpEq, family)?))?);
    }
    for personality in calls::PERSONALITIES {
        rules.push(rule(&["personality"], Some(test(0, LinuxSeccompOperator::ScmpCmpEq, personality)?))?);
    }
    for request in calls::DENIED_REQUESTS {
        rules.push(refused_request(request)?);
    }
    if !capabilities.contains(&Capability::SysAdmin) {
        // None of the flags that make namespaces; where the newer call keeps them, nobody can look.
        let none = test(0, LinuxSeccompOperator::ScmpCmpMaskedEq, calls::NEW_NAMESPACES)?;
        rules.push(rule(&["clone"], Some(none))?);
        rules.push(refusal(&["clone3"], None, NOT_THERE)?);
    }
    Ok(rules)
}

fn refused_request(request: u64) -> Result<LinuxSyscall, OciSpecError> {
    let same = LinuxSeccompArgBuilder::default()
        .index(1_usize)
        .op(LinuxSeccompOperator::ScmpCmpMaskedEq)
        .value(u64::from(u32::MAX))
        .value_two(request)
        .build()?;
    refusal(&["ioctl"], Some(same), DENIED)
}

fn words(names: &'static str) -> impl Iterator<Item = &'static str> {
    names.split_whitespace()
}

fn test(index: usize, op: LinuxSeccompOperator, value: u64) -> Result<LinuxSeccompArg, OciSpecError> {
    LinuxSeccompArgBuilder::default().index(index).op(op).value(value).build()
}

fn rule(names: &[&str], test: Option<LinuxSeccompArg>) -> Result<LinuxSyscall, OciSpecError> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let builder = LinuxSyscallBuilder::default().names(names).action(LinuxSeccompAction::ScmpActAllow);
    match test {
        Some(test) => builder.args(vec![test]).build(),
        None => builder.build(),
    }
}

fn refusal(names: &[&str], test: Option<LinuxSeccompArg>, errno: u32) -> Result<LinuxSyscall, OciSpecError> {
    let mut refusal = rule(names, test)?;
    refusal.set_action(LinuxSeccompAction::ScmpActErrno).set_errno_ret(Some(errno));
    Ok(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::security::seccomp::Filter;
    use crate::runtime::defaults::CAPABILITIES;

    fn allowed(capabilities: &Capabilities, kernel: (u32, u32)) -> Vec<String> {
        rules(capabilities, kernel, "x86_64").unwrap()[0].names().clone()
    }

    #[test]
    fn the_usual_containers_filter_fits_the_kernel_and_everybodys() {
        let usual: Capabilities = CAPABILITIES.into_iter().collect();
        let tracer = [Capability::SysAdmin, Capability::SysPtrace].into_iter().collect();
        for capabilities in [usual, Capabilities::new(), tracer] {
            let filter = Filter::compile(&seccomp(&capabilities, (6, 1)).unwrap()).unwrap();
            assert!(filter.length() < 4096, "{}", filter.length());
        }
    }

    #[test]
    fn a_capability_brings_its_calls() {
        let has = |capabilities: &[Capability], call: &str| {
            allowed(&capabilities.iter().copied().collect(), (6, 1)).iter().any(|name| name == call)
        };
        assert!(!has(&[], "mount") && has(&[Capability::SysAdmin], "mount"));
        assert!(!has(&[], "chroot") && has(&[Capability::SysChroot], "chroot"));
        assert!(!has(&[], "clock_settime") && has(&[Capability::SysTime], "clock_settime"));
        for never in
            ["keyctl", "add_key", "io_uring_setup", "userfaultfd", "kexec_load", "swapon", "pivot_root"]
        {
            assert!(!has(&[Capability::SysAdmin], never), "{never}");
        }
    }

    #[test]
    fn tracing_needs_a_kernel_where_it_leads_around_nothing() {
        let none = Capabilities::new();
        assert!(!allowed(&none, (4, 4)).contains(&"ptrace".to_owned()));
        assert!(allowed(&none, (4, 8)).contains(&"ptrace".to_owned()));
    }

    #[test]
    fn every_name_stands_once_and_is_one_word() {
        let all: Vec<&str> = calls::ALWAYS.iter().flat_map(|group| words(group)).collect();
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), all.len());
        let is_word = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        assert!(once.iter().all(is_word));
    }
}
