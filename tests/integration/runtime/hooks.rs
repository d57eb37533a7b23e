//! Hooks of all six kinds: in which order, where, what they are told, and what follows when one fails.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use super::container::Container;
use crate::harness::{require, wait_for};

/// A hook that adds its name to the file of names and writes the state beside it.
fn notes(container: &Container, kind: &str) -> Value {
    let place = container.path("notes").display().to_string();
    let script = format!("cat > {place}.{kind}; echo {kind} >> {place}");
    json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], "timeout": 20})
}

fn fails() -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", "exit 7"]})
}

fn names(container: &Container) -> Vec<String> {
    let text = fs::read_to_string(container.path("notes")).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

fn told(container: &Container, kind: &str) -> Value {
    let text = fs::read(container.path(&format!("notes.{kind}"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn container() -> Container {
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    container.config["annotations"] = json!({"colour": "green"});
    container.script("sleep 1000");
    container
}

#[test]
fn each_kind_runs_in_its_turn_and_is_told_the_state() {
    require!(root, busybox);
    let mut container = container();
    let inside = json!({"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/state; id -u > /tmp/user; hostname > /tmp/name"],
        "env": ["PATH=/bin"]});
    container.config["hostname"] = json!("box");
    container.config["process"]["user"] = json!({"uid": 5, "gid": 5});
    fs::set_permissions(container.rootfs().join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    container.config["hooks"] = json!({
        "poststop": [notes(&container, "poststop")],
        "poststart": [notes(&container, "poststart")],
        "startContainer": [inside],
        "createContainer": [notes(&container, "createContainer")],
        "createRuntime": [notes(&container, "createRuntime"), notes(&container, "second")],
        "prestart": [notes(&container, "prestart")],
    });
    assert_eq!(container.create().code, 0);
    assert_eq!(names(&container), ["prestart", "createRuntime", "second", "createContainer"]);
    let pid = container.pid();
    assert_eq!(
        told(&container, "createRuntime"),
        json!({
            "ociVersion": "1.0.2", "id": container.id, "status": "creating", "pid": pid,
            "bundle": container.bundle(), "annotations": {"colour": "green"},
        })
    );
    assert_eq!(told(&container, "prestart")["status"], "created");
    // Within the container, its first process is the first.
    assert_eq!(told(&container, "createContainer")["pid"], 1);
    assert!(!container.rootfs().join("tmp/state").exists());

    assert_eq!(container.oci(&["start", &container.id]).code, 0);
    let inside: Value =
        serde_json::from_slice(&fs::read(container.rootfs().join("tmp/state")).unwrap()).unwrap();
    assert_eq!((&inside["status"], &inside["pid"]), (&json!("created"), &json!(1)));
    let read = |name: &str| fs::read_to_string(container.rootfs().join("tmp").join(name)).unwrap();
    assert_eq!((read("user").as_str(), read("name").as_str()), ("5\n", "box\n"));
    assert_eq!(names(&container).last().unwrap(), "poststart");
    assert_eq!(told(&container, "poststart")["status"], "running");

    assert_eq!(container.oci(&["delete", "--force", &container.id]).code, 0);
    assert_eq!(names(&container).last().unwrap(), "poststop");
    assert_eq!(told(&container, "poststop")["status"], "stopped");
}

#[test]
fn a_hook_that_fails_while_the_container_is_made_takes_it_back() {
    require!(root, busybox);
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let mut container = container();
        container.config["hooks"] = json!({"poststop": [notes(&container, "poststop")]});
        container.config["hooks"][kind] = json!([fails(), notes(&container, "never")]);
        let ran = container.create();
        assert_eq!(ran.err, format!("hythe oci: hooks.{kind}[0]: /bin/sh ended with exit code 7"));
        assert_eq!(ran.code, 1);
        assert_eq!(container.left(), Vec::<String>::new());
        assert_eq!(container.oci(&["list", "-q"]).out, "");
        assert_eq!(names(&container), ["poststop"]);
    }
}

#[test]
fn a_hook_that_is_not_there_or_takes_too_long_fails() {
    require!(root, busybox);
    let mut container = container();
    container.config["hooks"] = json!({"createRuntime": [{"path": "/no/such/hook"}]});
    let ran = container.create();
    assert_eq!(
        ran.err,
        "hythe oci: hooks.createRuntime[0]: /no/such/hook: ENOENT: No such file or directory"
    );
    let slow = json!({"path": "/bin/sh", "args": ["sh", "-c", "exec sleep 1000"], "timeout": 1});
    container.config["hooks"] = json!({"createRuntime": [slow]});
    let ran = container.create();
    assert_eq!(ran.err, "hythe oci: hooks.createRuntime[0]: /bin/sh was not done in 1 seconds");
    assert_eq!(container.left(), Vec::<String>::new());
}

#[test]
fn a_hook_that_fails_before_the_program_stops_the_container() {
    require!(root, busybox);
    let mut container = container();
    container.config["hooks"] = json!({"startContainer": [fails()]});
    assert_eq!(container.create().code, 0);
    let started = container.oci(&["start", &container.id]);
    assert_eq!(
        (started.err.as_str(), started.code),
        ("hythe oci: hooks.startContainer[0]: ended with exit code 7", 1)
    );
    assert_eq!(container.status(), "stopped");
}

#[test]
fn a_hook_that_fails_after_the_start_stops_the_container() {
    require!(root, busybox);
    let mut container = container();
    container.config["hooks"] = json!({
        "poststart": [notes(&container, "poststart"), fails(), notes(&container, "never")],
        "poststop": [fails(), notes(&container, "poststop")],
    });
    assert_eq!(container.create().code, 0);
    let started = container.oci(&["start", &container.id]);
    let sentence = "hythe oci: hooks.poststart[1]: /bin/sh ended with exit code 7";
    assert_eq!((started.err.as_str(), started.code), (sentence, 1));
    assert_eq!(container.status(), "stopped");
    // One that fails when it is over is only told.
    let deleted = container.oci(&["delete", &container.id]);
    let sentence = "hythe oci: warning: hooks.poststop[0]: /bin/sh ended with exit code 7";
    assert_eq!((deleted.err.as_str(), deleted.code), (sentence, 0));
    assert_eq!(names(&container), ["poststart", "poststop"]);
    let ran = container.run();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(container.oci(&["list", "-q"]).out, "");
    assert_eq!(names(&container), ["poststart", "poststop", "poststart", "poststop"]);
}

#[test]
fn a_hook_is_named_by_its_number_wherever_it_runs() {
    require!(root, busybox);
    let mut container = container();
    container.config["hooks"] = json!({"createContainer": [notes(&container, "first"), fails()]});
    let ran = container.create();
    assert_eq!(ran.err, "hythe oci: hooks.createContainer[1]: /bin/sh ended with exit code 7");
    assert_eq!(names(&container), ["first"]);
    let fine = json!({"path": "/bin/true"});
    container.config["hooks"] = json!({"startContainer": [fine, fine, fails()]});
    assert_eq!(container.create().code, 0);
    let started = container.oci(&["start", &container.id]);
    assert_eq!(started.err, "hythe oci: hooks.startContainer[2]: ended with exit code 7");
}

#[test]
fn a_hook_without_an_environment_has_the_runtimes() {
    require!(root, busybox);
    let mut container = container();
    let place = container.path("colour").display().to_string();
    let script = format!("echo \"$COLOUR\" >> {place}");
    let hook = |env: Value| json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": env});
    container.config["hooks"] =
        json!({"createRuntime": [hook(Value::Null), hook(json!(["A=1"])), hook(json!([]))]});
    container.script("true").save();
    let bundle = container.bundle().display().to_string();
    let mut run = container.command(&["run", "--bundle", &bundle, &container.id]);
    assert!(run.env("COLOUR", "blue").status().unwrap().success());
    assert_eq!(fs::read_to_string(place).unwrap(), "blue\n\n\n");
}

#[test]
fn a_runtime_that_is_killed_in_a_hook_leaves_nothing_that_delete_does_not_remove() {
    require!(root, busybox);
    let mut container = container();
    let waits = format!("touch {}; exec sleep 1000", container.path("reached").display());
    container.config["hooks"] = json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", waits]}]});
    container.save();
    let bundle = container.bundle().display().to_string();
    let mut create = container.command(&["create", "--bundle", &bundle, &container.id]).spawn().unwrap();
    wait_for("the hook", Duration::from_secs(20), || container.path("reached").exists().then_some(()));
    create.kill().unwrap();
    create.wait().unwrap();
    assert_eq!(container.oci(&["delete", "--force", &container.id]).code, 0);
    assert_eq!(container.oci(&["list", "-q"]).out, "");
    wait_for("nothing left", Duration::from_secs(20), || container.left().is_empty().then_some(()));
}
