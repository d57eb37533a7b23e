//! Files of a running task that somebody damages: its shim is the truth while it lives. And networks that were ready.

use std::{fs, process::Command};

use nix::{sys::signal::kill, unistd::Pid};

use crate::harness::{
    Instance, PATIENCE, leaks, require,
    tasks::{container_of, document, id, idle, shell},
    wait_for,
};

/// Runs a task, damages one of its files while no daemon runs, and starts the next daemon.
#[track_caller]
fn damaged(name: &str, file: &str, text: &str) {
    let mut instance = Instance::start(name);
    let arn = instance.run(document(name, &[idle("main")]));
    instance.running(&arn);
    let pid = instance.pid(&arn, "main");
    instance.kill_daemon();
    fs::write(instance.path(format!("state/tasks/{}/{file}", id(&arn))), text).unwrap();
    instance.start_daemon();
    assert!(kill(Pid::from_raw(pid), None).is_ok(), "{file}: the container goes on\n{}", instance.log());
    let task = instance.task(&arn);
    assert_eq!(
        (&task["lastStatus"], &task["desiredStatus"]),
        (&"RUNNING".into(), &"RUNNING".into()),
        "{task:#}"
    );
    let task = instance.stop(&arn);
    assert_eq!(task["stopCode"], "UserInitiated", "{task:#}");
    assert_eq!(container_of(&task, "main")["exitCode"], 0, "{task:#}");
    instance.nothing_is_left();
}

#[test]
fn a_running_task_whose_ledger_is_overwritten_goes_on() {
    require!(host, busybox);
    damaged("overwritten", "ledger", "this is not a ledger\n");
}

#[test]
fn a_running_task_whose_spec_is_emptied_goes_on() {
    require!(host, busybox);
    damaged("emptied", "spec.json", "");
}

#[test]
fn a_task_that_ends_over_a_damaged_ledger_without_a_daemon_is_told_truly() {
    require!(host, busybox);
    let mut instance = Instance::start("mended");
    let arn = instance.run(document("mended", &[shell("main", "sleep 2; exit 7")]));
    instance.running(&arn);
    let pid = instance.pid(&arn, "main");
    instance.kill_daemon();
    fs::write(instance.path(format!("state/tasks/{}/ledger", id(&arn))), "not a ledger\n").unwrap();
    wait_for("the end of the task", PATIENCE, || kill(Pid::from_raw(pid), None).is_err().then_some(()));
    instance.start_daemon();
    let task = instance.stopped(&arn);
    assert_eq!(container_of(&task, "main")["exitCode"], 7, "{task:#}");
}

/// The interfaces that were made for tasks to come.
fn ready() -> Vec<String> {
    let output = Command::new("ip").args(["-o", "link", "show", "type", "veth"]).output().expect("ip runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.split(": ").nth(1)?.split('@').next());
    names.filter(|name| name.starts_with("hyr")).map(str::to_owned).collect()
}

#[test]
fn a_ready_network_that_somebody_takes_away_is_made_again() {
    require!(host, busybox);
    let instance = Instance::start("ready");
    wait_for("two networks to be ready", PATIENCE, || (ready().len() == 2).then_some(()));
    assert!(leaks::links_on(&instance.bridge()).is_empty(), "nobody is to reach them yet");
    for link in ready() {
        assert!(Command::new("ip").args(["link", "del", &link]).status().expect("ip runs").success());
    }
    let arn = instance.run(document("ready", &[idle("main")]));
    instance.running(&arn);
    assert_eq!(leaks::links_on(&instance.bridge()).len(), 1);
    instance.stop(&arn);
    instance.nothing_is_left();
}
