//! What the host sees: namespaces, control groups, records; and the life of a container across commands.

use std::fs;

use serde_json::json;

use super::container::Container;
use crate::harness::{PATIENCE, require, wait_for};

fn namespace(pid: &str, kind: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string()
}

#[test]
fn a_container_lives_through_its_states() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["annotations"] = json!({"who": "me"});
    container.script("echo started; sleep 1000");
    assert_eq!(container.create().code, 0);
    assert_eq!(container.status(), "created");
    assert_eq!(container.output(), "");
    let refused = container.oci(&["delete", "--root"]);
    assert_ne!(refused.code, 0);

    assert_eq!(container.oci(&["start", &container.id]).code, 0);
    assert_eq!(container.status(), "running");
    wait_for("its output", PATIENCE, || (container.output() == "started\n").then_some(()));
    let again = container.oci(&["start", &container.id]);
    assert_eq!(again.err, format!("hythe oci: cannot start an already running container: {}", container.id));
    let refused = container.oci(&["delete", &container.id]);
    assert!(refused.err.ends_with("that is not stopped: running"), "{refused:?}");

    let state = container.state();
    assert_eq!(state["ociVersion"], "1.0.2");
    assert_eq!(state["annotations"]["who"], "me");
    assert_eq!(state["bundle"], container.bundle().to_str().unwrap());

    // Signal 0 asks whether there is somebody.
    assert_eq!(container.oci(&["kill", &container.id, "0"]).code, 0);
    assert_eq!(container.oci(&["kill", &container.id, "KILL"]).code, 0);
    container.wait_status("stopped");
    assert_eq!(container.pid(), 0);
    let dead = container.oci(&["kill", &container.id]);
    assert_eq!(dead.err, format!("hythe oci: container not running: {}", container.id));
    assert_eq!(container.oci(&["delete", &container.id]).code, 0);
    let gone = container.oci(&["state", &container.id]);
    assert_eq!(gone.err, format!("hythe oci: container does not exist: {}", container.id));
}

#[test]
fn every_namespace_is_its_own_and_a_named_one_is_shared() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["linux"]["namespaces"] = json!([
        {"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "cgroup"},
        {"type": "network", "path": "/proc/self/ns/net"},
    ]);
    container.script("sleep 1000");
    container.start();
    let pid = container.pid().to_string();
    for kind in ["mnt", "pid", "ipc", "uts", "cgroup"] {
        assert_ne!(namespace(&pid, kind), namespace("self", kind), "{kind}");
    }
    assert_eq!(namespace(&pid, "net"), namespace("self", "net"));
}

#[test]
fn containers_can_share_a_pid_namespace() {
    require!(root, busybox);
    let mut first = Container::new();
    first.script("sleep 1000");
    first.start();
    let mut second = Container::new();
    let path = format!("/proc/{}/ns/pid", first.pid());
    for namespace in second.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == "pid" {
            namespace["path"] = json!(path);
        }
    }
    assert_eq!(second.says("cat /proc/1/comm; [ $$ -gt 1 ] && echo a guest"), "sleep\na guest");
}

#[test]
fn it_is_in_every_hierarchy_and_sees_itself_at_the_root() {
    require!(root, busybox);
    let mut container = Container::new();
    container.script("cat /proc/self/cgroup; sleep 1000");
    container.start();
    let seen = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    let own = format!(":/{}", container.group().display());
    assert!(seen.lines().all(|line| line.ends_with(&own)), "{seen}");
    wait_for("its output", PATIENCE, || (!container.output().is_empty()).then_some(()));
    assert!(container.output().lines().all(|line| line.ends_with(":/")), "{}", container.output());
}

#[test]
fn no_mount_shows_on_the_host() {
    require!(root, busybox);
    let mut container = Container::new();
    container.script("sleep 1000");
    container.start();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(container.bundle().to_str().unwrap()), "{mounts}");
}

#[test]
fn a_paused_container_stands_still_and_goes_on() {
    require!(root, busybox);
    let mut container = Container::new();
    container.script("sleep 1000");
    container.start();
    assert_eq!(container.oci(&["pause", &container.id]).code, 0);
    assert_eq!(container.status(), "paused");
    assert_eq!(container.oci(&["resume", &container.id]).code, 0);
    assert_eq!(container.status(), "running");
    assert_eq!(container.oci(&["pause", &container.id]).code, 0);
    // Dropping the container must get rid of a paused one, too.
}

#[test]
fn list_and_ps_show_what_runs() {
    require!(root, busybox);
    let mut container = Container::new();
    container.script("sleep 1000 & sleep 1000; true");
    container.start();
    assert_eq!(container.oci(&["list", "-q"]).out, container.id);
    let table = container.oci(&["list"]).out;
    assert!(table.lines().nth(1).unwrap().contains("running"), "{table}");
    wait_for("three processes", PATIENCE, || {
        let pids = container.oci(&["ps", "--format", "json", &container.id]).out;
        (serde_json::from_str::<Vec<i64>>(&pids).unwrap().len() == 3).then_some(())
    });
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_by_force() {
    require!(root, busybox);
    let mut container = Container::new();
    container.script("trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & while :; do sleep 1; done");
    container.start();
    assert_eq!(container.oci(&["kill", &container.id, "TERM"]).code, 0);
    assert_eq!(container.status(), "running");
    assert_eq!(container.oci(&["delete", "--force", &container.id]).code, 0);
    assert_eq!(container.left(), Vec::<String>::new());
}

#[test]
fn a_container_in_the_foreground_ends_with_its_supervisor() {
    require!(root, busybox);
    let mut container = Container::new();
    container.script("sleep 1000");
    container.save();
    let bundle = container.bundle();
    let mut supervisor =
        container.command(&["run", "--bundle", bundle.to_str().unwrap(), &container.id]).spawn().unwrap();
    let started = |out: &super::container::Ran| out.code == 0 && out.out.contains("running");
    wait_for("a running container", PATIENCE, || {
        started(&container.oci(&["state", &container.id])).then_some(())
    });
    let pid = container.pid();
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    wait_for("its end", PATIENCE, || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}
