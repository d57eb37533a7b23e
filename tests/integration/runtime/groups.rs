//! Control groups below a container's own, and processes that have been moved out of them.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use hythe::kernel::cgroup::Layout;
use serde_json::json;

use super::container::{Container, Ran};
use crate::harness::{PATIENCE, require, skipped, wait_for};

/// The container's directory in the hierarchy of version 2.
fn unified(container: &Container) -> Option<PathBuf> {
    let mount = Layout::detect().unwrap().unified().map(|unified| unified.mount.clone());
    if mount.is_none() {
        skipped("no version 2 control groups are mounted");
    }
    mount.map(|mount| mount.join(container.group()))
}

fn all_dirs(container: &Container) -> Vec<PathBuf> {
    let layout = Layout::detect().unwrap();
    let mounts = layout.hierarchies().iter().map(|one| &one.mount);
    mounts.chain(layout.unified().map(|one| &one.mount)).map(|mount| mount.join(container.group())).collect()
}

fn sleeps() -> Container {
    let mut container = Container::new();
    container.script("sleep 1000");
    container.start();
    container
}

#[test]
fn a_later_process_may_go_into_a_group_below() {
    require!(root, busybox);
    let container = sleeps();
    for dir in all_dirs(&container) {
        fs::create_dir_all(dir.join("deep/er")).unwrap();
        for (file, above) in [("cpuset.cpus", "cpuset.cpus"), ("cpuset.mems", "cpuset.mems")] {
            for below in ["deep", "deep/er"] {
                if dir.join(below).join(file).exists() && !dir.ends_with("unified") {
                    let value = fs::read_to_string(dir.join(above)).unwrap_or_default();
                    let _ = fs::write(dir.join(below).join(file), value.trim());
                }
            }
        }
    }
    let look =
        |place: &str| container.oci(&["exec", "--cgroup", place, &container.id, "cat", "/proc/self/cgroup"]);
    let ran = look("deep/er");
    assert!(ran.code == 0 && ran.out.lines().all(|line| line.ends_with(":/deep/er")), "{ran:?}");
    let ran = look("/");
    assert!(ran.code == 0 && ran.out.lines().all(|line| line.ends_with(":/")), "{ran:?}");
    if let Some(one) = Layout::detect().unwrap().hierarchies().iter().find(|one| one.has("memory")) {
        let ran = look("memory:/deep");
        assert_eq!(ran.code, 0, "{ran:?}");
        for line in ran.out.lines() {
            let is_memory = line.split(':').nth(1) == Some(one.controllers.join(",").as_str());
            assert!(line.ends_with(if is_memory { ":/deep" } else { ":/" }), "{ran:?}");
        }
    }
    for (bad, word) in
        [("nowhere", "there is no control group"), ("../..", "is not a path"), ("fly:/deep", "is not a path")]
    {
        let ran = look(bad);
        assert!(ran.code == 255 && ran.err.contains(word), "{bad}: {ran:?}");
    }
}

#[test]
fn a_later_process_goes_where_the_first_is_if_the_group_takes_none() {
    require!(root, busybox, files_driver);
    let container = sleeps();
    let Some(dir) = unified(&container) else { return };
    let offered = fs::read_to_string(dir.join("cgroup.controllers")).unwrap();
    let Some(controller) = offered.split_whitespace().next() else {
        skipped("version 2 offers no controller here");
        return;
    };
    fs::create_dir(dir.join("leaf")).unwrap();
    fs::write(dir.join("leaf/cgroup.procs"), container.pid().to_string()).unwrap();
    fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
    let ran = container.oci(&["exec", &container.id, "grep", "^0::", "/proc/self/cgroup"]);
    assert_eq!((ran.out.as_str(), ran.code), ("0::/leaf", 0), "{ran:?}");
}

/// Deletes the container by force, which must not take long.
#[track_caller]
fn ends_soon(container: &Container) {
    let begin = Instant::now();
    let deleted = container.oci(&["delete", "--force", &container.id]);
    assert_eq!((deleted.err.as_str(), deleted.code), ("", 0));
    let took = begin.elapsed();
    assert!(took < crate::harness::scaled(Duration::from_secs(5)), "{took:?}");
}

/// A frozen group of version 1 beside the container's; thawed and removed in the end.
struct Frozen(PathBuf);

impl Frozen {
    fn beside(container: &Container) -> Option<Self> {
        let layout = Layout::detect().unwrap();
        let Some(freezer) = layout.hierarchies().iter().find(|one| one.has("freezer")) else {
            skipped("no version 1 freezer is mounted");
            return None;
        };
        let dir = freezer.mount.join(format!("{}-frozen", container.cgroup));
        fs::create_dir(&dir).unwrap();
        Some(Self(dir))
    }

    fn take(&self, pid: &str) {
        fs::write(self.0.join("cgroup.procs"), pid).unwrap();
        self.freeze();
    }

    fn freeze(&self) {
        fs::write(self.0.join("freezer.state"), "FROZEN").unwrap();
        wait_for("a frozen group", PATIENCE, || {
            (fs::read_to_string(self.0.join("freezer.state")).unwrap() == "FROZEN\n").then_some(())
        });
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("freezer.state"), "THAWED");
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_first_process_that_is_frozen_elsewhere_ends_at_once() {
    require!(root, busybox, files_driver);
    let container = sleeps();
    let Some(frozen) = Frozen::beside(&container) else { return };
    // A stranger in the group stays as it is.
    let mut stranger = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(frozen.0.join("cgroup.procs"), stranger.id().to_string()).unwrap();
    frozen.take(&container.pid().to_string());
    ends_soon(&container);
    assert_eq!(fs::read_to_string(frozen.0.join("cgroup.procs")).unwrap().trim(), stranger.id().to_string());
    assert_eq!(fs::read_to_string(frozen.0.join("freezer.state")).unwrap(), "FROZEN\n");
    fs::write(frozen.0.join("freezer.state"), "THAWED").unwrap();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_process_that_is_frozen_and_in_none_of_the_groups_does_not_hold_the_container() {
    require!(root, busybox, files_driver);
    let mut container = Container::new();
    container.script("sleep 4711 & sleep 1000; true");
    container.start();
    let Some(frozen) = Frozen::beside(&container) else { return };
    let child = wait_for("the second process", PATIENCE, || {
        let pids =
            fs::read_to_string(frozen.0.parent().unwrap().join(container.group()).join("cgroup.procs"));
        let is_it = |pid: &&str| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words == b"sleep\x004711\0")
        };
        pids.unwrap().lines().find(is_it).map(str::to_owned)
    });
    let layout = Layout::detect().unwrap();
    let mounts = layout.hierarchies().iter().map(|one| &one.mount);
    for mount in mounts.chain(layout.unified().map(|one| &one.mount)) {
        fs::write(mount.join("cgroup.procs"), &child).unwrap();
    }
    frozen.take(&child);
    ends_soon(&container);
    assert!(!PathBuf::from(format!("/proc/{child}")).exists());
}

#[test]
fn a_container_whose_group_above_is_frozen_ends_at_once() {
    require!(root, busybox, files_driver);
    let container = sleeps();
    let layout = Layout::detect().unwrap();
    let Some(freezer) = layout.hierarchies().iter().find(|one| one.has("freezer")) else {
        skipped("no version 1 freezer is mounted");
        return;
    };
    let above = freezer.mount.join(&container.cgroup);
    fs::write(above.join("freezer.state"), "FROZEN").unwrap();
    ends_soon(&container);
    fs::write(above.join("freezer.state"), "THAWED").unwrap();
}

#[test]
fn a_host_of_version_2_has_groups_below_and_counters_as_well() {
    require!(root, busybox, unshare, files_driver);
    let mut container = Container::new();
    let Some(dir) = unified(&container) else { return };
    container.script("sleep 1000");
    let hide = "busybox awk '$3 == \"cgroup\" {print $2}' /proc/mounts | busybox xargs -r umount;";
    let script = format!(
        "{hide} \"$@\" create --bundle \"$BUNDLE\" \"$ID\" </dev/null >/dev/null 2>&1; \"$@\" start \"$ID\"; \
         mkdir {0}/below; \"$@\" exec --cgroup below \"$ID\" grep ^0:: /proc/self/cgroup; \
         \"$@\" exec --cgroup memory:below \"$ID\" true || echo refused; \
         \"$@\" events --stats \"$ID\"; \"$@\" delete --force \"$ID\"",
        dir.display()
    );
    let ran = container.unshared(&["--mount", "--propagation", "private"], &script);
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[..2], ["0::/below", "refused"], "{ran:?}");
    let told: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
    for member in ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb"] {
        assert!(told["data"][member].is_object(), "{member} in {told:#}");
    }
    assert!(ran.err.contains("memory:/below"), "{ran:?}");
}

/// Makes every control group unwritable, as it is for others than root.
const NO_GROUPS: &str = "busybox awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts | while read -r place; do mount -o remount,bind,ro $place; done;";

#[test]
fn who_may_make_no_control_groups_can_do_without() {
    require!(root, busybox, unshare, files_driver);
    let mut container = Container::new();
    container.config["linux"].as_object_mut().unwrap().remove("cgroupsPath");
    container.script("echo ran; sleep 1000");
    let mounts = ["--mount", "--propagation", "private"];
    let run = |flag: &str, container: &Container| {
        let script = format!(
            "{NO_GROUPS} \"$@\" --rootless {flag} run --detach --bundle \"$BUNDLE\" \"$ID\" </dev/null >\"$BUNDLE/out\" 2>\"$BUNDLE/err\""
        );
        // Into a file, because a container that stays keeps the streams of whoever began it.
        let ran = container.unshared(&mounts, &script);
        Ran { err: fs::read_to_string(container.bundle().join("err")).unwrap().trim_end().to_owned(), ..ran }
    };
    for flag in ["false", "auto"] {
        let ran = run(flag, &container);
        assert!(ran.code == 1 && ran.err.contains("make control group"), "{flag}: {ran:?}");
        assert!(ran.err.contains("Read-only file system"), "{flag}: {ran:?}");
    }
    let ran = run("true", &container);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("warning: the container has no control groups: make control group"), "{ran:?}");
    assert_eq!(container.status(), "running");
    let own = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(own(&container.pid().to_string()), own("self"));
    let ran = container.oci(&["exec", &container.id, "echo", "more"]);
    assert_eq!((ran.out.as_str(), ran.code), ("more", 0), "{ran:?}");
    assert_ne!(container.oci(&["pause", &container.id]).code, 0);
    assert_eq!(container.oci(&["kill", &container.id, "KILL"]).code, 0);
    container.wait_status("stopped");
    assert_eq!(container.oci(&["delete", &container.id]).code, 0);
    // Who names a group wants it.
    container.config["linux"]["cgroupsPath"] = json!(format!("/{}/box", container.cgroup));
    let ran = run("true", &container);
    assert!(ran.code == 1 && ran.err.contains("make control group"), "{ran:?}");
}
