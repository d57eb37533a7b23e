//! Terminals: the container's own, who shows them, and how large they are.

use std::{
    fs::File,
    io::Read,
    os::{fd::AsFd, unix::net::UnixListener},
};

use hythe::kernel::process::recv_with_fds;
use serde_json::json;

use super::container::Container;
use crate::harness::require;

const LOOK: &str = "tty; stty size; test -t 0 -a -t 1 -a -t 2 && echo all; stat -c %t:%T /dev/console; \
    stat -c %u:%a /dev/pts/0; echo through > /dev/console; exit 3";

fn with_terminal(script: &str) -> Container {
    let mut container = Container::new();
    container.config["process"]["terminal"] = json!(true);
    container.config["process"]["consoleSize"] = json!({"height": 31, "width": 97});
    container.config["process"]["user"] = json!({"uid": 7, "gid": 7});
    container.script(script);
    container
}

const SEEN: &str = "/dev/pts/0\r\n31 97\r\nall\r\n88:0\r\n7:620\r\nthrough";

#[test]
fn a_container_in_the_foreground_shows_its_terminal_here() {
    require!(root, busybox);
    let container = with_terminal(LOOK);
    let ran = container.run();
    assert_eq!((ran.out.as_str(), ran.code), (SEEN, 3), "{ran:?}");
}

#[test]
fn a_created_container_sends_its_terminal_to_the_socket() {
    require!(root, busybox);
    let container = with_terminal(LOOK);
    let path = container.path("console");
    let listener = UnixListener::bind(&path).unwrap();
    container.save();
    let bundle = container.bundle().display().to_string();
    let socket = path.display().to_string();
    let ran = container.oci(&["create", "--bundle", &bundle, "--console-socket", &socket, &container.id]);
    assert_eq!(ran.code, 0, "{ran:?}");

    let (peer, _) = listener.accept().unwrap();
    let mut name = [0; 64];
    let (length, mut fds) = recv_with_fds(peer.as_fd(), &mut name).unwrap();
    assert_eq!(&name[..length], b"/dev/pts/0");
    let mut master = File::from(fds.pop().unwrap());
    assert_eq!(container.oci(&["start", &container.id]).code, 0);
    let mut seen = Vec::new();
    // The end of a terminal is an error.
    let _ = master.read_to_end(&mut seen);
    assert_eq!(String::from_utf8_lossy(&seen).trim_end(), SEEN);
    container.wait_status("stopped");
}

#[test]
fn a_later_process_has_a_terminal_of_the_container() {
    require!(root, busybox);
    let mut container = Container::new();
    container.script("sleep 1000");
    container.start();
    let ran =
        container.oci(&["exec", "--tty", &container.id, "sh", "-c", "tty; test -t 0 && echo yes; exit 4"]);
    assert_eq!((ran.out.as_str(), ran.code), ("/dev/pts/0\r\nyes", 4), "{ran:?}");
    let ran = container.oci(&["exec", &container.id, "tty"]);
    assert_eq!((ran.out.as_str(), ran.code), ("not a tty", 1), "{ran:?}");
}

#[test]
fn a_terminal_needs_somebody_who_shows_it() {
    require!(root, busybox);
    let mut container = with_terminal("true");
    let created = container.create();
    assert_eq!(
        created.err,
        "hythe oci: process.terminal: cannot allocate a terminal without --console-socket"
    );
    container.config["process"]["terminal"] = json!(false);
    container.save();
    let bundle = container.bundle().display().to_string();
    let ran = container.oci(&["create", "--bundle", &bundle, "--console-socket", "/x", &container.id]);
    assert!(ran.err.starts_with("hythe oci: --console-socket: cannot be used unless"), "{ran:?}");
    container.config["process"]["terminal"] = json!(true);
    container.save();
    let ran =
        container.oci(&["create", "--bundle", &bundle, "--console-socket", "/no/socket", &container.id]);
    assert!(ran.err.contains("send the terminal to /no/socket"), "{ran:?}");
    assert_eq!(container.left(), Vec::<String>::new());
}

#[test]
fn an_image_cannot_lead_the_console_elsewhere() {
    require!(root, busybox);
    let mut container = with_terminal("true");
    // A /dev of the image's own, with a link in the console's place.
    let mounts = container.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/dev");
    container.config["root"]["readonly"] = json!(false);
    std::fs::create_dir_all(container.rootfs().join("dev")).unwrap();
    std::os::unix::fs::symlink("/tmp/elsewhere", container.rootfs().join("dev/console")).unwrap();
    let ran = container.run();
    assert!(ran.err.contains("make a terminal: the place within the root filesystem: ELOOP"), "{ran:?}");
    // Nor can an image pretend to be a devpts.
    container.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev/pts");
    std::fs::create_dir_all(container.rootfs().join("dev/pts")).unwrap();
    std::fs::write(container.rootfs().join("dev/pts/ptmx"), "").unwrap();
    let ran = container.run();
    assert!(ran.err.contains("make a terminal: the source: ENODEV"), "{ran:?}");
}

#[test]
fn the_other_end_of_a_terminal_is_the_kernels_and_none_that_an_image_names() {
    require!(root, busybox);
    let mut container = with_terminal("echo through >/dev/console; sleep 1");
    // A terminal of the host's.
    let pair = nix::pty::openpty(None, None).unwrap();
    let elsewhere = nix::unistd::ttyname(&pair.slave).unwrap();
    // No devpts but a directory of the image: a true device that makes terminals, and links where their other ends are.
    let ends = container.path("ends");
    std::fs::create_dir(&ends).unwrap();
    for number in 0..64 {
        std::os::unix::fs::symlink(&elsewhere, ends.join(number.to_string())).unwrap();
    }
    let bind = |from, to| json!({ "destination": to, "type": "bind", "source": from, "options": ["bind"] });
    let mounts = container.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/dev/pts");
    mounts.extend([bind(ends.as_path(), "/dev/pts"), bind("/dev/pts/ptmx".as_ref(), "/dev/pts/ptmx")]);
    let ran = container.run();
    assert!(ran.err.contains("make a terminal: the source: ENO"), "{ran:?}");
    nix::fcntl::fcntl(&pair.master, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
    assert_eq!(nix::unistd::read(&pair.master, &mut [0; 64]), Err(nix::errno::Errno::EAGAIN), "{ran:?}");
}

#[test]
fn preserved_descriptors_reach_the_program_and_no_others_do() {
    require!(root, busybox);
    let mut container = Container::new();
    container.script("cat <&3; ls /proc/self/fd | wc -l");
    container.save();
    let note = container.path("note");
    std::fs::write(&note, "kept\n").unwrap();
    let bundle = container.bundle().display().to_string();
    let hythe = env!("CARGO_BIN_EXE_hythe");
    let records = container.path("records").display().to_string();
    let id = container.id.clone();
    let run = |count: &str| {
        std::process::Command::new("sh")
            .arg("-c")
            .arg(format!(
                "exec {hythe} oci --root {records} run --preserve-fds {count} --bundle {bundle} {id} 3<{}",
                note.display()
            ))
            .output()
            .unwrap()
    };
    // Three streams, the note, and the directory being listed.
    assert_eq!(String::from_utf8_lossy(&run("1").stdout), "kept\n5\n");
    let refused = run("7");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--preserve-fds: descriptor"), "{refused:?}");
}
