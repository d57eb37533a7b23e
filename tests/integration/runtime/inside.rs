//! What a container sees of itself.

use serde_json::json;

use super::container::Container;
use crate::harness::require;

#[test]
fn a_program_is_number_one_under_its_own_host_name() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["hostname"] = json!("box");
    container.config["domainname"] = json!("example");
    assert_eq!(container.says("echo $$; hostname; cat /proc/sys/kernel/domainname"), "1\nbox\nexample");
}

#[test]
fn the_exit_code_and_a_signal_come_back() {
    require!(root, busybox);
    let mut container = Container::new();
    assert_eq!(container.script("exit 7").run().code, 7);
    container.config["process"]["args"] = json!(["/bin/sh", "-c", "sh -c 'kill -KILL $$'; exit $?"]);
    assert_eq!(container.run().code, 137);
}

#[test]
fn environment_directory_user_groups_and_umask_are_as_asked() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"]["cwd"] = json!("/srv/app");
    container.config["root"]["readonly"] = json!(false);
    container.config["process"]["user"] =
        json!({"uid": 1000, "gid": 100, "additionalGids": [7, 8], "umask": 0o027});
    container.config["process"]["env"].as_array_mut().unwrap().push(json!("GREETING=hello there"));
    let said = container.says("echo $GREETING; pwd; id -u; id -g; id -G; umask");
    assert_eq!(said, "hello there\n/srv/app\n1000\n100\n100 7 8\n0027");
}

#[test]
fn capabilities_are_the_usual_fourteen_and_none_for_another_user() {
    require!(root, busybox);
    let mut container = Container::new();
    let script = "grep -E '^(Cap|NoNewPrivs)' /proc/self/status | tr -d '\\t'";
    let script = script.replace("tr -d", "busybox tr -d");
    let root = "CapInh:0000000000000000\nCapPrm:00000000a80425fb\nCapEff:00000000a80425fb\n\
                CapBnd:00000000a80425fb\nCapAmb:0000000000000000\nNoNewPrivs:1";
    assert_eq!(container.says(&script), root);
    container.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    let other = "CapInh:0000000000000000\nCapPrm:0000000000000000\nCapEff:0000000000000000\n\
                 CapBnd:00000000a80425fb\nCapAmb:0000000000000000\nNoNewPrivs:1";
    assert_eq!(container.says(&script), other);
}

#[test]
fn ambient_capabilities_reach_another_user() {
    require!(root, busybox);
    let mut container = Container::new();
    let set = json!(["CAP_NET_BIND_SERVICE"]);
    container.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    container.config["process"]["capabilities"] =
        json!({"bounding": set, "effective": set, "permitted": set, "inheritable": set, "ambient": set});
    let said = container.says("grep -E '^Cap(Eff|Amb)' /proc/self/status");
    assert_eq!(said, "CapEff:\t0000000000000400\nCapAmb:\t0000000000000400");
}

#[test]
fn only_the_standard_streams_are_open() {
    require!(root, busybox);
    let mut container = Container::new();
    // The shell itself opens nothing to run a builtin.
    assert_eq!(
        container.says("for n in 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && echo open $n; done; true"),
        ""
    );
}

#[test]
fn signals_have_their_default_actions_and_none_is_blocked() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"]["args"] = json!(["/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    let ran = container.run();
    assert_eq!(ran.out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000", "{ran:?}");
}

#[test]
fn the_usual_devices_work_and_no_other_can_be_opened() {
    require!(root, busybox);
    let mut container = Container::new();
    let said = container.says(
        "stat -c '%n %t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; \
         head -c 3 /dev/zero | wc -c; echo x > /dev/null; readlink /dev/fd; readlink /dev/ptmx; ls /dev",
    );
    let devices = "/dev/null 1:3 666\n/dev/zero 1:5 666\n/dev/full 1:7 666\n/dev/random 1:8 666\n\
                   /dev/urandom 1:9 666\n/dev/tty 5:0 666\n3\n/proc/self/fd\npts/ptmx\n";
    let names =
        "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero";
    assert_eq!(said, format!("{devices}{names}"));
}

#[test]
fn masked_paths_are_empty_and_readonly_paths_refuse() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["linux"]["maskedPaths"] =
        json!(["/proc/interrupts", "/sys/firmware", "/proc/nothing-here", "/proc/1/environ/below"]);
    container.config["linux"]["readonlyPaths"] = json!(["/proc/sys", "/proc/not-here"]);
    let said = container.says(
        "cat /proc/interrupts | wc -c; ls /sys/firmware | wc -l; stat -c %t:%T /proc/interrupts; \
         (echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo no; touch /sys/firmware/x 2>/dev/null || echo no",
    );
    assert_eq!(said, "0\n0\n1:3\nno\nno");
}

#[test]
fn the_root_is_read_only_when_asked() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(true);
    assert_ne!(container.script("touch /x").run().code, 0);
    container.config["root"]["readonly"] = json!(false);
    assert_eq!(container.says("touch /x && echo made"), "made");
    assert!(container.rootfs().join("x").exists());
}

#[test]
fn parameters_of_its_own_namespaces_can_be_set() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["linux"]["sysctl"] =
        json!({"net.ipv4.ip_unprivileged_port_start": "0", "kernel.msgmax": "4096"});
    let said = container.says("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax");
    assert_eq!(said, "0\n4096");
}

#[test]
fn a_program_is_found_along_its_own_path() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"]["env"] = json!(["PATH=/nowhere:/bin"]);
    container.config["process"]["args"] = json!(["echo", "found"]);
    assert_eq!(container.run().out, "found");
}
