//! restartPolicy: started again inside the same task.

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    stage::{FOREVER, container, definition, one},
    tasks::with,
    wait_for,
};

fn again(container: Value, ignored: &[i32]) -> Value {
    let policy = json!({ "enabled": true, "restartAttemptPeriod": 60, "ignoredExitCodes": ignored });
    with(container, json!({ "restartPolicy": policy }))
}

#[test]
fn a_container_that_dies_too_fast_is_not_started_again() {
    require!(host, busybox);
    let instance = Instance::with_busybox("fast");
    let (id, task) = instance.ran(&definition("fast", &[again(container("app", "echo once; exit 1"), &[])]));
    assert_eq!(one(&task, "app")["exitCode"], 1, "{task:#}");
    assert_eq!(instance.said(&id, "app"), "once\n");
    assert_eq!(one(&instance.stored(&id), "app")["restarts"], 0);
}

/// The shortest period that ECS allows is a minute, so this test is a minute long.
#[test]
fn a_container_that_ran_for_its_period_is_started_again_unless_its_code_is_ignored() {
    require!(host, busybox);
    let instance = Instance::with_busybox("again");
    let optional = |container| with(container, json!({ "essential": false }));
    let lives = |code: i32| {
        format!("echo up; [ -e /tmp/again ] || {{ touch /tmp/again; sleep 61; exit {code}; }}; {FOREVER}")
    };
    let containers =
        [again(container("app", &lives(1)), &[]), optional(again(container("ignored", &lives(7)), &[7]))];
    let id = instance.launch(&definition("again", &containers));
    let first = instance.running(&id);
    wait_for("the restart", std::time::Duration::from_secs(150), || {
        let stored = instance.stored(&id);
        let again = one(&stored, "app")["restarts"] == 1 && one(&stored, "app")["knownStatus"] == "RUNNING";
        let again = again && instance.said(&id, "app").lines().count() == 2;
        (again && one(&stored, "ignored")["knownStatus"] == "STOPPED").then_some(())
    });
    let task = instance.task(&id);
    assert_eq!(instance.said(&id, "app"), "up\nup\n", "with the files that it had");
    assert_eq!(instance.said(&id, "ignored"), "up\n");
    assert_eq!(one(&task, "ignored")["exitCode"], 7);
    assert_eq!(one(&task, "app")["lastStatus"], "RUNNING");
    assert_eq!(
        (&task["lastStatus"], &task["startedAt"]),
        (&json!("RUNNING"), &first["startedAt"]),
        "{task:#}"
    );
}
