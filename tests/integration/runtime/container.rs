//! A bundle with a busybox root filesystem, run with records, control group and directory of its own.
//!
//! Dropping it removes the container and then proves that neither process, mount, control group nor record is left.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{PATIENCE, groups::Driver, leaks::Before, wait_for};

/// The programs that tests run inside.
const PROGRAMS: [&str; 32] = [
    "cat", "chmod", "chown", "date", "dd", "echo", "env", "false", "grep", "head", "hostname", "id", "kill",
    "ls", "mkdir", "mknod", "mount", "stty", "tty", "pwd", "readlink", "seq", "sh", "sleep", "stat", "tail",
    "touch", "true", "umount", "uname", "ionice", "wc",
];

static NEXT: AtomicU32 = AtomicU32::new(0);

pub(super) struct Container {
    dir: TempDir,
    before: Before,
    driver: Driver,
    pub id: String,
    /// The group above the container's own: a name, with systemd that of a slice.
    pub cgroup: String,
    pub config: Value,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub out: String,
    pub err: String,
    pub code: i32,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            out: String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
            err: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
            code: output.status.code().unwrap_or(-1),
        }
    }
}

impl Container {
    /// A bundle with the specification that `hythe oci spec` writes.
    pub(super) fn new() -> Self {
        Self::of(Driver::usual())
    }

    /// The same, whose control group is made by `driver`.
    pub(super) fn of(driver: Driver) -> Self {
        let dir = tempfile::Builder::new().prefix("hythe-runtime-").tempdir().unwrap();
        let bin = dir.path().join("bundle/rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(dir.path().join("bundle/rootfs/tmp")).unwrap();
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for program in PROGRAMS {
            std::os::unix::fs::symlink("busybox", bin.join(program)).unwrap();
        }
        let unique = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let cgroup = match driver {
            Driver::Files => format!("hythe-runtime-{unique}"),
            // A dash would be one level down.
            Driver::Systemd => format!("hythe_runtime_{}.slice", unique.replace('-', "_")),
        };
        let before = Before::new(&format!("HYTHE_RUNTIME={unique}"), dir.path(), None, &cgroup);
        let id = format!("c{unique}");
        let place = match driver {
            Driver::Files => format!("/{cgroup}/box"),
            Driver::Systemd => format!("{cgroup}:box:{id}"),
        };
        let mut container = Self { before, driver, id, cgroup, config: Value::Null, dir };
        assert_eq!(container.oci(&["spec", "--bundle", container.bundle().to_str().unwrap()]).code, 0);
        let text = fs::read(container.bundle().join("config.json")).unwrap();
        container.config = serde_json::from_slice(&text).unwrap();
        container.config["linux"]["cgroupsPath"] = json!(place);
        let env = container.config["process"]["env"].as_array_mut().unwrap();
        env.push(json!(format!("HYTHE_RUNTIME={unique}")));
        container
    }

    /// The container's own group, from the root of a hierarchy.
    pub(super) fn group(&self) -> PathBuf {
        Path::new(&self.cgroup).join(match self.driver {
            Driver::Files => "box".to_owned(),
            Driver::Systemd => format!("box-{}.scope", self.id),
        })
    }

    pub(super) fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    pub(super) fn rootfs(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    /// A directory of the host beside the bundle.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command `hythe oci` with this container's records.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hythe"));
        command.arg("oci").arg("--root").arg(self.dir.path().join("records")).stdin(Stdio::null());
        if self.driver == Driver::Systemd {
            command.arg("--systemd-cgroup");
        }
        command.args(args);
        command
    }

    pub(super) fn oci(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// Runs a shell's `script` in namespaces of its own, with this container's `hythe oci` as `$@`.
    pub(super) fn unshared(&self, kinds: &[&str], script: &str) -> Ran {
        self.save();
        let oci = self.command(&[]);
        let mut command = Command::new("unshare");
        command.args(kinds).args(["sh", "-ec", script, "sh"]).arg(oci.get_program()).args(oci.get_args());
        command.env("BUNDLE", self.bundle()).env("ID", &self.id).output().unwrap().into()
    }

    /// Makes the container run `script` in a shell.
    pub(super) fn script(&mut self, script: &str) -> &mut Self {
        self.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        self
    }

    pub(super) fn save(&self) {
        fs::write(self.bundle().join("config.json"), self.config.to_string()).unwrap();
    }

    fn create_args<'a>(&'a self, verb: &'a str, bundle: &'a str) -> Vec<&'a str> {
        vec![verb, "--bundle", bundle, &self.id]
    }

    /// Runs the container to its end.
    pub(super) fn run(&self) -> Ran {
        self.save();
        let bundle = self.bundle();
        self.oci(&self.create_args("run", bundle.to_str().unwrap()))
    }

    /// Runs `script` to its end and returns what it printed; it must succeed.
    #[track_caller]
    pub(super) fn says(&mut self, script: &str) -> String {
        let ran = self.script(script).run();
        assert_eq!((ran.err.as_str(), ran.code), ("", 0), "{script}: {ran:?}");
        ran.out
    }

    /// Creates the container; its output goes nowhere, as it outlives the command.
    pub(super) fn create(&self) -> Ran {
        self.save();
        let bundle = self.bundle();
        let errors = self.path("errors");
        let status = self
            .command(&self.create_args("create", bundle.to_str().unwrap()))
            .stdout(fs::File::create(self.path("output")).unwrap())
            .stderr(fs::File::create(&errors).unwrap())
            .status()
            .unwrap();
        let err = fs::read_to_string(errors).unwrap().trim_end().to_owned();
        Ran { out: String::new(), err, code: status.code().unwrap_or(-1) }
    }

    /// Creates and starts the container.
    #[track_caller]
    pub(super) fn start(&self) {
        let created = self.create();
        assert_eq!(created.code, 0, "{created:?}");
        let started = self.oci(&["start", &self.id]);
        assert_eq!(started.code, 0, "{started:?}");
    }

    /// What the program of a created container has printed so far.
    pub(super) fn output(&self) -> String {
        fs::read_to_string(self.path("output")).unwrap()
    }

    pub(super) fn state(&self) -> Value {
        let ran = self.oci(&["state", &self.id]);
        assert_eq!(ran.code, 0, "{ran:?}");
        serde_json::from_str(&ran.out).unwrap()
    }

    pub(super) fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(super) fn wait_status(&self, wanted: &str) {
        wait_for(wanted, PATIENCE, || (self.status() == wanted).then_some(()));
    }

    pub(super) fn pid(&self) -> i64 {
        self.state()["pid"].as_i64().unwrap()
    }

    /// What is left of the container, apart from the group above it, which the caller of a runtime owns.
    pub(super) fn left(&self) -> Vec<String> {
        let above = |line: &String| line.starts_with("cgroup ") && line.ends_with(&self.cgroup);
        self.before.left().into_iter().filter(|line| !above(line)).collect()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let deleted = self.oci(&["delete", "--force", &self.id]);
        let left = self.left();
        if self.driver == Driver::Systemd {
            let _ = Command::new("systemctl").args(["stop", &self.cgroup]).status();
        }
        for cgroup in self.before.cgroups() {
            let _ = fs::remove_dir(cgroup);
        }
        let records = fs::read_dir(self.dir.path().join("records")).map_or(0, Iterator::count);
        if !std::thread::panicking() {
            assert_eq!(deleted.code, 0, "{deleted:?}");
            assert!(left.is_empty(), "left behind: {left:#?}");
            assert_eq!(records, 0, "records left behind");
        }
    }
}
