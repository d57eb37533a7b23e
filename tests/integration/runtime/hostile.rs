//! Later processes of a container that has prepared for them: it may mount, and what they could trust is its own.

use std::{fs, os::unix::process::CommandExt as _, process::Command};

use serde_json::json;

use super::container::{Container, Ran};
use crate::harness::{PATIENCE, require, wait_for};

/// A running container that has the right to mount and has run `script`.
fn prepared(script: &str) -> Container {
    let mut container = Container::new();
    for set in ["bounding", "effective", "permitted"] {
        container.config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SYS_ADMIN"));
    }
    container.config["root"]["readonly"] = json!(false);
    fs::create_dir(container.rootfs().join("own")).unwrap();
    fs::create_dir(container.rootfs().join("etc")).unwrap();
    container.script(&format!("{script}; echo ready; sleep 1000"));
    container.start();
    wait_for("its preparations", PATIENCE, || container.output().contains("ready").then_some(()));
    container
}

/// Runs a command that must not wait for anybody.
fn at_once(container: &Container, words: &[&str]) -> Ran {
    let oci = container.command(words);
    let mut command = Command::new("timeout");
    command.arg0("timeout").args(["-s", "KILL", "20"]).arg(oci.get_program()).args(oci.get_args());
    command.output().unwrap().into()
}

#[test]
fn what_is_set_for_a_later_process_is_told_to_the_kernel_and_not_to_the_containers_files() {
    require!(root, busybox);
    let container = prepared(
        "mkdir -p /own/self/attr; echo mine >/own/self/oom_score_adj; mount --bind /own /proc; cat /proc/self/oom_score_adj",
    );
    assert!(container.output().starts_with("mine"), "{}", container.output());
    let (wanted, pid) = (container.path("process.json"), container.path("pid"));
    let mut process = container.config["process"].clone();
    process["args"] = json!(["sleep", "1000"]);
    process["oomScoreAdj"] = json!(321);
    fs::write(&wanted, process.to_string()).unwrap();
    let words =
        ["exec", "--detach", "--pid-file", pid.to_str().unwrap(), "--process", wanted.to_str().unwrap()];
    let ran = at_once(&container, &[&words[..], &[container.id.as_str()]].concat());
    assert_eq!((ran.err.as_str(), ran.code), ("", 0));
    let pid = fs::read_to_string(pid).unwrap();
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", pid.trim())).unwrap();
    assert_eq!(score, "321\n");
    assert_eq!(fs::read_to_string(container.rootfs().join("own/self/oom_score_adj")).unwrap(), "mine\n");
}

#[test]
fn a_list_of_users_that_is_a_pipe_keeps_no_process_waiting() {
    require!(root, busybox);
    let container = prepared("busybox mkfifo /etc/passwd");
    let ran = at_once(&container, &["exec", &container.id, "env"]);
    assert!(ran.code == 0 && ran.out.lines().any(|line| line == "HOME=/"), "{ran:?}");
}

#[test]
fn a_terminal_comes_from_a_devpts_and_nothing_else_is_opened_for_it() {
    require!(root, busybox);
    // Whoever opens the pipe for writing is heard of.
    let wait = "busybox mkfifo /own/pipe; (cat /own/pipe; echo opened) &";
    for place in ["/dev/pts/ptmx", "/dev/pts"] {
        let cover = match place {
            "/dev/pts" => {
                "mkdir /own/pts; mount -t tmpfs none /own/pts; busybox ln -s /own/pipe /own/pts/ptmx; mount --bind /own/pts /dev/pts"
            }
            _ => "mount --bind /own/pipe /dev/pts/ptmx",
        };
        let container = prepared(&format!("{wait} {cover}"));
        let ran = at_once(&container, &["exec", "--tty", &container.id, "true"]);
        assert!(ran.code != 0 && ran.err.contains("make a terminal"), "{place}: {ran:?}");
        let ran = at_once(&container, &["exec", &container.id, "sh", "-c", "echo later 1<>/own/pipe"]);
        assert_eq!(ran.code, 0, "{place}: {ran:?}");
        wait_for("who waits", PATIENCE, || container.output().contains("opened").then_some(()));
        assert!(container.output().contains("later\nopened"), "{place}: {}", container.output());
    }
}
