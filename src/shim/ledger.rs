//! What a shim saw, kept in a file until a daemon has taken it.
//!
//! The file only grows. Each fact is one line, and the number of the line is the number of the fact:
//!
//! ```text
//!   0f9e8d7c6b5a4938 {"task":"…","at":1763713000123,"ledger":1,"seen":{"fact":"shimStarted"}}
//!   ^ checksum of the rest of the line, without its end
//! ```
//!
//! A line that was torn by a crash or a full disk has no end or a wrong checksum; it is cut off when the file is
//! opened for writing, and passed over by whoever reads. When the disk is full, facts wait in memory in their order
//! and are written once there is room: a task never ends because of its ledger. Only [`Ledger::sync`] waits for the
//! disk itself, because a shim that is killed loses nothing that it has written, and a host that loses power has
//! lost the task as well.
//!
//! The last facts stay in memory too, and are told from there: a file that somebody damages while the shim lives
//! costs nothing, and is written anew from memory at the end.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::model::fact::Fact;
use crate::model::reading;

/// Bytes of the checksum and the space behind it.
const HEAD: usize = 17;

/// Bytes of lines that stay in memory; a task has some thirty lines of two hundred bytes.
const MEMORY: usize = 64 << 10;

/// A ledger that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It could not be opened.
    #[error("open ledger {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be read.
    #[error("read ledger {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its torn end could not be cut off.
    #[error("cut the torn end of ledger {}", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The writer's side.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    /// Bytes of whole lines in the file.
    length: u64,
    /// Facts in the file.
    written: u64,
    /// Facts of the task so far.
    facts: u64,
    /// The last lines, the newest last; at its end are those that the disk has not taken yet.
    recent: VecDeque<Vec<u8>>,
    /// Bytes in them.
    held: usize,
}

/// A reader's place in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The number of the fact that comes next, from 1.
    next: u64,
    /// Where in the file `at` begins.
    offset: u64,
    /// The number of the line at `offset`.
    at: u64,
}

impl Cursor {
    /// Before fact number `from`.
    #[must_use]
    pub fn before(from: u64) -> Self {
        Self { next: from.max(1), offset: 0, at: 1 }
    }

    /// The number of the fact that comes next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }
}

impl Ledger {
    /// Opens the ledger at `path`, which is made when it is not there, and cuts off a torn end.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)
            .map_err(|source| LedgerError::Open { path: path.to_owned(), source })?;
        let (mut length, mut written) = (0, 0);
        let mut lines = Lines { input: BufReader::with_capacity(4096, &file), line: Vec::new() };
        while let Some(line) =
            lines.advance().map_err(|source| LedgerError::Read { path: path.to_owned(), source })?
        {
            length += line.len() as u64 + HEAD as u64 + 1;
            written += 1;
        }
        file.set_len(length).map_err(|source| LedgerError::Cut { path: path.to_owned(), source })?;
        Ok(Self { file, length, written, facts: written, recent: VecDeque::new(), held: 0 })
    }

    /// How many facts it holds.
    #[must_use]
    pub fn facts(&self) -> u64 {
        self.facts
    }

    /// Whether the disk has taken every fact.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.written == self.facts
    }

    /// Keeps `fact`, whose number becomes the next one, and writes as much as the disk takes.
    pub fn append(&mut self, mut fact: Fact) {
        self.facts += 1;
        fact.ledger = Some(self.facts);
        let line = frame(&fact);
        self.held += line.len();
        self.recent.push_back(line);
        self.write();
    }

    /// Writes what the disk has not taken yet. Whether it took everything is [`Self::is_written`].
    pub fn write(&mut self) {
        while let Some(line) = self.line_in_memory(self.written + 1) {
            let length = line.len() as u64;
            if (&self.file).write_all(line).is_err() {
                // Part of the line may be there; a reader would take what follows for its end.
                let _ = self.file.set_len(self.length);
                return;
            }
            self.length += length;
            self.written += 1;
        }
        while self.held > MEMORY
            && let Some(line) = self.recent.pop_front()
        {
            self.held -= line.len();
        }
    }

    /// Writes what is left, anew if somebody damaged the file. A failure leaves the facts where they are.
    pub fn finish(&mut self) {
        self.write();
        if self.is_written() && self.is_damaged() && self.file.set_len(0).is_ok() {
            self.length = 0;
            self.written = self.facts - self.recent.len() as u64;
            self.write();
        }
    }

    /// Waits until the disk has what is written, as well as it can.
    pub fn sync(&self) {
        let _ = self.file.sync_data();
    }

    /// The next fact at `cursor` as JSON without a line's end, and moves the cursor behind it. Facts that are neither
    /// in memory nor whole in the file are passed over.
    pub fn read(&self, cursor: &mut Cursor) -> Option<Vec<u8>> {
        let first = self.facts - self.recent.len() as u64 + 1;
        if cursor.next < first {
            match self.read_file(cursor) {
                Ok(Some(json)) => return Some(json),
                Ok(None) | Err(_) => cursor.next = first,
            }
        }
        let line = self.line_in_memory(cursor.next)?;
        cursor.next += 1;
        Some(line[HEAD..line.len() - 1].to_vec())
    }

    /// The line of a fact by its number, with its end.
    fn line_in_memory(&self, number: u64) -> Option<&Vec<u8>> {
        let behind = usize::try_from(self.facts.checked_sub(number)?).ok()?;
        self.recent.get(self.recent.len().checked_sub(behind + 1)?)
    }

    fn read_file(&self, cursor: &mut Cursor) -> io::Result<Option<Vec<u8>>> {
        while cursor.at <= self.written {
            let line = self.line_at(cursor.offset)?;
            let wanted = cursor.at == cursor.next;
            cursor.offset += line.len() as u64 + 1;
            cursor.at += 1;
            if wanted {
                let json = whole(&line).ok_or(io::ErrorKind::InvalidData)?;
                cursor.next += 1;
                return Ok(Some(json.to_vec()));
            }
        }
        Ok(None)
    }

    /// Whether the file is not what was written to it.
    fn is_damaged(&self) -> bool {
        let mut lines = Lines { input: BufReader::new(&self.file), line: Vec::new() };
        let is_whole = io::Seek::rewind(&mut &self.file).is_ok()
            && (0..self.written).all(|_| lines.advance().is_ok_and(|line| line.is_some()));
        !is_whole || self.file.metadata().is_ok_and(|metadata| metadata.len() != self.length)
    }

    /// The line that begins at `offset`, without its end.
    fn line_at(&self, offset: u64) -> io::Result<Vec<u8>> {
        let mut line = vec![0; 512];
        let mut filled = 0;
        loop {
            let count = self.file.read_at(&mut line[filled..], offset + filled as u64)?;
            let fresh = &line[filled..filled + count];
            if let Some(end) = fresh.iter().position(|&byte| byte == b'\n') {
                line.truncate(filled + end);
                return if line.len() >= HEAD { Ok(line) } else { Err(io::ErrorKind::InvalidData.into()) };
            }
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += count;
            if filled == line.len() {
                line.resize(2 * filled, 0);
            }
        }
    }
}

/// Every whole fact of the ledger at `path` from number `from` on, for a shim that is gone. No file is no fact.
pub fn read_ledger(path: &Path, from: u64) -> Result<Vec<Fact>, LedgerError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(LedgerError::Open { path: path.to_owned(), source }),
    };
    let mut lines = Lines { input: BufReader::new(&file), line: Vec::new() };
    let (mut facts, mut number) = (Vec::new(), 0);
    while let Some(line) =
        lines.advance().map_err(|source| LedgerError::Read { path: path.to_owned(), source })?
    {
        number += 1;
        // A fact of a later version is whole but not understood; its number still counts. A ledger that was written
        // anew may begin with a later one.
        let fact = reading::from_slice::<Fact>(line).ok();
        facts.extend(fact.filter(|fact| fact.ledger.unwrap_or(number) >= from));
    }
    Ok(facts)
}

/// The whole lines of a ledger, up to the first that is torn.
struct Lines<'a> {
    input: BufReader<&'a File>,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// The JSON of the next line.
    fn advance(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        self.input.read_until(b'\n', &mut self.line)?;
        Ok(unframe(&self.line))
    }
}

/// A fact as a line.
fn frame(fact: &Fact) -> Vec<u8> {
    let mut line = vec![b' '; HEAD];
    // Maps with keys that are not text are what cannot be written; a fact has none.
    let _ = serde_json::to_writer(&mut line, fact);
    let sum = format!("{:016x}", checksum(&line[HEAD..]));
    line[..HEAD - 1].copy_from_slice(sum.as_bytes());
    line.push(b'\n');
    line
}

/// The JSON in a line that is whole.
fn unframe(line: &[u8]) -> Option<&[u8]> {
    whole(line.strip_suffix(b"\n")?)
}

/// The JSON in a line without its end.
fn whole(line: &[u8]) -> Option<&[u8]> {
    let (sum, json) = (line.get(..HEAD - 1)?, line.get(HEAD..)?);
    let sum = u64::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (sum == checksum(json)).then_some(json)
}

/// Fowler, Noll and Vo's hash, variant 1a: enough to tell a torn line from a whole one.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
