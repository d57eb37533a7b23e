//! `remount` and `iversion`: what is mounted changes where it is, and nothing that is the host's does.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};

use super::container::{Container, Ran};
use crate::harness::require;

fn push(container: &mut Container, mount: Value) {
    container.config["mounts"].as_array_mut().unwrap().push(mount);
}

fn tmpfs(place: &str, options: &[&str]) -> Value {
    json!({"destination": place, "type": "tmpfs", "source": "tmpfs", "options": options})
}

fn remount(place: &str, options: &[&str]) -> Value {
    let options: Vec<_> = ["remount"].iter().chain(options).collect();
    json!({"destination": place, "type": "none", "source": "none", "options": options})
}

#[track_caller]
fn refused(container: &mut Container, mount: Value, sentence: &str) {
    push(container, mount);
    let ran = container.script("echo ran").run();
    assert_eq!((ran.code, ran.err), (1, format!("hythe oci: {sentence}")));
    container.config["mounts"].as_array_mut().unwrap().pop();
}

#[test]
fn a_filesystem_of_the_container_is_changed_where_it_is() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    push(&mut container, tmpfs("/data", &["nosuid", "size=1m", "mode=755"]));
    push(&mut container, tmpfs("/data/below", &["size=1m"]));
    push(&mut container, remount("/data", &["size=2m", "ro", "rnoexec"]));
    push(&mut container, remount("/dev", &["ro", "noexec"]));
    push(&mut container, remount("/", &["ro"]));
    let seen = container
        .says("grep -E ' /(data|data/below|dev) ' /proc/self/mountinfo; touch /x 2>/dev/null || echo closed");
    let line = |place: &str| seen.lines().find(|line| line.split(' ').nth(4) == Some(place)).unwrap();
    // What is not named stays as it was.
    assert!(line("/data").contains(" ro,nosuid,noexec,"), "{seen}");
    assert!(line("/data").contains("size=2048k"), "{seen}");
    assert!(
        line("/data/below").contains(" rw,noexec,") && line("/data/below").contains("size=1024k"),
        "{seen}"
    );
    assert!(line("/dev").contains(" ro,nosuid,noexec"), "{seen}");
    assert!(seen.ends_with("closed"), "{seen}");
}

#[test]
fn a_filesystem_of_the_host_keeps_its_options() {
    require!(root, busybox, unshare);
    let mut container = Container::new();
    let outer = container.path("outer");
    fs::create_dir(&outer).unwrap();
    let bind = json!({"destination": "/outer", "type": "bind", "source": outer, "options": ["rbind"]});
    push(&mut container, bind);
    push(&mut container, remount("/outer", &["ro"]));
    container.script("grep ' /outer ' /proc/self/mountinfo; touch /outer/x 2>/dev/null || echo closed");
    let script = format!(
        "mount -t tmpfs -o size=1m outer {0}; \"$@\" run --bundle \"$BUNDLE\" \"$ID\" || true; \
         grep ' {0} ' /proc/self/mountinfo; touch {0}/y && echo open",
        outer.display()
    );
    let run = |container: &Container| -> Ran {
        container.unshared(&["--mount", "--propagation", "private"], &script)
    };
    // Its attributes in the container are the container's.
    let seen = run(&container);
    let lines: Vec<_> = seen.out.lines().collect();
    assert!(lines[0].contains(" /outer ro,") && lines[1] == "closed" && lines[3] == "open", "{seen:?}");
    assert!(lines[2].contains(" rw,") && lines[2].contains("size=1024k"), "{seen:?}");
    // What reaches all mounts of it is the host's.
    container.config["mounts"].as_array_mut().unwrap().pop();
    push(&mut container, remount("/outer", &["size=2m"]));
    let seen = run(&container);
    assert_eq!(
        seen.err,
        "hythe oci: remount /outer with size=2m: the options: EPERM: Operation not permitted"
    );
    assert!(seen.out.contains("size=1024k"), "{seen:?}");
}

#[test]
fn links_lead_a_remount_nowhere_else() {
    require!(root, busybox);
    let mut container = Container::new();
    let outside = container.path("outside").display().to_string();
    fs::create_dir(&outside).unwrap();
    symlink("../../../../../../../../proc", container.rootfs().join("climbing")).unwrap();
    symlink("/dev/shm", container.rootfs().join("absolute")).unwrap();
    symlink("/proc/self/root", container.rootfs().join("magic")).unwrap();
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let not_mounted = |place: &str| {
        format!("remount {place}, ro: the place within the root filesystem: EINVAL: Invalid argument")
    };
    refused(&mut container, remount("/bin", &["ro"]), &not_mounted("/bin"));
    let missing =
        "remount /nowhere, ro: the place within the root filesystem: ENOENT: No such file or directory";
    refused(&mut container, remount("/nowhere", &["ro"]), missing);
    let magic = "remount /magic, ro: the place within the root filesystem: ELOOP: Too many symbolic links encountered";
    refused(&mut container, remount("/magic", &["ro"]), magic);
    push(&mut container, remount("/climbing", &["nodiratime"]));
    push(&mut container, remount("/absolute", &["ro"]));
    let seen = container.says("grep -E ' /(proc|dev/shm) ' /proc/self/mountinfo");
    let line = |place: &str| seen.lines().find(|line| line.split(' ').nth(4) == Some(place)).unwrap();
    assert!(line("/proc").contains("nodiratime") && line("/dev/shm").contains(" ro,"), "{seen}");
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
}

#[test]
fn what_is_masked_or_read_only_stays_so() {
    require!(root, busybox);
    let mut container = Container::new();
    for path in ["/proc/kcore", "/proc/sys", "/proc/sys/kernel"] {
        let sentence = "mounts[AT].options: \"remount\" is of a path that is to stay masked or read-only";
        let at = container.config["mounts"].as_array().unwrap().len().to_string();
        refused(&mut container, remount(path, &["rw"]), &sentence.replace("AT", &at));
    }
    // The one above them may change; they come after it.
    push(&mut container, remount("/proc", &["rw"]));
    assert_eq!(container.says("echo x 2>/dev/null >/proc/sys/kernel/core_pattern || echo closed"), "closed");
}

#[test]
fn versions_are_counted_by_the_only_call_that_can_say_so() {
    require!(root, busybox, strace);
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    push(&mut container, tmpfs("/one", &["iversion", "sync", "nosuid", "rnoexec"]));
    push(&mut container, tmpfs("/two", &["noiversion"]));
    let script = "grep -E ' /(one|two) ' /proc/self/mountinfo";
    container.script(script).save();
    // A file for each process, so that no call is told in two parts.
    let reports = container.path("calls");
    fs::create_dir(&reports).unwrap();
    let oci = container.command(&["run", "--bundle", container.bundle().to_str().unwrap(), &container.id]);
    let ran = Command::new("strace")
        .args(["-ff", "-qq", "-e", "trace=mount", "-o"])
        .arg(reports.join("of"))
        .arg(oci.get_program())
        .args(oci.get_args())
        .output()
        .unwrap();
    let seen = String::from_utf8(ran.stdout).unwrap();
    let read = |entry: fs::DirEntry| fs::read_to_string(entry.path()).unwrap();
    let calls: String = fs::read_dir(reports).unwrap().flatten().map(read).collect();
    let calls: Vec<_> = calls.lines().filter(|line| line.contains("MS_REMOUNT")).collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[0].contains("MS_I_VERSION") && calls[0].contains("MS_SYNCHRONOUS"), "{calls:?}");
    assert!(
        !calls[1].contains("MS_I_VERSION") && calls.iter().all(|call| call.ends_with("= 0")),
        "{calls:?}"
    );
    let line = |place: &str| seen.lines().find(|line| line.split(' ').nth(4) == Some(place)).unwrap();
    assert!(line("/one").contains(" rw,nosuid,noexec,") && line("/one").contains(",sync"), "{seen}");
    assert!(line("/two").contains(" rw,relatime "), "{seen}");
}
