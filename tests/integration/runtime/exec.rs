//! More processes in a container.

use serde_json::json;

use super::container::Container;
use crate::harness::require;

fn running() -> Container {
    let mut container = Container::new();
    container.config["hostname"] = json!("box");
    container.script("sleep 1000");
    container.start();
    container
}

#[test]
fn a_process_joins_everything_the_container_is() {
    require!(root, busybox);
    let container = running();
    let ran = container.oci(&[
        "exec",
        &container.id,
        "sh",
        "-c",
        "hostname; cat /proc/1/comm; cat /proc/self/cgroup",
    ]);
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines[..2], ["box", "sleep"], "{ran:?}");
    assert!(lines[2..].iter().all(|line| line.ends_with(":/")), "{ran:?}");
    let outside = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!outside.contains(container.bundle().to_str().unwrap()));
}

#[test]
fn it_has_the_walls_of_the_container() {
    require!(root, busybox);
    let container = running();
    let status =
        container.oci(&["exec", &container.id, "grep", "-E", "^(CapEff|NoNewPrivs)", "/proc/self/status"]);
    assert_eq!(status.out, "CapEff:\t00000000a80425fb\nNoNewPrivs:\t1");
    let script = "for n in 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && echo open $n; done; true";
    assert_eq!(container.oci(&["exec", &container.id, "sh", "-c", script]).out, "");
}

#[test]
fn its_flags_change_only_itself() {
    require!(root, busybox);
    let container = running();
    let script = "id -u; id -g; pwd; echo $COLOUR";
    let args = ["exec", "-u", "7:8", "--cwd", "/tmp", "-e", "COLOUR=red", &container.id, "sh", "-c", script];
    assert_eq!(container.oci(&args).out, "7\n8\n/tmp\nred");
}

#[test]
fn its_exit_code_is_passed_on_and_failures_are_told() {
    require!(root, busybox);
    let container = running();
    assert_eq!(container.oci(&["exec", &container.id, "sh", "-c", "exit 9"]).code, 9);
    let missing = container.oci(&["exec", &container.id, "nope"]);
    assert_eq!(missing.err, "hythe oci: exec: \"nope\": executable file not found in $PATH");
    assert_eq!(missing.code, 127);
    let itself = container.oci(&["exec", &container.id, "/proc/self/exe"]);
    assert!(itself.err.contains("the runtime's own executable"), "{itself:?}");
    let lost = container.oci(&["exec", "--cwd", "/nowhere", &container.id, "true"]);
    assert_eq!(
        lost.err,
        "hythe oci: change to working directory /nowhere: ENOENT: No such file or directory"
    );
}

#[test]
fn nothing_runs_in_a_container_that_has_ended() {
    require!(root, busybox);
    let container = running();
    assert_eq!(container.oci(&["kill", &container.id, "KILL"]).code, 0);
    container.wait_status("stopped");
    let ran = container.oci(&["exec", &container.id, "true"]);
    assert_eq!(ran.err, format!("hythe oci: cannot exec in a stopped container: {}", container.id));
}
