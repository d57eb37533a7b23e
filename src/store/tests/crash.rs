//! Killed at any moment, the database holds every write that was answered, whole.

use std::{
    convert::Infallible,
    env,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use super::sample;
use crate::store::Store;

const DIRECTORY: &str = "HYTHE_TEST_STORE_TO_BE_KILLED";

/// As a child of the test below: writes until it is killed, and prints each number that was answered. By itself it
/// has nothing to do.
#[tokio::test]
async fn a_writer_that_will_be_killed() {
    let Some(path) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let store = Store::open(&path).unwrap().store;
    let mut next = store.snapshot().last_revision(&sample::family("left")) + 1;
    loop {
        store
            .write(|draft| {
                sample::define(draft, "left", 500);
                sample::define(draft, "right", 5000);
                Ok::<_, Infallible>(())
            })
            .await
            .unwrap();
        println!("answered {next}");
        next += 1;
    }
}

#[test]
fn a_kill_during_commits_loses_nothing_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut answered = 0;
    for round in 1..=6_u32 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["store::tests::crash::a_writer_that_will_be_killed", "--exact", "--nocapture"])
            .env(DIRECTORY, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let numbers =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("answered ")?.parse().ok());
        answered = numbers.take(round as usize * 7).last().unwrap_or(answered);
        child.kill().unwrap();
        child.wait().unwrap();
        let opened = Store::open(&path).unwrap();
        assert!(opened.set_aside.is_none() && opened.unreadable.is_empty());
        let snapshot = opened.store.snapshot();
        let (left, right) = (sample::family("left"), sample::family("right"));
        let last = snapshot.last_revision(&left);
        assert!(last >= answered, "{last} of {answered}");
        assert_eq!(last, snapshot.last_revision(&right), "a commit was torn");
        assert_eq!(snapshot.task_definitions_of(&left).count(), last as usize);
        assert_eq!(snapshot.task_definitions_of(&right).count(), last as usize);
        drop(opened.store);
        sample::wait_until_free(&path);
    }
    assert!(answered > 0);
}
