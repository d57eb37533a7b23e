//! What works on this host, what works with less, what does not, and what would help: a line each.
//!
//! [`examine`] looks at the host for an instance that need not run; [`Doctor::report`] adds what only a running daemon
//! knows: its network, its database, and what its tasks asked for in vain. What is read is judged by pure functions
//! of its text.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{config::Config, network::Trouble, report::chain};
use crate::{
    agent::{Agent, CgroupDriver},
    api::live::{DoctorFinding, DoctorReport, Verdict},
    model::resources::Traits,
    store::{SetAside, Snapshot},
};

mod clock;
mod disk;
mod groups;
mod kernel;
mod names;
mod network;
mod rights;

/// What came to light at the start.
#[derive(Clone, Debug, Default)]
pub struct Doctor {
    /// Why there is no network.
    pub network: Option<Trouble>,
    set_aside: Option<String>,
}

/// Looks at the host for the instance of a configuration, which need not run.
///
/// # Errors
/// A sentence about a configuration that cannot be used.
pub fn examine(path: Option<&Path>) -> Result<Vec<DoctorFinding>, String> {
    let config = Config::load(path).map_err(|error| chain(&error))?;
    let mut findings = look(&config);
    findings.extend(network::without_daemon(config.network.as_ref()));
    Ok(findings)
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
        let mut findings = look(config);
        findings.extend(network::with_daemon(config.network.as_ref(), agent, self.network.as_ref()));
        findings.push(self.store());
        findings.extend(not_enforced(snapshot));
        DoctorReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            findings,
            details: details(config, snapshot),
        }
    }

    fn store(&self) -> DoctorFinding {
        match &self.set_aside {
            Some(why) => {
                degraded("store", why.clone(), "what was lost is in that file; restore a backup or go on")
            }
            None => ok("store", "the database is sound"),
        }
    }
}

/// What can be seen of the host by anybody.
fn look(config: &Config) -> Vec<DoctorFinding> {
    let release = text("/proc/sys/kernel/osrelease").trim().to_owned();
    let modules = kernel::Modules::of(&release);
    let mut findings = vec![
        kernel::version(&release),
        kernel::features(Path::new("/proc")),
        kernel::modules(&release, &modules),
        kernel::entropy(&text("/proc/sys/kernel/random/entropy_avail")),
    ];
    findings.extend(rights::look(&text("/proc/self/status")));
    findings.extend(groups::look(&text("/proc/cmdline"), config.containers.cgroup_driver));
    findings.push(disk::overlay(&text("/proc/filesystems"), &modules, &config.state_dir));
    findings.push(disk::room(&config.state_dir));
    findings.push(disk::quota(&config.state_dir, config.containers.first_project));
    findings.push(clock::look(super::clock::wall()));
    findings.push(names::look(&text("/etc/resolv.conf"), &text("/run/systemd/resolve/resolv.conf")));
    findings.push(network::managers(Path::new("/")));
    findings
}

/// What definitions of live tasks ask for and this host cannot enforce, each once.
fn not_enforced(snapshot: &Snapshot) -> Vec<DoctorFinding> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for sentence in snapshot.live_tasks().flat_map(|task| &task.not_enforced) {
        *counts.entry(sentence).or_default() += 1;
    }
    let told = |(sentence, tasks): (&str, u32)| DoctorFinding {
        remedy: None,
        ..degraded("tasks", format!("{sentence} (asked for by {tasks} of the live tasks)"), "")
    };
    counts.into_iter().map(told).collect()
}

fn details(config: &Config, snapshot: &Snapshot) -> Map<String, Value> {
    let counts = snapshot.counts();
    let details = json!({
        "stateDirectory": config.state_dir,
        "runtimeDirectory": config.runtime_dir,
        "cgroupParent": config.cgroup_parent,
        "cgroupDriver": match config.containers.cgroup_driver {
            CgroupDriver::Files => "files",
            CgroupDriver::Systemd => "systemd",
        },
        "socket": config.api.socket,
        "architecture": Traits::default().architecture,
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

/// The path, or the nearest directory above it that is there.
fn nearest(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn ok(subject: &str, message: impl Into<String>) -> DoctorFinding {
    DoctorFinding { subject: subject.to_owned(), verdict: Verdict::Ok, message: message.into(), remedy: None }
}

fn degraded(subject: &str, message: impl Into<String>, remedy: impl Into<String>) -> DoctorFinding {
    DoctorFinding { verdict: Verdict::Degraded, remedy: Some(remedy.into()), ..ok(subject, message) }
}

fn broken(subject: &str, message: impl Into<String>, remedy: impl Into<String>) -> DoctorFinding {
    DoctorFinding { verdict: Verdict::Broken, remedy: Some(remedy.into()), ..ok(subject, message) }
}
