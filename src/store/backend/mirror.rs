//! A copy of every row beside the database, for the day on which the database cannot be read.
//!
//! The copy is a file of lines: the rows as they were when it was last written whole, and every change since. A line
//! holds a checksum, so what was half written, or went bad, is known and left out. Changes are appended without
//! waiting for the disk: the database has waited already, and the copy is needed only when the database is damaged.
//! It is written anew at each start, and when changes have made it several times as long as what it holds.
//!
//! No error of the copy is an error of the store. A copy that misses a change would bring back what is gone, so one
//! that cannot be written is removed, and made again later.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::model::reading;
use crate::store::record::{Change, Row, Table};

/// A copy shorter than this is never written anew for its length.
const SHORT: u64 = 4 << 20;

/// The pause after a copy that could not be written.
const PAUSE: Duration = Duration::from_secs(30);

/// The copy.
pub(super) struct Mirror {
    path: PathBuf,
    file: Option<File>,
    whole: u64,
    length: u64,
    failed: Option<Instant>,
}

impl Mirror {
    /// The copy in the file at `path`. It takes nothing before it was written whole.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, file: None, whole: 0, length: 0, failed: None }
    }

    /// The rows that the file at `path` holds, in no order that means anything; none when there is no such file.
    pub(super) fn read(path: &Path) -> io::Result<Vec<Row>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut rows = BTreeMap::new();
        for line in BufReader::new(file).split(b'\n') {
            let Some((table, key, document)) = decode(&line?) else { continue };
            match document {
                Some(document) => rows.insert((table, key), document),
                None => rows.remove(&(table, key)),
            };
        }
        let row = |((table, key), document)| Row { table, key, document };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Whether it is to be written whole: it was not yet, or it has grown long.
    pub(super) fn is_due(&self) -> bool {
        match (&self.file, self.failed) {
            (None, Some(failed)) => failed.elapsed() >= PAUSE,
            (None, None) => true,
            (Some(_), _) => self.length > SHORT && self.length / 3 > self.whole,
        }
    }

    /// Writes it whole, and puts it in the place of what was there.
    pub(super) fn rewrite(&mut self, rows: &[Row]) {
        let new = self.path.with_extension("copy-new");
        let written = self.replace(&new, rows);
        if let Err(error) = written {
            let _ = fs::remove_file(&new);
            self.give_up(&error);
        }
    }

    fn replace(&mut self, new: &Path, rows: &[Row]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(new)?;
        let mut length = 0;
        for some in rows.chunks(1024) {
            let lines: Vec<u8> =
                some.iter().flat_map(|row| encode(row.table, &row.key, Some(&row.document))).collect();
            file.write_all(&lines)?;
            length += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        }
        file.sync_all()?;
        fs::rename(new, &self.path)?;
        (self.whole, self.length, self.file, self.failed) = (length, length, Some(file), None);
        Ok(())
    }

    /// Takes changes that the database has taken.
    pub(super) fn append(&mut self, batch: &[Change]) {
        let Some(file) = &mut self.file else { return };
        let lines: Vec<u8> = batch
            .iter()
            .flat_map(|change| encode(change.table, &change.key, change.document.as_deref()))
            .collect();
        match file.write_all(&lines) {
            Ok(()) => self.length += u64::try_from(lines.len()).unwrap_or(u64::MAX),
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        tracing::warn!(path = %self.path.display(), %error, "the database has no copy for now");
        (self.file, self.failed) = (None, Some(Instant::now()));
        let _ = fs::remove_file(&self.path);
    }
}

/// `CHECKSUM JSON`, with the JSON a list of table, key and document, the last null for a row that is removed.
fn encode(table: Table, key: &str, document: Option<&str>) -> Vec<u8> {
    let text = serde_json::json!([table.name(), key, document]).to_string();
    format!("{:016x} {text}\n", checksum(&text)).into_bytes()
}

fn decode(line: &[u8]) -> Option<(Table, String, Option<String>)> {
    let (sum, text) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let (table, key, document): (String, String, Option<String>) = reading::from_str(text).ok()?;
    let table = Table::ALL.into_iter().find(|known| known.name() == table)?;
    (u64::from_str_radix(sum, 16) == Ok(checksum(text))).then_some((table, key, document))
}

/// FNV-1a.
fn checksum(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, document: &str) -> Row {
        Row { table: Table::Task, key: key.into(), document: document.into() }
    }

    fn change(key: &str, document: Option<&str>) -> Change {
        Change { table: Table::Task, key: key.into(), document: document.map(str::to_owned) }
    }

    #[test]
    fn it_holds_what_was_written_whole_and_every_change_since() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db.copy");
        assert_eq!(Mirror::read(&path).unwrap(), []);
        let mut mirror = Mirror::at(path.clone());
        mirror.append(&[change("lost", Some("{}"))]);
        assert!(mirror.is_due() && !path.exists());
        mirror.rewrite(&[row("a", "1"), row("b", "\"line\\n\"")]);
        mirror.append(&[change("a", None), change("c", Some("3"))]);
        assert!(!mirror.is_due());
        assert_eq!(Mirror::read(&path).unwrap(), [row("b", "\"line\\n\""), row("c", "3")]);
    }

    #[test]
    fn lines_that_are_torn_or_went_bad_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db.copy");
        let mut mirror = Mirror::at(path.clone());
        mirror.rewrite(&[row("a", "1"), row("b", "22"), row("c", "3")]);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(2).position(|pair| pair == b"22").unwrap();
        bytes[at] = b'7';
        bytes.truncate(bytes.len() - 3);
        fs::write(&path, bytes).unwrap();
        assert_eq!(Mirror::read(&path).unwrap(), [row("a", "1")]);
    }

    #[test]
    fn a_copy_that_has_grown_long_is_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let mut mirror = Mirror::at(directory.path().join("store.db.copy"));
        mirror.rewrite(&[row("a", "1")]);
        let long = "x".repeat(100_000);
        for _ in 0..50 {
            mirror.append(&[change("a", Some(&long))]);
        }
        assert!(mirror.is_due());
    }
}
