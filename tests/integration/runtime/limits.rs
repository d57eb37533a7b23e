//! Limits, read back from the kernel's files and felt from inside.

use std::fs;

use serde_json::json;

use super::container::Container;
use crate::harness::{PATIENCE, require, wait_for};

fn hard_limit(name: &str) -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().rev().nth(1).unwrap().parse().unwrap()
}

#[test]
fn limits_reach_the_kernel() {
    require!(root, busybox, cgroup_memory, cgroup_cpu, cgroup_pids);
    let mut container = Container::new();
    container.config["linux"]["resources"] = json!({
        "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 64 << 20},
        "cpu": {"shares": 512, "quota": 20_000, "period": 100_000},
        "pids": {"limit": 40},
    });
    container.script("sleep 1000");
    container.start();
    let group = hythe::kernel::cgroup::Layout::detect()
        .unwrap()
        .group(&hythe::kernel::cgroup::CgroupPath::parse(container.group().to_str().unwrap()).unwrap());
    let stats = group.stats();
    assert_eq!(stats.memory_limit, Some(64 << 20));
    assert_eq!(stats.pids, Some(1));
    // A second opinion, from code that is not ours.
    let hierarchy = cgroups_rs::fs::hierarchies::auto();
    let witness = cgroups_rs::fs::Cgroup::load(hierarchy, container.group());
    let memory: &cgroups_rs::fs::memory::MemController = witness.controller_of().unwrap();
    assert_eq!(memory.memory_stat().limit_in_bytes, 64 << 20);
    assert_eq!(memory.memory_stat().soft_limit_in_bytes, 32 << 20);
    let cpu: &cgroups_rs::fs::cpu::CpuController = witness.controller_of().unwrap();
    assert_eq!(cpu.cfs_quota().unwrap(), 20_000);
    assert_eq!(cpu.cfs_period().unwrap(), 100_000);
    let shares = cpu.shares().unwrap();
    assert!(shares == 512 || shares == 59, "{shares}");
    let pids: &cgroups_rs::fs::pid::PidController = witness.controller_of().unwrap();
    assert_eq!(pids.get_pid_max().unwrap(), cgroups_rs::fs::MaxValue::Value(40));
}

#[test]
fn a_container_that_takes_too_much_memory_is_killed_and_counted() {
    require!(root, busybox, cgroup_memory);
    let mut container = Container::new();
    container.config["linux"]["resources"] = json!({"memory": {"limit": 16 << 20, "swap": 16 << 20}});
    container.script("tail /dev/zero; echo $?; sleep 1000");
    container.start();
    wait_for("the kill", PATIENCE, || (container.output() == "137\n").then_some(()));
    let layout = hythe::kernel::cgroup::Layout::detect().unwrap();
    let path = hythe::kernel::cgroup::CgroupPath::parse(container.group().to_str().unwrap()).unwrap();
    assert_eq!(layout.group(&path).oom_kills(), 1);
}

#[test]
fn no_more_processes_than_allowed() {
    require!(root, busybox, cgroup_pids);
    let mut container = Container::new();
    container.config["linux"]["resources"] = json!({"pids": {"limit": 4}});
    let ran = container.script("for i in 1 2 3 4 5 6; do sleep 5 & done; echo all").run();
    assert!(ran.err.contains("can't fork"), "{ran:?}");
}

#[test]
fn a_limit_that_is_too_small_to_begin_says_so() {
    require!(root, busybox, cgroup_memory);
    let mut container = Container::new();
    container.config["linux"]["resources"] = json!({"memory": {"limit": 64 << 10, "swap": 64 << 10}});
    let ran = container.script("true").run();
    assert_eq!(
        ran.err, "hythe oci: the container ran out of memory before its program was started",
        "{ran:?}"
    );
    assert_eq!(container.left(), Vec::<String>::new());
}

#[test]
fn what_the_host_cannot_hold_to_is_said_and_does_not_stop_it() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["linux"]["resources"] =
        json!({"hugepageLimits": [{"pageSize": "7MB", "limit": 7 << 20}]});
    let ran = container.script("echo ran").run();
    assert_eq!((ran.out.as_str(), ran.code), ("ran", 0));
    assert!(ran.err.starts_with("hythe oci: warning: hugepageLimits is not enforced: "), "{ran:?}");
}

#[test]
fn a_resource_limit_is_lowered_and_raised_only_as_far_as_we_may() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]);
    assert_eq!(container.says("ulimit -Sn; ulimit -Hn"), "100\n200");

    let ours = hard_limit("Max open files");
    container.config["process"]["rlimits"] =
        json!([{"type": "RLIMIT_NOFILE", "soft": ours + 1, "hard": ours + 1}]);
    let ran = container.script("ulimit -Hn").run();
    assert_eq!(ran.code, 0, "{ran:?}");
    if ran.out == ours.to_string() {
        let why = format!("raising it to {} needs CAP_SYS_RESOURCE; it is {ours}", ours + 1);
        let sentence = format!("process.rlimits.RLIMIT_NOFILE is not enforced: {why}");
        assert_eq!(ran.err, format!("hythe oci: warning: {sentence}"));
    } else {
        assert_eq!(ran.out, (ours + 1).to_string());
    }
}

#[test]
fn the_out_of_memory_score_is_raised_freely() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"]["oomScoreAdj"] = json!(321);
    assert_eq!(container.says("cat /proc/self/oom_score_adj"), "321");
}

#[test]
fn a_device_may_be_made_and_not_used() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    let script = "mknod /tmp/disk b 7 0 && (head -c 1 /tmp/disk >/dev/null 2>&1 || echo refused)";
    let said = container.says(script);
    assert_eq!(said, "refused");
}

#[test]
fn a_limit_that_the_kernel_refuses_is_an_error() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["linux"]["resources"]["cpu"] = json!({"period": 3});
    let ran = container.run();
    if ran.code == 0 {
        crate::harness::skipped(&ran.err);
        return;
    }
    assert!(ran.err.starts_with("hythe oci: linux.resources.cpu.period: the kernel refused"), "{ran:?}");
    container.config["linux"]["resources"] = json!({"unified": {"no.such_file": "1"}});
    let ran = container.run();
    assert!(ran.code == 1 && ran.err.contains("linux.resources.unified.no.such_file"), "{ran:?}");
    assert_eq!(container.left(), Vec::<String>::new());
}

#[test]
fn quota_and_period_change_together_and_memory_without_a_limit_has_none_with_swap() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["linux"]["resources"]["memory"] = json!({"limit": 64 << 20, "swap": 64 << 20});
    container.script("sleep 1000");
    container.start();
    for args in [["--memory", "-1"], ["--memory", "32M"]] {
        let ran = container.oci(&["update", args[0], args[1], &container.id]);
        assert_eq!((ran.err.as_str(), ran.code), ("", 0), "{args:?}");
    }
}

#[test]
fn shares_of_caches_are_changed_or_refused_with_a_reason_and_nothing_else_is_changed_then() {
    require!(root, busybox, cgroup_pids);
    let mut container = Container::new();
    container.config["linux"]["resources"]["pids"] = json!({"limit": 40});
    container.script("sleep 1000");
    container.start();
    let update = |flag: &str, schema: &str| {
        container.oci(&["update", "--pids-limit", "50", flag, schema, &container.id])
    };
    let wrong = update("--mem-bw-schema", "L3:0=f");
    let sentence = "hythe oci: linux.intelRdt.memBwSchema: is not one line that begins with MB:";
    assert_eq!((wrong.code, wrong.err.as_str()), (1, sentence));
    let asked = update("--l3-cache-schema", "L3:0=f");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    if mounts.contains(" - resctrl ") {
        crate::harness::skipped("this host has a resctrl filesystem, whose shares are its administrator's");
        return;
    }
    let sentence = "hythe oci: linux.intelRdt: this host has no resctrl filesystem mounted";
    assert!(asked.code == 1 && asked.err.starts_with(sentence), "{asked:?}");
    let group = hythe::kernel::cgroup::CgroupPath::parse(container.group().to_str().unwrap()).unwrap();
    let group = hythe::kernel::cgroup::Layout::detect().unwrap().group(&group);
    let limits = group.dirs().into_iter().filter_map(|dir| fs::read_to_string(dir.join("pids.max")).ok());
    assert_eq!(limits.collect::<Vec<_>>(), ["40\n"]);
}
