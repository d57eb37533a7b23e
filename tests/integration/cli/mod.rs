//! The command line as people and programs meet it.
//!
//! Everything here goes through the program itself: what it prints, what it takes, how it ends.

mod program;

use serde_json::{Value, json};

use crate::harness::{Instance, images, require};

/// A line of shell that stays until SIGTERM.
const STAY: &str = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";

/// A document whose one container runs a line of shell on busybox.
fn document(family: &str, line: &str) -> Value {
    let image = format!("oci:{}:latest", images::busybox().display());
    let container = json!({ "name": "main", "image": image, "command": ["sh", "-c", line], "memory": 64, "stopTimeout": 2 });
    json!({ "family": family, "containerDefinitions": [container] })
}

/// A file with a document.
fn file(instance: &Instance, document: &Value) -> String {
    let path = instance.path(format!("{}.json", document["family"].as_str().expect("a family")));
    std::fs::write(&path, document.to_string()).expect("the document");
    path.display().to_string()
}

/// Registers a document and starts one task of it; the task's id.
#[track_caller]
fn run(instance: &Instance, document: &Value) -> String {
    instance.cli(&["run", &file(instance, document)]).ok().trim().to_owned()
}

/// Waits for a task's status.
#[track_caller]
fn until(instance: &Instance, task: &str, status: &str) {
    crate::harness::wait_for(status, crate::harness::PATIENCE, || {
        let said = instance.cli(&["-o", "json", "show", task]).ok();
        let described: Value = serde_json::from_str(&said).expect("JSON");
        (described["tasks"][0]["lastStatus"] == status).then_some(())
    });
}

#[test]
fn a_misspelt_member_is_refused_with_its_place_and_the_nearest_word() {
    require!(host);
    let instance = Instance::start("misspelt");
    let file = instance.path("web.json");
    std::fs::write(&file, "{\n  \"family\": \"web\",\n  \"containerDefinitions\": [\n    { \"name\": \"web\", \"imgae\": \"x\" }\n  ]\n}\n")
        .expect("the document");
    let said = instance.cli(&["task-def", "register", &file.display().to_string()]);
    assert_eq!(said.code, 4);
    assert!(said.err.contains("web.json:4:22: "), "{}", said.err);
    assert!(said.err.contains("did you mean `image`?"), "{}", said.err);
    assert_eq!(instance.cli(&["task-def", "ls"]).ok().lines().count(), 1, "nothing was registered");
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    require!(host);
    let instance = Instance::start("codes");
    assert_eq!(instance.cli(&["show", "0123"]).code, 3);
    assert_eq!(instance.cli(&["service", "show", "nobody"]).code, 3);
    assert_eq!(instance.cli(&["task-def", "show", "nobody"]).code, 3);
    assert_eq!(instance.cli(&["run", "nobody"]).code, 3);
    assert_eq!(instance.cli(&["--cluster", "nowhere", "ps"]).code, 3);
    assert_eq!(instance.cli(&["frobnicate"]).code, 2);
    assert_eq!(instance.cli(&["cluster", "create", "not a name"]).code, 4);
    let nobody = instance.path("nobody.sock");
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_hythe"))
        .arg("ps")
        .env("HYTHE_SOCKET", &nobody)
        .output();
    let said = crate::harness::instance::Said::from(said.expect("hythe runs"));
    assert_eq!(said.code, 5);
    assert!(said.err.contains("nobody.sock"), "{}", said.err);
}

#[test]
fn a_file_is_run_to_its_end_with_the_containers_own_code() {
    require!(host, busybox);
    let instance = Instance::start("run");
    let job = file(&instance, &document("job", "echo $WORD; exit 9"));
    let said = instance.cli(&["run", "--follow", "--env", "WORD=hello", &job]);
    assert_eq!((said.code, said.out.as_str()), (9, "hello\n"), "{}", said.err);
    let said = instance.cli(&["run", "--wait", "job", "--", "true"]);
    assert_eq!(said.code, 0, "{}", said.err);
}

#[test]
fn tasks_are_listed_shown_and_stopped_by_the_beginning_of_their_id() {
    require!(host, busybox);
    let instance = Instance::start("ps");
    let task = run(&instance, &document("sleeper", STAY));
    until(&instance, &task, "RUNNING");
    let listed = instance.cli(&["ps"]).ok();
    let row: Vec<&str> = listed.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(row[..4], [&task[..8], "sleeper:1", "family:sleeper", "RUNNING"], "{listed}");
    assert!(instance.cli(&["show", &task[..8]]).ok().contains(&task));
    assert_eq!(instance.cli(&["stop", "--wait", &task[..8]]).ok().trim(), task);
    assert_eq!(instance.cli(&["ps"]).ok().lines().count(), 1);
    assert_eq!(instance.cli(&["ps", "--all"]).ok().lines().count(), 2);
}

#[test]
fn programs_get_what_the_api_answered() {
    require!(host, busybox);
    let instance = Instance::start("json");
    let task = run(&instance, &document("json", STAY));
    until(&instance, &task, "RUNNING");
    let said: Value = serde_json::from_str(&instance.cli(&["-o", "json", "ps"]).ok()).expect("JSON");
    assert!(said["tasks"][0]["taskArn"].as_str().is_some_and(|arn| arn.ends_with(&task)), "{said:#}");
}

/// What the doctor says as JSON, and its exit code.
fn examined(instance: &Instance, more: &[&str]) -> (Value, i32) {
    let said = instance.cli(&[&["-o", "json", "doctor"], more].concat());
    (serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("JSON: {}{}", said.out, said.err)), said.code)
}

#[test]
fn the_doctor_looks_at_everything_with_a_daemon_and_without_and_ends_with_the_worst() {
    require!(host);
    let mut instance = Instance::start("doctor");
    let (with, code) = examined(&instance, &[]);
    let findings = with["findings"].as_array().expect("findings").clone();
    let subjects = |findings: &[Value]| -> Vec<String> {
        findings.iter().map(|one| one["subject"].as_str().expect("a subject").to_owned()).collect()
    };
    let all = subjects(&findings);
    let wanted = [
        "daemon",
        "kernel",
        "features",
        "modules",
        "entropy",
        "privileges",
        "cgroup",
        "overlay",
        "disk",
        "quota",
        "clock",
        "dns",
        "firewall",
        "network",
        "store",
    ];
    for subject in wanted {
        assert!(all.iter().any(|one| one == subject), "{subject}: {all:?}");
    }
    let has = |verdict: &str| findings.iter().any(|one| one["verdict"] == verdict);
    assert_eq!(code, if has("broken") { 1 } else { 6 * i32::from(has("degraded")) }, "{with:#}");
    for one in findings.iter().filter(|one| one["verdict"] != "ok" && one["subject"] != "tasks") {
        assert!(one["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{one:#}");
    }
    let lines: std::collections::BTreeSet<String> =
        findings.iter().map(|one| one["message"].to_string()).collect();
    assert_eq!(lines.len(), findings.len(), "nothing is said twice: {with:#}");

    instance.stop_daemon();
    let config = instance.path("hythe.toml");
    let (without, code) = examined(&instance, &["--config", config.to_str().expect("a path of letters")]);
    assert_eq!(code, if has("broken") { 1 } else { 5 }, "{without:#}");
    assert_eq!(without["findings"][0]["verdict"], "degraded");
    let fewer = subjects(without["findings"].as_array().expect("findings"));
    assert!(wanted[..14].iter().all(|subject| fewer.iter().any(|one| one == subject)), "{fewer:?}");
    std::fs::write(&config, "bridge = 1\n").expect("the configuration");
    let (wrong, code) = examined(&instance, &["--config", config.to_str().expect("a path of letters")]);
    assert_eq!(code, 1);
    assert!(wrong.to_string().contains("hythe.toml:1:"), "{wrong:#}");
}

#[test]
fn a_start_says_where_its_time_went() {
    require!(host, busybox);
    let instance = Instance::start("timing");
    let task = run(&instance, &document("timing", "exit 0"));
    until(&instance, &task, "STOPPED");
    let said = instance.cli(&["show", "--timing", &task]).ok();
    for step in ["pull", "network", "bundle", "shim", "mount", "exec"] {
        assert!(said.lines().any(|line| line.starts_with(step)), "no {step} in\n{said}");
    }
}

#[test]
fn clusters_are_separate_and_a_busy_one_is_not_deleted() {
    require!(host, busybox);
    let instance = Instance::start("clusters");
    instance.cli(&["cluster", "create", "blue"]).ok();
    let job = file(&instance, &document("c", STAY));
    let task = instance.cli(&["--cluster", "blue", "run", &job]).ok();
    assert_eq!(instance.cli(&["ps"]).ok().lines().count(), 1, "the other cluster is empty");
    assert_eq!(instance.cli(&["cluster", "rm", "blue"]).code, 4);
    instance.cli(&["--cluster", "blue", "stop", "--wait", task.trim()]).ok();
    instance.cli(&["cluster", "rm", "blue"]).ok();
}

#[test]
fn a_service_is_made_changed_shown_and_removed() {
    require!(host, busybox);
    let instance = Instance::start("service");
    instance.cli(&["task-def", "register", &file(&instance, &document("web", STAY))]).ok();
    instance.cli(&["service", "create", "web", "-d", "web", "-n", "2", "--wait"]).ok();
    let listed = instance.cli(&["service", "ls"]).ok();
    let row: Vec<&str> = listed.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(row[..5], ["web", "web:1", "ACTIVE", "2", "2"], "{listed}");
    instance.cli(&["service", "update", "web", "-n", "1", "--wait"]).ok();
    assert!(instance.cli(&["service", "show", "web"]).ok().contains("PRIMARY"));
    assert!(instance.cli(&["service", "events", "web"]).ok().contains("has started 2 tasks"));
    assert_eq!(instance.cli(&["service", "rm", "web"]).code, 4, "it is scaled above 0");
    instance.cli(&["service", "rm", "web", "--force", "--wait"]).ok();
    assert_eq!(instance.cli(&["service", "ls"]).ok().lines().count(), 1);
}

#[test]
fn images_are_loaded_listed_checked_saved_and_removed() {
    require!(host, busybox);
    let instance = Instance::start("images");
    let source = format!("oci:{}:latest", images::busybox().display());
    let said = instance.cli(&["image", "load", &source, "--name", "example/busybox:1"]).ok();
    assert!(said.contains("example/busybox:1") && said.contains("sha256:"), "{said}");
    assert!(instance.cli(&["image", "ls"]).ok().contains("example/busybox:1"));
    assert!(instance.cli(&["image", "inspect", "example/busybox:1"]).ok().contains("sha256:"));
    instance.cli(&["image", "verify"]).ok();
    let archive = instance.path("saved.tar");
    instance.cli(&["image", "save", "example/busybox:1", &format!("oci-archive:{}", archive.display())]).ok();
    assert!(archive.metadata().expect("the archive").len() > 100_000);
    instance.cli(&["image", "rm", "example/busybox:1"]).ok();
    assert!(!instance.cli(&["image", "ls"]).ok().contains("example/busybox:1"));
    assert_eq!(instance.cli(&["image", "rm", "example/busybox:1"]).code, 3);
    instance.cli(&["image", "prune", "--all"]).ok();
}

#[test]
fn completions_and_manual_pages_need_no_daemon() {
    let pages = tempfile::tempdir().expect("a directory");
    let program = || std::process::Command::new(env!("CARGO_BIN_EXE_hythe"));
    let said = program().args(["completions", "bash"]).output().expect("hythe runs");
    assert!(String::from_utf8_lossy(&said.stdout).contains("task-def"));
    assert!(program().arg("man").arg(pages.path()).status().expect("hythe runs").success());
    assert!(pages.path().join("hythe-image-pull.1").is_file());
}

#[test]
fn what_the_host_does_not_enforce_is_said_on_the_task() {
    require!(host, busybox);
    let instance = Instance::start("unenforced");
    let mut wants = document("unenforced", STAY);
    wants["containerDefinitions"][0]["ulimits"] =
        json!([{ "name": "nofile", "softLimit": 1024, "hardLimit": 1 << 28 }]);
    wants["ephemeralStorage"] = json!({ "sizeInGiB": 30 });
    let task = run(&instance, &wants);
    until(&instance, &task, "RUNNING");
    let shown = instance.cli(&["show", &task]).ok();
    assert!(shown.contains("not enforced: ephemeralStorage: tasks are not held to 30 GiB"), "{shown}");
    let can_raise = std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status.lines().any(|line| line.strip_prefix("CapEff:\t").is_some_and(has_sys_resource))
    });
    assert!(can_raise || shown.contains("not enforced:") && shown.contains("RLIMIT_NOFILE"), "{shown}");
}

fn has_sys_resource(mask: &str) -> bool {
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << 24) != 0)
}
