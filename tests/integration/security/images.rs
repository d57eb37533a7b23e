//! Images that were made to harm whoever unpacks or runs them.

use std::fs;

use hythe::image::manifest::Compression;
use serde_json::{Value, json};

use crate::harness::{
    Instance, images, require,
    stage::{container, definition, word},
    tasks::with,
};

/// Loads an image whose layer is busybox and whose configuration is `config`; whether that worked.
fn load(instance: &Instance, name: &str, config: &Value) -> bool {
    let layout = instance.path(format!("evil-{name}"));
    let busybox = fs::read("/usr/bin/busybox").unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(busybox.len() as u64);
    builder.append_data(&mut header, "bin/sh", &busybox[..]).unwrap();
    let layer = builder.into_inner().unwrap();
    images::of_config(&layout, "latest", &[layer], Compression::None, config);
    instance.cli(&["image", "load", &format!("oci:{}", layout.display()), "--name", name]).code == 0
}

#[test]
fn a_configuration_that_makes_no_sense_fails_the_task_and_nothing_else() {
    require!(host, busybox);
    let instance = Instance::with_busybox("configs");
    let made = instance.path("made").display().to_string();
    let up = |path: &str| format!("/../../../../../../../..{path}");
    let inside = format!("cd {made} && pwd");
    let many: Vec<String> = (0..40_000).map(|number| format!("V{number}={}", "x".repeat(60))).collect();
    let configs = [
        ("zero-env", json!({ "Env": ["A=b\u{0}c"], "Cmd": ["/bin/sh", "-c", "true"] })),
        ("zero-cmd", json!({ "Cmd": ["/bin/sh\u{0}", "-c", "true"] })),
        ("zero-dir", json!({ "WorkingDir": "/\u{0}", "Cmd": ["/bin/sh", "-c", "true"] })),
        ("climbing-dir", json!({ "WorkingDir": up(&made), "Cmd": ["/bin/sh", "-c", "pwd"] })),
        ("up-dir", json!({ "WorkingDir": "../../../../../../etc", "Cmd": ["/bin/sh", "-c", "pwd"] })),
        ("huge-env", json!({ "Env": many, "Cmd": ["/bin/sh", "-c", "true"] })),
        (
            "huge-word",
            json!({ "Env": [format!("A={}", "x".repeat(200_000))], "Cmd": ["/bin/sh", "-c", "true"] }),
        ),
        ("up-user", json!({ "User": "../../etc/passwd", "Cmd": ["/bin/sh", "-c", "true"] })),
        ("up-volume", json!({ "Volumes": { (up(&made)): {} }, "Cmd": ["/bin/sh", "-c", inside] })),
    ];
    for (name, config) in configs {
        if !load(&instance, name, &config) {
            continue; // refused at the door is the best that can be
        }
        let mut app = with(container("app", ""), json!({ "image": name }));
        app.as_object_mut().unwrap().remove("command");
        let (id, task) = instance.ran(&definition(name, &[app]));
        let is_refused = word(&task, "stopCode") == "TaskFailedToStart";
        // What only climbs arrives at the top of the container.
        let is_held = ["up-volume", "climbing-dir"].contains(&name);
        let said = instance.said(&id, "app");
        assert!(is_refused && said.is_empty() || is_held && said.trim() == made, "{name}: {said} {task:#}");
        assert!(!word(&task, "stoppedReason").contains('\u{0}'), "{name}");
        assert!(!std::path::Path::new(&made).exists(), "{name}: made on the host");
    }
    assert_eq!(instance.says(&container("app", "echo well")), "well\n", "the daemon goes on");
}

#[test]
fn the_user_of_an_image_is_explained_as_the_images() {
    require!(host, busybox);
    let instance = Instance::with_busybox("image-user");
    assert!(load(&instance, "owned", &json!({ "User": "77:88" })));
    // The image has a shell and nothing to sleep with.
    let app = container("app", "trap 'exit 0' TERM; while :; do :; done");
    let id = instance.launch(&definition("owned", &[with(app, json!({ "image": "owned" }))]));
    instance.running(&id);
    let told = instance.cli(&["explain", &id]).ok();
    for part in ["USER 77:88 of the image", "uid 77, gid 88, no more groups; the same on the host"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_working_directory_with_dots_stays_inside() {
    require!(host, busybox);
    let instance = Instance::with_busybox("dots");
    let made = instance.path("made").display().to_string();
    let directory = format!("/../../../../tmp/../../../..{made}");
    let app = with(container("app", "pwd"), json!({ "workingDirectory": directory }));
    assert_eq!(instance.says(&app), format!("{made}\n"));
    assert!(!std::path::Path::new(&made).exists(), "it is made in the container and not on the host");
}

#[test]
fn hard_links_of_a_layer_link_nothing_outside_of_it() {
    require!(host, busybox);
    let instance = Instance::with_busybox("hard-links");
    let treasure = instance.path("treasure");
    fs::write(&treasure, "the treasure\n").unwrap();
    let inode = std::os::unix::fs::MetadataExt::nlink(&fs::metadata(&treasure).unwrap());
    let deep = format!("../../../../../../../../../../../..{}", treasure.display());
    let places = [
        ("absolute", treasure.display().to_string(), false),
        ("climbing", deep.clone(), false),
        ("through", format!("out{}", treasure.display()), true),
    ];
    for (number, (name, target, through)) in places.into_iter().cycle().take(6).enumerate() {
        let mut builder = tar::Builder::new(Vec::new());
        if through {
            let mut link = tar::Header::new_gnu();
            link.set_entry_type(tar::EntryType::Symlink);
            link.set_size(0);
            builder.append_link(&mut link, "out", "/").unwrap();
        }
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Link);
        link.set_size(0);
        link.set_link_name_literal(&target).unwrap();
        link.set_path("stolen").unwrap();
        link.set_cksum();
        builder.append(&link, std::io::empty()).unwrap();
        if number >= 3 {
            // Written after the link: where the link led outside, so would this.
            let mut file = tar::Header::new_gnu();
            file.set_mode(0o644);
            file.set_size(5);
            builder.append_data(&mut file, "stolen", &b"gone\n"[..]).unwrap();
        }
        let layout = instance.path(format!("layout-{number}"));
        images::of_tars(&layout, "latest", &[builder.into_inner().unwrap()], Compression::None);
        let _ = instance.cli(&[
            "image",
            "load",
            &format!("oci:{}", layout.display()),
            "--name",
            &format!("{name}-{number}"),
        ]);
        assert_eq!(fs::read_to_string(&treasure).unwrap(), "the treasure\n", "{name}");
        let now = std::os::unix::fs::MetadataExt::nlink(&fs::metadata(&treasure).unwrap());
        assert_eq!(now, inode, "{name}: no further name of it");
    }
}
