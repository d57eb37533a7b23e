//! What a container cannot do.

use serde_json::json;

use crate::harness::{
    Instance, require,
    tasks::{document, idle, shell, with},
};

#[test]
fn a_container_has_the_usual_capabilities_and_gains_none() {
    require!(host, busybox);
    let instance = Instance::start("caps");
    let status = "grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status";
    let said = instance.shell_output(status, json!({}));
    assert!(said.contains("CapBnd:\t00000000a80425fb"), "docker's fourteen: {said}");
    assert!(said.contains("NoNewPrivs:\t1"), "{said}");

    let said = instance.shell_output(
        status,
        json!({ "linuxParameters": { "capabilities": { "add": ["NET_ADMIN"], "drop": ["ALL"] } } }),
    );
    assert!(said.contains("CapEff:\t0000000000001000"), "only what was added: {said}");

    let said = instance.shell_output(status, json!({ "user": "1000" }));
    assert!(said.contains("CapEff:\t0000000000000000"), "a user has none: {said}");
}

#[test]
fn a_container_sees_its_own_processes_only() {
    require!(host, busybox);
    let instance = Instance::start("pids");
    let said = instance
        .shell_output("echo $$; ls /proc | grep -c '^[0-9]'; hostname", json!({ "hostname": "alone" }));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "1", "{said}");
    assert!(lines[1].parse::<u32>().unwrap() <= 4, "{said}");
    assert_eq!(lines[2], "alone");
}

#[test]
fn the_kernels_own_files_are_out_of_reach() {
    require!(host, busybox);
    let instance = Instance::start("masked");
    let said = instance.shell_output(
        "for file in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug; do
             [ ! -e $file ] || head -c 1 $file 2>/dev/null | wc -c; done
         ls /sys/firmware 2>/dev/null | wc -l
         echo 1 2>/dev/null > /proc/sys/kernel/sysrq && echo written
         echo b 2>/dev/null > /proc/sysrq-trigger && echo written
         mkdir /sys/fs/cgroup/x 2>/dev/null && echo made
         mount -t tmpfs none /mnt 2>/dev/null && echo mounted
         echo end",
        json!({}),
    );
    assert!(said.lines().all(|line| line == "0" || line == "end"), "{said}");
}

#[test]
fn a_device_of_the_host_cannot_be_opened() {
    require!(host, busybox);
    let instance = Instance::start("devices");
    let said = instance.shell_output(
        "ls /dev | sort | tr '\\n' ' '; echo; mknod /disk b 1 0; head -c 1 /disk 2>&1 | head -n 1; mknod /mem c 1 1; head -c 1 /mem 2>&1; echo > /dev/null && echo null",
        json!({}),
    );
    let mut lines = said.lines();
    let devices = lines.next().unwrap_or_default();
    for name in ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue"] {
        assert!(devices.split(' ').any(|device| device == name), "no /dev/{name}: {devices}");
    }
    assert!(!devices.contains("kmsg") && !devices.contains("vda"), "{devices}");
    let refusals = lines.clone().filter(|line| line.contains("not permitted")).count();
    assert_eq!(refusals, 2, "{said}");
    assert_eq!(lines.last(), Some("null"));
}

#[test]
fn the_hosts_files_are_not_there() {
    require!(host, busybox);
    let instance = Instance::start("files");
    std::fs::write(instance.path("secret"), "x").expect("a file of the host");
    let path = instance.path("secret");
    let said = instance.shell_output(
        &format!(
            "ls {path} 2>&1; ls /../../../..{path} 2>&1; cat /proc/1/root{path} 2>&1; true",
            path = path.display()
        ),
        json!({}),
    );
    assert_eq!(said.matches("No such file").count(), 3, "{said}");
}

#[test]
fn the_daemons_descriptors_and_environment_stay_with_it() {
    require!(host, busybox);
    let instance = Instance::start("fds");
    let said =
        instance.shell_output("ls /proc/self/fd | wc -l; env | grep -c -E 'HYTHE|NOTIFY' || true", json!({}));
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].parse::<u32>().unwrap() <= 4, "three streams and the directory itself: {said}");
    assert_eq!(lines[1], "0", "{said}");
}

#[test]
fn processes_beyond_the_limit_are_refused() {
    require!(host, busybox, cgroup_pids);
    let wish = crate::harness::instance::Wish {
        config: "[containers]\npids_limit = 16\n".to_owned(),
        ..Default::default()
    };
    let instance = Instance::start_with("pidslimit", wish);
    let arn = instance.run(document(
        "forks",
        &[with(shell("main", "for i in $(seq 40); do sleep 5 & done 2>&1; true"), json!({}))],
    ));
    instance.stopped(&arn);
    let said = instance.cli(&["logs", arn.rsplit('/').next().unwrap()]);
    assert!(said.out.contains("fork") || said.err.contains("fork"), "{said:?}");
}

#[test]
fn a_privileged_container_needs_the_hosts_word() {
    require!(host, busybox);
    let instance = Instance::start("privileged");
    let task = instance.run_to_end(document("priv", &[with(idle("main"), json!({ "privileged": true }))]));
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    assert!(task.to_string().contains("privileged"), "{task:#}");
}
