//! Filters of system calls, seen from the inside, and the listener's end outside.

use std::{io::Read, os::unix::net::UnixListener};

use hythe::kernel::process::recv_with_fds;
use serde_json::{Value, json};

use super::container::Container;
use crate::harness::require;

fn filtered(rules: &Value) -> Container {
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    container.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS"],
        "syscalls": rules,
    });
    container
}

fn no_directories() -> Value {
    json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122}])
}

#[test]
fn a_filtered_call_gives_the_error_asked_for() {
    require!(root, busybox);
    let mut container = filtered(&no_directories());
    let ran = container.script("grep Seccomp: /proc/self/status; mkdir /tmp/x").run();
    assert_eq!(ran.out, "Seccomp:\t2");
    assert!(ran.err.contains("Disk quota exceeded"), "{ran:?}");
}

#[test]
fn a_filter_without_no_new_privs_holds_for_another_user() {
    require!(root, busybox);
    let mut container = filtered(&no_directories());
    container.config["process"]["noNewPrivileges"] = json!(false);
    container.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    std::fs::set_permissions(
        container.rootfs().join("tmp"),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let ran =
        container.script("grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status; id -u; mkdir /tmp/x").run();
    assert_eq!(ran.out, "NoNewPrivs:\t0\nSeccomp:\t2\n1000");
    assert!(ran.err.contains("Disk quota exceeded"), "{ran:?}");
}

#[test]
fn a_call_may_end_the_process() {
    require!(root, busybox);
    let mut container =
        filtered(&json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]));
    container.config["process"]["args"] = json!(["mkdir", "/tmp/x"]);
    // 128 and SIGSYS.
    assert_eq!(container.run().code, 128 + 31);
    container.config["linux"]["seccomp"]["syscalls"][0]["action"] = json!("SCMP_ACT_TRAP");
    assert_eq!(container.run().code, 128 + 31);
    container.config["linux"]["seccomp"]["syscalls"][0]["action"] = json!("SCMP_ACT_LOG");
    assert_eq!(container.run().code, 0);
}

#[test]
fn a_profile_that_allows_little_lets_its_program_run() {
    require!(root, busybox);
    let mut container = filtered(&json!([
        {"names": ["execve", "exit_group", "exit", "brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq",
            "prlimit64", "readlink", "readlinkat", "getrandom", "mprotect", "mmap", "munmap", "write", "writev", "getuid",
            "prctl", "rt_sigprocmask", "rt_sigaction", "fstat", "newfstatat", "ioctl", "uname"],
         "action": "SCMP_ACT_ALLOW"},
    ]));
    container.config["linux"]["seccomp"]["defaultAction"] = json!("SCMP_ACT_KILL_PROCESS");
    container.config["process"]["args"] = json!(["echo", "hello"]);
    let ran = container.run();
    assert_eq!((ran.out.as_str(), ran.code), ("hello", 0), "{ran:?}");
}

#[test]
fn an_argument_decides() {
    require!(root, busybox);
    let mut container = filtered(&json!([
        {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122,
         "args": [{"index": 1, "value": 12, "op": "SCMP_CMP_EQ"}]},
    ]));
    let ran = container.script("sleep 5 & kill -12 $!; kill -9 $! && echo killed").run();
    assert_eq!(ran.out, "killed");
    assert!(ran.err.contains("Disk quota exceeded"), "{ran:?}");
}

#[test]
fn a_process_run_later_is_filtered_the_same() {
    require!(root, busybox);
    let mut container = filtered(&no_directories());
    container.script("sleep 1000");
    container.start();
    // What the bundle says now is not what the container was made by.
    container.config["linux"].as_object_mut().unwrap().remove("seccomp");
    container.save();
    let ran = container.oci(&["exec", &container.id, "mkdir", "/tmp/x"]);
    assert!(ran.err.contains("Disk quota exceeded"), "{ran:?}");
}

#[test]
fn a_listener_is_sent_with_the_state_of_the_container() {
    require!(root, busybox);
    let mut container = filtered(&json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]));
    let path = container.path("listener");
    let listener = UnixListener::bind(&path).unwrap();
    container.config["linux"]["seccomp"]["listenerPath"] = json!(path);
    container.config["linux"]["seccomp"]["listenerMetadata"] = json!("blue");
    container.config["annotations"] = json!({"colour": "green"});
    container.script("mkdir /tmp/x; sleep 1000");
    assert_eq!(container.create().code, 0);

    let (mut peer, _) = listener.accept().unwrap();
    let mut first = [0; 16];
    let (length, fds) = recv_with_fds(std::os::fd::AsFd::as_fd(&peer), &mut first).unwrap();
    assert_eq!(fds.len(), 1);
    let mut text = first[..length].to_vec();
    peer.read_to_end(&mut text).unwrap();
    let told: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(told["fds"], json!(["seccompFd"]));
    assert_eq!(told["metadata"], "blue");
    assert_eq!(told["pid"], container.pid());
    assert_eq!(told["state"]["status"], "creating");
    assert_eq!(told["state"]["id"], container.id);
    assert_eq!(told["state"]["annotations"]["colour"], "green");
    // Without anybody who decides, the calls do not exist.
    drop(fds);
    assert_eq!(container.oci(&["start", &container.id]).code, 0);
    let errors = || std::fs::read_to_string(container.path("errors")).unwrap();
    crate::harness::wait_for("the denial", crate::harness::PATIENCE, || {
        errors().contains("Function not implemented").then_some(())
    });
}

#[test]
fn a_profile_that_cannot_be_is_refused_before_anything_is_made() {
    require!(root, busybox);
    let container = filtered(&json!([{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]));
    let ran = container.run();
    assert_eq!(ran.err, "hythe oci: linux.seccomp.listenerPath: is missing although SCMP_ACT_NOTIFY is used");
    assert_eq!(container.left(), Vec::<String>::new());
}
