//! A tar stream, entry by entry, with every extension that layers use resolved.
//!
//! The headers themselves are read by the tar crate. The walk over them is ours, because a layer needs three things that
//! crate's walk does not give: PAX values with any byte in them (a file capability may hold a line feed), PAX sparse
//! maps, and sparse contents as segments, so that holes are never written. Formats: ustar, GNU (long names, old sparse),
//! PAX (paths, sizes, ids, times, attributes, sparse 0.0, 0.1 and 1.0).
//!
//! Everything an entry claims is limited: names and records by [`LARGEST_EXTENSION`], maps by [`MOST_SEGMENTS`].

use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use tar::{EntryType, Header};

mod pax;
mod sparse;

use pax::Records;
pub use sparse::Segment;

const BLOCK: usize = 512;
const LARGEST_EXTENSION: u64 = 1 << 20;
const MOST_SEGMENTS: usize = 1 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file with contents.
    File,
    /// A directory.
    Directory,
    /// Another name for an earlier entry.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Character {
        /// Its numbers.
        device: (u32, u32),
    },
    /// A block device.
    Block {
        /// Its numbers.
        device: (u32, u32),
    },
    /// A named pipe.
    Fifo,
}

/// One entry, without its contents.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its path as the archive has it.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// What a link points to.
    pub link: OsString,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub mtime: (i64, i64),
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Length of the file, holes included.
    pub length: u64,
    /// Where the data of the file belongs, in order.
    pub segments: Vec<Segment>,
}

/// The entries of a tar stream.
pub struct Entries<R> {
    input: R,
    /// Bytes of the current entry's data not yet read.
    left: u64,
    /// Zero bytes after them, up to the next block.
    padding: u64,
    global: Records,
    at_end: bool,
}

impl<R: BufRead> Entries<R> {
    /// Reads entries from `input`.
    pub fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0, global: Records::default(), at_end: false }
    }

    /// The stream itself, wherever it now is.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// The next entry; the data of the one before is skipped if it was not read.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let (mut long_path, mut long_link, mut records) = (None, None, None::<Records>);
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                let is_cut = long_path.is_some() || long_link.is_some() || records.is_some();
                return if is_cut {
                    Err(corrupt("archive ends after an extension header"))
                } else {
                    Ok(None)
                };
            };
            let kind = header.entry_type();
            if kind.is_gnu_longname() {
                long_path = Some(until_zero(self.extension(&header)?));
            } else if kind.is_gnu_longlink() {
                long_link = Some(until_zero(self.extension(&header)?));
            } else if kind.is_pax_local_extensions() {
                records = Some(Records::parse(&self.extension(&header)?)?);
            } else if kind.is_pax_global_extensions() {
                self.global = Records::parse(&self.extension(&header)?)?;
            } else {
                let records = self.global.clone().overlaid(records.take().unwrap_or_default());
                if let Some(entry) = self.entry(&header, long_path.take(), long_link.take(), &records)? {
                    return Ok(Some(entry));
                }
            }
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        records: &Records,
    ) -> io::Result<Option<Entry>> {
        let kind = kind_of(header)?;
        // Entries that are all header have no data, whatever their size field says.
        let is_header_only = kind.is_some_and(|kind| kind != Kind::File);
        let size = records
            .number("size")?
            .map_or_else(|| or_zero(&header.as_old().size, header.entry_size()), Ok)?;
        let size = if is_header_only { 0 } else { size };
        self.expect(size)?;
        let Some(kind) = kind else { return Ok(None) };
        let path = records.path().map(<[u8]>::to_vec).or(long_path);
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = records.get("linkpath").map(<[u8]>::to_vec).or(long_link);
        let link = link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        if path.contains(&0) || link.contains(&0) {
            return Err(corrupt("name with a zero byte in it"));
        }
        let old = header.as_old();
        let id = |key, bytes: &[u8], field: io::Result<u64>| -> io::Result<u32> {
            let id = records.number(key)?.map_or_else(|| or_zero(bytes, field), Ok)?;
            u32::try_from(id).map_err(|_| corrupt("owner does not fit in 32 bits"))
        };
        let mut entry = Entry {
            // Old tars mark a directory only by its trailing slash.
            kind: if kind == Kind::File && path.ends_with(b"/") { Kind::Directory } else { kind },
            path: OsString::from_vec(path).into(),
            link: OsString::from_vec(link),
            mode: or_zero(&old.mode, header.mode())? & 0o7777,
            uid: id("uid", &old.uid, header.uid())?,
            gid: id("gid", &old.gid, header.gid())?,
            mtime: records.mtime().unwrap_or((or_zero(&old.mtime, header.mtime())?.cast_signed(), 0)),
            xattrs: records.xattrs(),
            length: size,
            segments: vec![Segment { offset: 0, length: size }],
        };
        if header.entry_type() == EntryType::GNUSparse {
            (entry.length, entry.segments) = sparse::old_gnu(header, || self.block())?;
        } else if let Some(form) = records.sparse_form() {
            let map = sparse::pax(form, records, || self.data_block())?;
            (entry.length, entry.segments) = map;
        }
        // Data cannot be longer than what the header announced; less leaves a rest that is skipped.
        let claimed = entry.segments.iter().try_fold(0u64, |sum, s| sum.checked_add(s.length));
        if kind == Kind::File && claimed.is_none_or(|sum| sum > self.left) {
            return Err(corrupt("sparse map claims more data than there is"));
        }
        Ok(Some(entry))
    }

    /// Notes that `size` bytes of data and their padding follow.
    fn expect(&mut self, size: u64) -> io::Result<()> {
        if size > i64::MAX as u64 {
            return Err(corrupt("size does not fit in 63 bits"));
        }
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        Ok(())
    }

    fn extension(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let size = header.entry_size()?;
        if size > LARGEST_EXTENSION {
            return Err(corrupt("extension header is larger than 1 MiB"));
        }
        self.expect(size)?;
        let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The next header, or nothing at the end: a block of zeros or the end of the stream between two entries.
    fn header(&mut self) -> io::Result<Option<Header>> {
        if self.at_end {
            return Ok(None);
        }
        let mut header = Header::new_old();
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut header.as_mut_bytes()[filled..]) {
                Ok(0) if filled == 0 => break,
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        if filled == 0 || header.as_bytes().iter().all(|&b| b == 0) {
            self.at_end = true;
            return Ok(None);
        }
        let bytes = header.as_bytes();
        let others = bytes[..148].iter().chain(&bytes[156..]);
        let sum = others.clone().fold(8 * 32, |sum, b| sum + u32::from(*b));
        if sum != header.cksum()? {
            return Err(corrupt("header checksum is wrong"));
        }
        Ok(Some(header))
    }

    /// A block of the header's continuation, not counted in the entry's size.
    fn block(&mut self) -> io::Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block)?;
        Ok(block)
    }

    /// A block of the entry's data.
    fn data_block(&mut self) -> io::Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.read_exact(&mut block)?;
        Ok(block)
    }

    fn skip(&mut self) -> io::Result<()> {
        let mut wanted = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        while wanted > 0 {
            let length = match self.input.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(piece) => piece.len().min(usize::try_from(wanted).unwrap_or(usize::MAX)),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) => return Err(err),
            };
            self.input.consume(length);
            wanted -= length as u64;
        }
        Ok(())
    }
}

/// The data of the current entry, as it lies in the input's memory.
impl<R: BufRead> BufRead for Entries<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let piece = self.input.fill_buf()?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(&piece[..piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))])
    }

    fn consume(&mut self, length: usize) {
        self.input.consume(length);
        self.left -= length as u64;
    }
}

impl<R: BufRead> Read for Entries<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

/// A number of a header; one that was left empty is zero.
fn or_zero<T: Default>(bytes: &[u8], field: io::Result<T>) -> io::Result<T> {
    if bytes.iter().all(|b| matches!(b, 0 | b' ')) { Ok(T::default()) } else { field }
}

/// What the header says the entry is; nothing for kinds that mean nothing in a layer.
fn kind_of(header: &Header) -> io::Result<Option<Kind>> {
    let device = || -> io::Result<(u32, u32)> {
        Ok((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
    };
    Ok(Some(match header.entry_type().as_byte() {
        0 | b'0' | b'7' | b'S' => Kind::File, // S is GNU's sparse file
        b'5' => Kind::Directory,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::Character { device: device()? },
        b'4' => Kind::Block { device: device()? },
        b'6' => Kind::Fifo,
        _ => return Ok(None),
    }))
}

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&b| b == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// The archive says something that cannot be.
pub(crate) fn corrupt(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
