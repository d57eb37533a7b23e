//! What a process is besides its user, and mounts with a little more to them.

use std::fs;

use serde_json::json;

use super::container::Container;
use crate::harness::require;

#[test]
fn clocks_of_a_time_namespace_are_set_off() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "time"}));
    container.config["linux"]["timeOffsets"] =
        json!({"boottime": {"secs": 500_000_000}, "monotonic": {"secs": 7}});
    let uptime = container.says("cat /proc/uptime");
    let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    assert!(seconds > 5e8, "{uptime}");
    container.script("sleep 1000");
    container.start();
    let later = container.oci(&["exec", &container.id, "cat", "/proc/uptime"]).out;
    assert!(later.split(' ').next().unwrap().parse::<f64>().unwrap() > 5e8, "{later}");
}

#[test]
fn a_process_has_the_scheduler_and_priorities_asked_for() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5});
    container.config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
    container.config["linux"]["personality"] = json!({"domain": "LINUX32"});
    container.script("uname -m; ionice -p 1; sleep 1000");
    container.start();
    crate::harness::wait_for("the output", crate::harness::PATIENCE, || {
        (container.output().lines().count() >= 2).then_some(())
    });
    let output = container.output();
    assert!(output.ends_with("best-effort: prio 6\n"), "{output}");
    if cfg!(target_arch = "x86_64") {
        assert!(output.starts_with("i686\n"), "{output}");
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", container.pid())).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // Fields 19 and 41 of proc_pid_stat(5), where this list begins with the third; SCHED_BATCH is 3.
    assert_eq!((fields[16], fields[38]), ("5", "3"));
}

#[test]
fn a_later_process_is_kept_to_processors() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"]["execCPUAffinity"] = json!({"initial": "0", "final": "0"});
    container.script("sleep 1000");
    container.start();
    let ran = container.oci(&["exec", &container.id, "grep", "Cpus_allowed_list", "/proc/self/status"]);
    assert_eq!(ran.out, "Cpus_allowed_list:\t0", "{ran:?}");
}

#[test]
fn what_is_at_a_place_is_copied_into_the_filesystem_that_covers_it() {
    require!(root, busybox);
    let mut container = Container::new();
    let etc = container.rootfs().join("etc/deep");
    fs::create_dir_all(&etc).unwrap();
    fs::write(etc.join("file"), "kept").unwrap();
    std::os::unix::fs::symlink("deep/file", container.rootfs().join("etc/link")).unwrap();
    std::os::unix::fs::chown(etc.join("file"), Some(3), Some(4)).unwrap();
    container.config["mounts"].as_array_mut().unwrap().push(
        json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "nodev"]}),
    );
    let said = container.says("cat /etc/link; stat -c ' %u:%g' /etc/deep/file; echo new > /etc/deep/new; grep -c ' /etc ' /proc/self/mountinfo");
    assert_eq!(said, "kept 3:4\n1");
    assert!(!etc.join("new").exists());
}

#[test]
fn what_the_host_lacks_is_refused_by_its_member() {
    require!(root, busybox);
    let refused = |change: &dyn Fn(&mut Container), sentence: &str| {
        let mut container = Container::new();
        change(&mut container);
        let ran = container.run();
        assert_eq!(ran.err, format!("hythe oci: {sentence}"));
        assert_eq!(container.left(), Vec::<String>::new());
    };
    if !hythe::runtime::steps::has_apparmor() {
        refused(
            &|container| container.config["process"]["apparmorProfile"] = json!("some"),
            "process.apparmorProfile: this host has no AppArmor",
        );
    }
    if !hythe::runtime::steps::has_selinux() {
        refused(
            &|container| container.config["process"]["selinuxLabel"] = json!("some"),
            "process.selinuxLabel: this host has no SELinux",
        );
    }
    refused(
        &|container| {
            container.config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_RT", "priority": 9});
        },
        "process.ioPriority.priority: 9 is not between 0 and 7",
    );
}

#[test]
fn a_user_without_a_home_is_given_the_one_of_the_image() {
    require!(root, busybox);
    let mut container = Container::new();
    assert_eq!(container.says("echo $HOME"), "/");
    fs::create_dir(container.rootfs().join("etc")).unwrap();
    fs::write(container.rootfs().join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:7:7::/srv:/bin/sh\n")
        .unwrap();
    assert_eq!(container.says("echo $HOME"), "/root");
    container.config["process"]["user"] = json!({"uid": 7, "gid": 7});
    assert_eq!(container.says("echo $HOME"), "/srv");
    container.config["process"]["env"].as_array_mut().unwrap().push(json!("HOME=/mine"));
    assert_eq!(container.says("echo $HOME"), "/mine");
}

#[test]
fn the_usual_devices_are_open_whatever_the_rules_say() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["linux"]["resources"]["devices"] = json!([{"allow": false, "access": "rwm"}]);
    container.config["process"]["terminal"] = json!(true);
    let ran = container.script("echo x > /dev/null && head -c 4 /dev/zero | wc -c").run();
    assert_eq!((ran.out.as_str(), ran.code), ("4", 0), "{ran:?}");
}

#[test]
fn a_process_without_a_user_is_root_and_a_capability_that_is_none_is_told() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"].as_object_mut().unwrap().remove("user");
    container.config["process"]["capabilities"]["bounding"] = json!(["CAP_KILL", "CAP_FLY"]);
    let ran = container.script("id -u; grep CapBnd /proc/self/status").run();
    assert_eq!((ran.out.as_str(), ran.code), ("0\nCapBnd:\t0000000000000020", 0), "{ran:?}");
    assert!(ran.err.contains("process.capabilities is not enforced: CAP_FLY is no capability"), "{ran:?}");
}

#[test]
fn a_filter_that_hides_the_working_directory_does_not_keep_the_container_from_it() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"]["noNewPrivileges"] = json!(false);
    container.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO"}],
    });
    let ran = container.script("echo in; /bin/pwd -P 2>/dev/null || echo hidden").run();
    assert!(ran.code == 0 && ran.out.starts_with("in"), "{ran:?}");
}

#[test]
fn sockets_that_are_handed_over_reach_the_program() {
    require!(root, busybox);
    let mut container = Container::new();
    container.script("echo $LISTEN_FDS $LISTEN_PID; cat <&3").save();
    let bundle = container.bundle().display().to_string();
    // A shell opens the third descriptor for the runtime, as a service manager would.
    let words = container.command(&["run", "--bundle", &bundle, &container.id]);
    let program = words.get_program().to_owned();
    let args: Vec<_> = words.get_args().map(ToOwned::to_owned).collect();
    let note = container.path("note");
    std::fs::write(&note, "through\n").unwrap();
    let ran = std::process::Command::new("sh")
        .arg("-c")
        .arg(format!("exec 3<{}; exec \"$0\" \"$@\"", note.display()))
        .arg(program)
        .args(args)
        .env("LISTEN_FDS", "1")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "1 1\nthrough\n", "{ran:?}");
}
