//! The files of an output, whatever their names are at the moment.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::Path,
};

use super::super::{
    record::{is_whole, parse},
    writer::older,
};

/// Bytes that are read at once.
pub(super) const CHUNK: usize = 64 << 10;

/// What tells one file from another, whatever its name.
pub(super) fn identity(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The files of an output, the newest first.
///
/// They may get other names while they are opened: then one is met twice, at its old and its new name, and counted
/// once. None is left out, because names only move to the older side.
pub(super) fn files(path: &Path) -> io::Result<Vec<(File, (u64, u64))>> {
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

/// Where the last so many lines of a file begin that were read before `until`, and where it ends. A line may be several
/// records.
pub(super) fn last_lines(file: &File, count: usize, until: u64) -> io::Result<(VecDeque<u64>, u64)> {
    let mut starts = VecDeque::new();
    let mut input = BufReader::with_capacity(CHUNK, file);
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
