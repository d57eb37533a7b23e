//! What a service promises: its count is held.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::harness::{
    Instance, PATIENCE,
    instance::strings,
    require,
    tasks::{document, id, idle, shell, text},
    wait_for,
};

/// The running tasks of a service.
fn running(instance: &Instance, service: &str) -> Vec<String> {
    let arns = strings(&instance.api("ListTasks", json!({ "serviceName": service }))["taskArns"]);
    if arns.is_empty() {
        return arns;
    }
    let described = instance.api("DescribeTasks", json!({ "tasks": arns }));
    let tasks = described["tasks"].as_array().into_iter().flatten();
    tasks
        .filter(|task| task["lastStatus"] == "RUNNING" && task["desiredStatus"] == "RUNNING")
        .map(|task| text(&task["taskArn"]))
        .collect()
}

#[track_caller]
fn settled(instance: &Instance, service: &str, count: usize) -> Vec<String> {
    wait_for(&format!("{count} running tasks of {service}"), PATIENCE, || {
        let tasks = running(instance, service);
        (tasks.len() == count).then_some(tasks)
    })
}

fn described(instance: &Instance, service: &str) -> Value {
    instance.api("DescribeServices", json!({ "services": [service] }))["services"][0].clone()
}

fn events(instance: &Instance, service: &str) -> String {
    instance.cli(&["service", "events", service]).ok()
}

#[test]
fn a_task_that_dies_is_replaced_and_the_events_say_so() {
    require!(host, busybox);
    let instance = Instance::start("replace");
    instance.register(document("web", &[idle("main")]));
    instance.cli(&["service", "create", "web", "-d", "web", "-n", "3", "--wait"]).ok();
    let before = settled(&instance, "web", 3);
    kill(Pid::from_raw(instance.pid(&before[0], "main")), Signal::SIGKILL).expect("the process is there");
    let dead = instance.stopped(&before[0]);
    assert_eq!(dead["stopCode"], "EssentialContainerExited");
    let after = settled(&instance, "web", 3);
    assert!(
        !after.contains(&before[0]) && after.contains(&before[1]) && after.contains(&before[2]),
        "{after:?}"
    );
    let events = events(&instance, "web");
    assert!(events.contains("has started 3 tasks") && events.contains("has started 1 tasks"), "{events}");
}

#[test]
fn a_service_scales_up_and_down_and_goes() {
    require!(host, busybox);
    let instance = Instance::start("scale");
    instance.register(document("web", &[idle("main")]));
    instance.cli(&["service", "create", "web", "-d", "web", "-n", "1", "--wait"]).ok();
    let first = settled(&instance, "web", 1);
    instance.cli(&["service", "update", "web", "-n", "4", "--wait"]).ok();
    assert!(settled(&instance, "web", 4).contains(&first[0]), "scaling replaces nothing");
    instance.cli(&["service", "update", "web", "-n", "2", "--wait"]).ok();
    settled(&instance, "web", 2);
    assert_eq!(instance.cli(&["service", "rm", "web"]).code, 4, "it is scaled above 0");
    instance.cli(&["service", "rm", "web", "--force", "--wait"]).ok();
    assert_eq!(described(&instance, "web")["status"], "INACTIVE");
    assert_eq!(instance.cli(&["service", "ls"]).ok().lines().count(), 1);
    instance.nothing_is_left();
}

#[test]
fn a_count_of_zero_is_a_service_too() {
    require!(host, busybox);
    let instance = Instance::start("zero");
    instance.register(document("web", &[idle("main")]));
    instance.cli(&["service", "create", "web", "-d", "web", "-n", "0", "--wait"]).ok();
    assert!(running(&instance, "web").is_empty());
    instance.cli(&["service", "update", "web", "-n", "1", "--wait"]).ok();
    settled(&instance, "web", 1);
}

#[test]
fn a_crash_loop_backs_off() {
    require!(host, busybox);
    let instance = Instance::start("crash");
    instance.register(document("bad", &[shell("main", "exit 1")]));
    instance.cli(&["service", "create", "bad", "-d", "bad", "-n", "1"]).ok();
    let started = || {
        let input = json!({ "serviceName": "bad", "desiredStatus": "STOPPED" });
        strings(&instance.api("ListTasks", input)["taskArns"]).len()
    };
    wait_for("four failures", PATIENCE, || (started() >= 4).then_some(()));
    // The pauses double: four failures take seconds, a fifth within half a second would be a busy loop.
    let begin = std::time::Instant::now();
    wait_for("a fifth failure", PATIENCE, || (started() >= 5).then_some(()));
    assert!(begin.elapsed() > std::time::Duration::from_millis(500), "{:?}", begin.elapsed());
    instance.cli(&["service", "rm", "bad", "--force", "--wait"]).ok();
}

#[test]
fn a_new_revision_replaces_every_task_and_the_old_ones_end() {
    require!(host, busybox);
    let instance = Instance::start("rollout");
    instance.register(document("web", &[idle("main")]));
    instance.cli(&["service", "create", "web", "-d", "web", "-n", "2", "--wait"]).ok();
    let old = settled(&instance, "web", 2);
    instance.register(document("web", &[idle("renamed")]));
    instance.cli(&["service", "update", "web", "-d", "web", "--wait"]).ok();
    let new = settled(&instance, "web", 2);
    assert!(new.iter().all(|task| !old.contains(task)), "{new:?}");
    for task in &old {
        assert_eq!(instance.stopped(task)["stopCode"], "ServiceSchedulerInitiated");
    }
    for task in &new {
        assert_eq!(text(&instance.task(task)["taskDefinitionArn"]).rsplit(':').next(), Some("2"));
    }
}

#[test]
fn a_task_of_a_service_that_somebody_stops_is_replaced() {
    require!(host, busybox);
    let instance = Instance::start("stopped");
    instance.register(document("web", &[idle("main")]));
    instance.cli(&["service", "create", "web", "-d", "web", "-n", "1", "--wait"]).ok();
    let before = settled(&instance, "web", 1);
    instance.cli(&["stop", "--wait", id(&before[0])]).ok();
    let after = settled(&instance, "web", 1);
    assert_ne!(before, after);
}

#[test]
fn two_instances_stand_side_by_side() {
    require!(host, busybox);
    let one = Instance::start("left");
    let two = Instance::start("right");
    for instance in [&one, &two] {
        instance.register(document("web", &[idle("main")]));
        instance.cli(&["service", "create", "web", "-d", "web", "-n", "1", "--wait"]).ok();
    }
    let kept = settled(&two, "web", 1);
    one.cli(&["service", "rm", "web", "--force", "--wait"]).ok();
    one.nothing_is_left();
    assert_eq!(settled(&two, "web", 1), kept, "the other instance is not disturbed");
}
