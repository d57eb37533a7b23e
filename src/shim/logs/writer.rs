//! Writing a container's output, whatever the disk says.
//!
//! Output is never a reason for a container to fail: what the disk refuses is dropped and counted, and a note takes
//! its place once there is room again. The file is a whole number of records at every moment.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use memchr::memchr;

use super::{
    Stream,
    events::Event,
    json,
    lines::{LONGEST as RECORD, Lines},
    pack::{Pack, packed},
    record::{self, Behind, Head},
};
use crate::shim::spec::{Driver, LogSpec};

/// Bytes of records that are written at once.
const BATCH: usize = 128 << 10;

/// A container's output on its way to the disk.
#[derive(Debug)]
pub struct Writer {
    spec: LogSpec,
    form: Form,
    file: Option<File>,
    /// Bytes of whole records in the file.
    size: u64,
    /// Bytes of output that the disk refused since the last note, and why.
    dropped: Option<(u64, String)>,
    /// What compresses older files, where that is wanted.
    pack: Option<Pack>,
}

/// How records are written.
#[derive(Debug)]
enum Form {
    /// As they come: what was written without an end of line is there at once.
    Text,
    /// As Docker does: lines wait for their end, because a letter cut in two would be lost in JSON.
    Json { attributes: String, lines: Lines },
}

/// Records on their way to the file.
struct Batch<'a> {
    records: &'a mut Vec<u8>,
    /// Bytes of output that the records stand for.
    output: u64,
    head: Head,
}

impl Writer {
    /// Output that goes where `spec` says. The file is opened when there is something to write.
    #[must_use]
    pub fn new(spec: LogSpec) -> Self {
        let form = match &spec.driver {
            Driver::JsonFile { attributes, .. } => {
                Form::Json { attributes: json::attributes(attributes), lines: Lines::default() }
            }
            Driver::File | Driver::Events { .. } | Driver::Journald { .. } | Driver::Syslog { .. } => {
                Form::Text
            }
        };
        let pack = matches!(spec.driver, Driver::JsonFile { compress: true, .. });
        let pack = pack.then(|| Pack::new(spec.path.clone(), spec.max_files));
        Self { spec, form, file: None, size: 0, dropped: None, pack }
    }

    /// Takes what `stream` gave at `nanos`. `batch` is room to work in, the same for all.
    pub fn take(&mut self, stream: Stream, bytes: &[u8], nanos: u64, batch: &mut Vec<u8>) {
        batch.clear();
        let mut batch = Batch { records: batch, output: 0, head: Head::new(stream, nanos) };
        match &mut self.form {
            Form::Text => self.take_text(bytes, &mut batch),
            Form::Json { lines, .. } => {
                let mut taken = std::mem::take(lines);
                taken.push(stream, bytes, |line, whole| self.add(line, whole, &mut batch));
                self.keep(taken);
            }
        }
        self.flush(&mut batch);
    }

    /// Takes an event, whose lines stay together.
    pub(super) fn take_event(&mut self, stream: Stream, event: &Event, batch: &mut Vec<u8>) {
        batch.clear();
        let head = Head::new(stream, event.nanos);
        let mut batch = Batch { records: batch, output: event.bytes.len() as u64, head };
        let mut lines = event.bytes.split(|&byte| byte == b'\n').peekable();
        while let Some(mut line) = lines.next() {
            while line.len() > RECORD {
                let piece;
                (piece, line) = line.split_at(RECORD);
                record::put(batch.records, &head, Behind::Rest, piece);
            }
            let last = if event.whole { Behind::End } else { Behind::Rest };
            let behind = if lines.peek().is_some() { Behind::Line } else { last };
            record::put(batch.records, &head, behind, line);
        }
        self.flush(&mut batch);
    }

    /// Compresses a little more of what waits for it.
    pub(super) fn tend(&mut self) {
        self.pack.iter_mut().for_each(Pack::step);
    }

    /// Whether something waits to be compressed.
    pub(super) fn is_packing(&self) -> bool {
        self.pack.as_ref().is_some_and(Pack::is_busy)
    }

    /// Writes what waits for an end of line: there will be none.
    pub fn end(&mut self, nanos: u64, batch: &mut Vec<u8>) {
        let Form::Json { lines, .. } = &mut self.form else { return };
        std::mem::take(lines).end(|stream, line| {
            batch.clear();
            let mut batch = Batch { records: batch, output: 0, head: Head::new(stream, nanos) };
            self.add(line, false, &mut batch);
            self.flush(&mut batch);
        });
    }

    fn keep(&mut self, taken: Lines) {
        if let Form::Json { lines, .. } = &mut self.form {
            *lines = taken;
        }
    }

    fn take_text(&mut self, mut bytes: &[u8], batch: &mut Batch<'_>) {
        let record = RECORD.min(self.ceiling() / 4).max(64);
        while !bytes.is_empty() {
            let window = &bytes[..bytes.len().min(record + 1)];
            let end = memchr(b'\n', window);
            let length = end.unwrap_or(bytes.len().min(record));
            self.add(&bytes[..length], end.is_some(), batch);
            bytes = &bytes[length + usize::from(end.is_some())..];
        }
    }

    fn ceiling(&self) -> usize {
        usize::try_from(self.spec.max_size).unwrap_or(usize::MAX)
    }

    /// Adds a record, and writes all of them when they are many.
    fn add(&mut self, bytes: &[u8], whole: bool, batch: &mut Batch<'_>) {
        self.put(batch.records, &batch.head, whole, bytes);
        batch.output += bytes.len() as u64 + u64::from(whole);
        if batch.records.len() >= BATCH.min(self.ceiling() / 2) {
            self.flush(batch);
        }
    }

    fn put(&self, records: &mut Vec<u8>, head: &Head, whole: bool, bytes: &[u8]) {
        match &self.form {
            Form::Text => {
                let behind = if whole { Behind::End } else { Behind::Rest };
                record::put(records, head, behind, bytes);
            }
            Form::Json { attributes, .. } => {
                json::put(records, head.time(), head.stream(), whole, bytes, attributes);
            }
        }
    }

    fn flush(&mut self, batch: &mut Batch<'_>) {
        if !batch.records.is_empty() {
            self.write(batch.records, batch.output, &batch.head);
            batch.records.clear();
            batch.output = 0;
        }
    }

    /// Writes records that stand for so many bytes of output, and before them what was dropped.
    fn write(&mut self, records: &[u8], output: u64, head: &Head) {
        let noted = match self.dropped.take() {
            None => Ok(()),
            Some((count, why)) => {
                let mut note = Vec::new();
                let text = format!("{count} bytes were dropped: {why}");
                self.put(&mut note, &head.of(Stream::Note), true, text.as_bytes());
                self.append(&note).inspect_err(|_| self.dropped = Some((count, why)))
            }
        };
        if let Err(error) = noted.and_then(|()| self.append(records)) {
            let (count, why) = self.dropped.take().unwrap_or_else(|| (0, reason(&error)));
            self.dropped = Some((count + output, why));
        }
    }

    /// Writes whole records, into a new file if they do not fit into this one.
    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            let (file, size) = open(&self.spec.path)?;
            (self.file, self.size) = (Some(file), size);
        }
        if self.size > 0 && self.size + records.len() as u64 > self.spec.max_size {
            self.file = None;
            rotate(&self.spec.path, self.spec.max_files, self.pack.is_some());
            self.pack.iter_mut().for_each(Pack::rotated);
            let (file, size) = open(&self.spec.path)?;
            (self.file, self.size) = (Some(file), size);
        }
        let Some(mut file) = self.file.as_ref() else { return Ok(()) };
        if let Err(error) = file.write_all(records) {
            // Part of a record may be there; what follows would read as its end.
            let _ = file.set_len(self.size);
            return Err(error);
        }
        self.size += records.len() as u64;
        Ok(())
    }
}

/// The error as people know it, without its number.
fn reason(error: &io::Error) -> String {
    let known = error.raw_os_error().map(|number| nix::errno::Errno::from_raw(number).desc().to_lowercase());
    known.unwrap_or_else(|| error.to_string())
}

/// Opens the file for appending whole records.
fn open(path: &Path) -> io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o640).open(path)?;
    let size = file.metadata()?.len();
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    if last == *b"\n" {
        return Ok((file, size));
    }
    file.write_all(b"\n")?;
    Ok((file, size + 1))
}

/// Makes room for a new file. A name that is not there is passed over.
fn rotate(path: &Path, files: u32, are_packed: bool) {
    let oldest = files.saturating_sub(1);
    if oldest == 0 {
        let _ = fs::remove_file(path);
        return;
    }
    if are_packed {
        // One of either form is the oldest: none may be left behind the other.
        let _ = fs::remove_file(older(path, oldest));
        let _ = fs::remove_file(packed(path, oldest));
    }
    for number in (1..oldest).rev() {
        let _ = fs::rename(older(path, number), older(path, number + 1));
        if are_packed {
            let _ = fs::rename(packed(path, number), packed(path, number + 1));
        }
    }
    let _ = fs::rename(path, older(path, 1));
}

/// The name of the file that was written so many files before the one at `path`.
pub(super) fn older(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests;
