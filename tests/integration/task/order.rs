//! dependsOn: what a container waits for in another, and what becomes of it when that does not come.

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    stage::{FOREVER, after, container, definition, one, stays, word},
    tasks::with,
};

fn optional(container: Value) -> Value {
    with(container, json!({ "essential": false }))
}

#[test]
fn a_container_starts_after_the_one_it_needs_has_started() {
    require!(host, busybox);
    let instance = Instance::with_busybox("start");
    // Listed first and started last.
    let app = with(container("app", FOREVER), after("db", "START"));
    let id = instance.launch(&definition("start", &[app, container("db", FOREVER)]));
    instance.running(&id);
    let stored = instance.stored(&id);
    let started = |name: &str| one(&stored, name)["startedAt"].to_string();
    assert!(started("db") <= started("app"), "{stored:#}");
}

#[test]
fn a_container_waits_for_the_success_of_a_migration() {
    require!(host, busybox);
    let instance = Instance::with_busybox("success");
    let on = |container: Value| {
        with(container, json!({ "mountPoints": [{ "sourceVolume": "v", "containerPath": "/v" }] }))
    };
    let migrate = on(optional(container("migrate", "usleep 200000; echo done >/v/migrated")));
    let app = on(with(container("app", "cat /v/migrated"), after("migrate", "SUCCESS")));
    let document = with(definition("migrate", &[app, migrate]), json!({ "volumes": [{ "name": "v" }] }));
    assert_eq!(instance.says_in(&document), "done\n");
}

#[test]
fn a_failed_migration_keeps_the_application_from_starting() {
    require!(host, busybox);
    let instance = Instance::with_busybox("fails");
    let app = with(container("app", "echo never"), after("migrate", "SUCCESS"));
    let (id, task) = instance.ran(&definition("fails", &[app, optional(container("migrate", "exit 3"))]));
    assert_eq!(one(&task, "app")["exitCode"], 143, "{task:#}");
    assert!(
        word(one(&task, "app"), "reason").starts_with("CannotStartContainerError: dependency graph:"),
        "{task:#}"
    );
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    assert_eq!(one(&task, "migrate")["exitCode"], 3);
    assert!(task.get("startedAt").is_none(), "it never ran: {task:#}");
    assert_eq!(instance.said(&id, "app"), "");
}

#[test]
fn completion_is_enough_for_a_container_that_asks_no_more() {
    require!(host, busybox);
    let instance = Instance::with_busybox("complete");
    let app = with(container("app", "echo ran"), after("warm", "COMPLETE"));
    let document = definition("complete", &[app, optional(container("warm", "exit 9"))]);
    assert_eq!(instance.says_in(&document), "ran\n");
}

#[test]
fn a_container_waits_for_the_health_of_another() {
    require!(host, busybox);
    let instance = Instance::with_busybox("healthy");
    let check = json!({ "healthCheck": {
        "command": ["CMD-SHELL", "test -e /tmp/ready"], "interval": 5, "timeout": 2, "retries": 2 } });
    let cache = with(container("cache", &stays("touch /tmp/ready")), check);
    let app = with(container("app", "echo ran"), after("cache", "HEALTHY"));
    assert_eq!(instance.says_in(&definition("healthy", &[app, cache])), "ran\n");
}

#[test]
fn a_dependency_that_is_late_ends_its_dependent_with_143() {
    require!(host, busybox);
    let instance = Instance::with_busybox("late");
    let slow = with(optional(container("slow", FOREVER)), json!({ "startTimeout": 2 }));
    let app = with(container("app", "echo never"), after("slow", "COMPLETE"));
    let (_, task) = instance.ran(&definition("late", &[app, slow]));
    assert_eq!(one(&task, "app")["exitCode"], 143, "{task:#}");
    let reason = word(one(&task, "app"), "reason");
    assert!(
        reason.starts_with("CannotStartContainerError: dependency graph:") && reason.contains("slow"),
        "{reason}"
    );
    assert_eq!(one(&task, "slow")["exitCode"], 0, "it was stopped in good order: {task:#}");
}

#[test]
fn an_optional_container_that_waits_in_vain_leaves_the_task_running() {
    require!(host, busybox);
    let instance = Instance::with_busybox("vain");
    let seed = with(optional(container("seed", FOREVER)), json!({ "startTimeout": 2 }));
    let late = with(optional(container("late", "echo never")), after("seed", "COMPLETE"));
    let id = instance.launch(&definition("vain", &[container("app", FOREVER), seed, late]));
    instance
        .until(&id, "the late container's end", |task| (one(task, "late")["exitCode"] == 143).then_some(()));
    assert_eq!(instance.running(&id)["desiredStatus"], "RUNNING");
}
