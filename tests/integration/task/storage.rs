//! How much a task may write, where the file system of the state directory counts projects.

use std::{fs, path::Path};

use hythe::{
    kernel::quota::project_of,
    shim::storage::{self, Storage},
};
use serde_json::{Value, json};

use crate::harness::{
    Instance, disk, images,
    instance::Wish,
    require,
    stage::{container, definition, one, stays, word},
    tasks::with,
    wait_for,
};

fn instance(name: &str, disk: &'static str) -> Instance {
    let config = "[images]\npull_policy = \"prefer-cached\"\n".to_owned();
    let instance = Instance::start_with(name, Wish { config, disk: Some(disk), ..Wish::default() });
    instance.load(&images::busybox(), "busybox");
    instance
}

/// A task that may write 21 GiB, the least that ECS takes.
fn held(family: &str, script: &str) -> Value {
    // With memory for what is on its way to a slow disk.
    let volume = json!({ "memory": 256, "mountPoints": [{ "sourceVolume": "v", "containerPath": "/v" }] });
    let app = with(container("app", script), volume);
    let more = json!({ "ephemeralStorage": { "sizeInGiB": 21 }, "volumes": [{ "name": "v" }] });
    with(definition(family, &[app]), more)
}

/// The projects that have a limit.
fn limited(state: &Path) -> Vec<u32> {
    let storage = Storage::of(state).unwrap().expect("a file system that counts projects");
    storage.limited(1..u32::MAX).unwrap()
}

fn fills_its_own_and_no_more(disk: &'static str) {
    let instance = instance(disk, disk);
    let neighbour = instance.launch(&held("neighbour", &stays("until test -e /v/go; do sleep 0.1; done; dd if=/dev/zero of=/v/file bs=1M count=64 2>&1 && rm /v/file && echo wrote")));
    // What it says is counted too, so that it makes room before it says it; memory is not. xfs takes gigabytes at a time,
    // so that the refused ones leave room for some more.
    let script = "fallocate -l 40G /big 2>/dev/shm/why; a=$?
        for s in 4G 512M 64M 8M; do n=0; while fallocate -l $s /big-$s-$n 2>/dev/null; do n=$((n + 1)); done; done
        dd if=/dev/zero of=/more bs=1M count=64 2>/dev/null; b=$?
        dd if=/dev/zero of=/v/more bs=1M count=64 2>/dev/null; c=$?; rm -f /big* /more /v/more
        cat /dev/shm/why; echo root $a $b volume $c";
    let greedy = instance.launch(&held("greedy", script));
    let task = instance.stopped(&greedy);
    let said = instance.said(&greedy, "app");
    assert!(said.contains("root 1 1 volume 1"), "{said}\n{task:#}");
    assert!(["quota exceeded", "No space left"].iter().any(|why| said.contains(why)), "{said}");
    assert_eq!(task["ephemeralStorage"]["sizeInGiB"], 21);
    assert!(instance.stored(&greedy)["notEnforced"].as_array().is_none_or(Vec::is_empty), "{task:#}");

    fs::write(instance.path("state/tasks").join(&neighbour).join("volumes/v/go"), "").unwrap();
    instance.printed(&neighbour, "app", "wrote");
    let state = instance.path("state");
    wait_for("the end of the first task's limit", crate::harness::PATIENCE, || {
        (limited(&state).len() == 1).then_some(())
    });
    instance.stop(&neighbour);
    wait_for("the end of all limits", crate::harness::PATIENCE, || limited(&state).is_empty().then_some(()));
    assert_eq!(storage::used(&state.join("logs").join(&greedy)), None, "logs outlive what counted them");
}

#[test]
fn a_task_that_fills_its_storage_leaves_its_neighbour_room_on_ext4() {
    require!(host, busybox, ext4_quota);
    fills_its_own_and_no_more("ext4");
}

#[test]
fn a_task_that_fills_its_storage_leaves_its_neighbour_room_on_xfs() {
    require!(host, busybox, xfs_quota);
    fills_its_own_and_no_more("xfs");
}

#[test]
fn a_limit_whose_task_is_gone_is_taken_away_at_the_next_start() {
    require!(host, busybox, ext4_quota);
    let mut instance = instance("orphan", "ext4");
    let id = instance.launch(&held("orphan", &stays("echo up")));
    instance.printed(&id, "app", "up");
    let state = instance.path("state");
    assert_eq!(limited(&state).len(), 1);
    instance.stop_daemon();
    let point = [("HYTHE_KILL_AT".to_owned(), "directory-removed".to_owned())];
    let mut dying = instance.spawn_daemon(&point);
    dying.ready().unwrap();
    let _ = instance.call("StopTask", json!({ "task": id }));
    let mut child = dying.child.take().unwrap();
    wait_for("the daemon's death", crate::harness::PATIENCE, || child.try_wait().unwrap());
    assert_eq!(limited(&state).len(), 1, "the directory is gone and its limit is not");
    instance.start_daemon();
    assert_eq!(limited(&state), [] as [u32; 0]);
    let task = instance.stopped(&id);
    assert_eq!(word(one(&task, "app"), "lastStatus"), "STOPPED");
}

#[test]
fn a_limit_that_somebody_else_has_set_is_passed_over_and_left_alone_and_told() {
    require!(host, busybox, ext4_quota);
    let mut instance = instance("foreign", "ext4");
    let state = instance.path("state");
    let id = instance.launch(&held("foreign", &stays("echo up")));
    instance.printed(&id, "app", "up");
    let own = limited(&state)[0];
    let other = Storage::of(&state).unwrap().unwrap();
    other.limit(own + 1, 1 << 30).unwrap();
    // Used, whether it is limited or not: what comes next goes further.
    let second = instance.launch(&held("second", &stays("echo up")));
    instance.printed(&second, "app", "up");
    assert_eq!(limited(&state), [own, own + 1, own + 2]);
    let said =
        |instance: &Instance| instance.cli(&["doctor"]).out.contains("1 of this instance's project ids");
    assert!(said(&instance));
    instance.stop_daemon();
    instance.start_daemon();
    for task in [&id, &second] {
        instance.stop(task);
    }
    wait_for("the end of its own limits", crate::harness::PATIENCE, || {
        (limited(&state) == [own + 1]).then_some(())
    });
    other.release(own + 1).unwrap();
    assert!(!said(&instance));
}

#[test]
fn what_is_made_in_a_counted_directory_is_counted_until_that_is_over() {
    require!(root, xfs);
    let folder = tempfile::tempdir().unwrap();
    let (at, file) = (folder.path().join("disk"), folder.path().join("file"));
    fs::create_dir(&at).unwrap();
    disk::file_system("xfs", &file, 512 << 20, "noquota", &at).unwrap();
    let logs = at.join("logs");
    fs::create_dir(&logs).unwrap();
    storage::count(&logs, 7).unwrap();
    let deep = logs.join("deep");
    fs::create_dir(&deep).unwrap();
    fs::write(deep.join("log"), "a line").unwrap();
    std::os::unix::fs::symlink("/etc", deep.join("link")).unwrap();
    fs::write(at.join("other"), "").unwrap();
    let project = |path: &Path| project_of(fs::File::open(path).unwrap()).unwrap();
    let all = [logs.clone(), deep.clone(), deep.join("log"), at.join("other")];
    assert_eq!(all.each_ref().map(|path| project(path)), [7, 7, 7, 0]);
    fs::rename(deep.join("log"), deep.join("log.1")).unwrap();
    storage::discount(&logs).unwrap();
    storage::discount(&logs).unwrap();
    storage::discount(&at.join("missing")).unwrap();
    fs::write(deep.join("log"), "another").unwrap();
    let all = [logs.clone(), deep.clone(), deep.join("log"), deep.join("log.1")];
    assert_eq!(all.each_ref().map(|path| project(path)), [0; 4]);
    assert_eq!(storage::used(&logs), None);
    assert!(Storage::of(&at).unwrap().is_none(), "a project is not held to anything here");
    nix::mount::umount2(&at, nix::mount::MntFlags::empty()).unwrap();
}
