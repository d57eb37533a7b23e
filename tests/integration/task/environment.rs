//! What a container's program gets: environment, command, working directory.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    stage::{container, definition, word},
    tasks::with,
};

fn pair(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

#[test]
fn overrides_beat_the_definition_that_beats_files_that_beat_the_image() {
    require!(host, busybox);
    let instance = Instance::with_busybox("precedence");
    let layer = instance.path("layer");
    fs::create_dir(&layer).unwrap();
    let image = ["--env", "A=image", "--env", "B=image", "--env", "C=image", "--env", "D=image"];
    instance.load_packed(&layer, "variables", &image);
    let files = [
        ("one.env", "B=first\nC=first\nD=first\n# no=comment\nQ=\"kept\"\n"),
        ("two.env", "B=second\nE=second\n"),
    ];
    for (name, lines) in files {
        fs::write(instance.path(name), lines).unwrap();
    }
    let file = |name: &str| json!({ "type": "s3", "value": instance.path(name) });
    let app = with(
        container("app", "for n in A B C D E Q; do eval echo $n=\\$$n; done; env | grep -c no="),
        json!({
            "image": "variables",
            "environmentFiles": [file("one.env"), file("two.env")],
            "environment": [pair("C", "definition"), pair("D", "definition")],
        }),
    );
    let change = json!({ "overrides": { "containerOverrides": [
        { "name": "app", "environment": [pair("D", "call")] }] } });
    let id = instance.launch_with(&definition("precedence", &[app]), change);
    let task = instance.stopped(&id);
    let said = instance.said(&id, "app");
    assert_eq!(said, "A=image\nB=first\nC=definition\nD=call\nE=second\nQ=\"kept\"\n0\n", "{task:#}");
}

#[test]
fn an_environment_file_that_is_missing_fails_the_task_with_its_name() {
    require!(host, busybox);
    let instance = Instance::with_busybox("no-file");
    let files = json!({ "environmentFiles": [{ "type": "s3", "value": "/nowhere/app.env" }] });
    let (_, task) = instance.ran(&definition("no-file", &[with(container("app", "true"), files)]));
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    let reason = word(&task, "stoppedReason");
    assert!(
        reason.starts_with("ResourceInitializationError: ") && reason.contains("/nowhere/app.env"),
        "{reason}"
    );
    instance.nothing_is_left();
}

#[test]
fn a_call_replaces_the_command_and_keeps_the_entry_point() {
    require!(host, busybox);
    let instance = Instance::with_busybox("command");
    let app = with(container("app", ""), json!({ "entryPoint": ["echo", "entry"], "command": ["usual"] }));
    let document = definition("command", &[app]);
    let change = json!({ "overrides": { "containerOverrides": [{ "name": "app", "command": ["changed", "twice"] }] } });
    let changed = instance.launch_with(&document, change);
    instance.stopped(&changed);
    assert_eq!(instance.said(&changed, "app"), "entry changed twice\n");
    assert_eq!(instance.says_in(&document), "entry usual\n");
}

#[test]
fn the_image_says_what_runs_where_the_definition_does_not() {
    require!(host, busybox);
    let instance = Instance::with_busybox("image-config");
    let layer = instance.path("layer");
    fs::create_dir(&layer).unwrap();
    let options = [
        "--entrypoint",
        "sh",
        "--entrypoint",
        "-c",
        "--cmd",
        "pwd; id -u; echo $HOME",
        "--workdir",
        "/var/www",
        "--user",
        "app",
    ];
    instance.load_packed(&layer, "configured", &options);
    let plain = json!({ "name": "app", "image": "configured", "memory": 64 });
    assert_eq!(instance.says(&plain), "/var/www\n1000\n/home/app\n");
    let own = json!({ "workingDirectory": "/made/by/hythe", "user": "0" });
    assert_eq!(instance.says(&with(plain, own)), "/made/by/hythe\n0\n/root\n");
}

#[test]
fn hostile_values_stay_values() {
    require!(host, busybox);
    let instance = Instance::with_busybox("hostile");
    let app = with(
        container("app", "env | grep ^V=; env | grep -c ^INJECTED="),
        json!({
            "environment": [pair("V", "a\"b'$(touch /tmp/x)`id`"), pair("W", "line\nINJECTED=yes")],
            "dockerLabels": { "label\n\"}": "\u{1b}[31m" },
        }),
    );
    let (id, _) = instance.ran(&definition("hostile", &[app]));
    let said = instance.said(&id, "app");
    assert!(said.starts_with("V=a\"b'$(touch /tmp/x)`id`\n"), "{said}");
}
