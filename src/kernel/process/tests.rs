use std::ffi::OsString;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use nix::errno::Errno;
use proptest::prelude::*;

use super::*;
use crate::kernel::cgroup::{CgroupPath, Layout};
use crate::kernel::namespace::Namespaces;

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn output_of(request: &Spawn<'_>, fd: i32) -> (String, Exit) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut fds = request.fds.to_vec();
    fds.push((writer.as_fd(), fd));
    let child = spawn(&Spawn { fds: &fds, ..Spawn { fds: &[], ..copy(request) } }).unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    (text, child.pidfd.wait().unwrap())
}

fn copy<'a>(request: &Spawn<'a>) -> Spawn<'a> {
    Spawn {
        program: request.program,
        args: request.args,
        env: request.env,
        fds: request.fds,
        dir: request.dir,
        new_session: request.new_session,
        cgroup: request.cgroup,
    }
}

#[test]
fn a_spawned_program_sees_its_arguments_and_nothing_else() {
    let env = [("GREETING".into(), "hello".into())];
    let args = words(&[
        "sh",
        "-c",
        "echo $GREETING $1; for n in 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && echo open $n; done; exit 3",
        "sh",
        "world",
    ]);
    let request = Spawn { program: Some(Path::new("/bin/sh")), args: &args, env: &env, ..Spawn::default() };
    let (text, exit) = output_of(&request, 1);
    assert_eq!(text, "hello world\n");
    assert_eq!(exit, Exit::Code(3));
}

#[test]
fn descriptors_land_on_their_numbers_even_when_they_cross() {
    let (mut read_a, write_a) = std::io::pipe().unwrap();
    let (mut read_b, write_b) = std::io::pipe().unwrap();
    // Each is wanted at the other's number.
    let fds = [(write_a.as_fd(), write_b.as_raw_fd()), (write_b.as_fd(), write_a.as_raw_fd())];
    let script = format!("echo a >&{}; echo b >&{}", write_b.as_raw_fd(), write_a.as_raw_fd());
    let args = words(&["sh", "-c", &script]);
    let request = Spawn { program: Some(Path::new("/bin/sh")), args: &args, fds: &fds, ..Spawn::default() };
    let child = spawn(&request).unwrap();
    drop((write_a, write_b));
    assert_eq!(child.pidfd.wait().unwrap(), Exit::Code(0));
    let (mut a, mut b) = (String::new(), String::new());
    read_a.read_to_string(&mut a).unwrap();
    read_b.read_to_string(&mut b).unwrap();
    assert_eq!((a.as_str(), b.as_str()), ("a\n", "b\n"));
}

#[test]
fn a_program_is_born_in_its_control_group() {
    let layout = Layout::detect().ok().filter(|_| nix::unistd::geteuid().is_root());
    let name = CgroupPath::parse(&format!("hythe-born-{}", std::process::id())).unwrap();
    let directory = layout.as_ref().and_then(|layout| layout.group(&name).unified_dir());
    let (Some(layout), Some(directory)) = (layout, directory) else {
        println!("skipped: a group of version 2 needs root and such a hierarchy");
        return;
    };
    let group = layout.create(&name).unwrap();
    let born_in = std::fs::File::open(directory).unwrap();
    let args = words(&["sh", "-c", "grep ^0:: /proc/self/cgroup"]);
    let request = Spawn {
        program: Some(Path::new("/bin/sh")),
        args: &args,
        cgroup: Some(born_in.as_fd()),
        ..Spawn::default()
    };
    let (text, exit) = output_of(&request, 1);
    group.delete().unwrap();
    assert_eq!(exit, Exit::Code(0));
    assert!(text.trim().ends_with(&format!("/{}", name.as_path().display())), "{text}");
}

#[test]
fn a_control_group_that_takes_nobody_keeps_no_program_from_running() {
    let no_group = std::fs::File::open("/").unwrap();
    let args = words(&["sh", "-c", "echo here"]);
    let request = Spawn {
        program: Some(Path::new("/bin/sh")),
        args: &args,
        cgroup: Some(no_group.as_fd()),
        ..Spawn::default()
    };
    assert_eq!(output_of(&request, 1), ("here\n".to_owned(), Exit::Code(0)));
}

#[test]
fn a_program_has_usual_turns_of_the_processor_whoever_executes_it() {
    let turn = |pid| schedule::scheduling_of(pid).unwrap().runtime;
    let this = Pid::from_raw(0);
    let usual = turn(this);
    let (of_thread, of_child) = std::thread::spawn(move || {
        take_short_turns().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let args = words(&["sh", "-c", "read word"]);
        let fds = [(reader.as_fd(), 0)];
        let request =
            Spawn { program: Some(Path::new("/bin/sh")), args: &args, fds: &fds, ..Spawn::default() };
        let child = spawn(&request).unwrap();
        let turns = (turn(this), turn(child.pid));
        drop(writer);
        child.pidfd.wait().unwrap();
        turns
    })
    .join()
    .unwrap();
    assert_eq!(of_child, usual);
    // Before Linux 6.12 nobody has any other.
    assert!(of_thread < usual || usual == 0, "{of_thread} of {usual}");
}

#[test]
fn a_program_that_is_not_there_is_an_error_of_spawn() {
    let request = Spawn {
        program: Some(Path::new("/nonexistent/program")),
        args: &words(&["program"]),
        ..Spawn::default()
    };
    match spawn(&request) {
        Err(SpawnError::Execute { program, source: Errno::ENOENT }) => {
            assert_eq!(program, "/nonexistent/program");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_clone_is_waited_for_and_reaped_once() {
    let child = clone(&CloneRequest::default(), || 42).unwrap();
    assert_eq!(child.pidfd.wait(), Ok(Exit::Code(42)));
    assert_eq!(child.pidfd.try_wait(), Err(Errno::ECHILD));
    assert!(!child.pidfd.exists());
}

#[test]
fn a_killed_child_reports_the_signal() {
    let (reader, writer) = std::io::pipe().unwrap();
    let child = clone(&CloneRequest::default(), || {
        let mut byte = [0];
        let _ = nix::unistd::read(&reader, &mut byte);
        let _ = nix::unistd::read(&reader, &mut byte);
        1
    })
    .unwrap();
    assert_eq!(child.pidfd.try_wait(), Ok(None));
    child.pidfd.signal(Signal::KILL).unwrap();
    assert_eq!(child.pidfd.wait(), Ok(Exit::Signal(Signal::KILL)));
    drop(writer);
}

#[test]
fn a_clone_in_a_new_pid_namespace_is_number_one() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: namespaces need root");
        return;
    }
    let request = CloneRequest { namespaces: Namespaces::PID, ..CloneRequest::default() };
    let child = clone(&request, || Pid::this().as_raw()).unwrap();
    assert_ne!(child.pid.as_raw(), 1);
    assert_eq!(child.pidfd.wait(), Ok(Exit::Code(1)));
}

#[test]
fn descriptors_travel_through_a_socket() {
    let (left, right) = std::os::unix::net::UnixStream::pair().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    send_with_fds(left.as_fd(), b"x", &[writer.as_fd()]).unwrap();
    drop(writer);
    let mut bytes = [0; 8];
    let (count, fds) = recv_with_fds(right.as_fd(), &mut bytes).unwrap();
    assert_eq!((count, fds.len()), (1, 1));
    nix::unistd::write(&fds[0], b"through").unwrap();
    drop(fds);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");
    drop(left);
    assert_eq!(recv_with_fds(right.as_fd(), &mut bytes).unwrap().0, 0);
}

#[test]
fn signals_have_the_names_people_use() {
    for text in ["15", "TERM", "SIGTERM", "sigterm"] {
        assert_eq!(Signal::parse(text), Ok(Signal::TERM));
    }
    assert_eq!(Signal::parse("SIGRTMIN+3").unwrap().as_raw(), 37);
    assert_eq!(Signal::parse("RTMAX-1").unwrap().as_raw(), 63);
    for text in ["", "0", "65", "-9", "SIGNOPE", "RTMIN+31", "RTMAX-31", "RTMIN3"] {
        assert_eq!(Signal::parse(text), Err(UnknownSignal(text.to_owned())));
    }
}

proptest! {
    #[test]
    fn every_signal_reads_back_what_it_prints(number in 1..=64_i32) {
        let signal = Signal::from_raw(number).unwrap();
        if !(32..34).contains(&number) {
            prop_assert_eq!(Signal::parse(&signal.to_string()), Ok(signal));
        }
    }
}
