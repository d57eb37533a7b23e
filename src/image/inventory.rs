//! What a stored layer consists of, written while it is unpacked, so that later damage can be found.
//!
//! One line an event, in the archive's order: an entry, a removal, a mark. Later lines override earlier ones about the
//! same path. Fields are separated by blanks and paths escaped, so a line is text whatever the names are:
//!
//! ```text
//! e <kind> <mode> <uid> <gid> <length> <mtime> <detail> <path>   detail: sha256 of the data, link target, device
//! h <target> <path>      another name of target
//! w <path>               a deletion        o <path>   an opaque directory
//! i <path>               a directory that only its contents imply
//! x <path>               path and what is below it is gone again
//! ```
//!
//! Writing needs no memory; reading keeps one record for each path.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::image::entries::{Entry, Kind};
use crate::image::unpack::Content;

/// An inventory being written.
pub struct Writer(BufWriter<File>);

impl Writer {
    /// Starts one at `path`.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(BufWriter::with_capacity(1 << 16, File::create(path)?)))
    }

    pub(crate) fn entry(&mut self, path: &Path, entry: &Entry, content: Option<&Content>) -> io::Result<()> {
        let path = escape(path);
        if let Some(Content::Link(target)) = content {
            return writeln!(self.0, "h {} {path}", escape(target));
        }
        let (kind, detail) = match entry.kind {
            Kind::File => ('f', content.map_or_else(|| "-".to_owned(), digest_of)),
            Kind::Directory => ('d', "-".to_owned()),
            Kind::HardLink => return Ok(()),
            Kind::Symlink => ('l', escape(Path::new(&entry.link))),
            Kind::Character { device: (major, minor) } => ('c', format!("{major}:{minor}")),
            Kind::Block { device: (major, minor) } => ('b', format!("{major}:{minor}")),
            Kind::Fifo => ('p', "-".to_owned()),
        };
        let Entry { mode, uid, gid, length, mtime: (seconds, _), .. } = entry;
        writeln!(self.0, "e {kind} {mode:o} {uid} {gid} {length} {seconds} {detail} {path}")
    }

    pub(crate) fn implied_directory(&mut self, path: &Path) -> io::Result<()> {
        writeln!(self.0, "i {}", escape(path))
    }

    pub(crate) fn whiteout(&mut self, path: &Path) -> io::Result<()> {
        writeln!(self.0, "w {}", escape(path))
    }

    pub(crate) fn opaque(&mut self, path: &Path) -> io::Result<()> {
        writeln!(self.0, "o {}", escape(path))
    }

    pub(crate) fn removed(&mut self, path: &Path) -> io::Result<()> {
        writeln!(self.0, "x {}", escape(path))
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        // The last line says that none is missing.
        writeln!(self.0, ".")?;
        self.0.flush()
    }
}

/// What is known of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// `f d l c b p`, `h` for a further name, `w` for a deletion, `i` for an implied directory.
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) length: u64,
    pub(crate) mtime: i64,
    pub(crate) detail: Vec<u8>,
    pub(crate) is_opaque: bool,
}

/// Reads an inventory back: what should be there.
pub(crate) fn read(path: &Path) -> io::Result<BTreeMap<PathBuf, Known>> {
    let mut known = BTreeMap::new();
    let mut is_whole = false;
    for line in BufReader::new(File::open(path)?).lines() {
        let line = line?;
        is_whole = line == ".";
        if !is_whole {
            apply(&mut known, &line)
                .ok_or_else(|| crate::image::entries::corrupt("malformed inventory line"))?;
        }
    }
    if is_whole { Ok(known) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn apply(known: &mut BTreeMap<PathBuf, Known>, line: &str) -> Option<()> {
    let fields: Vec<&str> = line.split(' ').collect();
    let bare = |kind| Known {
        kind,
        mode: 0,
        owner: (0, 0),
        length: 0,
        mtime: 0,
        detail: Vec::new(),
        is_opaque: false,
    };
    match fields[..] {
        ["e", kind, mode, uid, gid, length, mtime, detail, path] => {
            let path = unescape(path)?;
            let was_opaque = known.get(&path).is_some_and(|old| old.is_opaque && kind == "d");
            let entry = Known {
                kind: kind.chars().next()?,
                mode: u32::from_str_radix(mode, 8).ok()?,
                owner: (uid.parse().ok()?, gid.parse().ok()?),
                length: length.parse().ok()?,
                mtime: mtime.parse().ok()?,
                detail: unescape(detail)?.into_os_string().into_vec(),
                is_opaque: was_opaque,
            };
            known.insert(path, entry);
        }
        ["h", target, path] => {
            let detail = unescape(target)?.into_os_string().into_vec();
            known.insert(unescape(path)?, Known { detail, ..bare('h') });
        }
        ["w", path] => drop(known.insert(unescape(path)?, bare('w'))),
        ["i", path] => drop(known.insert(unescape(path)?, bare('i'))),
        ["o", path] => known.entry(unescape(path)?).or_insert_with(|| bare('i')).is_opaque = true,
        ["x", path] => {
            let gone = unescape(path)?;
            known.retain(|path, _| !path.starts_with(&gone));
        }
        _ => return None,
    }
    Some(())
}

fn digest_of(content: &Content) -> String {
    match content {
        Content::Data(digest) => digest.hex().to_owned(),
        Content::Link(target) => escape(target),
    }
}

/// Everything but plain characters as `%XX`; the empty path as `%`.
fn escape(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() {
        return "%".to_owned();
    }
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'%' {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02x}");
        }
    }
    text
}

fn unescape(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' && text != "%" {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.extend((*first != b'%').then_some(*first));
            rest = after;
        }
    }
    Some(OsString::from_vec(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_path_survives_a_line(bytes in prop::collection::vec(1..=255u8, 0..40)) {
            let path = PathBuf::from(OsString::from_vec(bytes));
            let text = escape(&path);
            prop_assert!(!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(unescape(&text).unwrap(), path);
        }
    }

    #[test]
    fn a_removal_takes_everything_below_with_it() {
        let mut known = BTreeMap::new();
        for line in ["e d 755 0 0 0 0 - a", "e f 644 0 0 1 0 00 a/b", "e f 644 0 0 1 0 00 ab", "x a", "w a"] {
            apply(&mut known, line).unwrap();
        }
        let kinds: Vec<(&Path, char)> =
            known.iter().map(|(path, known)| (path.as_path(), known.kind)).collect();
        assert_eq!(kinds, [(Path::new("a"), 'w'), (Path::new("ab"), 'f')]);
    }
}
