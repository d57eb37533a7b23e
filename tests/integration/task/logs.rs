//! The output of containers, as the shim writes it.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::{fs, time::Instant};

use hythe::{
    model::{fact::Seen, task::Exit},
    shim::logs::{Reader, Selection, Stream},
};

use super::lab::{Lab, has_exited};
use crate::harness::require;

async fn read(lab: &Lab, container: &str) -> (Vec<u8>, Vec<u8>) {
    let mut reader = Reader::open(&lab.log(container), &Selection::default()).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(record) = reader.next().await.unwrap() {
        let stream = match record.stream {
            Stream::Stdout => &mut out,
            Stream::Stderr => &mut err,
            Stream::Note => panic!("{record:?}"),
        };
        stream.extend(record.bytes);
        stream.extend(record.whole.then_some(b'\n'));
    }
    (out, err)
}

#[tokio::test]
async fn every_byte_of_both_outputs_comes_back() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("app", "seq 1 200000; echo oops >&2; printf 'no end'");
    let mut talk = lab.start().await;
    talk.end().await;
    let (out, err) = read(&lab, "app").await;
    let expected: String =
        (1..=200_000).map(|number| format!("{number}\n")).chain(["no end".to_owned()]).collect();
    assert!(out == expected.as_bytes(), "{} bytes, not {}", out.len(), expected.len());
    assert_eq!(err, b"oops\n");
}

#[tokio::test]
async fn a_flood_stays_below_its_ceiling_and_starves_nobody() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    let flood = lab.container("flood", "exec yes this is a line of a flood that does not end");
    flood.stop_timeout = Some(1);
    let log = flood.log.as_mut().unwrap();
    (log.max_size, log.max_files) = (1 << 20, 3);
    let quiet = lab.container("quiet", "echo hello; exit 5");
    quiet.essential = false;
    let mut talk = lab.start().await;
    talk.until("the neighbour's end", has_exited("quiet")).await;
    assert_eq!(talk.exit("quiet").0, Exit::Code(5));
    let third = lab.log("flood").with_extension("log.2");
    crate::harness::wait_for("three files", crate::harness::PATIENCE, || third.exists().then_some(()));
    let asked = Instant::now();
    talk.stop().await;
    talk.until("the order to be taken", |seen| matches!(seen, Seen::Stopping { .. })).await;
    assert!(asked.elapsed().as_secs() < 2, "the order took {:?}", asked.elapsed());
    talk.end().await;
    let files: Vec<_> = fs::read_dir(lab.path().join("logs")).unwrap().map(Result::unwrap).collect();
    let sizes = files.iter().filter(|file| file.file_name().to_string_lossy().starts_with("flood"));
    let sizes: Vec<u64> = sizes.map(|file| file.metadata().unwrap().len()).collect();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.iter().all(|size| *size <= 1 << 20), "{sizes:?}");
    assert_eq!(read(&lab, "quiet").await.0, b"hello\n");
}

#[tokio::test]
async fn a_terminal_is_one_output() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    let app = lab.container("app", "test -t 0 && test -t 1 && test -t 2 && echo a terminal");
    app.tty = true;
    let config = app.bundle.join("config.json");
    let mut bundle: serde_json::Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    bundle["process"]["terminal"] = true.into();
    fs::write(config, bundle.to_string()).unwrap();
    let mut talk = lab.start().await;
    talk.end().await;
    assert_eq!(talk.exit("app").0, Exit::Code(0));
    assert_eq!(read(&lab, "app").await.0, b"a terminal\r\n");
}

#[tokio::test]
async fn an_open_standard_input_does_not_end() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("closed", "cat; echo closed").essential = false;
    let open = lab.container("open", "exec cat");
    // The kernel keeps a signal that the first process does not handle from it.
    (open.open_stdin, open.stop_timeout) = (true, Some(0));
    let mut talk = lab.start().await;
    talk.until("the end of the closed one", has_exited("closed")).await;
    talk.stop().await;
    talk.end().await;
    assert_eq!(talk.exit("open").0, Exit::Signal(9));
}
