//! A specification without a process: it can be created and deleted, and not started.

use serde_json::json;

use super::container::Container;
use crate::harness::{PATIENCE, require, wait_for};

fn without_process() -> Container {
    let mut container = Container::new();
    container.config.as_object_mut().unwrap().remove("process");
    container.config["hostname"] = json!("empty");
    container
}

#[test]
fn a_container_without_a_process_can_be_created_but_not_started() {
    require!(root, busybox);
    let container = without_process();
    let created = container.create();
    assert_eq!((created.err.as_str(), created.code), ("", 0));
    assert_eq!(container.status(), "created");
    // What waits there has no rights.
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    for line in ["CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line} in {status}");
    }
    let host_name = format!("/proc/{}/ns/uts", container.pid());
    assert_ne!(std::fs::read_link(host_name).unwrap(), std::fs::read_link("/proc/self/ns/uts").unwrap());

    let started = container.oci(&["start", &container.id]);
    let sentence =
        format!("hythe oci: cannot start a container whose config.json had no process: {}", container.id);
    assert_eq!((started.err, started.code), (sentence, 1));
    assert_eq!(container.status(), "created");
    let ran = container.oci(&["exec", &container.id, "true"]);
    assert!(ran.err.contains("the container has no process") && ran.code == 255, "{ran:?}");

    let refused = container.oci(&["delete", &container.id]);
    assert!(refused.err.ends_with("that is not stopped: created"), "{refused:?}");
    assert_eq!(container.oci(&["kill", &container.id, "KILL"]).code, 0);
    wait_for("its end", PATIENCE, || (container.status() == "stopped").then_some(()));
    assert_eq!(container.oci(&["delete", &container.id]).code, 0);
    assert_eq!(container.left(), Vec::<String>::new());
}

#[test]
fn there_is_nothing_to_run_without_a_process() {
    require!(root, busybox);
    let container = without_process();
    let ran = container.run();
    assert_eq!((ran.err.as_str(), ran.code), ("hythe oci: process: is missing", 1));
    assert_eq!(container.left(), Vec::<String>::new());
    assert_eq!(container.oci(&["list", "-q"]).out, "");
    // By force it can be deleted in any state.
    assert_eq!(container.create().code, 0);
    assert_eq!(container.oci(&["delete", "--force", &container.id]).code, 0);
}
