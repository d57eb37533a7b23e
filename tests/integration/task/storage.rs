//! Volumes: whose they are and how long they live.

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    tasks::{directory, document, shell, with},
};

fn mounting(container: Value, volume: &str, path: &str) -> Value {
    with(container, json!({ "mountPoints": [{ "sourceVolume": volume, "containerPath": path }] }))
}

#[test]
fn a_host_path_is_the_hosts_own_directory() {
    require!(host, busybox);
    let instance = Instance::start("hostpath");
    let path = directory(&instance, "data");
    std::fs::write(path.join("in"), "from the host\n").expect("a file of the host");
    let container =
        mounting(shell("main", "cat /data/in; echo from the container > /data/out"), "data", "/data");
    let arn = instance.run(with(
        document("hostpath", &[container]),
        json!({ "volumes": [{ "name": "data", "host": { "sourcePath": path } }] }),
    ));
    instance.stopped(&arn);
    assert_eq!(instance.output(&arn, "main"), "from the host\n");
    assert_eq!(
        std::fs::read_to_string(path.join("out")).expect("the container's file"),
        "from the container\n"
    );
}

#[test]
fn a_read_only_mount_point_takes_no_writes() {
    require!(host, busybox);
    let instance = Instance::start("romount");
    let path = directory(&instance, "data");
    let container = with(
        shell("main", "touch /data/x 2>&1 || true"),
        json!({ "mountPoints": [{ "sourceVolume": "data", "containerPath": "/data", "readOnly": true }] }),
    );
    let arn = instance.run(with(
        document("romount", &[container]),
        json!({ "volumes": [{ "name": "data", "host": { "sourcePath": path } }] }),
    ));
    instance.stopped(&arn);
    assert!(instance.output(&arn, "main").contains("Read-only file system"));
}

#[test]
fn a_volume_of_the_task_is_shared_and_goes_with_it() {
    require!(host, busybox);
    let instance = Instance::start("scoped");
    let writer = with(
        mounting(shell("writer", "echo shared > /a/file"), "scratch", "/a"),
        json!({ "essential": false }),
    );
    let reader = with(
        shell("reader", "cat /a/file; touch /a/x 2>&1 || true"),
        json!({
            "volumesFrom": [{ "sourceContainer": "writer", "readOnly": true }],
            "dependsOn": [{ "containerName": "writer", "condition": "SUCCESS" }],
        }),
    );
    let volumes = json!({ "volumes": [{ "name": "scratch" }] });
    let arn = instance.run(with(document("scoped", &[writer, reader]), volumes));
    instance.stopped(&arn);
    let said = instance.output(&arn, "reader");
    assert!(said.starts_with("shared\n") && said.contains("Read-only file system"), "{said}");
    instance.nothing_is_left();
}

#[test]
fn a_named_volume_outlives_its_task() {
    require!(host, busybox);
    let instance = Instance::start("named");
    let volumes = json!({ "volumes": [{
        "name": "kept",
        "dockerVolumeConfiguration": { "scope": "shared", "autoprovision": true, "driver": "local" },
    }] });
    let run = |line: &str| {
        let arn = instance
            .run(with(document("named", &[mounting(shell("main", line), "kept", "/kept")]), volumes.clone()));
        instance.stopped(&arn);
        instance.output(&arn, "main")
    };
    run("echo once > /kept/file");
    assert_eq!(run("cat /kept/file"), "once\n");
}
