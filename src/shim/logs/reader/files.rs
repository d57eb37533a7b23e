//! The files of an output, whatever their names are at the moment, compressed or not.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use flate2::read::GzDecoder;

use super::super::{
    pack::{packed, was},
    record::{is_whole, parse},
    writer::older,
};

/// Bytes that are read at once.
pub(super) const CHUNK: usize = 64 << 10;

/// Bytes at the begin of a file by which it is known besides.
const BEGIN: usize = 512;

/// What tells a file from any other that is there, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shim::logs) struct Mark {
    device: u64,
    inode: u64,
    /// When it was last written, in nanoseconds: it tells only of files that are not written any more.
    written: u64,
    size: u64,
}

/// A file of an output.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) file: File,
    mark: Mark,
    /// Which file a compressed one was.
    was: Option<Mark>,
    is_packed: bool,
}

/// A place in what a file holds.
#[derive(Debug)]
pub(super) enum Body {
    Plain { file: File, offset: u64 },
    Packed(Box<GzDecoder<File>>),
}

impl Mark {
    /// That of a file.
    pub(in crate::shim::logs) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let nanos = metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec());
        let (device, inode) = (metadata.dev(), metadata.ino());
        Ok(Self { device, inode, written: nanos.cast_unsigned(), size: metadata.len() })
    }

    /// As it is kept.
    pub(in crate::shim::logs) fn words(self) -> [u64; 4] {
        [self.device, self.inode, self.written, self.size]
    }

    /// Whether both are one file, of two that are open.
    fn is_same(self, other: Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl From<[u64; 4]> for Mark {
    fn from([device, inode, written, size]: [u64; 4]) -> Self {
        Self { device, inode, written, size }
    }
}

impl Kept {
    fn open(path: &Path, number: u32) -> io::Result<Self> {
        match File::open(older(path, number)) {
            Ok(file) => Ok(Self { mark: Mark::of(&file)?, file, was: None, is_packed: false }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && number > 0 => {
                let mut file = File::open(packed(path, number))?;
                let was = was(&file);
                file.rewind()?;
                Ok(Self { mark: Mark::of(&file)?, file, was, is_packed: true })
            }
            Err(error) => Err(error),
        }
    }

    /// Whether it is that file, whatever its name and its form.
    fn is(&self, file: &File, mark: Mark) -> bool {
        if self.mark.is_same(mark) {
            return true;
        }
        let mut whole = vec![0; BEGIN];
        self.was == Some(mark)
            && file.read_at(&mut whole, 0).is_ok_and(|count| {
                let mut begin = Vec::new();
                let read = GzDecoder::new(&self.file).take(BEGIN as u64).read_to_end(&mut begin);
                read.is_ok() && (&self.file).rewind().is_ok() && begin == whole[..count]
            })
    }

    /// Whether it is the file that somebody reads, whatever has become of its name and its form.
    pub(super) fn is_read_by(&self, body: &Body) -> bool {
        let file = body.file();
        Mark::of(file).is_ok_and(|mark| self.is(file, mark))
    }

    /// The place behind so many bytes of what it holds.
    pub(super) fn body(self, offset: u64) -> io::Result<Body> {
        if !self.is_packed {
            return Ok(Body::Plain { file: self.file, offset });
        }
        let mut decoder = GzDecoder::new(self.file);
        io::copy(&mut (&mut decoder).take(offset), &mut io::sink())?;
        Ok(Body::Packed(Box::new(decoder)))
    }

    /// Where the last so many lines begin that were read before `until`, and where they end. A line may be several
    /// records.
    pub(super) fn last_lines(&mut self, count: usize, until: u64) -> io::Result<(VecDeque<u64>, u64)> {
        let found = if self.is_packed {
            last_lines(GzDecoder::new(&self.file), count, until)
        } else {
            last_lines(&self.file, count, until)
        };
        self.file.rewind()?;
        found
    }
}

impl Body {
    fn file(&self) -> &File {
        match self {
            Self::Plain { file, .. } => file,
            Self::Packed(decoder) => decoder.get_ref(),
        }
    }

    /// Reads on.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain { file, offset } => {
                let count = file.read_at(into, *offset)?;
                *offset += count as u64;
                Ok(count)
            }
            Self::Packed(decoder) => decoder.read(into),
        }
    }
}

/// The files of an output, the newest first.
///
/// They may get other names while they are opened: then one is met twice, at its old and its new name, and counted
/// once. None is left out, because names only move to the older side.
pub(super) fn files(path: &Path) -> io::Result<Vec<Kept>> {
    let mut files: Vec<Kept> = Vec::new();
    for number in 0.. {
        match Kept::open(path, number) {
            Ok(kept) => {
                if !files.iter().any(|other| kept.is(&other.file, other.mark)) {
                    files.push(kept);
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

fn last_lines(input: impl Read, count: usize, until: u64) -> io::Result<(VecDeque<u64>, u64)> {
    let mut starts = VecDeque::new();
    let mut input = BufReader::with_capacity(CHUNK, input);
    let (mut line, mut offset, mut begins) = (Vec::new(), 0, true);
    loop {
        line.clear();
        let length = input.read_until(b'\n', &mut line)?;
        let Some(text) = line.strip_suffix(b"\n").filter(|_| length > 0) else { return Ok((starts, offset)) };
        if until < u64::MAX && parse(text).is_some_and(|record| record.nanos >= until) {
            return Ok((starts, offset));
        }
        if begins {
            starts.push_back(offset);
        }
        if starts.len() > count {
            starts.pop_front();
        }
        begins = is_whole(text);
        offset += length as u64;
    }
}
