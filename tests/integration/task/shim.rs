//! The shim itself: it outlives daemons, loses no fact, and takes its containers with it.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

use hythe::{
    model::{
        exec::{ExecRequest, Frame, Frames},
        fact::{Fact, Seen},
        task::{Exit, StopCode},
        task_definition::Condition,
    },
    shim::{
        client::{ClientError, connect},
        ledger::read_ledger,
        protocol::Order,
    },
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::lab::{Lab, has_exited, name, on};
use crate::harness::{PATIENCE, require, wait_for};

const FOREVER: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done";

fn numbers(facts: &[Fact]) -> Vec<u64> {
    facts.iter().filter_map(|fact| fact.ledger).collect()
}

#[tokio::test]
async fn a_daemon_that_goes_away_disturbs_nothing_and_another_reads_on() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("app", FOREVER);
    lab.container("worker", "while ! test -f /go; do sleep 0.05; done").essential = false;
    let mut first = lab.start().await;
    let pid = first.started("app").await;
    first.started("worker").await;
    let taken = first.facts.len();
    let seen = taken as u64;
    drop(first);

    std::fs::write(lab.path().join("worker/rootfs/go"), "").unwrap();
    let mut second = lab.connect(seen + 1).await;
    second.until("the worker's end", has_exited("worker")).await;
    assert_eq!(numbers(&second.facts)[0], seen + 1, "it reads on where the first one was");
    assert!(std::fs::exists(format!("/proc/{pid}")).unwrap());

    let mut third = lab.connect(1).await;
    second.stop().await;
    second.end().await;
    third.end().await;
    let all: Vec<u64> = (1..=third.facts.len() as u64).collect();
    assert_eq!(numbers(&third.facts), all, "every fact once, in order");
    assert_eq!(third.facts, read_ledger(&lab.spec.ledger, 1).unwrap());
    assert_eq!(third.facts[taken..], second.facts);
    assert!(second.connection.is_finished() && third.connection.is_finished());
    assert!(matches!(connect(&(&lab.spec).into(), 1).await, Err(ClientError::Gone(_))));
    assert!(!lab.spec.socket.exists());
}

#[tokio::test]
async fn input_that_comes_right_behind_a_command_is_heard() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("app", FOREVER);
    let mut talk = lab.start().await;
    talk.started("app").await;
    let command = ["/bin/busybox", "cat"].map(String::from).to_vec();
    let request = Box::new(ExecRequest { command, input: true, ..ExecRequest::default() });
    let order = Order::Exec { container: name("app"), request, user: None };
    let mut words = serde_json::to_vec(&order).unwrap();
    words.push(b'\n');
    Frame::Input(b"typed ahead".to_vec()).put(&mut words);
    Frame::InputEnd.put(&mut words);
    let mut stream = UnixStream::connect(&lab.spec.socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&words).unwrap();
    let (mut heard, mut frames) = (Vec::new(), Frames::default());
    stream.read_to_end(&mut heard).unwrap();
    frames.push(&heard);
    assert_eq!(frames.next_frame().unwrap(), Some(Frame::Output(b"typed ahead".to_vec())));
    assert_eq!(frames.next_frame().unwrap(), Some(Frame::Ended(Exit::Code(0))));
    talk.stop().await;
    talk.end().await;
}

#[tokio::test]
async fn what_happened_while_nobody_listened_is_in_the_ledger() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("app", "while ! test -f /go; do sleep 0.05; done; exit 6");
    let mut talk = lab.start().await;
    talk.started("app").await;
    drop(talk);
    std::fs::write(lab.path().join("app/rootfs/go"), "").unwrap();
    let last =
        || read_ledger(&lab.spec.ledger, 1).unwrap().pop().filter(|fact| fact.seen == Seen::AllStopped);
    wait_for("the end of the task", PATIENCE, last);
    let facts = read_ledger(&lab.spec.ledger, 1).unwrap();
    let exit = |fact: &Fact| matches!(fact.seen, Seen::ContainerExited { exit: Exit::Code(6), .. });
    assert!(facts.iter().any(exit), "{facts:#?}");
}

#[tokio::test]
async fn a_shim_that_is_killed_takes_its_containers_with_it() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("app", FOREVER);
    lab.container("sidecar", FOREVER);
    let mut talk = lab.start().await;
    let pids = [talk.started("app").await, talk.started("sidecar").await];
    kill(Pid::from_raw(lab.shim()), Signal::SIGKILL).unwrap();
    talk.end().await;
    assert!(!talk.connection.is_finished(), "it did not say that all has ended");
    wait_for("the containers to be gone", PATIENCE, || {
        pids.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
    assert!(matches!(connect(&(&lab.spec).into(), 1).await, Err(ClientError::Gone(_))));
    lab.sweep();
}

#[tokio::test]
async fn a_stop_before_anything_could_start_ends_the_task() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("gate", FOREVER).essential = false;
    lab.container("app", FOREVER).depends_on = on("gate", Condition::Complete);
    let mut talk = lab.start().await;
    talk.started("gate").await;
    talk.stop().await;
    talk.end().await;
    let never = |fact: &Fact| matches!(&fact.seen, Seen::ContainerStarted { container, .. } if *container == name("app"));
    assert!(!talk.facts.iter().any(never));
    assert!(talk.connection.is_finished());
}

#[tokio::test]
async fn a_host_that_goes_down_stops_its_tasks_in_order() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("app", "trap 'exit 9' TERM; echo ready; while :; do sleep 1000 & wait $!; done");
    let mut talk = lab.start().await;
    talk.started("app").await;
    let log = lab.log("app");
    wait_for("the trap", PATIENCE, || {
        std::fs::read_to_string(&log).ok().filter(|text| text.contains("ready"))
    });
    kill(Pid::from_raw(lab.shim()), Signal::SIGTERM).unwrap();
    talk.end().await;
    assert_eq!(talk.exit("app").0, Exit::Code(9));
    assert_eq!(talk.stop_request().code, StopCode::TerminationNotice);
}

#[tokio::test]
async fn a_signal_reaches_the_container_it_is_for() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("app", "trap 'exit 8' USR1; echo ready; while :; do sleep 1000 & wait $!; done");
    let mut talk = lab.start().await;
    talk.started("app").await;
    let log = lab.log("app");
    wait_for("the trap", PATIENCE, || {
        std::fs::read_to_string(&log).ok().filter(|text| text.contains("ready"))
    });
    talk.connection.signal(&name("app"), Signal::SIGUSR1 as i32).await.unwrap();
    talk.end().await;
    assert_eq!(talk.exit("app").0, Exit::Code(8));
}

#[tokio::test]
async fn a_shim_that_cannot_begin_says_why() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("app", FOREVER).depends_on = on("nobody", Condition::Start);
    let Err(ClientError::Refused(reason)) = lab.try_start().await else { panic!("it was not refused") };
    assert_eq!(reason, "container app needs container nobody, which the task does not have");

    lab.spec.containers[0].depends_on.clear();
    lab.spec.ledger = "/proc/nowhere/ledger".into();
    let Err(ClientError::Refused(reason)) = lab.try_start().await else { panic!("it was not refused") };
    assert!(reason.starts_with("open ledger /proc/nowhere/ledger: "), "{reason}");
}

#[tokio::test]
async fn a_shim_asleep_is_small_and_does_nothing() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("app", "exec sleep 1000").stop_timeout = Some(0);
    let mut talk = lab.start().await;
    talk.started("app").await;
    let shim = lab.shim();
    let is_asleep = || {
        let text = std::fs::read_to_string(format!("/proc/{shim}/wchan")).ok()?;
        text.contains("ep").then_some(())
    };
    wait_for("the shim to be asleep", PATIENCE, is_asleep);
    let smaps = std::fs::read_to_string(format!("/proc/{shim}/smaps_rollup")).unwrap();
    println!("{smaps}");
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
        status
            .lines()
            .filter(|line| line.contains("ctxt_switches"))
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    };
    let before = switches();
    let (begin, pause) = (std::time::Instant::now(), std::time::Duration::from_millis(1500));
    while begin.elapsed() < pause {
        std::thread::park_timeout(pause);
    }
    assert_eq!(switches(), before, "nothing woke it");
    talk.stop().await;
    talk.end().await;
}
