//! What `features` says is what is done: each mount option that it lists is taken, and others are not.

use serde_json::{Value, json};

use super::container::Container;
use crate::harness::require;

fn features(container: &Container) -> Value {
    let ran = container.oci(&["features"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

fn options(container: &Container) -> Vec<String> {
    serde_json::from_value(features(container)["mountOptions"].clone()).unwrap()
}

#[test]
fn every_mount_option_that_is_listed_is_taken() {
    require!(root, busybox);
    let mut container = Container::new();
    let known = options(&container);
    assert!(known.len() > 50 && known.contains(&"rro".to_owned()), "{known:?}");
    let source = container.path("source");
    std::fs::create_dir(&source).unwrap();
    container.config["root"]["readonly"] = json!(false);
    let mut count = 0;
    for option in &known {
        // Users are mapped only where there are some; that is seen in the tests of user namespaces.
        if ["idmap", "ridmap"].contains(&option.as_str()) {
            continue;
        }
        count += 1;
        let mount = if ["bind", "rbind"].contains(&option.as_str()) {
            json!({"destination": format!("/m/{option}"), "source": source, "options": [option]})
        } else {
            json!({"destination": format!("/m/{option}"), "type": "tmpfs", "source": "tmpfs", "options": [option]})
        };
        container.config["mounts"].as_array_mut().unwrap().push(mount);
    }
    assert_eq!(
        container.says("ls /m | wc -l; grep -c ' /m/' /proc/self/mountinfo"),
        format!("{count}\n{count}")
    );
    // What they do, where it shows.
    let shown = container.says("grep ' /m/' /proc/self/mountinfo");
    for (option, word) in [
        ("ro", " ro,"),
        ("rro", " ro,"),
        ("nosuid", "nosuid"),
        ("rnosuid", "nosuid"),
        ("nodev", "nodev"),
        ("rnodev", "nodev"),
        ("noexec", "noexec"),
        ("rnoexec", "noexec"),
        ("nosymfollow", "nosymfollow"),
        ("rnosymfollow", "nosymfollow"),
        ("nodiratime", "nodiratime"),
        ("rnodiratime", "nodiratime"),
        ("noatime", "noatime"),
        ("rnoatime", "noatime"),
        ("relatime", "relatime"),
        ("rrelatime", "relatime"),
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
        ("sync", "sync"),
        ("dirsync", "dirsync"),
    ] {
        let line = shown.lines().find(|line| line.contains(&format!(" /m/{option} "))).unwrap();
        assert!(line.contains(word), "{option}: {line}");
    }
}

#[test]
fn an_option_that_is_not_listed_is_refused() {
    require!(root, busybox);
    let mut container = Container::new();
    let known = options(&container);
    container.config["mounts"].as_array_mut().unwrap().push(Value::Null);
    for option in ["remount", "iversion", "noiversion", "acl", "fly"] {
        assert!(!known.contains(&option.to_owned()), "{option}");
        let mount = json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": [option]});
        *container.config["mounts"].as_array_mut().unwrap().last_mut().unwrap() = mount;
        let ran = container.script("true").run();
        assert!(ran.code == 1 && ran.err.contains(option), "{option}: {ran:?}");
    }
}

#[test]
fn what_is_said_to_be_missing_is_refused() {
    require!(root, busybox);
    let mut container = Container::new();
    let linux = features(&container)["linux"].clone();
    assert_eq!((&linux["intelRdt"]["enabled"], &linux["selinux"]["enabled"]), (&json!(false), &json!(false)));
    for (member, value) in [("intelRdt", json!({"closID": "some"})), ("mountLabel", json!("some"))] {
        container.config["linux"][member] = value;
        let ran = container.run();
        assert!(ran.code == 1 && ran.err.starts_with(&format!("hythe oci: linux.{member}")), "{ran:?}");
        container.config["linux"].as_object_mut().unwrap().remove(member);
    }
    // A word of the version that is said to be the newest.
    container.config["ociVersion"] = features(&container)["ociVersionMax"].clone();
    assert_eq!(container.says("echo ran"), "ran");
    let version = container.oci(&["--version"]).out;
    assert!(version.contains(&format!("spec: {}", features(&container)["ociVersionMax"].as_str().unwrap())));
}
