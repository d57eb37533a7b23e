//! Members of a definition that each do one thing: devices, swap, an open standard input, no network, foreign volumes.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    stage::{FOREVER, container, definition, one, word},
    tasks::with,
};

/// Devices that some host has, with their numbers, and that nothing happens to when they are opened.
const DEVICES: [(&str, &str); 2] = [("/dev/fuse", "c 10 229"), ("/dev/net/tun", "c 10 200")];

#[test]
fn a_device_of_the_host_is_there_with_what_is_allowed_of_it_and_no_other() {
    require!(host, busybox);
    let Some((path, numbers)) = DEVICES.iter().find(|(path, _)| Path::new(path).exists()) else {
        crate::harness::skipped("this host has neither /dev/fuse nor /dev/net/tun");
        return;
    };
    let instance = Instance::with_busybox("device");
    let script = format!(
        "mknod /other {numbers} 2>/dev/null; for node in /dev/given /other; do
            [ -c $node ] || continue
            (exec 3<$node) 2>/dev/null && echo reads $node
            (exec 3>>$node) 2>/dev/null && echo writes $node
        done; test -c /dev/given && echo there || echo none"
    );
    let given = |permissions: &[&str]| {
        let device = json!({ "hostPath": path, "containerPath": "/dev/given", "permissions": permissions });
        instance.says(&with(container("app", &script), json!({ "linuxParameters": { "devices": [device] } })))
    };
    assert_eq!(instance.says(&container("app", &script)), "none\n", "nobody makes one");
    // One number is one device, wherever its node is.
    assert_eq!(given(&["read"]), "reads /dev/given\nreads /other\nthere\n");
    assert_eq!(given(&["write"]), "writes /dev/given\nwrites /other\nthere\n");
    let all = "reads /dev/given\nwrites /dev/given\nreads /other\nwrites /other\nthere\n";
    assert_eq!(given(&[]), all, "all of it, where nothing is said");
}

#[test]
fn the_swap_of_a_container_is_limited_and_its_eagerness_set() {
    require!(host, busybox, cgroup_memory);
    let instance = Instance::with_busybox("swap");
    let swap = json!({ "memory": 48, "linuxParameters": { "maxSwap": 16, "swappiness": 33 } });
    let id = instance.launch(&definition("swap", &[with(container("app", FOREVER), swap)]));
    instance.running(&id);
    let notes = instance.stored(&id)["notEnforced"].to_string().to_lowercase();
    let file = |v1: &str, v2: &str| instance.cgroup_file(&format!("{id}/app"), ("memory", v1), v2);
    if !notes.contains("swap") {
        let most: u64 = file("memory.memsw.limit_in_bytes", "memory.swap.max").parse().unwrap();
        assert!([(48 + 16) << 20, 16 << 20].contains(&most), "memory and swap, or swap alone: {most}");
    }
    if !notes.contains("swappiness") {
        assert_eq!(file("memory.swappiness", "memory.max"), "33");
    }
    instance.stop(&id);
}

#[test]
fn a_container_without_networking_has_loopback_and_nothing_else() {
    require!(host, busybox);
    let instance = Instance::with_busybox("alone");
    let links = container("app", "ls /sys/class/net | tr '\\n' ' '");
    assert!(instance.says(&links).contains("eth0"), "the others have a network");
    let alone = instance.says(&with(links, json!({ "disableNetworking": true })));
    assert_eq!(alone.trim(), "lo");
}

#[test]
fn standard_input_ends_at_once_unless_a_container_is_interactive() {
    require!(host, busybox);
    let instance = Instance::with_busybox("interactive");
    let reads = |name: &str| container(name, "cat; echo it has ended");
    let closed = with(reads("closed"), json!({ "essential": false }));
    let open = with(reads("open"), json!({ "interactive": true, "stopTimeout": 2 }));
    let id = instance.launch(&definition("interactive", &[closed, open]));
    instance.printed(&id, "closed", "it has ended");
    let task = instance.until(&id, "the end of the closed one", |task| {
        (one(task, "closed")["lastStatus"] == "STOPPED").then(|| task.clone())
    });
    assert_eq!((word(one(&task, "open"), "lastStatus"), &*instance.said(&id, "open")), ("RUNNING", ""));
    instance.stop(&id);
}

#[test]
fn a_volume_of_a_kind_that_this_host_does_not_have_ends_the_task_and_is_named() {
    require!(host, busybox);
    let instance = Instance::with_busybox("foreign");
    let file_system = "arn:aws:s3files:us-east-1:000000000000:file-system/fs-1";
    let parameter = "arn:aws:ssm:us-east-1:000000000000:parameter/p";
    let kinds: [(&str, Value); 4] = [
        ("efsVolumeConfiguration", json!({ "fileSystemId": "fs-1" })),
        ("s3filesVolumeConfiguration", json!({ "fileSystemArn": file_system })),
        (
            "fsxWindowsFileServerVolumeConfiguration",
            json!({
                "fileSystemId": "fs-2", "rootDirectory": "/",
                "authorizationConfig": { "credentialsParameter": parameter, "domain": "d" },
            }),
        ),
        ("configuredAtLaunch", json!(true)),
    ];
    for (kind, configuration) in kinds {
        let point = json!({ "mountPoints": [{ "sourceVolume": "far", "containerPath": "/far" }] });
        let mut volume = json!({ "name": "far" });
        volume[kind] = configuration;
        let app = with(container("app", "echo it ran"), point);
        let (id, task) = instance.ran(&with(definition("foreign", &[app]), json!({ "volumes": [volume] })));
        let reason = word(&task, "stoppedReason");
        assert!(reason.contains(&format!("volume far is of the kind {kind}")), "{reason}");
        assert_eq!((word(&task, "stopCode"), &*instance.said(&id, "app")), ("TaskFailedToStart", ""));
    }
}

#[test]
fn a_task_may_have_the_processes_and_queues_of_the_host_or_no_shared_memory() {
    require!(host, busybox);
    let instance = Instance::with_busybox("host-modes");
    let script =
        "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc; grep -c ' /dev/shm ' /proc/mounts; true";
    let told = |modes: Value| -> [String; 3] {
        let said = instance.says_in(&with(definition("modes", &[container("app", script)]), modes));
        let lines: Vec<String> = said.lines().map(str::to_owned).collect();
        lines.try_into().unwrap()
    };
    let [pid, ipc] = ["pid", "ipc"].map(|kind| {
        let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        link.display().to_string()
    });
    let own = told(json!({}));
    assert!(own[0] != pid && own[1] != ipc && own[2] == "1", "{own:?}");
    let host = told(json!({ "pidMode": "host", "ipcMode": "host" }));
    assert_eq!(host[..2], [pid.clone(), ipc.clone()]);
    let none = told(json!({ "ipcMode": "none" }));
    assert!(none[0] != pid && none[1] != ipc && none[2] == "0", "{none:?}");
}

#[test]
fn a_privileged_container_has_the_rights_and_devices_of_the_host_that_allows_it() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("allowed", "[containers]\nallow_privileged = true\n");
    let rights = |status: &str| -> Vec<String> {
        let lines = status.lines().filter(|line| line.starts_with("CapEff") || line.starts_with("Seccomp:"));
        lines.map(|line| line.split_whitespace().nth(1).unwrap_or_default().to_owned()).collect()
    };
    let script = "cat /proc/self/status; test -c /dev/kmsg && echo devices; touch /proc/sys/kernel/hostname && echo writable";
    let said = instance.says(&with(container("app", script), json!({ "privileged": true })));
    let own = rights(&std::fs::read_to_string("/proc/self/status").unwrap());
    assert_eq!(rights(&said), [own[0].clone(), "0".to_owned()], "{said}");
    assert!(said.contains("\ndevices\n") && said.contains("\nwritable\n"), "{said}");
}
