//! Places that change while they are being used.

use std::fs;

use serde_json::json;

use crate::harness::{
    Instance, require,
    stage::{container, definition, stays, word},
    tasks::with,
};

#[test]
fn a_directory_that_becomes_a_link_while_it_is_mounted_on_does_not_lead_out() {
    require!(host, busybox);
    let instance = Instance::with_busybox("swaps");
    let treasure = instance.path("treasure");
    fs::create_dir(&treasure).unwrap();
    fs::write(treasure.join("word"), "the treasure\n").unwrap();
    let shared = instance.path("shared");
    fs::create_dir(&shared).unwrap();
    let volume = json!({ "volumes": [
        { "name": "outer", "host": { "sourcePath": shared } }, { "name": "inner" },
    ] });
    let point = |volume: &str, path: &str| json!({ "sourceVolume": volume, "containerPath": path });
    // As fast as it can: a directory, a link to the host's root, a directory, a link to the treasure.
    let swap = format!(
        "while :; do mkdir /v/d; rmdir /v/d; ln -s / /v/d; rm /v/d; ln -s {} /v/d; rm /v/d; done 2>/dev/null",
        treasure.display()
    );
    let swapper = with(
        container("swapper", &stays(&format!("{swap} & :"))),
        json!({ "mountPoints": [point("outer", "/v")] }),
    );
    let swapping = instance.launch(&with(definition("swapper", &[swapper]), volume.clone()));
    instance.running(&swapping);
    let script = "echo mine >/v/d/word 2>/dev/null; ls /v/d/";
    let victim = with(
        container("victim", script),
        json!({ "mountPoints": [point("outer", "/v"), point("inner", "/v/d")] }),
    );
    let document = with(definition("victim", &[victim]), volume);
    for _ in 0..12 {
        let (id, task) = instance.ran(&document);
        let said = instance.said(&id, "victim");
        let is_refused = word(&task, "stopCode") == "TaskFailedToStart";
        assert!(is_refused || !said.contains("home"), "not the host's root: {said}");
        assert_eq!(fs::read_to_string(treasure.join("word")).unwrap(), "the treasure\n");
    }
    instance.stop(&swapping);
    assert_eq!(fs::read_dir(&treasure).unwrap().count(), 1);
}

#[test]
fn what_the_kernel_shows_cannot_be_covered_by_a_definition() {
    require!(host, busybox);
    let instance = Instance::with_busybox("covered");
    let own = instance.path("own");
    fs::create_dir_all(own.join("sys/kernel")).unwrap();
    fs::write(own.join("sys/kernel/msgmax"), "mine\n").unwrap();
    for place in ["/proc", "/proc/sys", "/proc/self", "/proc/1/../sys/kernel", "/run/../proc/."] {
        let app = with(
            container("app", "cat /proc/sys/kernel/msgmax"),
            json!({
                "mountPoints": [{ "sourceVolume": "v", "containerPath": place }],
                "systemControls": [{ "namespace": "kernel.msgmax", "value": "4444" }],
            }),
        );
        let volumes = json!({ "volumes": [{ "name": "v", "host": { "sourcePath": own } }] });
        let (id, task) = instance.ran(&with(definition("covered", &[app]), volumes));
        assert_eq!(
            word(&task, "stopCode"),
            "TaskFailedToStart",
            "{place}: {} {task:#}",
            instance.said(&id, "app")
        );
        assert_eq!(fs::read_to_string(own.join("sys/kernel/msgmax")).unwrap(), "mine\n", "{place}");
    }
}

#[test]
fn control_groups_are_to_be_looked_at_only() {
    require!(host, busybox);
    let instance = Instance::with_busybox("groups-ro");
    let script = "
        for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release -o -name cgroup.procs -o -name tasks | head -40); do
            (echo 0 >$f) 2>/dev/null && echo wrote $f
        done
        for d in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -d $d ] && mkdir $d/new 2>/dev/null && echo made $d/new; done
        mount -o remount,rw /sys/fs/cgroup 2>/dev/null && echo remounted
        mkdir -p /mnt/c; mount -t cgroup -o memory c /mnt/c 2>/dev/null && echo mounted version 1
        mount -t cgroup2 c /mnt/c 2>/dev/null && echo mounted version 2
        echo done";
    assert_eq!(instance.says(&container("app", script)), "done\n");
}
