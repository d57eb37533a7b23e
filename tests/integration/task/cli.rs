//! The command line as people and programs meet it.

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    tasks::{document, id, idle, shell, with},
};

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
    let said = instance.cli(&["--socket", &nobody.display().to_string(), "ps"]);
    assert_eq!(said.code, 5);
    assert!(said.err.contains("nobody.sock"), "{}", said.err);
}

#[test]
fn a_file_is_run_to_its_end_with_the_containers_own_code() {
    require!(host, busybox);
    let instance = Instance::start("run");
    let file = instance.path("job.json");
    let job = document("job", &[shell("main", "echo $WORD; exit 9")]);
    std::fs::write(&file, job.to_string()).expect("the document");
    let file = file.display().to_string();
    let said = instance.cli(&["run", "--follow", "--env", "WORD=hello", &file]);
    assert_eq!((said.code, said.out.as_str()), (9, "hello\n"), "{}", said.err);
    let said = instance.cli(&["run", "--wait", "job", "--", "true"]);
    assert_eq!(said.code, 0, "{}", said.err);
}

#[test]
fn tasks_are_listed_shown_and_stopped_by_the_beginning_of_their_id() {
    require!(host, busybox);
    let instance = Instance::start("ps");
    instance.register(document("sleeper", &[idle("main")]));
    let task = instance.cli(&["run", "sleeper"]).ok();
    let task = task.trim();
    instance.running(task);
    let listed = instance.cli(&["ps"]).ok();
    let row: Vec<&str> = listed.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(row[..4], [&task[..8], "sleeper:1", "family:sleeper", "RUNNING"], "{listed}");
    assert!(instance.cli(&["show", &task[..8]]).ok().contains(task));
    assert_eq!(instance.cli(&["stop", "--wait", &task[..8]]).ok().trim(), task);
    assert_eq!(instance.cli(&["ps"]).ok().lines().count(), 1);
    assert_eq!(instance.cli(&["ps", "--all"]).ok().lines().count(), 2);
}

#[test]
fn programs_get_what_the_api_answered() {
    require!(host, busybox);
    let instance = Instance::start("json");
    let arn = instance.run(document("json", &[idle("main")]));
    instance.running(&arn);
    let said: Value = serde_json::from_str(&instance.cli(&["-o", "json", "ps"]).ok()).expect("JSON");
    assert_eq!(said["tasks"][0]["taskArn"], json!(arn));
    let said: Value =
        serde_json::from_str(&instance.cli(&["-o", "json", "show", id(&arn)]).ok()).expect("JSON");
    assert_eq!(said["lastStatus"], "RUNNING");
    let said: Value = serde_json::from_str(&instance.cli(&["-o", "json", "doctor"]).ok()).expect("JSON");
    assert!(said["findings"].as_array().is_some_and(|findings| !findings.is_empty()));
}

#[test]
fn clusters_are_separate_and_a_busy_one_is_not_deleted() {
    require!(host, busybox);
    let instance = Instance::start("clusters");
    instance.cli(&["cluster", "create", "blue"]).ok();
    instance.register(document("c", &[idle("main")]));
    let task = instance.cli(&["--cluster", "blue", "run", "c"]).ok();
    assert_eq!(instance.cli(&["ps"]).ok().lines().count(), 1, "the other cluster is empty");
    assert_eq!(instance.cli(&["cluster", "rm", "blue"]).code, 4);
    instance.cli(&["--cluster", "blue", "stop", "--wait", task.trim()]).ok();
    instance.cli(&["cluster", "rm", "blue"]).ok();
}

#[test]
fn images_are_loaded_listed_checked_saved_and_removed() {
    require!(host, busybox);
    let instance = Instance::start("images");
    let source = crate::harness::tasks::busybox();
    let said = instance.cli(&["image", "load", source, "--name", "example/busybox:1"]).ok();
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
fn what_the_host_does_not_enforce_is_said_on_the_task() {
    require!(host, busybox);
    let instance = Instance::start("unenforced");
    let wants = with(
        idle("main"),
        json!({ "ulimits": [{ "name": "nofile", "softLimit": 1024, "hardLimit": 1 << 28 }] }),
    );
    let arn = instance.run(document("unenforced", &[wants]));
    instance.running(&arn);
    let shown = instance.cli(&["show", id(&arn)]).ok();
    let can_raise = std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status.lines().any(|line| line.strip_prefix("CapEff:\t").is_some_and(has_sys_resource))
    });
    assert!(can_raise || shown.contains("not enforced:") && shown.contains("nofile"), "{shown}");
}

fn has_sys_resource(mask: &str) -> bool {
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << 24) != 0)
}
