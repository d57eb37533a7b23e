//! A container that takes all it can get, beside one that only wants to go on.

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    stage::{FOREVER, container, definition},
    tasks::with,
};

/// Runs a glutton beside a quiet container, and looks whether the quiet one still works.
fn beside(instance: &Instance, glutton: &Value, check: impl Fn(&Instance, &str)) {
    let quiet = container("quiet", FOREVER);
    let id = instance
        .launch(&definition("beside", &[quiet, with(glutton.clone(), json!({ "essential": false }))]));
    instance.running(&id);
    check(instance, &id);
    let answer =
        instance.cli(&["exec", &id, "quiet", "--", "sh", "-c", "for i in 1 2 3; do echo $i | cat; done"]);
    assert_eq!((answer.out.as_str(), answer.code), ("1\n2\n3\n", 0), "{}", answer.err);
    assert_eq!(instance.says(&container("other", "echo well")), "well\n");
    instance.stop(&id);
}

#[test]
fn one_that_forks_without_end_reaches_its_own_limit_only() {
    require!(host, busybox, cgroup_pids);
    let instance = Instance::with_busybox_and("forks", "[containers]\npids_limit = 64\n");
    // A shell that cannot fork ends, so one inside does the forking, and what comes after it needs no process more.
    let bomb = "(i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done) 2>/dev/null; exec sleep 1000";
    let glutton = with(container("glutton", bomb), json!({ "stopTimeout": 2 }));
    beside(&instance, &glutton, |instance, id| {
        let group = format!("{id}/glutton");
        crate::harness::wait_for("the limit", crate::harness::PATIENCE, || {
            let events = instance.cgroup_file(&group, ("pids", "pids.events"), "pids.events");
            (!events.ends_with("max 0")).then_some(())
        });
    });
}

#[test]
fn one_that_takes_memory_ends_alone() {
    require!(host, busybox, cgroup_memory);
    let instance = Instance::with_busybox("takes-memory");
    let glutton = with(container("glutton", "head -c 300m /dev/zero | tail"), json!({ "memory": 16 }));
    beside(&instance, &glutton, |instance, id| {
        let end = instance.until(id, "the glutton's end", |task| {
            let is_over = |one: &&Value| one["name"] == "glutton" && one["lastStatus"] == "STOPPED";
            task["containers"].as_array()?.iter().find(is_over).cloned()
        });
        assert_eq!(end["exitCode"], 137, "{end:#}");
        assert!(end["reason"].to_string().contains("OutOfMemory"), "{end:#}");
    });
}

#[test]
fn one_that_floods_its_log_keeps_to_its_room() {
    require!(host, busybox);
    let instance = Instance::with_busybox("floods");
    let options = json!({ "logConfiguration": {
        "logDriver": "json-file", "options": { "max-size": "1m", "max-file": "2" },
    } });
    let glutton = with(container("glutton", "yes $(seq 1 200)"), options);
    beside(&instance, &glutton, |instance, id| {
        let logs = instance.path("state/logs").join(id);
        let size = || -> u64 {
            let entries = std::fs::read_dir(&logs).into_iter().flatten().flatten();
            entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
        };
        let mut looks = 0;
        crate::harness::wait_for("a second file", crate::harness::PATIENCE, || {
            assert!(size() < 4 << 20, "{} bytes", size());
            looks += u32::from(logs.join("glutton.log.1").exists());
            (looks > 20).then_some(())
        });
    });
}

#[test]
fn one_that_fills_its_memory_disk_fills_nobody_elses() {
    require!(host, busybox);
    let instance = Instance::with_busybox("fills");
    let tmpfs = json!({
        "linuxParameters": { "tmpfs": [{ "containerPath": "/full", "size": 2 }], "sharedMemorySize": 2 },
        "stopTimeout": 2, "memory": 256,
    });
    let script =
        "head -c 9m /dev/zero >/full/x; head -c 9m /dev/zero >/dev/shm/x; head -c 99m /dev/zero >/dev/x
        echo over; sleep 1000";
    beside(&instance, &with(container("glutton", script), tmpfs), |instance, id| {
        instance.printed(id, "glutton", "over");
        let used = instance
            .cli(&["exec", id, "glutton", "--", "sh", "-c", "stat -c %s /full/x /dev/shm/x /dev/x"])
            .ok();
        let sizes: Vec<u64> = used.lines().map(|line| line.parse().unwrap()).collect();
        assert!(sizes[0] <= 2 << 20 && sizes[1] <= 2 << 20 && sizes[2] <= 64 << 20, "{used}");
        let free = instance
            .cli(&["exec", id, "quiet", "--", "sh", "-c", "echo x >/dev/shm/x && cat /dev/shm/x"])
            .ok();
        assert_eq!(free, "x\n");
    });
}
