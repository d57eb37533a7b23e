//! Reading a container's output: from a time, from so many lines before the end, and as it comes.
//!
//! A reader holds the file it reads open, so a file that gets another name under it is read to its end before the
//! next one begins. A reader so slow that the file after its own is gone already goes on with the oldest that is
//! left. Following is by inotify on the directory: nothing is asked over and over.

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use memchr::memchr;

use super::{Record, record::parse};
use crate::{
    kernel::{
        event::{Watch, Watcher},
        readiness::Readable,
    },
    model::time::Timestamp,
};

/// More than any tick of a kernel.
const TICK: Duration = Duration::from_millis(100);

pub(super) mod files;

use files::{Body, CHUNK, Kept, files};

/// What is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Nothing older than this.
    pub since: Option<Timestamp>,
    /// Nothing newer than this.
    pub until: Option<Timestamp>,
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
    until: u64,
    place: Option<Place>,
    /// What was read and not given yet, from `given` on.
    read: Vec<u8>,
    given: usize,
    watch: Option<Follow>,
}

/// A place in one file.
#[derive(Debug)]
struct Place {
    body: Body,
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
        // A moment is a whole millisecond.
        let until =
            selection.until.map_or(u64::MAX, |until| until.0.saturating_add(1).saturating_mul(1_000_000));
        let path = path.to_owned();
        let mut reader = Self { path, since, until, place: None, read: Vec::new(), given: 0, watch };
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

    fn is_wanted(&self, nanos: u64) -> bool {
        (self.since..self.until).contains(&nanos)
    }

    /// The next record that is there.
    fn advance(&mut self) -> io::Result<Option<Record>> {
        loop {
            while let Some(line) = self.line() {
                if let Some(record) = parse(&self.read[line]).filter(|record| self.is_wanted(record.nanos)) {
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
        let length = memchr(b'\n', &self.read[self.given..])?;
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
        let count = place.body.read(&mut self.read[filled..]);
        self.read.truncate(filled + count.as_ref().map_or(0, |count| *count));
        Ok(count? > 0)
    }

    /// At the end of a file: goes on to the next one. Gives whether there may be more to read.
    fn turn_over(&mut self) -> io::Result<bool> {
        let Some(place) = &mut self.place else {
            self.place = self.first()?;
            return Ok(self.place.is_some());
        };
        let files = files(&self.path)?;
        let next = match files.iter().position(|kept| kept.is_read_by(&place.body)) {
            Some(0) => return Ok(false),
            // Something may have been added between the end we saw and the new name.
            Some(_) | None if !place.retired => {
                place.retired = true;
                return Ok(true);
            }
            Some(at) => files.into_iter().nth(at - 1),
            None => files.into_iter().next_back(),
        };
        self.place = next.map(Place::start_of).transpose()?;
        (self.given, self.read) = (0, Vec::new());
        Ok(self.place.is_some())
    }

    /// The begin of the oldest file that can hold something of interest.
    fn first(&self) -> io::Result<Option<Place>> {
        // The clock of files runs behind by up to a tick.
        let since = UNIX_EPOCH + Duration::from_nanos(self.since).saturating_sub(TICK);
        for kept in files(&self.path)?.into_iter().rev() {
            if kept.file.metadata()?.modified()? >= since {
                return Place::start_of(kept).map(Some);
            }
        }
        Ok(None)
    }

    /// Before the last so many lines.
    fn before_the_last(&self, lines: usize) -> io::Result<Option<Place>> {
        let mut missing = lines;
        let mut found = None;
        for mut kept in files(&self.path)? {
            let (starts, end) = kept.last_lines(missing, self.until)?;
            let offset = starts.front().copied().unwrap_or(end);
            missing -= starts.len();
            if found.is_none() || !starts.is_empty() {
                found = Some(Place::behind(kept, offset)?);
            }
            if missing == 0 {
                break;
            }
        }
        Ok(found)
    }
}

impl Place {
    fn start_of(kept: Kept) -> io::Result<Self> {
        Self::behind(kept, 0)
    }

    /// Behind so many bytes of a file.
    fn behind(kept: Kept, offset: u64) -> io::Result<Self> {
        Ok(Self { body: kept.body(offset)?, retired: false })
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

#[cfg(test)]
mod tests;
