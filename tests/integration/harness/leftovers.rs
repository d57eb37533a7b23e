//! What tests have left that were killed from outside: nobody looked after them, so the next test does.
//!
//! A name tells who its owner was: the number of an instance, which belongs to whoever has it now, or the pid of a test
//! that is not alive any more.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::{
    fs::{self, File},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    path::{Path, PathBuf},
    sync::{Once, OnceLock},
    time::Duration,
};

use nix::{
    mount::{MntFlags, umount2},
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{leaks, probe::cgroup_mounts, wait_for};

/// How the control groups of tests begin that carry their pid; systemd's have other dashes.
const OF_PID: [&str; 4] = ["hythe-lab-", "hythe-agent-", "hythe-runtime-", "hythe_runtime_"];

/// Clears away what tests have left that are dead, once in a process.
pub fn of_the_dead() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tops: Vec<PathBuf> = cgroup_mounts()
            .iter()
            .flat_map(|mount| fs::read_dir(&mount.at).into_iter().flatten().flatten())
            .filter(|entry| is_of_the_dead(&entry.file_name().to_string_lossy()))
            .map(|top| top.path())
            .collect();
        // What is in one of them may be frozen by another, and then does not die.
        for top in &tops {
            thaw(top);
        }
        for top in &tops {
            group(top);
        }
    });
}

/// Clears away what had the number that an instance has now: its groups at `top`, and directories with its `prefix`.
pub fn of_number(top: &str, prefix: &str) {
    for mount in cgroup_mounts() {
        group(&mount.at.join(top));
    }
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        for mount in leaks::mounts_in(&entry.path()) {
            let _ = umount2(&mount, MntFlags::MNT_DETACH);
        }
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// A number that no other running test has, and what holds it: a name in the abstract socket space, which leaves no
/// file and goes with the process.
///
/// Such names belong to a network namespace, so all tests take them in the one that they began in.
pub fn free_number() -> (usize, UnixListener) {
    static FIRST: OnceLock<File> = OnceLock::new();
    let open = || File::open("/proc/thread-self/ns/net").expect("a thread has a network namespace");
    let here = open();
    setns(FIRST.get_or_init(open), CloneFlags::CLONE_NEWNET)
        .expect("root may go back to where the test began");
    let found = (0..1000).find_map(|number| {
        let name = SocketAddr::from_abstract_name(format!("hythe-test-{number}")).ok()?;
        Some((number, UnixListener::bind_addr(&name).ok()?))
    });
    setns(&here, CloneFlags::CLONE_NEWNET).expect("root may return to where the thread was");
    found.expect("fewer than a thousand tests run at once")
}

fn is_of_the_dead(name: &str) -> bool {
    let rest = OF_PID.iter().find_map(|prefix| name.strip_prefix(prefix));
    let digits = |rest: &str| rest.split(|letter: char| !letter.is_ascii_digit()).next().map(str::to_owned);
    rest.and_then(digits).is_some_and(|pid| !pid.is_empty() && !Path::new("/proc").join(pid).exists())
}

fn thaw(top: &Path) {
    let mut all: Vec<PathBuf> = Vec::new();
    leaks::directories_below(top, &mut all);
    for (file, word) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        for file in all.iter().map(|dir| dir.join(file)).filter(|file| file.exists()) {
            let _ = fs::write(file, word);
        }
    }
}

/// Ends what runs in a group and removes it, unless somebody is in it whom this pid namespace cannot see.
fn group(top: &Path) {
    let mut all: Vec<PathBuf> = Vec::new();
    leaks::directories_below(top, &mut all);
    let members = || -> Vec<i32> {
        let text = |dir: &PathBuf| fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        all.iter()
            .flat_map(|dir| text(dir).lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect()
    };
    if members().contains(&0) {
        return;
    }
    wait_for("the end of what a dead test has left", Duration::from_secs(10), || {
        let members = members();
        for pid in &members {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        members.is_empty().then_some(())
    });
    all.iter().rev().for_each(|dir| drop(fs::remove_dir(dir)));
}

#[test]
fn what_a_killed_test_has_left_is_cleared_away() {
    use super::{groups::Driver, instance::Wish};
    super::require!(host);
    let mut instance =
        super::Instance::start_with("owner", Wish { driver: Some(Driver::Files), ..Wish::default() });
    instance.stop_daemon();
    let mount = cgroup_mounts().remove(0).at;
    // A pid that nobody has: the highest is never reached.
    let dead = mount.join(format!("hythe-lab-{}-0/below", 4_194_304));
    let alive = mount.join(format!("hythe-lab-{}-0", std::process::id()));
    let numbered = format!("{}-left", instance.groups().top());
    let inside = mount.join(&numbered).join("shims");
    let directory = std::env::temp_dir().join(format!("{numbered}-x"));
    for path in [&dead, &alive, &inside, &directory] {
        fs::create_dir_all(path).unwrap();
    }
    let mut stays = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(inside.join("cgroup.procs"), stays.id().to_string()).unwrap();
    nix::mount::mount(Some("none"), &directory, Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>)
        .unwrap();
    let waiter = std::thread::spawn(move || stays.wait().unwrap());
    of_number(&numbered, &format!("{numbered}-"));
    assert!(!waiter.join().unwrap().success());
    assert!(!inside.exists() && !directory.exists());
    let is_left = |path: &Path| is_of_the_dead(path.file_name().unwrap().to_str().unwrap());
    assert!(is_left(dead.parent().unwrap()) && !is_left(&alive));
    group(dead.parent().unwrap());
    assert!(!dead.exists());
    fs::remove_dir(alive).unwrap();
}
