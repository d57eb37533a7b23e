//! What else the specification lets be asked for, seen from the inside and from the outside.

use std::{fs, path::PathBuf};

use hythe::kernel::cgroup::Layout;
use serde_json::json;

use super::container::Container;
use crate::harness::{disk_of, require, skipped};

#[test]
fn memory_comes_from_the_nodes_asked_for() {
    require!(root, busybox);
    if !PathBuf::from("/proc/self/numa_maps").exists() {
        skipped("this kernel knows no memory nodes");
        return;
    }
    let mut container = Container::new();
    container.config["linux"]["memoryPolicy"] =
        json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    let count = "grep -c 'bind=static:0' /proc/self/numa_maps";
    assert_ne!(container.says(count), "0");
    container.script("sleep 1000");
    container.start();
    let maps = fs::read_to_string(format!("/proc/{}/numa_maps", container.pid())).unwrap();
    assert!(maps.contains(" bind=static:0 "), "{maps}");
    // A later process as well.
    assert_ne!(container.oci(&["exec", &container.id, "sh", "-c", count]).out, "0");
    assert_eq!(container.oci(&["delete", "--force", &container.id]).code, 0);
    container.config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "x"});
    let ran = container.run();
    assert_eq!(ran.err, "hythe oci: linux.memoryPolicy.nodes: \"x\" is not a list such as 0-3,7");
}

#[test]
fn attributes_hold_for_the_mounts_below_where_it_is_asked_for() {
    require!(root, busybox, unshare);
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    let outer = container.path("outer");
    fs::create_dir_all(outer.join("below")).unwrap();
    let words = ["ro", "nosuid", "nodev", "noexec", "noatime", "nosymfollow"];
    for (place, prefix) in [("/all", "r"), ("/one", "")] {
        let options: Vec<String> =
            ["rbind".to_owned()].into_iter().chain(words.map(|word| format!("{prefix}{word}"))).collect();
        let mount = json!({"destination": place, "type": "bind", "source": outer, "options": options});
        container.config["mounts"].as_array_mut().unwrap().push(mount);
    }
    container.script("grep -E ' /(all|one)/below ' /proc/self/mountinfo; touch /all/below/x 2>/dev/null || echo refused; touch /one/below/x && echo written");
    let script =
        format!("mount -t tmpfs below {}/below; \"$@\" run --bundle \"$BUNDLE\" \"$ID\"", outer.display());
    let ran = container.unshared(&["--mount", "--propagation", "private"], &script);
    assert_eq!(ran.code, 0, "{ran:?}");
    let options = |place: &str| {
        let line = ran.out.lines().find(|line| line.contains(place)).unwrap();
        line.split(' ').nth(5).unwrap().split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    for word in words {
        assert!(options("/all/below").contains(&word.to_owned()), "{word}: {ran:?}");
        assert!(!options("/one/below").contains(&word.to_owned()), "{word}: {ran:?}");
    }
    assert!(ran.out.ends_with("refused\nwritten"), "{ran:?}");
}

#[test]
fn the_root_hears_of_mounts_as_asked() {
    require!(root, busybox);
    let mut container = Container::new();
    for (wanted, word) in [("rshared", "shared:"), ("rprivate", ""), ("unbindable", "unbindable")] {
        container.config["linux"]["rootfsPropagation"] = json!(wanted);
        let line = container.says("grep ' / / ' /proc/self/mountinfo || grep -E '^[0-9]+ [0-9]+ [^ ]+ [^ ]+ / ' /proc/self/mountinfo");
        let optional = line.split(" - ").next().unwrap().split(' ').skip(6).collect::<Vec<_>>().join(" ");
        assert!(
            if word.is_empty() { optional.is_empty() } else { optional.contains(word) },
            "{wanted}: {line}"
        );
    }
    container.config["linux"]["rootfsPropagation"] = json!("loud");
    assert_eq!(container.run().err, "hythe oci: linux.rootfsPropagation: \"loud\" is unknown");
}

#[test]
fn a_file_of_version_2_is_written_by_its_own_name() {
    require!(root, busybox);
    let Some(unified) = Layout::detect().unwrap().unified().map(|unified| unified.mount.clone()) else {
        skipped("no version 2 control groups are mounted");
        return;
    };
    let mut container = Container::new();
    container.config["linux"]["resources"] =
        json!({"unified": {"cgroup.max.depth": "3", "cgroup.max.descendants": "7"}});
    container.script("sleep 1000");
    container.start();
    let file = |name: &str| fs::read_to_string(unified.join(container.group()).join(name)).unwrap();
    assert_eq!((file("cgroup.max.depth").as_str(), file("cgroup.max.descendants").as_str()), ("3\n", "7\n"));
    let seen = container.oci(&[
        "exec",
        &container.id,
        "sh",
        "-c",
        "cat /sys/fs/cgroup/cgroup.max.depth /sys/fs/cgroup/unified/cgroup.max.depth 2>/dev/null",
    ]);
    assert_eq!(seen.out, "3");
}

#[test]
fn a_disk_is_throttled_by_the_files_of_version_1() {
    require!(root, busybox, disk);
    let mut container = Container::new();
    let Some(hierarchy) =
        Layout::detect().unwrap().hierarchies().iter().find(|one| one.has("blkio")).cloned()
    else {
        skipped("no version 1 controller of disks is mounted");
        return;
    };
    let (major, minor) = disk_of(&container.bundle()).unwrap();
    let rate = json!([{"major": major, "minor": minor, "rate": 1 << 20}]);
    container.config["linux"]["resources"] =
        json!({"blockIO": {"throttleWriteBpsDevice": rate, "throttleReadIOPSDevice": rate}});
    container.script("sleep 1000");
    container.start();
    for name in ["blkio.throttle.write_bps_device", "blkio.throttle.read_iops_device"] {
        let text = fs::read_to_string(hierarchy.mount.join(container.group()).join(name)).unwrap();
        assert_eq!(text.trim(), format!("{major}:{minor} {}", 1 << 20), "{name}");
    }
}

#[test]
fn devices_of_rdma_are_limited_or_told() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["linux"]["resources"] = json!({"rdma": {"hythe9": {"hcaHandles": 3, "hcaObjects": 9}}});
    let ran = container.script("echo ran").run();
    if Layout::detect().unwrap().offers("rdma") {
        // There is no such device, which the kernel says.
        assert!(ran.code == 1 && ran.err.contains("linux.resources.rdma"), "{ran:?}");
        return;
    }
    assert_eq!((ran.out.as_str(), ran.code), ("ran", 0), "{ran:?}");
    assert!(ran.err.starts_with("hythe oci: warning: rdma"), "{ran:?}");
    assert!(ran.err.contains("this host has no rdma control group controller"), "{ran:?}");
}

#[test]
fn a_device_of_rdma_is_limited_and_counted() {
    require!(root, busybox);
    let devices = fs::read_dir("/sys/class/infiniband").into_iter().flatten().flatten();
    let device = devices.map(|entry| entry.file_name().to_string_lossy().into_owned()).next();
    let Some(device) = device.filter(|_| Layout::detect().unwrap().offers("rdma")) else {
        skipped("this host has no RDMA device, or no control groups for it");
        return;
    };
    let mut container = Container::new();
    let mut limits = json!({});
    limits[&device] = json!({"hcaHandles": 3, "hcaObjects": 9});
    container.config["linux"]["resources"] = json!({ "rdma": limits });
    container.script("sleep 1000");
    container.start();
    let told = container.oci(&["events", "--stats", &container.id]);
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    let limit = &told["data"]["rdma"]["rdma_limit"][0];
    assert_eq!(
        (&limit["device"], &limit["hca_handles"], &limit["hca_objects"]),
        (&json!(device), &json!(3), &json!(9))
    );
}

#[test]
fn the_clocks_of_a_time_namespace_are_its_own_on_the_outside_too() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "time"}));
    container.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 86_400, "nanosecs": 5}});
    container.script("sleep 1000");
    container.start();
    let offsets = fs::read_to_string(format!("/proc/{}/timens_offsets", container.pid())).unwrap();
    let boot: Vec<_> =
        offsets.lines().find(|line| line.starts_with("boottime")).unwrap().split_whitespace().collect();
    assert_eq!(boot, ["boottime", "86400", "5"]);
    let own = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/time")).unwrap();
    assert_ne!(own(&container.pid().to_string()), own("self"));
}

#[test]
fn layers_are_mounted_as_older_kernels_take_them() {
    require!(root, busybox, overlay);
    let mut container = Container::new();
    let root = container.rootfs().display().to_string();
    let place = container.path("");
    fs::create_dir_all(container.bundle().join("merged")).unwrap();
    container.config["root"] = json!({"path": "merged", "readonly": false});
    container.config["mounts"].as_array_mut().unwrap().insert(0, json!({}));
    // A few fit into one string; with many each is opened and named by its descriptor.
    for count in [3, 100] {
        let mut lower: Vec<String> = Vec::new();
        for at in 0..count {
            let layer = place.join(format!("layer-with-a-rather-long-name-{at}"));
            fs::create_dir_all(&layer).unwrap();
            fs::write(layer.join(format!("file-{at}")), "").unwrap();
            lower.push(layer.display().to_string());
        }
        for name in ["upper", "work"] {
            let _ = fs::remove_dir_all(place.join(name));
            fs::create_dir_all(place.join(name)).unwrap();
        }
        lower.push(root.clone());
        let options = [
            format!("lowerdir={}", lower.join(":")),
            format!("upperdir={}", place.join("upper").display()),
            format!("workdir={}", place.join("work").display()),
        ];
        container.config["mounts"][0] =
            json!({"destination": "/", "type": "overlay", "source": "overlay", "options": options});
        container.script("ls -d /file-* | wc -l; echo x >/written; uname -r");
        container.save();
        let bundle = container.bundle().display().to_string();
        let oci = container.command(&["run", "--bundle", &bundle, &container.id]);
        // What the kernel calls itself decides; here it is made to say that it is an old one.
        let ran = std::process::Command::new("setarch")
            .arg("--uname-2.6")
            .arg(oci.get_program())
            .args(oci.get_args())
            .output();
        let Ok(ran) = ran else {
            skipped("setarch (util-linux) is not installed");
            return;
        };
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(
            said.starts_with(&format!("{count}\n2.6.")),
            "{said} {}",
            String::from_utf8_lossy(&ran.stderr)
        );
        assert!(place.join("upper/written").exists());
        // On a kernel that takes layers one by one the same bundle is another call, with the same result.
        assert_eq!(container.says("ls -d /file-* | wc -l"), count.to_string());
    }
}
