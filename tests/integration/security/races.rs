//! Places that change while they are being used.

use std::fs;

use serde_json::json;

use crate::harness::{
    Instance, require,
    stage::{container, definition, word},
    tasks::with,
};

#[test]
fn what_the_kernel_shows_cannot_be_covered_by_a_definition() {
    require!(host, busybox);
    let instance = Instance::with_busybox("covered");
    let own = instance.path("own");
    // Wherever it is mounted, the setting has a file.
    let files = ["sys/kernel/msgmax", "kernel/msgmax", "msgmax"].map(|name| own.join(name));
    for file in &files {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "mine\n").unwrap();
    }
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
        assert_eq!(files.each_ref().map(|file| fs::read_to_string(file).unwrap()), ["mine\n"; 3], "{place}");
        assert_eq!(
            word(&task, "stopCode"),
            "TaskFailedToStart",
            "{place}: {} {task:#}",
            instance.said(&id, "app")
        );
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
        grep -v ':/$' /proc/self/cgroup
        echo done";
    assert_eq!(instance.says(&container("app", script)), "done\n");
}
