//! One directory tree as a canonical tar stream.
//!
//! Symbolic links are never followed. Hard links within the tree become link entries to the path that comes first.
//! With [`Marks::Overlay`] the tree is one of our stored layers: overlayfs's marks turn back into whiteouts.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{Mode, major, minor};
use tar::{EntryType, Header};

use crate::kernel::fs::{get_xattr, list_xattrs, open_beneath};

/// Which times files get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Their own.
    Kept,
    /// Their own, but none later than this (`SOURCE_DATE_EPOCH`).
    NoLaterThan(u64),
    /// All the same.
    Fixed(u64),
}

impl Clock {
    /// The time that the image as a whole was made, when that is no accident.
    pub fn fixed(self) -> Option<u64> {
        match self {
            Self::Kept => None,
            Self::NoLaterThan(at) | Self::Fixed(at) => Some(at),
        }
    }

    fn read(self, mtime: i64) -> u64 {
        let mtime = u64::try_from(mtime).unwrap_or(0);
        match self {
            Self::Kept => mtime,
            Self::NoLaterThan(at) => mtime.min(at),
            Self::Fixed(at) => at,
        }
    }
}

/// What special files in the tree mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// Themselves.
    None,
    /// Deletions, as overlayfs keeps them.
    Overlay,
}

/// Writes the tree at `root` to `out`.
pub fn write_tree(root: &Path, clock: Clock, marks: Marks, out: &mut dyn Write) -> io::Result<()> {
    let directory = File::open(root)?;
    let mut writer = TreeWriter { clock, marks, out, seen: HashMap::new(), buffer: vec![0; 1 << 17] };
    writer.directory(&OwnedFd::from(directory), &mut PathBuf::new())?;
    writer.out.write_all(&[0; 1024])
}

struct TreeWriter<'a> {
    clock: Clock,
    marks: Marks,
    out: &'a mut dyn Write,
    /// Where a file with several names was written first.
    seen: HashMap<(u64, u64), PathBuf>,
    buffer: Vec<u8>,
}

impl TreeWriter<'_> {
    fn directory(&mut self, fd: &OwnedFd, path: &mut PathBuf) -> io::Result<()> {
        let file = File::from(fd.try_clone()?);
        let mut header = self.header(&file.metadata()?, EntryType::Directory);
        header.set_size(0);
        let name = if path.as_os_str().is_empty() { PathBuf::from("./") } else { path.join("") };
        self.entry(&mut header, &name, None, fd)?;
        if self.marks == Marks::Overlay
            && get_xattr(fd, c"trusted.overlay.opaque")?.is_some_and(|v| v == b"y")
        {
            self.mark(&path.join(".wh..wh..opq"))?;
        }
        for name in names(fd)? {
            path.push(&name);
            self.child(fd, &name, path).map_err(|err| named(path, err))?;
            path.pop();
        }
        Ok(())
    }

    fn child(&mut self, parent: &OwnedFd, name: &OsStr, path: &mut PathBuf) -> io::Result<()> {
        let fd = open_beneath(parent, Path::new(name), OFlag::O_PATH | OFlag::O_NOFOLLOW, Mode::empty())?;
        let metadata = File::from(fd.try_clone()?).metadata()?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            let fd =
                open_beneath(parent, Path::new(name), OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
            return self.directory(&fd, path);
        }
        if self.marks == Marks::Overlay && kind.is_char_device() && metadata.rdev() == 0 {
            let mut mark = OsString::from(".wh.");
            mark.push(name);
            return self.mark(&path.with_file_name(mark));
        }
        if metadata.nlink() > 1 {
            if let Some(first) = self.seen.get(&(metadata.dev(), metadata.ino())).cloned() {
                let mut header = self.header(&metadata, EntryType::Link);
                header.set_size(0);
                return self.entry(&mut header, path, Some(first.as_os_str()), &fd);
            }
            self.seen.insert((metadata.dev(), metadata.ino()), path.clone());
        }
        if kind.is_file() {
            let fd =
                open_beneath(parent, Path::new(name), OFlag::O_RDONLY | OFlag::O_NOFOLLOW, Mode::empty())?;
            return self.regular(fd, &metadata, path);
        }
        self.special(parent, name, &fd, &metadata, path)
    }

    fn regular(&mut self, fd: OwnedFd, metadata: &Metadata, path: &Path) -> io::Result<()> {
        let mut header = self.header(metadata, EntryType::Regular);
        header.set_size(metadata.len());
        self.entry(&mut header, path, None, &fd)?;
        let mut file = File::from(fd).take(metadata.len());
        let mut written = 0;
        loop {
            let length = file.read(&mut self.buffer)?;
            if length == 0 {
                break;
            }
            self.out.write_all(&self.buffer[..length])?;
            written += length as u64;
        }
        if written != metadata.len() {
            return Err(io::Error::other("file became shorter while it was read"));
        }
        self.pad(written)
    }

    fn special(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        fd: &OwnedFd,
        metadata: &Metadata,
        path: &Path,
    ) -> io::Result<()> {
        let kind = metadata.file_type();
        let entry_type = if kind.is_symlink() {
            EntryType::Symlink
        } else if kind.is_char_device() {
            EntryType::Char
        } else if kind.is_block_device() {
            EntryType::Block
        } else if kind.is_fifo() {
            EntryType::Fifo
        } else {
            return Ok(()); // a socket means nothing without the process behind it
        };
        let mut header = self.header(metadata, entry_type);
        header.set_size(0);
        if matches!(entry_type, EntryType::Char | EntryType::Block) {
            let number = |n: u64| u32::try_from(n).map_err(io::Error::other);
            header.set_device_major(number(major(metadata.rdev()))?)?;
            header.set_device_minor(number(minor(metadata.rdev()))?)?;
        }
        let target = kind.is_symlink().then(|| readlinkat(parent, name)).transpose()?;
        self.entry(&mut header, path, target.as_deref(), fd)
    }

    /// An empty file whose name is the message.
    fn mark(&mut self, path: &Path) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_mtime(0);
        let mut records = Vec::new();
        set_name(&mut header, path, &mut records);
        self.write_header(&mut header, &records)
    }

    fn header(&self, metadata: &Metadata, kind: EntryType) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(metadata.mode() & 0o7777);
        header.set_uid(metadata.uid().into());
        header.set_gid(metadata.gid().into());
        header.set_mtime(self.clock.read(metadata.mtime()));
        header
    }

    /// Writes the header of an entry, and before it the PAX records it needs.
    fn entry(
        &mut self,
        header: &mut Header,
        path: &Path,
        link: Option<&OsStr>,
        fd: impl AsFd,
    ) -> io::Result<()> {
        let mut records = Vec::new();
        set_name(header, path, &mut records);
        if let Some(link) = link
            && header.set_link_name_literal(link.as_bytes()).is_err()
        {
            record(&mut records, b"linkpath", link.as_bytes());
        }
        if header.entry_type() != EntryType::Link {
            for name in list_xattrs(&fd)? {
                if is_kept(name.to_bytes(), self.marks) {
                    let value = get_xattr(&fd, &name)?.unwrap_or_default();
                    record(&mut records, &[b"SCHILY.xattr.", name.to_bytes()].concat(), &value);
                }
            }
        }
        self.write_header(header, &records)
    }

    fn write_header(&mut self, header: &mut Header, records: &[u8]) -> io::Result<()> {
        if !records.is_empty() {
            let mut extension = Header::new_ustar();
            extension.set_entry_type(EntryType::XHeader);
            extension.set_path("PaxHeaders/0")?;
            extension.set_mode(0o644);
            extension.set_uid(0);
            extension.set_gid(0);
            extension.set_mtime(0);
            extension.set_size(records.len() as u64);
            extension.set_cksum();
            self.out.write_all(extension.as_bytes())?;
            self.out.write_all(records)?;
            self.pad(records.len() as u64)?;
        }
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    fn pad(&mut self, length: u64) -> io::Result<()> {
        let rest = usize::try_from(length % 512).unwrap_or(0);
        if rest > 0 { self.out.write_all(&[0; 512][rest..]) } else { Ok(()) }
    }
}

/// Puts `path` into the header, or a record where it is too long for that.
fn set_name(header: &mut Header, path: &Path, records: &mut Vec<u8>) {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() < 100 {
        header.as_old_mut().name[..bytes.len()].copy_from_slice(bytes);
    } else {
        header.as_old_mut().name[..99].copy_from_slice(&bytes[..99]);
        record(records, b"path", bytes);
    }
}

/// Adds one PAX record: its own length in decimal, a blank, `key=value`, a line feed.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length.to_string().len() + body != length {
        length = body + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    for piece in [b" ", key, b"=", value, b"\n"] {
        records.extend_from_slice(piece);
    }
}

/// Attributes that belong to the tree and not to the machine that holds it.
fn is_kept(name: &[u8], marks: Marks) -> bool {
    let is_of_host = name == b"security.selinux" || name == b"security.evm" || name == b"security.ima";
    let is_mark = marks == Marks::Overlay && name.starts_with(b"trusted.overlay.");
    !is_of_host && !is_mark
}

fn names(fd: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut directory = nix::dir::Dir::from_fd(fd.try_clone()?)?;
    let mut names = Vec::new();
    for entry in directory.iter() {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn named(path: &Path, err: io::Error) -> io::Error {
    if err.get_ref().is_some() {
        err
    } else {
        io::Error::new(err.kind(), format!("{}: {err}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for length in
            [1, 2, 3, 80, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 980, 985, 986, 987, 988, 989, 990]
        {
            let mut records = Vec::new();
            record(&mut records, b"k", &vec![b'v'; length]);
            let (number, _) = std::str::from_utf8(&records).unwrap().split_once(' ').unwrap();
            assert_eq!(number.parse::<usize>().unwrap(), records.len());
        }
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", "c"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        std::fs::hard_link(dir.path().join("a"), dir.path().join("z")).unwrap();
        let write = || {
            let mut out = Vec::new();
            write_tree(dir.path(), Clock::Fixed(0), Marks::None, &mut out).unwrap();
            out
        };
        let first = write();
        std::fs::write(dir.path().join("b"), "b").unwrap();
        assert_eq!(first, write());
        assert_eq!(first.len() % 512, 0);
    }
}
