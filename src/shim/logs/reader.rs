//! Reading a container's output: from a time, from so many lines before the end, and as it comes.
//!
//! A reader holds the file it reads open, so a file that gets another name under it is read to its end before the
//! next one begins. A reader so slow that the file after its own is gone already goes on with the oldest that is
//! left. Following is by inotify on the directory: nothing is asked over and over.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader},
    os::{
        fd::AsFd,
        unix::fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use super::{
    Record,
    record::{is_whole, parse},
    writer::older,
};
use crate::{
    kernel::{
        event::{Watch, Watcher},
        readiness::Readable,
    },
    model::time::Timestamp,
};

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// What is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Nothing older than this.
    pub since: Option<Timestamp>,
    /// Only this many lines before the end.
    pub tail: Option<usize>,
    /// Whether to wait for more at the end.
    pub follow: bool,
}

/// A place in a container's output.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    since: u64,
    place: Option<Place>,
    /// What was read and not given yet, from `given` on.
    read: Vec<u8>,
    given: usize,
    watch: Option<Follow>,
}

/// A place in one file.
#[derive(Debug)]
struct Place {
    file: File,
    offset: u64,
    /// Whether it had another name already when its end was last seen, so that nothing is added any more.
    retired: bool,
}

#[derive(Debug)]
struct Follow {
    watcher: Watcher,
    readable: Readable,
}

impl Reader {
    /// Opens the output that is written to `path`. The file need not be there yet; its directory must, to follow.
    pub fn open(path: &Path, selection: &Selection) -> io::Result<Self> {
        // Watching begins before reading, so that nothing falls between the two.
        let watch = selection.follow.then(|| Follow::begin(path)).transpose()?;
        let since = selection.since.map_or(0, |since| since.0.saturating_mul(1_000_000));
        let mut reader =
            Self { path: path.to_owned(), since, place: None, read: Vec::new(), given: 0, watch };
        reader.place = match selection.tail {
            Some(lines) => reader.before_the_last(lines)?,
            None => reader.first()?,
        };
        Ok(reader)
    }

    /// The next record; none at the end, unless it follows. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            if let Some(record) = self.advance()? {
                return Ok(Some(record));
            }
            match &self.watch {
                None => return Ok(None),
                Some(follow) => follow.wait().await?,
            }
        }
    }

    /// Follows no more: what is there is read to its end.
    pub fn finish(&mut self) {
        self.watch = None;
    }

    /// The next record that is there.
    fn advance(&mut self) -> io::Result<Option<Record>> {
        loop {
            while let Some(line) = self.line() {
                if let Some(record) = parse(&self.read[line]).filter(|record| record.nanos >= self.since) {
                    return Ok(Some(record));
                }
            }
            if !self.fill()? && !self.turn_over()? {
                return Ok(None);
            }
        }
    }

    /// Where the next whole line is in what was read, without its end.
    fn line(&mut self) -> Option<std::ops::Range<usize>> {
        let length = self.read[self.given..].iter().position(|&byte| byte == b'\n')?;
        let start = self.given;
        self.given += length + 1;
        Some(start..start + length)
    }

    /// Reads on in this file. Gives whether there was more.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(place) = &mut self.place else { return Ok(false) };
        self.read.drain(..self.given);
        self.given = 0;
        let filled = self.read.len();
        self.read.resize(filled + CHUNK, 0);
        let count = place.file.read_at(&mut self.read[filled..], place.offset);
        self.read.truncate(filled + count.as_ref().map_or(0, |count| *count));
        let count = count?;
        place.offset += count as u64;
        Ok(count > 0)
    }

    /// At the end of a file: goes on to the next one. Gives whether there may be more to read.
    fn turn_over(&mut self) -> io::Result<bool> {
        let Some(place) = &mut self.place else {
            self.place = self.first()?;
            return Ok(self.place.is_some());
        };
        let ours = identity(&place.file)?;
        let files = files(&self.path)?;
        match files.iter().position(|(_, identity)| *identity == ours) {
            Some(0) => return Ok(false),
            // Something may have been added between the end we saw and the new name.
            Some(_) | None if !place.retired => {
                place.retired = true;
                return Ok(true);
            }
            Some(at) => self.place = files.into_iter().nth(at - 1).map(|(file, _)| Place::start_of(file)),
            None => self.place = files.into_iter().next_back().map(|(file, _)| Place::start_of(file)),
        }
        (self.given, self.read) = (0, Vec::new());
        Ok(self.place.is_some())
    }

    /// The begin of the oldest file that can hold something of interest.
    fn first(&self) -> io::Result<Option<Place>> {
        let since = UNIX_EPOCH + Duration::from_nanos(self.since);
        for (file, _) in files(&self.path)?.into_iter().rev() {
            if file.metadata()?.modified()? >= since {
                return Ok(Some(Place::start_of(file)));
            }
        }
        Ok(None)
    }

    /// Before the last so many lines.
    fn before_the_last(&self, lines: usize) -> io::Result<Option<Place>> {
        let mut missing = lines;
        let mut found = None;
        for (file, _) in files(&self.path)? {
            let (starts, end) = last_lines(&file, missing)?;
            let offset = starts.front().copied().unwrap_or(end);
            missing -= starts.len();
            if found.is_none() || !starts.is_empty() {
                found = Some(Place { file, offset, retired: false });
            }
            if missing == 0 {
                break;
            }
        }
        Ok(found)
    }
}

impl Place {
    fn start_of(file: File) -> Self {
        Self { file, offset: 0, retired: false }
    }
}

impl Follow {
    fn begin(path: &Path) -> io::Result<Self> {
        let watcher = Watcher::new()?;
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        watcher.add(folder, Watch::ENTRIES.and(Watch::CONTENT))?;
        let readable = Readable::register(watcher.as_fd())?;
        Ok(Self { watcher, readable })
    }

    /// Until something in the directory changes.
    async fn wait(&self) -> io::Result<()> {
        self.readable.wait().await?;
        while !self.watcher.read()?.is_empty() {}
        Ok(())
    }
}

/// What tells one file from another, whatever its name.
fn identity(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The files of an output, the newest first.
///
/// They may get other names while they are opened: then one is met twice, at its old and its new name, and counted
/// once. None is left out, because names only move to the older side.
fn files(path: &Path) -> io::Result<Vec<(File, (u64, u64))>> {
    let mut files: Vec<(File, (u64, u64))> = Vec::new();
    for number in 0.. {
        match File::open(older(path, number)) {
            Ok(file) => {
                let identity = identity(&file)?;
                if files.iter().all(|(_, other)| *other != identity) {
                    files.push((file, identity));
                }
            }
            // Between two names the newest has none at all.
            Err(error) if error.kind() == io::ErrorKind::NotFound && number > 0 => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Where the last so many lines of a file begin, and where it ends. A line may be several records.
fn last_lines(file: &File, count: usize) -> io::Result<(VecDeque<u64>, u64)> {
    let mut starts = VecDeque::new();
    let mut input = BufReader::with_capacity(CHUNK, file);
    let (mut line, mut offset, mut begins) = (Vec::new(), 0, true);
    loop {
        line.clear();
        let length = input.read_until(b'\n', &mut line)?;
        if length == 0 || !line.ends_with(b"\n") {
            return Ok((starts, offset));
        }
        if begins {
            starts.push_back(offset);
        }
        if starts.len() > count {
            starts.pop_front();
        }
        begins = is_whole(&line);
        offset += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::timeout;

    use super::{super::writer::Writer, *};
    use crate::shim::{logs::Stream, spec::LogSpec};

    struct Output {
        _place: tempfile::TempDir,
        writer: Writer,
        path: PathBuf,
        said: u64,
    }

    impl Output {
        fn new(max_size: u64, max_files: u32) -> Self {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("app.log");
            let writer = Writer::new(LogSpec { path: path.clone(), max_size, max_files });
            Self { _place: place, writer, path, said: 0 }
        }

        /// Says so many lines, `0`, `1`, …, one a millisecond.
        fn say(&mut self, lines: u64) {
            for _ in 0..lines {
                let line = format!("{}\n", self.said);
                self.writer.take(Stream::Stdout, line.as_bytes(), self.said * 1_000_000, &mut Vec::new());
                self.said += 1;
            }
        }

        fn open(&self, selection: &Selection) -> Reader {
            Reader::open(&self.path, selection).unwrap()
        }

        async fn read(&self, selection: &Selection) -> Vec<u64> {
            rest(&mut self.open(selection)).await
        }
    }

    fn number(record: &Record) -> u64 {
        String::from_utf8(record.bytes.clone()).unwrap().parse().unwrap()
    }

    /// What is read until the end.
    async fn rest(reader: &mut Reader) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some(record) = reader.next().await.unwrap() {
            numbers.push(number(&record));
        }
        numbers
    }

    async fn take(reader: &mut Reader, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        for _ in 0..count {
            let record = timeout(Duration::from_secs(10), reader.next()).await.expect("a record in time");
            numbers.push(number(&record.unwrap().unwrap()));
        }
        numbers
    }

    #[tokio::test]
    async fn everything_is_read_across_files_in_order() {
        let mut output = Output::new(500, 100);
        output.say(100);
        assert!(fs::exists(older(&output.path, 3)).unwrap());
        assert_eq!(output.read(&Selection::default()).await, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_tail_is_counted_in_lines_across_files() {
        let mut output = Output::new(500, 100);
        output.say(100);
        for lines in [0, 1, 9, 10, 11, 55, 100, 1000] {
            let tail = Selection { tail: Some(lines), ..Selection::default() };
            let expected: Vec<u64> = (100 - 100.min(lines as u64)..100).collect();
            assert_eq!(output.read(&tail).await, expected, "the last {lines}");
        }
    }

    #[tokio::test]
    async fn a_line_in_parts_is_one_line_of_a_tail() {
        let mut output = Output::new(10 << 20, 5);
        for part in ["1\n2", "3", "4\n"] {
            output.writer.take(Stream::Stdout, part.as_bytes(), 0, &mut Vec::new());
        }
        let tail = Selection { tail: Some(1), ..Selection::default() };
        assert_eq!(output.read(&tail).await, [2, 3, 4]);
    }

    #[tokio::test]
    async fn nothing_older_than_since_is_read() {
        let mut output = Output::new(500, 100);
        output.say(100);
        let since = Selection { since: Some(Timestamp(42)), ..Selection::default() };
        assert_eq!(output.read(&since).await, (42..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn following_goes_on_over_new_files_and_ends_when_it_is_finished() {
        let mut output = Output::new(500, 100);
        output.say(5);
        let mut reader = output.open(&Selection { follow: true, ..Selection::default() });
        assert_eq!(take(&mut reader, 5).await, [0, 1, 2, 3, 4]);
        assert!(timeout(Duration::from_millis(1), reader.next()).await.is_err(), "it waits for more");
        for round in 0..20 {
            output.say(5);
            assert_eq!(take(&mut reader, 5).await, (5 + round * 5..10 + round * 5).collect::<Vec<_>>());
        }
        output.say(30);
        reader.finish();
        assert_eq!(rest(&mut reader).await, (105..135).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn an_output_that_is_not_there_yet_is_followed_once_it_is() {
        let mut output = Output::new(500, 100);
        assert_eq!(output.read(&Selection::default()).await, [] as [u64; 0]);
        let mut reader = output.open(&Selection { follow: true, tail: Some(3), ..Selection::default() });
        output.say(4);
        assert_eq!(take(&mut reader, 4).await, [0, 1, 2, 3]);
    }

    #[tokio::test]
    async fn a_reader_that_is_too_slow_goes_on_with_the_oldest_that_is_left() {
        let mut output = Output::new(500, 3);
        output.say(1);
        let mut reader = output.open(&Selection { follow: true, ..Selection::default() });
        output.say(200);
        reader.finish();
        let numbers = rest(&mut reader).await;
        assert!(numbers.is_sorted() && numbers[0] == 0 && numbers.last() == Some(&200));
        assert!(numbers.len() < 100, "{} records were kept in three files", numbers.len());
    }
}
