//! `features`: what this runtime can do, for programs that choose one.

use std::process::ExitCode;

use oci_spec::runtime::LinuxSeccompFilterFlag;
use serde_json::{Value, json};

use super::arguments::OCI_VERSION;
use super::listing::print;
use super::report::Failure;
use crate::kernel::security::known;
use crate::kernel::security::seccomp::is_supported;
use crate::runtime::steps::mount_options;

const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

const ARCHITECTURES: [&str; 6] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

const FLAGS: [LinuxSeccompFilterFlag; 4] = [
    LinuxSeccompFilterFlag::SeccompFilterFlagTsync,
    LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow,
    LinuxSeccompFilterFlag::SeccompFilterFlagLog,
    LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv,
];

const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

const MEMORY_MODES: [&str; 7] = [
    "MPOL_DEFAULT",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_WEIGHTED_INTERLEAVE",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_LOCAL",
];

const MEMORY_FLAGS: [&str; 3] = ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

pub(super) fn print_features() -> Result<ExitCode, Failure> {
    print(&serde_json::to_string_pretty(&features())?)
}

/// In the words of the specification's features.md and features-linux.md. What is `enabled` is what this runtime does
/// wherever the host can; what this host can is told by its own files.
fn features() -> Value {
    let supported: Vec<_> = FLAGS.into_iter().filter(|flag| is_supported(*flag)).collect();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": HOOKS,
        "mountOptions": mount_options(),
        "linux": {
            "namespaces": NAMESPACES,
            "capabilities": known().names(),
            "cgroup": {"v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true},
            "seccomp": {
                "enabled": true,
                "actions": ACTIONS,
                "operators": OPERATORS,
                "archs": ARCHITECTURES,
                "knownFlags": FLAGS,
                "supportedFlags": supported,
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "intelRdt": {"enabled": true, "schemata": true, "monitoring": true},
            "memoryPolicy": {"modes": MEMORY_MODES, "flags": MEMORY_FLAGS},
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": true},
        },
        "annotations": {"org.hythe.version": env!("CARGO_PKG_VERSION")},
        // Annotations are passed on to hooks and listeners, and change nothing here.
        "potentiallyUnsafeConfigAnnotations": [],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use oci_spec::runtime::{LinuxMemoryPolicy, LinuxNamespaceType, LinuxSeccomp};
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::kernel::security::seccomp::Filter;

    fn is_read<T: DeserializeOwned>(word: &str) -> bool {
        serde_json::from_value::<T>(json!(word)).is_ok()
    }

    /// Whether a profile with this in it is taken.
    fn is_compiled(action: &str, operator: &str, architecture: &str, flag: &Value) -> bool {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": [architecture],
            "flags": [flag],
            "listenerPath": "/listener",
            "syscalls": [{
                "names": ["close"],
                "action": action,
                "args": [{"index": 0, "value": 7, "valueTwo": 7, "op": operator}],
            }],
        });
        let profile = serde_json::from_value::<LinuxSeccomp>(profile);
        profile.is_ok_and(|profile| Filter::compile(&profile).is_ok())
    }

    #[test]
    fn every_word_about_filters_is_one_that_is_taken() {
        let flag = json!(FLAGS[0]);
        let arch = ARCHITECTURES[0];
        for action in ACTIONS {
            assert!(is_compiled(action, OPERATORS[0], arch, &flag), "{action}");
        }
        for operator in OPERATORS {
            assert!(is_compiled(ACTIONS[0], operator, arch, &flag), "{operator}");
        }
        for arch in ARCHITECTURES {
            assert!(is_compiled(ACTIONS[0], OPERATORS[0], arch, &flag), "{arch}");
        }
        for flag in FLAGS {
            assert!(is_compiled(ACTIONS[0], OPERATORS[0], arch, &json!(flag)), "{flag:?}");
        }
        assert!(!is_compiled("SCMP_ACT_FLY", OPERATORS[0], arch, &flag));
        assert_eq!(json!(FLAGS[0]), "SECCOMP_FILTER_FLAG_TSYNC");
    }

    #[test]
    fn every_other_word_is_one_that_is_read() {
        assert!(NAMESPACES.into_iter().all(is_read::<LinuxNamespaceType>));
        let policy = |mode: &str, flag: &str| {
            let policy = json!({"mode": mode, "nodes": "0", "flags": [flag]});
            serde_json::from_value::<LinuxMemoryPolicy>(policy).is_ok()
        };
        assert!(MEMORY_MODES.into_iter().all(|mode| policy(mode, MEMORY_FLAGS[0])));
        assert!(MEMORY_FLAGS.into_iter().all(|flag| policy(MEMORY_MODES[0], flag)));
        assert!(!policy("MPOL_NONE", MEMORY_FLAGS[0]));
    }

    #[test]
    fn the_members_are_those_of_the_specification() {
        let features = features();
        let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let wanted = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
        let outer = [
            "ociVersionMin",
            "ociVersionMax",
            "hooks",
            "mountOptions",
            "linux",
            "annotations",
            "potentiallyUnsafeConfigAnnotations",
        ];
        assert_eq!(members(&features), wanted(&outer));
        let linux = [
            "namespaces",
            "capabilities",
            "cgroup",
            "seccomp",
            "apparmor",
            "selinux",
            "intelRdt",
            "memoryPolicy",
            "mountExtensions",
            "netDevices",
        ];
        assert_eq!(members(&features["linux"]), wanted(&linux));
        serde_json::from_value::<oci_spec::runtime::Features>(features).unwrap();
    }
}
