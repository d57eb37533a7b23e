use std::time::{Duration, Instant};

use super::*;
use crate::kernel::process::{Pid, Signal};

fn ready(poll: &Poll, limit: Duration) -> Vec<Token> {
    let mut events = Vec::new();
    poll.wait(&mut events, Some(limit)).unwrap();
    events.iter().map(|event| event.token).collect()
}

#[test]
fn a_timer_is_readable_at_its_deadline_and_not_before() {
    let poll = Poll::new().unwrap();
    let timer = TimerFd::new().unwrap();
    poll.add(&timer, Token(7), Interest::READ).unwrap();
    assert_eq!(ready(&poll, Duration::ZERO), []);

    let deadline = Instant::now() + Duration::from_millis(20);
    timer.set(Some(deadline)).unwrap();
    assert_eq!(ready(&poll, Duration::from_secs(5)), [Token(7)]);
    assert!(Instant::now() >= deadline);
    assert!(timer.clear().unwrap());
    assert!(!timer.clear().unwrap());
}

#[test]
fn a_deadline_in_the_past_fires_at_once() {
    let poll = Poll::new().unwrap();
    let timer = TimerFd::new().unwrap();
    poll.add(&timer, Token(1), Interest::READ).unwrap();
    timer.set(Some(Instant::now())).unwrap();
    assert_eq!(ready(&poll, Duration::from_secs(5)), [Token(1)]);
}

#[test]
fn a_notified_counter_is_readable_until_drained() {
    let poll = Poll::new().unwrap();
    let counter = EventFd::new().unwrap();
    poll.add(&counter, Token(2), Interest::READ).unwrap();
    counter.notify().unwrap();
    counter.notify().unwrap();
    assert_eq!(ready(&poll, Duration::from_secs(5)), [Token(2)]);
    assert_eq!(counter.drain().unwrap(), 2);
    assert_eq!(ready(&poll, Duration::ZERO), []);
    assert_eq!(counter.drain().unwrap(), 0);
}

#[test]
fn a_blocked_signal_arrives_as_an_event() {
    let poll = Poll::new().unwrap();
    let signals = SignalFd::new(&[Signal::USR1]).unwrap();
    poll.add(&signals, Token(3), Interest::READ).unwrap();
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR1).unwrap();
    assert_eq!(ready(&poll, Duration::from_secs(5)), [Token(3)]);
    assert_eq!(signals.read().unwrap(), Some((Signal::USR1, Pid::this())));
    assert_eq!(signals.read().unwrap(), None);
}

#[test]
fn a_new_entry_in_a_watched_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let watcher = Watcher::new().unwrap();
    let watch = watcher.add(dir.path(), Watch::ENTRIES.and(Watch::GONE)).unwrap();
    assert_eq!(watcher.read().unwrap(), []);
    std::fs::create_dir(dir.path().join("new")).unwrap();
    let changes = watcher.read().unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].watch, watch);
    assert_eq!(changes[0].name.as_deref(), Some("new".as_ref()));
    assert!(!changes[0].gone);
}
