//! Commands that are run in a container which has prepared for them.

use nix::{fcntl::OFlag, sys::stat::Mode, unistd::Gid};
use serde_json::json;

use crate::harness::{
    Instance, PATIENCE, require,
    stage::{FOREVER, container, definition},
    tasks::with,
    wait_for,
};

#[test]
fn a_command_in_a_container_that_has_covered_its_own_files_is_held_all_the_same() {
    require!(host, busybox);
    let instance = Instance::with_busybox("hostile");
    let secret = instance.path("secret");
    let outside = "mallory:x:4711:4711::/:/bin/sh\n";
    std::fs::write(&secret, outside).unwrap();
    // Everything that a command's way in could trust: users, groups, numbers, terminals, the null device.
    let script = format!(
        "mkdir /own; mount -t tmpfs none /own; mkdir -p /own/self/fd /own/self/attr /own/sys/kernel /own/1/ns
         ln -s {secret} /own/self/status; ln -s / /own/self/cwd; ln -s {secret} /own/self/exe
         rm /etc/passwd /etc/group; ln -s {secret} /etc/passwd; mkfifo /etc/group
         mount --bind /own /proc; umount /dev/pts; mkdir -p /dev/pts; ln -s {secret} /dev/pts/ptmx
         rm /dev/null; ln -s {secret} /dev/null; echo ready",
        secret = secret.display()
    );
    let app = with(
        container("app", &format!("{script}; while :; do sleep 0.1; done")),
        json!({
            "linuxParameters": { "capabilities": { "add": ["SYS_ADMIN"], "drop": ["NET_RAW"] } },
            "stopTimeout": 2,
        }),
    );
    let id = instance.launch(&definition("hostile", &[app]));
    instance.running(&id);
    instance.printed(&id, "app", "ready");
    let mut child = instance
        .command(&["exec", "-u", "0", &id, "--", "sh", "-c", "echo in; exec sleep 4717"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut two = [0; 3];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut two).unwrap();
    assert_eq!(&two, b"in\n");
    let of = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let wanted = ["CapInh", "CapPrm", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp:", "Uid", "Gid"];
        let lines = status.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let command = wait_for("the command", PATIENCE, || {
        std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let words = std::fs::read(entry.path().join("cmdline")).ok()?;
            let is_it = words == b"sleep\x004717\0";
            is_it.then(|| entry.file_name().to_str()?.parse::<i32>().ok()).flatten()
        })
    });
    assert_eq!(of(command), of(instance.pid(&id, "app")));
    let terminal = instance.cli(&["exec", "-t", &id, "--", "true"]);
    assert!(terminal.code != 0, "there is no terminal to be had: {}", terminal.out);
    let stranger = instance.cli(&["exec", "-u", "mallory", &id, "--", "id"]);
    assert!(stranger.code != 0 && stranger.out.is_empty(), "a user of the host's files: {}", stranger.out);
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), outside);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    child.wait().unwrap();
}

#[test]
fn a_command_does_not_begin_in_a_directory_of_the_host() {
    require!(host, busybox);
    // A caller of the daemon who leaves a directory of the host open across every exec.
    let left = nix::fcntl::open("/", OFlag::O_PATH, Mode::empty()).unwrap();
    let instance = Instance::with_busybox("cwd");
    drop(left);
    let id = instance.launch(&definition("cwd", &[container("app", FOREVER)]));
    instance.running(&id);
    for number in 3..24 {
        let directory = format!("/proc/self/fd/{number}");
        let said = instance.cli(&["exec", "-w", &directory, &id, "--", "sh", "-c", "pwd; ls; ls ../.."]);
        assert!(said.code == 126 && said.out.is_empty(), "{directory}: {} {}", said.out, said.err);
    }
}

#[test]
fn groups_are_those_of_the_user_and_none_of_the_hosts() {
    require!(host, busybox);
    // A caller of the daemon who is in groups of the host.
    nix::unistd::setgroups(&[4, 27, 4711].map(Gid::from_raw)).unwrap();
    let instance = Instance::with_busybox("groups");
    let look = "id -G; grep Groups /proc/self/status | tr -s ' \\t' ' '";
    let plain = with(container("app", look), json!({ "user": "4242" }));
    assert_eq!(instance.says(&plain), "0\nGroups: \n");
    let named = with(container("app", look), json!({ "user": "app" }));
    assert_eq!(instance.says(&named), "1000 4 100\nGroups: 4 100 \n");
    let id = instance.launch(&definition("groups", &[container("app", FOREVER)]));
    instance.running(&id);
    assert_eq!(instance.cli(&["exec", "-u", "4242:77", &id, "--", "id", "-G"]).ok(), "77\n");
    // Giving groups up is how a file's "not this group" is undone; without the right it is refused.
    let drop =
        instance.cli(&["exec", "-u", "app", &id, "--", "sh", "-c", "grep Groups /proc/self/status"]).ok();
    assert_eq!(drop.split_whitespace().collect::<Vec<_>>(), ["Groups:", "4", "100"]);
}
