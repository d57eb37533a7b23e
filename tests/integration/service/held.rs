//! The desired count: held, changed, given up.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::harness::{
    Instance, PATIENCE, require,
    stage::{FOREVER, ask_http, container, definition, one, serves},
    tasks::with,
    wait_for,
};

fn web(instance: &Instance) -> String {
    instance.register(definition("web", &[container("app", FOREVER)]))
}

#[test]
fn a_task_that_is_killed_is_replaced_and_the_events_say_so() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("replaced", "[services]\nhealthy_after = 0\n");
    instance.service("web", &web(&instance), 3);
    let before = instance.steady("web", 3);
    kill(Pid::from_raw(instance.pid(&before[0], "app")), Signal::SIGKILL).unwrap();
    let dead = instance.stopped(&before[0]);
    assert_eq!(one(&dead, "app")["exitCode"], 137);
    let after = wait_for("the replacement", PATIENCE, || {
        Some(instance.steady("web", 3)).filter(|ids| !ids.contains(&before[0]))
    });
    assert_eq!(after.iter().filter(|id| before.contains(id)).count(), 2, "the others were left alone");
    let new = after.iter().find(|id| !before.contains(id)).unwrap();
    let events = instance.until_service("web", "two steady states", |_| {
        let events = instance.events("web");
        let steady = events.iter().filter(|event| *event == "(service web) has reached a steady state.");
        (steady.count() == 2).then_some(events)
    });
    let says = |words: &str| events.iter().any(|event| event.contains(words));
    assert!(says(&format!("(service web) has started 1 tasks: (task {new}).")), "{events:#?}");
    assert!(says("(service web) has started 3 tasks:"), "{events:#?}");
    let why = "ended: Essential container in task exited (app: exit code 137).";
    assert!(says(&format!("(service web) (task {}) {why}", before[0])), "{events:#?}");
    let task = instance.task(new);
    assert_eq!(task["group"], "service:web");
    assert!(task["startedBy"].as_str().unwrap().starts_with("ecs-svc/"), "{task:#}");
}

#[test]
fn a_task_that_somebody_stops_is_replaced() {
    require!(host, busybox);
    let instance = Instance::with_busybox("stopped");
    instance.service("web", &web(&instance), 1);
    let before = instance.steady("web", 1);
    assert_eq!(instance.stop(&before[0])["stopCode"], "UserInitiated");
    wait_for("the replacement", PATIENCE, || Some(instance.steady("web", 1)).filter(|ids| *ids != before));
}

#[test]
fn the_count_goes_up_and_down() {
    require!(host, busybox);
    let instance = Instance::with_busybox("scale");
    instance.service("web", &web(&instance), 1);
    let first = instance.steady("web", 1);
    instance.cli(&["service", "update", "web", "--desired-count", "4", "--wait"]).ok();
    let four = instance.steady("web", 4);
    assert!(four.contains(&first[0]), "the first was left alone");
    instance.api("UpdateService", json!({ "service": "web", "desiredCount": 2 }));
    let two = instance.steady("web", 2);
    for gone in four.iter().filter(|id| !two.contains(id)) {
        let task = instance.stopped(gone);
        assert_eq!(task["stopCode"], "ServiceSchedulerInitiated", "{task:#}");
        let reason = task["stoppedReason"].as_str().unwrap();
        assert!(reason.starts_with("Scaling activity initiated by (deployment ecs-svc/"), "{reason}");
    }
    let described = instance.described("web");
    assert_eq!(described["deployments"].as_array().unwrap().len(), 1, "a count is no deployment");
    instance.api("UpdateService", json!({ "service": "web", "desiredCount": 0 }));
    instance.steady("web", 0);
    instance.nothing_is_left();
    assert_eq!(instance.described("web")["status"], "ACTIVE", "none is a count like another");
    instance.api("UpdateService", json!({ "service": "web", "desiredCount": 1 }));
    instance.steady("web", 1);
}

#[test]
fn a_deleted_service_drains_becomes_inactive_and_leaves_nothing() {
    require!(host, busybox);
    let instance = Instance::with_busybox("deleted");
    let arn = web(&instance);
    instance.service("web", &arn, 2);
    let ids = instance.steady("web", 2);
    let refused = instance.call("DeleteService", json!({ "service": "web" })).unwrap_err();
    assert_eq!(refused.code(), Some("InvalidParameterException"), "{refused}");
    instance.cli(&["service", "rm", "web", "--force", "--wait"]).ok();
    instance.until_service("web", "INACTIVE", |service| (service["status"] == "INACTIVE").then_some(()));
    for id in &ids {
        assert_eq!(instance.stopped(id)["stopCode"], "ServiceSchedulerInitiated");
    }
    instance.nothing_is_left();
    assert_eq!(instance.api("ListServices", json!({}))["serviceArns"], json!([]));
    instance.service("web", &arn, 1);
    instance.steady("web", 1);
}

#[test]
fn an_unhealthy_task_of_a_service_is_replaced() {
    require!(host, busybox);
    let instance = Instance::with_busybox("unhealthy");
    let check = json!({ "healthCheck": { "command": ["CMD-SHELL", "test ! -e /tmp/sick"], "interval": 5, "retries": 1 } });
    let arn = instance.register(definition("checked", &[with(container("app", FOREVER), check)]));
    instance.service("checked", &arn, 1);
    let before = instance.steady("checked", 1);
    instance.until(&before[0], "HEALTHY", |task| (task["healthStatus"] == "HEALTHY").then_some(()));
    std::fs::write(format!("/proc/{}/root/tmp/sick", instance.pid(&before[0], "app")), "").unwrap();
    let sick = instance.stopped(&before[0]);
    assert_eq!(sick["stopCode"], "ServiceSchedulerInitiated", "{sick:#}");
    assert!(sick["stoppedReason"].as_str().unwrap().contains("health check"), "{sick:#}");
    wait_for("the replacement", PATIENCE, || {
        Some(instance.steady("checked", 1)).filter(|ids| *ids != before)
    });
}

#[test]
fn every_task_of_a_service_answers_on_its_own_port() {
    require!(host, busybox);
    let instance = Instance::with_busybox("ports");
    let mapping = json!({ "portMappings": [{ "containerPort": 80 }] });
    let arn =
        instance.register(definition("web", &[with(container("web", &serves("service", 80)), mapping)]));
    instance.service("web", &arn, 3);
    let ids = instance.steady("web", 3);
    let mut ports: Vec<u64> = ids
        .iter()
        .map(|id| one(&instance.task(id), "web")["networkBindings"][0]["hostPort"].as_u64().unwrap())
        .collect();
    for port in &ports {
        assert_eq!(ask_http(std::net::Ipv4Addr::LOCALHOST, u16::try_from(*port).unwrap()), "service");
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 3);
}

#[test]
fn what_does_not_fit_is_said_and_comes_when_there_is_room() {
    require!(host, busybox);
    let instance = Instance::with_busybox_and("room", "[host]\nmemory = 160\n");
    let arn = web(&instance);
    let blocker =
        instance.launch(&definition("blocker", &[with(container("app", FOREVER), json!({ "memory": 100 }))]));
    instance.running(&blocker);
    instance.service("web", &arn, 1);
    instance.until_service("web", "the shortage among the events", |_| {
        let events = instance.events("web");
        events.iter().any(|event| event.contains("insufficient memory")).then_some(())
    });
    assert_eq!(instance.events("web").iter().filter(|event| event.contains("insufficient")).count(), 1);
    instance.stop(&blocker);
    instance.steady("web", 1);
}

#[test]
fn creating_twice_is_creating_once_and_another_wish_is_refused() {
    require!(host, busybox);
    let instance = Instance::with_busybox("twice");
    let arn = web(&instance);
    instance.service("web", &arn, 1);
    let input = |count: u32| json!({ "serviceName": "web", "taskDefinition": arn, "desiredCount": count });
    let refused = instance.call("CreateService", input(2)).unwrap_err();
    assert_eq!(refused.code(), Some("InvalidParameterException"), "{refused}");
    assert_eq!(instance.steady("web", 1).len(), 1);
    let listed: Value = instance.api("ListServices", json!({}));
    assert_eq!(listed["serviceArns"].as_array().unwrap().len(), 1, "{listed:#}");
}

#[test]
fn the_command_line_creates_shows_and_tells() {
    require!(host, busybox);
    let instance = Instance::with_busybox("service-cli");
    web(&instance);
    instance.cli(&["service", "create", "shop", "--task-definition", "web", "-n", "2", "--wait"]).ok();
    let shown = instance.cli(&["service", "show", "shop"]).ok();
    assert!(shown.contains("ACTIVE") && shown.contains("2/2"), "{shown}");
    let listed = instance.cli(&["ps", "--service", "shop", "--quiet"]).ok();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let events = instance.cli(&["service", "events", "shop"]).ok();
    assert!(events.contains("has started 2 tasks"), "{events}");
    assert_eq!(instance.cli(&["service", "show", "nobody"]).code, 3);
}

#[test]
fn the_tasks_of_a_service_have_its_tags_and_its_providers() {
    require!(host, busybox);
    let instance = Instance::with_busybox("inherited");
    let of_fargate = json!({
        "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
    });
    let arn = instance.register(with(definition("web", &[container("app", FOREVER)]), of_fargate));
    let strategy = json!([
        { "capacityProvider": "FARGATE", "base": 1, "weight": 0 }, { "capacityProvider": "FARGATE_SPOT", "weight": 1 },
    ]);
    let more = json!({
        "tags": [{ "key": "team", "value": "a" }], "propagateTags": "SERVICE", "enableECSManagedTags": true,
        "capacityProviderStrategy": strategy,
        "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-local"] } },
    });
    instance.service_with("web", &arn, 3, more);
    let ids = instance.steady("web", 3);
    let described = instance.api("DescribeTasks", json!({ "tasks": ids, "include": ["TAGS"] }));
    let tasks = described["tasks"].as_array().unwrap();
    let tags = json!([
        { "key": "team", "value": "a" }, { "key": "aws:ecs:clusterName", "value": "default" },
        { "key": "aws:ecs:serviceName", "value": "web" },
    ]);
    assert!(tasks.iter().all(|task| task["tags"] == tags), "{tasks:#?}");
    let on = |name: &str| tasks.iter().filter(|task| task["capacityProviderName"] == name).count();
    assert_eq!((on("FARGATE"), on("FARGATE_SPOT")), (1, 2), "{tasks:#?}");
}
