//! A task without a daemon: bundles and a spec written by hand, and a shim that is spoken to directly.
//!
//! [`Lab`] owns a directory, a control group and a network namespace. When it is dropped, nothing of the task may be
//! left, whatever the test did to the shim.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a failed test panics")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use hythe::{
    kernel::namespace::new_network,
    model::{
        fact::{Fact, Seen},
        ids::{ContainerName, TaskId},
        task::{Exit, StopCode, StopRequest},
        task_definition::{Condition, Dependency},
    },
    net::Network as Net,
    runtime::defaults as runtime_defaults,
    shim::{
        client::{Connection, Launch, connect, spawn},
        defaults,
        spec::{ContainerSpec, LogSpec, Network, Sharing, TaskSpec},
    },
};
use oci_spec::runtime::{
    LinuxBuilder, LinuxMemoryBuilder, LinuxNamespaceType, LinuxResourcesBuilder, ProcessBuilder, RootBuilder,
    Spec, SpecBuilder, UserBuilder,
};
use tokio::time::timeout;

use crate::harness::{PATIENCE, leaks::Before, scaled, wait_for};

/// A task, and the place it lives in.
pub struct Lab {
    place: tempfile::TempDir,
    parent: String,
    before: Before,
    /// What the shim is told.
    pub spec: TaskSpec,
}

/// A conversation with the shim, and all that it told.
pub struct Talk {
    /// The conversation.
    pub connection: Connection,
    /// What was told.
    pub facts: Vec<Fact>,
}

pub fn name(text: &str) -> ContainerName {
    ContainerName::parse(text).unwrap()
}

pub fn user_stop() -> StopRequest {
    StopRequest { code: StopCode::UserInitiated, reason: "Task stopped by user".to_owned() }
}

impl Lab {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let place = tempfile::tempdir().unwrap();
        let parent = format!("hythe-lab-{}-{number}", std::process::id());
        let mut seed = [0; 16];
        seed[..4].copy_from_slice(&std::process::id().to_be_bytes());
        seed[4..8].copy_from_slice(&number.to_be_bytes());
        let task = TaskId::from_random(seed);
        let before = Before::new("HYTHE_LAB=none", place.path(), None, &parent);
        make_root(&place.path().join("base"));
        let spec = TaskSpec {
            cgroup: format!("{parent}/{task}").into(),
            shim_cgroup: format!("{parent}/shims").into(),
            systemd: None,
            task,
            resources: None,
            network: Network::Inherited,
            shared_memory: None,
            users: None,
            containers: Vec::new(),
            begun_us: 0,
            metadata: None,
            socket: place.path().join("run/task.sock"),
            ledger: place.path().join("ledger"),
        };
        Self { place, parent, before, spec }
    }

    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Adds an essential container whose process is a shell with this script.
    pub fn container(&mut self, text: &str, script: &str) -> &mut ContainerSpec {
        let bundle = self.path().join(text);
        make_root(&bundle.join("rootfs"));
        write_config(&bundle, &config(script, None));
        self.spec.containers.push(ContainerSpec {
            name: name(text),
            log: Some(LogSpec::at(self.log(text))),
            bundle,
            essential: true,
            depends_on: Vec::new(),
            volumes_from: Vec::new(),
            shares: Sharing { network: true, ..Sharing::default() },
            start_timeout: None,
            stop_timeout: Some(20),
            stop_signal: None,
            restart_policy: None,
            health_check: None,
            memory: None,
            open_stdin: false,
            tty: false,
            init: false,
        });
        self.spec.containers.last_mut().unwrap()
    }

    /// Adds a container with a memory limit in MiB.
    pub fn limited(&mut self, text: &str, script: &str, limit: i64) -> &mut ContainerSpec {
        let container = self.container(text, script);
        write_config(&container.bundle, &config(script, Some(limit << 20)));
        container.memory = Some(limit.unsigned_abs());
        container
    }

    pub fn log(&self, text: &str) -> PathBuf {
        self.path().join("logs").join(format!("{text}.log"))
    }

    /// Starts the shim.
    pub async fn start(&self) -> Talk {
        let connection = self.try_start().await.unwrap();
        Talk { connection, facts: Vec::new() }
    }

    pub async fn try_start(&self) -> Result<Connection, hythe::shim::client::ClientError> {
        self.spec.save(self.path()).unwrap();
        let network = new_network().unwrap();
        Net::loopback(std::os::fd::AsFd::as_fd(&network)).unwrap();
        let program = env!("CARGO_BIN_EXE_hythe").into();
        spawn(Launch {
            program,
            directory: self.path().to_owned(),
            network: Some(network),
            credentials: None,
        })
        .await
    }

    /// Connects once more.
    pub async fn connect(&self, from: u64) -> Talk {
        Talk { connection: connect(&(&self.spec).into(), from).await.unwrap(), facts: Vec::new() }
    }

    /// The shim's process.
    pub fn shim(&self) -> i32 {
        let pids = self.before.cgroups().into_iter().find_map(|group| {
            let shims = group.ends_with("shims").then(|| fs::read_to_string(group.join("cgroup.procs")));
            shims.and_then(Result::ok).filter(|text| !text.trim().is_empty())
        });
        pids.expect("a shim runs").trim().parse().expect("one shim")
    }

    /// Removes what a shim that was killed leaves, as the agent does.
    pub fn sweep(&self) {
        let layout = hythe::kernel::cgroup::Layout::detect().unwrap();
        let path = hythe::kernel::cgroup::CgroupPath::parse(self.spec.cgroup.to_str().unwrap()).unwrap();
        layout.group(&path).kill().unwrap();
        layout.group(&path).delete().unwrap();
    }

    /// Everything that runs in the task's control groups, the shim included.
    pub fn processes(&self) -> Vec<i32> {
        self.before.processes(&[])
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", fs::read_to_string(self.path().join("shim.err")).unwrap_or_default());
            for pid in self.processes() {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
        }
        let none_runs = || self.processes().is_empty().then_some(());
        if std::thread::panicking() {
            std::thread::park_timeout(Duration::from_millis(300));
        } else {
            wait_for("the task's processes to be gone", PATIENCE, none_runs);
        }
        for group in self.before.cgroups() {
            let is_task = group.to_string_lossy().contains(self.spec.task.as_str());
            let _ = fs::remove_dir(&group);
            assert!(!is_task || std::thread::panicking(), "{} is left", group.display());
        }
        assert!(std::thread::panicking() || self.before.mounts().is_empty(), "mounts are left");
        let _ = &self.parent;
    }
}

impl Talk {
    /// Takes facts until one is `wanted`.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            let next = timeout(scaled(PATIENCE), self.connection.next()).await;
            let fact = next.unwrap_or_else(|_| panic!("waited for {what}, saw {:#?}", self.facts)).unwrap();
            let fact = fact.unwrap_or_else(|| panic!("no {what} in {:#?}", self.facts));
            self.facts.push(fact.clone());
            if wanted(&fact.seen) {
                return fact.seen;
            }
        }
    }

    pub async fn started(&mut self, text: &str) -> i32 {
        let seen = self
            .until(
                &format!("start of {text}"),
                |seen| matches!(seen, Seen::ContainerStarted { container, .. } if *container == name(text)),
            )
            .await;
        let Seen::ContainerStarted { pid, .. } = seen else { unreachable!() };
        pid
    }

    /// Takes all facts to the end.
    pub async fn end(&mut self) {
        while let Some(fact) =
            timeout(scaled(PATIENCE), self.connection.next()).await.expect("an end in time").unwrap()
        {
            self.facts.push(fact);
        }
    }

    pub async fn stop(&mut self) {
        self.connection.stop(&user_stop()).await.unwrap();
    }

    /// How a container's last run ended, and the reason.
    #[track_caller]
    pub fn exit(&self, text: &str) -> (Exit, Option<String>) {
        let exits = self.facts.iter().rev().find_map(|fact| match &fact.seen {
            Seen::ContainerExited { container, exit, reason, .. } if *container == name(text) => {
                Some((*exit, reason.clone()))
            }
            _ => None,
        });
        exits.unwrap_or_else(|| panic!("{text} did not exit in {:#?}", self.facts))
    }

    /// Why a container could not run.
    #[track_caller]
    pub fn failure(&self, text: &str) -> (String, Option<Exit>) {
        let failures = self.facts.iter().find_map(|fact| match &fact.seen {
            Seen::ContainerFailed { container, reason, exit } if *container == name(text) => {
                Some((reason.clone(), *exit))
            }
            _ => None,
        });
        failures.unwrap_or_else(|| panic!("{text} did not fail in {:#?}", self.facts))
    }

    /// Who wanted the task to stop.
    #[track_caller]
    pub fn stop_request(&self) -> StopRequest {
        let stops = self.facts.iter().find_map(|fact| match &fact.seen {
            Seen::Stopping { request } => Some(request.clone()),
            _ => None,
        });
        stops.unwrap_or_else(|| panic!("nobody stopped it in {:#?}", self.facts))
    }

    /// Where in the facts the first of these is.
    #[track_caller]
    pub fn place(&self, wanted: impl Fn(&Seen) -> bool) -> usize {
        self.facts.iter().position(|fact| wanted(&fact.seen)).expect("the fact")
    }
}

pub fn has_started(text: &'static str) -> impl Fn(&Seen) -> bool {
    move |seen| matches!(seen, Seen::ContainerStarted { container, .. } if container.as_str() == text)
}

pub fn has_exited(text: &'static str) -> impl Fn(&Seen) -> bool {
    move |seen| matches!(seen, Seen::ContainerExited { container, .. } if container.as_str() == text)
}

pub fn on(other: &str, condition: Condition) -> Vec<Dependency> {
    vec![Dependency { container_name: name(other), condition }]
}

/// A root file system of one busybox.
fn make_root(root: &Path) {
    for folder in ["bin", "proc", "sys", "dev", "tmp", "etc", "www"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
    for program in
        ["sh", "cat", "sleep", "httpd", "wget", "tail", "seq", "yes", "touch", "test", "kill", "hostname"]
    {
        let _ = symlink("busybox", root.join("bin").join(program));
    }
    fs::write(root.join("www/hello"), "hello over localhost\n").unwrap();
}

fn config(script: &str, memory: Option<i64>) -> Spec {
    let process = ProcessBuilder::default()
        .args(["/bin/sh", "-c", script].map(ToOwned::to_owned))
        .env(["PATH=/bin".to_owned()])
        .cwd("/")
        .user(UserBuilder::default().uid(0_u32).gid(0_u32).build().unwrap())
        .capabilities(defaults::capability_sets(defaults::capabilities()))
        .no_new_privileges(true)
        .build()
        .unwrap();
    let namespaces: Vec<_> = runtime_defaults::namespaces(None)
        .into_iter()
        .filter(|namespace| namespace.typ() != LinuxNamespaceType::Network)
        .collect();
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces)
        .masked_paths(defaults::masked_paths())
        .readonly_paths(defaults::readonly_paths());
    if let Some(limit) = memory {
        let memory = LinuxMemoryBuilder::default().limit(limit).swap(limit).build().unwrap();
        linux = linux.resources(LinuxResourcesBuilder::default().memory(memory).build().unwrap());
    }
    SpecBuilder::default()
        .process(process)
        .root(RootBuilder::default().path("rootfs").readonly(false).build().unwrap())
        .mounts(runtime_defaults::mounts(16 << 20))
        .linux(linux.build().unwrap())
        .build()
        .unwrap()
}

fn write_config(bundle: &Path, spec: &Spec) {
    fs::write(bundle.join("config.json"), serde_json::to_vec(spec).unwrap()).unwrap();
}
