//! Containers that share their processes, one of which may trace others.

use std::{fs, process::Command};

use hythe::kernel::cgroup::{CgroupPath, Layout};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::harness::{
    Instance, PATIENCE, require,
    stage::{FOREVER, after, container, definition, one, word},
    tasks::with,
    wait_for,
};

/// How many containers are made beside the one that looks.
const MADE: usize = 8;

/// A container that looks into every process it finds, for as long as it may.
fn looking(instance: &Instance) -> Value {
    let layer = instance.path("layer");
    fs::create_dir_all(layer.join("bin")).unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/security/watch.c");
    let made = Command::new("cc").args(["-static", "-o"]).arg(layer.join("bin/watch")).arg(source).status();
    assert!(made.unwrap().success());
    instance.load_packed(&layer, "watch", &[]);
    let secret = instance.path("secret");
    fs::write(&secret, "outside\n").unwrap();
    with(
        container("watch", ""),
        json!({
            "image": "watch",
            "command": ["/bin/watch", secret],
            "linuxParameters": { "capabilities": { "add": ["SYS_PTRACE"] } },
        }),
    )
}

#[test]
fn who_may_trace_others_finds_nothing_of_the_host_while_its_siblings_are_made() {
    require!(host, busybox, compiler);
    let instance = Instance::with_busybox("siblings");
    let looking = looking(&instance);
    for users in ["userns:host", "userns:task"] {
        let looking = with(looking.clone(), json!({ "dockerSecurityOptions": [users] }));
        watched(&instance, users, looking);
    }
}

/// Makes containers and later processes beside one that looks, which must find nothing.
fn watched(instance: &Instance, users: &str, looking: Value) {
    let mut containers = vec![looking, with(container("stays", FOREVER), after("watch", "START"))];
    let mut before = "stays".to_owned();
    for number in 0..MADE {
        let name = format!("made{number}");
        let condition = if number == 0 { "START" } else { "COMPLETE" };
        let made = with(container(&name, "sleep 0.05"), json!({ "essential": false }));
        containers.push(with(made, after(&before, condition)));
        before = name;
    }
    let document = with(definition("siblings", &containers), json!({ "pidMode": "task" }));
    let id = instance.launch(&document);
    instance.printed(&id, "watch", "looking");
    instance.until(&id, "the last one's end", |task| {
        (one(task, &before)["lastStatus"] == "STOPPED").then_some(())
    });
    // Later processes of one that cannot trace, in the same pid namespace.
    for _ in 0..MADE {
        instance.cli(&["exec", &id, "stays", "--", "true"]).ok();
    }
    assert_eq!(instance.said(&id, "watch"), "looking\n", "{users}");
    // Nobody is left standing still.
    let frozen = instance.cgroup_file(&format!("{id}/watch"), ("freezer", "freezer.state"), "cgroup.freeze");
    assert!(["THAWED", "0"].contains(&frozen.as_str()), "{users}: {frozen}");
    instance.api("StopTask", json!({ "task": id }));
    instance.stopped(&id);
}

#[test]
fn a_sibling_that_stands_still_when_the_shim_is_killed_goes_with_the_task() {
    require!(host, busybox);
    let instance = Instance::with_busybox("still");
    let document = with(
        definition("still", &[container("app", FOREVER), container("other", FOREVER)]),
        json!({ "pidMode": "task" }),
    );
    let id = instance.launch(&document);
    instance.running(&id);
    let app = instance.pid(&id, "app");
    let status = fs::read_to_string(format!("/proc/{app}/status")).unwrap();
    let shim = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    // As the shim leaves it that dies between stopping a container and letting it go on.
    let path = instance.groups().task(&id).join("app");
    let path = CgroupPath::parse(path.to_str().unwrap()).unwrap();
    Layout::detect().unwrap().group(&path).freeze().unwrap();
    kill(Pid::from_raw(shim), Signal::SIGKILL).unwrap();
    let task = instance.stopped(&id);
    assert_ne!(word(&task, "stoppedReason"), "", "{task:#}");
    wait_for("the end of what stood still", PATIENCE, || {
        (!fs::exists(format!("/proc/{app}")).unwrap()).then_some(())
    });
    instance.nothing_is_left();
}
