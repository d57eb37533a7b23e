//! The daemon comes and goes; tasks do not notice, and nothing that happened meanwhile is lost.

use std::{fs, path::Path};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::harness::{
    Instance, PATIENCE,
    instance::entries,
    require,
    stage::{FOREVER, ask_http, container, definition, one, serves, sh, word},
    tasks::with,
    wait_for,
};

/// Waits until a process is no more.
fn until_gone(pid: i32) {
    wait_for("the end of a process", PATIENCE, || {
        (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
}

#[test]
fn a_killed_daemon_disturbs_no_task() {
    require!(host, busybox);
    let mut instance = Instance::with_busybox("killed");
    let arn = instance.register(definition("web", &[container("app", FOREVER), container("side", FOREVER)]));
    instance.service("web", &arn, 2);
    let ids = instance.steady("web", 2);
    let standalone = instance.launch(&definition("alone", &[container("app", FOREVER)]));
    instance.running(&standalone);
    let pids = |instance: &Instance| -> Vec<i32> {
        let mut pids: Vec<i32> =
            ids.iter().flat_map(|id| [instance.pid(id, "app"), instance.pid(id, "side")]).collect();
        pids.push(instance.pid(&standalone, "app"));
        pids
    };
    let before = pids(&instance);
    for _ in 0..3 {
        instance.kill_daemon();
        instance.start_daemon();
        assert_eq!(instance.steady("web", 2), ids);
        assert_eq!(pids(&instance), before);
        assert_eq!(instance.task(&standalone)["lastStatus"], "RUNNING");
    }
}

#[test]
fn what_ended_while_the_daemon_was_dead_is_learnt_with_its_exit_code() {
    require!(host, busybox);
    let mut instance = Instance::with_busybox("learnt");
    let script = "echo up; until [ -e /tmp/go ]; do usleep 20000; done; echo last; exit 42";
    let job = instance.launch(&definition("job", &[container("app", script)]));
    let oom = with(
        container("app", "echo up; until [ -e /tmp/go ]; do usleep 20000; done; exec tail /dev/zero"),
        json!({ "memory": 16 }),
    );
    let hungry = instance.launch(&definition("hungry", &[oom]));
    let arn = instance.register(definition("web", &[container("app", FOREVER)]));
    instance.service("web", &arn, 2);
    let before = instance.steady("web", 2);
    let ids = [&job, &hungry];
    let pids: Vec<i32> = ids
        .iter()
        .map(|id| {
            instance.printed(id, "app", "up");
            instance.running(id);
            instance.pid(id, "app")
        })
        .collect();
    let victim = instance.pid(&before[0], "app");
    instance.kill_daemon();
    for pid in &pids {
        fs::write(format!("/proc/{pid}/root/tmp/go"), "").unwrap();
    }
    kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    pids.iter().chain([&victim]).for_each(|pid| until_gone(*pid));
    instance.start_daemon();
    let task = instance.stopped(&job);
    assert_eq!(one(&task, "app")["exitCode"], 42, "{task:#}");
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(instance.said(&job, "app"), "up\nlast\n");
    let task = instance.stopped(&hungry);
    assert!(word(one(&task, "app"), "reason").starts_with("OutOfMemoryError"), "{task:#}");
    let after = wait_for("the service's recovery", PATIENCE, || {
        Some(instance.steady("web", 2)).filter(|ids| !ids.contains(&before[0]))
    });
    assert!(after.contains(&before[1]), "the other was left alone");
    assert_eq!(one(&instance.task(&before[0]), "app")["exitCode"], 137);
}

#[test]
fn sigterm_ends_the_daemon_and_leaves_tasks_running() {
    require!(host, busybox);
    let mut instance = Instance::with_busybox("sigterm");
    let mapping = json!({ "portMappings": [{ "containerPort": 80, "hostPort": 8090 }] });
    let id = instance.launch(&definition("web", &[with(container("web", &serves("on", 80)), mapping)]));
    instance.running(&id);
    let pid = instance.pid(&id, "web");
    assert_eq!(ask_http(std::net::Ipv4Addr::LOCALHOST, 8090), "on");
    let end = instance.stop_daemon();
    assert!(end.success(), "{end}");
    assert!(!instance.socket().exists(), "no dead socket stays behind");
    assert_eq!(instance.cli(&["ps"]).code, 5);
    assert_eq!(ask_http(std::net::Ipv4Addr::LOCALHOST, 8090), "on");
    instance.start_daemon();
    assert_eq!(instance.pid(&id, "web"), pid);
    assert_eq!(instance.stop(&id)["stopCode"], "UserInitiated", "and it is in hand again");
}

#[test]
fn a_stop_that_was_under_way_is_carried_on_by_the_next_daemon() {
    require!(host, busybox);
    let mut instance = Instance::with_busybox("under-way");
    let deaf = with(
        container("app", "trap '' TERM; echo up; while :; do sleep 1; done"),
        json!({ "stopTimeout": 4 }),
    );
    let id = instance.launch(&definition("deaf", &[deaf]));
    instance.printed(&id, "app", "up");
    instance.running(&id);
    instance.api("StopTask", json!({ "task": id, "reason": "go" }));
    instance.kill_daemon();
    instance.start_daemon();
    let task = instance.stopped(&id);
    assert_eq!(one(&task, "app")["exitCode"], 137, "{task:#}");
    assert_eq!((word(&task, "stopCode"), word(&task, "stoppedReason")), ("UserInitiated", "go"));
    instance.nothing_is_left();
}

#[test]
fn a_killed_shim_takes_its_containers_along_and_the_task_says_why() {
    require!(host, busybox);
    let instance = Instance::with_busybox("shim");
    let arn = instance.register(definition("web", &[container("app", FOREVER)]));
    instance.service("web", &arn, 1);
    let before = instance.steady("web", 1);
    let container = instance.pid(&before[0], "app");
    let status = fs::read_to_string(format!("/proc/{container}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(parent), Signal::SIGKILL).unwrap();
    until_gone(container);
    let task = instance.stopped(&before[0]);
    assert!(!word(&task, "stoppedReason").is_empty(), "{task:#}");
    wait_for("the replacement", PATIENCE, || Some(instance.steady("web", 1)).filter(|ids| *ids != before));
}

#[test]
fn two_instances_stand_side_by_side() {
    require!(host, busybox);
    let one_of_them = Instance::with_busybox("blue");
    let mut other = Instance::with_busybox("green");
    let web = |word: &str, port: u16| {
        let mapping = json!({ "portMappings": [{ "containerPort": 80, "hostPort": port }] });
        definition("web", &[with(container("web", &serves(word, 80)), mapping)])
    };
    one_of_them.service("web", &one_of_them.register(web("blue", 8091)), 1);
    other.service("web", &other.register(web("green", 8092)), 1);
    let blue = one_of_them.steady("web", 1);
    other.steady("web", 1);
    let localhost = std::net::Ipv4Addr::LOCALHOST;
    assert_eq!(ask_http(localhost, 8091), "blue");
    assert_eq!(ask_http(localhost, 8092), "green");
    let pid = one_of_them.pid(&blue[0], "web");
    other.kill_daemon();
    other.start_daemon();
    other.api("DeleteService", json!({ "service": "web", "force": true }));
    other.until_service("web", "INACTIVE", |service| (service["status"] == "INACTIVE").then_some(()));
    assert_eq!(ask_http(localhost, 8091), "blue");
    assert_eq!(one_of_them.steady("web", 1), blue);
    assert_eq!(one_of_them.pid(&blue[0], "web"), pid);
    // The port of the other instance's tasks is one of the host's that is in use.
    let taken = one_of_them.launch(&web("red", 8093));
    one_of_them.running(&taken);
    let (_, task) = other.ran(&web("pink", 8093));
    assert!(word(&task, "stoppedReason").contains("8093"), "{task:#}");
}

#[test]
fn a_lost_database_loses_no_task() {
    require!(host, busybox);
    let mut instance = Instance::with_busybox("database");
    let id = instance.launch(&definition("web", &[container("app", FOREVER)]));
    instance.running(&id);
    let pid = instance.pid(&id, "app");
    instance.kill_daemon();
    for name in ["store.db-wal", "store.db-shm"] {
        let _ = fs::remove_file(instance.path("state").join(name));
    }
    fs::write(instance.path("state/store.db"), "this is no database at all").unwrap();
    instance.start_daemon();
    let kept = entries(&instance.path("state"));
    assert!(
        kept.iter()
            .any(|name| name != "store.db" && name.starts_with("store.db") && name.contains("corrupt")),
        "{kept:?}"
    );
    assert!(Path::new(&format!("/proc/{pid}")).exists(), "what runs is not ended");
}

#[test]
fn a_lost_database_loses_no_service_and_no_port() {
    require!(host, busybox, nft);
    let mut instance = Instance::with_busybox("copy");
    let ports = json!({ "portMappings": [{ "containerPort": 80, "hostPort": 8094 }] });
    let web = with(container("web", &serves("kept", 80)), ports);
    instance.service("web", &instance.register(definition("web", &[web])), 1);
    let before = instance.steady("web", 1);
    let bindings = instance.task(&before[0])["containers"][0]["networkBindings"].clone();
    assert_eq!(bindings[0]["hostPort"], 8094, "{bindings:#}");
    instance.kill_daemon();
    fs::write(instance.path("state/store.db"), "this is no database at all").unwrap();
    instance.start_daemon();
    assert_eq!(instance.steady("web", 1), before, "the service has its task");
    assert_eq!(instance.task(&before[0])["containers"][0]["networkBindings"], bindings);
    instance.stop(&before[0]);
    wait_for("the replacement", PATIENCE, || Some(instance.steady("web", 1)).filter(|ids| *ids != before));
}

#[test]
fn after_a_reboot_services_come_back_and_standalone_tasks_do_not() {
    require!(host, busybox, nft);
    // Another boot has another id; this thread and its children see it through a mount of their own.
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    let mut instance = Instance::with_busybox("reboot");
    let arn = instance.register(definition("web", &[container("app", FOREVER)]));
    instance.service("web", &arn, 2);
    let before = instance.steady("web", 2);
    let alone = instance.launch(&definition("alone", &[container("app", FOREVER)]));
    instance.running(&alone);
    power_off(&mut instance);
    instance.start_daemon();
    let after = wait_for("the service's recovery", PATIENCE, || {
        Some(instance.steady("web", 2)).filter(|ids| ids.iter().all(|id| !before.contains(id)))
    });
    for id in &after {
        assert_eq!(instance.task(id)["lastStatus"], "RUNNING");
    }
    for id in before.iter().chain([&alone]) {
        let task = instance.stopped(id);
        assert_eq!(task["stopCode"], "TerminationNotice", "{task:#}");
    }
    let running = instance.api("ListTasks", json!({}));
    assert_eq!(running["taskArns"].as_array().unwrap().len(), 2, "{running:#}");
}

/// What a power cut and a boot leave: files, and nothing else.
fn power_off(instance: &mut Instance) {
    instance.kill_daemon();
    for pid in instance.processes() {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    wait_for("the end of all processes", PATIENCE, || instance.processes().is_empty().then_some(()));
    sh(&format!(
        "nft flush ruleset; ip link delete {}; rm -rf {}/*",
        instance.bridge(),
        instance.path("run").display()
    ));
    for group in instance.all_groups() {
        let _ = fs::remove_dir(group);
    }
    let boot = instance.path("boot_id");
    fs::write(&boot, "11111111-2222-3333-4444-555555555555\n").unwrap();
    let target = "/proc/sys/kernel/random/boot_id";
    mount(Some(&boot), target, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}
