//! Being told that a group has run out of memory, instead of asking.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;

use nix::errno::Errno;

use super::group::{Home, is_gone, write};
use super::{CgroupError, Group};
use crate::kernel::event::{EventFd, Watch, Watcher};

/// Readable when a group has run out of memory.
#[derive(Debug)]
pub struct Lack(How);

#[derive(Debug)]
enum How {
    /// Version 1 counts into a descriptor (Linux' memory.rst, "OOM Control").
    Count { events: EventFd, dir: PathBuf, _control: File },
    /// Version 2 changes a file.
    File { watcher: Watcher, group: Group, kills: u64 },
}

impl Group {
    /// Begins to listen for lack of memory; `None` where nothing counts it.
    pub fn lack_of_memory(&self) -> Result<Option<Lack>, CgroupError> {
        match self.home("memory") {
            None => Ok(None),
            Some(Home::V1(dir)) => {
                let path = dir.join("memory.oom_control");
                let read = |source| CgroupError::Read { path: path.clone(), source };
                let control = File::open(&path).map_err(read)?;
                let events = EventFd::new().map_err(|errno| read(errno.into()))?;
                let numbers = format!("{} {}", events.as_fd().as_raw_fd(), control.as_raw_fd());
                write(&dir.join("cgroup.event_control"), &numbers)?;
                Ok(Some(Lack(How::Count { events, dir, _control: control })))
            }
            Some(Home::V2(dir)) => {
                let path = dir.join("memory.events");
                let read = |errno: Errno| CgroupError::Read { path: path.clone(), source: errno.into() };
                let watcher = Watcher::new().map_err(read)?;
                watcher.add(&path, Watch::CONTENT).map_err(read)?;
                let kills = self.oom_kills();
                Ok(Some(Lack(How::File { watcher, group: self.clone(), kills })))
            }
        }
    }
}

impl Lack {
    /// How often memory ran out since the last question.
    pub fn times(&mut self) -> Result<u64, CgroupError> {
        match &mut self.0 {
            How::Count { events, dir, .. } => {
                let path = || dir.join("memory.oom_control");
                let count = events.drain();
                let count =
                    count.map_err(|errno| CgroupError::Read { path: path(), source: errno.into() })?;
                // The end of the group is told in the same way.
                match std::fs::metadata(path()) {
                    Err(err) if is_gone(&err) => Ok(0),
                    Ok(_) | Err(_) => Ok(count),
                }
            }
            How::File { watcher, group, kills } => {
                let _ = watcher.read();
                let now = group.oom_kills();
                Ok(now.saturating_sub(std::mem::replace(kills, now)))
            }
        }
    }
}

impl AsFd for Lack {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            How::Count { events, .. } => events.as_fd(),
            How::File { watcher, .. } => watcher.as_fd(),
        }
    }
}
