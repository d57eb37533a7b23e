//! Our own program is in a container until it has executed the container's; nobody there gets hold of it.

use std::{
    fs,
    io::{PipeReader, PipeWriter, pipe},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::write,
};
use serde_json::json;

use super::container::{Container, Ran};
use crate::harness::{PATIENCE, require, wait_for};

/// A pipe that takes no byte more: who writes to it stays where it is.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    for size in [4096, 1] {
        while write(&writer, &vec![0; size]).is_ok() {}
    }
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

/// What a neighbour finds out about every process that the kernel has made of a script for `/proc/self/exe`.
const LOOK: &str = "for d in /proc/[0-9]*; do
    [ \"$(head -c 14 $d/cmdline 2>/dev/null)\" = /proc/self/exe ] || continue
    echo found; readlink $d/exe; chmod 755 $d/exe && echo changed
    exec 9<$d/exe; chmod 755 /proc/self/fd/9 && echo changed again
done 2>&1; true";

#[track_caller]
fn is_out_of_reach(container: &Container) {
    let ran: Ran = wait_for("our program in the container", PATIENCE, || {
        let ran = container.oci(&["exec", &container.id, "sh", "-c", LOOK]);
        ran.out.contains("found").then_some(ran)
    });
    assert!(!ran.out.contains("changed"), "{ran:?}");
    assert!(!ran.out.contains(env!("CARGO_BIN_EXE_hythe")), "not even its place is told: {ran:?}");
    assert_eq!(ran.out.matches("Read-only file system").count(), 2, "{ran:?}");
}

#[test]
fn a_script_for_the_runtime_itself_gets_one_that_cannot_be_written() {
    require!(root, busybox);
    let mut container = Container::new();
    // The kernel executes our program for it, in the container. As its errors go nowhere, it stays.
    let lure = container.rootfs().join("bin/lure");
    fs::write(&lure, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&lure, fs::Permissions::from_mode(0o755)).unwrap();
    let bundle = container.bundle().display().to_string();
    let begin = |container: &Container, words: &[&str]| {
        let (reader, writer) = full_pipe();
        (reader, container.command(words).stderr(writer).stdout(Stdio::null()).spawn().unwrap())
    };
    container.config["process"]["args"] = json!(["/bin/lure"]);
    container.save();
    let (reader, mut first) = begin(&container, &["run", "--bundle", &bundle, &container.id]);
    wait_for("a container", PATIENCE, || (container.oci(&["state", &container.id]).code == 0).then_some(()));
    is_out_of_reach(&container);
    drop(reader);
    first.wait().unwrap();
    container.oci(&["delete", "--force", &container.id]);

    container.script("sleep 1000");
    container.start();
    let (reader, mut later) = begin(&container, &["exec", &container.id, "/bin/lure"]);
    is_out_of_reach(&container);
    drop(reader);
    later.wait().unwrap();
}

#[test]
fn a_container_that_waits_to_be_started_shows_nothing_of_the_runtime() {
    require!(root, busybox);
    let mut container = Container::new();
    container.script("sleep 1000");
    assert_eq!(container.create().code, 0);
    // The first process is a copy of the runtime until then, as root with the very capabilities of who looks.
    let look = "grep -c oci /proc/1/cmdline; cd /proc/1; \
                for thing in exe cwd root fd/0; do readlink $thing; done; head -c 4 exe; head -c 1 mem; \
                head -c 1 environ; head -c 1 maps; head -c 1 auxv; true";
    let ran = container.oci(&["exec", &container.id, "sh", "-c", look]);
    assert_eq!((ran.out.as_str(), ran.code), ("1", 0), "{ran:?}");
    assert_eq!(ran.err.matches("Permission denied").count(), ran.err.lines().count(), "{ran:?}");
}
