use super::*;

fn document(text: &str) -> Document {
    serde_json::from_str(text).unwrap()
}

fn name(text: &str) -> ContainerName {
    ContainerName::parse(text).unwrap()
}

fn volume(text: &str) -> VolumeName {
    VolumeName::parse(text).unwrap()
}

fn paths(mounts: &[VolumeMount]) -> Vec<&str> {
    mounts.iter().map(|mount| mount.destination.to_str().unwrap()).collect()
}

const TASK: &str = r#"{
    "family": "shop",
    "volumes": [
        {"name": "scratch", "host": {}},
        {"name": "etc", "host": {"sourcePath": "/srv/etc"}},
        {"name": "data", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": true}},
        {"name": "bound", "dockerVolumeConfiguration": {"driverOpts": {"type": "none", "o": "bind", "device": "/srv/x"}}},
        {"name": "far", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}
    ],
    "containerDefinitions": [
        {"name": "web", "image": "i", "mountPoints": [
            {"sourceVolume": "scratch", "containerPath": "/var/cache/web/deep"},
            {"sourceVolume": "etc", "containerPath": "/etc/web", "readOnly": true},
            {"sourceVolume": "data", "containerPath": "/var//cache/./web/"}]},
        {"name": "side", "image": "i", "mountPoints": [{"sourceVolume": "bound", "containerPath": "/etc/web"}],
            "volumesFrom": [{"sourceContainer": "web", "readOnly": true}]},
        {"name": "third", "image": "i", "volumesFrom": [{"sourceContainer": "side"}]},
        {"name": "wrong", "image": "i", "mountPoints": [{"sourceVolume": "far", "containerPath": "/far"}]}
    ]}"#;

#[test]
fn mounts_come_parents_first() {
    let mounts = mounts(&document(TASK), &name("web"), &ImageVolumes::new()).unwrap();
    assert_eq!(paths(&mounts), ["/etc/web", "/var/cache/web", "/var/cache/web/deep"]);
    assert_eq!(mounts[0].place, Place::Host("/srv/etc".into()));
    assert_eq!(mounts[1].place, Place::Shared { name: volume("data"), autoprovision: true });
    assert_eq!(mounts[2].place, Place::Task(volume("scratch")));
    assert_eq!(mounts.iter().map(|mount| mount.read_only).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn volumes_of_others_come_along_and_own_ones_win() {
    let document = document(TASK);
    let side = mounts(&document, &name("side"), &ImageVolumes::new()).unwrap();
    assert_eq!(paths(&side), ["/etc/web", "/var/cache/web", "/var/cache/web/deep"]);
    assert_eq!(side[0].place, Place::Host("/srv/x".into()));
    assert_eq!(side.iter().map(|mount| mount.read_only).collect::<Vec<_>>(), [false, true, true]);
    let third = mounts(&document, &name("third"), &ImageVolumes::new()).unwrap();
    assert_eq!(third, side, "what came along comes along again");
}

#[test]
fn a_volume_of_the_image_is_there_unless_something_else_is() {
    let declared = vec!["/var/lib/data".to_owned(), "/etc/web".to_owned()];
    let images = ImageVolumes::from([(name("web"), declared)]);
    let document = document(TASK);
    let web = mounts(&document, &name("web"), &images).unwrap();
    assert_eq!(paths(&web), ["/etc/web", "/var/cache/web", "/var/lib/data", "/var/cache/web/deep"]);
    let anonymous = Place::Image { container: name("web"), path: "/var/lib/data".into() };
    assert_eq!(web[2].place, anonymous);
    let side = mounts(&document, &name("side"), &images).unwrap();
    assert_eq!(side[2].place, anonymous, "both see the same files");
}

#[test]
fn volumes_from_each_other_end() {
    let document = document(
        r#"{"family": "f", "containerDefinitions": [
            {"name": "a", "image": "i", "volumesFrom": [{"sourceContainer": "b"}]},
            {"name": "b", "image": "i", "volumesFrom": [{"sourceContainer": "a"}]}]}"#,
    );
    assert_eq!(mounts(&document, &name("a"), &ImageVolumes::new()), Ok(Vec::new()));
}

#[test]
fn what_this_host_does_not_have_is_refused_by_name() {
    let refused = mounts(&document(TASK), &name("wrong"), &ImageVolumes::new()).unwrap_err();
    let said = "volume far is of the kind efsVolumeConfiguration, which this host does not have";
    assert_eq!(refused.to_string(), said);
    for (docker, said) in [
        (r#"{"driver": "rexray/ebs"}"#, "asks for the driver \"rexray/ebs\"; this host has only local"),
        (
            r#"{"driverOpts": {"type": "nfs", "o": "addr=192.0.2.1", "device": ":/x"}}"#,
            "driver options that are not",
        ),
    ] {
        let text = TASK.replace(
            r#""efsVolumeConfiguration": {"fileSystemId": "fs-1"}"#,
            &format!(r#""dockerVolumeConfiguration": {docker}"#),
        );
        let refused = mounts(&document(&text), &name("wrong"), &ImageVolumes::new()).unwrap_err();
        assert!(refused.to_string().contains(said), "{refused}");
    }
}

#[test]
fn a_destination_is_a_place_below_the_root() {
    for (given, clean_path) in [("/a/../b", "/b"), ("/../../etc", "/etc"), ("/a//b/./c/", "/a/b/c")] {
        assert_eq!(clean(given), Ok(PathBuf::from(clean_path)));
    }
    for wrong in ["", "a", "/", "/a/..", "./a"] {
        assert!(clean(wrong).is_err(), "{wrong}");
    }
}
