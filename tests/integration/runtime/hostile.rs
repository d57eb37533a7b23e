//! Later processes of a container that has prepared for them: it may mount, and what they could trust is its own.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};
use serde_json::json;

use super::container::{Container, Ran};
use crate::harness::{PATIENCE, require, wait_for};

/// A running container that has the right to mount and has run `script`.
fn prepared(script: &str) -> Container {
    prepared_with("CAP_SYS_ADMIN", script)
}

fn prepared_with(right: &str, script: &str) -> Container {
    let mut container = Container::new();
    for set in ["bounding", "effective", "permitted"] {
        container.config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!(right));
    }
    container.config["root"]["readonly"] = json!(false);
    fs::create_dir(container.rootfs().join("own")).unwrap();
    fs::create_dir(container.rootfs().join("etc")).unwrap();
    container.script(&format!("{script}; echo ready; sleep 1000"));
    container.start();
    wait_for("its preparations", PATIENCE, || container.output().contains("ready").then_some(()));
    container
}

/// Runs a command that must not wait for anybody. What it says goes to files, which nobody can keep open.
fn at_once(container: &Container, words: &[&str]) -> Ran {
    let [out, err] = ["said", "complained"].map(|name| container.path(name));
    let (to_out, to_err) = (fs::File::create(&out).unwrap(), fs::File::create(&err).unwrap());
    let mut child = container.command(words).stdout(to_out).stderr(to_err).spawn().unwrap();
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("a process that need not wait", Duration::from_secs(20), || child.try_wait().unwrap())
    }));
    let Ok(status) = done else {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("{words:?} keeps waiting");
    };
    let read = |path| fs::read_to_string(path).unwrap().trim_end().to_owned();
    Ran { out: read(out), err: read(err), code: status.code().unwrap_or(-1) }
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
    // It stays, and with it the streams that it was given.
    let ran =
        container.command(&[&words[..], &[container.id.as_str()]].concat()).stdout(Stdio::null()).status();
    assert!(ran.unwrap().success());
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

/// A socket at which whoever comes has to wait.
fn full_socket(path: &std::path::Path) -> Vec<std::os::fd::OwnedFd> {
    let new = |flags| socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    let address = UnixAddr::new(path).unwrap();
    let listener = new(SockFlag::SOCK_CLOEXEC);
    bind(std::os::fd::AsRawFd::as_raw_fd(&listener), &address).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let mut all = vec![listener];
    loop {
        let visitor = new(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK);
        if connect(std::os::fd::AsRawFd::as_raw_fd(&visitor), &address).is_err() {
            return all;
        }
        all.push(visitor);
    }
}

#[test]
fn who_may_trace_others_finds_no_process_that_has_more_than_the_container() {
    require!(root, busybox);
    let container = prepared_with("CAP_SYS_PTRACE", "true");
    let (secret, console) = (container.path("secret"), container.path("console"));
    fs::write(&secret, "outside\n").unwrap();
    // On its way in a process hands its terminal over, and nobody takes it: it stays for as long as it is looked for.
    let waits = full_socket(&console);
    let words =
        ["exec", "--detach", "--tty", "--console-socket", console.to_str().unwrap(), &container.id, "true"];
    let oci = container.command(&words);
    let mut command = Command::new("sh");
    command.args(["-c", "exec 7</; exec \"$@\"", "sh"]).arg(oci.get_program()).args(oci.get_args());
    let mut entering = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let own = namespace(&container.pid().to_string());
    wait_for("a process on its way in", PATIENCE, || {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", entering.id()));
        children.ok()?.split_whitespace().any(|pid| namespace(pid) == own).then_some(())
    });
    let look = format!(
        "grep -h CapPrm /proc/[0-9]*/status; for d in /proc/[0-9]*; do cat $d/root{0} $d/fd/7{0} 2>/dev/null; done; true",
        secret.display()
    );
    let ran = container.oci(&["exec", &container.id, "sh", "-c", &look]);
    let sets: std::collections::BTreeSet<&str> = ran.out.lines().collect();
    assert_eq!(sets.into_iter().collect::<Vec<_>>(), ["CapPrm:\t00000000a80c25fb"], "{ran:?}");
    drop(waits);
    entering.wait().unwrap();
    // They are what they are without such a right: leaders of a session, children of who runs them, with a terminal.
    let look = "tty; [ $$ = $(busybox cut -d' ' -f 6 /proc/self/stat) ] && echo leader; \
                grep -E '^(CapPrm|NoNewPrivs)' /proc/self/status; exit 5";
    let ran = container.oci(&["exec", "--tty", &container.id, "sh", "-c", look]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.out.starts_with("/dev/pts/0\r\nleader\r\n"), "{ran:?}");
    assert!(ran.out.contains("CapPrm:\t00000000a80c25fb\r\nNoNewPrivs:\t1"), "{ran:?}");
    let missing = container.oci(&["exec", &container.id, "nope"]);
    assert_eq!(missing.err, "hythe oci: exec: \"nope\": executable file not found in $PATH");
}
