//! The daemon's own life: it starts, it is killed, it is stopped, it is refused; tasks go on.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::harness::{
    Instance, PATIENCE,
    instance::{Wish, strings},
    leaks, require,
    stage::sh,
    tasks::{container_of, document, idle, shell, with},
    wait_for,
};

/// The first processes of a service's tasks, by task.
fn pids(instance: &Instance, service: &str) -> BTreeMap<String, i32> {
    let tasks = strings(&instance.api("ListTasks", json!({ "serviceName": service }))["taskArns"]);
    tasks.into_iter().map(|arn| (arn.clone(), instance.pid(&arn, "main"))).collect()
}

#[test]
fn a_daemon_that_is_killed_disturbs_no_task() {
    require!(host, busybox);
    let mut instance = Instance::start("killed");
    instance.register(document("web", &[idle("main")]));
    instance.cli(&["service", "create", "web", "-d", "web", "-n", "3", "--wait"]).ok();
    let before = pids(&instance, "web");
    for _ in 0..3 {
        instance.kill_daemon();
        instance.start_daemon();
        assert_eq!(pids(&instance, "web"), before);
    }
    assert_eq!(before.len(), 3);
    assert!(before.values().all(|pid| kill(Pid::from_raw(*pid), None).is_ok()));
}

#[test]
fn a_stopped_daemon_leaves_its_tasks_running_and_takes_them_up_again() {
    require!(host, busybox);
    let mut instance = Instance::start("stopped-daemon");
    let arn = instance.run(document("web", &[idle("main")]));
    instance.running(&arn);
    let pid = instance.pid(&arn, "main");
    let end = instance.stop_daemon();
    assert_eq!(end.code(), Some(0));
    assert!(kill(Pid::from_raw(pid), None).is_ok(), "the task goes on without a daemon");
    instance.start_daemon();
    assert_eq!(instance.task(&arn)["lastStatus"], "RUNNING");
    assert_eq!(instance.stop(&arn)["stopCode"], "UserInitiated");
}

#[test]
fn what_happens_while_no_daemon_runs_is_learnt_by_the_next() {
    require!(host, busybox);
    let mut instance = Instance::start("meanwhile");
    let arn = instance.run(document("meanwhile", &[shell("main", "sleep 1; exit 7")]));
    instance.running(&arn);
    let pid = instance.pid(&arn, "main");
    instance.kill_daemon();
    wait_for("the end of the task", PATIENCE, || kill(Pid::from_raw(pid), None).is_err().then_some(()));
    instance.start_daemon();
    let task = instance.stopped(&arn);
    assert_eq!(task["stopCode"], "EssentialContainerExited", "{task:#}");
    assert_eq!(container_of(&task, "main")["exitCode"], 7);
    instance.nothing_is_left();
}

#[test]
fn a_service_makes_up_for_what_died_while_no_daemon_ran() {
    require!(host, busybox);
    let mut instance = Instance::start("made-up");
    instance.register(document("web", &[idle("main")]));
    instance.cli(&["service", "create", "web", "-d", "web", "-n", "2", "--wait"]).ok();
    let before = pids(&instance, "web");
    instance.kill_daemon();
    let (dead, pid) = before.iter().next().map(|(arn, pid)| (arn.clone(), *pid)).expect("there are two");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the process is there");
    instance.start_daemon();
    assert_eq!(instance.stopped(&dead)["stopCode"], "EssentialContainerExited");
    wait_for("two running tasks", PATIENCE, || {
        let service = instance.api("DescribeServices", json!({ "services": ["web"] }))["services"][0].clone();
        (service["runningCount"] == 2).then_some(())
    });
}

#[test]
fn a_shim_that_is_killed_takes_its_task_with_it_and_is_replaced() {
    require!(host, busybox);
    let instance = Instance::start("shim-killed");
    instance.register(document("web", &[idle("main")]));
    instance.cli(&["service", "create", "web", "-d", "web", "-n", "1", "--wait"]).ok();
    let (arn, pid) = pids(&instance, "web").pop_first().expect("there is one");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the task runs");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("it has a parent");
    kill(Pid::from_raw(parent.trim().parse().expect("a pid")), Signal::SIGKILL).expect("the shim is there");
    instance.stopped(&arn);
    assert!(!runs(pid), "no container outlives its shim");
    wait_for("a replacement", PATIENCE, || {
        let after = pids_if_running(&instance);
        (after.len() == 1 && !after.contains(&arn)).then_some(())
    });
}

/// Whether a process runs; one that nobody has reaped does not.
fn runs(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z') && !line.contains('X'))
}

fn pids_if_running(instance: &Instance) -> Vec<String> {
    let tasks = strings(&instance.api("ListTasks", json!({ "serviceName": "web" }))["taskArns"]);
    tasks.into_iter().filter(|arn| instance.task(arn)["lastStatus"] == "RUNNING").collect()
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused_in_a_sentence() {
    require!(host);
    let instance = Instance::start("second");
    let second = Command::new(env!("CARGO_BIN_EXE_hythe"))
        .args(["daemon", "--config"])
        .arg(instance.path("hythe.toml"))
        .stdin(Stdio::null())
        .output()
        .expect("hythe runs");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another hythe daemon uses"), "{said}");
    assert!(said.contains(&instance.daemon_pid().to_string()), "{said}");
}

#[test]
fn a_misspelt_key_is_refused_with_its_place() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("hythe.toml");
    fs::write(&file, "state_dirr = \"/nowhere\"\n").expect("the file");
    let daemon = Command::new(env!("CARGO_BIN_EXE_hythe"))
        .args(["daemon", "--config"])
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .expect("hythe runs");
    let said = String::from_utf8_lossy(&daemon.stderr);
    assert_eq!(daemon.status.code(), Some(2), "{said}");
    let place = format!("{}:1:1: unknown key \"state_dirr\"; did you mean \"state_dir\"?", file.display());
    assert!(said.contains(&place), "{said}");
}

#[test]
fn without_a_network_tasks_that_need_none_run_and_others_say_why_not() {
    require!(host, busybox);
    let instance = Instance::prepare("no-network", Wish::default());
    let text = fs::read_to_string(instance.path("hythe.toml")).expect("the configuration");
    let text = text.replace("[network]", "[network]\nenabled = false");
    fs::write(instance.path("hythe.toml"), text).expect("the configuration");
    let mut instance = instance;
    instance.start_daemon();
    let mut alone = document("alone", &[idle("main")]);
    alone["networkMode"] = json!("none");
    let arn = instance.run(alone);
    instance.running(&arn);
    let task = instance.run_to_end(document("together", &[idle("main")]));
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    assert!(task["stoppedReason"].as_str().is_some_and(|reason| reason.contains("network")), "{task:#}");
}

#[test]
fn one_broken_task_keeps_no_other_waiting() {
    require!(host, busybox);
    let instance = Instance::start("contained");
    let missing = with(idle("main"), json!({ "image": "oci:/nowhere:latest" }));
    instance.register(document("bad", &[missing]));
    instance.cli(&["service", "create", "bad", "-d", "bad", "-n", "3"]).ok();
    instance.register(document("good", &[idle("main")]));
    instance.cli(&["service", "create", "good", "-d", "good", "-n", "2", "--wait"]).ok();
    let bad = instance.api("DescribeServices", json!({ "services": ["bad"] }))["services"][0].clone();
    assert_eq!(bad["runningCount"], 0);
}

#[test]
fn a_daemon_that_starts_on_a_full_disk_answers_and_learns_later() {
    require!(host, busybox);
    let wish = Wish { disk: Some("12m"), ..Wish::default() };
    let mut instance = Instance::start_with("full-start", wish);
    let state = instance.path("state");
    let flooder = instance.run(document("flooder", &[idle("main")]));
    let arn = instance.run(document("web", &[idle("main")]));
    instance.running(&flooder);
    instance.running(&arn);
    // More than the mount holds, and no more than that.
    let fill = |name: &str| fs::write(state.join(name), vec![0; 13 << 20]).unwrap_err().kind();
    assert_eq!(fill("filler"), std::io::ErrorKind::StorageFull);
    // The room that was kept is for this: nothing new begins, but what fills the disk can be stopped.
    instance.call("RegisterTaskDefinition", document("new", &[idle("main")])).unwrap_err();
    instance.api("StopTask", json!({ "task": flooder }));
    assert_eq!(instance.stopped(&flooder)["stopCode"], "UserInitiated");
    assert_eq!(fill("filler2"), std::io::ErrorKind::StorageFull);
    kill(Pid::from_raw(instance.pid(&arn, "main")), Signal::SIGKILL).unwrap();
    instance.kill_daemon();
    instance.start_daemon();
    // Whether the kept room sufficed for what happened or not, the daemon answers.
    assert_eq!(instance.task(&arn)["taskArn"], arn.as_str());
    fs::remove_file(state.join("filler")).unwrap();
    fs::remove_file(state.join("filler2")).unwrap();
    let task = instance.stopped(&arn);
    assert_eq!(container_of(&task, "main")["exitCode"], 137, "{task:#}");
}

#[test]
fn an_instance_that_is_taken_down_gives_the_host_back_and_remembers_its_services() {
    require!(host, busybox, nft);
    let mut instance = Instance::prepare("down", Wish::default());
    let forwards = || fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
    instance.start_daemon();
    assert_eq!(forwards().trim(), "1");
    instance.register(document("web", &[idle("main")]));
    instance.cli(&["service", "create", "web", "-d", "web", "-n", "2", "--wait"]).ok();
    let alone = instance.run(document("alone", &[idle("main")]));
    instance.running(&alone);
    let config = instance.path("hythe.toml");
    let down = ["daemon", "--down", "--config", config.to_str().unwrap()];
    let refused = instance.cli(&down);
    assert_eq!(refused.code, 1, "a daemon runs: {}{}", refused.out, refused.err);
    instance.kill_daemon();

    let ended = instance.cli(&down);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert_eq!(instance.left_by_tasks(), Vec::<String>::new());
    assert_eq!(instance.all_groups(), Vec::<std::path::PathBuf>::new());
    assert_eq!(leaks::ruleset(), "");
    assert!(!sh("ip -o link").contains(&instance.bridge()));
    assert_eq!(forwards().trim(), "0");
    assert!(!instance.path("run").exists());
    // Twice is once.
    assert_eq!(instance.cli(&down).code, 0);

    instance.start_daemon();
    instance.steady("web", 2);
    let task = instance.task(&alone);
    assert_eq!(task["lastStatus"], "STOPPED");
    assert_eq!(task["stopCode"], "TerminationNotice", "{task:#}");
}
