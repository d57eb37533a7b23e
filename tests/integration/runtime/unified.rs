//! What only control groups of version 2 have, felt by a container and read back from the kernel's own counters.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::container::Container;
use crate::harness::{PATIENCE, disk_of, require, wait_for};

/// A file of the container's group.
fn file(container: &Container, name: &str) -> String {
    let at = PathBuf::from("/sys/fs/cgroup").join(container.group()).join(name);
    fs::read_to_string(&at).unwrap_or_else(|err| panic!("{}: {err}", at.display()))
}

/// The number after `key` in a flat keyed file of the group.
fn counted(container: &Container, name: &str, key: &str) -> u64 {
    let text = file(container, name);
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("{name} has no {key}: {text}")).parse().unwrap()
}

/// Whether nothing runs in the group; systemd takes one away then.
fn is_empty(container: &Container) -> bool {
    let events = PathBuf::from("/sys/fs/cgroup").join(container.group()).join("cgroup.events");
    match fs::read_to_string(&events) {
        Ok(text) => text.lines().any(|line| line == "populated 0"),
        Err(why) => {
            // One that goes while it is read has no such device any more.
            let is_gone = why.kind() == std::io::ErrorKind::NotFound
                || why.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32);
            assert!(is_gone, "{}: {why}", events.display());
            true
        }
    }
}

#[test]
fn a_quota_holds_a_busy_container_back() {
    require!(cgroup_v2, busybox, cgroup_cpu);
    let mut container = Container::new();
    container.config["linux"]["resources"] = json!({"cpu": {"quota": 10_000, "period": 100_000}});
    container.script("while :; do :; done");
    container.start();
    assert_eq!(file(&container, "cpu.max"), "10000 100000\n");
    let throttled = || (counted(&container, "cpu.stat", "nr_throttled") >= 5).then_some(());
    wait_for("five periods in which it was held back", PATIENCE, throttled);
}

#[test]
fn a_kill_for_memory_is_counted_in_the_group_that_ran_out_and_not_beside_it() {
    require!(cgroup_v2, busybox, cgroup_memory);
    let (mut hungry, mut modest) = (Container::new(), Container::new());
    for container in [&mut hungry, &mut modest] {
        container.config["linux"]["resources"] = json!({"memory": {"limit": 16 << 20, "swap": 16 << 20}});
    }
    modest.script("sleep 1000").start();
    hungry.script("tail /dev/zero; echo $?; sleep 1000").start();
    wait_for("the kill", PATIENCE, || (hungry.output() == "137\n").then_some(()));
    for (container, kills) in [(&hungry, 1), (&modest, 0)] {
        assert_eq!(counted(container, "memory.events", "oom_kill"), kills);
        assert_eq!(counted(container, "memory.events.local", "oom_kill"), kills);
    }
    assert_eq!(file(&hungry, "memory.max"), format!("{}\n", 16 << 20));
    assert_eq!(file(&hungry, "memory.swap.max"), "0\n");
    assert!(counted(&hungry, "memory.events", "max") > 0);
}

#[test]
fn a_fork_too_many_is_counted() {
    require!(cgroup_v2, busybox, cgroup_pids);
    let mut container = Container::new();
    container.config["linux"]["resources"] = json!({"pids": {"limit": 4}});
    container.script("for i in 1 2 3 4 5 6; do sleep 1000 & done; sleep 1000");
    container.start();
    wait_for("a refused fork", PATIENCE, || (counted(&container, "pids.events", "max") > 0).then_some(()));
    assert_eq!(file(&container, "pids.max"), "4\n");
}

#[test]
fn reads_and_writes_of_a_disk_are_limited_and_counted() {
    require!(cgroup_v2, busybox, cgroup_io, disk);
    let mut container = Container::new();
    let (major, minor) = disk_of(&container.bundle()).unwrap();
    let rate = 1 << 20;
    container.config["root"]["readonly"] = json!(false);
    let limit = json!([{"major": major, "minor": minor, "rate": rate}]);
    container.config["linux"]["resources"] =
        json!({"blockIO": {"throttleWriteBpsDevice": limit, "throttleReadIOPSDevice": limit}});
    container
        .script("dd if=/dev/zero of=/tmp/file bs=64k count=32 conv=fsync 2>/dev/null; echo done; sleep 1000");
    container.start();
    let limits = file(&container, "io.max");
    assert!(limits.starts_with(&format!("{major}:{minor} ")), "{limits}");
    assert!(
        limits.contains(&format!(" wbps={rate} ")) && limits.contains(&format!(" riops={rate} ")),
        "{limits}"
    );
    wait_for("two MiB on the disk", PATIENCE, || (container.output() == "done\n").then_some(()));
    let written = file(&container, "io.stat");
    let written =
        written.split_whitespace().find_map(|word| word.strip_prefix("wbytes=")?.parse::<u64>().ok());
    assert!(written.is_some_and(|bytes| bytes >= 2 << 20), "{written:?}");
}

#[test]
fn pressure_is_measured_in_the_group_and_seen_from_inside() {
    require!(cgroup_v2, busybox, cgroup_cpu, pressure);
    let mut container = Container::new();
    container.config["linux"]["resources"] = json!({"cpu": {"quota": 5_000, "period": 100_000}});
    container.script("cat /sys/fs/cgroup/cpu.pressure; while :; do :; done");
    container.start();
    wait_for("its own pressure", PATIENCE, || container.output().starts_with("some avg10=").then_some(()));
    let total = || {
        let text = file(&container, "cpu.pressure");
        let some = text.lines().next().and_then(|line| line.split("total=").nth(1)?.parse::<u64>().ok());
        some.filter(|micros| *micros > 0)
    };
    let before = wait_for("time in which it had no processor", PATIENCE, total);
    // The same in the document that managers read.
    let told = container.oci(&["events", "--stats", &container.id]);
    let told: Value = serde_json::from_str(&told.out).unwrap();
    assert!(told["data"]["cpu"]["psi"]["some"]["total"].as_u64() >= Some(before), "{told:#}");
    for (member, kind) in [("cpu", "some"), ("memory", "some"), ("memory", "full"), ("blkio", "full")] {
        assert!(told["data"][member]["psi"][kind]["avg10"].is_number(), "{member} {kind}: {told:#}");
    }
}

#[test]
fn a_paused_group_says_that_it_is_frozen_and_a_killed_one_that_it_is_empty() {
    require!(cgroup_v2, busybox);
    let mut container = Container::new();
    container.script("for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; sleep 1000");
    container.start();
    assert_eq!(container.oci(&["pause", &container.id]).code, 0);
    assert_eq!(counted(&container, "cgroup.events", "frozen"), 1);
    assert_eq!(container.status(), "paused");
    // A frozen group dies, too.
    assert_eq!(container.oci(&["kill", "--all", &container.id, "KILL"]).code, 0);
    wait_for("an empty group", PATIENCE, || is_empty(&container).then_some(()));
}

#[test]
fn a_group_whose_processes_are_gone_before_they_can_be_named_dies_at_once() {
    require!(cgroup_v2, busybox, cgroup_pids);
    let mut container = Container::new();
    container.config["linux"]["resources"] = json!({"pids": {"limit": 100}});
    // With a PID namespace its first process would take all others along.
    container.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .retain(|namespace| namespace["type"] != "pid");
    // Each begins the next one and ends.
    container.script("next() { next & }; next; next; next; sleep 1000");
    container.start();
    assert_eq!(container.oci(&["kill", "--all", &container.id, "KILL"]).code, 0);
    wait_for("an empty group", PATIENCE, || is_empty(&container).then_some(()));
}

#[test]
fn in_a_delegated_group_our_own_processes_do_not_stand_in_the_way() {
    require!(cgroup_v2, files_driver, busybox, unshare, cgroup_memory);
    let mut container = Container::new();
    container.config["linux"]["resources"] = json!({"memory": {"limit": 32 << 20}, "pids": {"limit": 50}});
    container.script("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max");
    container.save();
    let delegated = PathBuf::from("/sys/fs/cgroup").join(format!("{}-delegated", container.cgroup));
    // What another container manager gives to one that runs inside: a group with the processes in it, as their root.
    let script = "echo $$ >\"$0/cgroup.procs\" && exec unshare --cgroup --mount --propagation private sh -c \
        'umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"' sh \"$@\"";
    fs::create_dir(&delegated).unwrap();
    let bundle = container.bundle();
    let oci = container.command(&["run", "--bundle", bundle.to_str().unwrap(), &container.id]);
    let ran = Command::new("sh")
        .args(["-c", script])
        .arg(&delegated)
        .arg(oci.get_program())
        .args(oci.get_args())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(said, format!("{}\n50\n", 32 << 20), "{}", String::from_utf8_lossy(&ran.stderr));
    for below in ["init", container.cgroup.as_str(), ""] {
        let dir = delegated.join(below);
        wait_for("an empty group", PATIENCE, || {
            (!dir.exists() || fs::remove_dir(&dir).is_ok()).then_some(())
        });
    }
}
