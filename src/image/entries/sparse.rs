//! Maps of sparse files: which parts have data. The rest are holes.
//!
//! Four forms: in GNU headers, and in PAX as repeated pairs of records (0.0), one record (0.1) or decimal lines at the
//! start of the data (1.0).

use std::io;

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::{BLOCK, MOST_SEGMENTS, corrupt, pax::Records};

/// A part of a file that has data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it starts in the file.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// Where PAX keeps the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// 0.0: `GNU.sparse.offset` and `GNU.sparse.numbytes`, repeated.
    Pairs,
    /// 0.1: `GNU.sparse.map`, separated by commas.
    Record,
    /// 1.0: lines before the data.
    Lines,
}

type Map = (u64, Vec<Segment>);

/// The map in a GNU header and its continuation blocks.
pub(super) fn old_gnu(
    header: &Header,
    mut next_block: impl FnMut() -> io::Result<[u8; BLOCK]>,
) -> io::Result<Map> {
    let gnu = header.as_gnu().ok_or_else(|| corrupt("sparse entry without a GNU header"))?;
    let mut segments = Vec::new();
    let mut add = |descriptors: &[GnuSparseHeader]| -> io::Result<()> {
        for descriptor in descriptors.iter().filter(|d| !d.is_empty()) {
            segments.push(Segment { offset: descriptor.offset()?, length: descriptor.length()? });
        }
        if segments.len() > MOST_SEGMENTS { Err(corrupt("sparse map is too long")) } else { Ok(()) }
    };
    add(&gnu.sparse)?;
    let mut is_extended = gnu.is_extended();
    while is_extended {
        let mut extension = GnuExtSparseHeader::new();
        extension.as_mut_bytes().copy_from_slice(&next_block()?);
        add(&extension.sparse)?;
        is_extended = extension.is_extended();
    }
    checked(gnu.real_size()?, segments)
}

/// The map in PAX records or in the data that follows them.
pub(super) fn pax(
    form: Form,
    records: &Records,
    next_block: impl FnMut() -> io::Result<[u8; BLOCK]>,
) -> io::Result<Map> {
    let numbers = match form {
        Form::Pairs => pairs(records)?,
        Form::Record => {
            let text = records.get("GNU.sparse.map").unwrap_or_default();
            text.split(|&b| b == b',').map(decimal).collect::<io::Result<Vec<u64>>>()?
        }
        Form::Lines => lines(next_block)?,
    };
    let size = records.number("GNU.sparse.realsize")?;
    let size = size.map_or_else(|| records.number("GNU.sparse.size"), |size| Ok(Some(size)))?;
    let size = size.ok_or_else(|| corrupt("sparse file without its size"))?;
    if numbers.len() % 2 != 0 || numbers.len() / 2 > MOST_SEGMENTS {
        return Err(corrupt("sparse map is malformed"));
    }
    checked(size, numbers.chunks_exact(2).map(|pair| Segment { offset: pair[0], length: pair[1] }).collect())
}

/// An offset record is followed by its length record.
fn pairs(records: &Records) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for (key, value) in records.all(&["GNU.sparse.offset", "GNU.sparse.numbytes"]) {
        if (key == "GNU.sparse.offset") != (numbers.len() % 2 == 0) {
            return Err(corrupt("sparse map is out of order"));
        }
        numbers.push(decimal(value)?);
    }
    Ok(numbers)
}

/// The count of segments, then two lines for each, padded with zeros to whole blocks.
fn lines(mut next_block: impl FnMut() -> io::Result<[u8; BLOCK]>) -> io::Result<Vec<u64>> {
    let (mut numbers, mut line) = (Vec::new(), Vec::new());
    let mut wanted = None;
    while wanted.is_none_or(|wanted| numbers.len() < wanted) {
        for byte in next_block()? {
            if wanted.is_some_and(|wanted| numbers.len() >= wanted) {
                break;
            }
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            let number = decimal(&std::mem::take(&mut line))?;
            if wanted.is_some() {
                numbers.push(number);
            } else {
                let count = usize::try_from(number).ok().filter(|&n| n <= MOST_SEGMENTS);
                wanted = Some(2 * count.ok_or_else(|| corrupt("sparse map is too long"))?);
            }
        }
        if line.len() > 20 {
            return Err(corrupt("sparse map is malformed"));
        }
    }
    Ok(numbers)
}

fn decimal(text: &[u8]) -> io::Result<u64> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| corrupt("sparse map is malformed"))
}

/// In order, without overlap, within the file.
fn checked(size: u64, segments: Vec<Segment>) -> io::Result<Map> {
    let mut end = 0;
    for segment in &segments {
        let next = segment.offset.checked_add(segment.length);
        match next {
            Some(next) if segment.offset >= end && next <= size => end = next,
            Some(_) | None => return Err(corrupt("sparse map overlaps itself or leaves the file")),
        }
    }
    if size > i64::MAX as u64 { Err(corrupt("size does not fit in 63 bits")) } else { Ok((size, segments)) }
}
