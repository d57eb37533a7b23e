//! Tasks whose root is nobody on the host.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use serde_json::{Value, json};

use crate::harness::{
    Instance, require, skipped,
    stage::{FOREVER, container, definition, stays, word},
    tasks::with,
};

const BY_DEFAULT: &str = "[containers]\nuser_namespaces = true\n";

fn asks(container: Value, word: &str) -> Value {
    with(container, json!({ "dockerSecurityOptions": [format!("userns:{word}")] }))
}

/// The first of the users that a process of the host has, as its map says.
fn first_user(pid: i32) -> u32 {
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
    let words: Vec<u32> = map.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!((words[0], words[2]), (0, 65_536), "{map}");
    words[1]
}

fn owner_of(pid: i32) -> u32 {
    fs::metadata(format!("/proc/{pid}")).unwrap().uid()
}

/// Whether a task did not start because this host's file system cannot show files as others'.
fn cannot_map(instance: &Instance, id: &str) -> bool {
    let task = instance.stored(id);
    let reason = word(&task, "stoppedReason").to_owned() + &task["containers"][0]["reason"].to_string();
    let cannot = reason.contains("cannot be mapped to other users");
    if cannot {
        skipped(&reason);
    }
    cannot
}

#[test]
fn root_of_a_task_is_nobody_on_the_host() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("users", BY_DEFAULT);
    let script = stays(
        "id -u; stat -c %u /bin/busybox /etc/hosts; touch /mine; stat -c %u:%g /mine; echo out >/dev/stdout; \
         echo x >/dev/null && echo null; chown 33:44 /mine; stat -c %u:%g /mine; hostname other 2>/dev/null || echo kept; \
         echo 1 >/etc/hosts && echo hosts; echo done",
    );
    let id = instance.launch(&definition("users", &[container("app", &script)]));
    instance.until(&id, "an end of the start", |task| {
        ["RUNNING", "STOPPED"].contains(&word(task, "lastStatus")).then_some(())
    });
    if cannot_map(&instance, &id) {
        return;
    }
    let said = instance.printed(&id, "app", "done");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines, ["0", "0", "0", "0:0", "out", "null", "33:44", "kept", "hosts", "done"], "{said}");
    let pid = instance.pid(&id, "app");
    let first = first_user(pid);
    assert!(first >= 0x7000_0000 && owner_of(pid) == first, "{first} {}", owner_of(pid));
    let shown = instance.cli(&["show", &id]).ok();
    assert!(shown.contains(&format!("its own; on the host {first} to {}", first + 65_535)), "{shown}");
    let why = instance.cli(&["explain", &id]).ok();
    assert!(
        why.contains(&format!("uid {first}, gid {first} on the host, where the task has users of its own")),
        "{why}"
    );
    // Its own file is another's on the host, and the layer has not been copied.
    let upper = instance.path(format!("state/tasks/{id}"));
    let found = find(&upper, "mine").expect("the file in the upper directory");
    assert_eq!(
        (fs::metadata(&found).unwrap().uid(), fs::metadata(&found).unwrap().gid()),
        (first + 33, first + 44)
    );
    assert!(find(&upper, "busybox").is_none(), "the image's files are copied");
    // A command has the same users, and another task has others.
    assert_eq!(instance.cli(&["exec", &id, "--", "id", "-u"]).ok(), "0\n");
    let other = instance.launch(&definition("others", &[container("app", FOREVER)]));
    instance.running(&other);
    let others = first_user(instance.pid(&other, "app"));
    assert!(others.abs_diff(first) >= 65_536, "{first} {others}");
    instance.stop(&id);
    instance.stop(&other);
}

fn find(directory: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    for entry in fs::read_dir(directory).ok()?.flatten() {
        if entry.file_name() == name {
            return Some(entry.path());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Some(found) = find(&entry.path(), name)
        {
            return Some(found);
        }
    }
    None
}

#[test]
fn files_in_a_volume_are_roots_on_both_sides() {
    require!(host, busybox);
    let instance = Instance::with_busybox("users-volume");
    let shared = instance.path("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("theirs"), "x").unwrap();
    let script = "stat -c %u /v/theirs; echo y >/v/ours; cp /bin/busybox /v/setuid; chmod 4755 /v/setuid; \
        chown 1000 /v/other 2>/dev/null; touch /v/other; chown 1000:1000 /v/other; stat -c %u /v/other; stat -c %u /own; touch /own/f";
    let app = with(
        asks(container("app", script), "task"),
        json!({ "mountPoints": [
            { "sourceVolume": "shared", "containerPath": "/v" }, { "sourceVolume": "own", "containerPath": "/own" },
        ] }),
    );
    let document = with(
        definition("volume", &[app]),
        json!({ "volumes": [{ "name": "shared", "host": { "sourcePath": shared } }, { "name": "own" }] }),
    );
    let (id, _) = instance.ran(&document);
    if cannot_map(&instance, &id) {
        return;
    }
    assert_eq!(instance.said(&id, "app"), "0\n1000\n0\n");
    let of = |name: &str| fs::metadata(shared.join(name)).unwrap();
    assert_eq!((of("ours").uid(), of("other").uid(), of("setuid").uid()), (0, 1000, 0));
    assert_eq!(of("setuid").permissions().mode() & 0o7777, 0o4755);
}

/// A file system mounted by the test, until it is over.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(fstype: &str, at: std::path::PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        let done = std::process::Command::new("mount").args(["-t", fstype, "none"]).arg(&at).status();
        assert!(done.unwrap().success());
        Self(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn what_is_mounted_below_a_volume_is_roots_as_well_or_refused() {
    require!(host, busybox);
    let instance = Instance::with_busybox("users-below");
    let shared = instance.path("shared");
    let run = |script: &str| {
        let points = json!({ "mountPoints": [{ "sourceVolume": "shared", "containerPath": "/v" }] });
        let app = with(asks(container("app", script), "task"), points);
        let volumes = json!({ "volumes": [{ "name": "shared", "host": { "sourcePath": shared } }] });
        instance.ran(&with(definition("below", &[app]), volumes))
    };
    let below = Mounted::new("tmpfs", shared.join("below"));
    let (id, _) = run("stat -c %u /v/below; touch /v/below/mine; stat -c %u /v/below/mine");
    if cannot_map(&instance, &id) {
        return;
    }
    assert_eq!(instance.said(&id, "app"), "0\n0\n");
    assert_eq!(fs::metadata(shared.join("below/mine")).unwrap().uid(), 0);
    drop(below);
    let _below = Mounted::new("proc", shared.join("below"));
    let (_, task) = run("true");
    assert_eq!(word(&task, "stopCode"), "TaskFailedToStart", "{task:#}");
    let reason = "a filesystem that is mounted below it cannot be mapped to other users";
    assert!(task.to_string().contains(reason), "{task:#}");
}

#[test]
fn the_tasks_network_is_its_roots_and_the_hosts_is_not() {
    require!(host, busybox);
    let instance = Instance::with_busybox("users-network");
    // An address of its own may be added, as the right to do so is confined to its own network.
    let script = "ip addr add 10.99.99.1/32 dev lo && echo added; (echo 0 >/proc/sys/kernel/dmesg_restrict) 2>/dev/null || echo kept; \
        mount -t tmpfs none /mnt 2>/dev/null || echo no mounts; ls /sys/class/net | sort | tr '\\n' ' '";
    let rights = json!({ "linuxParameters": { "capabilities": { "add": ["NET_ADMIN"] }, "initProcessEnabled": true } });
    let app = with(asks(container("app", script), "task"), rights);
    let document = with(definition("network", &[app]), json!({ "networkMode": "awsvpc" }));
    let (id, _) = instance.ran(&document);
    if cannot_map(&instance, &id) {
        return;
    }
    let said = instance.said(&id, "app");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..3], ["added", "kept", "no mounts"], "{said}");
    assert!(lines[3].contains("lo") && lines[3].contains("eth0"), "{said}");
}

#[test]
fn containers_of_a_task_have_the_same_users_and_share_what_they_share() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("users-shared", BY_DEFAULT);
    let look = "for kind in user net ipc pid; do readlink /proc/self/ns/$kind; done; echo mark >/dev/shm/$(id -u); echo done";
    let one = with(container("one", &stays(look)), json!({}));
    let two = with(container("two", &stays(look)), json!({ "user": "7:7" }));
    let shared = json!({ "networkMode": "awsvpc", "ipcMode": "task", "pidMode": "task" });
    let id = instance.launch(&with(definition("shared", &[one, two]), shared));
    instance.until(&id, "an end of the start", |task| {
        ["RUNNING", "STOPPED"].contains(&word(task, "lastStatus")).then_some(())
    });
    if cannot_map(&instance, &id) {
        return;
    }
    let said = ["one", "two"].map(|name| instance.printed(&id, name, "done"));
    assert_eq!(said[0], said[1]);
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    assert!(!said[0].contains(own.to_str().unwrap()));
    let pids = ["one", "two"].map(|name| instance.pid(&id, name));
    assert_eq!(owner_of(pids[1]), owner_of(pids[0]) + 7);
    instance.stop(&id);
}

#[test]
fn what_needs_the_hosts_root_is_refused_or_told() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("users-host", BY_DEFAULT);
    let host = json!({ "networkMode": "host" });
    let asked = definition("asked", &[asks(container("app", "id -u"), "task")]);
    let (_, task) = instance.ran(&with(asked, host.clone()));
    assert_eq!(word(&task, "stopCode"), "TaskFailedToStart", "{task:#}");
    assert!(task.to_string().contains("cannot be had together with networkMode host"), "{task:#}");
    let (id, _) =
        instance.ran(&with(definition("told", &[container("app", "cat /proc/self/uid_map")]), host));
    assert!(instance.said(&id, "app").contains("4294967295"), "{}", instance.said(&id, "app"));
    // One container's word is the task's.
    let own = asks(container("app", "cat /proc/self/uid_map"), "host");
    assert!(instance.says(&own).contains("4294967295"));
    let both =
        definition("both", &[asks(container("a", "true"), "host"), asks(container("b", "true"), "task")]);
    let (_, task) = instance.ran(&both);
    assert!(task.to_string().contains("have the same users"), "{task:#}");
}
