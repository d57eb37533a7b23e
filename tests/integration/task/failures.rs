//! What cannot be pulled or started: one sentence that names the thing, ECS's word for it, nothing half-done.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::harness::{
    Instance, images,
    instance::Wish,
    registry::{Door, Registry},
    require,
    stage::{FOREVER, container, definition, one, word},
    tasks::with,
};

/// Runs a task that must fail to start, and returns its reason.
#[track_caller]
fn fails(instance: &Instance, container: Value) -> String {
    let (id, task) = instance.ran(&definition("fails", &[container]));
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    assert!(task.get("startedAt").is_none(), "it never ran: {task:#}");
    let app = one(&task, "app");
    assert!(app.get("exitCode").is_none(), "nothing ran: {task:#}");
    assert_eq!(app["lastStatus"], "STOPPED");
    assert_eq!(app["reason"], task["stoppedReason"], "{task:#}");
    instance.nothing_is_left();
    assert_eq!(instance.task(&id)["stoppedReason"], task["stoppedReason"]);
    let reason = word(&task, "stoppedReason").to_owned();
    assert!(!reason.contains('\n') && reason.len() <= 1024, "{reason}");
    reason
}

fn image(name: &str) -> Value {
    with(container("app", "true"), json!({ "image": name }))
}

#[test]
fn an_image_that_is_nowhere_is_named() {
    require!(host, busybox, registry);
    let instance = Instance::start("missing");
    let registry = Registry::start(Door::Open);
    registry.push(&images::busybox(), "there:1");
    let name = format!("{}/there:2", registry.host());
    let reason = fails(&instance, image(&name));
    assert!(reason.starts_with("CannotPullContainerError: ") && reason.contains(&name), "{reason}");
    let name = format!("{}/nowhere:1", registry.host());
    let reason = fails(&instance, image(&name));
    assert!(reason.starts_with("CannotPullContainerError: ") && reason.contains(&name), "{reason}");
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    require!(host);
    let instance = Instance::start("refused");
    let reason = fails(&instance, image("127.0.0.1:1/web:1"));
    assert!(reason.starts_with("CannotPullContainerError: ") && reason.contains("127.0.0.1:1"), "{reason}");
    assert!(reason.to_lowercase().contains("refused"), "{reason}");
}

#[test]
fn a_registry_that_wants_a_password_is_told_apart() {
    require!(host, busybox, registry);
    let instance = Instance::start("password");
    let registry = Registry::start(Door::Password);
    let name = registry.push(&images::busybox(), "private:1");
    let reason = fails(&instance, image(&name));
    assert!(reason.starts_with("CannotPullContainer") && reason.contains(&name), "{reason}");
    let words = reason.to_lowercase();
    assert!(
        ["unauthorized", "credential", "authenti", "password"].iter().any(|word| words.contains(word)),
        "{reason}"
    );
}

#[test]
fn a_task_pulls_its_image_from_a_registry() {
    require!(host, busybox, registry);
    let instance = Instance::start("pulls");
    let registry = Registry::start(Door::Open);
    let name = registry.push(&images::busybox(), "team/web:1");
    let (id, task) = instance
        .ran(&definition("pulls", &[with(container("app", "echo pulled"), json!({ "image": name }))]));
    assert_eq!(instance.said(&id, "app"), "pulled\n", "{task:#}");
    let digest = word(one(&task, "app"), "imageDigest").to_owned();
    assert!(digest.starts_with("sha256:"), "{task:#}");
    let pinned = format!("{}@{digest}", name.trim_end_matches(":1"));
    let (_, task) = instance.ran(&definition("pulls", &[image(&pinned)]));
    assert_eq!(one(&task, "app")["exitCode"], 0, "{task:#}");
    let wrong = format!("{}@sha256:{}", name.trim_end_matches(":1"), "0".repeat(64));
    let reason = fails(&instance, image(&wrong));
    assert!(reason.starts_with("CannotPullContainerError: ") && reason.contains("0000"), "{reason}");
}

#[test]
fn a_corrupt_layer_is_refused_and_a_sound_one_taken_later() {
    require!(host, busybox, registry);
    let instance = Instance::start("corrupt");
    let registry = Registry::start(Door::Open);
    let layout = instance.path("layout");
    let layer =
        images::tar(&[("etc/", b""), ("etc/word", b"the word\n"), ("etc/noise", &images::noise(200_000, 7))]);
    images::of_tars(&layout, "latest", &[layer], hythe::image::manifest::Compression::None);
    let name = registry.push(&layout, "corrupt:1");
    let manifest = largest_blob(&layout);
    let stored = registry.blob(&manifest);
    let good = fs::read(&stored).unwrap();
    let mut bad = good.clone();
    bad[100_000] ^= 1;
    fs::write(&stored, &bad).unwrap();
    let reason = fails(&instance, image(&name));
    assert!(reason.starts_with("CannotPullContainerError: ") && reason.contains(&manifest[..12]), "{reason}");
    let listed = instance.get("/hythe/v1/images").to_string();
    assert!(!listed.contains("corrupt"), "nothing half-done is listed: {listed}");
    fs::write(&stored, &good).unwrap();
    instance.cli(&["image", "pull", &name]).ok();
}

/// The digest, in hexadecimal, of the largest blob of a layout.
fn largest_blob(layout: &std::path::Path) -> String {
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(Result::unwrap);
    let largest = blobs.max_by_key(|entry| entry.metadata().unwrap().len()).unwrap();
    largest.file_name().into_string().unwrap()
}

#[test]
fn a_program_that_is_missing_is_named() {
    require!(host, busybox);
    let instance = Instance::with_busybox("no-program");
    let run = |command: Value| with(container("app", ""), json!({ "command": command }));
    let reason = fails(&instance, run(json!(["/no/such/program", "--flag"])));
    assert!(
        reason.starts_with("CannotStartContainerError: ") && reason.contains("/no/such/program"),
        "{reason}"
    );
    let reason = fails(&instance, run(json!(["nosuchprogram"])));
    assert!(reason.contains("nosuchprogram") && reason.contains("PATH"), "{reason}");
    let reason = fails(&instance, run(json!(["/etc/passwd"])));
    assert!(reason.contains("/etc/passwd") && reason.to_lowercase().contains("permission"), "{reason}");
    let reason = fails(&instance, run(json!(["/etc"])));
    assert!(reason.contains("/etc"), "{reason}");
}

#[test]
fn a_program_for_another_machine_is_named() {
    require!(host, busybox);
    let instance = Instance::with_busybox("format");
    let layer = instance.path("layer");
    fs::create_dir(&layer).unwrap();
    fs::write(layer.join("garbage"), "\x7fELF garbage").unwrap();
    fs::set_permissions(layer.join("garbage"), fs::Permissions::from_mode(0o755)).unwrap();
    instance.load_packed(&layer, "garbage", &[]);
    let app = with(container("app", ""), json!({ "image": "garbage", "command": ["/garbage"] }));
    let reason = fails(&instance, app);
    assert!(reason.starts_with("CannotStartContainerError: ") && reason.contains("/garbage"), "{reason}");
}

#[test]
fn one_container_that_cannot_start_takes_the_others_along() {
    require!(host, busybox);
    let instance = Instance::with_busybox("along");
    let bad = with(container("bad", ""), json!({ "command": ["/no/such/program"] }));
    let (_, task) = instance.ran(&definition("along", &[container("good", FOREVER), bad.clone()]));
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    assert!(word(one(&task, "bad"), "reason").contains("/no/such/program"), "{task:#}");
    instance.nothing_is_left();
    let optional = with(bad, json!({ "essential": false }));
    let id = instance.launch(&definition("along", &[container("good", FOREVER), optional]));
    let task = instance.running(&id);
    assert!(word(one(&task, "bad"), "reason").starts_with("CannotStartContainerError: "), "{task:#}");
}

#[test]
fn a_mount_on_something_impossible_is_named() {
    require!(host, busybox);
    let instance = Instance::with_busybox("impossible");
    let point = json!({ "mountPoints": [{ "sourceVolume": "v", "containerPath": "/etc/passwd/below" }] });
    let app = with(container("app", "true"), point);
    let document = with(definition("impossible", &[app]), json!({ "volumes": [{ "name": "v" }] }));
    let (_, task) = instance.ran(&document);
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    assert!(word(&task, "stoppedReason").contains("/etc/passwd/below"), "{task:#}");
    instance.nothing_is_left();
}

#[test]
fn a_full_disk_ends_a_load_in_one_sentence_and_leaves_nothing_half_done() {
    require!(host, busybox);
    let wish = Wish { disk: Some("6m"), ..Wish::default() };
    let instance = Instance::start_with("full", wish);
    let layout = instance.path("layout");
    let big = images::tar(&[("etc/", b""), ("etc/big", &images::noise(8 << 20, 3))]);
    images::of_tars(&layout, "latest", &[big], hythe::image::manifest::Compression::None);
    let said = instance.cli(&["image", "load", &format!("oci:{}", layout.display()), "--name", "big"]);
    assert_eq!(said.code, 1, "{} {}", said.out, said.err);
    assert!(said.err.to_lowercase().contains("no space left"), "{}", said.err);
    instance.load(&images::busybox(), "busybox");
    assert_eq!(instance.says(&container("app", "echo well")), "well\n");
}
