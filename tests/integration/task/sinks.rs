//! Output that goes elsewhere: to the host's journal, to syslog servers, into Docker's files.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a failed test panics")]

mod kept;
mod oracles;
mod taken;

use std::{
    collections::BTreeMap,
    io::Read as _,
    net::{TcpListener, UdpSocket},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use hythe::{
    model::fact::Seen,
    shim::spec::{Delivery, Driver, SyslogForm, SyslogSpec, Target},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::lab::{Lab, Talk, has_exited};
use crate::harness::{PATIENCE, instance::own_network, require, scaled, wait_for};

/// More lines than any socket, pipe and queue on the way hold.
const MANY: u32 = 200_000;

fn syslog(target: Target, delivery: Delivery) -> Driver {
    let tag = "tag".to_owned();
    let server = SyslogSpec {
        targets: vec![target],
        host: None,
        facility: 3,
        form: SyslogForm::Rfc3164,
        tag,
        hostname: "box".to_owned(),
        tls: None,
    };
    Driver::Syslog { server, delivery }
}

fn journald(socket: &Path) -> Driver {
    let fields = vec![("CONTAINER_NAME".to_owned(), "app".to_owned())];
    Driver::Journald { socket: socket.to_owned(), fields, delivery: LOSES }
}

const WAITS: Delivery = Delivery { blocking: true, most: 1 << 20 };
const LOSES: Delivery = Delivery { blocking: false, most: 64 << 10 };

fn lab(script: &str, driver: Driver) -> Lab {
    let mut lab = Lab::new();
    let app = lab.container("app", script);
    app.log.as_mut().unwrap().driver = driver;
    app.stop_timeout = Some(1);
    lab
}

/// A server in the test's own hands.
fn server(lab: &Path) -> (UnixDatagram, PathBuf) {
    let path = lab.join("taker");
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(scaled(PATIENCE))).unwrap();
    (server, path)
}

/// The next message.
fn next(server: &UnixDatagram) -> Vec<u8> {
    let mut message = vec![0; 64 << 10];
    let count = server.recv(&mut message).expect("a message in time");
    message.truncate(count);
    message
}

/// What a message says, and what stands before it.
fn split(message: &[u8]) -> (String, String) {
    let text = String::from_utf8(message.to_vec()).unwrap();
    let (head, line) = text.split_once("]: ").unwrap_or_else(|| panic!("{text}"));
    (head.to_owned(), line.to_owned())
}

/// What was not as asked, a sentence each.
fn told(talk: &Talk) -> Vec<&str> {
    let told = talk.facts.iter().filter_map(|fact| match &fact.seen {
        Seen::NotEnforced { what } if what.starts_with("output of") => Some(what.as_str()),
        _ => None,
    });
    told.collect()
}

/// The last lines that the task told of its container.
fn last(talk: &Talk) -> Vec<&str> {
    let found = talk.facts.iter().find_map(|fact| match &fact.seen {
        Seen::LastLines { lines, .. } => Some(lines),
        _ => None,
    });
    found.into_iter().flatten().map(|line| line.line.as_str()).collect()
}

#[tokio::test]
async fn the_journal_gets_an_entry_a_line_in_its_own_protocol() {
    require!(root, busybox, cgroup_memory);
    let mut lab = lab("echo one; echo two >&2; printf 'no end'", Driver::File);
    let (journal, path) = server(lab.path());
    lab.spec.containers[0].log.as_mut().unwrap().driver = journald(&path);
    let mut talk = lab.start().await;
    talk.end().await;
    let mut entries = BTreeMap::new();
    for _ in 0..3 {
        let text = String::from_utf8(next(&journal)).unwrap();
        let fields: BTreeMap<String, String> = text
            .lines()
            .map(|field| field.split_once('=').unwrap())
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        assert_eq!(fields["CONTAINER_NAME"], "app");
        entries.insert(fields["MESSAGE"].clone(), fields["PRIORITY"].clone());
    }
    let expected = [("no end", "6"), ("one", "6"), ("two", "3")];
    assert_eq!(entries, expected.map(|(line, priority)| (line.to_owned(), priority.to_owned())).into());
    assert!(!lab.log("app").exists(), "nothing is kept here");
    let mut lines = last(&talk);
    lines.sort_unstable();
    assert_eq!(lines, ["no end", "one", "two"], "but the last lines, for evidence");
    assert_eq!(told(&talk), [] as [&str; 0]);
}

#[tokio::test]
async fn a_syslog_server_is_spoken_to_over_a_socket_over_packets_and_over_a_stream() {
    require!(root, busybox, cgroup_memory);
    own_network();
    let check = |(head, line): (String, String), number: u32| {
        assert!(head.starts_with("<30>") && head.contains(" box tag["), "{head}");
        assert_eq!(line, number.to_string());
    };
    let mut over_unix = lab("seq 1 3", Driver::File);
    let (taker, path) = server(over_unix.path());
    over_unix.spec.containers[0].log.as_mut().unwrap().driver = syslog(Target::UnixDatagram(path), WAITS);
    over_unix.start().await.end().await;
    (1..=3).for_each(|number| check(split(&next(&taker)), number));

    let taker = UdpSocket::bind("127.0.0.1:0").unwrap();
    taker.set_read_timeout(Some(scaled(PATIENCE))).unwrap();
    let over_udp = lab("seq 1 3", syslog(Target::Udp(taker.local_addr().unwrap()), WAITS));
    over_udp.start().await.end().await;
    for number in 1..=3 {
        let mut message = [0; 1024];
        let count = taker.recv(&mut message).unwrap();
        check(split(&message[..count]), number);
    }

    let taker = TcpListener::bind("127.0.0.1:0").unwrap();
    let over_tcp = lab("seq 1 3", syslog(Target::Tcp(taker.local_addr().unwrap()), WAITS));
    over_tcp.start().await.end().await;
    let (mut stream, _) = taker.accept().unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert_eq!(all.lines().count(), 3);
    all.lines().zip(1..).for_each(|(line, number)| check(split(line.as_bytes()), number));
}

#[tokio::test]
async fn a_blocking_container_waits_for_whoever_does_not_read_and_loses_nothing() {
    require!(root, busybox, cgroup_memory);
    let mut lab = lab(&format!("exec seq 1 {MANY}"), Driver::File);
    let (taker, path) = server(lab.path());
    lab.spec.containers[0].log.as_mut().unwrap().driver = syslog(Target::UnixDatagram(path), WAITS);
    let mut talk = lab.start().await;
    let pid = talk.started("app").await;
    let writes = format!("{} ", nix::libc::SYS_write);
    wait_for("the container to wait in its write", PATIENCE, || {
        let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        call.starts_with(&writes).then_some(())
    });
    let memory = std::fs::read_to_string(format!("/proc/{}/status", lab.shim())).unwrap();
    println!("{}", memory.lines().filter(|line| line.starts_with("VmRSS")).collect::<String>());
    for number in 1..=MANY {
        assert_eq!(split(&next(&taker)).1, number.to_string());
    }
    talk.end().await;
    assert_eq!(talk.exit("app").0, hythe::model::task::Exit::Code(0));
    assert_eq!(told(&talk), [] as [&str; 0]);
    assert_eq!(last(&talk).last().copied(), Some(MANY.to_string().as_str()));
}

#[tokio::test]
async fn any_other_container_goes_on_and_is_told_how_many_lines_were_lost() {
    require!(root, busybox, cgroup_memory);
    let mut lab = lab(&format!("seq 1 {MANY}"), Driver::File);
    let (taker, path) = server(lab.path());
    lab.spec.containers[0].log.as_mut().unwrap().driver = syslog(Target::UnixDatagram(path), LOSES);
    let mut talk = lab.start().await;
    talk.until("the end although nobody reads", has_exited("app")).await;
    talk.end().await;
    let told = told(&talk);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], "output of container app: lines for syslog are dropped: they were not taken in time");
    let lost = told[1].strip_prefix("output of container app: ").unwrap().split(' ').next().unwrap();
    taker.set_nonblocking(true).unwrap();
    let got = std::iter::from_fn(|| taker.recv(&mut [0; 1024]).ok()).count();
    assert_eq!(
        lost.parse::<u32>().unwrap() + u32::try_from(got).unwrap(),
        MANY,
        "every line is accounted for"
    );
}

#[tokio::test]
async fn a_journal_that_is_dead_or_dies_hurts_nobody_and_gets_the_rest_when_it_is_back() {
    require!(root, busybox, cgroup_memory);
    let script = "echo early; until test -f /second; do sleep 0.05; done; echo late; exit 3";
    let mut lab = lab(script, Driver::File);
    let path = lab.path().join("taker");
    lab.spec.containers[0].log.as_mut().unwrap().driver = journald(&path);
    let mut talk = lab.start().await;
    talk.started("app").await;
    let (journal, _) = server(lab.path());
    let early = String::from_utf8(next(&journal)).unwrap();
    assert!(early.ends_with("MESSAGE=early\n"), "what waited comes by itself: {early}");
    drop(journal);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(lab.path().join("app/rootfs/second"), "").unwrap();
    talk.end().await;
    assert_eq!(talk.exit("app").0, hythe::model::task::Exit::Code(3));
    assert_eq!(told(&talk).len(), 1, "{:?}", told(&talk));
    assert!(told(&talk)[0].contains("1 lines for journald were dropped: "), "{:?}", told(&talk));
    assert_eq!(last(&talk), ["early", "late"]);
}

#[tokio::test]
async fn a_killed_shim_leaves_docker_s_files_whole() {
    require!(root, busybox, cgroup_memory);
    let driver = Driver::JsonFile { attributes: BTreeMap::new(), compress: false };
    let mut lab = lab("exec yes this is a line of a flood that does not end", driver);
    let log = lab.spec.containers[0].log.as_mut().unwrap();
    (log.max_size, log.max_files) = (256 << 10, 2);
    let mut talk = lab.start().await;
    talk.started("app").await;
    let older = lab.log("app").with_extension("log.1");
    wait_for("a second file", PATIENCE, || older.exists().then_some(()));
    kill(Pid::from_raw(lab.shim()), Signal::SIGKILL).unwrap();
    wait_for("the end of everything", PATIENCE, || lab.processes().is_empty().then_some(()));
    let files: Vec<String> =
        [&older, &lab.log("app")].map(|path| std::fs::read_to_string(path).unwrap_or_default()).into();
    let mut lines = 0;
    for (at, text) in files.iter().enumerate() {
        assert!(text.len() <= 256 << 10, "{} bytes", text.len());
        let is_last = at + 1 == files.len();
        let whole =
            if is_last { text.rsplit_once('\n').map_or("", |(whole, _)| whole) } else { text.trim_end() };
        for line in whole.lines() {
            let line: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
            assert_eq!(line["log"], "this is a line of a flood that does not end\n");
            assert_eq!(line["stream"], "stdout");
            lines += 1;
        }
    }
    assert!(lines > 1000, "{lines} lines");
    talk.end().await;
    lab.sweep();
}
