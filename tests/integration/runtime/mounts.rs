//! Mounts: the root as an overlay, binds, temporary filesystems, and links that want out.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use super::container::Container;
use crate::harness::require;

fn push(container: &mut Container, mount: Value) {
    container.config["mounts"].as_array_mut().unwrap().push(mount);
}

fn overlay(container: &mut Container, layers: usize) {
    let place = container.path("");
    for at in 0..layers {
        let layer = place.join(format!("layer-with-a-rather-long-name-{at}"));
        fs::create_dir_all(&layer).unwrap();
        fs::write(layer.join(format!("file-{at}")), "").unwrap();
    }
    for name in ["upper", "work", "bundle/merged"] {
        fs::create_dir_all(place.join(name)).unwrap();
    }
    let layers =
        (0..layers).map(|at| place.join(format!("layer-with-a-rather-long-name-{at}")).display().to_string());
    let lower: Vec<_> = layers.chain([container.rootfs().display().to_string()]).collect();
    let options = [
        format!("lowerdir={}", lower.join(":")),
        format!("upperdir={}", place.join("upper").display()),
        format!("workdir={}", place.join("work").display()),
    ];
    container.config["root"] = json!({"path": "merged", "readonly": false});
    let mount = json!({"destination": "/", "type": "overlay", "source": "overlay", "options": options});
    container.config["mounts"].as_array_mut().unwrap().insert(0, mount);
}

#[test]
fn the_root_is_an_overlay_that_only_the_container_has() {
    require!(root, busybox, overlay);
    let mut container = Container::new();
    overlay(&mut container, 1);
    assert_eq!(
        container.says("ls -d /file-*; echo x > /written; grep -c ' / overlay ' /proc/mounts"),
        "/file-0\n1"
    );
    assert!(container.path("upper/written").exists());
    assert!(!container.rootfs().join("written").exists());
    assert!(fs::read_dir(container.bundle().join("merged")).unwrap().next().is_none());
}

#[test]
fn a_hundred_and_twenty_eight_layers_are_not_too_many() {
    require!(root, busybox, overlay);
    let mut container = Container::new();
    overlay(&mut container, 127);
    assert_eq!(container.says("ls -d /file-* | wc -l"), "127");
}

#[test]
fn binds_are_read_only_or_not_as_asked() {
    require!(root, busybox);
    let mut container = Container::new();
    let volume = container.path("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "content\n").unwrap();
    container.config["root"]["readonly"] = json!(false);
    push(
        &mut container,
        json!({"destination": "/rw", "type": "bind", "source": volume, "options": ["rbind", "rw"]}),
    );
    push(
        &mut container,
        json!({"destination": "/ro", "type": "bind", "source": volume, "options": ["bind", "ro"]}),
    );
    let file = volume.join("file");
    push(
        &mut container,
        json!({"destination": "/etc/one", "type": "bind", "source": file, "options": ["bind"]}),
    );
    let said = container
        .says("cat /ro/file /etc/one; touch /ro/x 2>/dev/null || echo refused; touch /rw/made && ls /ro");
    assert_eq!(said, "content\ncontent\nrefused\nfile\nmade");
}

#[test]
fn what_is_mounted_below_a_recursively_read_only_bind_is_read_only() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    let options = json!(["rbind", "rro"]);
    push(
        &mut container,
        json!({"destination": "/host", "type": "bind", "source": "/dev", "options": options}),
    );
    let said = container.says("touch /host/shm/hythe-x 2>/dev/null || echo refused");
    assert_eq!(said, "refused");
}

#[test]
fn a_temporary_filesystem_has_its_options() {
    require!(root, busybox);
    let mut container = Container::new();
    let options = json!(["nosuid", "noexec", "size=1m", "mode=1770"]);
    push(
        &mut container,
        json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": options}),
    );
    container.config["root"]["readonly"] = json!(false);
    let said = container.says(
        "stat -c %a /scratch; dd if=/dev/zero of=/scratch/x bs=1M count=2 2>/dev/null || stat -c %s /scratch/x; \
         grep -c '/scratch tmpfs rw,nosuid,noexec' /proc/mounts",
    );
    assert_eq!(said, "1770\n1048576\n1");
}

#[test]
fn the_place_of_a_mount_cannot_lead_out_of_the_root() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    let outside = container.path("outside");
    let volume = container.path("volume");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("secret"), "inside\n").unwrap();
    symlink(&outside, container.rootfs().join("absolute")).unwrap();
    symlink("../../../../../../../..", container.rootfs().join("climbing")).unwrap();
    let bind = |destination: &str| json!({"destination": destination, "type": "bind", "source": volume, "options": ["bind"]});
    push(&mut container, bind("/absolute/place"));
    push(&mut container, bind("/climbing/climbed"));
    assert_eq!(container.says("cat /absolute/place/secret /climbed/secret"), "inside\ninside");
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
}

#[test]
fn a_dangling_link_is_followed_inside() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    fs::create_dir(container.rootfs().join("etc")).unwrap();
    symlink("../run/systemd/resolve/stub-resolv.conf", container.rootfs().join("etc/resolv.conf")).unwrap();
    let file = container.path("resolv.conf");
    fs::write(&file, "nameserver 192.0.2.1\n").unwrap();
    let options = json!(["rbind", "ro"]);
    push(
        &mut container,
        json!({"destination": "/etc/resolv.conf", "type": "bind", "source": file, "options": options}),
    );
    assert_eq!(container.says("cat /etc/resolv.conf"), "nameserver 192.0.2.1");
}

#[test]
fn without_a_mount_namespace_the_mounts_are_the_callers_and_go_with_the_container() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|one| one["type"] != "mount");
    let mounted = |container: &Container| {
        let rootfs = container.rootfs().canonicalize().unwrap().display().to_string();
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
        text.lines().filter(|line| line.split(' ').nth(4).is_some_and(|at| at.starts_with(&rootfs))).count()
    };
    container.script("ls / | tr '\\n' ' '; sleep 1000");
    container.start();
    let mounts = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap();
    assert_eq!(mounts(&container.pid().to_string()), mounts("self"));
    assert!(mounted(&container) > 1);
    // A command has the container's root, not the caller's.
    let said = container.oci(&[
        "exec",
        &container.id,
        "sh",
        "-c",
        "ls / | tr '\\n' ' '; test -e /proc/1/exe && echo proc",
    ]);
    assert!(said.out.contains("bin dev proc") && said.out.ends_with("proc"), "{said:?}");
    assert!(!said.out.contains("home"), "{said:?}");
    assert_eq!(container.oci(&["delete", "--force", &container.id]).code, 0);
    assert_eq!(mounted(&container), 0);
    // Nor does anything stay of one that comes to its end, or never to its beginning.
    assert_eq!(container.script("exit 3").run().code, 3);
    assert_eq!(mounted(&container), 0);
    container.config["process"]["args"] = json!(["/no/such/program"]);
    assert_eq!(container.run().code, 127);
    assert_eq!(mounted(&container), 0);
}
