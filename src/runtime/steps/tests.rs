use std::path::Path;

use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::*;
use crate::kernel::cgroup::{CgroupPath, Layout};
use crate::runtime::Bundle;
use crate::runtime::defaults;

mod changes;

const HYBRID: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

const UNIFIED: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

fn host(mounts: &str) -> Host {
    let all = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_ADMIN", "CAP_NET_RAW"];
    let held = all.iter().fold(CapabilitySet::NONE, |set, name| set.with(name).unwrap());
    Host {
        kernel: (6, 12),
        held,
        known: held,
        withheld: CapabilitySet::NONE,
        hard_limits: vec![(Limit::named("RLIMIT_NOFILE").unwrap(), 4096)],
        open_files: 1 << 20,
        keeps_groups: false,
        oom_score: 0,
        layout: Layout::from_mountinfo(mounts).unwrap(),
        pseudo_mounts: Vec::new(),
        filesystems: vec![29],
        has_selinux: true,
    }
}

fn plan_of(value: Value, host: &Host) -> Result<(Plan, String), PlanError> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rootfs")).unwrap();
    let spec: Spec = serde_json::from_value(value).unwrap();
    let bundle = Bundle::new(dir.path(), spec).unwrap();
    let path = CgroupPath::parse("hythe/web").unwrap();
    let placement = host.layout.group(&path).placement();
    let plan = plan_with(&bundle, host, &path, &placement)?;
    let place = bundle.dir().display().to_string();
    let text = plan.steps.iter().map(|step| step.to_string().replace(&place, "BUNDLE") + "\n").collect();
    Ok((plan, text))
}

fn plan_with(
    bundle: &Bundle,
    host: &Host,
    cgroup: &CgroupPath,
    placement: &crate::kernel::cgroup::Placement,
) -> Result<Plan, PlanError> {
    let manner = Manner { die_with_parent: true, ..Manner::default() };
    plan(bundle, bundle.process().unwrap(), &Setting { host, cgroup, placement, manner })
}

fn full() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 1000, "gid": 100, "additionalGids": [7], "umask": 63},
            "args": ["web", "--port", "80"],
            "env": ["PATH=/opt/bin:/bin"],
            "cwd": "/srv/../srv/web",
            "oomScoreAdj": -500,
            "noNewPrivileges": true,
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 2048, "hard": 65536}],
            "capabilities": {
                "bounding": ["CAP_CHOWN", "CAP_KILL"],
                "effective": ["CAP_CHOWN"],
                "permitted": ["CAP_CHOWN", "CAP_BPF"],
            },
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "web-1",
        "mounts": [
            {"destination": "/", "type": "overlay", "source": "overlay",
             "options": ["lowerdir=/l/1:/l/2", "upperdir=/u", "workdir=/w", "userxattr"]},
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "ro"]},
            {"destination": "/data//x/", "type": "bind", "source": "vol", "options": ["rbind", "rro", "rslave"]},
        ],
        "linux": {
            "cgroupsPath": "/hythe/web",
            "namespaces": [
                {"type": "mount"}, {"type": "pid"}, {"type": "uts"}, {"type": "ipc"}, {"type": "cgroup"},
                {"type": "network", "path": "/proc/self/fd/9"},
            ],
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0"},
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
        },
    })
}

#[test]
fn a_whole_container_is_this_list() {
    let (plan, text) = plan_of(full(), &host(HYBRID)).unwrap();
    assert_eq!(text, include_str!("tests/whole.txt"));
    assert_eq!(plan.clone, Namespaces::MOUNT | Namespaces::PID | Namespaces::UTS | Namespaces::IPC);
    assert_eq!(plan.program.candidates, [c"/opt/bin/web", c"/bin/web"]);
    let missed: Vec<_> =
        plan.not_enforced.iter().map(|one| format!("{}: {}", one.resource, one.reason)).collect();
    assert_eq!(
        missed,
        [
            "process.oomScoreAdj: lowering it to -500 needs CAP_SYS_RESOURCE; it stays at 0",
            "process.rlimits.RLIMIT_NOFILE: raising it to 65536 needs CAP_SYS_RESOURCE; it is 4096",
            "process.capabilities: CAP_BPF cannot be given because this process lacks it",
        ]
    );
}

#[test]
fn equal_input_gives_equal_steps() {
    let host = host(HYBRID);
    let (one, other) = (plan_of(full(), &host).unwrap(), plan_of(full(), &host).unwrap());
    assert_eq!(one.1, other.1);
    assert_eq!(one.0.marks, other.0.marks);
}

#[test]
fn a_unified_host_shows_one_control_group_mount() {
    let (_, text) = plan_of(full(), &host(UNIFIED)).unwrap();
    let cgroup: Vec<_> = text.lines().filter(|line| line.contains("cgroup")).collect();
    assert_eq!(cgroup, ["make a cgroup namespace", "mount cgroup2 on /sys/fs/cgroup, ro,nosuid"]);
}

#[test]
fn an_old_kernel_gets_its_layers_in_one_string() {
    let old = Host { kernel: (6, 6), ..host(HYBRID) };
    let (_, text) = plan_of(full(), &old).unwrap();
    let root =
        "mount overlay as the root filesystem with lowerdir=/l/1:/l/2,upperdir=/u,workdir=/w,userxattr";
    assert!(text.lines().any(|line| line == root), "{text}");

    let mut many = full();
    many["mounts"][0]["options"][0] =
        json!(format!("lowerdir={}", vec!["/layers/0123456789"; 300].join(":")));
    let refused = plan_of(many.clone(), &old).unwrap_err();
    assert!(matches!(refused, PlanError::Mount(MountPlanError::TooLong { at: 0, .. })), "{refused:?}");
    assert!(plan_of(many, &host(HYBRID)).is_ok());

    let mut some = full();
    let layers = vec!["/a/place/of/the/length/that/layers/have/in/a/store/of/images"; 100].join(":");
    some["mounts"][0]["options"][0] = json!(format!("lowerdir={layers}"));
    let (_, text) = plan_of(some, &old).unwrap();
    assert!(
        text.contains("mount overlay as the root filesystem of 100 opened layers with upperdir="),
        "{text}"
    );
}

#[test]
fn groups_that_may_not_be_changed_are_left_alone_unless_some_are_asked_for() {
    let mut host = host(HYBRID);
    host.keeps_groups = true;
    let mut spec = full();
    assert!(plan_of(spec.clone(), &host).unwrap().1.contains("set the supplementary groups to [7]"));
    spec["process"]["user"].as_object_mut().unwrap().remove("additionalGids");
    assert!(!plan_of(spec.clone(), &host).unwrap().1.contains("supplementary groups"));
    host.keeps_groups = false;
    assert!(plan_of(spec, &host).unwrap().1.contains("set the supplementary groups to []"));
}

#[test]
fn a_specification_without_anything_still_has_devices() {
    let least = json!({
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sh"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "linux": {"namespaces": [{"type": "mount"}]},
    });
    let (plan, text) = plan_of(least, &host(HYBRID)).unwrap();
    assert!(text.contains("make character device /dev/null 1:3 mode 0666\n"), "{text}");
    assert!(!plan.program.is_searched);
    assert_eq!(plan.clone, Namespaces::MOUNT);
}

#[test]
fn the_usual_sets_are_all_known() {
    let mounts = defaults::mounts(1 << 26);
    assert!(mounts.iter().any(|mount| mount.destination() == Path::new("/dev/shm")));
    assert_eq!(defaults::devices().len(), 6);
    assert_eq!(defaults::device_rules().len(), 11);
    assert_eq!(defaults::capabilities().bounding().as_ref().unwrap().len(), 14);
    assert_eq!(*defaults::capabilities().ambient(), None);
}

#[test]
fn who_asks_for_no_capabilities_keeps_ours_but_what_is_withheld() {
    let mut host = host(HYBRID);
    let own = host.held;
    host.held = own.with("CAP_MKNOD").unwrap();
    host.known = host.held;
    let mut spec = full();
    spec["process"].as_object_mut().unwrap().remove("capabilities");
    spec["process"]["user"] = json!({"uid": 0, "gid": 0});
    let sets_of = |host: &Host, spec: &Value| {
        let steps = plan_of(spec.clone(), host).unwrap().0.steps;
        let dropped = steps
            .iter()
            .find_map(|step| if let Step::DropBounding(set) = step { Some(set.names()) } else { None });
        let sets = steps
            .iter()
            .find_map(|step| if let Step::Capabilities(sets) = step { Some((**sets).clone()) } else { None });
        (dropped, sets)
    };
    assert_eq!(sets_of(&host, &spec), (None, None));

    host.withhold_nodes();
    let (dropped, sets) = sets_of(&host, &spec);
    assert_eq!(dropped.unwrap(), ["CAP_MKNOD"]);
    let sets = sets.unwrap();
    assert_eq!((sets.effective, sets.permitted), (own, own));
    assert!(sets.inheritable.is_empty() && sets.ambient.is_empty());

    let all = json!(["CAP_MKNOD", "CAP_KILL"]);
    spec["process"]["capabilities"] =
        json!({"bounding": all, "effective": all, "permitted": all, "inheritable": all, "ambient": all});
    let (dropped, sets) = sets_of(&host, &spec);
    assert!(dropped.unwrap().contains(&"CAP_MKNOD".to_owned()));
    let sets = sets.unwrap();
    for set in [sets.effective, sets.permitted, sets.inheritable, sets.ambient] {
        assert_eq!(set.names(), ["CAP_KILL"]);
    }
}
