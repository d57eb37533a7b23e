//! Remounts, versions and labels.

use super::*;

/// The steps with these mounts instead.
fn with_mounts(mounts: Value) -> Result<String, String> {
    let mut value = full();
    value["mounts"] = mounts;
    plan_of(value, &host(HYBRID)).map(|(_, text)| text).map_err(|err| err.to_string())
}

#[test]
fn what_is_mounted_is_changed_in_its_turn_and_before_what_stays() {
    let text = with_mounts(json!([
        {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]},
        {"destination": "/data", "type": "none", "options": ["remount", "size=2m", "ro", "rnoexec"]},
        {"destination": "/data/x", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/proc", "options": ["remount", "bind", "nosuid"]},
        {"destination": "/", "options": ["remount", "ro"]},
    ]))
    .unwrap();
    let at =
        |line: &str| text.lines().position(|other| other == line).unwrap_or_else(|| panic!("{line}: {text}"));
    let order = [
        "mount tmpfs on /data with source=tmpfs,size=1m",
        "remount /data with size=2m, ro, all noexec",
        "mount tmpfs on /data/x with source=tmpfs",
        "remount /proc, nosuid",
        "make directory /srv/web",
        "remount /, ro",
        "mask /proc/kcore",
    ];
    assert!(order.map(at).is_sorted(), "{text}");
}

#[test]
fn what_is_to_stay_is_not_remounted() {
    let refusal = |destination: &str, options: Value| {
        with_mounts(json!([{"destination": destination, "options": options}])).unwrap_err()
    };
    let stays = "mounts[0].options: \"remount\" is of a path that is to stay masked or read-only";
    for path in ["/proc/kcore", "/proc/sys", "/proc/sys/kernel", "/proc/./x/../sys/kernel"] {
        assert_eq!(refusal(path, json!(["remount", "rw"])), stays, "{path}");
    }
    assert!(with_mounts(json!([{"destination": "/proc/system", "options": ["remount", "rw"]}])).is_ok());
    for (option, name) in [("tmpcopyup", "tmpcopyup"), ("ridmap", "idmap")] {
        let said = refusal("/data", json!(["remount", option]));
        assert_eq!(said, format!("mounts[0].options: {name:?} is for a new mount, not for remount"));
    }
    let mut shared = full();
    shared["linux"]["namespaces"] = json!([{"type": "pid"}]);
    shared.as_object_mut().unwrap().remove("hostname");
    shared["linux"].as_object_mut().unwrap().remove("sysctl");
    shared["mounts"] = json!([{"destination": "/data", "options": ["remount"]}]);
    let said = plan_of(shared, &host(HYBRID)).unwrap_err().to_string();
    assert!(said.starts_with("mounts[0].options: \"remount\" needs a mount namespace"), "{said}");
}

#[test]
fn versions_are_counted_where_the_filesystem_is_new() {
    let tmpfs =
        |options: Value| json!([{"destination": "/d", "type": "tmpfs", "source": "t", "options": options}]);
    let text = with_mounts(tmpfs(json!(["iversion", "sync"]))).unwrap();
    assert!(text.contains("mount tmpfs on /d with source=t,sync, counting versions\n"), "{text}");
    let text = with_mounts(tmpfs(json!(["noiversion"]))).unwrap();
    assert!(text.contains("mount tmpfs on /d with source=t, not counting versions\n"), "{text}");
    for (destination, options) in [
        ("/d", json!(["bind", "iversion"])),
        ("/d", json!(["remount", "iversion"])),
        ("/", json!(["iversion"])),
    ] {
        let mount = json!([{"destination": destination, "type": "tmpfs", "source": "t", "options": options}]);
        let said = with_mounts(mount).unwrap_err();
        let sentence = "mounts[0].options: \"iversion\" is for a filesystem that is new and not the root";
        assert_eq!(said, sentence);
    }
}

const LABEL: &str = "system_u:object_r:container_file_t:s0:c1,c2";

fn labelled(change: impl FnOnce(&mut Value)) -> Value {
    let mut value = full();
    value["linux"]["mountLabel"] = json!(LABEL);
    for (at, fstype) in ["mqueue", "devpts", "sysfs", "ramfs"].into_iter().enumerate() {
        let mount = json!({"destination": format!("/m{at}"), "type": fstype, "source": fstype});
        value["mounts"].as_array_mut().unwrap().push(mount);
    }
    change(&mut value);
    value
}

#[test]
fn new_filesystems_are_labelled_where_they_can_be() {
    let (_, text) = plan_of(labelled(|_| {}), &host(HYBRID)).unwrap();
    let with_label: Vec<_> = text.lines().filter(|line| line.contains(LABEL)).collect();
    let context = format!("context={LABEL}");
    assert_eq!(
        with_label,
        [
            format!(
                "mount overlay as the root filesystem with lowerdir+=/l/1,lowerdir+=/l/2,upperdir=/u,workdir=/w,userxattr,{context}"
            ),
            format!("mount tmpfs on /dev with source=tmpfs,mode=755,{context}, nosuid"),
            format!("mount tmpfs on /sys/fs/cgroup with mode=755,{context}, nosuid"),
            format!("mount mqueue on /m0 with source=mqueue,{context}"),
            format!("mount devpts on /m1 with source=devpts,{context}"),
            format!("mount ramfs on /m3 with source=ramfs,{context}"),
        ]
    );
    // One that has a label of its own keeps it; within one string of options it is quoted, because it has a comma.
    let own = labelled(|value| value["mounts"][2]["options"] = json!(["context=own"]));
    assert!(plan_of(own, &host(HYBRID)).unwrap().1.contains("on /dev with source=tmpfs,context=own\n"));
    let old = Host { kernel: (6, 6), ..host(HYBRID) };
    let (_, text) = plan_of(labelled(|_| {}), &old).unwrap();
    assert!(text.contains(&format!("userxattr,context=\"{LABEL}\"\n")), "{text}");
}

#[test]
fn in_a_user_namespace_fewer_filesystems_take_a_label() {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    let apart = labelled(|value| {
        value["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        value["linux"]["uidMappings"] = map.clone();
        value["linux"]["gidMappings"] = map.clone();
    });
    let (_, text) = plan_of(apart, &host(HYBRID)).unwrap();
    for (place, is_labelled) in [("/m0", false), ("/m1", true), ("/m2", false), ("/m3", true)] {
        let line = text.lines().find(|line| line.contains(&format!(" on {place} "))).unwrap();
        assert_eq!(line.contains(LABEL), is_labelled, "{line}");
    }
}

#[test]
fn a_label_that_the_host_does_not_know_is_refused() {
    let without = Host { has_selinux: false, ..host(HYBRID) };
    let said = plan_of(labelled(|_| {}), &without).unwrap_err().to_string();
    assert_eq!(said, "linux.mountLabel: this host has no SELinux");
}
