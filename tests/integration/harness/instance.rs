//! A daemon of the test's own, and its end.
//!
//! Everything that the instance touches is named by its configuration, which is made here: a temporary directory
//! for state, runtime files and the log; a cgroup parent, a bridge, a subnet and a table with a number that no
//! other running test has. The test's thread moves into a new network namespace first, so the daemon, its tasks
//! and the test's own connections meet there.
//!
//! Dropping the instance stops what runs, ends the daemon with SIGTERM, looks for leaks,
//! removes the directory, and fails the test for whatever is left.
//! A test that has failed already is only cleaned up after, and the daemon's log is printed.

use std::{
    cell::Cell,
    fs::{self, File},
    os::unix::net::{UnixDatagram, UnixListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::Duration,
};

use hythe::api::client::{Client, ClientError};
use nix::{
    mount::{MntFlags, umount2},
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    PATIENCE,
    disk::Disk,
    groups::{Driver, Groups},
    leaks,
    leaks::Before,
    leftovers, scaled, wait_for,
};

thread_local! {
    static HAS_OWN_NETWORK: Cell<bool> = const { Cell::new(false) };
}

/// Moves the calling thread, and what it starts from now on, into a network namespace of its own, once.
pub fn own_network() {
    if HAS_OWN_NETWORK.replace(true) {
        return;
    }
    unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip runs");
    assert!(up.success(), "loopback comes up");
}

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// The standard output of a program that succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// How an instance differs from the usual one.
#[derive(Default)]
pub struct Wish {
    /// Lines added to the configuration file.
    pub config: String,
    /// Variables in the daemon's environment.
    pub env: Vec<(String, String)>,
    /// Who makes control groups, where it matters.
    pub driver: Option<Driver>,
    /// Keep the state on a disk of this size, such as `6m`, that the test may fill, or on one that counts projects: `ext4`
    /// or `xfs`.
    pub disk: Option<&'static str>,
}

/// A daemon of the test's own.
pub struct Instance {
    number: usize,
    _number: UnixListener,
    groups: Groups,
    mark: String,
    directory: TempDir,
    disk: Option<Disk>,
    before: Before,
    wish: Wish,
    daemon: Option<Child>,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Instance {
    /// An instance with a daemon that is ready.
    #[track_caller]
    pub fn start(name: &str) -> Self {
        Self::start_with(name, Wish::default())
    }

    /// The same, with a difference.
    #[track_caller]
    pub fn start_with(name: &str, wish: Wish) -> Self {
        let mut instance = Self::prepare(name, wish);
        instance.start_daemon();
        instance
    }

    /// An instance whose daemon has not been started yet.
    #[track_caller]
    pub fn prepare(name: &str, wish: Wish) -> Self {
        let (number, lock) = leftovers::free_number();
        own_network();
        let driver = wish.driver.unwrap_or_else(Driver::usual);
        let groups = Groups { parent: format!("hythe-test-{number}"), driver };
        let prefix = format!("{}-", groups.parent);
        // Whoever had the number before is dead.
        leftovers::of_number(&groups.top(), &prefix);
        let directory = tempfile::Builder::new()
            .prefix(&format!("{prefix}{name}-"))
            .tempdir()
            .expect("a temporary directory");
        let mark = format!("HYTHE_TEST={}", directory.path().display());
        let disk = wish.disk.map(|size| Disk::mount(&directory.path().join("state"), size));
        let before = Before::new(&mark, directory.path(), disk.as_ref().map(Disk::at), &groups.top());
        let socket = directory.path().join("run/hythe.sock");
        let instance = Self {
            number,
            _number: lock,
            groups,
            mark,
            before,
            wish,
            disk,
            daemon: None,
            client: Client::new(&socket),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a small tokio runtime"),
            directory,
        };
        fs::create_dir(instance.path("run")).expect("the runtime directory");
        fs::write(instance.path("hythe.toml"), instance.configuration()).expect("the configuration file");
        instance
    }

    /// The file. A task without a health check is healthy after a second, where the test says nothing else.
    fn configuration(&self) -> String {
        let has_services = self.wish.config.contains("[services]");
        let services = if has_services { "" } else { "[services]\nhealthy_after = 1\n" };
        self.groups.with_driver(&format!(
            "state_dir = \"{state}\"\nruntime_dir = \"{run}\"\ncgroup_parent = \"hythe-test-{number}\"\n{more}\n\
             {services}[network]\nbridge = \"{bridge}\"\nsubnet = \"{subnet}\"\ntable = \"hythe-test-{number}\"\n",
            state = self.path("state").display(),
            run = self.path("run").display(),
            number = self.number,
            bridge = self.bridge(),
            subnet = self.subnet(),
            more = self.wish.config,
        ))
    }

    /// A path inside the instance's directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The unix socket of the API.
    pub fn socket(&self) -> PathBuf {
        self.path("run/hythe.sock")
    }

    /// The name of the bridge.
    pub fn bridge(&self) -> String {
        format!("hythe-t{}", self.number)
    }

    /// The network of the tasks.
    pub fn subnet(&self) -> String {
        format!("10.{}.0.0/16", 100 + self.number % 100)
    }

    /// The bridge's address, which is the host's in the tasks' network.
    pub fn gateway(&self) -> String {
        format!("10.{}.0.1", 100 + self.number % 100)
    }

    /// The name of the nftables table.
    pub fn table(&self) -> String {
        format!("hythe-test-{}", self.number)
    }

    /// The control groups of the instance.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Starts the daemon and waits until it says that it is ready.
    #[track_caller]
    pub fn start_daemon(&mut self) {
        let env = self.wish.env.clone();
        let mut daemon = self.spawn_daemon(&env);
        if let Err(why) = daemon.ready() {
            panic!("{why}\n{}", self.log());
        }
        self.daemon = Some(daemon.child.take().expect("a daemon that is ready runs"));
    }

    /// Starts the daemon with more variables and does not wait for it; a crash test expects its death.
    #[track_caller]
    pub fn spawn_daemon(&mut self, env: &[(String, String)]) -> Starting {
        assert!(self.daemon.is_none(), "the daemon runs already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("daemon.log"))
            .expect("the daemon's log file");
        let notify_path = self.path("notify");
        let _ = fs::remove_file(&notify_path);
        let notify = UnixDatagram::bind(&notify_path).expect("the readiness socket");
        let (key, value) = self.mark.split_once('=').expect("the mark is a variable");
        let child = Command::new(env!("CARGO_BIN_EXE_hythe"))
            .args(["daemon", "--config"])
            .arg(self.path("hythe.toml"))
            .env(key, value)
            .env("NOTIFY_SOCKET", &notify_path)
            .env("HYTHE_LOG", std::env::var("HYTHE_LOG").unwrap_or_else(|_| "debug".to_owned()))
            .envs(env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle to the log"))
            .stderr(log)
            .spawn()
            .expect("hythe runs");
        Starting { child: Some(child), notify }
    }

    /// The daemon's pid.
    pub fn daemon_pid(&self) -> Pid {
        Pid::from_raw(self.daemon.as_ref().expect("the daemon runs").id().cast_signed())
    }

    /// Kills the daemon with SIGKILL, as a crash would.
    pub fn kill_daemon(&mut self) {
        let mut daemon = self.daemon.take().expect("the daemon runs");
        daemon.kill().expect("a running daemon can be killed");
        daemon.wait().expect("a killed daemon is reaped");
    }

    /// Ends the daemon with SIGTERM; its tasks stay.
    #[track_caller]
    pub fn stop_daemon(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("the daemon runs");
        kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM)
            .expect("a running daemon takes signals");
        wait_for("the daemon's end after SIGTERM", PATIENCE, || {
            daemon.try_wait().expect("the daemon is our child")
        })
    }

    /// Runs `hythe` with these arguments as a client of this instance.
    pub fn cli(&self, args: &[&str]) -> Said {
        self.command(args).output().expect("hythe runs").into()
    }

    /// The command behind [`Self::cli`], for tests that need its pipes.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hythe"));
        command.arg("--socket").arg(self.socket()).args(args).env_remove("HYTHE_SOCKET").stdin(Stdio::null());
        command
    }

    /// Calls one operation of the ECS API.
    pub fn call(&self, operation: &str, input: Value) -> Result<Value, ClientError> {
        self.runtime.block_on(self.client.call(operation, input))
    }

    /// Calls one operation of the ECS API that succeeds.
    #[track_caller]
    pub fn api(&self, operation: &str, input: Value) -> Value {
        match self.call(operation, input) {
            Ok(answer) => answer,
            Err(error) => panic!("{operation}: {error:?}\n{}", self.log()),
        }
    }

    /// Asks one of hythe's own addresses, such as `/hythe/v1/images`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.runtime.block_on(self.client.get(path)).unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// Processes of the instance other than the daemon: shims and containers.
    pub fn processes(&self) -> Vec<i32> {
        let daemon: Vec<i32> = self.daemon.iter().map(|child| child.id().cast_signed()).collect();
        self.before.processes(&daemon)
    }

    /// The cgroups of the instance that are there, in every hierarchy, the deepest first.
    pub fn all_groups(&self) -> Vec<PathBuf> {
        self.before.cgroups()
    }

    /// What stays on the host though no task should run: a line each.
    pub fn left_by_tasks(&self) -> Vec<String> {
        let lasting = self.groups.lasting();
        let mut left: Vec<String> =
            self.processes().into_iter().map(|pid| format!("process {pid}")).collect();
        left.extend(self.before.mounts().into_iter().map(|path| format!("mount {}", path.display())));
        left.extend(
            self.before
                .cgroups()
                .into_iter()
                .filter(|path| !lasting.contains(path))
                .map(|path| format!("cgroup {}", path.display())),
        );
        let links = leaks::links_on(&self.bridge());
        left.extend(links.into_iter().map(|name| format!("link {name}")));
        left.extend(
            entries(&self.path("state/tasks")).into_iter().map(|name| format!("directory tasks/{name}")),
        );
        left
    }

    /// Stops every task and service and waits until nothing of them is left.
    pub fn stop_everything(&self) -> Result<(), ClientError> {
        let clusters = self.call("ListClusters", json!({}))?;
        for cluster in strings(&clusters["clusterArns"]) {
            let services = self.call("ListServices", json!({ "cluster": cluster, "maxResults": 100 }))?;
            for service in strings(&services["serviceArns"]) {
                self.call("DeleteService", json!({ "cluster": cluster, "service": service, "force": true }))?;
            }
            let tasks = self.call("ListTasks", json!({ "cluster": cluster }))?;
            for task in strings(&tasks["taskArns"]) {
                self.call(
                    "StopTask",
                    json!({ "cluster": cluster, "task": task, "reason": "the test is over" }),
                )?;
            }
        }
        Ok(())
    }

    /// Ends what is left by force, so that the next test starts clean.
    fn clean_up(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        for pid in self.before.processes(&[]) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let begin = std::time::Instant::now();
        while !self.before.processes(&[]).is_empty() && begin.elapsed() < Duration::from_secs(10) {
            thread::park_timeout(Duration::from_millis(20));
        }
        for mount in self.before.mounts() {
            let _ = umount2(&mount, MntFlags::MNT_DETACH);
        }
        for cgroup in self.before.cgroups() {
            let _ = fs::remove_dir(cgroup);
        }
        // A directory that something is mounted on cannot be removed.
        if let Some(disk) = self.disk.take() {
            let _ = disk.give_back();
        }
    }

    /// The orderly end: what it leaves, a line each.
    fn finish(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        if self.daemon.is_some() {
            if let Err(error) = self.stop_everything() {
                left.push(format!("the last stop was refused: {error:?}"));
            }
            let begin = std::time::Instant::now();
            while !self.left_by_tasks().is_empty() && begin.elapsed() < scaled(PATIENCE) {
                thread::park_timeout(Duration::from_millis(20));
            }
            left.extend(self.left_by_tasks());
            let end = self.stop_daemon();
            if !end.success() {
                left.push(format!("the daemon ended with {end}"));
            }
        }
        // The parent and the shims' group belong to the instance, not to a task: they stay, empty.
        if self.groups.driver == Driver::Systemd {
            let _ = Command::new("systemctl").args(["stop", &self.groups.top()]).status();
        }
        for cgroup in self.before.cgroups() {
            let _ = fs::remove_dir(cgroup);
        }
        if let Some(Err(why)) = self.disk.take().map(Disk::give_back) {
            left.push(format!("the test's disk is in use: {why}"));
        }
        left.extend(self.before.left());
        left.extend(leaks::files_in(&self.path("run")));
        left
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the daemon's log\n{}", self.log());
            self.clean_up();
            return;
        }
        let mut left = self.finish();
        let log = self.log();
        left.extend(leaks::not_removed(self.directory.path()));
        self.clean_up();
        assert!(left.is_empty(), "left behind:\n  {}\n--- the daemon's log\n{log}", left.join("\n  "));
    }
}

/// A daemon that has been started and has not said that it is ready.
pub struct Starting {
    /// The process.
    pub child: Option<Child>,
    notify: UnixDatagram,
}

impl Starting {
    /// Waits for the word that the daemon is ready, or says why it will not come.
    pub fn ready(&mut self) -> Result<(), String> {
        self.notify.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout can be set");
        let begin = std::time::Instant::now();
        let mut buffer = [0; 4096];
        loop {
            if let Ok(length) = self.notify.recv(&mut buffer)
                && buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
            {
                return Ok(());
            }
            let child = self.child.as_mut().expect("the process is taken only when it is ready");
            if let Some(status) = child.try_wait().expect("the daemon is our child") {
                return Err(format!("the daemon ended with {status} before it was ready"));
            }
            if begin.elapsed() > scaled(PATIENCE) {
                return Err(format!("the daemon was not ready after {PATIENCE:?}"));
            }
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The strings of a JSON list.
pub fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The names in a directory; none when it is not there.
pub fn entries(directory: &Path) -> Vec<String> {
    let Ok(found) = fs::read_dir(directory) else { return Vec::new() };
    found.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}
