//! The kernel: its age, its features, its modules and its random bytes.

use std::{collections::BTreeSet, fs, path::Path};

use super::{broken, degraded, ok, text};
use crate::api::live::DoctorFinding;

/// The oldest kernel that has every call hythe makes.
const OLDEST: (u32, u32) = (5, 12);

/// Modules that tasks need, where the kernel is made of modules.
const WANTED: [&str; 6] = ["bridge", "nf_conntrack", "nf_tables", "nft_chain_nat", "overlay", "veth"];

/// Bits that are enough to begin with; kernels since 5.18 say 256 once they have them.
const ENOUGH_BITS: u32 = 128;

/// Whether the kernel is young enough.
pub(super) fn version(release: &str) -> DoctorFinding {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= OLDEST {
        return ok("kernel", format!("Linux {release}"));
    }
    let (major, minor) = OLDEST;
    broken(
        "kernel",
        format!("Linux {release} is older than {major}.{minor}"),
        "install a newer kernel and restart",
    )
}

/// Namespaces and system call filters, as `/proc` shows them.
pub(super) fn features(proc: &Path) -> DoctorFinding {
    let missing: Vec<&str> = ["mnt", "pid", "net", "ipc", "uts", "cgroup"]
        .into_iter()
        .filter(|kind| !proc.join("self/ns").join(kind).exists())
        .collect();
    if !missing.is_empty() {
        let message = format!("no container can start: there are no namespaces {}", missing.join(", "));
        return broken("features", message, "boot a kernel with CONFIG_NAMESPACES and all that is below it");
    }
    if !proc.join("sys/kernel/seccomp/actions_avail").exists() {
        let message = "containers run without a system call filter: the kernel has no seccomp";
        return degraded("features", message, "boot a kernel with CONFIG_SECCOMP_FILTER");
    }
    let users = fs::read_to_string(proc.join("sys/user/max_user_namespaces")).unwrap_or_default();
    if users.trim().parse::<u64>().unwrap_or_default() == 0 {
        let message = "containers cannot have user namespaces: none may be made";
        return degraded("features", message, "sysctl -w user.max_user_namespaces=15000");
    }
    ok("features", "namespaces and system call filters")
}

/// What a kernel has, as far as it says.
pub(super) struct Modules {
    /// In the kernel now, built in or loaded.
    here: BTreeSet<String>,
    /// Can be loaded; nothing when the directory of the running kernel's modules is not there.
    loadable: Option<BTreeSet<String>>,
    /// Whether this kernel loads modules at all.
    is_modular: bool,
}

impl Modules {
    /// Those of this host.
    pub(super) fn of(release: &str) -> Self {
        let place = Path::new("/lib/modules").join(release);
        let read = |name: &str| fs::read_to_string(place.join(name)).ok();
        let builtin = read("modules.builtin").unwrap_or_default();
        Self::parse(&text("/proc/modules"), &builtin, read("modules.dep").as_deref())
    }

    fn parse(loaded: &str, builtin: &str, dependencies: Option<&str>) -> Self {
        let name_of = |path: &str| {
            let file = path.rsplit('/').next().unwrap_or_default();
            file.split('.').next().unwrap_or_default().replace('-', "_")
        };
        let first = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
        let here = loaded.lines().map(first).chain(builtin.lines().map(name_of)).collect();
        let files = dependencies.map(|text| text.lines().filter_map(|line| line.split(':').next()));
        Self {
            here,
            loadable: files.map(|files| files.map(name_of).collect()),
            is_modular: !loaded.trim().is_empty(),
        }
    }

    /// Whether it is there or can be loaded, or nobody can tell.
    pub(super) fn can_have(&self, module: &str) -> bool {
        let is_listed = self.loadable.as_ref().is_some_and(|files| files.contains(module));
        self.here.contains(module) || is_listed || (self.loadable.is_none() && !self.is_modular)
    }
}

/// Whether the modules that tasks need can be had.
pub(super) fn modules(release: &str, modules: &Modules) -> DoctorFinding {
    let missing: Vec<&str> = WANTED.into_iter().filter(|name| !modules.can_have(name)).collect();
    if missing.is_empty() {
        let where_from = if modules.loadable.is_none() { "built into the kernel" } else { "there" };
        return ok("modules", format!("what tasks need is {where_from}"));
    }
    let names = missing.join(", ");
    match modules.loadable {
        None => degraded(
            "modules",
            format!("{names}: not loaded, and the modules of Linux {release} are not in /lib/modules"),
            "restart the host into the kernel that is installed, or load them there: modprobe NAME",
        ),
        Some(_) => degraded(
            "modules",
            format!("Linux {release} has no {names}"),
            "install the rest of the kernel's package, such as linux-image-amd64 or linux-modules-extra",
        ),
    }
}

/// Whether the kernel has random bytes to begin with.
pub(super) fn entropy(available: &str) -> DoctorFinding {
    match available.trim().parse::<u32>() {
        Ok(bits) if bits < ENOUGH_BITS => degraded(
            "entropy",
            format!("{bits} bits: connections to registries wait for more"),
            "give the machine a hardware random generator (virtio-rng), or install rng-tools or haveged",
        ),
        Ok(_) | Err(_) => ok("entropy", "random bytes flow"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::live::Verdict;

    #[test]
    fn an_old_kernel_is_named() {
        assert_eq!(version("6.18.1-cloud").verdict, Verdict::Ok);
        let old = version("4.19.0-26-amd64");
        assert_eq!(
            (old.verdict, old.message.as_str()),
            (Verdict::Broken, "Linux 4.19.0-26-amd64 is older than 5.12")
        );
    }

    #[test]
    fn a_kernel_without_namespaces_or_filters_is_told() {
        let proc = tempfile::tempdir().unwrap();
        let path = |name: &str| proc.path().join(name);
        assert_eq!(features(proc.path()).verdict, Verdict::Broken);
        fs::create_dir_all(path("self/ns")).unwrap();
        for kind in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            fs::write(path("self/ns").join(kind), "").unwrap();
        }
        assert!(features(proc.path()).message.contains("filter"));
        fs::create_dir_all(path("sys/kernel/seccomp")).unwrap();
        fs::write(path("sys/kernel/seccomp/actions_avail"), "").unwrap();
        assert!(features(proc.path()).message.contains("user namespaces"));
        fs::create_dir_all(path("sys/user")).unwrap();
        fs::write(path("sys/user/max_user_namespaces"), "100\n").unwrap();
        assert_eq!(features(proc.path()).verdict, Verdict::Ok);
    }

    #[test]
    fn a_module_is_loaded_built_in_loadable_or_missing() {
        let dep =
            "kernel/net/veth.ko.xz:\nkernel/fs/overlayfs/overlay.ko: kernel/x.ko\nkernel/nf-conntrack.ko:\n";
        let builtin = "kernel/net/netfilter/nf_tables.ko\nkernel/net/netfilter/nft_chain_nat.ko\n";
        let all = Modules::parse("bridge 1 2 - Live 0x0\n", builtin, Some(dep));
        assert_eq!(modules("6.1", &all).verdict, Verdict::Ok);
        let fewer = modules("6.1", &Modules::parse("x 1\n", builtin, Some(dep)));
        assert_eq!((fewer.verdict, fewer.message.as_str()), (Verdict::Degraded, "Linux 6.1 has no bridge"));
        let replaced = modules("6.1", &Modules::parse("bridge 1\n", builtin, None));
        assert!(replaced.message.contains("are not in /lib/modules"), "{replaced:?}");
        assert_eq!(modules("6.1", &Modules::parse("", "", None)).verdict, Verdict::Ok, "built in");
    }

    #[test]
    fn a_host_that_has_just_begun_may_lack_random_bytes() {
        assert_eq!(entropy("12\n").verdict, Verdict::Degraded);
        assert_eq!(entropy("256\n").verdict, Verdict::Ok);
    }
}
