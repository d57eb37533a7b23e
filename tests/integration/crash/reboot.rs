//! A reboot, played: every process of the instance is killed, and the database believes in another boot.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rusqlite::Connection;
use serde_json::json;

use crate::harness::{
    Instance, PATIENCE,
    instance::strings,
    require,
    tasks::{document, idle},
    wait_for,
};

/// Ends the daemon and everything that runs, and makes the database believe in another boot.
fn reboot(instance: &mut Instance) {
    instance.kill_daemon();
    wait_for("the end of all processes", PATIENCE, || {
        let left = instance.processes();
        for pid in &left {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL); // it may have ended meanwhile
        }
        left.is_empty().then_some(())
    });
    let database = Connection::open(instance.path("state/store.db")).expect("the database");
    let changed = database
        .execute("UPDATE meta SET document = '\"another boot\"' WHERE key = 'boot-id'", [])
        .expect("the boot id is in the database");
    assert_eq!(changed, 1);
}

#[test]
fn after_a_reboot_services_come_back_and_standalone_tasks_do_not() {
    require!(host, busybox);
    let mut instance = Instance::start("reboot");
    instance.register(document("web", &[idle("main")]));
    instance.cli(&["service", "create", "web", "-d", "web", "-n", "2", "--wait"]).ok();
    let alone = instance.run(document("alone", &[idle("main")]));
    instance.running(&alone);
    let before = strings(&instance.api("ListTasks", json!({ "serviceName": "web" }))["taskArns"]);
    reboot(&mut instance);
    instance.start_daemon();
    let stopped = instance.stopped(&alone);
    assert_eq!(stopped["stopCode"], "TerminationNotice", "{stopped:#}");
    let after = wait_for("two new tasks", PATIENCE, || {
        let tasks = strings(&instance.api("ListTasks", json!({ "serviceName": "web" }))["taskArns"]);
        let run = |arn: &String| instance.task(arn)["lastStatus"] == "RUNNING";
        (tasks.len() == 2 && tasks.iter().all(run)).then_some(tasks)
    });
    assert!(after.iter().all(|arn| !before.contains(arn)), "{after:?}");
    for arn in &before {
        assert_eq!(instance.stopped(arn)["stopCode"], "TerminationNotice");
    }
}
