//! Containers of one task: who starts when, who ends whom, who sees whom.

use serde_json::{Value, json};

use crate::harness::{
    Instance, PATIENCE, require,
    tasks::{STAY, container_of, document, idle, shell, text, with},
    wait_for,
};

fn after(container: Value, other: &str, condition: &str) -> Value {
    with(container, json!({ "dependsOn": [{ "containerName": other, "condition": condition }] }))
}

fn not_essential(container: Value) -> Value {
    with(container, json!({ "essential": false }))
}

#[test]
fn containers_of_a_task_share_localhost_and_nothing_else() {
    require!(host, busybox);
    let instance = Instance::start("localhost");
    let server = shell("server", "echo from the server > /www; httpd -f -p 127.0.0.1:8080 -h /");
    let client = after(
        shell(
            "client",
            "until wget -q -O - http://127.0.0.1:8080/www; do sleep 0.1; done; ls /www; ps | grep -c httpd",
        ),
        "server",
        "START",
    );
    let arn = instance.run(document("localhost", &[not_essential(server), client]));
    instance.stopped(&arn);
    let said = instance.output(&arn, "client");
    assert!(said.starts_with("from the server\n"), "{said}");
    assert!(!said.contains("\n/www\n"), "the root file systems are two: {said}");
}

#[test]
fn an_essential_container_ends_its_siblings_and_another_does_not() {
    require!(host, busybox);
    let instance = Instance::start("essential");
    let arn = instance.run(document(
        "essential",
        &[
            not_essential(shell("short", "exit 3")),
            idle("sibling"),
            after(shell("main", "sleep 0.3; exit 5"), "short", "COMPLETE"),
        ],
    ));
    let task = instance.stopped(&arn);
    assert_eq!(container_of(&task, "short")["exitCode"], 3);
    assert_eq!(container_of(&task, "main")["exitCode"], 5);
    assert_eq!(container_of(&task, "sibling")["exitCode"], 0, "it was told to stop: {task:#}");
    assert_eq!(task["stopCode"], "EssentialContainerExited");
}

#[test]
fn complete_and_success_wait_for_the_end_of_another() {
    require!(host, busybox);
    let instance = Instance::start("complete");
    let shared = json!({ "mountPoints": [{ "sourceVolume": "shared", "containerPath": "/shared" }] });
    let first =
        with(not_essential(shell("first", "sleep 0.3; echo first >> /shared/order; exit 1")), shared.clone());
    let second = after(
        with(not_essential(shell("second", "echo second >> /shared/order")), shared.clone()),
        "first",
        "COMPLETE",
    );
    let third = after(with(shell("third", "cat /shared/order"), shared), "second", "SUCCESS");
    let arn = instance.run(with(
        document("complete", &[third, second, first]),
        json!({ "volumes": [{ "name": "shared" }] }),
    ));
    instance.stopped(&arn);
    assert_eq!(instance.output(&arn, "third"), "first\nsecond\n");
}

#[test]
fn a_success_that_never_comes_stops_the_task() {
    require!(host, busybox);
    let instance = Instance::start("success");
    let task = instance.run_to_end(document(
        "success",
        &[not_essential(shell("migrate", "exit 1")), after(idle("main"), "migrate", "SUCCESS")],
    ));
    assert_eq!(container_of(&task, "migrate")["exitCode"], 1);
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
}

#[test]
fn healthy_waits_for_the_check_and_the_tasks_health_is_that_of_its_essential_containers() {
    require!(host, busybox);
    let instance = Instance::start("healthy");
    let slow = with(
        shell("slow", &format!("sleep 1; touch /ready; {STAY}")),
        json!({ "healthCheck": { "command": ["CMD-SHELL", "test -e /ready"], "interval": 5, "timeout": 2, "retries": 3, "startPeriod": 10 } }),
    );
    let arn = instance.run(document("healthy", &[slow, after(idle("main"), "slow", "HEALTHY")]));
    let task = instance.running(&arn);
    assert_eq!(container_of(&task, "slow")["healthStatus"], "HEALTHY");
    assert_eq!(task["healthStatus"], "HEALTHY", "a container without a check does not count: {task:#}");
}

#[test]
fn a_container_that_fails_its_checks_becomes_unhealthy_and_goes_on() {
    require!(host, busybox);
    let instance = Instance::start("unhealthy");
    let sick = with(
        idle("sick"),
        json!({ "healthCheck": { "command": ["CMD", "false"], "interval": 5, "timeout": 2, "retries": 1 } }),
    );
    let arn = instance.run(document("unhealthy", &[sick]));
    let task = wait_for("an unhealthy task", PATIENCE, || {
        let task = instance.task(&arn);
        (task["healthStatus"] == "UNHEALTHY").then_some(task)
    });
    assert_eq!(task["lastStatus"], "RUNNING", "a standalone task is not stopped for its health");
}

#[test]
fn a_start_timeout_gives_up_on_a_container_that_is_never_healthy() {
    require!(host, busybox);
    let instance = Instance::start("timeout");
    let sick = with(
        idle("sick"),
        json!({ "startTimeout": 2, "healthCheck": { "command": ["CMD", "false"], "interval": 5, "timeout": 2, "retries": 10 } }),
    );
    let task = instance.run_to_end(document("timeout", &[sick, after(idle("main"), "sick", "HEALTHY")]));
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    assert!(text(&task["stoppedReason"]).len() > 10, "{task:#}");
}

#[test]
fn ten_containers_run_in_one_task() {
    require!(host, busybox);
    let instance = Instance::start("ten");
    let containers: Vec<Value> = (0..10).map(|number| idle(&format!("c{number}"))).collect();
    let arn = instance.run(document("ten", &containers));
    let task = instance.running(&arn);
    let all = task["containers"].as_array().expect("a list of containers");
    assert!(all.iter().all(|container| container["lastStatus"] == "RUNNING"), "{task:#}");
}
