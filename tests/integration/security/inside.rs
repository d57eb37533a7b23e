//! What a process finds when it looks around inside.

use std::os::unix::fs::OpenOptionsExt as _;

use nix::{fcntl::OFlag, sys::stat::Mode};
use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    stage::{FOREVER, container, definition},
    tasks::with,
};

/// CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
/// AUDIT_WRITE, as everybody's containers have them.
const USUAL: u64 = 0xa804_25fb;

fn member(status: &str, name: &str) -> u64 {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_else(|| panic!("{name} in {status}"));
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
}

fn capabilities(add: &[&str], drop: &[&str]) -> Value {
    json!({ "linuxParameters": { "capabilities": { "add": add, "drop": drop } } })
}

#[test]
fn capabilities_are_cut_to_the_usual_set() {
    require!(host, busybox);
    // A caller whose rights pass to whatever it executes; none of them may get further than the shim.
    let passed = [caps::Capability::CAP_SYS_PTRACE, caps::Capability::CAP_CHOWN].into_iter().collect();
    for set in [caps::CapSet::Inheritable, caps::CapSet::Ambient] {
        caps::set(None, set, &passed).unwrap();
    }
    let instance = Instance::with_busybox("caps");
    let given = std::fs::read_to_string(format!("/proc/{}/status", instance.daemon_pid())).unwrap();
    assert_ne!((member(&given, "CapInh"), member(&given, "CapAmb")), (0, 0), "{given}");
    let app = container("app", "cat /proc/self/status");
    let status = instance.says(&app);
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(member(&status, set), USUAL, "{set}: {:x}", member(&status, set));
    }
    assert_eq!((member(&status, "CapInh"), member(&status, "CapAmb")), (0, 0), "{status}");
    assert_eq!(member(&status, "NoNewPrivs"), 1);
    let none = instance.says(&with(app.clone(), capabilities(&[], &["ALL"])));
    assert_eq!((member(&none, "CapEff"), member(&none, "CapBnd")), (0, 0));
    let some = instance.says(&with(app.clone(), capabilities(&["SYS_PTRACE"], &["NET_RAW", "MKNOD"])));
    assert_eq!(member(&some, "CapEff"), (USUAL | 1 << 19) & !(1 << 13) & !(1 << 27));
    let user = instance.says(&with(app, json!({ "user": "1000" })));
    assert_eq!((member(&user, "CapEff"), member(&user, "CapPrm")), (0, 0), "a plain user has none");
    assert_eq!(member(&user, "CapBnd"), USUAL);
}

#[test]
fn kernel_settings_cannot_be_changed_and_secrets_of_the_kernel_cannot_be_read() {
    require!(host, busybox);
    let instance = Instance::with_busybox("masked");
    let script = "
        for f in /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward /proc/sysrq-trigger /proc/irq/default_smp_affinity \
                 /proc/sys/kernel/core_pattern /sys/kernel/uevent_helper /sys/power/state; do
            [ -e $f ] || continue
            (echo 1 >$f) 2>/dev/null && echo \"wrote $f\"
        done
        for f in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/interrupts; do
            [ -e $f ] || continue
            [ $f = /proc/interrupts ] || [ $(head -c 16 $f 2>/dev/null | wc -c) = 0 ] || echo \"read $f\"
        done
        for d in /proc/acpi /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do
            [ -d $d ] || continue
            [ -z \"$(ls $d)\" ] || echo \"listed $d\"
        done
        grep -E ' /(proc/sys|proc/bus|proc/fs|proc/irq|sys) ' /proc/mounts | grep -v ' ro,' | sed 's/^/writable /'
        mkdir /sys/fs/cgroup/new 2>/dev/null && echo made a cgroup
        mount -o remount,rw /proc/sys 2>/dev/null && echo remounted
        umount /proc/sys 2>/dev/null && echo unmounted
        mount -t proc proc /mnt 2>/dev/null && echo mounted
        echo done";
    assert_eq!(instance.says(&container("app", script)), "done\n");
}

#[test]
fn processes_mounts_and_sockets_of_the_host_are_not_seen() {
    require!(host, busybox);
    let instance = Instance::with_busybox("unseen");
    let secret = instance.path("secret-name");
    std::fs::create_dir(&secret).unwrap();
    let script = "echo $$; ls -d /proc/[0-9]* | wc -l; cut -d' ' -f2 /proc/mounts; echo --; cat /proc/net/unix | wc -l";
    let said = instance.says(&container("app", script));
    let (head, _) = said.split_once("--").unwrap();
    let lines: Vec<&str> = head.lines().collect();
    assert_eq!(lines[0], "1", "{said}");
    assert!(lines[1].parse::<u32>().unwrap() <= 4, "{said}");
    let known = ["/", "/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
    for mount in &lines[2..] {
        let below = ["/dev/", "/proc/", "/sys/"].iter().any(|top| mount.starts_with(top));
        assert!(known.contains(mount) || below, "{mount} in {said}");
    }
    let details = instance.says(&container("app", "cat /proc/self/mountinfo /proc/mounts /proc/self/cgroup"));
    let outside: Vec<&str> = details
        .lines()
        .filter(|line| {
            !line.contains(" / / ") && !line.contains("overlay") && line.contains("/var/lib/hythe")
        })
        .collect();
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
fn the_devices_are_the_harmless_ones() {
    require!(host, busybox);
    let instance = Instance::with_busybox("devices");
    let said = instance.says(&container("app", "find /dev -type b -o -type c | sort | tr '\\n' ' '; cat /dev/zero | head -c 1 | wc -c; echo x >/dev/null; head -c 4 /dev/urandom | wc -c"));
    let nodes: Vec<&str> =
        said.lines().next().unwrap().split_whitespace().filter(|word| word.starts_with('/')).collect();
    let usual = [
        "/dev/full",
        "/dev/null",
        "/dev/ptmx",
        "/dev/pts/ptmx",
        "/dev/random",
        "/dev/tty",
        "/dev/urandom",
        "/dev/zero",
    ];
    assert!(nodes.iter().all(|node| usual.contains(node)), "{said}");
    for wanted in ["/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"] {
        assert!(nodes.contains(&wanted), "{wanted} in {said}");
    }
    let links =
        instance.says(&container("app", "for f in fd stdin stdout stderr; do readlink /dev/$f; done"));
    assert_eq!(links, "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n");
}

/// Devices that a host may have and that need no further right to be opened: terminals, disks, file systems, networks.
const OPENED: [(&str, u64, u64); 7] =
    [("c", 4, 0), ("c", 5, 1), ("c", 10, 229), ("c", 10, 200), ("c", 10, 237), ("b", 7, 0), ("b", 254, 0)];

#[test]
fn a_device_that_was_made_inside_cannot_be_opened() {
    require!(host, busybox);
    let instance = Instance::with_busybox("mknod");
    // Outside it is seen which of them open at all.
    let opens = |(kind, major, minor): &(&str, u64, u64)| {
        let node = instance.path("node");
        let numbers = [major, minor].map(ToString::to_string);
        let made = std::process::Command::new("mknod").arg(&node).arg(kind).args(&numbers).status();
        let opened = made.is_ok_and(|status| status.success())
            && std::fs::File::options()
                .read(true)
                .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
                .open(&node)
                .is_ok();
        let _ = std::fs::remove_file(&node);
        opened
    };
    let there: Vec<_> = OPENED.iter().filter(|one| opens(one)).collect();
    if there.is_empty() {
        crate::harness::skipped("this host has no device that a test may open");
        return;
    }
    let tries: Vec<String> = there
        .iter()
        .map(|(kind, major, minor)| {
            format!("mknod /tmp/node {kind} {major} {minor} && echo made; (: </tmp/node) 2>&1; rm /tmp/node")
        })
        .collect();
    let script =
        format!("{}; mknod /tmp/null c 1 3 && echo ok >/tmp/null && echo null works", tries.join("; "));
    let said = instance.says(&container("app", &script));
    assert_eq!(said.matches("made").count(), there.len(), "{there:?}: {said}");
    assert_eq!(said.matches("peration not permitted").count(), there.len(), "{there:?}: {said}");
    assert!(said.ends_with("null works\n"), "{said}");
}

#[test]
fn no_descriptor_of_the_runtime_is_left_open() {
    require!(host, busybox);
    // A caller of the daemon who leaves a directory of the host open across every exec.
    let left = nix::fcntl::open("/", OFlag::O_PATH, Mode::empty()).unwrap();
    let instance = Instance::with_busybox("descriptors");
    drop(left);
    // The listing itself is the one beyond the three.
    let said =
        instance.says(&container("app", "cd /proc/self/fd && for f in *; do echo $f $(readlink $f); done"));
    for line in said.lines() {
        let (number, target) = line.split_once(' ').unwrap_or((line, ""));
        let is_own = target.is_empty() || target.starts_with("/proc/") || target.starts_with("pipe:");
        assert!(number.parse::<u32>().unwrap() <= 2 || is_own && !target.contains("socket"), "{said}");
    }
    assert!(said.lines().any(|line| line.starts_with("0 /dev/null")), "{said}");
    let open = container("app", &format!("echo up; {FOREVER}"));
    let id = instance.launch(&definition("open", &[open]));
    instance.printed(&id, "app", "up");
    instance.running(&id);
    let pid = instance.pid(&id, "app");
    let mut numbers: Vec<String> = crate::harness::instance::entries(format!("/proc/{pid}/fd").as_ref());
    numbers.sort();
    let targets: Vec<_> = numbers.iter().map(|n| std::fs::read_link(format!("/proc/{pid}/fd/{n}"))).collect();
    assert_eq!(numbers, ["0", "1", "2"], "{targets:?}");
}

#[test]
fn the_working_directory_leads_nowhere_else() {
    require!(host, busybox);
    let instance = Instance::with_busybox("cwd");
    let script = "pwd; readlink /proc/self/cwd; readlink /proc/self/root; ls / | sort | tr '\\n' ' '; ls /../.. | sort | tr '\\n' ' '; \
                  ls /proc/1/root/../.. | sort | tr '\\n' ' '";
    let said = instance.says(&container("app", script));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..3], ["/", "/", "/"], "{said}");
    let listings: Vec<&str> = lines[3].split("bin dev").skip(1).collect();
    assert_eq!(listings.len(), 3, "{said}");
    assert!(listings.iter().all(|one| *one == listings[0]), "{said}");
    // A directory that is a descriptor of the runtime would lead out: there is none.
    let leak = with(
        container("app", "pwd; ls ../../.. | head -1"),
        json!({ "workingDirectory": "/proc/self/fd/7/../.." }),
    );
    let (id, task) = instance.ran(&definition("leak", &[leak]));
    let said = instance.said(&id, "app");
    assert!(!said.contains("workspace") && !said.contains("boot"), "{said} {task:#}");
}

#[test]
fn the_session_and_its_keys_are_new() {
    require!(host, busybox);
    let instance = Instance::with_busybox("keyring");
    let said = instance.says(&container("app", "cut -d' ' -f6 /proc/self/stat; cat /proc/1/stat | cut -d' ' -f6,7; cat /proc/key-users 2>/dev/null | wc -l"));
    assert!(said.lines().nth(1).unwrap().starts_with("1 "), "the first process leads its session: {said}");
}

#[test]
fn a_privileged_container_is_refused_where_the_host_does_not_allow_it() {
    require!(host, busybox);
    let instance = Instance::with_busybox("privileged");
    let app = with(container("app", "true"), json!({ "privileged": true }));
    let definition = instance.register(definition("privileged", &[app]));
    let answer = instance.api("RunTask", json!({ "taskDefinition": definition }));
    assert_eq!(answer["tasks"], json!([]), "{answer:#}");
    assert_eq!(answer["failures"][0]["reason"], "ATTRIBUTE", "{answer:#}");
    instance.nothing_is_left();
}

#[test]
fn the_umask_the_signals_and_the_score_are_plain() {
    require!(host, busybox);
    let instance = Instance::with_busybox("plain");
    let said = instance.says(&container(
        "app",
        "umask; grep -E '^Sig(Blk|Ign):' /proc/self/status; cat /proc/self/oom_score_adj; cut -d' ' -f19 /proc/self/stat",
    ));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "0022", "{said}");
    assert_eq!(lines[1], "SigBlk:\t0000000000000000", "{said}");
    assert_eq!(lines[2], "SigIgn:\t0000000000000000", "{said}");
    assert_eq!(lines[4], "0", "{said}");
}
