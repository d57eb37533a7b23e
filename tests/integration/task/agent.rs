//! The agent by itself: tasks are handed to it, facts come back, and nothing is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hythe::agent::{
    Adopted, Agent, AgentConfig, ContainersConfig, ImagesConfig, LocalStores, LogOf, LogQuery, StartTask,
};
use hythe::model::arn::Owner;
use hythe::model::fact::{Fact, Seen};
use hythe::model::ids::{ClusterName, ContainerName, TaskId};
use hythe::model::task::{ContainerStatus, Exit, NewTask, StopCode, StopRequest, Task, TaskStatus};
use hythe::model::task_definition::{Document, LogMode, TaskDefinition};
use hythe::model::time::Timestamp;
use hythe::net::{NetConfig, Network};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::harness::{PATIENCE, images, instance::own_network, leaks, require, scaled};

/// An agent with a network, and everything it touches.
struct Yard {
    agent: Option<Agent>,
    facts: UnboundedReceiver<Fact>,
    runtime: Option<Runtime>,
    before: leaks::Before,
    cgroup: String,
    place: tempfile::TempDir,
}

impl Yard {
    fn new() -> Self {
        own_network();
        let place = tempfile::tempdir().unwrap();
        let cgroup = format!("hythe-agent-{}", std::process::id());
        let before = leaks::Before::new("HYTHE_TEST=none", place.path(), None, &cgroup);
        let runtime = Runtime::new().unwrap();
        let (agent, facts) = open(&runtime, place.path(), &cgroup);
        Self { agent: Some(agent), facts, runtime: Some(runtime), before, cgroup, place }
    }

    fn agent(&self) -> &Agent {
        self.agent.as_ref().unwrap()
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    /// Ends the agent as the end of its process would, and opens another one.
    fn open_again(&mut self) {
        self.agent = None;
        self.runtime.take().unwrap().shutdown_timeout(scaled(PATIENCE));
        let runtime = Runtime::new().unwrap();
        let (agent, facts) = open(&runtime, self.place.path(), &self.cgroup);
        (self.agent, self.facts, self.runtime) = (Some(agent), facts, Some(runtime));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn start(&self, start: &StartTask) -> Task {
        let _context = self.runtime().enter();
        self.agent().start(start.clone());
        start.task.clone()
    }

    /// Takes facts until one is as wanted.
    #[track_caller]
    fn until(&mut self, task: &mut Task, what: &str, wanted: impl Fn(&Task, &Seen) -> bool) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            let runtime = self.runtime.as_ref().unwrap();
            let fact = runtime.block_on(async { timeout(scaled(PATIENCE), self.facts.recv()).await });
            let fact = fact.unwrap_or_else(|_| panic!("waited for {what}, saw {seen:#?}")).unwrap();
            if fact.task != task.id {
                continue;
            }
            task.take(&fact).unwrap();
            seen.push(fact.seen);
            if seen.last().is_some_and(|last| wanted(task, last)) {
                return seen;
            }
        }
    }

    fn until_running(&mut self, task: &mut Task) -> Vec<Seen> {
        self.until(task, "the task to run", |task, _| task.known_status == TaskStatus::Running)
    }

    fn until_stopped(&mut self, task: &mut Task) -> Vec<Seen> {
        self.until(task, "the end of the task", |_, seen| *seen == Seen::AllStopped)
    }

    fn sweep(&mut self, task: &mut Task) {
        self.runtime().block_on(self.agent().sweep(&task.id)).unwrap();
        self.until(task, "nothing to be left", |_, seen| *seen == Seen::Removed);
        assert_eq!(task.known_status, TaskStatus::Stopped);
    }

    fn stop(&self, task: &TaskId) {
        let request = StopRequest { code: StopCode::UserInitiated, reason: "enough".to_owned() };
        self.agent().stop(task, &request);
    }

    fn logs(&self, task: &TaskId) -> Vec<String> {
        let outputs = vec![LogOf::new(task, &ContainerName::parse("main").unwrap())];
        let query = LogQuery { outputs, ..LogQuery::default() };
        self.runtime().block_on(async {
            let mut lines = self.agent().logs(query);
            let mut all = Vec::new();
            while let Some(line) = timeout(scaled(PATIENCE), lines.recv()).await.unwrap() {
                all.push(line.line);
            }
            all
        })
    }

    /// Looks whether anything is left, of tasks that are swept.
    #[track_caller]
    fn check(&self) {
        let names = |directory: &str| -> Vec<_> {
            fs::read_dir(self.path(directory)).unwrap().map(|entry| entry.unwrap().file_name()).collect()
        };
        assert!(names("state/tasks").is_empty() && names("run/tasks").is_empty());
        let links: Vec<_> = links().into_iter().filter(|name| *name != bridge()).collect();
        assert!(links.len() <= 1, "more than the one that is ready for the next task: {links:?}");
        let own = |path: &PathBuf| {
            !path.ends_with(&self.cgroup) && !path.ends_with(Path::new(&self.cgroup).join("shims"))
        };
        let groups: Vec<PathBuf> = self.before.cgroups().into_iter().filter(own).collect();
        assert!(groups.is_empty(), "{groups:?}");
        assert_eq!(self.before.mounts(), Vec::<PathBuf>::new());
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        self.agent = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
        for group in self.before.cgroups() {
            let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            for pid in procs.lines().filter_map(|line| line.parse().ok()) {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
        }
        let gone = || {
            self.before.cgroups().iter().for_each(|group| drop(fs::remove_dir(group)));
            self.before.cgroups().is_empty().then_some(())
        };
        if !std::thread::panicking() {
            crate::harness::wait_for("the control groups to go", PATIENCE, gone);
        }
    }
}

/// Links of the test's network namespace, without `lo`.
fn links() -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let names = table.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned());
    names.filter(|name| name != "lo").collect()
}

fn bridge() -> String {
    format!("hyt{}", std::process::id() % 1_000_000)
}

fn open(runtime: &Runtime, place: &Path, cgroup: &str) -> (Agent, UnboundedReceiver<Fact>) {
    let network = Network::open(&NetConfig {
        bridge: bridge().try_into().unwrap(),
        subnet: "10.214.0.0/24".parse().unwrap(),
        table: "hythe_agent".to_owned(),
        mtu: None,
    });
    let config = AgentConfig {
        owner: Owner { region: "us-east-1".to_owned(), account: "000000000000".to_owned() },
        state_dir: place.join("state"),
        runtime_dir: place.join("run"),
        cgroup_parent: cgroup.to_owned(),
        executable: env!("CARGO_BIN_EXE_hythe").into(),
        publish_address: Ipv4Addr::UNSPECIFIED,
        ready_networks: 1,
        images: ImagesConfig::default(),
        containers: ContainersConfig::default(),
        local: LocalStores::default(),
        roles: std::collections::BTreeMap::new(),
        api_socket: None,
    };
    let (facts, receiver) = unbounded_channel();
    let _context = runtime.enter();
    (Agent::open(config, Some(network.unwrap()), facts).unwrap(), receiver)
}

/// A task of a document; `IMAGE` in it stands for busybox.
fn task(number: u8, document: &str) -> StartTask {
    let image = format!("oci:{}:latest", images::busybox().display());
    let document: Document = serde_json::from_str(&document.replace("IMAGE", &image)).unwrap();
    let definition = TaskDefinition::new(document, 1, Timestamp(1));
    let task = Task::from(NewTask::of(
        TaskId::from_random([number; 16]),
        ClusterName::parse("default").unwrap(),
        &definition,
        Timestamp(1),
    ));
    StartTask { task, definition: Arc::new(definition), log_mode: LogMode::default() }
}

fn shell(number: u8, task_members: &str, members: &str, script: &str) -> StartTask {
    let script = serde_json::to_string(script).unwrap();
    task(
        number,
        &format!(
            r#"{{"family": "f"{task_members}, "containerDefinitions": [{{"name": "main", "image": "IMAGE",
                "command": ["sh", "-c", {script}]{members}}}]}}"#
        ),
    )
}

#[test]
fn an_image_that_is_not_there_fails_the_task_and_leaves_nothing() {
    require!(host, busybox);
    let mut yard = Yard::new();
    let text = r#"{"family": "f", "containerDefinitions": [
        {"name": "good", "image": "IMAGE"}, {"name": "bad", "image": "oci:/nowhere:latest"}]}"#;
    let mut task = yard.start(&task(1, text));
    yard.until_stopped(&mut task);
    let stop = task.stop.clone().unwrap();
    assert_eq!(stop.code, StopCode::TaskFailedToStart);
    assert!(stop.reason.starts_with("CannotPullContainerError: load image oci:/nowhere"), "{}", stop.reason);
    let bad = task.containers.iter().find(|container| container.name.as_str() == "bad").unwrap();
    assert_eq!(bad.reason.as_ref(), Some(&stop.reason));
    yard.check();
    yard.sweep(&mut task);
}

#[test]
fn what_the_host_refuses_is_said_and_undone() {
    require!(host, busybox);
    let mut yard = Yard::new();
    let cases = [
        (", \"networkMode\": \"awsvpc\"", ", \"privileged\": true", "CannotCreateContainerError: privileged"),
        (
            "",
            ", \"user\": \"ghost\"",
            "CannotCreateContainerError: user \"ghost\" is not in the image's /etc/passwd",
        ),
        (
            ", \"volumes\": [{\"name\": \"v\", \"dockerVolumeConfiguration\": {\"scope\": \"shared\"}}]",
            ", \"mountPoints\": [{\"sourceVolume\": \"v\", \"containerPath\": \"/v\"}]",
            "CannotCreateVolumeError: volume v does not exist and autoprovision is off",
        ),
        (
            "",
            ", \"environmentFiles\": [{\"value\": \"/nowhere.env\", \"type\": \"s3\"}]",
            "ResourceInitializationError: read environment file /nowhere.env",
        ),
    ];
    for (number, (task_members, members, reason)) in (1..).zip(cases) {
        let mut task = yard.start(&shell(number, task_members, members, "true"));
        yard.until_stopped(&mut task);
        let said = task.stop.clone().unwrap().reason;
        assert!(said.starts_with(reason), "{said}");
        yard.check();
        yard.sweep(&mut task);
    }
}

#[test]
fn a_stop_while_the_registry_is_silent_works_at_once() {
    require!(host, busybox);
    let mut yard = Yard::new();
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let text = format!(
        r#"{{"family": "f", "containerDefinitions": [{{"name": "a", "image": "127.0.0.1:{port}/silent:1"}}]}}"#
    );
    let mut task = yard.start(&task(1, &text));
    yard.until(&mut task, "the pull to begin", |_, seen| *seen == Seen::PullStarted);
    let _held = silent.accept().unwrap();
    yard.stop(&task.id);
    yard.until_stopped(&mut task);
    assert_eq!(task.stop.clone().unwrap().reason, "enough");
    yard.check();
    yard.sweep(&mut task);
}

#[test]
fn a_task_runs_tells_and_is_swept() {
    require!(host, busybox);
    let mut yard = Yard::new();
    let start =
        shell(1, "", r#", "portMappings": [{"containerPort": 80}]"#, "echo out; echo err >&2; exit 3");
    let mut task = yard.start(&start);
    yard.until_stopped(&mut task);
    let container = &task.containers[0];
    assert_eq!((container.known_status, container.exit), (ContainerStatus::Stopped, Some(Exit::Code(3))));
    assert!(container.image_digest.is_some());
    assert_eq!(container.network_bindings.len(), 1);
    assert!(task.attachment.is_some() && task.times.pull_stopped_at.is_some());
    assert_eq!(task.stop.clone().unwrap().code, StopCode::EssentialContainerExited);
    let spans: BTreeSet<&str> = task.timing.iter().map(|span| span.name.as_str()).collect();
    assert!(spans.is_superset(&BTreeSet::from(["pull", "network", "bundle", "shim"])), "{spans:?}");
    yard.sweep(&mut task);
    yard.check();
    let mut lines = yard.logs(&task.id);
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    yard.runtime().block_on(yard.agent().forget(&task.id)).unwrap();
    assert!(yard.logs(&task.id).is_empty());
}

#[test]
fn a_container_finds_what_its_definition_promises() {
    require!(host, busybox);
    let mut yard = Yard::new();
    fs::write(yard.path("own.env"), "B=file\nC=file\n").unwrap();
    fs::create_dir(yard.path("shared")).unwrap();
    let members = format!(
        r#", "environment": [{{"name": "C", "value": "own"}}], "hostname": "box", "user": "1000:1000",
        "environmentFiles": [{{"value": "{0}/own.env", "type": "s3"}}], "workingDirectory": "/work/here",
        "extraHosts": [{{"hostname": "crane", "ipAddress": "10.9.8.7"}}],
        "mountPoints": [{{"sourceVolume": "host", "containerPath": "/host", "readOnly": true}},
            {{"sourceVolume": "fresh", "containerPath": "/etc"}}]"#,
        yard.place.path().display()
    );
    let volumes = format!(
        r#", "volumes": [{{"name": "host", "host": {{"sourcePath": "{}/shared"}}}}, {{"name": "fresh"}}]"#,
        yard.place.path().display()
    );
    fs::write(yard.path("shared/file"), "from the host").unwrap();
    let script = "echo $B $C; hostname; pwd; id -u; cat /host/file; echo; touch /host/new || echo ro; \
                  grep -c crane /etc/hosts; grep -q root /etc/passwd && echo copied";
    let mut task = yard.start(&shell(1, &volumes, &members, script));
    yard.until_stopped(&mut task);
    let lines = yard.logs(&task.id);
    let lines: Vec<&str> =
        lines.iter().map(String::as_str).filter(|line| !line.starts_with("touch:")).collect();
    assert_eq!(
        lines,
        ["file own", "box", "/work/here", "1000", "from the host", "ro", "1", "copied"],
        "{:?}",
        task.stop
    );
    yard.sweep(&mut task);
    yard.check();
}

#[test]
fn an_agent_that_starts_again_adopts_what_runs() {
    require!(host, busybox);
    let mut yard = Yard::new();
    let start = shell(
        1,
        "",
        r#", "stopTimeout": 1, "portMappings": [{"containerPort": 80, "hostPort": 18080}]"#,
        "exec sleep 1000",
    );
    let mut task = yard.start(&start);
    yard.until_running(&mut task);
    yard.open_again();
    let adopted = yard.runtime().block_on(yard.agent().adopt(&task, &start.definition));
    assert_eq!(adopted, Adopted::Running);
    yard.runtime().block_on(yard.agent().adopted()).unwrap();
    assert_eq!(yard.agent().kept().len(), 1);
    let mut second =
        yard.start(&shell(2, "", r#", "portMappings": [{"containerPort": 80, "hostPort": 18080}]"#, "true"));
    yard.until_stopped(&mut second);
    let said = second.stop.clone().unwrap().reason;
    assert!(said.contains(&format!("host port 18080/tcp is in use by task {}", task.id)), "{said}");
    yard.sweep(&mut second);
    yard.stop(&task.id);
    yard.until_stopped(&mut task);
    assert_eq!(task.stop.clone().unwrap().reason, "enough");
    yard.sweep(&mut task);
    yard.check();
}

#[test]
fn a_shim_that_does_not_listen_yet_is_waited_for_and_no_second_one_is_started() {
    require!(host, busybox);
    let mut yard = Yard::new();
    let start = shell(1, "", r#", "stopTimeout": 1"#, "exec sleep 1000");
    let mut task = yard.start(&start);
    yard.until_running(&mut task);
    yard.open_again();
    // As it is between the start of a shim and its socket: nothing to connect to, and nothing known of it.
    let socket = yard.path("run/tasks").join(format!("{}.sock", task.id));
    let aside = socket.with_extension("aside");
    fs::rename(&socket, &aside).unwrap();
    let adopted = yard.runtime().block_on(async {
        let mut adopting = Box::pin(yard.agent().adopt(&start.task, &start.definition));
        let soon = timeout(Duration::from_millis(300), &mut adopting).await;
        assert!(soon.is_err(), "a shim that lives is not given up: {soon:?}");
        fs::rename(&aside, &socket).unwrap();
        adopting.await
    });
    assert_eq!(adopted, Adopted::Running);
    yard.stop(&task.id);
    yard.until_stopped(&mut task);
    yard.sweep(&mut task);
    yard.check();
}

#[test]
fn what_ended_while_no_agent_ran_is_told_afterwards() {
    require!(host, busybox);
    let mut yard = Yard::new();
    let start = shell(1, "", "", "while [ ! -e /go ]; do sleep 0.05; done; exit 4");
    let mut task = yard.start(&start);
    yard.until_running(&mut task);
    let pid = task.containers[0].pid.unwrap();
    yard.agent = None;
    yard.runtime.take().unwrap().shutdown_timeout(scaled(PATIENCE));
    // The container's own view, because an overlay does not look for changes below it.
    fs::write(format!("/proc/{pid}/root/go"), "").unwrap();
    crate::harness::wait_for("the container to end", PATIENCE, || {
        (!Path::new(&format!("/proc/{pid}/root/go")).exists()).then_some(())
    });
    yard.runtime = Some(Runtime::new().unwrap());
    yard.open_again();
    // The shim may still be on its way out; either way its facts are told.
    yard.runtime().block_on(yard.agent().adopt(&task, &start.definition));
    yard.until_stopped(&mut task);
    assert_eq!(task.containers[0].exit, Some(Exit::Code(4)));
    yard.sweep(&mut task);
    yard.check();
}

#[test]
fn a_killed_shim_takes_its_task_along_and_is_told() {
    require!(host, busybox);
    let mut yard = Yard::new();
    let mut task = yard.start(&shell(1, "", "", "exec sleep 1000"));
    yard.until_running(&mut task);
    let pattern = yard.path(&format!("state/tasks/{}", task.id));
    let shim = shim_of(&pattern).expect("the shim runs");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), nix::sys::signal::Signal::SIGKILL).unwrap();
    yard.until_stopped(&mut task);
    let stop = task.stop.clone().unwrap();
    assert_eq!(stop.reason, "InternalError: the shim of the task was killed");
    yard.sweep(&mut task);
    yard.check();
}

#[test]
fn what_belongs_to_nobody_is_found_and_removed() {
    require!(host, busybox);
    let mut yard = Yard::new();
    let mut task = yard.start(&shell(1, "", "", "exec sleep 1000"));
    yard.until_running(&mut task);
    yard.open_again();
    let orphans = yard.runtime().block_on(yard.agent().orphans(&BTreeSet::new())).unwrap();
    let all: Vec<&str> = orphans.iter().map(|orphan| orphan.what.as_str()).collect();
    assert!(all.contains(&format!("task {}", task.id).as_str()), "{all:?}");
    let known = BTreeSet::from([task.id.clone()]);
    assert_eq!(yard.runtime().block_on(yard.agent().orphans(&known)).unwrap(), []);
    for orphan in &orphans {
        yard.runtime().block_on(yard.agent().remove_orphan(orphan)).unwrap();
    }
    assert_eq!(yard.runtime().block_on(yard.agent().orphans(&BTreeSet::new())).unwrap(), []);
    yard.check();
}

/// The shim that serves the task in `directory`.
fn shim_of(directory: &Path) -> Option<i32> {
    let output =
        Command::new("pgrep").args(["-f", &format!("shim {}", directory.display())]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next()?.parse().ok()
}
