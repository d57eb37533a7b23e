//! What `features` says is what is done: each mount option that it lists is taken, and others are not.

use hythe::runtime::steps::has_selinux;
use serde_json::{Value, json};

use super::container::Container;
use crate::harness::{require, skipped};

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
        // Users are mapped only where there are some, and changed is only what is there; others test that.
        if ["idmap", "remount", "ridmap"].contains(&option.as_str()) {
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
    for option in ["acl", "fly"] {
        assert!(!known.contains(&option.to_owned()), "{option}");
        let mount = json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": [option]});
        *container.config["mounts"].as_array_mut().unwrap().last_mut().unwrap() = mount;
        let ran = container.script("true").run();
        assert!(ran.code == 1 && ran.err.contains(option), "{option}: {ran:?}");
    }
}

#[test]
fn what_this_host_has_no_means_for_is_refused() {
    require!(root, busybox);
    let mut container = Container::new();
    let linux = features(&container)["linux"].clone();
    assert_eq!((&linux["intelRdt"]["enabled"], &linux["selinux"]["enabled"]), (&json!(true), &json!(true)));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let absent = "linux.intelRdt: this host has no resctrl filesystem mounted (mount -t resctrl resctrl /sys/fs/resctrl)";
    for (member, value, has, sentence) in [
        ("intelRdt", json!({}), mounts.contains(" - resctrl "), absent),
        (
            "intelRdt",
            json!({"closID": "/", "enableMonitoring": true}),
            mounts.contains(" - resctrl "),
            absent,
        ),
        ("mountLabel", json!("some"), has_selinux(), "linux.mountLabel: this host has no SELinux"),
    ] {
        if has {
            skipped(&format!("this host has what linux.{member} needs"));
            continue;
        }
        container.config["linux"][member] = value;
        let ran = container.run();
        assert_eq!((ran.code, ran.err.as_str()), (1, format!("hythe oci: {sentence}").as_str()));
        assert_eq!(container.left(), Vec::<String>::new());
        container.config["linux"].as_object_mut().unwrap().remove(member);
    }
    // A word of the version that is said to be the newest.
    container.config["ociVersion"] = features(&container)["ociVersionMax"].clone();
    assert_eq!(container.says("echo ran"), "ran");
    let version = container.oci(&["--version"]).out;
    assert!(version.contains(&format!("spec: {}", features(&container)["ociVersionMax"].as_str().unwrap())));
}
