//! Volumes, mount points, memory file systems, the read-only root.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    stage::{FOREVER, after, container, definition, one, word},
    tasks::with,
};

fn mounting(container: Value, volume: &str, path: &str) -> Value {
    with(container, json!({ "mountPoints": [{ "sourceVolume": volume, "containerPath": path }] }))
}

fn optional(container: Value) -> Value {
    with(container, json!({ "essential": false }))
}

#[test]
fn a_path_of_the_host_is_seen_and_written_inside() {
    require!(host, busybox);
    let instance = Instance::with_busybox("host-path");
    let place = instance.path("place");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("in"), "from outside\n").unwrap();
    let app = mounting(container("app", "cat /v/in; echo from inside >/v/out"), "v", "/v");
    let volume = json!({ "volumes": [{ "name": "v", "host": { "sourcePath": place } }] });
    assert_eq!(instance.says_in(&with(definition("host", &[app]), volume)), "from outside\n");
    assert_eq!(fs::read_to_string(place.join("out")).unwrap(), "from inside\n");
}

#[test]
fn a_path_of_the_host_that_is_missing_is_made_and_stays() {
    require!(host, busybox);
    let instance = Instance::with_busybox("made");
    let place = instance.path("made/deep");
    let app = mounting(container("app", "echo kept >/v/out"), "v", "/v");
    let volume = json!({ "volumes": [{ "name": "v", "host": { "sourcePath": place } }] });
    instance.says_in(&with(definition("made", &[app]), volume));
    assert_eq!(fs::read_to_string(place.join("out")).unwrap(), "kept\n");
}

#[test]
fn a_single_file_of_the_host_can_be_mounted() {
    require!(host, busybox);
    let instance = Instance::with_busybox("file");
    let file = instance.path("one.conf");
    fs::write(&file, "the file\n").unwrap();
    let app = mounting(container("app", "cat /etc/deep/one.conf"), "v", "/etc/deep/one.conf");
    let volume = json!({ "volumes": [{ "name": "v", "host": { "sourcePath": file } }] });
    assert_eq!(instance.says_in(&with(definition("file", &[app]), volume)), "the file\n");
}

#[test]
fn a_volume_of_the_task_is_shared_by_its_containers_and_goes_with_it() {
    require!(host, busybox);
    let instance = Instance::with_busybox("task-volume");
    let writer = optional(mounting(container("writer", "echo shared >/data/file"), "v", "/data"));
    let reader =
        with(mounting(container("reader", "cat /other/file"), "v", "/other"), after("writer", "SUCCESS"));
    for volume in
        [json!({ "name": "v" }), json!({ "name": "v", "dockerVolumeConfiguration": { "scope": "task" } })]
    {
        let document = definition("task-volume", &[reader.clone(), writer.clone()]);
        assert_eq!(instance.says_in(&with(document, json!({ "volumes": [volume] }))), "shared\n");
    }
    instance.nothing_is_left();
}

#[test]
fn a_named_volume_outlives_its_tasks() {
    require!(host, busybox);
    let instance = Instance::with_busybox("named");
    let volume = json!({ "volumes": [{ "name": "keep",
        "dockerVolumeConfiguration": { "scope": "shared", "autoprovision": true } }] });
    let run = |script: &str| {
        let app = mounting(container("app", script), "keep", "/data");
        instance.says_in(&with(definition("named", &[app]), volume.clone()))
    };
    run("echo first >>/data/log");
    assert_eq!(run("echo second >>/data/log; cat /data/log"), "first\nsecond\n");
}

#[test]
fn a_named_volume_that_is_missing_fails_the_task_unless_it_is_made() {
    require!(host, busybox);
    let instance = Instance::with_busybox("unmade");
    let volume =
        json!({ "volumes": [{ "name": "nowhere", "dockerVolumeConfiguration": { "scope": "shared" } }] });
    let app = mounting(container("app", "true"), "nowhere", "/data");
    let (_, task) = instance.ran(&with(definition("unmade", &[app]), volume));
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    assert!(word(&task, "stoppedReason").contains("nowhere"), "{task:#}");
    instance.nothing_is_left();
}

#[test]
fn a_read_only_mount_point_cannot_be_written() {
    require!(host, busybox);
    let instance = Instance::with_busybox("read-only");
    let place = instance.path("place");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("in"), "safe\n").unwrap();
    let script =
        "cat /v/in; echo no >/v/in; echo no >/v/new; mount -o remount,rw /v 2>/dev/null; rm -f /v/in; true";
    let app = with(
        container("app", script),
        json!({ "mountPoints": [{ "sourceVolume": "v", "containerPath": "/v", "readOnly": true }] }),
    );
    let volume = json!({ "volumes": [{ "name": "v", "host": { "sourcePath": place } }] });
    let said = instance.says_in(&with(definition("read-only", &[app]), volume));
    assert!(said.starts_with("safe\n") && said.contains("Read-only file system"), "{said}");
    assert_eq!(fs::read_to_string(place.join("in")).unwrap(), "safe\n");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
}

#[test]
fn volumes_are_taken_from_another_container() {
    require!(host, busybox);
    let instance = Instance::with_busybox("volumes-from");
    let source = optional(mounting(container("source", "echo theirs >/data/file"), "v", "/data"));
    let from =
        |read_only: bool| json!({ "volumesFrom": [{ "sourceContainer": "source", "readOnly": read_only }] });
    let reader = |read_only| {
        let script = "cat /data/file; touch /data/new && echo written";
        with(with(container("reader", script), from(read_only)), after("source", "SUCCESS"))
    };
    let volumes = json!({ "volumes": [{ "name": "v" }] });
    let document = with(definition("from", &[reader(false), source.clone()]), volumes.clone());
    assert_eq!(instance.says_in(&document), "theirs\nwritten\n");
    let (id, task) = instance.ran(&with(definition("from", &[reader(true), source]), volumes));
    assert_eq!(one(&task, "reader")["exitCode"], 1, "{task:#}");
    let said = instance.said(&id, "reader");
    assert!(said.starts_with("theirs\n") && said.contains("Read-only"), "{said}");
}

#[test]
fn a_memory_file_system_has_its_size_and_options() {
    require!(host, busybox);
    let instance = Instance::with_busybox("tmpfs");
    let script = "grep ' /scratch ' /proc/mounts; dd if=/dev/zero of=/scratch/big bs=1M count=9 2>&1; df -k /scratch; true";
    let tmpfs = json!({ "containerPath": "/scratch", "size": 8, "mountOptions": ["noexec", "nosuid"] });
    let said =
        instance.says(&with(container("app", script), json!({ "linuxParameters": { "tmpfs": [tmpfs] } })));
    assert!(said.contains("tmpfs") && said.contains("noexec") && said.contains("nosuid"), "{said}");
    assert!(said.contains("size=8192k") && said.contains("No space left"), "{said}");
}

#[test]
fn a_read_only_root_leaves_volumes_and_memory_writable() {
    require!(host, busybox);
    let instance = Instance::with_busybox("root");
    let script = "echo x >/etc/new; echo x >/v/new && echo volume; echo x >/run/new && echo memory; \
                  echo x >/dev/shm/new && echo shm; mount -o remount,rw / 2>/dev/null; echo x >/etc/new; true";
    let app = with(
        mounting(container("app", script), "v", "/v"),
        json!({
            "readonlyRootFilesystem": true,
            "linuxParameters": { "tmpfs": [{ "containerPath": "/run", "size": 1 }] },
        }),
    );
    let said = instance.says_in(&with(definition("root", &[app]), json!({ "volumes": [{ "name": "v" }] })));
    assert_eq!(said.matches("Read-only file system").count(), 2, "{said}");
    assert!(said.contains("volume\n") && said.contains("memory\n") && said.contains("shm\n"), "{said}");
}

#[test]
fn a_volume_that_an_image_declares_is_filled_with_what_the_image_has_there() {
    require!(host, busybox);
    let instance = Instance::with_busybox("declared");
    let directory = instance.path("layer");
    fs::create_dir_all(directory.join("srv/data")).unwrap();
    fs::write(directory.join("srv/data/seed"), "from the image\n").unwrap();
    instance.load_packed(&directory, "seeded", &["--volume", "/srv/data"]);
    let app = with(
        container("app", "grep -c ' /srv/data ' /proc/mounts; cat /srv/data/seed"),
        json!({ "image": "seeded" }),
    );
    assert_eq!(instance.says(&app), "1\nfrom the image\n");
}

#[test]
fn two_tasks_of_one_image_do_not_see_each_others_files() {
    require!(host, busybox);
    let instance = Instance::with_busybox("upper");
    let writer = instance.launch(&definition(
        "writer",
        &[container("app", &format!("echo mine >/etc/mine; echo up; {FOREVER}"))],
    ));
    instance.printed(&writer, "app", "up");
    assert_eq!(instance.says(&container("app", "ls /etc/mine 2>/dev/null || echo nothing")), "nothing\n");
}
