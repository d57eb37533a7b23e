//! dockerd as Debian has it, with `hythe-oci` as an entry of its runtimes, in namespaces and directories of the test's own.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{Told, archive, remove_groups, runtime};
use crate::harness::{PATIENCE, require, scaled, skipped, wait_for};

/// What every container has: limits that this host can raise, and no network.
const USUAL: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--network", "none"];

/// A script that stays, and ends with 4 when asked.
const STAYS: &str = "echo up; trap 'exit 4' TERM; while :; do sleep 0.05; done";

/// How long the engine has to answer for the first time.
const START: Duration = Duration::from_secs(40);

struct Docker {
    place: TempDir,
    group: String,
    engine: Child,
}

impl Docker {
    /// An engine with the image `box`; none where it does not start.
    fn new() -> Option<Self> {
        let place = tempfile::Builder::new().prefix("hythe-docker-").tempdir().unwrap();
        let group = format!("hythe-docker-{}", std::process::id());
        let at = |name: &str| place.path().join(name);
        fs::write(at("daemon.json"), "{}").unwrap();
        let entry = format!("hythe={}", runtime(place.path()).display());
        let log = File::create(at("log")).unwrap();
        // Its own network, so that no rule of the host's is touched, and its own mounts, which go with it.
        let mut engine = Command::new("unshare");
        engine.args(["--net", "--mount", "--propagation", "private", "dockerd", "--config-file"]);
        engine.arg(at("daemon.json")).arg("--data-root").arg(at("root")).arg("--exec-root").arg(at("exec"));
        engine.arg("--pidfile").arg(at("pid")).arg("-H").arg(format!("unix://{}", at("socket").display()));
        engine.args(["--bridge", "none", "--iptables=false", "--ip6tables=false", "--storage-driver", "vfs"]);
        engine.arg("--cgroup-parent").arg(format!("/{group}")).arg("--add-runtime").arg(entry);
        engine.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let engine = engine.spawn().unwrap();
        let mut docker = Self { place, group, engine };
        let begun = std::time::Instant::now();
        while docker.run(&["version"]).code != 0 {
            let is_over = docker.engine.try_wait().unwrap().is_some();
            if is_over || begun.elapsed() > scaled(START) {
                let log = fs::read_to_string(docker.place.path().join("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default().to_owned();
                skipped(&format!("dockerd does not start here: {last}"));
                return None;
            }
            std::thread::yield_now();
        }
        let image = archive(docker.place.path());
        docker.run(&["import", image.to_str().unwrap(), "box"]).ok();
        Some(docker)
    }

    fn run(&self, args: &[&str]) -> Told {
        let socket = format!("unix://{}", self.place.path().join("socket").display());
        // Settings of whoever runs the tests are not the test's.
        let home = self.place.path().join("home");
        Command::new("docker").env("HOME", home).arg("-H").arg(socket).args(args).output().unwrap().into()
    }

    /// `docker run` with what every container here has.
    fn runs(&self, options: &[&str], words: &[&str]) -> Told {
        let ours = ["--runtime", "hythe"];
        self.run(&[&["run"], &USUAL[..], &ours, options, &["box"], words].concat())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let all = self.run(&["ps", "-aq"]).out;
        let ids: Vec<&str> = all.lines().collect();
        if !ids.is_empty() {
            let _ = self.run(&[&["rm", "-f"], &ids[..]].concat());
        }
        let _ = kill(Pid::from_raw(self.engine.id().cast_signed()), Signal::SIGTERM);
        let _ = self.engine.wait();
        remove_groups(&self.group);
    }
}

fn has_process(place: &Path) -> bool {
    let name = place.display().to_string();
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&name)
    })
}

#[test]
fn docker_runs_containers_through_their_life() {
    require!(root, busybox, docker, unshare);
    let Some(docker) = Docker::new() else { return };
    let told = docker.runs(&["--rm"], &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((told.out.as_str(), told.err.as_str(), told.code), ("out", "err", 7), "{told:?}");
    let missing = docker.runs(&["--rm"], &["nosuch"]);
    assert!(missing.code == 127 && missing.err.contains("executable file not found in $PATH"), "{missing:?}");
    assert_eq!(docker.runs(&["--rm"], &["/image.tar/none"]).code, 127);
    assert_eq!(docker.runs(&["--rm", "--read-only"], &["touch", "/x"]).code, 1);
    assert_eq!(docker.runs(&["--rm", "-t"], &["tty"]).ok(), "/dev/pts/0");
    assert_eq!(docker.runs(&["--rm", "--user", "7:8"], &["id", "-u"]).ok(), "7");

    docker.runs(&["-d", "--name", "app"], &["sh", "-c", STAYS]).ok();
    wait_for("its output", PATIENCE, || (docker.run(&["logs", "app"]).ok() == "up").then_some(()));
    let executed = docker.run(&["exec", "app", "sh", "-c", "echo inside; exit 6"]);
    assert_eq!(
        (executed.out.as_str(), executed.err.as_str(), executed.code),
        ("inside", "", 6),
        "{executed:?}"
    );
    assert!(docker.run(&["top", "app"]).ok().contains("sleep 0.05"));
    docker.run(&["pause", "app"]).ok();
    assert_eq!(docker.run(&["inspect", "app", "--format", "{{.State.Status}}"]).ok(), "paused");
    docker.run(&["unpause", "app"]).ok();
    docker.run(&["update", "--memory", "64m", "--memory-swap", "64m", "app"]).ok();
    docker.run(&["stop", "app"]).ok();
    assert_eq!(docker.run(&["inspect", "app", "--format", "{{.State.ExitCode}}"]).ok(), "4");
    docker.run(&["rm", "app"]).ok();

    docker.runs(&["-d", "--name", "again", "--restart", "on-failure:2"], &["false"]).ok();
    wait_for("two restarts", PATIENCE, || {
        let state = docker.run(&["inspect", "again", "--format", "{{.RestartCount}} {{.State.Status}}"]).ok();
        (state == "2 exited").then_some(())
    });
    let check = ["--health-cmd", "true", "--health-interval", "1s"];
    docker.runs(&[&["-d", "--name", "well"], &check[..]].concat(), &["sh", "-c", STAYS]).ok();
    wait_for("health", PATIENCE, || {
        let state = docker.run(&["inspect", "well", "--format", "{{.State.Health.Status}}"]).ok();
        (state == "healthy").then_some(())
    });
    let place = docker.place.path().to_owned();
    drop(docker);
    wait_for("no process of the engine", PATIENCE, || (!has_process(&place)).then_some(()));
}
