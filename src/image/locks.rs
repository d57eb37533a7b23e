//! Who may touch what in a store, across processes and within one.
//!
//! One file, `lock`, of which single bytes are held: the byte of a layer, blob or record follows from its digest. The
//! kernel lets go when the holder dies, so nothing stale is ever left; nothing needs cleaning up either.
//!
//! Whoever holds a thing's byte owns its place in `tmp/` and `partial/`: whatever lies there was left by a dead process.
//! Besides, every change that relies on layers staying shares one byte, and collecting garbage takes that one alone.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::kernel::fs::{Hold, lock_byte, try_lock_byte};

/// What a byte stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A stored layer, by its diffID.
    Layer,
    /// A blob, whole or partial, by its digest.
    Blob,
    /// The record of an image, by the digest of its name.
    Record,
}

impl Subject {
    /// How its temporary names begin.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::Blob => "blob",
            Self::Record => "record",
        }
    }

    /// The subject and hexadecimal digest in a temporary name.
    pub(crate) fn of_name(name: &str) -> Option<(Self, &str)> {
        let (word, hex) = name.split_once('-')?;
        [Self::Layer, Self::Blob, Self::Record].into_iter().find(|s| s.word() == word).map(|s| (s, hex))
    }
}

/// Something held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    _file: File,
}

/// The lock file of a store.
#[derive(Debug, Clone)]
pub(crate) struct Locks(PathBuf);

const COLLECTION: u64 = 3 << 60;

impl Locks {
    pub(crate) fn new(root: &Path) -> Self {
        Self(root.join("lock"))
    }

    /// Holds a thing alone; waits for whoever has it.
    pub(crate) fn wait(&self, subject: Subject, hex: &str) -> io::Result<Lease> {
        let file = self.open()?;
        lock_byte(&file, byte(subject, hex), Hold::Exclusive)?;
        Ok(Lease { _file: file })
    }

    /// Holds a thing alone if nobody has it.
    pub(crate) fn attempt(&self, subject: Subject, hex: &str) -> io::Result<Option<Lease>> {
        let file = self.open()?;
        let is_held = try_lock_byte(&file, byte(subject, hex), Hold::Exclusive)?;
        Ok(is_held.then_some(Lease { _file: file }))
    }

    /// Keeps the collector out.
    pub(crate) fn keep(&self) -> io::Result<Lease> {
        let file = self.open()?;
        lock_byte(&file, COLLECTION, Hold::Shared)?;
        Ok(Lease { _file: file })
    }

    /// Lets the collector in, if nobody keeps it out.
    pub(crate) fn attempt_to_collect(&self) -> io::Result<Option<Lease>> {
        let file = self.open()?;
        let is_held = try_lock_byte(&file, COLLECTION, Hold::Exclusive)?;
        Ok(is_held.then_some(Lease { _file: file }))
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.0)
    }
}

/// Two digests that share their first fifteen digits would share a byte, and merely wait for each other.
fn byte(subject: Subject, hex: &str) -> u64 {
    let digits = hex.get(..15).unwrap_or(hex);
    let low = u64::from_str_radix(digits, 16).unwrap_or(0);
    let high = match subject {
        Subject::Layer => 0,
        Subject::Blob => 1,
        Subject::Record => 2,
    };
    high << 60 | low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_held_by_one_and_given_back_on_drop() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path());
        let hex = "0123456789abcdef";
        let held = locks.wait(Subject::Layer, hex).unwrap();
        assert!(locks.attempt(Subject::Layer, hex).unwrap().is_none());
        assert!(locks.attempt(Subject::Blob, hex).unwrap().is_some());
        assert!(locks.attempt(Subject::Record, hex).unwrap().is_some());
        drop(held);
        assert!(locks.attempt(Subject::Layer, hex).unwrap().is_some());
    }

    #[test]
    fn the_collector_waits_for_nobody_and_shares_with_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path());
        let (one, two) = (locks.keep().unwrap(), locks.keep().unwrap());
        drop(one);
        assert!(locks.attempt_to_collect().unwrap().is_none());
        drop(two);
        assert!(locks.attempt_to_collect().unwrap().is_some());
    }
}
