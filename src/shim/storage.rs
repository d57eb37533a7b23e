//! How much a task may write: its directories are of one project of their file system, which has a limit.
//!
//! The agent chooses the number and keeps it; here is what is done with it. A file system that does not hold projects to
//! limits has no [`Storage`].

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::kernel::quota::{self, Quota};

/// Bytes for each file that a task may have: as many files as ext4 makes for so much of a disk, so that a task with a
/// part of the bytes has no larger part of the files.
const BYTES_A_FILE: u64 = 16 * 1024;

/// A file system that holds projects to limits.
#[derive(Debug)]
pub struct Storage(File);

/// What a task has written, and the most that it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Bytes on the disk.
    pub bytes: u64,
    /// The most of them.
    pub most: u64,
}

impl Storage {
    /// The file system that `path` is in, if it does.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        let directory = File::open(path)?;
        Ok(quota::is_enforced(&directory)?.then_some(Self(directory)))
    }

    /// The first number of `range` that no file system's user has used and `is_taken` does not know.
    pub fn free(&self, range: Range<u32>, is_taken: impl Fn(u32) -> bool) -> io::Result<Option<u32>> {
        for project in range {
            if !is_taken(project) && quota::quota_of(&self.0, project)?.is_empty() {
                return Ok(Some(project));
            }
        }
        Ok(None)
    }

    /// The numbers of `range` that have a limit.
    pub fn limited(&self, range: Range<u32>) -> io::Result<Vec<u32>> {
        let mut found = Vec::new();
        let mut from = range.start;
        while let Some((project, quota)) = quota::next_quota(&self.0, from)? {
            if !range.contains(&project) {
                break;
            }
            if quota.most_bytes > 0 || quota.most_files > 0 {
                found.push(project);
            }
            from = project + 1;
        }
        Ok(found)
    }

    /// Holds a project to so many bytes.
    pub fn limit(&self, project: u32, bytes: u64) -> io::Result<()> {
        Ok(quota::set_limits(&self.0, project, bytes, bytes / BYTES_A_FILE)?)
    }

    /// Takes the limit of a project away.
    pub fn release(&self, project: u32) -> io::Result<()> {
        Ok(quota::set_limits(&self.0, project, 0, 0)?)
    }
}

/// Counts what will be made in `directory` with `project`.
pub fn count(directory: &Path, project: u32) -> io::Result<()> {
    Ok(quota::set_project(File::open(directory)?, project, true)?)
}

/// Counts what is in `directory`, and itself, with what the directory around it is counted with: nothing, where an
/// operator has not said otherwise. One that is not there is counted with nothing.
pub fn discount(directory: &Path) -> io::Result<()> {
    let around = directory.parent().unwrap_or(directory);
    let project = quota::project_of(File::open(around)?)?;
    recount(directory, project)
}

fn recount(directory: &Path, project: u32) -> io::Result<()> {
    let open = |path: &Path| {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
    };
    let top = match open(directory) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if quota::project_of(&top)? == project {
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            recount(&entry.path(), project)?;
        } else if kind.is_file() {
            quota::set_project(open(&entry.path())?, project, false)?;
        }
    }
    // The last, so that whoever is broken off here begins again.
    Ok(quota::set_project(&top, project, project != 0)?)
}

/// What the project of `directory` takes; none where it is of no project with a limit.
#[must_use]
pub fn used(directory: &Path) -> Option<Used> {
    let directory = File::open(directory).ok()?;
    let project = quota::project_of(&directory).ok().filter(|&project| project != 0)?;
    let Quota { bytes, most_bytes: most, .. } = quota::quota_of(&directory, project).ok()?;
    (most > 0).then_some(Used { bytes, most })
}
