//! `events`: the counters of a container under the names that others give them, and the news that memory ran out.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use hythe::kernel::cgroup::Layout;
use serde_json::{Value, json};

use super::container::Container;
use crate::harness::{PATIENCE, disk_of, require, skipped, wait_for};

fn stats(container: &Container) -> Value {
    let ran = container.oci(&["events", "--stats", &container.id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let line: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&line["type"], &line["id"]), (&json!("stats"), &json!(container.id)));
    line["data"].clone()
}

/// Where a member is in a document, and what sort it is of; lists are alike whatever is in them.
fn shape(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                shape(value, &format!("{at}.{name}"), into);
            }
        }
        Value::Array(_) => into.push(format!("{at}[]")),
        Value::Number(_) => into.push(format!("{at} number")),
        Value::Null | Value::Bool(_) | Value::String(_) => into.push(format!("{at} {value}")),
    }
}

#[test]
fn the_counters_have_the_names_that_runc_gives_them() {
    require!(root, busybox, cgroup_memory, files_driver);
    if Command::new("runc").arg("--version").output().is_err() {
        skipped("runc, whose names they are, is not installed");
        return;
    }
    let mut container = Container::new();
    container.config["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
    container.script("sleep 1000");
    container.start();
    let ours = stats(&container);
    // The same bundle in another group.
    container.config["linux"]["cgroupsPath"] = json!(format!("/{}/other", container.cgroup));
    container.config["linux"].as_object_mut().unwrap().remove("seccomp");
    container.save();
    let root = container.path("runc");
    let runc = |args: &[&str]| {
        let mut command = Command::new("runc");
        command.arg("--root").arg(&root).args(args).stdin(Stdio::null()).stderr(Stdio::null());
        command
    };
    let bundle = container.bundle().display().to_string();
    let begun = runc(&["run", "--detach", "--bundle", &bundle, "theirs"]).stdout(Stdio::null()).status();
    let told = runc(&["events", "--stats", "theirs"]).output();
    let _ = runc(&["delete", "--force", "theirs"]).status();
    if !begun.unwrap().success() {
        skipped("runc does not run containers here");
        return;
    }
    let theirs: Value = serde_json::from_slice(&told.unwrap().stdout).unwrap();
    let (mut here, mut there) = (Vec::new(), Vec::new());
    shape(&ours, "", &mut here);
    shape(&theirs["data"], "", &mut there);
    let missing: Vec<_> = there.iter().filter(|member| !here.contains(member)).collect();
    assert!(missing.is_empty(), "{missing:#?} of {here:#?}");
}

#[test]
fn what_a_busy_container_uses_is_counted() {
    require!(root, busybox, cgroup_memory, cgroup_cpu, cgroup_pids);
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    container.config["linux"]["resources"] = json!({
        "memory": {"limit": 64 << 20},
        "cpu": {"quota": 10_000, "period": 100_000},
        "pids": {"limit": 33},
    });
    container.script("while :; do :; done");
    container.start();
    let seen = wait_for("a container that is held back", PATIENCE, || {
        let seen = stats(&container);
        let throttling = &seen["cpu"]["throttling"];
        let is_held =
            throttling["throttledPeriods"].as_u64()? > 0 && throttling["throttledTime"].as_u64()? > 0;
        is_held.then_some(seen)
    });
    assert!(seen["cpu"]["usage"]["total"].as_u64().unwrap() > 0, "{seen:#}");
    assert!(seen["cpu"]["throttling"]["periods"].as_u64().unwrap() > 0, "{seen:#}");
    let memory = &seen["memory"];
    assert_eq!(memory["usage"]["limit"], 64 << 20, "{memory:#}");
    assert!(memory["usage"]["usage"].as_u64().unwrap() > 0, "{memory:#}");
    let (raw, old, new) = (&memory["raw"], "total_inactive_file", "inactive_file");
    assert!(raw[old].is_u64() || raw[new].is_u64(), "{raw:#}");
    assert_eq!(seen["pids"], json!({"current": 1, "limit": 33}));
}

#[test]
fn what_goes_to_a_disk_is_counted() {
    require!(root, busybox, disk);
    if !Layout::detect().unwrap().offers("io") {
        skipped("this host has no control groups for disks");
        return;
    }
    let mut container = Container::new();
    let (major, minor) = disk_of(&container.bundle()).unwrap();
    container.config["root"]["readonly"] = json!(false);
    // Version 1 counts only where there is a limit, and only what is written past the cache.
    let limit = json!([{"major": major, "minor": minor, "rate": 1 << 30}]);
    container.config["linux"]["resources"] = json!({"blockIO": {"throttleWriteBpsDevice": limit}});
    container
        .script("dd if=/dev/zero of=/tmp/x bs=64k count=16 oflag=direct 2>/dev/null; echo $?; sleep 1000");
    container.start();
    wait_for("a written file", PATIENCE, || container.output().ends_with('\n').then_some(()));
    if container.output() != "0\n" {
        skipped("this file system does not write past the cache");
        return;
    }
    let seen = stats(&container);
    for (list, least) in [("ioServiceBytesRecursive", 1 << 20), ("ioServicedRecursive", 1)] {
        let is_it = |entry: &&Value| {
            (&entry["op"], &entry["major"], &entry["minor"])
                == (&json!("Write"), &json!(major), &json!(minor))
        };
        let entries = seen["blkio"][list].as_array().unwrap_or_else(|| panic!("{list} in {seen:#}"));
        let written = entries.iter().find(is_it).unwrap_or_else(|| panic!("{list} in {seen:#}"));
        assert!(written["value"].as_u64().unwrap() >= least, "{written:#}");
    }
}

#[test]
fn huge_pages_are_limited_and_counted() {
    require!(root, busybox);
    let layout = Layout::detect().unwrap();
    if !layout.offers("hugetlb") || !PathBuf::from("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        skipped("this host has no control groups for huge pages of 2 MB");
        return;
    }
    let mut container = Container::new();
    let limits = json!([{"pageSize": "2MB", "limit": 4 << 20}]);
    container.config["linux"]["resources"] = json!({"hugepageLimits": limits});
    container.script("sleep 1000");
    let created = container.create();
    assert_eq!((created.err.as_str(), created.code), ("", 0));
    let files = ["hugetlb.2MB.max", "hugetlb.2MB.limit_in_bytes"];
    let mounts = layout.hierarchies().iter().map(|one| &one.mount);
    let dirs =
        mounts.chain(layout.unified().map(|one| &one.mount)).map(|mount| mount.join(container.group()));
    let found = dirs.flat_map(|dir| files.map(|file| dir.join(file))).find(|path| path.exists()).unwrap();
    assert_eq!(fs::read_to_string(found).unwrap().trim(), (4 << 20).to_string());
    assert_eq!(container.oci(&["start", &container.id]).code, 0);
    let pages = &stats(&container)["hugetlb"]["2MB"];
    assert_eq!((&pages["usage"], &pages["failcnt"]), (&json!(0), &json!(0)));
}

#[test]
fn the_stream_tells_the_use_every_so_often_and_when_memory_runs_out() {
    require!(root, busybox, cgroup_memory);
    let mut container = Container::new();
    container.config["linux"]["resources"] = json!({"memory": {"limit": 16 << 20, "swap": 16 << 20}});
    let go = container.rootfs().join("tmp/go");
    container.script("while ! test -e /tmp/go; do sleep 0.1; done; tail /dev/zero; sleep 1000");
    container.start();
    let mut events = container
        .command(&["events", "--interval", "50ms", &container.id])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let mut next = |kind: &str| -> Value {
        lines
            .by_ref()
            .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
            .find(|line| line["type"] == kind)
            .unwrap()
    };
    for _ in 0..3 {
        assert_eq!(next("stats")["id"], container.id);
    }
    fs::write(&go, "").unwrap();
    let told = next("oom");
    assert_eq!(told, json!({"type": "oom", "id": container.id}));
    assert_eq!(container.oci(&["delete", "--force", &container.id]).code, 0);
    // It ends with the container.
    assert!(events.wait().unwrap().success());
    let wrong = container.oci(&["events", "--interval", "soon", &container.id]);
    assert_ne!(wrong.code, 0);
}
