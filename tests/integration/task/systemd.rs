//! Tasks whose control groups systemd makes: with a manager that notes what it is asked, and with a real one.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::harness::{
    Instance, PATIENCE,
    bus::{ADDRESS, Bus},
    groups::Driver,
    images,
    instance::Wish,
    require,
    stage::{FOREVER, container, definition},
    wait_for,
};

fn by_systemd(address: Option<String>) -> Wish {
    let env = address.map(|address| (ADDRESS.to_owned(), address)).into_iter().collect();
    let config = "[containers]\npids_limit = 100\n[images]\npull_policy = \"prefer-cached\"\n".into();
    Wish { driver: Some(Driver::Systemd), env, config, ..Wish::default() }
}

/// The groups of a process, a line for each hierarchy.
fn groups_of(pid: i64) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn is_in(pid: i64, group: &Path) {
    let end = format!("/{}", group.display());
    let all = groups_of(pid);
    assert!(all.iter().all(|line| line.ends_with(&end)), "{end}: {all:?}");
}

#[test]
fn a_task_and_its_shim_have_a_scope_that_outlives_the_daemon_and_goes_with_them() {
    require!(host, busybox, cgroup_memory);
    let Some(bus) = Bus::begin() else { return };
    let mut instance = Instance::start_with("scope", by_systemd(Some(bus.address())));
    instance.load(&images::busybox(), "busybox");
    let id = instance.launch(&definition("scope", &[container("app", FOREVER)]));
    instance.running(&id);
    let (unit, slice) = (instance.groups().unit(&id), instance.groups().top());
    let begun = bus.notes().into_iter().find(|note| note["call"] == "start").unwrap();
    assert_eq!((&begun["unit"], &begun["Slice"]), (&json!(unit), &json!(slice)));
    assert_eq!((&begun["Delegate"], &begun["MemoryMax"]), (&json!(true), &Value::Null));
    let (shim, app) = (begun["PIDs"][0].as_i64().unwrap(), instance.pid(&id, "app"));
    is_in(shim, &Path::new(&slice).join(&unit).join("shim"));
    is_in(app.into(), &instance.groups().task(&id).join("app"));
    let hard = ("memory", "memory.limit_in_bytes");
    let limit = instance.cgroup_file(&format!("{id}/app"), hard, "memory.max");
    assert_eq!(limit, (64 << 20).to_string());

    // The next daemon may have been told otherwise: what began in a scope ends in it.
    instance.kill_daemon();
    let config = instance.path("hythe.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("cgroup_driver = \"systemd\"", "cgroup_driver = \"files\"")).unwrap();
    instance.start_daemon();
    instance.running(&id);
    assert_eq!(instance.pid(&id, "app"), app);
    instance.stop(&id);
    wait_for("the end of the scope", PATIENCE, || {
        bus.notes().iter().any(|note| note["call"] == "stop" && note["unit"] == *unit).then_some(())
    });
    wait_for("the end of its groups", PATIENCE, || instance.left_by_tasks().is_empty().then_some(()));

    // Neither the slice nor a group of the files' driver stays when the instance goes.
    instance.stop_daemon();
    let config = config.display().to_string();
    let mut down = instance.command(&["daemon", "--down", "--config", &config]);
    let ended = down.env(ADDRESS, bus.address()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(instance.all_groups(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_scope_that_is_refused_is_the_reason_of_the_task() {
    require!(host, busybox);
    let Some(bus) = Bus::begin() else { return };
    let instance = Instance::start_with("refused", by_systemd(Some(bus.address())));
    instance.load(&images::busybox(), "busybox");
    drop(bus);
    let (_, task) = instance.ran(&definition("refused", &[container("app", "exit 0")]));
    let reason = task["stoppedReason"].as_str().unwrap();
    assert!(reason.contains("connect to the system bus at "), "{task:#}");
}

#[test]
fn without_systemd_its_driver_is_refused_with_a_sentence() {
    require!(host);
    let mut instance = Instance::prepare("nobus", by_systemd(None));
    let nowhere = (ADDRESS.to_owned(), "unix:path=/nowhere/bus".to_owned());
    let why = instance.spawn_daemon(std::slice::from_ref(&nowhere)).ready().unwrap_err();
    assert!(why.contains("exit status: 1"), "{why}");
    let sentence = "[containers] has cgroup_driver = \"systemd\", and systemd makes no control groups here: connect \
                    to the system bus at /nowhere/bus: No such file or directory (os error 2); run systemd with dbus, \
                    or set cgroup_driver = \"files\"";
    let log = instance.log().replace("\\\"", "\"");
    assert!(log.contains(sentence), "{log}");
    let config = instance.path("hythe.toml").display().to_string();
    let mut doctor = instance.command(&["-o", "json", "doctor", "--config", &config]);
    let said: Value =
        serde_json::from_slice(&doctor.env(nowhere.0, nowhere.1).output().unwrap().stdout).unwrap();
    let findings = said["findings"].as_array().unwrap();
    let broken = |one: &&Value| one["subject"] == "cgroup" && one["verdict"] == "broken";
    let told = findings.iter().find(broken).unwrap_or_else(|| panic!("{said:#}"));
    assert!(told["message"].as_str().unwrap().contains("/nowhere/bus"), "{told:#}");
    assert!(told["remedy"].as_str().unwrap().contains("cgroup_driver = \"files\""), "{told:#}");
}

#[test]
fn the_systemd_of_this_host_knows_the_scope_and_leaves_what_is_below_it_alone() {
    require!(systemd, cgroup_v2, busybox, cgroup_memory, cgroup_cpu);
    let mut instance = Instance::start_with("manager", by_systemd(None));
    instance.load(&images::busybox(), "busybox");
    let mut document = definition("manager", &[container("app", FOREVER)]);
    document["cpu"] = json!("512");
    document["memory"] = json!("128");
    let id = instance.launch(&document);
    instance.running(&id);
    let (unit, slice) = (instance.groups().unit(&id), instance.groups().top());
    let shown = |what: &str| {
        let output = Command::new("systemctl").args(["show", "--value", "--property", what, &unit]).output();
        String::from_utf8_lossy(&output.unwrap().stdout).trim().to_owned()
    };
    let place = format!("/{slice}/{unit}");
    for (property, value) in
        [("ActiveState", "active"), ("ControlGroup", &place), ("Slice", &slice), ("Delegate", "yes")]
    {
        assert_eq!(shown(property), value, "{property}");
    }
    // What systemd thinks is its own, it would take back now.
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
    let none = ("none", "none");
    assert_eq!(instance.cgroup_file(&id, none, "memory.max"), (128 << 20).to_string());
    assert_eq!(instance.cgroup_file(&id, none, "cpu.max"), "50000 100000");
    let app = instance.pid(&id, "app");
    assert!(groups_of(app.into()).iter().any(|line| line.ends_with(&format!("{place}/task/app"))));

    instance.kill_daemon();
    instance.start_daemon();
    instance.running(&id);
    assert_eq!((shown("ActiveState").as_str(), instance.pid(&id, "app")), ("active", app));
    instance.stop(&id);
    wait_for("the end of the scope", PATIENCE, || (shown("LoadState") == "not-found").then_some(()));
    wait_for("the end of its groups", PATIENCE, || instance.left_by_tasks().is_empty().then_some(()));
}
