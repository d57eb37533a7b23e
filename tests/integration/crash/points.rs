//! The daemon dies at each of its named points, and the next one repairs what it finds.

use std::os::unix::process::ExitStatusExt as _;

use hythe::{
    model::ids::TaskId,
    store::{Draft, Store},
};
use serde_json::{Value, json};

use crate::harness::{
    Instance, PATIENCE,
    instance::{Starting, Wish, strings},
    require,
    tasks::{document, id, idle, text, with},
    wait_for,
};

/// Points on the way of a task that starts.
const STARTING: [&str; 8] = [
    "start",
    "task-reserved",
    "images-pulled",
    "network-attached",
    "ports-published",
    "task-built",
    "shim-started",
    "facts-written:2",
];

/// Points on the way of a task that ends.
const ENDING: [&str; 7] = [
    "stop",
    "group-removed",
    "ports-released",
    "facts-written:2",
    "sweep",
    "interface-removed",
    "directory-aside",
];

/// A daemon that dies at `point`.
fn doomed(instance: &mut Instance, point: &str) -> Starting {
    let mut daemon = instance.spawn_daemon(&[("HYTHE_KILL_AT".into(), point.into())]);
    daemon.ready().unwrap_or_else(|why| panic!("{why}\n{}", instance.log()));
    daemon
}

/// Waits until it is dead.
#[track_caller]
fn dies(mut daemon: Starting, point: &str) {
    let mut child = daemon.child.take().expect("the daemon was started");
    let status = wait_for(&format!("the daemon's death at {point}"), PATIENCE, || {
        child.try_wait().expect("the daemon is our child")
    });
    assert_eq!(status.signal(), Some(9), "{point}: {status}");
}

/// A document with everything that a start has to do: an own network and a published port.
fn published(family: &str) -> Value {
    let container = with(idle("main"), json!({ "portMappings": [{ "containerPort": 80 }] }));
    document(family, &[container])
}

/// Asks for something of a daemon that may die before it answers; what was asked is in the store by then.
fn ask(instance: &Instance, operation: &str, input: Value) {
    let answer = instance.call(operation, input);
    let refused = answer.as_ref().err().and_then(|error| error.code());
    assert_eq!(refused, None, "{operation}: {answer:?}");
}

/// The one task that should run.
#[track_caller]
fn only_task(instance: &Instance, point: &str) -> String {
    let tasks = strings(&instance.api("ListTasks", json!({}))["taskArns"]);
    assert_eq!(tasks.len(), 1, "{point}: {tasks:?}");
    tasks.into_iter().next().expect("there is one")
}

/// The live tasks of a service that should run.
fn wanted(instance: &Instance, service: &str) -> Vec<String> {
    strings(&instance.api("ListTasks", json!({ "serviceName": service }))["taskArns"])
}

fn survives_a_start(point: &str) {
    let mut instance = Instance::prepare("crash-start", Wish::default());
    let daemon = doomed(&mut instance, point);
    instance.register(published("web"));
    ask(&instance, "RunTask", json!({ "taskDefinition": "web" }));
    dies(daemon, point);
    instance.start_daemon();
    let arn = only_task(&instance, point);
    let task = instance.running(&arn);
    assert_eq!(task["containers"][0]["lastStatus"], "RUNNING", "{point}: {task:#}");
    assert!(task["containers"][0]["networkBindings"][0]["hostPort"].is_u64(), "{point}: {task:#}");
    instance.stop(&arn);
    instance.nothing_is_left();
}

fn survives_an_end(point: &str) {
    let mut instance = Instance::start("crash-end");
    let arn = instance.run(published("web"));
    instance.running(&arn);
    instance.stop_daemon();
    let daemon = doomed(&mut instance, point);
    ask(&instance, "StopTask", json!({ "task": arn, "reason": "enough" }));
    dies(daemon, point);
    instance.start_daemon();
    let task = instance.stopped(&arn);
    assert_eq!(task["stopCode"], "UserInitiated", "{point}: {task:#}");
    assert_eq!(task["stoppedReason"], "enough", "{point}");
    instance.nothing_is_left();
}

#[test]
fn a_daemon_that_dies_while_a_task_starts_is_followed_by_one_that_starts_it() {
    require!(host, busybox);
    for point in STARTING {
        println!("at {point}");
        survives_a_start(point);
    }
}

#[test]
fn a_daemon_that_dies_while_a_task_ends_is_followed_by_one_that_ends_it() {
    require!(host, busybox);
    for point in ENDING {
        println!("at {point}");
        survives_an_end(point);
    }
}

#[test]
fn a_daemon_that_dies_while_a_service_grows_leaves_no_task_too_many() {
    require!(host, busybox);
    for point in ["service-pass", "service-written", "start:2", "shim-started:2", "facts-written:4"] {
        println!("at {point}");
        let mut instance = Instance::prepare("crash-service", Wish::default());
        let daemon = doomed(&mut instance, point);
        instance.register(published("web"));
        let service = json!({ "serviceName": "web", "taskDefinition": "web", "desiredCount": 3 });
        ask(&instance, "CreateService", service);
        dies(daemon, point);
        instance.start_daemon();
        let tasks = wait_for("three running tasks", PATIENCE, || {
            let tasks = wanted(&instance, "web");
            assert!(tasks.len() <= 3, "{point}: {tasks:?}");
            let run = |arn: &String| instance.task(arn)["lastStatus"] == "RUNNING";
            (tasks.len() == 3 && tasks.iter().all(run)).then_some(tasks)
        });
        let cgroups: Vec<String> = tasks.iter().map(|arn| id(arn).to_owned()).collect();
        assert_eq!(cgroups.len(), 3);
        instance.cli(&["service", "rm", "web", "--force", "--wait"]).ok();
        instance.nothing_is_left();
    }
}

#[test]
fn a_rolling_update_goes_on_after_the_daemon_died_in_it() {
    require!(host, busybox);
    let wish = Wish { config: "[services]\nhealthy_after = 1".into(), ..Wish::default() };
    let mut instance = Instance::prepare("crash-deploy", wish);
    instance.start_daemon();
    instance.register(document("web", &[idle("old")]));
    instance.cli(&["service", "create", "web", "-d", "web", "-n", "2", "--wait"]).ok();
    instance.stop_daemon();
    let daemon = doomed(&mut instance, "service-written:2");
    instance.register(document("web", &[idle("new")]));
    ask(&instance, "UpdateService", json!({ "service": "web", "taskDefinition": "web" }));
    dies(daemon, "service-written:2");
    instance.start_daemon();
    wait_for("one deployment with two tasks", PATIENCE, || {
        let service = instance.api("DescribeServices", json!({ "services": ["web"] }))["services"][0].clone();
        let deployments = service["deployments"].as_array().map_or(0, Vec::len);
        (deployments == 1 && service["runningCount"] == 2 && service["pendingCount"] == 0).then_some(())
    });
    for arn in wanted(&instance, "web") {
        assert_eq!(text(&instance.task(&arn)["taskDefinitionArn"]).rsplit(':').next(), Some("2"));
    }
}

#[test]
fn what_a_daemon_told_of_the_network_right_before_its_death_is_told_by_the_next() {
    require!(host, busybox);
    let mut instance = Instance::start("crash-told");
    let arn = instance.run(published("web"));
    let before = instance.running(&arn);
    instance.stop_daemon();
    // As if it had died before that was on the disk.
    let task = TaskId::parse(id(&arn)).unwrap();
    let store = Store::open(&instance.path("state/store.db")).unwrap().store;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let forgets = move |draft: &mut Draft| {
        let is_known = draft.update_task(&task, |task| {
            task.attachment = None;
            task.containers.iter_mut().for_each(|container| container.network_bindings.clear());
        });
        Ok::<_, std::convert::Infallible>(is_known)
    };
    assert!(runtime.block_on(store.write(forgets)).unwrap());
    drop(store);
    instance.start_daemon();
    let task = instance.running(&arn);
    for member in ["networkBindings", "networkInterfaces"] {
        assert_eq!(task["containers"][0][member], before["containers"][0][member], "{member}: {task:#}");
    }
    instance.stop(&arn);
    instance.nothing_is_left();
}
