//! Container health checks.

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    stage::{FOREVER, container, definition, one},
    tasks::with,
};

fn checked(name: &str, command: &[&str]) -> Value {
    let check = json!({ "command": command, "interval": 5, "timeout": 2, "retries": 1 });
    with(container(name, FOREVER), json!({ "healthCheck": check }))
}

#[test]
fn the_verdicts_of_checks_are_told_and_a_standalone_task_goes_on() {
    require!(host, busybox);
    let instance = Instance::with_busybox("health");
    let optional = json!({ "essential": false });
    let containers = [
        checked("good", &["CMD", "/bin/true"]),
        with(checked("shell", &["CMD-SHELL", "test \"$0\" && test -d /var/www"]), optional.clone()),
        with(checked("bad", &["CMD", "/bin/false"]), optional.clone()),
        with(checked("hangs", &["CMD", "sleep", "1000"]), optional.clone()),
        with(checked("missing", &["CMD", "/no/such/program"]), optional.clone()),
        with(container("unchecked", FOREVER), optional),
    ];
    let id = instance.launch(&definition("health", &containers));
    let task = instance.running(&id);
    assert_eq!(one(&task, "good")["healthStatus"], "UNKNOWN", "no verdict before the first check: {task:#}");
    let verdicts = [
        ("good", "HEALTHY"),
        ("shell", "HEALTHY"),
        ("bad", "UNHEALTHY"),
        ("hangs", "UNHEALTHY"),
        ("missing", "UNHEALTHY"),
        ("unchecked", "UNKNOWN"),
    ];
    let task = instance.until(&id, "every verdict", |task| {
        verdicts
            .iter()
            .all(|(name, verdict)| one(task, name)["healthStatus"] == *verdict)
            .then(|| task.clone())
    });
    assert_eq!(task["healthStatus"], "HEALTHY", "essential containers alone count: {task:#}");
    assert_eq!(task["lastStatus"], "RUNNING");
}

#[test]
fn a_container_becomes_healthy_again() {
    require!(host, busybox);
    let instance = Instance::with_busybox("again");
    let id = instance.launch(&definition("again", &[checked("app", &["CMD-SHELL", "test -e /tmp/well"])]));
    instance.until(&id, "UNHEALTHY", |task| (task["healthStatus"] == "UNHEALTHY").then_some(()));
    let root = format!("/proc/{}/root/tmp/well", instance.pid(&id, "app"));
    std::fs::write(root, "").unwrap();
    instance.until(&id, "HEALTHY", |task| (task["healthStatus"] == "HEALTHY").then_some(()));
}
