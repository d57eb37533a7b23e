//! Older files, compressed a little at a time, so that the shim's one thread is never kept by it.
//!
//! ```text
//!   app.log.1  ──▶  app.log.part  ──▶  app.log.1.gz        one file at a time, the oldest first
//! ```
//!
//! While it is worked on, a file keeps its name and its readers. The compressed one says in its header which file it
//! was, so whoever reads on finds it again. The number of a file that is gone may be the next one's, so its time counts
//! besides.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder, read::GzDecoder, write::GzEncoder};

use super::{reader::files::Mark, writer::older};

/// Bytes that are compressed at a time: about a millisecond.
const SLICE: usize = 64 << 10;

/// The name of the field in a header that says which file it was.
const FIELD: [u8; 4] = *b"hy\x20\0";

/// What compresses the older files of an output.
#[derive(Debug)]
pub(super) struct Pack {
    path: PathBuf,
    files: u32,
    work: Option<Work>,
}

/// A file that is worked on.
#[derive(Debug)]
struct Work {
    /// How old it is, as the number behind its name says.
    number: u32,
    from: File,
    into: GzEncoder<File>,
}

impl Pack {
    /// What compresses the older ones of so many files at `path`.
    pub(super) fn new(path: PathBuf, files: u32) -> Self {
        Self { path, files, work: None }
    }

    /// Every file is one older than before.
    pub(super) fn rotated(&mut self) {
        if let Some(work) = &mut self.work {
            work.number += 1;
            if work.number >= self.files {
                self.work = None;
                let _ = fs::remove_file(self.part());
            }
        }
        self.begin();
    }

    /// Whether something is worked on.
    pub(super) fn is_busy(&self) -> bool {
        self.work.is_some()
    }

    /// Compresses a little. What the disk refuses stays as it is, until the next file is begun.
    pub(super) fn step(&mut self) {
        let Some(mut work) = self.work.take() else { return };
        match work.step() {
            Ok(true) => self.work = Some(work),
            Ok(false) => match self.finish(work) {
                Ok(()) => self.begin(),
                Err(error) => self.give_up(&error),
            },
            Err(error) => self.give_up(&error),
        }
    }

    /// Takes up the oldest file that is not compressed, unless there is work already.
    fn begin(&mut self) {
        if self.work.is_some() {
            return;
        }
        let waiting = (1..self.files).rev().find(|number| older(&self.path, *number).exists());
        if let Some(number) = waiting {
            match Work::begin(&older(&self.path, number), &self.part(), number) {
                Ok(work) => self.work = Some(work),
                Err(error) => self.give_up(&error),
            }
        }
    }

    fn finish(&self, work: Work) -> io::Result<()> {
        work.into.finish()?;
        fs::rename(self.part(), packed(&self.path, work.number))?;
        // A reader between these two finds both, and that they are one.
        fs::remove_file(older(&self.path, work.number))
    }

    fn give_up(&self, error: &io::Error) {
        let _ = fs::remove_file(self.part());
        eprintln!("compress a log beside {}: {error}", self.path.display());
    }

    fn part(&self) -> PathBuf {
        with(self.path.as_os_str().to_owned(), ".part")
    }
}

impl Work {
    fn begin(path: &Path, part: &Path, number: u32) -> io::Result<Self> {
        let from = File::open(path)?;
        let into = OpenOptions::new().create(true).truncate(true).write(true).mode(0o640).open(part)?;
        let words = Mark::of(&from)?.words().map(u64::to_le_bytes);
        let field = [&FIELD[..], &words.concat()].concat();
        Ok(Self { number, from, into: GzBuilder::new().extra(field).write(into, Compression::fast()) })
    }

    /// Gives whether there is more.
    fn step(&mut self) -> io::Result<bool> {
        let mut piece = vec![0; SLICE];
        let count = self.from.read(&mut piece)?;
        self.into.write_all(&piece[..count])?;
        Ok(count > 0)
    }
}

/// The name of the compressed file that was written so many files before the one at `path`.
pub(super) fn packed(path: &Path, number: u32) -> PathBuf {
    with(older(path, number).into_os_string(), ".gz")
}

/// Which file a compressed one was; none where it does not say.
pub(super) fn was(file: &File) -> Option<Mark> {
    let decoder = GzDecoder::new(file);
    let (words, _) = decoder.header()?.extra()?.strip_prefix(&FIELD)?.as_chunks::<8>();
    Some(Mark::from(<[_; 4]>::try_from(words).ok()?.map(u64::from_le_bytes)))
}

fn with(mut name: OsString, end: &str) -> PathBuf {
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(path: &Path) -> Vec<u8> {
        let mut bytes = Vec::new();
        GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn names(place: &Path) -> Vec<String> {
        let entries = fs::read_dir(place).unwrap().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_compressed_in_slices_and_says_which_it_was() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let text = b"a line of output\n".repeat(20_000);
        fs::write(older(&path, 1), &text).unwrap();
        let before = Mark::of(&File::open(older(&path, 1)).unwrap()).unwrap();
        let mut pack = Pack::new(path.clone(), 3);
        pack.begin();
        let mut steps = 0;
        while pack.is_busy() {
            pack.step();
            steps += 1;
        }
        assert_eq!(steps, text.len().div_ceil(SLICE) + 1);
        assert_eq!(names(place.path()), ["log.1.gz"]);
        assert_eq!(unpacked(&packed(&path, 1)), text);
        assert_eq!(was(&File::open(packed(&path, 1)).unwrap()), Some(before));
    }

    #[test]
    fn files_that_grow_older_meanwhile_are_compressed_under_the_name_they_have_then() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        fs::write(older(&path, 1), b"first\n").unwrap();
        let mut pack = Pack::new(path.clone(), 3);
        pack.rotated();
        pack.step();
        fs::rename(older(&path, 1), older(&path, 2)).unwrap();
        fs::write(older(&path, 1), b"second\n").unwrap();
        pack.rotated();
        while pack.is_busy() {
            pack.step();
        }
        assert_eq!(names(place.path()), ["log.1.gz", "log.2.gz"]);
        assert_eq!(
            (unpacked(&packed(&path, 1)), unpacked(&packed(&path, 2))),
            (b"second\n".into(), b"first\n".into())
        );
    }

    #[test]
    fn a_file_that_is_dropped_while_it_is_worked_on_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        fs::write(older(&path, 1), b"first\n").unwrap();
        let mut pack = Pack::new(path.clone(), 2);
        pack.rotated();
        fs::remove_file(older(&path, 1)).unwrap();
        pack.rotated();
        assert!(!pack.is_busy());
        assert_eq!(names(place.path()), [] as [&str; 0]);
    }
}
