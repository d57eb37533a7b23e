//! How a task ends, what is said about it, and what is left.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::harness::{
    Instance, require,
    tasks::{container_of, document, id, idle, shell, text, with},
};

#[test]
fn a_task_that_has_done_its_work_stops_with_its_times_and_its_code() {
    require!(host, busybox);
    let instance = Instance::start("end");
    let task = instance.run_to_end(document("work", &[shell("main", "exit 0")]));
    assert_eq!(container_of(&task, "main")["exitCode"], 0);
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["stoppedReason"], "Essential container in task exited");
    let times: Vec<f64> =
        ["createdAt", "pullStartedAt", "pullStoppedAt", "startedAt", "executionStoppedAt", "stoppedAt"]
            .iter()
            .map(|name| task[name].as_f64().unwrap_or_else(|| panic!("{name} is missing: {task:#}")))
            .collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn an_exit_code_and_a_signal_are_told_apart() {
    require!(host, busybox);
    let instance = Instance::start("codes");
    let task = instance.run_to_end(document("code", &[shell("main", "exit 42")]));
    assert_eq!(container_of(&task, "main")["exitCode"], 42);

    let arn = instance.run(document("signal", &[idle("main")]));
    instance.running(&arn);
    kill(Pid::from_raw(instance.pid(&arn, "main")), Signal::SIGKILL)
        .expect("the container's process is there");
    let task = instance.stopped(&arn);
    assert_eq!(container_of(&task, "main")["exitCode"], 137);
    assert_eq!(task["stopCode"], "EssentialContainerExited");
}

#[test]
fn running_out_of_memory_names_the_container_and_its_limit() {
    require!(host, busybox, cgroup_memory);
    let instance = Instance::start("oom");
    let greedy =
        with(shell("greedy", "dd if=/dev/zero of=/dev/null bs=200M count=1"), json!({ "memory": 16 }));
    let task = instance.run_to_end(document("oom", &[greedy]));
    let container = container_of(&task, "greedy");
    let reason = text(&container["reason"]);
    assert!(reason.starts_with("OutOfMemoryError: "), "{task:#}");
    assert!(reason.contains("greedy") && reason.contains("16"), "{reason}");
}

#[test]
fn an_image_that_is_not_there_fails_the_task_and_says_which() {
    require!(host);
    let instance = Instance::start("pull");
    let container = json!({ "name": "main", "image": "oci:/nonexistent/layout:latest", "memory": 16 });
    let task = instance.run_to_end(document("pull", &[container]));
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    let reason = text(&container_of(&task, "main")["reason"]);
    assert!(reason.starts_with("CannotPullContainerError"), "{reason}");
    assert!(reason.contains("/nonexistent/layout"), "{reason}");
    assert!(text(&task["stoppedReason"]).contains("CannotPullContainerError"), "{task:#}");
}

#[test]
fn a_program_that_is_not_there_fails_the_task_and_says_which() {
    require!(host, busybox);
    let instance = Instance::start("start");
    let container = with(idle("main"), json!({ "command": ["/no/such/program"] }));
    let task = instance.run_to_end(document("start", &[container]));
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    let reason = text(&container_of(&task, "main")["reason"]);
    assert!(
        reason.starts_with("CannotStartContainerError") || reason.starts_with("CannotCreateContainerError"),
        "{reason}"
    );
    assert!(reason.contains("/no/such/program"), "{reason}");
}

#[test]
fn a_task_that_stopped_stays_stopped_and_can_be_stopped_again() {
    require!(host, busybox);
    let instance = Instance::start("stays");
    let arn = instance.run(document("stays", &[idle("main")]));
    instance.running(&arn);
    let stopped = instance.stop(&arn);
    assert_eq!(stopped["stopCode"], "UserInitiated");
    assert_eq!(stopped["desiredStatus"], "STOPPED");
    let again = instance.api("StopTask", json!({ "task": arn }));
    assert_eq!(again["task"]["lastStatus"], "STOPPED");
    assert_eq!(again["task"]["stoppedAt"], stopped["stoppedAt"]);
}

#[test]
fn stopping_leaves_nothing_behind() {
    require!(host, busybox, nft);
    let instance = Instance::start("nothing");
    let web = with(
        shell("web", "httpd -f -p 8080"),
        json!({ "portMappings": [{ "containerPort": 8080 }], "linuxParameters": { "tmpfs": [{ "containerPath": "/t", "size": 1 }] } }),
    );
    let arn = instance
        .run(with(document("nothing", &[web, idle("side")]), json!({ "volumes": [{ "name": "scratch" }] })));
    instance.running(&arn);
    assert!(!instance.left_by_tasks().is_empty(), "a running task is seen");
    instance.stop(&arn);
    instance.nothing_is_left();
    let rules = crate::harness::leaks::ruleset();
    assert!(!rules.contains("8080"), "{rules}");
}

#[test]
fn a_container_gets_its_stop_signal_and_then_its_grace() {
    require!(host, busybox);
    let instance = Instance::start("grace");
    let polite = with(
        shell("polite", "trap 'exit 7' TERM; while :; do sleep 3600 & wait $!; done"),
        json!({ "stopTimeout": 30 }),
    );
    let deaf = with(shell("deaf", "trap '' TERM; while :; do sleep 3600; done"), json!({ "stopTimeout": 1 }));
    let arn = instance.run(document("grace", &[polite, deaf]));
    instance.running(&arn);
    let task = instance.stop(&arn);
    assert_eq!(container_of(&task, "polite")["exitCode"], 7);
    assert_eq!(container_of(&task, "deaf")["exitCode"], 137);
}

#[test]
fn a_start_says_where_its_time_went() {
    require!(host, busybox);
    let instance = Instance::start("timing");
    let arn = instance.run(document("timing", &[shell("main", "exit 0")]));
    instance.stopped(&arn);
    let said = instance.cli(&["show", "--timing", id(&arn)]).ok();
    for step in ["resolve", "pull", "network", "exec"] {
        assert!(said.lines().any(|line| line.starts_with(step)), "no {step} in\n{said}");
    }
}
