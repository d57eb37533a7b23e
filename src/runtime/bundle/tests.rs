use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::*;

/// Spoils a specification in one place.
type Change = fn(&mut Value);

fn spec(change: impl FnOnce(&mut Value)) -> Spec {
    let mut value = json!({
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sh"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn refusal(change: impl FnOnce(&mut Value)) -> String {
    check::check(&spec(change)).unwrap_err().to_string()
}

#[test]
fn a_plain_specification_passes() {
    check::check(&spec(|_| {})).unwrap();
}

#[test]
fn each_mistake_is_named_by_its_member() {
    let cases: [(&str, Change); 14] = [
        ("ociVersion: \"3.0\" is not a version 1 this runtime knows", |v| v["ociVersion"] = json!("3.0")),
        ("process.args: names no program", |v| v["process"]["args"] = json!([])),
        ("process.cwd: tmp is not an absolute path", |v| v["process"]["cwd"] = json!("tmp")),
        ("hooks.prestart[0].path: true is not an absolute path", |v| {
            v["hooks"] = json!({"prestart": [{"path": "true"}]});
        }),
        ("hooks.poststop[1].timeout: is not greater than zero", |v| {
            v["hooks"] = json!({"poststop": [{"path": "/x"}, {"path": "/x", "timeout": 0}]});
        }),
        ("linux.uidMappings: cannot be set without a user namespace", |v| {
            v["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
        }),
        ("linux.uidMappings: is missing although there is a new user namespace", |v| {
            v["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "user"}]);
        }),
        ("linux.timeOffsets.realtime: is not a clock that a time namespace offsets", |v| {
            v["linux"]["timeOffsets"] = json!({"realtime": {"secs": 1}});
        }),
        ("linux.namespaces: a user namespace needs a mount namespace", |v| {
            v["linux"]["namespaces"] = json!([{"type": "user"}]);
            v["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
            v["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
        }),
        ("linux.namespaces[2]: the pid namespace is given twice", |v| {
            v["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "pid"}, {"type": "pid"}]);
        }),
        ("hostname: cannot be set without a uts namespace", |v| v["hostname"] = json!("box")),
        ("linux.sysctl.kernel.panic: is not a parameter of a container; it would change the host", |v| {
            v["linux"]["sysctl"] = json!({"kernel.panic": "1"});
        }),
        ("linux.sysctl.net.ipv4.ip_forward: cannot be set without a net namespace", |v| {
            v["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
        }),
        ("mounts[0].destination: data is not an absolute path", |v| {
            v["mounts"] = json!([{"destination": "data", "type": "tmpfs"}]);
        }),
    ];
    for (sentence, change) in cases {
        assert_eq!(refusal(change), sentence);
    }
}

#[test]
fn a_missing_root_is_an_error_of_the_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let err = Bundle::new(dir.path(), spec(|_| {})).unwrap_err();
    assert!(err.to_string().starts_with("root.path: "), "{err}");
    std::fs::create_dir(dir.path().join("rootfs")).unwrap();
    assert!(Bundle::new(dir.path(), spec(|_| {})).is_ok());
}

#[test]
fn identifiers_cannot_be_paths() {
    for bad in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(256)] {
        assert!(ContainerId::parse(bad).is_err(), "{bad:?}");
    }
    assert_eq!(ContainerId::parse("web-1_a+b.c").unwrap().as_str(), "web-1_a+b.c");
}
