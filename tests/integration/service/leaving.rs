//! A host that is to be emptied, tasks that are protected, and a service on each host.

use serde_json::{Value, json};

use crate::harness::{
    Instance, PATIENCE, require,
    stage::{FOREVER, container, definition, word},
    wait_for,
};

fn forever(instance: &Instance, family: &str) -> String {
    instance.register(definition(family, &[container("app", FOREVER)]))
}

/// Sets what this host is to the default cluster.
fn set_host(instance: &Instance, status: &str) {
    let arns = instance.api("ListContainerInstances", json!({}))["containerInstanceArns"].clone();
    instance.api("UpdateContainerInstancesState", json!({ "containerInstances": arns, "status": status }));
}

fn protect(instance: &Instance, ids: &[String], enabled: bool) -> Value {
    let input = json!({ "cluster": "default", "tasks": ids, "protectionEnabled": enabled });
    instance.api("UpdateTaskProtection", input)
}

#[test]
fn a_host_that_drains_loses_services_as_far_as_they_allow_and_keeps_standalone_tasks() {
    require!(host, busybox);
    let instance = Instance::with_busybox("draining");
    let arn = forever(&instance, "web");
    let bounds = json!({ "deploymentConfiguration": { "minimumHealthyPercent": 50 } });
    instance.service_with("half", &arn, 2, bounds);
    instance.service("whole", &arn, 1);
    let none = json!({ "deploymentConfiguration": { "minimumHealthyPercent": 0 } });
    instance.service_with("none", &arn, 2, none);
    let daemon = json!({ "serviceName": "each", "taskDefinition": arn, "schedulingStrategy": "DAEMON" });
    instance.api("CreateService", daemon);
    let alone = instance.launch(&definition("alone", &[container("app", FOREVER)]));
    instance.running(&alone);
    let whole = instance.steady("whole", 1);
    instance.steady("half", 2);
    let gone = instance.steady("none", 2);
    let each = instance.steady("each", 1);
    set_host(&instance, "DRAINING");
    for id in &gone {
        let task = instance.stopped(id);
        assert_eq!(word(&task, "stopCode"), "ServiceSchedulerInitiated");
        assert!(
            word(&task, "stoppedReason").starts_with("Scaling activity initiated by (deployment ecs-svc/")
        );
    }
    instance.until_service("half", "one task", |one| (one["runningCount"] == 1).then_some(()));
    let complaint = "was unable to place a task because no container instance met all of its requirements. Reason: No \
                     Container Instances were found in your cluster.";
    for name in ["half", "none"] {
        instance.until_service(name, "the reason among the events", |_| {
            instance.events(name).iter().any(|event| event.contains(complaint)).then_some(())
        });
    }
    assert_eq!(instance.ids_of("whole"), whole, "all of it has to stay healthy");
    assert_eq!(instance.ids_of("each"), each, "while there are others the daemon service stays");
    assert_eq!(instance.task(&alone)["lastStatus"], "RUNNING");
    set_host(&instance, "ACTIVE");
    instance.steady("half", 2);
    instance.steady("none", 2);
    assert_eq!(instance.ids_of("whole"), whole);
    for name in ["half", "whole", "none"] {
        instance.api("UpdateService", json!({ "service": name, "desiredCount": 0 }));
        instance.steady(name, 0);
    }
    set_host(&instance, "DRAINING");
    assert_eq!(word(&instance.stopped(&each[0]), "stopCode"), "ServiceSchedulerInitiated");
    instance.until_service("each", "no task wanted", |one| (one["desiredCount"] == 0).then_some(()));
    assert_eq!(instance.task(&alone)["lastStatus"], "RUNNING");
    set_host(&instance, "ACTIVE");
    instance.steady("each", 1);
    assert_eq!(instance.described("each")["desiredCount"], 1);
}

#[test]
fn a_protected_task_outlives_scaling_in_and_a_deployment_and_no_stop() {
    require!(host, busybox);
    let instance = Instance::with_busybox("protected");
    let first = forever(&instance, "web");
    instance.service("web", &first, 3);
    let ids = instance.steady("web", 3);
    let answer = protect(&instance, &ids[..1], true);
    assert_eq!(answer["protectedTasks"][0]["protectionEnabled"], true, "{answer:#}");
    instance.api("UpdateService", json!({ "service": "web", "desiredCount": 1 }));
    assert_eq!(instance.steady("web", 1), ids[..1], "the others went, though it is no newer");

    // None is wanted, and the task stays: the service says why it does not come to rest.
    instance.api("UpdateService", json!({ "service": "web", "desiredCount": 0 }));
    let sentence = "was unable to scale in. Reason: The number of protected tasks are more than the desired count of tasks.";
    instance.until_service("web", "the reason among the events", |_| {
        instance.events("web").iter().any(|event| event.contains(sentence)).then_some(())
    });
    assert_eq!(instance.ids_of("web"), ids[..1]);
    assert_eq!(instance.task(&ids[0])["lastStatus"], "RUNNING");

    instance.api("UpdateService", json!({ "service": "web", "desiredCount": 1 }));
    let second = forever(&instance, "web");
    instance.api("UpdateService", json!({ "service": "web", "taskDefinition": second }));
    let new = wait_for("a task of the new revision", PATIENCE, || {
        let others = instance.ids_of("web").into_iter().filter(|id| *id != ids[0]);
        others.into_iter().find(|id| instance.task(id)["lastStatus"] == "RUNNING")
    });
    let described = instance.described("web");
    assert_eq!(described["deployments"].as_array().map(Vec::len), Some(2), "{described:#}");
    assert_eq!(instance.task(&ids[0])["lastStatus"], "RUNNING", "the old task is protected");
    let given = instance.api("GetTaskProtection", json!({ "cluster": "default", "tasks": [ids[0]] }));
    assert_eq!(given["protectedTasks"][0]["protectionEnabled"], true, "{given:#}");

    // StopTask is no scaling in; and once nothing is protected the deployment is through.
    protect(&instance, &ids[..1], false);
    assert_eq!(word(&instance.stopped(&ids[0]), "stopCode"), "ServiceSchedulerInitiated");
    assert_eq!(instance.steady("web", 1), std::slice::from_ref(&new));
    protect(&instance, std::slice::from_ref(&new), true);
    assert_eq!(word(&instance.stop(&new), "stopCode"), "UserInitiated");
    wait_for("the replacement", PATIENCE, || Some(instance.steady("web", 1)).filter(|ids| ids[0] != new));
}

#[test]
fn a_service_waits_for_a_host_that_meets_its_rules() {
    require!(host, busybox);
    let instance = Instance::with_busybox("rules");
    let arn = forever(&instance, "web");
    let rack = json!([{ "type": "memberOf", "expression": "attribute:rack == 7" }]);
    instance.service_with("web", &arn, 1, json!({ "placementConstraints": rack }));
    let daemon = json!({
        "serviceName": "each", "taskDefinition": arn, "schedulingStrategy": "DAEMON", "placementConstraints": rack,
    });
    instance.api("CreateService", daemon);
    let distinct = json!({ "placementConstraints": [{ "type": "distinctInstance" }] });
    instance.service_with("two", &arn, 2, distinct);
    for (name, why) in [("web", "MemberOf"), ("two", "DistinctInstance")] {
        let sentence = format!("encountered error \"{why} placement constraint unsatisfied.\".");
        instance.until_service(name, &sentence, |_| {
            instance.events(name).iter().any(|event| event.contains(&sentence)).then_some(())
        });
    }
    assert_eq!(instance.ids_of("web").len(), 0);
    instance.until_service("two", "one task", |one| (one["runningCount"] == 1).then_some(()));
    let told = instance.cli(&["explain", "web"]).ok();
    for words in
        ["MemberOf placement constraint unsatisfied", "attribute:rack == 7", "attribute:rack is nothing"]
    {
        assert!(told.contains(words), "{told}");
    }
    // A DAEMON service has no task to wait for where its rules do not hold.
    instance.until_service("each", "no task wanted", |one| (one["desiredCount"] == 0).then_some(()));
    let target = instance.api("ListContainerInstances", json!({}))["containerInstanceArns"][0].clone();
    let attribute = json!({ "attributes": [{ "name": "rack", "value": "7", "targetId": target }] });
    instance.api("PutAttributes", attribute.clone());
    let web = instance.steady("web", 1);
    let each = instance.steady("each", 1);
    instance.api("DeleteAttributes", attribute);
    assert_eq!(word(&instance.stopped(&each[0]), "stopCode"), "ServiceSchedulerInitiated");
    assert_eq!(instance.ids_of("web"), web, "what runs is not looked at again");
}
