//! Network devices of the host that move into a container.

use serde_json::json;

use super::container::{Container, Ran};
use crate::harness::require;

/// Runs the container in a network of the test's own, in which `prepare` has made devices.
fn run(container: &mut Container, prepare: &str, after: &str) -> Ran {
    let script =
        format!("{prepare} code=0; \"$@\" run --bundle \"$BUNDLE\" \"$ID\" || code=$?; {after} exit $code");
    container.unshared(&["--net"], &script)
}

const PAIR: &str = "ip link add hy0 type veth peer name hy1; ip addr add 192.0.2.9/24 dev hy0; \
    ip addr add 169.254.7.7/16 scope link dev hy0; ip -6 addr add 2001:db8::9/64 dev hy0 nodad; ip link set hy1 up;";

fn with_ip() -> Container {
    let container = Container::new();
    std::os::unix::fs::symlink("busybox", container.rootfs().join("bin/ip")).unwrap();
    container
}

#[test]
fn a_device_moves_in_with_its_addresses_and_under_its_new_name() {
    require!(root, busybox, netns);
    let mut container = with_ip();
    container.config["linux"]["netDevices"] = json!({"hy0": {"name": "eth7"}});
    container.script("ip addr show dev eth7; ip link show | grep -c hy0; true");
    let ran = run(&mut container, PAIR, "ip -o link show | grep -c ' hy0' || true;");
    assert_eq!(ran.code, 0, "{ran:?}");
    for word in ["eth7", "UP", "inet 192.0.2.9/24", "inet6 2001:db8::9/64"] {
        assert!(ran.out.contains(word), "{word}: {ran:?}");
    }
    // What is good on the old link only stays there; the device is in no other place.
    assert!(!ran.out.contains("169.254.7.7"), "{ran:?}");
    assert!(ran.out.ends_with("0\n0"), "{ran:?}");
    // Without a new name it keeps its own, and one with users of its own gets it, too.
    container.config["linux"]["netDevices"] = json!({"hy0": {}});
    container.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    container.config["linux"]["uidMappings"] = mapping.clone();
    container.config["linux"]["gidMappings"] = mapping;
    for place in ["dev", "proc", "sys"] {
        std::fs::create_dir_all(container.rootfs().join(place)).unwrap();
    }
    let ran = run(container.script("ip addr show dev hy0"), PAIR, "");
    assert!(ran.code == 0 && ran.out.contains("inet 192.0.2.9/24"), "{ran:?}");
}

#[test]
fn a_device_that_cannot_be_moved_is_told_and_stays() {
    require!(root, busybox, netns);
    let mut container = with_ip();
    container.script("true");
    let here = "ip -o link show | grep -o ' hy0' || true;";
    for (devices, sentence) in [
        (json!({"nope": {}}), "linux.netDevices.nope: this host has no network device of that name"),
        (
            json!({"hy0": {"name": "lo"}}),
            "linux.netDevices.hy0: the container has a network device lo already",
        ),
        (json!({"hy0": {"name": "a/b"}}), "linux.netDevices.hy0: \"a/b\" is not a name of a network device"),
        (
            json!({"hy0": {"name": "much-too-long-name"}}),
            "linux.netDevices.hy0: \"much-too-long-name\" is not a name of a network device",
        ),
    ] {
        container.config["linux"]["netDevices"] = devices;
        let ran = run(&mut container, PAIR, here);
        assert_eq!((ran.err.as_str(), ran.code), (format!("hythe oci: {sentence}").as_str(), 1));
        assert_eq!(ran.out, " hy0");
        assert_eq!(container.left(), Vec::<String>::new());
    }
    container.config["linux"]["netDevices"] = json!({"hy0": {}});
    container.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|one| one["type"] != "network");
    let ran = container.run();
    assert_eq!(ran.err, "hythe oci: linux.netDevices.hy0: cannot be set without a net namespace");
}
