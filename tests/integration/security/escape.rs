//! Ways out that have worked somewhere once.

use std::{fs, os::unix::fs::symlink};

use nix::sys::statvfs::FsFlags;
use serde_json::{Value, json};

use crate::harness::{
    Instance, images, require,
    stage::{FOREVER, after, container, definition, word},
    tasks::with,
};

/// A file outside of every container, and its name.
fn treasure(instance: &Instance) -> std::path::PathBuf {
    let path = instance.path("treasure");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("word"), "the treasure\n").unwrap();
    path
}

#[test]
fn a_mount_point_over_a_link_of_the_image_stays_inside() {
    require!(host, busybox);
    let instance = Instance::with_busybox("link");
    let place = treasure(&instance);
    let layer = instance.path("layer");
    fs::create_dir_all(layer.join("srv")).unwrap();
    symlink(&place, layer.join("srv/absolute")).unwrap();
    symlink("../../../../../../../..".to_owned() + place.to_str().unwrap(), layer.join("srv/relative"))
        .unwrap();
    symlink("/proc/self/root", layer.join("srv/magic")).unwrap();
    instance.load_packed(&layer, "links", &[]);
    for link in [
        "/srv/absolute",
        "/srv/relative",
        "/srv/absolute/deeper",
        "/srv/magic/tmp/x",
        "/srv/../../../../tmp/y",
    ] {
        let points =
            json!({ "mountPoints": [{ "sourceVolume": "v", "containerPath": link }], "image": "links" });
        let app = with(container("app", &format!("echo mine >{link}/mine; ls {link}")), points);
        let document = with(definition("link", &[app]), json!({ "volumes": [{ "name": "v" }] }));
        let (id, task) = instance.ran(&document);
        let said = instance.said(&id, "app");
        assert!(!said.contains("word"), "{link}: {said} {task:#}");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1, "{link}: nothing was written outside");
        let is_refused = task["stopCode"] == "TaskFailedToStart";
        assert!(is_refused || said == "mine\n", "{link}: {said} {task:#}");
    }
}

#[test]
fn a_link_that_appears_in_a_shared_volume_does_not_lead_out() {
    require!(host, busybox);
    let instance = Instance::with_busybox("shared-link");
    let place = treasure(&instance);
    let on = |container: Value| {
        with(container, json!({ "mountPoints": [{ "sourceVolume": "v", "containerPath": "/v" }] }))
    };
    let plant = format!(
        "ln -s {} /v/out; ln -s /etc/shadow /v/shadow; ln -s ../../../../../../../../etc/hostname /v/up",
        place.display()
    );
    let writer = with(on(container("writer", &plant)), json!({ "essential": false }));
    let reader = on(container("reader", "cat /v/out/word /v/shadow; cat /v/up; hostname; true"));
    let document = with(
        definition("shared-link", &[with(reader, after("writer", "SUCCESS")), writer]),
        json!({ "volumes": [{ "name": "v" }] }),
    );
    let said = instance.says_in(&document);
    assert!(!said.contains("treasure"), "{said}");
    let names: Vec<&str> = said.lines().rev().take(2).collect();
    assert_eq!(names[0], names[1], "its own name, not the host's: {said}");
}

#[test]
fn a_container_cannot_mount_one_volume_through_a_link_in_another() {
    require!(host, busybox);
    let instance = Instance::with_busybox("through");
    let place = treasure(&instance);
    let shared = instance.path("shared");
    fs::create_dir(&shared).unwrap();
    symlink(&place, shared.join("inner")).unwrap();
    let points = json!({ "mountPoints": [
        { "sourceVolume": "outer", "containerPath": "/outer" },
        { "sourceVolume": "inner", "containerPath": "/outer/inner" },
        { "sourceVolume": "kept", "containerPath": "/outer/inner/kept" },
    ] });
    // Where the second volume is led out to the third one's source, the third is what is in the second.
    let app = with(
        container("app", "touch /outer/inner/mine; ls /outer/inner; cat /outer/inner/kept/word"),
        points,
    );
    let volumes = json!({ "volumes": [
        { "name": "outer", "host": { "sourcePath": shared } }, { "name": "inner" },
        { "name": "kept", "host": { "sourcePath": place } },
    ] });
    let said = instance.says_in(&with(definition("through", &[app]), volumes));
    assert_eq!(said, "kept\nmine\nthe treasure\n");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(place.join("word")).unwrap(), "the treasure\n");
}

#[test]
fn the_files_that_are_mounted_into_etc_do_not_follow_links_of_the_image() {
    require!(host, busybox);
    let instance = Instance::with_busybox("etc");
    let place = treasure(&instance);
    let layer = instance.path("layer");
    fs::create_dir_all(layer.join("etc")).unwrap();
    // Each to a file of its own, or the second would cover the first.
    fs::write(place.join("names"), "the treasure\n").unwrap();
    for (name, to) in [("resolv.conf", "names"), ("hostname", "word")] {
        symlink(place.join(to), layer.join("etc").join(name)).unwrap();
    }
    instance.load_packed(&layer, "etc", &[]);
    // Within the image the links dangle, so that is where the files are made; looked up on the host they would be that
    // one file, and there would be nothing inside.
    let look = "cat /etc/hostname; hostname; cat /etc/resolv.conf >/tmp/names && echo names";
    let app = with(container("app", look), json!({ "image": "etc" }));
    let (id, task) = instance.ran(&definition("etc", &[app]));
    let said = instance.said(&id, "app");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() == 3 && lines[0] == lines[1] && lines[2] == "names", "{said} {task:#}");
    assert_eq!(fs::read_to_string(place.join("word")).unwrap(), "the treasure\n");
}

#[test]
fn a_layer_with_links_that_lead_out_unpacks_inside() {
    require!(host, busybox);
    let instance = Instance::with_busybox("layer");
    let place = treasure(&instance);
    let mut builder = tar::Builder::new(Vec::new());
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "out", &place).unwrap();
    let mut file = tar::Header::new_gnu();
    file.set_mode(0o644);
    file.set_size(5);
    builder.append_data(&mut file, "out/word", &b"gone\n"[..]).unwrap();
    let escaping = builder.into_inner().unwrap();
    let layout = instance.path("layout");
    images::of_tars(&layout, "latest", &[escaping], hythe::image::manifest::Compression::None);
    let said = instance.cli(&["image", "load", &format!("oci:{}", layout.display()), "--name", "evil"]);
    assert_eq!(
        fs::read_to_string(place.join("word")).unwrap(),
        "the treasure\n",
        "{} {}",
        said.out,
        said.err
    );
    assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
}

#[test]
fn the_program_that_started_a_container_cannot_be_written_from_inside() {
    require!(host, busybox);
    let instance = Instance::with_busybox("exe");
    let id = instance.launch(&definition("exe", &[container("app", FOREVER)]));
    instance.running(&id);
    let said = instance.cli(&["exec", &id, "--", "/proc/self/exe", "--version"]);
    assert!(said.code != 0 && said.err.contains("the runtime's own executable"), "{} {}", said.out, said.err);
    // Whatever leads to the shim's program from a container leads to a mount that nothing is written through.
    let status = fs::read_to_string(format!("/proc/{}/status", instance.pid(&id, "app"))).unwrap();
    let shim = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
    let program = fs::File::open(format!("/proc/{shim}/exe")).unwrap();
    assert!(nix::sys::statvfs::fstatvfs(&program).unwrap().flags().contains(FsFlags::ST_RDONLY));
    assert_eq!(fs::read_to_string(format!("/proc/{shim}/comm")).unwrap(), "hythe\n");
    let own = with(container("own", ""), json!({ "command": ["/proc/self/exe"] }));
    let (_, task) = instance.ran(&definition("own", &[own]));
    assert_eq!(task["stopCode"], "TaskFailedToStart", "the runtime does not run as a container: {task:#}");
}

#[test]
fn names_that_look_like_paths_are_no_paths() {
    require!(host, busybox);
    let instance = Instance::with_busybox("paths");
    for bad in ["../../escape", "a/b", ".", "..", ""] {
        let named = with(container("app", "true"), json!({ "name": bad }));
        assert!(instance.call("RegisterTaskDefinition", definition("paths", &[named])).is_err(), "{bad:?}");
        assert!(
            instance.call("RegisterTaskDefinition", definition(bad, &[container("app", "true")])).is_err(),
            "{bad:?}"
        );
        let volume = json!({ "volumes": [{ "name": bad }] });
        let document = with(definition("paths", &[container("app", "true")]), volume);
        assert!(instance.call("RegisterTaskDefinition", document).is_err(), "{bad:?}");
    }
    for path in ["/hythe/v1/tasks/..%2f..%2fetc", "/hythe/v1/logs?task=../../etc"] {
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| instance.lines(path)));
        assert!(said.is_err(), "{path}");
    }
}

#[test]
fn a_task_cannot_be_told_to_mount_what_it_may_not_have_through_a_reason() {
    require!(host, busybox);
    let instance = Instance::with_busybox("text");
    let hostile = "line\nbreak \u{1b}[31m \"quote\" {} %s $(id)";
    let id = instance.launch(&definition("text", &[container("app", FOREVER)]));
    instance.running(&id);
    instance.api("StopTask", json!({ "task": id, "reason": hostile }));
    let task = instance.stopped(&id);
    assert_eq!(word(&task, "stoppedReason"), hostile);
    let shown = instance.cli(&["show", &id]).ok();
    assert!(!shown.contains('\u{1b}'), "what others wrote does not steer the terminal: {shown:?}");
}
