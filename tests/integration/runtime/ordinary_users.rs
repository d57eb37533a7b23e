//! Containers of ordinary users: without control groups, or with those that their own systemd gives them.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::json;

use super::container::{Container, Ran};
use crate::harness::{PATIENCE, groups::Driver, require, skipped, wait_for};

const USER: u32 = 1000;

/// A container that asks for nothing that the user has no right to, and whose files are theirs.
fn theirs(mut container: Container) -> Container {
    let mounts = container.config["mounts"].as_array_mut().unwrap();
    // A group and a hierarchy that are not theirs.
    mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
    for mount in mounts {
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| !option.as_str().unwrap().starts_with("gid="));
        }
    }
    container.config["root"]["readonly"] = json!(false);
    container.save();
    let owner = format!("{USER}:{USER}");
    let chowned = Command::new("chown").args(["-R", &owner]).arg(container.path("")).status();
    assert!(chowned.unwrap().success());
    container
}

/// One of theirs that names no control group and no limit, and runs `script`.
fn without_groups(script: &str) -> Container {
    let mut container = Container::of(Driver::Files);
    let linux = container.config["linux"].as_object_mut().unwrap();
    linux.remove("cgroupsPath");
    linux.remove("resources");
    container.script(script);
    theirs(container)
}

/// A user namespace of the user's own, whose root they are.
struct Room {
    keeper: Child,
    runtime_dir: String,
}

impl Room {
    /// None where the host lets ordinary users make none.
    fn open() -> Option<Self> {
        let user = USER.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
        command.args(["unshare", "--user", "--map-root-user", "sh", "-c", "echo in; exec sleep 1000"]);
        let mut keeper = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = [0; 3];
        let read = std::io::Read::read_exact(keeper.stdout.as_mut().unwrap(), &mut said);
        let room = Self { keeper, runtime_dir: format!("/run/user/{USER}") };
        if read.is_err() {
            skipped("ordinary users may make no user namespace here");
            return None;
        }
        Some(room)
    }

    /// `hythe oci` in it.
    fn oci(&self, container: &Container, args: &[&str]) -> Ran {
        let oci = container.command(args);
        let mut command = Command::new("nsenter");
        command.arg(format!("--user=/proc/{}/ns/user", self.keeper.id())).args(["-S", "0", "-G", "0"]);
        command.arg(oci.get_program()).args(oci.get_args());
        command.env("XDG_RUNTIME_DIR", &self.runtime_dir).env_remove("DBUS_SESSION_BUS_ADDRESS");
        // Files, because a container that stays keeps the streams of whoever began it.
        let file = |name: &str| File::create(container.path(name)).unwrap();
        let status = command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err")).status().unwrap();
        let read = |name: &str| fs::read(container.path(name)).unwrap();
        Output { status, stdout: read("out"), stderr: read("err") }.into()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

#[test]
fn without_groups_of_their_own_they_have_none() {
    require!(root, busybox, unshare);
    let container =
        without_groups("id -u; echo x >/dev/null && echo null; touch /tmp/mine; stat -c %u /tmp/mine");
    let Some(room) = Room::open() else { return };
    let bundle = container.bundle().display().to_string();
    let ran = room.oci(&container, &["run", "--bundle", &bundle, &container.id]);
    assert_eq!((ran.out.as_str(), ran.code), ("0\nnull\n0", 0), "{ran:?}");
    assert!(ran.err.contains("warning: the container has no control groups"), "{ran:?}");
    assert_eq!(fs::metadata(container.rootfs().join("tmp/mine")).unwrap().uid(), USER);
}

#[test]
fn a_later_process_of_theirs_is_in_the_container() {
    require!(root, busybox, unshare);
    let container = without_groups("sleep 1000");
    let Some(room) = Room::open() else { return };
    let bundle = container.bundle().display().to_string();
    let ran = room.oci(&container, &["run", "--detach", "--bundle", &bundle, &container.id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = room.oci(
        &container,
        &["exec", &container.id, "sh", "-c", "readlink /proc/1/exe; hostname; echo $$; exit 7"],
    );
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(ran.code == 7 && lines.len() == 3 && lines[0] == "/bin/busybox", "{ran:?}");
    let hostname = container.config["hostname"].as_str().unwrap();
    assert!(lines[1] == hostname && lines[2].parse::<u32>().unwrap() < 100, "{ran:?}");
    let ran = room.oci(&container, &["delete", "--force", &container.id]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn a_user_whose_systemd_does_not_run_is_told() {
    require!(root, busybox, unshare);
    let container = theirs(Container::of(Driver::Systemd));
    let Some(mut room) = Room::open() else { return };
    room.runtime_dir = container.path("nothing").display().to_string();
    let bundle = container.bundle().display().to_string();
    let ran = room.oci(&container, &["run", "--bundle", &bundle, &container.id]);
    let bus = format!("connect to the bus of user {USER} at {}/bus", room.runtime_dir);
    assert!(ran.code == 1 && ran.err.contains(&bus) && ran.err.contains("enable-linger"), "{ran:?}");
}

/// The systemd of the user, begun if it does not run; ended again in that case.
struct TheirSystemd {
    is_ours: bool,
}

impl TheirSystemd {
    fn begin() -> Option<Self> {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let is_known = users.lines().any(|line| line.split(':').nth(2) == Some(&USER.to_string()));
        if !is_known || !Path::new("/usr/lib/systemd/user/dbus.socket").exists() {
            skipped(&format!("there is no user {USER} with a bus of their own here (dbus-user-session)"));
            return None;
        }
        let is_ours = !systemctl("is-active");
        assert!(!is_ours || systemctl("start"), "the user's systemd does not start");
        wait_for("their bus", PATIENCE, || {
            Path::new(&format!("/run/user/{USER}/bus")).exists().then_some(())
        });
        Some(Self { is_ours })
    }
}

impl Drop for TheirSystemd {
    fn drop(&mut self) {
        if self.is_ours {
            systemctl("stop");
        }
    }
}

fn systemctl(verb: &str) -> bool {
    let unit = format!("user@{USER}.service");
    Command::new("systemctl").args(["--quiet", verb, &unit]).status().is_ok_and(|status| status.success())
}

#[test]
fn their_own_systemd_makes_scopes_with_limits() {
    require!(systemd, cgroup_v2, busybox, unshare, cgroup_memory, cgroup_pids);
    let Some(_systemd) = TheirSystemd::begin() else { return };
    let mut container = Container::of(Driver::Systemd);
    container.config["linux"]["cgroupsPath"] = json!(format!(":box:{}", container.id));
    container.config["linux"]["resources"] = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 50}, "devices": [{"allow": false, "access": "rwm"}]});
    container.script("sleep 1000");
    let container = theirs(container);
    let Some(room) = Room::open() else { return };
    let bundle = container.bundle().display().to_string();
    let ran = room.oci(&container, &["run", "--detach", "--bundle", &bundle, &container.id]);
    assert_eq!(ran.code, 0, "{ran:?}");

    let group_of = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let state: serde_json::Value =
        serde_json::from_str(&room.oci(&container, &["state", &container.id]).out).unwrap();
    let group = group_of(&state["pid"].to_string());
    let unit = format!("box-{}.scope", container.id);
    let below = format!("/user.slice/user-{USER}.slice/user@{USER}.service/user.slice/{unit}");
    assert_eq!(group.trim(), format!("0::{below}"));
    let directory = PathBuf::from(format!("/sys/fs/cgroup{below}"));
    let file = |name: &str| fs::read_to_string(directory.join(name)).unwrap().trim().to_owned();
    assert_eq!([file("memory.max"), file("pids.max")], [(64 << 20).to_string(), "50".to_owned()]);

    let pid_file = container.path("later").display().to_string();
    let later = ["exec", "--detach", "--pid-file", &pid_file, &container.id, "sleep", "1000"];
    let ran = room.oci(&container, &later);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(group_of(fs::read_to_string(&pid_file).unwrap().trim()), group);

    let ran = room.oci(&container, &["update", "--pids-limit", "60", &container.id]);
    assert_eq!((ran.code, file("pids.max").as_str()), (0, "60"), "{ran:?}");
    let ran = room.oci(&container, &["delete", "--force", &container.id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!directory.exists());
}
