//! Containers of one task: what they share, how they end, what is told of it.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::harness::{
    Instance, require,
    stage::{FOREVER, after, container, definition, one, stays, word},
    tasks::with,
};

#[test]
fn a_sidecar_reaches_the_web_server_over_localhost() {
    require!(host, busybox);
    let instance = Instance::with_busybox("localhost");
    for mode in ["bridge", "awsvpc", "none"] {
        let web = container("web", &stays("httpd -p 80 -h /var/www"));
        let ask = "until wget -q -O - http://127.0.0.1/; do usleep 20000; done";
        let sidecar = with(container("sidecar", ask), json!({ "essential": false }));
        let document = with(definition("web", &[web, sidecar]), json!({ "networkMode": mode }));
        let id = instance.launch(&document);
        let task = instance.until(&id, "the sidecar's end", |task| {
            (one(task, "sidecar")["lastStatus"] == "STOPPED").then(|| task.clone())
        });
        assert_eq!(one(&task, "sidecar")["exitCode"], 0, "{mode}: {task:#}");
        assert_eq!(task["lastStatus"], "RUNNING", "{mode}: an optional container's end changes nothing");
        assert!(instance.said(&id, "sidecar").contains("It works"), "{mode}");
        instance.stop(&id);
    }
}

#[test]
fn ten_containers_share_one_network_and_nothing_else() {
    require!(host, busybox);
    let instance = Instance::with_busybox("ten");
    let script = stays(
        "for n in net mnt pid ipc uts cgroup; do echo $n $(readlink /proc/self/ns/$n); done; echo told",
    );
    let names: Vec<String> = (0..10).map(|n| format!("c{n}")).collect();
    let containers: Vec<_> = names.iter().map(|name| container(name, &script)).collect();
    let id = instance.launch(&definition("ten", &containers));
    instance.running(&id);
    let told: Vec<String> = names.iter().map(|name| instance.printed(&id, name, "told")).collect();
    for space in ["net", "mnt", "pid", "ipc", "uts", "cgroup"] {
        let mut seen: Vec<&str> =
            told.iter().flat_map(|text| text.lines().filter(|line| line.starts_with(space))).collect();
        assert_eq!(seen.len(), 10, "{told:?}");
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), if space == "net" { 1 } else { 10 }, "{seen:?}");
    }
}

#[test]
fn an_exit_code_is_told_with_the_code_and_the_sentence_of_ecs() {
    require!(host, busybox);
    let instance = Instance::with_busybox("exit");
    let (_, task) = instance.ran(&definition("exit", &[container("app", "exit 7")]));
    assert_eq!(one(&task, "app")["exitCode"], 7, "{task:#}");
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["stoppedReason"], "Essential container in task exited");
    assert_eq!(task["desiredStatus"], "STOPPED");
    assert!(
        one(&task, "app").get("reason").is_none(),
        "a container that merely exits has no reason: {task:#}"
    );
    let times =
        ["createdAt", "pullStartedAt", "pullStoppedAt", "startedAt", "executionStoppedAt", "stoppedAt"];
    let told: Vec<f64> = times.iter().map(|time| task[time].as_f64().expect(time)).collect();
    assert!(told.is_sorted(), "{times:?} {told:?}");
}

#[test]
fn a_signal_is_told_as_128_and_its_number() {
    require!(host, busybox);
    let instance = Instance::with_busybox("signal");
    let id = instance.launch(&definition("signal", &[container("app", FOREVER)]));
    instance.running(&id);
    kill(Pid::from_raw(instance.pid(&id, "app")), Signal::SIGKILL).unwrap();
    let task = instance.stopped(&id);
    assert_eq!(one(&task, "app")["exitCode"], 137, "{task:#}");
    assert!(one(&task, "app").get("reason").is_none(), "nothing ran out of memory: {task:#}");
}

#[test]
fn the_end_of_an_essential_container_stops_the_others_in_reverse_order() {
    require!(host, busybox);
    let instance = Instance::with_busybox("essential");
    let last_word = |script: &str| format!("echo up; trap '{script}; exit 0' TERM; sleep 100000 & wait");
    let on = |name: &str, script: &str, more| {
        let place = json!({ "mountPoints": [{ "sourceVolume": "shared", "containerPath": "/s" }], "essential": false });
        with(with(container(name, script), place), more)
    };
    let db = on("db", &last_word("cat /s/order; echo db"), json!({}));
    let cache = on("cache", &last_word("echo cache >>/s/order"), after("db", "START"));
    let app = on("app", "until [ -e /s/go ]; do usleep 20000; done", after("cache", "START"));
    let app = with(app, json!({ "essential": true }));
    let go = on("go", "touch /s/go", after("app", "START"));
    let document =
        with(definition("order", &[app, go, cache, db]), json!({ "volumes": [{ "name": "shared" }] }));
    let (id, task) = instance.ran(&document);
    assert_eq!(task["stopCode"], "EssentialContainerExited", "{task:#}");
    assert_eq!(instance.said(&id, "db"), "up\ncache\ndb\n", "the dependent is stopped first");
    for name in ["app", "db", "cache"] {
        assert_eq!(one(&task, name)["exitCode"], 0, "{task:#}");
    }
}

#[test]
fn the_end_of_an_optional_container_changes_nothing() {
    require!(host, busybox);
    let instance = Instance::with_busybox("optional");
    let optional = with(container("optional", "exit 3"), json!({ "essential": false }));
    let id = instance.launch(&definition("optional", &[container("app", FOREVER), optional]));
    instance.until(&id, "the optional container's end", |task| {
        (one(task, "optional")["lastStatus"] == "STOPPED").then_some(())
    });
    let task = instance.running(&id);
    assert_eq!(one(&task, "optional")["exitCode"], 3);
    assert_eq!(one(&task, "app")["lastStatus"], "RUNNING");
    assert_eq!(task["desiredStatus"], "RUNNING");
}

#[test]
fn a_task_that_stopped_stays_stopped() {
    require!(host, busybox);
    let mut instance = Instance::with_busybox("stays");
    let (id, before) = instance.ran(&definition("once", &[container("app", "exit 0")]));
    instance.api("StopTask", json!({ "task": id, "reason": "again" }));
    instance.kill_daemon();
    instance.start_daemon();
    let task = instance.task(&id);
    assert_eq!(task["lastStatus"], "STOPPED");
    for member in ["stoppedAt", "stopCode", "stoppedReason", "startedAt"] {
        assert_eq!(task[member], before[member], "{member}");
    }
    assert_eq!(instance.said(&id, "app"), "");
    instance.nothing_is_left();
}

#[test]
fn the_command_line_runs_shows_and_lists_a_task() {
    require!(host, busybox);
    let instance = Instance::with_busybox("cli");
    instance.register(definition("job", &[container("app", "echo hello $WHO; exit 5")]));
    let said = instance.cli(&["run", "job", "--follow", "--env", "WHO=you"]);
    assert_eq!((said.code, said.out.trim()), (5, "hello you"), "{}", said.err);
    let waited = instance.cli(&["run", "job", "--wait", "--", "true"]);
    assert_eq!(waited.code, 0, "{}", waited.err);
    let id = waited.out.trim().to_owned();
    let listed = instance.cli(&["ps", "--all", "--quiet"]).ok();
    assert!(listed.contains(&id), "{listed}");
    let shown = instance.cli(&["show", &id[..8]]).ok();
    assert!(shown.contains("STOPPED") && shown.contains(&id), "{shown}");
    let json: serde_json::Value =
        serde_json::from_str(&instance.cli(&["show", &id, "--output", "json"]).ok()).unwrap();
    assert!(json.to_string().contains("\"STOPPED\""), "{json:#}");
    assert_eq!(instance.cli(&["show", "ffffffff"]).code, 3);
}

#[test]
fn timing_tells_where_a_start_went() {
    require!(host, busybox);
    let instance = Instance::with_busybox("timing");
    let (id, _) = instance.ran(&definition("timed", &[container("app", "true")]));
    let stored = instance.stored(&id);
    let spans: Vec<&str> =
        stored["timing"].as_array().into_iter().flatten().map(|span| word(span, "name")).collect();
    for wanted in ["pull", "network", "bundle", "shim", "mount", "exec"] {
        let is_there = |name: &&str| *name == wanted || name.starts_with(&format!("{wanted}/"));
        assert!(spans.iter().any(is_there), "{wanted} is among {spans:?}");
    }
    let shown = instance.cli(&["show", "--timing", &id]).ok();
    assert!(shown.contains("network") && shown.contains("exec"), "{shown}");
}
