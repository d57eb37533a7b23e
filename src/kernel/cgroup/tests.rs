use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
};
use proptest::prelude::*;

use super::apply::Setting;
use super::*;

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
42 31 0:32 / /mnt/a\\040second\\040memory rw,relatime - cgroup cgroup rw,memory
";

fn resources() -> LinuxResources {
    let memory =
        LinuxMemoryBuilder::default().limit(1 << 29).swap(1 << 30).reservation(1 << 28).build().unwrap();
    let cpu = LinuxCpuBuilder::default()
        .shares(512_u64)
        .quota(50_000)
        .period(100_000_u64)
        .cpus("0-1")
        .build()
        .unwrap();
    let pids = LinuxPidsBuilder::default().limit(100).build().unwrap();
    LinuxResourcesBuilder::default().memory(memory).cpu(cpu).pids(pids).build().unwrap()
}

fn lines(settings: Vec<Setting>) -> Vec<String> {
    settings.into_iter().map(|one| format!("{}={}", one.files.join("|"), one.value)).collect()
}

#[test]
fn a_hybrid_host_is_both_versions() {
    let layout = Layout::read(HYBRID, |_| String::new()).unwrap();
    assert_eq!(layout.describe(), "hybrid");
    let labels: Vec<_> = layout.hierarchies().iter().map(Hierarchy::label).collect();
    assert_eq!(labels, ["cpu,cpuacct", "memory", "systemd"]);
    assert!(layout.offers("memory"));
    assert!(!layout.offers("pids"));
    let group = layout.group(&CgroupPath::parse("/hythe/a").unwrap());
    assert_eq!(
        group.placement().join,
        [
            c"/sys/fs/cgroup/cpu,cpuacct/hythe/a/tasks",
            c"/sys/fs/cgroup/memory/hythe/a/tasks",
            c"/sys/fs/cgroup/systemd/hythe/a/tasks"
        ]
    );
    assert_eq!(group.placement().born_in.unwrap(), Path::new("/sys/fs/cgroup/unified/hythe/a"));
}

#[test]
fn a_unified_host_is_version_2() {
    let text =
        "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
    let layout = Layout::read(text, |_| "cpuset cpu io memory pids\n".to_owned()).unwrap();
    assert_eq!(layout.describe(), "v2");
    assert!(layout.is_v2_only());
    assert!(layout.offers("memory") && !layout.offers("hugetlb"));
    assert!(layout.group(&CgroupPath::parse("a").unwrap()).placement().join.is_empty());
}

/// A group of version 2 whose files are those of a kernel 6.1.
fn unified_group(files: &[(&str, &str)]) -> (tempfile::TempDir, Group) {
    let place = tempfile::tempdir().unwrap();
    let group = place.path().join("hythe/a");
    std::fs::create_dir_all(&group).unwrap();
    for (name, text) in files {
        std::fs::write(group.join(name), text).unwrap();
    }
    let text = format!("30 23 0:26 / {} rw - cgroup2 cgroup2 rw\n", place.path().display());
    let layout = Layout::read(&text, |_| "cpuset cpu io memory hugetlb pids\n".to_owned()).unwrap();
    (place, layout.group(&CgroupPath::parse("hythe/a").unwrap()))
}

#[test]
fn the_counters_of_version_2_are_read() {
    let (_place, group) = unified_group(&[
        ("memory.current", "7340032\n"),
        ("memory.peak", "8388608\n"),
        ("memory.max", "67108864\n"),
        ("memory.events", "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n"),
        ("memory.stat", "anon 4096\nfile 2048\nkernel 1024\ninactive_file 512\nworkingset_refault_anon 3\n"),
        (
            "cpu.stat",
            "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\ncore_sched.force_idle_usec 0\nnr_periods 9\n\
             nr_throttled 4\nthrottled_usec 77\nnr_bursts 0\nburst_usec 0\n",
        ),
        ("pids.current", "5\n"),
        ("pids.max", "4096\n"),
        ("io.stat", "254:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0\n"),
    ]);
    let expected = Stats {
        memory_usage: Some(7 << 20),
        memory_inactive_file: Some(512),
        memory_peak: Some(8 << 20),
        memory_limit: Some(64 << 20),
        cpu_usage_usec: Some(3000),
        cpu_user_usec: Some(2000),
        cpu_system_usec: Some(1000),
        cpu_throttled_usec: Some(77),
        pids: Some(5),
    };
    assert_eq!((group.stats(), group.oom_kills()), (expected, 1));
    let detail = group.detail();
    let names: Vec<&str> = detail.memory.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["anon", "file", "kernel", "inactive_file", "workingset_refault_anon"]);
    assert_eq!((detail.periods, detail.throttled_periods, detail.pids_limit), (9, 4, Some(4096)));
    assert_eq!(detail.memory_refused, Some(12));
    assert!(detail.processors.is_empty(), "version 2 does not tell processors apart");
    let disk = Disk { major: 254, minor: 0, read_bytes: 4096, written_bytes: 512, reads: 2, writes: 1 };
    assert_eq!(detail.disks, [disk]);
}

#[test]
fn a_group_of_version_2_without_limits_or_with_an_older_kernel_s_files_has_no_more_than_there_is() {
    let (_place, group) = unified_group(&[
        ("memory.current", "4096\n"),
        ("memory.max", "max\n"),
        ("pids.max", "max\n"),
        ("io.stat", ""),
    ]);
    let (stats, detail) = (group.stats(), group.detail());
    assert_eq!((stats.memory_usage, stats.memory_limit, stats.memory_peak), (Some(4096), None, None));
    assert_eq!((stats.cpu_usage_usec, stats.pids, group.oom_kills()), (None, None, 0));
    assert_eq!(detail, Detail::default());
}

#[test]
fn a_host_without_control_groups_is_an_error() {
    assert!(matches!(
        Layout::read("1 0 0:1 / / rw - ext4 /dev/sda rw\n", |_| String::new()),
        Err(CgroupError::Nowhere)
    ));
}

#[test]
fn limits_in_the_words_of_version_1() {
    let resources = resources();
    assert_eq!(
        lines(v1::cpu(&resources)),
        ["cpu.shares=512", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000"]
    );
    assert_eq!(
        lines(v1::memory(&resources)),
        [
            "memory.limit_in_bytes=536870912",
            "memory.memsw.limit_in_bytes=1073741824",
            "memory.soft_limit_in_bytes=268435456"
        ]
    );
    assert_eq!(lines(v1::cpuset(&resources)), ["cpuset.cpus=0-1"]);
    assert_eq!(lines(v1::pids(&resources)), ["pids.max=100"]);
}

#[test]
fn limits_in_the_words_of_version_2() {
    let resources = resources();
    assert_eq!(lines(v2::cpu(&resources)), ["cpu.weight=59", "cpu.max=50000 100000"]);
    assert_eq!(
        lines(v2::memory(&resources)),
        ["memory.max=536870912", "memory.swap.max=536870912", "memory.low=268435456"]
    );
    assert_eq!(lines(v2::pids(&resources)), ["pids.max=100"]);
}

#[test]
fn shares_become_the_weights_of_the_table() {
    let table = [
        (2, 1),
        (128, 21),
        (256, 35),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (4096, 303),
        (8192, 532),
        (262_144, 10_000),
    ];
    for (shares, weight) in table {
        assert_eq!(weight_of_shares(shares), Some(weight), "{shares} shares");
    }
    assert_eq!(weight_of_shares(0), None);
}

#[test]
fn paths_do_not_climb() {
    for bad in ["", "/", "..", "a/../b", "./a", "a\nb"] {
        assert!(CgroupPath::parse(bad).is_err(), "{bad:?}");
    }
    assert_eq!(CgroupPath::parse("//a//b/").unwrap().as_path(), Path::new("a/b"));
}

proptest! {
    #[test]
    fn more_shares_never_weigh_less(shares in 1_u64..300_000) {
        let weight = weight_of_shares(shares).unwrap();
        prop_assert!((1..=10_000).contains(&weight));
        prop_assert!(weight <= weight_of_shares(shares + 1).unwrap());
    }
}
