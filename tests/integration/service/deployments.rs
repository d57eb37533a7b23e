//! Deployments that are judged: by health checks, by the circuit breaker, by people.

use serde_json::{Value, json};

use crate::harness::{
    Instance, PATIENCE, images,
    instance::Wish,
    registry::{Door, Registry},
    require,
    stage::{FOREVER, container, definition, stays, word},
    tasks::with,
    wait_for,
};

/// A task that runs counts as healthy at once.
const QUICK: &str = "[services]\nhealthy_after = 0\n";

/// A container that is healthy once `/tmp/ready` is there.
fn checked(script: &str) -> Value {
    let check = json!({ "command": ["CMD-SHELL", "test -e /tmp/ready"], "interval": 5, "retries": 10 });
    with(container("app", &stays(script)), json!({ "healthCheck": check }))
}

fn good(instance: &Instance, word: &str) -> String {
    instance.register(definition("app", &[container("app", &stays(&format!("echo {word}")))]))
}

fn bad(instance: &Instance) -> String {
    let bad = with(container("app", ""), json!({ "command": ["/no/such/program"] }));
    instance.register(definition("app", &[bad]))
}

/// The record of what is going on, or of what came last.
fn record(instance: &Instance, service: &str) -> Value {
    let arn = instance.described(service)["currentServiceDeployment"].clone();
    instance.api("DescribeServiceDeployments", json!({ "serviceDeploymentArns": [arn] }))["serviceDeployments"][0]
        .clone()
}

fn until_record(instance: &Instance, arn: &Value, status: &str) -> Value {
    wait_for(&format!("a deployment that is {status}"), PATIENCE, || {
        let answer = instance.api("DescribeServiceDeployments", json!({ "serviceDeploymentArns": [arn] }));
        let record = answer["serviceDeployments"][0].clone();
        (record["status"] == status).then_some(record)
    })
}

#[test]
fn an_update_waits_for_the_health_check_of_what_is_new() {
    require!(host, busybox);
    let instance = Instance::with_busybox("gated");
    instance.service("app", &instance.register(definition("app", &[checked("touch /tmp/ready")])), 1);
    let before = instance.steady("app", 1);
    let first = record(&instance, "app")["serviceDeploymentArn"].clone();
    until_record(&instance, &first, "SUCCESSFUL");
    let slow = instance.register(definition("app", &[checked("sleep 2; touch /tmp/ready")]));
    instance.api("UpdateService", json!({ "service": "app", "taskDefinition": slow }));
    instance.until_service("app", "the end of the update", |service| {
        let tasks: Vec<Value> = instance.ids_of("app").iter().map(|id| instance.task(id)).collect();
        let healthy = tasks.iter().any(|task| task["healthStatus"] == "HEALTHY");
        assert!(healthy, "one healthy task at any time: {tasks:#?}");
        (service["deployments"].as_array()?.len() == 1 && service["taskDefinition"] == slow).then_some(())
    });
    let after = instance.steady("app", 1);
    assert_ne!(before, after);
    until_record(&instance, &record(&instance, "app")["serviceDeploymentArn"], "SUCCESSFUL");
}

#[test]
fn a_broken_update_is_taken_back_and_the_command_says_so() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("breaker", QUICK);
    let one = good(&instance, "one");
    instance.cli(&["service", "create", "app", "-d", "app:1", "-n", "2", "--rollback", "--wait"]).ok();
    let before = instance.steady("app", 2);
    bad(&instance);
    let said = instance.cli(&["service", "update", "app", "-d", "app:2", "--wait"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.err.contains("was rolled back: ECS deployment circuit breaker"), "{}", said.err);
    assert!(said.err.contains("app:2 IN_PROGRESS"), "each change has a line: {}", said.err);
    assert_eq!(instance.steady("app", 2), before, "nobody noticed");
    let service = instance.described("app");
    assert_eq!(service["taskDefinition"], one);
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
    let record = record(&instance, "app");
    assert_eq!(record["status"], "SUCCESSFUL", "what serves now is the first deployment: {record:#}");
    let all = instance.api("ListServiceDeployments", json!({ "service": "app" }));
    assert_eq!(all["serviceDeployments"][0]["status"], "ROLLBACK_SUCCESSFUL", "{all:#}");
    let arn = &all["serviceDeployments"][0]["serviceDeploymentArn"];
    let failed = until_record(&instance, arn, "ROLLBACK_SUCCESSFUL");
    assert_eq!(failed["deploymentCircuitBreaker"]["status"], "TRIGGERED", "{failed:#}");
    assert_eq!(failed["deploymentCircuitBreaker"]["threshold"], 3);
    let events = instance.events("app");
    assert!(
        events.iter().any(|event| event.contains("deployment failed: tasks failed to start.")),
        "{events:#?}"
    );
    assert!(events.iter().any(|event| event.contains("rolling back to deployment ecs-svc/")), "{events:#?}");
}

#[test]
fn a_breaker_without_rollback_stops_trying() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("tripped", QUICK);
    let breaker = json!({ "deploymentConfiguration": { "deploymentCircuitBreaker": { "enable": true, "rollback": false } } });
    instance.service_with("app", &bad(&instance), 1, breaker);
    instance.until_service("app", "a failed deployment", |service| {
        let deployment = &service["deployments"][0];
        let reason = "ECS deployment circuit breaker: task failed to start.";
        (deployment["rolloutState"] == "FAILED" && deployment["rolloutStateReason"] == reason).then_some(())
    });
    let stopped = instance.api("ListTasks", json!({ "serviceName": "app", "desiredStatus": "STOPPED" }));
    assert_eq!(stopped["taskArns"].as_array().unwrap().len(), 3);
}

#[test]
fn a_deployment_is_stopped_and_rolled_back_by_hand() {
    require!(host, busybox);
    let instance = Instance::with_busybox("stopped");
    let one = instance.register(definition("app", &[checked("touch /tmp/ready")]));
    instance.service("app", &one, 1);
    let before = instance.steady("app", 1);
    until_record(&instance, &record(&instance, "app")["serviceDeploymentArn"], "SUCCESSFUL");
    let never = instance.register(definition("app", &[checked("echo never")]));
    instance.api("UpdateService", json!({ "service": "app", "taskDefinition": never }));
    let going = record(&instance, "app");
    assert_eq!(going["status"], "IN_PROGRESS", "{going:#}");
    let arn = going["serviceDeploymentArn"].clone();
    instance.api("StopServiceDeployment", json!({ "serviceDeploymentArn": arn, "stopType": "ROLLBACK" }));
    let over = until_record(&instance, &arn, "ROLLBACK_SUCCESSFUL");
    assert_eq!(over["rollback"]["serviceRevisionArn"], going["sourceServiceRevisions"][0]["arn"], "{over:#}");
    assert_eq!(instance.steady("app", 1), before);
    assert_eq!(instance.described("app")["taskDefinition"], one);
    let refused = instance.call("StopServiceDeployment", json!({ "serviceDeploymentArn": arn })).unwrap_err();
    assert_eq!(refused.code(), Some("ConflictException"), "{refused}");
}

#[test]
fn a_daemon_service_runs_one_task_and_replaces_it_by_stopping_first() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("daemon-service", QUICK);
    good(&instance, "one");
    instance.cli(&["service", "create", "app", "-d", "app:1", "--daemon", "--wait"]).ok();
    let before = instance.steady("app", 1);
    let two = good(&instance, "two");
    instance.api("UpdateService", json!({ "service": "app", "taskDefinition": two }));
    let mut most = 0;
    instance.until_service("app", "the end of the update", |service| {
        most = most.max(service["runningCount"].as_u64()? + service["pendingCount"].as_u64()?);
        (service["deployments"].as_array()?.len() == 1).then_some(())
    });
    assert_eq!(most, 1, "never two at once");
    let after = instance.steady("app", 1);
    assert_ne!(before, after);
    let refused = instance.call("UpdateService", json!({ "service": "app", "desiredCount": 2 })).unwrap_err();
    assert_eq!(refused.code(), Some("InvalidParameterException"), "{refused}");
}

/// An image with busybox and a file more.
fn other_image(instance: &Instance) -> std::path::PathBuf {
    let (base, top, layout) = (instance.path("base"), instance.path("top"), instance.path("layout"));
    images::rootfs_tools(&[
        "unpack",
        &format!("oci:{}", images::busybox().display()),
        &base.display().to_string(),
    ]);
    std::fs::create_dir(&top).unwrap();
    std::fs::write(top.join("second"), "2").unwrap();
    let words = [&base, &top].map(|path| path.display().to_string());
    let out = layout.display().to_string();
    images::rootfs_tools(&["pack", &words[0], &words[1], "-o", &out, "--env", "PATH=/usr/bin:/bin"]);
    layout
}

#[test]
fn a_moved_tag_is_met_by_a_new_deployment_and_by_no_other_task() {
    require!(host, busybox, registry);
    let instance = Instance::start_with("pinned", Wish { config: QUICK.into(), ..Wish::default() });
    let registry = Registry::start(Door::Open);
    let name = registry.push(&images::busybox(), "app:latest");
    let app = with(container("app", FOREVER), json!({ "image": name }));
    instance.service("app", &instance.register(definition("app", &[app])), 1);
    let digest = |ids: &[String]| word(&instance.task(&ids[0])["containers"][0], "imageDigest").to_owned();
    let before = instance.steady("app", 1);
    let first = digest(&before);
    assert!(first.starts_with("sha256:"), "{first}");
    registry.push(&other_image(&instance), "app:latest");
    instance.cli(&["image", "pull", &name]).ok();
    instance.stop(&before[0]);
    let replaced = wait_for("the replacement", PATIENCE, || {
        Some(instance.steady("app", 1)).filter(|ids| *ids != before)
    });
    assert_eq!(digest(&replaced), first, "the deployment keeps its image");
    let revision = instance.described("app")["currentServiceRevisions"][0]["arn"].clone();
    let answer = instance.api("DescribeServiceRevisions", json!({ "serviceRevisionArns": [revision] }));
    let image = &answer["serviceRevisions"][0]["containerImages"][0];
    assert_eq!((word(image, "imageDigest"), word(image, "image")), (&*first, &*name), "{answer:#}");
    instance.cli(&["service", "update", "app", "--force-new-deployment", "--wait"]).ok();
    let forced = instance.steady("app", 1);
    assert_ne!(digest(&forced), first, "a new deployment asks again");
    instance.cli(&["service", "rollback", "app", "--wait"]).ok();
    assert_eq!(digest(&instance.steady("app", 1)), first, "and going back brings the old image back");
}

#[test]
fn a_container_without_consistency_asks_anew_for_each_task() {
    require!(host, busybox, registry);
    let instance = Instance::start_with("unpinned", Wish { config: QUICK.into(), ..Wish::default() });
    let registry = Registry::start(Door::Open);
    let name = registry.push(&images::busybox(), "app:latest");
    let free = json!({ "image": name, "versionConsistency": "disabled" });
    let app = with(container("app", FOREVER), free);
    instance.service("app", &instance.register(definition("app", &[app])), 1);
    let digest = |ids: &[String]| word(&instance.task(&ids[0])["containers"][0], "imageDigest").to_owned();
    let before = instance.steady("app", 1);
    let first = digest(&before);
    registry.push(&other_image(&instance), "app:latest");
    instance.stop(&before[0]);
    let replaced = wait_for("the replacement", PATIENCE, || {
        Some(instance.steady("app", 1)).filter(|ids| *ids != before)
    });
    assert_ne!(digest(&replaced), first, "no digest is kept for the deployment");
}

#[test]
fn a_plan_names_what_an_update_would_do_and_does_nothing() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("planned", QUICK);
    good(&instance, "one");
    instance.cli(&["service", "create", "app", "-d", "app:1", "-n", "2", "--wait"]).ok();
    let before = instance.steady("app", 2);
    good(&instance, "two");
    let plan = instance.cli(&["plan", "app", "-d", "app:2"]).ok();
    assert!(plan.contains("start 2 of app:2"), "{plan}");
    assert!(before.iter().all(|id| plan.contains(&id[..8])), "{plan}");
    assert!(plan.contains("app:2 is COMPLETED"), "{plan}");
    let stuck = instance.cli(&["plan", "app", "-d", "app:2", "--maximum-percent", "100"]).ok();
    assert!(stuck.contains("no further step is possible"), "{stuck}");
    let ported = with(
        container("app", FOREVER),
        json!({ "portMappings": [{ "containerPort": 80, "hostPort": 18099 }] }),
    );
    for _ in 0..2 {
        instance.register(definition("ported", std::slice::from_ref(&ported)));
    }
    instance.cli(&["service", "create", "ported", "-d", "ported:1", "--wait"]).ok();
    let stuck = instance.cli(&["plan", "ported", "-d", "ported:2"]).ok();
    assert!(stuck.contains("no further step is possible"), "{stuck}");
    let freed = instance.cli(&["plan", "ported", "-d", "ported:2", "--minimum-healthy-percent", "0"]).ok();
    assert!(freed.contains("start 1 of ported:2") && freed.contains("ported:2 is COMPLETED"), "{freed}");
    assert_eq!(instance.ids_of("app").len(), 2);
    assert!(instance.described("app")["taskDefinition"].as_str().unwrap().ends_with("app:1"));
    let service = instance.cli(&["explain", "app"]).ok();
    for part in ["2 healthy", "room for", "minimumHealthyPercent"] {
        assert!(service.contains(part), "{part}: {service}");
    }
    let task = instance.cli(&["explain", &before[0]]).ok();
    assert!(task.contains("memory") && task.contains("MiB left"), "{task}");
}

#[test]
fn a_service_goes_back_to_any_revision_that_it_has_had() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("any", QUICK);
    for word in ["one", "two", "three"] {
        good(&instance, word);
    }
    instance.cli(&["service", "create", "app", "-d", "app:1", "--wait"]).ok();
    instance.cli(&["service", "update", "app", "-d", "app:2", "--wait"]).ok();
    instance.cli(&["service", "update", "app", "-d", "app:3", "--wait"]).ok();
    instance.cli(&["service", "rollback", "app", "app:1", "--wait"]).ok();
    let serves = || instance.described("app")["taskDefinition"].as_str().unwrap().to_owned();
    assert!(serves().ends_with("app:1"));
    instance.cli(&["service", "rollback", "app", "--wait"]).ok();
    assert!(serves().ends_with("app:3"), "the one before");
    let refused = instance.cli(&["service", "rollback", "app", "app:9"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    let listed = instance.cli(&["service", "deployments", "app"]).ok();
    assert_eq!(listed.matches("SUCCESSFUL").count(), 5, "{listed}");
}
