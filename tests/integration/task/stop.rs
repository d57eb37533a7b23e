//! Stopping: the signal, the grace, the kill, and that nothing is left.

use serde_json::json;

use crate::harness::{
    Instance, PATIENCE, images,
    registry::{Door, Registry},
    require,
    stage::{FOREVER, after, container, definition, one, stays},
    tasks::with,
    wait_for,
};

#[test]
fn a_container_that_heeds_its_signal_ends_with_its_own_code() {
    require!(host, busybox);
    let instance = Instance::with_busybox("heeds");
    let script = "trap 'echo asked; exit 4' TERM; echo up; sleep 100000 & wait";
    let id = instance.launch(&definition("heeds", &[container("app", script)]));
    instance.printed(&id, "app", "up");
    instance.running(&id);
    let answer = instance.api("StopTask", json!({ "task": id, "reason": "enough" }));
    assert_eq!(answer["task"]["desiredStatus"], "STOPPED");
    let task = instance.stopped(&id);
    assert_eq!(one(&task, "app")["exitCode"], 4, "{task:#}");
    assert_eq!(task["stopCode"], "UserInitiated");
    assert_eq!(task["stoppedReason"], "enough");
    assert!(task["stoppingAt"].as_f64() <= task["stoppedAt"].as_f64(), "{task:#}");
    assert_eq!(instance.said(&id, "app"), "up\nasked\n");
    instance.nothing_is_left();
}

#[test]
fn a_container_that_does_not_heed_is_killed_after_its_timeout() {
    require!(host, busybox);
    let instance = Instance::with_busybox("deaf");
    let deaf = container("app", "trap 'echo asked' TERM; echo up; while :; do sleep 1000 & wait; done");
    let id = instance.launch(&definition("deaf", &[with(deaf, json!({ "stopTimeout": 2 }))]));
    instance.printed(&id, "app", "up");
    let task = instance.stop(&id);
    assert_eq!(one(&task, "app")["exitCode"], 137, "{task:#}");
    assert!(one(&task, "app").get("reason").is_none(), "killed, not out of memory: {task:#}");
    assert_eq!(instance.said(&id, "app"), "up\nasked\n");
    let took = task["stoppedAt"].as_f64().unwrap() - task["stoppingAt"].as_f64().unwrap();
    assert!(took >= 1.9, "the grace was {took} s");
    instance.nothing_is_left();
}

#[test]
fn the_image_names_the_signal_that_stops_it() {
    require!(host, busybox);
    let instance = Instance::with_busybox("signal");
    let directory = instance.path("layer");
    std::fs::create_dir(&directory).unwrap();
    instance.load_packed(&directory, "quits", &["--stop-signal", "SIGQUIT"]);
    let script = "trap 'exit 9' TERM; trap 'exit 3' QUIT; echo up; sleep 100000 & wait";
    let id =
        instance.launch(&definition("quits", &[with(container("app", script), json!({ "image": "quits" }))]));
    instance.printed(&id, "app", "up");
    assert_eq!(one(&instance.stop(&id), "app")["exitCode"], 3);
}

#[test]
fn a_stop_takes_daemonised_children_along() {
    require!(host, busybox);
    let instance = Instance::with_busybox("children");
    let script = stays("for n in 1 2 3; do setsid sh -c 'trap \"\" TERM; sleep 100000' & done; echo up");
    let id = instance.launch(&definition("children", &[container("app", &script)]));
    instance.printed(&id, "app", "up");
    instance.stop(&id);
    instance.nothing_is_left();
}

#[test]
fn a_task_that_waits_for_a_dependency_can_be_stopped() {
    require!(host, busybox);
    let instance = Instance::with_busybox("waiting");
    let never = with(container("never", FOREVER), json!({ "essential": false }));
    let app = with(container("app", "echo ran"), after("never", "COMPLETE"));
    let id = instance.launch(&definition("waiting", &[app, never]));
    instance.until(&id, "the dependency's start", |task| {
        (one(task, "never")["lastStatus"] == "RUNNING").then_some(())
    });
    let task = instance.stop(&id);
    assert_eq!(task["stopCode"], "UserInitiated", "{task:#}");
    assert!(one(&task, "app").get("exitCode").is_none(), "it never ran: {task:#}");
    assert_eq!(one(&task, "never")["exitCode"], 0);
    instance.nothing_is_left();
}

#[test]
fn a_stop_at_once_after_the_start_leaves_nothing() {
    require!(host, busybox);
    let instance = Instance::with_busybox("at-once");
    let document = definition("at-once", &[container("app", FOREVER), container("other", FOREVER)]);
    let ids: Vec<String> = (0..5).map(|_| instance.launch(&document)).collect();
    for id in &ids {
        instance.api("StopTask", json!({ "task": id }));
    }
    for id in &ids {
        assert_eq!(instance.stopped(id)["stopCode"], "UserInitiated");
    }
    instance.nothing_is_left();
}

#[test]
fn the_command_line_stops_tasks_and_waits() {
    require!(host, busybox);
    let instance = Instance::with_busybox("cli-stop");
    let document = definition("stop", &[container("app", FOREVER)]);
    let ids: Vec<String> = (0..2).map(|_| instance.launch(&document)).collect();
    for id in &ids {
        instance.running(id);
    }
    instance.cli(&["stop", "--wait", "--reason", "tea", &ids[0], &ids[1]]).ok();
    for id in &ids {
        let task = instance.task(id);
        assert_eq!((&task["lastStatus"], &task["stoppedReason"]), (&json!("STOPPED"), &json!("tea")));
    }
    assert_eq!(instance.cli(&["stop", "0123456789abcdef0123456789abcdef"]).code, 3);
}

#[test]
fn a_task_that_is_stopped_while_its_image_is_pulled_leaves_nothing() {
    require!(host, busybox, registry);
    let instance = Instance::start("pulling");
    let registry = Registry::start(Door::Open);
    let name = registry.push(&images::busybox(), "slow:1");
    let road = registry.slow_road(20_000);
    let slow = name.replace(&registry.host(), &road.host());
    let id =
        instance.launch(&definition("pulling", &[with(container("app", "true"), json!({ "image": slow }))]));
    wait_for("the first bytes", PATIENCE, || (road.carried() > 10_000).then_some(()));
    let task = instance.stop(&id);
    assert_eq!(task["stopCode"], "UserInitiated", "{task:#}");
    assert!(task.get("startedAt").is_none(), "it never ran: {task:#}");
    instance.nothing_is_left();
}
