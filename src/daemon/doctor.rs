//! What the daemon knows of its host: what works, what works with less, what does not.

use std::{collections::BTreeMap, fs, path::Path};

use nix::sys::statvfs::statvfs;
use serde_json::{Map, Value, json};

use super::{config::Config, host, report::chain};
use crate::{
    agent::Agent,
    api::live::{DoctorFinding, DoctorReport, Verdict},
    store::{SetAside, Snapshot},
};

/// The oldest kernel that has every call hythe makes.
const OLDEST_KERNEL: (u32, u32) = (5, 12);

/// Capabilities without which no container starts, and ones without which some wishes cannot be met.
const NEEDED: [(u32, &str); 9] = [
    (0, "CAP_CHOWN"),
    (1, "CAP_DAC_OVERRIDE"),
    (3, "CAP_FOWNER"),
    (5, "CAP_KILL"),
    (6, "CAP_SETGID"),
    (7, "CAP_SETUID"),
    (8, "CAP_SETPCAP"),
    (18, "CAP_SYS_CHROOT"),
    (21, "CAP_SYS_ADMIN"),
];
const SYS_RESOURCE: u32 = 24;
const NET_ADMIN: u32 = 12;
const MKNOD: u32 = 27;

/// Space on the disk of the state directory below which it is said.
const LITTLE_SPACE: u64 = 512 * 1024 * 1024;
/// Less than this is none: writes of this size are refused or soon will be.
const NO_SPACE: u64 = 2 * 1024 * 1024;

/// What came to light at the start.
#[derive(Clone, Debug, Default)]
pub struct Doctor {
    /// Why there is no network.
    pub network: Option<String>,
    set_aside: Option<String>,
}

impl Doctor {
    /// Notes that the database was damaged.
    pub fn note_set_aside(&mut self, aside: &SetAside) {
        self.set_aside =
            Some(format!("a damaged database was set aside as {}: {}", aside.path.display(), aside.why));
    }

    /// Looks at everything now.
    #[must_use]
    pub fn report(&self, config: &Config, agent: &Agent, snapshot: &Snapshot) -> DoctorReport {
        let mut findings = vec![kernel(&text("/proc/sys/kernel/osrelease"))];
        findings.extend(capabilities(&text("/proc/self/status")));
        findings.push(overlay(&text("/proc/filesystems")));
        findings.extend(cgroups(Path::new("/sys/fs/cgroup")));
        findings.extend(self.network(config, agent));
        findings.push(self.store());
        findings.extend(space(&config.state_dir));
        findings.extend(not_enforced(snapshot));
        DoctorReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            findings,
            details: details(config, snapshot),
        }
    }

    fn store(&self) -> DoctorFinding {
        match &self.set_aside {
            Some(why) => finding("store", Verdict::Limited, why.clone()),
            None => finding("store", Verdict::Good, "the database is sound"),
        }
    }

    fn network(&self, config: &Config, agent: &Agent) -> Vec<DoctorFinding> {
        let (Some(network), Some(wish)) = (agent.network(), &config.network) else {
            let why = self.network.clone().unwrap_or_else(|| "there is none".into());
            let message = format!("only tasks of the modes host and none can run: {why}");
            return vec![finding("network", Verdict::Limited, message)];
        };
        let message = format!("bridge {} holds {}", wish.bridge, wish.subnet);
        let mut findings = vec![finding("network", Verdict::Good, message)];
        match network.conflicts() {
            Ok(conflicts) => findings.extend(
                conflicts.iter().map(|conflict| finding("network", Verdict::Limited, conflict.to_string())),
            ),
            Err(failure) => findings.push(finding("network", Verdict::Limited, chain(&failure))),
        }
        findings
    }
}

fn finding(subject: &str, verdict: Verdict, message: impl Into<String>) -> DoctorFinding {
    DoctorFinding { subject: subject.to_owned(), verdict, message: message.into(), remedy: None }
}

fn kernel(release: &str) -> DoctorFinding {
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= OLDEST_KERNEL {
        finding("kernel", Verdict::Good, format!("Linux {release}"))
    } else {
        let (major, minor) = OLDEST_KERNEL;
        finding("kernel", Verdict::Bad, format!("Linux {release} is older than {major}.{minor}"))
    }
}

fn capabilities(status: &str) -> Vec<DoctorFinding> {
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = held.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let has = |number: u32| held >> number & 1 == 1;
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(number, _)| !has(*number)).map(|(_, name)| *name).collect();
    let mut findings = Vec::new();
    if !missing.is_empty() {
        let message = format!("no container can start without {}", missing.join(", "));
        let mut missing = finding("capabilities", Verdict::Bad, message);
        missing.remedy = Some("run the daemon as root".into());
        findings.push(missing);
    }
    let lesser = [
        (NET_ADMIN, "without CAP_NET_ADMIN there is no network for tasks"),
        (MKNOD, "without CAP_MKNOD devices in image layers are left out"),
        (SYS_RESOURCE, "without CAP_SYS_RESOURCE hard limits cannot be raised above those of the daemon"),
    ];
    let lesser = lesser.iter().filter(|(number, _)| !has(*number));
    findings.extend(lesser.map(|(_, message)| finding("capabilities", Verdict::Limited, *message)));
    if findings.is_empty() {
        findings.push(finding("capabilities", Verdict::Good, "all that are needed"));
    }
    findings
}

fn overlay(filesystems: &str) -> DoctorFinding {
    if filesystems.lines().any(|line| line.split_whitespace().last() == Some("overlay")) {
        return finding("overlay", Verdict::Good, "overlayfs is there");
    }
    let mut missing = finding("overlay", Verdict::Bad, "the kernel has no overlayfs loaded");
    missing.remedy = Some("modprobe overlay".into());
    missing
}

/// Which controllers the host has, in which hierarchy.
fn cgroups(root: &Path) -> Vec<DoctorFinding> {
    let unified = host::read(&root.join("cgroup.controllers"));
    let wanted = ["cpu", "memory", "pids", "cpuset"];
    let is_unified = !unified.trim().is_empty();
    let has = |name: &&str| {
        if is_unified {
            unified.split_whitespace().any(|word| word == *name)
        } else {
            root.join(name).join("cgroup.procs").exists()
        }
    };
    let layout = if is_unified { "version 2" } else { "version 1" };
    let missing: Vec<&str> = wanted.into_iter().filter(|name| !has(name)).collect();
    let mut findings = vec![finding("cgroup", Verdict::Good, layout)];
    if !missing.is_empty() {
        let message = format!("limits of these controllers are not enforced: {}", missing.join(", "));
        findings.push(finding("cgroup", Verdict::Limited, message));
    }
    findings
}

fn space(state_dir: &Path) -> Option<DoctorFinding> {
    let disk = statvfs(state_dir).ok()?;
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    let message = format!("{} MiB free for {}", free / (1024 * 1024), state_dir.display());
    Some(finding("disk", space_verdict(free), message))
}

fn space_verdict(free: u64) -> Verdict {
    match free {
        ..NO_SPACE => Verdict::Bad,
        NO_SPACE..LITTLE_SPACE => Verdict::Limited,
        LITTLE_SPACE.. => Verdict::Good,
    }
}

/// What definitions of live tasks ask for and this host cannot enforce, each once.
fn not_enforced(snapshot: &Snapshot) -> Vec<DoctorFinding> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for sentence in snapshot.live_tasks().flat_map(|task| &task.not_enforced) {
        *counts.entry(sentence).or_default() += 1;
    }
    let told = |(sentence, tasks): (&str, u32)| {
        finding("tasks", Verdict::Limited, format!("{sentence} (asked for by {tasks} of the live tasks)"))
    };
    counts.into_iter().map(told).collect()
}

fn details(config: &Config, snapshot: &Snapshot) -> Map<String, Value> {
    let counts = snapshot.counts();
    let details = json!({
        "stateDirectory": config.state_dir,
        "runtimeDirectory": config.runtime_dir,
        "cgroupParent": config.cgroup_parent,
        "socket": config.api.socket,
        "architecture": host::architecture(),
        "pendingTasks": counts.pending,
        "runningTasks": counts.running,
        "stoppingTasks": counts.stopping,
    });
    match details {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_named() {
        assert_eq!(kernel("6.18.1-cloud\n").verdict, Verdict::Good);
        let old = kernel("4.19.0-26-amd64");
        assert_eq!(
            (old.verdict, old.message.as_str()),
            (Verdict::Bad, "Linux 4.19.0-26-amd64 is older than 5.12")
        );
    }

    #[test]
    fn a_disk_without_room_is_broken() {
        let verdicts = [0, NO_SPACE, LITTLE_SPACE].map(space_verdict);
        assert_eq!(verdicts, [Verdict::Bad, Verdict::Limited, Verdict::Good]);
    }

    #[test]
    fn a_missing_capability_is_named_with_what_it_costs() {
        let all = capabilities("CapEff:\t000001ffffffffff\n");
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].verdict, Verdict::Good);
        let fewer = capabilities("CapEff:\t000001fffeffffff\n");
        assert_eq!(fewer.len(), 1);
        assert!(fewer[0].message.contains("CAP_SYS_RESOURCE"), "{fewer:?}");
        let none = capabilities("CapEff:\t0000000000000000\n");
        assert_eq!((none.len(), none[0].verdict), (4, Verdict::Bad));
    }

    #[test]
    fn a_hybrid_host_counts_as_version_one() {
        let root = tempfile::tempdir().unwrap();
        for controller in ["cpu", "memory", "cpuset"] {
            fs::create_dir(root.path().join(controller)).unwrap();
            fs::write(root.path().join(controller).join("cgroup.procs"), "").unwrap();
        }
        let found = cgroups(root.path());
        assert_eq!(found[0].message, "version 1");
        assert_eq!(found[1].message, "limits of these controllers are not enforced: pids");
        fs::write(root.path().join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        assert_eq!(cgroups(root.path()).len(), 1);
    }
}
