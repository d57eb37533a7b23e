//! Memory, processor and process limits: in the cgroup's own files, and what happens at them.

use serde_json::json;

use crate::harness::{
    Instance, require,
    stage::{FOREVER, container, definition, one, word},
    tasks::with,
};

#[test]
fn limits_are_in_the_cgroups_of_the_container_and_of_its_task() {
    require!(host, busybox, cgroup_memory, cgroup_cpu);
    let instance = Instance::with_busybox("limits");
    let app = with(container("app", FOREVER), json!({ "cpu": 256, "memory": 48, "memoryReservation": 24 }));
    let document = with(definition("limits", &[app]), json!({ "cpu": "512", "memory": "128" }));
    let id = instance.launch(&document);
    instance.running(&id);
    let own = format!("{id}/app");
    let mebibytes = |text: &str| text.parse::<u64>().unwrap() >> 20;
    let hard = ("memory", "memory.limit_in_bytes");
    assert_eq!(mebibytes(&instance.cgroup_file(&own, hard, "memory.max")), 48);
    assert_eq!(mebibytes(&instance.cgroup_file(&id, hard, "memory.max")), 128);
    let soft = ("memory", "memory.soft_limit_in_bytes");
    assert_eq!(mebibytes(&instance.cgroup_file(&own, soft, "memory.low")), 24);
    let weight = instance.cgroup_file(&own, ("cpu", "cpu.shares"), "cpu.weight");
    assert!(["256", "35", "10"].contains(&weight.as_str()), "{weight}");
    let quota = instance.cgroup_file(&id, ("cpu", "cpu.cfs_quota_us"), "cpu.max");
    assert!(["50000", "50000 100000"].contains(&quota.as_str()), "half a processor: {quota}");
    let members = instance.cgroup_file(&own, ("memory", "cgroup.procs"), "cgroup.procs");
    assert!(members.lines().any(|pid| pid == instance.pid(&id, "app").to_string()), "{members}");
}

#[test]
fn the_number_of_processes_is_limited() {
    require!(host, busybox, cgroup_pids);
    let instance = Instance::with_busybox_and("pids", "[containers]\npids_limit = 20\n");
    let script = "i=0; while [ $i -lt 40 ]; do sleep 1000 & i=$((i+1)); done 2>&1; echo survived";
    let id = instance.launch(&definition("pids", &[container("app", script)]));
    let task = instance.stopped(&id);
    let said = instance.said(&id, "app");
    assert!(said.contains("can't fork"), "{said} {task:#}");
}

#[test]
fn a_container_out_of_memory_is_told_with_its_name_and_its_limit() {
    require!(host, busybox, cgroup_memory);
    let instance = Instance::with_busybox("oom");
    let hungry = with(container("hungry", "exec tail /dev/zero"), json!({ "memory": 16 }));
    let (_, task) = instance.ran(&definition("oom", &[hungry]));
    let hungry = one(&task, "hungry");
    assert_eq!(hungry["exitCode"], 137, "{task:#}");
    let reason = word(hungry, "reason");
    assert!(reason.starts_with("OutOfMemoryError: Container killed due to memory usage"), "{reason}");
    assert!(reason.contains("hungry") && reason.contains("16 MiB"), "{reason}");
    assert_eq!(task["stopCode"], "EssentialContainerExited");
}

#[test]
fn a_task_out_of_memory_is_told_with_the_limit_of_the_task() {
    require!(host, busybox, cgroup_memory);
    let instance = Instance::with_busybox("task-oom");
    let mut hungry = container("hungry", "exec tail /dev/zero");
    hungry.as_object_mut().unwrap().remove("memory");
    let (_, task) = instance.ran(&with(definition("task-oom", &[hungry]), json!({ "memory": "24" })));
    let hungry = one(&task, "hungry");
    assert_eq!(hungry["exitCode"], 137, "{task:#}");
    let reason = word(hungry, "reason");
    assert!(reason.starts_with("OutOfMemoryError: ") && reason.contains("24 MiB"), "{reason}");
}

#[test]
fn a_child_out_of_memory_does_not_end_its_container() {
    require!(host, busybox, cgroup_memory);
    let instance = Instance::with_busybox("child-oom");
    let app = with(container("app", "tail /dev/zero; echo child $?"), json!({ "memory": 16 }));
    assert!(instance.says(&app).ends_with("child 137\n"));
}

#[test]
fn what_a_container_sees_of_its_cgroup_is_its_own() {
    require!(host, busybox);
    let instance = Instance::with_busybox("cgroup-ns");
    let said = instance.says(&container("app", "cat /proc/self/cgroup"));
    assert!(said.lines().all(|line| line.ends_with(":/")), "{said}");
}

#[test]
fn an_override_changes_the_limits_of_one_run() {
    require!(host, busybox, cgroup_memory);
    let instance = Instance::with_busybox("override");
    let change = json!({ "overrides": { "containerOverrides": [{ "name": "app", "memory": 32 }] } });
    let id = instance.launch_with(&definition("override", &[container("app", FOREVER)]), change);
    instance.running(&id);
    let limit = instance.cgroup_file(&format!("{id}/app"), ("memory", "memory.limit_in_bytes"), "memory.max");
    assert_eq!(limit.parse::<u64>().unwrap() >> 20, 32);
}
