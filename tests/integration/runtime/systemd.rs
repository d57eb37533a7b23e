//! Control groups that systemd makes: a real bus with a manager that notes what it is asked, and the systemd of a host
//! that has one.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::json;

use super::container::{Container, Ran};
use crate::harness::{
    bus::{ADDRESS, Bus},
    groups::Driver,
    require,
};

fn oci(bus: &Bus, container: &Container, args: &[&str]) -> Ran {
    let mut command = container.command(&[]);
    command.arg("--systemd-cgroup").args(args).env(ADDRESS, bus.address());
    // Files, because a container that stays keeps the streams of whoever began it.
    let file = |name: &str| fs::File::create(container.path(name)).unwrap();
    let status = command.stdout(file("out")).stderr(file("err")).status().unwrap();
    let read = |name: &str| fs::read(container.path(name)).unwrap();
    Output { status, stdout: read("out"), stderr: read("err") }.into()
}

#[test]
fn a_scope_is_begun_changed_and_ended() {
    require!(root, busybox);
    let Some(bus) = Bus::begin() else { return };
    let mut container = Container::of(Driver::Files);
    let stem = container.cgroup.replace('-', "_");
    let unit = format!("box-{}.scope", container.id);
    container.config["linux"]["cgroupsPath"] = json!(format!("{stem}.slice:box:{}", container.id));
    container.config["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
    container.config["linux"]["resources"]["pids"] = json!({"limit": 50});
    container.script("sleep 1000");
    container.save();
    let bundle = container.bundle().display().to_string();
    let ran = oci(&bus, &container, &["run", "--detach", "--bundle", &bundle, &container.id]);
    assert_eq!(ran.code, 0, "{ran:?}");

    let begun = &bus.notes()[1];
    assert_eq!(begun["call"], "start");
    assert_eq!(begun["unit"], unit);
    assert_eq!(begun["Slice"], format!("{stem}.slice"));
    assert_eq!(
        (&begun["Delegate"], &begun["MemoryMax"], &begun["TasksMax"]),
        (&json!(true), &json!(64 << 20), &json!(50))
    );
    // The process it was begun with is gone, and the container's own is where the scope is.
    let placeholder = begun["PIDs"][0].as_i64().unwrap();
    assert!(!Path::new(&format!("/proc/{placeholder}")).exists());
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    assert!(groups.lines().all(|line| line.ends_with(&format!("/{stem}.slice/{unit}"))), "{groups}");

    let ran = oci(&bus, &container, &["update", "--pids-limit", "60", &container.id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(bus.notes().last().unwrap()["TasksMax"], 60);
    let ran = oci(&bus, &container, &["delete", "--force", &container.id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let calls: Vec<_> = bus.notes().iter().map(|note| note["call"].clone()).collect();
    assert_eq!(calls, ["ready", "start", "set", "stop", "reset"]);
    remove_slice(&stem);
}

#[test]
fn a_scope_that_does_not_come_to_be_is_told() {
    require!(root, busybox);
    let Some(bus) = Bus::begin() else { return };
    let mut container = Container::of(Driver::Files);
    let run = |container: &Container| {
        container.save();
        let bundle = container.bundle().display().to_string();
        oci(&bus, container, &["run", "--bundle", &bundle, &container.id])
    };
    container.config["linux"]["cgroupsPath"] = json!("/not/a/scope");
    assert_eq!(
        run(&container).err,
        "hythe oci: linux.cgroupsPath: \"/not/a/scope\" is not of the form slice:prefix:name"
    );
    container.config["linux"]["cgroupsPath"] = json!("a.slice:doomed:x");
    assert_eq!(run(&container).err, "hythe oci: systemd's job for doomed-x.scope ended as \"failed\"");
    assert_eq!(container.left(), Vec::<String>::new());
}

#[test]
fn the_systemd_of_this_host_makes_a_scope_keeps_its_limits_and_forgets_it() {
    require!(systemd, cgroup_v2, busybox, cgroup_memory, cgroup_cpu, cgroup_pids);
    let mut container = Container::of(Driver::Systemd);
    container.config["linux"]["resources"] = json!({
        "memory": {"limit": 64 << 20},
        "cpu": {"quota": 20_000, "period": 100_000},
        "pids": {"limit": 50},
    });
    container.script("sleep 1000");
    container.start();
    let group = container.group();
    let unit = group.file_name().unwrap().to_str().unwrap().to_owned();
    let shown = |what: &str| {
        let output = Command::new("systemctl").args(["show", "--value", "--property", what, &unit]).output();
        String::from_utf8_lossy(&output.unwrap().stdout).trim().to_owned()
    };
    let file = |name: &str| {
        let text = fs::read_to_string(Path::new("/sys/fs/cgroup").join(&group).join(name)).unwrap();
        text.trim().to_owned()
    };
    for (property, value) in [
        ("ActiveState", "active"),
        ("ControlGroup", &format!("/{}", group.display())),
        ("Slice", &container.cgroup),
        ("Delegate", "yes"),
        ("MemoryMax", &(64 << 20).to_string()),
        ("CPUQuotaPerSecUSec", "200ms"),
        ("TasksMax", "50"),
    ] {
        assert_eq!(shown(property), value, "{property}");
    }
    let ran = container.oci(&["update", "--pids-limit", "60", &container.id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(shown("TasksMax"), "60");
    // What systemd does not know, it would take back now.
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
    let limits = ["memory.max", "cpu.max", "pids.max"].map(file);
    assert_eq!(limits, [(64 << 20).to_string(), "20000 100000".into(), "60".into()]);
    assert_eq!(file("cgroup.procs"), container.pid().to_string());
    let ran = container.oci(&["delete", "--force", &container.id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(shown("LoadState"), "not-found");
}

/// The slice that the manager of this test does not make, and so does not remove either.
fn remove_slice(stem: &str) {
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let _ = fs::remove_dir(hierarchy.path().join(format!("{stem}.slice")));
    }
    let _ = fs::remove_dir(format!("/sys/fs/cgroup/{stem}.slice"));
}
