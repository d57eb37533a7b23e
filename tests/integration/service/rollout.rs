//! Rolling updates.

use serde_json::{Value, json};

use crate::harness::{
    Instance, PATIENCE, require,
    stage::{FOREVER, container, definition, stays},
    tasks::with,
    wait_for,
};

/// A configuration in which a task that runs counts as healthy at once.
const QUICK: &str = "[services]\nhealthy_after = 0\n";

fn revision(instance: &Instance, word: &str) -> String {
    instance.register(definition("app", &[container("app", &stays(&format!("echo {word}")))]))
}

/// Waits until every task of the service is of `arn`.
fn until_all_are(instance: &Instance, service: &str, arn: &str, count: u32) -> Vec<String> {
    wait_for(&format!("{count} tasks of {arn}"), PATIENCE, || {
        let ids = instance.steady(service, count);
        ids.iter().all(|id| instance.task(id)["taskDefinitionArn"] == arn).then_some(ids)
    })
}

/// How many tasks of the service run and are on their way.
fn counts(service: &Value) -> (u64, u64) {
    (service["runningCount"].as_u64().unwrap(), service["pendingCount"].as_u64().unwrap())
}

#[test]
fn an_update_replaces_every_task_and_never_falls_below_its_bounds() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("rolling", QUICK);
    let one = revision(&instance, "one");
    instance.service("app", &one, 3);
    let before = instance.steady("app", 3);
    let two = revision(&instance, "two");
    instance.api("UpdateService", json!({ "service": "app", "taskDefinition": two }));
    let mut least = u64::MAX;
    let mut most = 0;
    let described = instance.until_service("app", "the end of the update", |service| {
        let (running, pending) = counts(service);
        least = least.min(running);
        most = most.max(running + pending);
        let deployments = service["deployments"].as_array().unwrap();
        let done = deployments.len() == 1 && deployments[0]["rolloutState"] == "COMPLETED";
        (done && deployments[0]["taskDefinition"] == two).then(|| service.clone())
    });
    assert!(least >= 3, "never fewer than {least} ran; {described:#}");
    assert!(most <= 6, "never more than {most}");
    let after = until_all_are(&instance, "app", &two, 3);
    assert!(after.iter().all(|id| !before.contains(id)));
    for id in &before {
        let task = instance.stopped(id);
        assert_eq!(task["stopCode"], "ServiceSchedulerInitiated", "{task:#}");
    }
    let events = instance.events("app");
    assert!(events.iter().any(|event| event.contains("deployment completed")), "{events:#?}");
}

#[test]
fn an_update_may_stop_first_where_its_bounds_say_so() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("stop-first", QUICK);
    let bounds = json!({ "deploymentConfiguration": { "minimumHealthyPercent": 0, "maximumPercent": 100 } });
    instance.service_with("app", &revision(&instance, "one"), 2, bounds);
    instance.steady("app", 2);
    let two = revision(&instance, "two");
    instance.api("UpdateService", json!({ "service": "app", "taskDefinition": two }));
    let mut most = 0;
    instance.until_service("app", "the end of the update", |service| {
        let (running, pending) = counts(service);
        most = most.max(running + pending);
        (service["deployments"].as_array().unwrap().len() == 1).then_some(())
    });
    assert!(most <= 2, "never more than {most}");
    until_all_are(&instance, "app", &two, 2);
}

#[test]
fn bounds_that_allow_no_step_are_told() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("stuck", QUICK);
    let bounds = |least: u32, most: u32| json!({ "deploymentConfiguration": { "minimumHealthyPercent": least, "maximumPercent": most } });
    instance.service_with("app", &revision(&instance, "one"), 2, bounds(100, 100));
    let before = instance.steady("app", 2);
    let two = revision(&instance, "two");
    instance.api("UpdateService", json!({ "service": "app", "taskDefinition": two }));
    instance.until_service("app", "the event", |_| {
        let events = instance.events("app");
        events.iter().any(|event| event.contains("minimumHealthyPercent or maximumPercent")).then_some(())
    });
    assert_eq!(instance.ids_of("app"), before);
    instance.api("UpdateService", with(json!({ "service": "app" }), bounds(50, 100)));
    until_all_are(&instance, "app", &two, 2);
}

#[test]
fn an_update_to_something_broken_leaves_the_old_tasks_and_can_be_taken_back() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("broken", QUICK);
    let good = instance.register(definition("app", &[container("app", FOREVER)]));
    instance.service("app", &good, 2);
    let before = instance.steady("app", 2);
    let bad = with(container("app", ""), json!({ "command": ["/no/such/program"] }));
    let broken = instance.register(definition("app", &[bad]));
    instance.api("UpdateService", json!({ "service": "app", "taskDefinition": broken }));
    instance.until_service("app", "a failure of the new deployment", |service| {
        let primary = service["deployments"].as_array()?.iter().find(|one| one["status"] == "PRIMARY")?;
        (primary["failedTasks"].as_u64()? >= 2).then_some(())
    });
    for id in &before {
        assert_eq!(instance.task(id)["lastStatus"], "RUNNING", "the old ones go on");
    }
    // One of the old ones dies in the middle of it: it comes back as what it was.
    instance.stop(&before[0]);
    wait_for("the old revision's replacement", PATIENCE, || {
        let ids = instance.ids_of("app");
        let old = ids.iter().filter(|id| {
            let task = instance.task(id);
            task["taskDefinitionArn"] == good && task["lastStatus"] == "RUNNING"
        });
        (old.count() == 2).then_some(())
    });
    instance.api("UpdateService", json!({ "service": "app", "taskDefinition": good }));
    until_all_are(&instance, "app", &good, 2);
}

#[test]
fn a_new_deployment_can_be_forced_though_nothing_changed() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("forced", QUICK);
    let arn = revision(&instance, "one");
    instance.service("app", &arn, 1);
    let before = instance.steady("app", 1);
    instance.cli(&["service", "update", "app", "--force-new-deployment", "--wait"]).ok();
    wait_for("another task", PATIENCE, || Some(instance.steady("app", 1)).filter(|ids| *ids != before));
}

#[test]
fn a_deregistered_revision_still_holds_its_count() {
    require!(host, busybox);
    let instance = Instance::with_busybox("inactive");
    let arn = revision(&instance, "one");
    instance.service("app", &arn, 1);
    let before = instance.steady("app", 1);
    instance.api("DeregisterTaskDefinition", json!({ "taskDefinition": arn }));
    let refused = instance.call("RunTask", json!({ "taskDefinition": arn })).unwrap_err();
    assert_eq!(refused.code(), Some("ClientException"), "{refused}");
    instance.stop(&before[0]);
    wait_for("the replacement", PATIENCE, || Some(instance.steady("app", 1)).filter(|ids| *ids != before));
}
