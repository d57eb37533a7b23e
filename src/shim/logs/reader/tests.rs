use std::fs;

use tokio::time::timeout;

use super::{
    super::writer::{Writer, older},
    *,
};
use crate::shim::{
    logs::Stream,
    spec::{Driver, LogSpec},
};

struct Output {
    place: tempfile::TempDir,
    writer: Writer,
    path: PathBuf,
    said: u64,
}

impl Output {
    fn new(max_size: u64, max_files: u32) -> Self {
        Self::of(max_size, max_files, Driver::File)
    }

    fn of(max_size: u64, max_files: u32, driver: Driver) -> Self {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("app.log");
        let writer = Writer::new(LogSpec { max_size, max_files, driver, ..LogSpec::at(path.clone()) });
        Self { place, writer, path, said: 0 }
    }

    /// Says so many lines, `0`, `1`, …, one a millisecond.
    fn say(&mut self, lines: u64) {
        for _ in 0..lines {
            let line = format!("{}\n", self.said);
            self.writer.take(Stream::Stdout, line.as_bytes(), self.said * 1_000_000, &mut Vec::new());
            self.said += 1;
            self.writer.tend();
        }
    }

    /// How many of its files are compressed.
    fn packed(&self) -> usize {
        let paths = fs::read_dir(self.place.path()).unwrap().flatten().map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "gz")).count()
    }

    fn open(&self, selection: &Selection) -> Reader {
        Reader::open(&self.path, selection).unwrap()
    }

    async fn read(&self, selection: &Selection) -> Vec<u64> {
        rest(&mut self.open(selection)).await
    }
}

fn json(compress: bool) -> Driver {
    Driver::JsonFile { attributes: std::collections::BTreeMap::new(), compress }
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

#[tokio::test]
async fn docker_s_files_are_read_the_same() {
    let mut output = Output::of(500, 100, json(false));
    output.say(100);
    assert!(fs::exists(older(&output.path, 3)).unwrap());
    assert_eq!(output.read(&Selection::default()).await, (0..100).collect::<Vec<_>>());
    let tail = Selection { tail: Some(11), ..Selection::default() };
    assert_eq!(output.read(&tail).await, (89..100).collect::<Vec<_>>());
    let since = Selection { since: Some(Timestamp(42)), ..Selection::default() };
    assert_eq!(output.read(&since).await, (42..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_newer_than_until_is_read_and_a_tail_ends_there() {
    let mut output = Output::new(500, 100);
    output.say(100);
    let until = Selection { until: Some(Timestamp(41)), ..Selection::default() };
    assert_eq!(output.read(&until).await, (0..42).collect::<Vec<_>>());
    for lines in [0, 1, 11, 42, 60] {
        let tail = Selection { tail: Some(lines), ..until.clone() };
        let first = 42 - 42.min(lines as u64);
        assert_eq!(output.read(&tail).await, (first..42).collect::<Vec<_>>(), "the last {lines}");
    }
}

#[tokio::test]
async fn compressed_files_are_read_as_if_they_were_not() {
    let mut output = Output::of(500, 100, json(true));
    output.say(3);
    let mut early = output.open(&Selection { follow: true, ..Selection::default() });
    assert_eq!(take(&mut early, 2).await, [0, 1]);
    output.say(97);
    while output.writer.is_packing() {
        output.writer.tend();
    }
    assert!(output.packed() > 3 && !fs::exists(older(&output.path, 1)).unwrap());
    assert_eq!(output.read(&Selection::default()).await, (0..100).collect::<Vec<_>>());
    early.finish();
    assert_eq!(
        rest(&mut early).await,
        (2..100).collect::<Vec<_>>(),
        "a file that is compressed is the same file"
    );
    for lines in [0, 1, 11, 55, 1000] {
        let tail = Selection { tail: Some(lines), ..Selection::default() };
        let expected: Vec<u64> = (100 - 100.min(lines as u64)..100).collect();
        assert_eq!(output.read(&tail).await, expected, "the last {lines}");
    }
    let between =
        Selection { since: Some(Timestamp(42)), until: Some(Timestamp(60)), ..Selection::default() };
    assert_eq!(output.read(&between).await, (42..61).collect::<Vec<_>>());
}

#[tokio::test]
async fn compressed_files_have_the_same_ceiling() {
    let mut output = Output::of(500, 3, json(true));
    output.say(500);
    let names = fs::read_dir(output.place.path()).unwrap().count();
    assert!(names <= 4, "{names} files, with the one that is worked on");
    let kept = output.read(&Selection::default()).await;
    assert!(kept.is_sorted() && kept.last() == Some(&499) && kept.len() > 10, "{kept:?}");
}
