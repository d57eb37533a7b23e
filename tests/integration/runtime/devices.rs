//! Device rules where they are a program: on a group of version 2 by itself, then through the runtime.
//!
//! The runtime is shown a host with other control groups than this one's by a mount namespace in which some of them
//! are not mounted. The host's own mounts stay as they are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hythe::kernel::cgroup::{CgroupPath, Group, Layout};
use oci_spec::runtime::{LinuxResources, LinuxResourcesBuilder};
use serde_json::{Value, json};

use super::container::{Container, Ran};
use crate::harness::{require, skipped};

/// Any node may be made; the null device may be used; `full`, a harmless device, may be if asked for.
fn rules(with_full: bool) -> Value {
    let mut rules = json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "access": "m"},
        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
    ]);
    if with_full {
        rules
            .as_array_mut()
            .unwrap()
            .push(json!({"allow": true, "type": "c", "major": 1, "minor": 7, "access": "r"}));
    }
    rules
}

fn resources(with_full: bool) -> LinuxResources {
    let rules = serde_json::from_value(rules(with_full)).unwrap();
    LinuxResourcesBuilder::default().devices::<Vec<_>>(rules).build().unwrap()
}

/// Where version 2 is mounted, or `None` and a word about it.
fn unified_mount() -> Option<PathBuf> {
    let mount = Layout::detect().ok().and_then(|layout| Some(layout.unified()?.mount.clone()));
    if mount.is_none() {
        skipped("no version 2 control groups are mounted");
    }
    mount
}

/// A group of version 2 alone, removed in the end.
struct Own(Group);

impl Own {
    fn below(mount: &Path) -> Self {
        let text = format!("30 23 0:26 / {} rw - cgroup2 cgroup2 rw\n", mount.display());
        let path = CgroupPath::parse(&format!("hythe-devices-{}", std::process::id())).unwrap();
        Self(Layout::from_mountinfo(&text).unwrap().create(&path).unwrap())
    }

    /// What a shell in the group says.
    fn says(&self, script: &str) -> String {
        let join = self.0.unified_dir().unwrap().join("cgroup.procs");
        let script = format!("echo $$ > {} && {{ {script}; }} 2>&1", join.display());
        let output = Command::new("busybox").args(["sh", "-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let deleted = self.0.delete();
        if !std::thread::panicking() {
            deleted.unwrap();
            assert!(!self.0.exists());
        }
    }
}

#[test]
fn a_group_of_version_2_is_held_to_its_device_rules() {
    require!(root, busybox);
    let Some(mount) = unified_mount() else { return };
    let group = Own::below(&mount);
    let dir = tempfile::tempdir().unwrap();
    let full = dir.path().join("full");
    let script = format!(
        "busybox head -c 1 /dev/null && echo null; [ -e {0} ] || busybox mknod {0} c 1 7; \
         busybox head -c 1 {0} >/dev/null 2>&1 && echo full; \
         busybox mknod {0}-block b 7 200 2>/dev/null && echo block; true",
        full.display()
    );
    assert!(!group.0.has_device_rules());
    assert_eq!(group.says(&script), "null\nfull\nblock\n");
    fs::remove_file(format!("{}-block", full.display())).unwrap();

    assert_eq!(group.0.apply(&resources(false)), []);
    assert!(group.0.has_device_rules());
    assert_eq!(group.says(&script), "null\n");
    let refused = group.says(&format!("busybox head -c 1 {}", full.display()));
    assert!(refused.contains("Operation not permitted"), "{refused}");
}

#[test]
fn new_rules_replace_the_old_ones() {
    require!(root, busybox);
    let Some(mount) = unified_mount() else { return };
    let group = Own::below(&mount);
    for _ in 0..3 {
        assert_eq!(group.0.apply(&resources(false)), []);
    }
    assert_eq!(group.says("busybox head -c 1 /dev/full >/dev/null 2>&1 || echo refused"), "refused\n");
    assert_eq!(group.0.apply(&resources(true)), []);
    assert_eq!(group.says("busybox head -c 1 /dev/full >/dev/null && echo read"), "read\n");
    assert_eq!(group.says("(echo > /dev/full) 2>/dev/null || echo refused"), "refused\n");
}

/// Runs `commands` with the container's `hythe oci` as `$@`, after `hide` has unmounted what is not to be there.
fn on_a_host(container: &Container, hide: &str, commands: &str) -> Ran {
    container.unshared(&["--mount", "--propagation", "private"], &format!("{hide} {commands}"))
}

/// Leaves version 2 alone.
const HIDE_V1: &str = "busybox awk '$3 == \"cgroup\" {print $2}' /proc/mounts | busybox xargs -r umount;";

/// Leaves nothing that could hold devices.
const HIDE_DEVICES: &str = "busybox awk '$3 == \"cgroup2\" || /^cgroup .*[, ]devices[, ]/ {print $2}' /proc/mounts | busybox xargs -r umount;";

fn box_with_rules() -> Container {
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    container.config["linux"]["resources"] = json!({"devices": rules(false)});
    container
}

#[test]
fn a_container_on_a_host_of_version_2_is_held_to_its_device_rules() {
    require!(root, busybox, unshare);
    if unified_mount().is_none() {
        return;
    }
    let mut container = box_with_rules();
    container.script(
        "echo x >/dev/null && echo null; mknod /tmp/mem c 1 1 && echo made; mknod /tmp/disk b 7 0; \
         for node in mem disk; do head -c 1 /tmp/$node >/dev/null 2>&1 || echo refused; done",
    );
    let ran = on_a_host(&container, HIDE_V1, "\"$@\" run --bundle \"$BUNDLE\" \"$ID\"");
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("null\nmade\nrefused\nrefused", ""));
}

#[test]
fn where_nothing_holds_devices_no_process_can_make_them() {
    require!(root, busybox, unshare);
    let layout = Layout::detect().unwrap();
    if layout.hierarchies().iter().all(|one| one.has("devices")) {
        skipped("no version 1 control groups would be left");
        return;
    }
    let mut container = box_with_rules();
    container.script("sleep 1000");
    // One that came with the image.
    let node = container.rootfs().join("tmp/null");
    assert!(
        Command::new("busybox").arg("mknod").arg(&node).args(["c", "1", "3"]).status().unwrap().success()
    );
    let probe = "sh -c 'grep Cap /proc/self/status; mknod /tmp/full c 1 7 2>/dev/null || echo refused; \
                 cat /tmp/null 2>/dev/null || echo closed; cat /dev/null && echo open'";
    let ran = on_a_host(
        &container,
        HIDE_DEVICES,
        &format!(
            "\"$@\" create --bundle \"$BUNDLE\" \"$ID\" </dev/null >/dev/null; \"$@\" start \"$ID\"; \
             \"$@\" exec \"$ID\" {probe}; \"$@\" delete --force \"$ID\""
        ),
    );
    let warnings: Vec<_> = ran.err.lines().collect();
    assert_eq!(
        warnings,
        [
            "hythe oci: warning: devices is not enforced: this host has no control groups for devices; \
             CAP_MKNOD is withheld instead",
            "hythe oci: warning: process.capabilities is not enforced: CAP_MKNOD is withheld because no device \
             rules are enforced here",
        ],
        "{ran:?}"
    );
    let sets: Vec<_> = ran.out.lines().filter_map(|line| line.strip_prefix("Cap")).collect();
    assert_eq!(sets.len(), 5, "{ran:?}");
    for set in sets {
        let bits = u64::from_str_radix(set.split_whitespace().last().unwrap(), 16).unwrap();
        assert_eq!(bits & 1 << 27, 0, "{set}");
    }
    assert!(ran.out.ends_with("refused\nclosed\nopen"), "{ran:?}");
}

#[test]
fn an_image_cannot_put_something_else_in_the_place_of_the_null_device() {
    require!(root, busybox);
    let mut container = Container::new();
    let secret = container.path("secret");
    fs::write(&secret, "outside\n").unwrap();
    // A /dev of the image's own; what is masked is covered with a null device.
    container.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
    container.config["root"]["readonly"] = json!(false);
    fs::write(container.rootfs().join("hidden"), "hidden\n").unwrap();
    container.config["linux"]["maskedPaths"] = json!(["/hidden"]);
    let null = container.rootfs().join("dev/null");
    fs::create_dir_all(container.rootfs().join("dev/pts")).unwrap();
    for kind in ["link out", "link in", "file"] {
        match kind {
            "link out" => std::os::unix::fs::symlink(&secret, &null).unwrap(),
            "link in" => std::os::unix::fs::symlink("/proc/self/exe", &null).unwrap(),
            _ => fs::write(&null, "mine\n").unwrap(),
        }
        let ran = container.script("cat /hidden; echo x > /dev/null; echo y > /hidden; echo ran").run();
        assert!(ran.code != 0 && !ran.out.contains("ran"), "{kind}: {ran:?}");
        assert!(ran.err.contains("/dev/null"), "{kind}: {ran:?}");
        fs::remove_file(&null).unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "outside\n");
    }
    assert_eq!(fs::read_to_string(container.rootfs().join("hidden")).unwrap(), "hidden\n");
}

#[test]
fn what_is_masked_is_covered_by_the_hosts_null_device_whoever_made_dev() {
    require!(root, busybox);
    let mut container = Container::new();
    let (secret, dev) = (container.path("secret"), container.path("dev"));
    fs::write(&secret, "outside\n").unwrap();
    fs::create_dir(&dev).unwrap();
    // A directory that others fill is the whole /dev, so that no node is made in it.
    let mounts = container.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    mounts.push(json!({"destination": "/dev", "type": "bind", "source": dev, "options": ["rbind"]}));
    container.config["root"]["readonly"] = json!(false);
    container.config["linux"]["maskedPaths"] = json!(["/hidden"]);
    fs::write(container.rootfs().join("hidden"), "hidden\n").unwrap();
    fs::write(container.rootfs().join("other"), "other\n").unwrap();
    for target in [secret.to_str().unwrap(), "/other", "/proc/sys/kernel/core_pattern"] {
        std::os::unix::fs::symlink(target, dev.join("null")).unwrap();
        let ran = container.script("cat /hidden; echo y > /hidden; stat -c %F /hidden; cat /other").run();
        assert_eq!((ran.out.as_str(), ran.code), ("character special file\nother", 0), "{target}: {ran:?}");
        fs::remove_file(dev.join("null")).unwrap();
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "outside\n");
    assert_eq!(fs::read_to_string(container.rootfs().join("hidden")).unwrap(), "hidden\n");
}

#[test]
fn a_node_in_a_volume_without_devices_opens_nothing() {
    require!(root, busybox);
    let mut container = Container::new();
    let data = container.path("data");
    fs::create_dir(&data).unwrap();
    let made = Command::new("mknod").arg(data.join("node")).args(["c", "1", "3"]).status().unwrap();
    if !made.success() {
        skipped("no device nodes can be made here");
        return;
    }
    let mount =
        |options: Value| json!({"destination": "/data", "type": "bind", "source": data, "options": options});
    container.config["mounts"].as_array_mut().unwrap().push(mount(json!(["rbind", "nodev"])));
    let script = "echo x 2>/dev/null >/data/node && echo opened; echo done";
    assert_eq!(container.script(script).run().out, "done");
    container.config["mounts"].as_array_mut().unwrap().pop();
    container.config["mounts"].as_array_mut().unwrap().push(mount(json!(["rbind"])));
    assert_eq!(container.script(script).run().out, "opened\ndone");
}
