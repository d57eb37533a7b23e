//! Crash loops: they back off, they say so, and they hurt nobody else.

use serde_json::json;

use crate::harness::{
    Instance, PATIENCE, require,
    stage::{FOREVER, container, definition},
    tasks::with,
    wait_for,
};

#[test]
fn a_crash_loop_backs_off_and_says_so() {
    require!(host, busybox);
    let instance = Instance::with_busybox("loop");
    let bad = with(container("app", ""), json!({ "command": ["/no/such/program"] }));
    instance.service("bad", &instance.register(definition("bad", &[bad])), 1);
    let complaint = "(service bad) is unable to consistently start tasks successfully.";
    instance.until_service("bad", complaint, |_| {
        instance.events("bad").iter().any(|event| event == complaint).then_some(())
    });
    let stopped = instance.api("ListTasks", json!({ "serviceName": "bad", "desiredStatus": "STOPPED" }));
    let count = stopped["taskArns"].as_array().unwrap().len();
    assert!(count < 10, "{count} tasks before the first complaint");
    let described = instance.described("bad");
    assert!(described["deployments"][0]["failedTasks"].as_u64().unwrap() >= 1, "{described:#}");
    let told = instance.events("bad").iter().filter(|event| *event == complaint).count();
    assert_eq!(told, 1, "a complaint is not repeated");
}

#[test]
fn a_crash_loop_does_not_hold_up_another_service() {
    require!(host, busybox);
    let instance = Instance::with_busybox("starve");
    let bad = instance.register(definition("bad", &[container("app", "exit 1")]));
    for name in ["bad-1", "bad-2", "bad-3"] {
        instance.service(name, &bad, 2);
    }
    let good = instance.register(definition("good", &[container("app", FOREVER)]));
    instance.service("good", &good, 2);
    let before = instance.steady("good", 2);
    instance.stop(&before[0]);
    wait_for("the replacement", PATIENCE, || {
        Some(instance.steady("good", 2)).filter(|ids| !ids.contains(&before[0]))
    });
}

#[test]
fn a_new_revision_ends_the_wait_of_a_crash_loop() {
    require!(host, busybox);
    let instance = Instance::with_busybox("mended");
    let bad = instance.register(definition("app", &[container("app", "exit 1")]));
    instance.service("app", &bad, 1);
    instance.until_service("app", "some failures", |service| {
        (service["deployments"][0]["failedTasks"].as_u64()? >= 3).then_some(())
    });
    let good = instance.register(definition("app", &[container("app", FOREVER)]));
    instance.api("UpdateService", json!({ "service": "app", "taskDefinition": good }));
    let ids = instance.steady("app", 1);
    assert_eq!(instance.task(&ids[0])["taskDefinitionArn"], good);
}

#[test]
fn an_image_that_cannot_be_pulled_is_told_on_every_task() {
    require!(host);
    let instance = Instance::start("no-image");
    let app = with(container("app", "true"), json!({ "image": "127.0.0.1:1/none:1" }));
    instance.service("none", &instance.register(definition("none", &[app])), 1);
    let reason = wait_for("a failed task", PATIENCE, || {
        let stopped = instance.api("ListTasks", json!({ "serviceName": "none", "desiredStatus": "STOPPED" }));
        let arn = stopped["taskArns"][0].as_str()?.to_owned();
        let task = instance.api("DescribeTasks", json!({ "tasks": [arn] }));
        let task = &task["tasks"][0];
        (task["lastStatus"] == "STOPPED")
            .then(|| task["stoppedReason"].as_str().unwrap_or_default().to_owned())
    });
    assert!(reason.starts_with("CannotPullContainerError: "), "{reason}");
}
