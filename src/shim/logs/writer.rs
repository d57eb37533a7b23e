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

use super::{
    Stream, json,
    lines::{LONGEST as RECORD, Lines},
    record,
    time::{TIME, time},
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
    time: [u8; TIME],
}

impl Writer {
    /// Output that goes where `spec` says. The file is opened when there is something to write.
    #[must_use]
    pub fn new(spec: LogSpec) -> Self {
        let form = match &spec.driver {
            Driver::JsonFile { attributes } => {
                Form::Json { attributes: json::attributes(attributes), lines: Lines::default() }
            }
            Driver::File | Driver::Journald { .. } | Driver::Syslog { .. } => Form::Text,
        };
        Self { spec, form, file: None, size: 0, dropped: None }
    }

    /// Takes what `stream` gave at `nanos`. `batch` is room to work in, the same for all.
    pub fn take(&mut self, stream: Stream, bytes: &[u8], nanos: u64, batch: &mut Vec<u8>) {
        batch.clear();
        let mut batch = Batch { records: batch, output: 0, time: time(nanos) };
        match &mut self.form {
            Form::Text => self.take_text(stream, bytes, &mut batch),
            Form::Json { lines, .. } => {
                let mut taken = std::mem::take(lines);
                taken.push(stream, bytes, |line, whole| self.add(stream, line, whole, &mut batch));
                self.keep(taken);
            }
        }
        self.flush(&mut batch);
    }

    /// Writes what waits for an end of line: there will be none.
    pub fn end(&mut self, nanos: u64, batch: &mut Vec<u8>) {
        let Form::Json { lines, .. } = &mut self.form else { return };
        batch.clear();
        let mut batch = Batch { records: batch, output: 0, time: time(nanos) };
        std::mem::take(lines).end(|stream, line| self.add(stream, line, false, &mut batch));
        self.flush(&mut batch);
    }

    fn keep(&mut self, taken: Lines) {
        if let Form::Json { lines, .. } = &mut self.form {
            *lines = taken;
        }
    }

    fn take_text(&mut self, stream: Stream, mut bytes: &[u8], batch: &mut Batch<'_>) {
        let record = RECORD.min(self.ceiling() / 4).max(64);
        while !bytes.is_empty() {
            let window = &bytes[..bytes.len().min(record + 1)];
            let end = window.iter().position(|&byte| byte == b'\n');
            let length = end.unwrap_or(bytes.len().min(record));
            self.add(stream, &bytes[..length], end.is_some(), batch);
            bytes = &bytes[length + usize::from(end.is_some())..];
        }
    }

    fn ceiling(&self) -> usize {
        usize::try_from(self.spec.max_size).unwrap_or(usize::MAX)
    }

    /// Adds a record, and writes all of them when they are many.
    fn add(&mut self, stream: Stream, bytes: &[u8], whole: bool, batch: &mut Batch<'_>) {
        self.put(batch.records, &batch.time, stream, whole, bytes);
        batch.output += bytes.len() as u64 + u64::from(whole);
        if batch.records.len() >= BATCH.min(self.ceiling() / 2) {
            self.flush(batch);
        }
    }

    fn put(&self, records: &mut Vec<u8>, time: &[u8; TIME], stream: Stream, whole: bool, bytes: &[u8]) {
        match &self.form {
            Form::Text => record::put(records, time, stream, whole, bytes),
            Form::Json { attributes, .. } => json::put(records, time, stream, whole, bytes, attributes),
        }
    }

    fn flush(&mut self, batch: &mut Batch<'_>) {
        if !batch.records.is_empty() {
            self.write(batch.records, batch.output, &batch.time);
            batch.records.clear();
            batch.output = 0;
        }
    }

    /// Writes records that stand for so many bytes of output, and before them what was dropped.
    fn write(&mut self, records: &[u8], output: u64, time: &[u8; TIME]) {
        let noted = match self.dropped.take() {
            None => Ok(()),
            Some((count, why)) => {
                let mut note = Vec::new();
                let text = format!("{count} bytes were dropped: {why}");
                self.put(&mut note, time, Stream::Note, true, text.as_bytes());
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
            rotate(&self.spec.path, self.spec.max_files);
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
fn rotate(path: &Path, files: u32) {
    let oldest = files.saturating_sub(1);
    if oldest == 0 {
        let _ = fs::remove_file(path);
        return;
    }
    for number in (1..oldest).rev() {
        let _ = fs::rename(older(path, number), older(path, number + 1));
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
mod tests {
    use super::{super::record::parse, *};

    fn writer(path: &Path, max_size: u64, max_files: u32) -> Writer {
        Writer::new(LogSpec { max_size, max_files, ..LogSpec::at(path.to_owned()) })
    }

    /// The output that the records of a file give back, and their streams.
    fn read(path: &Path) -> (Vec<u8>, Vec<Stream>) {
        let text = fs::read(path).unwrap();
        let records = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        records.map(|line| parse(line).unwrap()).fold(
            Default::default(),
            |(mut bytes, mut streams), record| {
                bytes.extend(record.bytes);
                bytes.extend(record.whole.then_some(b'\n'));
                streams.push(record.stream);
                (bytes, streams)
            },
        )
    }

    #[test]
    fn output_comes_back_byte_by_byte_whatever_pieces_it_came_in() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let mut writer = writer(&path, 10 << 20, 5);
        let long = vec![b'x'; 100_000];
        let mut said = Vec::new();
        for piece in
            [b"one\ntwo\n\nhalf ".as_slice(), b"a line\n", &[0, 255, b'\r', b'\n'], &long, b"\n", b"end"]
        {
            writer.take(Stream::Stdout, piece, 7, &mut Vec::new());
            said.extend_from_slice(piece);
        }
        assert_eq!(read(&path).0, said);
    }

    #[test]
    fn a_line_as_long_as_a_record_is_one_record() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let mut line = vec![b'x'; RECORD];
        line.push(b'\n');
        writer(&path, 10 << 20, 5).take(Stream::Stderr, &line, 7, &mut Vec::new());
        assert_eq!(read(&path).1, [Stream::Stderr]);
    }

    #[test]
    fn files_have_a_ceiling_in_size_and_number_and_keep_the_newest_output() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let mut writer = writer(&path, 1000, 3);
        for number in 0..500 {
            writer.take(Stream::Stdout, format!("line {number}\n").as_bytes(), 7, &mut Vec::new());
        }
        let names = [older(&path, 2), older(&path, 1), path];
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3);
        assert!(names.iter().all(|name| fs::metadata(name).unwrap().len() <= 1000));
        let kept: Vec<u8> = names.iter().flat_map(|name| read(name).0).collect();
        let all: Vec<u8> = (0..500).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        assert!(all.ends_with(&kept) && kept.len() > 400);
    }

    #[test]
    fn one_file_begins_anew_when_it_is_full() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let mut writer = writer(&path, 200, 1);
        (0..9).for_each(|_| writer.take(Stream::Stdout, b"0123456789\n", 7, &mut Vec::new()));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        assert!(fs::metadata(&path).unwrap().len() <= 200);
    }

    #[test]
    fn what_a_full_disk_refuses_is_counted_and_noted() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let mut writer = writer(&path, 10 << 20, 5);
        writer.take(Stream::Stdout, b"before\n", 7, &mut Vec::new());
        let real = writer.file.replace(OpenOptions::new().write(true).open("/dev/full").unwrap());
        writer.take(Stream::Stdout, b"lost\n", 7, &mut Vec::new());
        writer.take(Stream::Stderr, b"lost too\n", 7, &mut Vec::new());
        writer.file = real;
        writer.take(Stream::Stdout, b"after\n", 7, &mut Vec::new());
        let (bytes, streams) = read(&path);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, "before\n14 bytes were dropped: no space left on device\nafter\n");
        assert_eq!(streams[1], Stream::Note);
    }

    #[test]
    fn docker_s_form_has_whole_lines_and_the_same_ceiling() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let driver = Driver::JsonFile { attributes: std::collections::BTreeMap::default() };
        let spec = LogSpec { max_size: 1000, max_files: 3, driver, ..LogSpec::at(path.clone()) };
        let mut writer = Writer::new(spec);
        for piece in ["fir", "st\nsec", "ond\nno end"] {
            writer.take(Stream::Stdout, piece.as_bytes(), 7, &mut Vec::new());
        }
        writer.end(9, &mut Vec::new());
        writer.end(9, &mut Vec::new());
        let text = fs::read_to_string(&path).unwrap();
        let logs: Vec<&str> = text.lines().map(|line| line.split("\",\"stream").next().unwrap()).collect();
        assert_eq!(logs, ["{\"log\":\"first\\n", "{\"log\":\"second\\n", "{\"log\":\"no end"]);
        assert_eq!(read(&path).0, b"first\nsecond\nno end");
        for number in 0..500 {
            writer.take(Stream::Stderr, format!("line {number}\n").as_bytes(), 7, &mut Vec::new());
        }
        let files: Vec<_> = fs::read_dir(place.path()).unwrap().flatten().collect();
        assert_eq!(files.len(), 3);
        assert!(files.iter().all(|file| file.metadata().unwrap().len() <= 1000));
    }

    #[test]
    fn a_torn_end_is_closed_before_anything_is_added() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        fs::write(&path, "2026-11-").unwrap();
        writer(&path, 10 << 20, 5).take(Stream::Stdout, b"x\n", 0, &mut Vec::new());
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "2026-11-\n1970-01-01T00:00:00.000000000Z stdout F x\n");
    }
}
