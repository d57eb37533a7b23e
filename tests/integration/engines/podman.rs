//! podman as Debian has it, with storage and records of the test's own.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use super::{Told, archive, remove_groups, runtime};
use crate::harness::{PATIENCE, require, skipped, wait_for};

/// What the engine sets for every container, which a host without CAP_SYS_RESOURCE could not raise.
const LIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];

/// A script that stays, and ends with 4 when asked.
const STAYS: &str = "echo up; trap 'exit 4' TERM; while :; do sleep 0.05; done";

struct Podman {
    place: TempDir,
    runtime: PathBuf,
    group: String,
}

impl Podman {
    /// An engine with the image `box`; none where it does not start.
    fn new() -> Option<Self> {
        let place = tempfile::Builder::new().prefix("hythe-podman-").tempdir().unwrap();
        let group = format!("hythe-podman-{}", std::process::id());
        let podman = Self { runtime: runtime(place.path()), place, group };
        let image = archive(podman.place.path());
        let imported = podman.run(&["import", image.to_str().unwrap(), "box:latest"]);
        if imported.code != 0 {
            skipped(&format!("podman does not start here: {}", imported.err));
            return None;
        }
        Some(podman)
    }

    fn run(&self, args: &[&str]) -> Told {
        let at = |name: &str| self.place.path().join(name);
        let mut command = Command::new("podman");
        command.arg("--root").arg(at("root")).arg("--runroot").arg(at("run")).arg("--tmpdir").arg(at("tmp"));
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
        command.arg("--runtime").arg(&self.runtime).args(args).output().unwrap().into()
    }

    /// `podman run` with what every container here has.
    fn runs(&self, options: &[&str], words: &[&str]) -> Told {
        let group = ["--cgroup-parent", &self.group];
        self.run(&[&["run"], &LIMITS[..], &group, options, &["box"], words].concat())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.run(&["pod", "rm", "-fa", "-t", "0"]);
        let _ = self.run(&["rm", "-fa", "-t", "0"]);
        // It keeps its own mounts, of its storage among them.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let mut own: Vec<_> =
            places.filter(|place| place.starts_with(self.place.path().to_str().unwrap())).collect();
        own.sort_unstable();
        for place in own.into_iter().rev() {
            let _ = Command::new("umount").arg(place).status();
        }
        if std::thread::panicking() {
            remove_groups(&self.group);
        } else {
            // Who watched a container ends a moment after it.
            wait_for("its groups to go", PATIENCE, || remove_groups(&self.group).is_empty().then_some(()));
        }
        remove_groups("libpod_parent"); // which another test may use
    }
}

#[test]
fn podman_runs_a_container_through_its_life() {
    require!(root, busybox, podman);
    let Some(podman) = Podman::new() else { return };
    podman.runs(&["-d", "--name", "app", "--network", "none"], &["sh", "-c", STAYS]).ok();
    wait_for("its output", PATIENCE, || (podman.run(&["logs", "app"]).ok() == "up").then_some(()));
    let executed = podman.run(&["exec", "app", "sh", "-c", "echo inside; exit 6"]);
    assert_eq!((executed.out.as_str(), executed.code), ("inside", 6), "{executed:?}");
    podman.run(&["pause", "app"]).ok();
    assert_eq!(podman.run(&["inspect", "app", "--format", "{{.State.Status}}"]).ok(), "paused");
    podman.run(&["unpause", "app"]).ok();
    assert!(podman.run(&["top", "app"]).ok().contains("sleep 0.05"));
    podman.run(&["stop", "app"]).ok();
    assert_eq!(podman.run(&["inspect", "app", "--format", "{{.State.ExitCode}}"]).ok(), "4");
    podman.run(&["rm", "app"]).ok();
    assert_eq!(podman.run(&["ps", "-aq"]).ok(), "");
}

#[test]
fn containers_of_a_pod_share_a_network() {
    require!(root, busybox, podman);
    let Some(podman) = Podman::new() else { return };
    let command = "sleep 1000";
    podman
        .run(&[
            "pod",
            "create",
            "--name",
            "pod",
            "--share",
            "net,ipc,uts",
            "--network",
            "none",
            "--cgroup-parent",
            &podman.group,
            "--infra-image",
            "box",
            "--infra-command",
            command,
        ])
        .ok();
    podman
        .run(
            &[&["run", "-d", "--pod", "pod", "--name", "one"], &LIMITS[..], &["box", "sh", "-c", STAYS]]
                .concat(),
        )
        .ok();
    let look = "hostname; for kind in net ipc pid; do readlink /proc/self/ns/$kind; done";
    let two = podman
        .run(&[&["run", "--rm", "--pod", "pod"], &LIMITS[..], &["box", "sh", "-c", look]].concat())
        .ok();
    let one = podman.run(&["exec", "one", "sh", "-c", look]).ok();
    let (one, two): (Vec<&str>, Vec<&str>) = (one.lines().collect(), two.lines().collect());
    assert_eq!(one[0], "pod");
    assert_eq!(one[..3], two[..3], "name, network and queues");
    assert_ne!(one[3], two[3], "processes are their own");
}

#[test]
fn podmans_other_flags_reach_the_container() {
    require!(root, busybox, podman);
    let Some(podman) = Podman::new() else { return };
    let alone = ["--rm", "--network", "none"];
    let told = podman.runs(&alone, &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((told.out.as_str(), told.err.as_str(), told.code), ("out", "err", 7), "{told:?}");
    assert_eq!(podman.runs(&alone, &["nosuch"]).code, 127);
    assert_eq!(podman.runs(&[&alone[..], &["-t"]].concat(), &["tty"]).ok(), "/dev/pts/0");
    assert_eq!(podman.runs(&[&alone[..], &["--read-only"]].concat(), &["touch", "/x"]).code, 1);
    assert_eq!(podman.runs(&[&alone[..], &["--user", "7:8"]].concat(), &["id", "-u"]).ok(), "7");
    let mapped = [&alone[..], &["--uidmap", "0:200000:65536", "--gidmap", "0:200000:65536"]].concat();
    let map = podman.runs(&mapped, &["cat", "/proc/self/uid_map"]).ok();
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "200000", "65536"]);

    let check = ["--health-cmd", "true", "--health-interval", "disable"];
    let options = [&["-d", "--name", "app", "--network", "none"], &check[..]].concat();
    podman.runs(&options, &["sh", "-c", STAYS]).ok();
    wait_for("its output", PATIENCE, || (podman.run(&["logs", "app"]).ok() == "up").then_some(()));
    podman.run(&["healthcheck", "run", "app"]).ok();
    let executed = podman.run(&["exec", "-t", "app", "tty"]);
    assert!(executed.code == 0 && executed.out.starts_with("/dev/pts/"), "{executed:?}");
    podman.run(&["kill", "--signal", "TERM", "app"]).ok();
    podman.run(&["wait", "app"]).ok();
    podman.run(&["restart", "app"]).ok();
    assert_eq!(podman.run(&["inspect", "app", "--format", "{{.State.Status}}"]).ok(), "running");
    podman.run(&["rm", "-f", "-t", "0", "app"]).ok();
}
