//! Reading a container's output: from a time, from so many lines before the end, and as it comes.

use std::{io, path::Path};

use super::Record;
use crate::model::time::Timestamp;

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
pub struct Reader;

impl Reader {
    /// Opens the output that is written to `path`, which need not be there yet.
    pub fn open(path: &Path, selection: &Selection) -> io::Result<Self> {
        let _ = (path, selection);
        Ok(Self)
    }

    /// The next record; none at the end, unless it follows. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> io::Result<Option<Record>> {
        Ok(None)
    }

    /// Follows no more: what is there is read to its end.
    pub fn finish(&mut self) {}
}
