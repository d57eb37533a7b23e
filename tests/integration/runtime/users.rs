//! User namespaces: whose root the container's root is, and who owns the files.

use std::{fs, os::unix::fs::MetadataExt};

use serde_json::json;

use super::container::{Container, Ran};
use crate::harness::{require, skipped};

fn apart() -> Container {
    let mut container = Container::new();
    // The container's root cannot make them in a directory of the host's.
    for place in ["dev", "proc", "sys", "data"] {
        fs::create_dir(container.rootfs().join(place)).unwrap();
    }
    container.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    container.config["linux"]["uidMappings"] = mapping.clone();
    container.config["linux"]["gidMappings"] = mapping;
    container
}

/// Whether this host's filesystem cannot be mapped, which is told.
fn cannot_map(ran: &Ran) -> bool {
    let cannot = ran.err.contains("cannot be mapped to other users");
    if cannot {
        skipped(&ran.err);
    }
    cannot
}

#[test]
fn root_inside_is_nobody_outside() {
    require!(root, busybox);
    let mut container = apart();
    container.config["hostname"] = json!("box");
    container.config["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "0"});
    let script = "id -u; hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; echo x > /dev/null && echo null; \
        stat -c %u /bin/busybox; touch /dev/shm/mine && stat -c %u /dev/shm/mine; mount -t tmpfs x /tmp || echo no; \
        ls /sys/fs/cgroup | wc -l; sleep 1000";
    container.script(script);
    container.start();
    crate::harness::wait_for("the script", crate::harness::PATIENCE, || {
        (container.output().lines().count() >= 8).then_some(())
    });
    let output = container.output();
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[..7], ["0", "box", "0", "null", "65534", "0", "no"], "{output}");
    assert_ne!(lines[7], "0");
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    assert!(status.contains("Uid:\t100000\t100000\t100000\t100000"), "{status}");
    // What is run later has the same users.
    let ran = container.oci(&["exec", &container.id, "sh", "-c", "id -u; cat /proc/self/uid_map; hostname"]);
    let words: Vec<_> = ran.out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536", "box"], "{ran:?}");
    let ran = container.oci(&["exec", "--user", "7:7", "--tty", &container.id, "sh", "-c", "id -u; tty"]);
    assert_eq!(ran.out, "7\r\n/dev/pts/0", "{ran:?}");
}

#[test]
fn a_mapped_mount_shows_its_files_as_the_containers() {
    require!(root, busybox);
    let mut container = apart();
    let data = container.path("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "x").unwrap();
    let mount = |options: &[&str]| json!({"destination": "/data", "type": "bind", "source": data, "options": options});
    container.config["mounts"].as_array_mut().unwrap().push(mount(&["rbind"]));
    assert_eq!(container.says("stat -c %u /data/file"), "65534");
    container.config["mounts"].as_array_mut().unwrap().pop();
    container.config["mounts"].as_array_mut().unwrap().push(mount(&["rbind", "ridmap"]));
    let ran = container.script("stat -c %u /data/file; touch /data/new; stat -c %u /data/new").run();
    if cannot_map(&ran) {
        return;
    }
    assert_eq!((ran.out.as_str(), ran.code), ("0\n0", 0), "{ran:?}");
    assert_eq!(fs::metadata(data.join("new")).unwrap().uid(), 0);
}

#[test]
fn what_is_mounted_below_a_mapped_mount_is_mapped_or_refused() {
    require!(root, busybox, unshare);
    let mut container = apart();
    let data = container.path("data");
    fs::create_dir_all(data.join("below")).unwrap();
    let place = data.join("below").display().to_string();
    let mut run = |fstype: &str, option: &str| {
        let mounts = container.config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/data");
        let options = json!(["rbind", option]);
        mounts.push(json!({"destination": "/data", "type": "bind", "source": data, "options": options}));
        container.script("stat -c %u /data /data/below");
        let script = format!("mount -t {fstype} none {place}; \"$@\" run --bundle \"$BUNDLE\" \"$ID\"");
        container.unshared(&["--mount", "--propagation", "private"], &script)
    };
    let ran = run("tmpfs", "ridmap");
    if cannot_map(&ran) {
        return;
    }
    assert_eq!((ran.out.as_str(), ran.code), ("0\n0", 0), "{ran:?}");
    assert_eq!(run("tmpfs", "idmap").out, "0\n65534");
    let ran = run("proc", "ridmap");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("a filesystem that is mounted below it cannot be mapped to other users"),
        "{ran:?}"
    );
    assert_eq!(run("proc", "idmap").out.lines().next(), Some("0"));
}

#[test]
fn a_mount_may_have_mappings_of_its_own() {
    require!(root, busybox);
    let mut container = Container::new();
    let data = container.path("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "x").unwrap();
    let mapping = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    container.config["mounts"].as_array_mut().unwrap().push(json!({
        "destination": "/data", "type": "bind", "source": data, "options": ["bind"],
        "uidMappings": mapping, "gidMappings": mapping,
    }));
    let ran = container.script("stat -c %u:%g /data/file").run();
    if cannot_map(&ran) {
        return;
    }
    assert_eq!(ran.out, "1000:1000", "{ran:?}");
}

#[test]
fn layers_are_mapped_and_not_copied() {
    require!(root, busybox);
    let mut container = apart();
    let dirs = ["upper", "work"].map(|name| container.path("layer").join(name));
    for dir in &dirs {
        fs::create_dir_all(dir).unwrap();
    }
    std::os::unix::fs::chown(&dirs[0], Some(100_000), Some(100_000)).unwrap();
    let lower = container.path("lower");
    fs::rename(container.rootfs(), &lower).unwrap();
    fs::create_dir(container.rootfs()).unwrap();
    let overlay = json!({"destination": "/", "type": "overlay", "source": "overlay", "options": [
        format!("lowerdir={}", lower.display()), format!("upperdir={}", dirs[0].display()),
        format!("workdir={}", dirs[1].display()), "idmap",
    ]});
    container.config["root"]["readonly"] = json!(false);
    container.config["mounts"].as_array_mut().unwrap().insert(0, overlay);
    let ran = container.script("stat -c %u /bin/busybox; echo hello > /tmp/mine; stat -c %u /tmp/mine").run();
    if cannot_map(&ran) {
        return;
    }
    assert_eq!((ran.out.as_str(), ran.code), ("0\n0", 0), "{ran:?}");
    assert_eq!(fs::metadata(dirs[0].join("tmp/mine")).unwrap().uid(), 100_000);
    assert!(!dirs[0].join("bin").exists());
}

#[test]
fn a_container_joins_the_users_of_another() {
    require!(root, busybox);
    let mut first = apart();
    first.script("sleep 1000");
    first.start();
    let mut second = apart();
    for member in ["uidMappings", "gidMappings"] {
        second.config["linux"].as_object_mut().unwrap().remove(member);
    }
    let pid = first.pid();
    let namespaces = second.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| !["network", "ipc", "user"].contains(&namespace["type"].as_str().unwrap()));
    for (kind, file) in [("user", "user"), ("network", "net"), ("ipc", "ipc")] {
        namespaces.push(json!({"type": kind, "path": format!("/proc/{pid}/ns/{file}")}));
    }
    let own = |file: &str| fs::read_link(format!("/proc/{pid}/ns/{file}")).unwrap().display().to_string();
    let ran = second
        .script("id -u; cat /proc/self/uid_map; readlink /proc/self/ns/user; readlink /proc/self/ns/net")
        .run();
    let words: Vec<_> = ran.out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536", &own("user"), &own("net")], "{ran:?}");
}

#[test]
fn new_users_may_share_the_network_of_others() {
    require!(root, busybox);
    let mut first = Container::new();
    first.script("sleep 1000");
    first.start();
    let mut second = apart();
    let path = format!("/proc/{}/ns/net", first.pid());
    for namespace in second.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == "network" {
            namespace["path"] = json!(path);
        }
    }
    let own = fs::read_link(&path).unwrap().display().to_string();
    assert_eq!(second.says("readlink /proc/self/ns/net; id -u"), format!("{own}\n0"));
}
