use std::fs;

use super::*;
use crate::model::{fact::Seen, ids::TaskId, time::Timestamp};

fn fact(at: u64) -> Fact {
    Fact { task: TaskId::from_random([7; 16]), at: Timestamp(at), ledger: None, seen: Seen::PullStarted }
}

fn all(ledger: &Ledger, from: u64) -> Vec<Fact> {
    let mut cursor = Cursor::before(from);
    let mut facts = Vec::new();
    while let Some(json) = ledger.read(&mut cursor) {
        facts.push(serde_json::from_slice(&json).unwrap());
    }
    facts
}

fn numbers(facts: &[Fact]) -> Vec<u64> {
    facts.iter().filter_map(|fact| fact.ledger).collect()
}

#[test]
fn facts_are_numbered_from_one_and_read_from_any_number() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let mut ledger = Ledger::open(&path).unwrap();
    (1..=5).for_each(|at| ledger.append(fact(at)));
    assert_eq!(numbers(&all(&ledger, 1)), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&all(&ledger, 4)), [4, 5]);
    assert_eq!(numbers(&all(&ledger, 9)), [] as [u64; 0]);
    assert_eq!(numbers(&read_ledger(&path, 3).unwrap()), [3, 4, 5]);
}

#[test]
fn a_torn_line_is_cut_off_wherever_it_is_torn() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let mut ledger = Ledger::open(&path).unwrap();
    (1..=3).for_each(|at| ledger.append(fact(at)));
    let whole = fs::read(&path).unwrap();
    let second = whole.iter().position(|&byte| byte == b'\n').unwrap() * 2 + 2;
    for end in second..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        assert_eq!(numbers(&read_ledger(&path, 1).unwrap()), [1, 2], "torn after {end} bytes");
        let mut ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.facts(), 2);
        ledger.append(fact(9));
        assert_eq!(numbers(&all(&ledger, 1)), [1, 2, 3]);
        assert_eq!(fs::read(&path).unwrap().len(), whole.len());
    }
}

#[test]
fn a_line_with_a_wrong_byte_ends_the_ledger() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let mut ledger = Ledger::open(&path).unwrap();
    (1..=3).for_each(|at| ledger.append(fact(at)));
    let mut text = fs::read(&path).unwrap();
    let middle = text.len() / 2;
    text[middle] ^= 1;
    fs::write(&path, &text).unwrap();
    assert_eq!(numbers(&read_ledger(&path, 1).unwrap()), [1]);
}

#[test]
fn facts_that_the_disk_refuses_wait_in_their_order() {
    let place = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&place.path().join("ledger")).unwrap();
    ledger.append(fact(1));
    let real = std::mem::replace(&mut ledger.file, File::options().write(true).open("/dev/full").unwrap());
    ledger.append(fact(2));
    ledger.append(fact(3));
    assert!(!ledger.is_written());
    ledger.file = real;
    let mut cursor = Cursor::before(1);
    assert!(ledger.read(&mut cursor).is_some());
    assert!(ledger.read(&mut cursor).is_some(), "a fact in memory is read as well");
    ledger.finish();
    assert!(ledger.is_written());
    assert_eq!(numbers(&all(&ledger, 1)), [1, 2, 3]);
    assert!(ledger.read(&mut cursor).is_some(), "a place in memory is a place in the file");
    assert!(ledger.read(&mut cursor).is_none());
}

#[test]
fn a_ledger_that_somebody_overwrites_is_told_from_memory_and_written_anew() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let mut ledger = Ledger::open(&path).unwrap();
    (1..=3).for_each(|at| ledger.append(fact(at)));
    fs::write(&path, "not a ledger\n").unwrap();
    ledger.append(fact(4));
    assert_eq!(numbers(&all(&ledger, 2)), [2, 3, 4]);
    ledger.finish();
    assert_eq!(numbers(&read_ledger(&path, 1).unwrap()), [1, 2, 3, 4]);
}

#[test]
fn a_long_ledger_is_read_across_file_and_memory() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("ledger");
    let mut ledger = Ledger::open(&path).unwrap();
    (1..=2000).for_each(|at| ledger.append(fact(at)));
    assert!(ledger.held <= MEMORY && ledger.recent.len() < 2000);
    assert_eq!(numbers(&all(&ledger, 1)), (1..=2000).collect::<Vec<_>>());
    fs::write(&path, "not a ledger\n").unwrap();
    let told = numbers(&all(&ledger, 1));
    assert!(told.len() > 100 && told.last() == Some(&2000), "what is in memory is told");
    ledger.finish();
    assert_eq!(numbers(&read_ledger(&path, 1).unwrap()), told);
}

#[test]
fn a_ledger_that_is_not_there_holds_nothing() {
    assert_eq!(read_ledger(Path::new("/nonexistent/ledger"), 1).unwrap(), []);
}
