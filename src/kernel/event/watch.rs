//! inotify: being told when files change instead of asking.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// What happened to a watched path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which watch saw it.
    pub watch: WatchId,
    /// The entry's name, when the watch is on a directory.
    pub name: Option<OsString>,
    /// The watched path itself is gone; the watch has ended.
    pub gone: bool,
    /// The kernel dropped events: look at everything again.
    pub overflow: bool,
}

/// A watch of one [`Watcher`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(WatchDescriptor);

/// Which changes matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch(AddWatchFlags);

impl Watch {
    /// The content changed. This is how cgroup event files speak, too.
    pub const CONTENT: Self = Self(AddWatchFlags::IN_MODIFY);
    /// Entries appeared in, left or were renamed within a directory, or were written and closed.
    pub const ENTRIES: Self = Self(
        AddWatchFlags::IN_CREATE
            .union(AddWatchFlags::IN_DELETE)
            .union(AddWatchFlags::IN_MOVED_FROM)
            .union(AddWatchFlags::IN_MOVED_TO)
            .union(AddWatchFlags::IN_CLOSE_WRITE),
    );
    /// The mode or the owner of the path, or of an entry, was set.
    pub const ATTRIBUTES: Self = Self(AddWatchFlags::IN_ATTRIB);
    /// The path was removed or moved away.
    pub const GONE: Self = Self(AddWatchFlags::IN_DELETE_SELF.union(AddWatchFlags::IN_MOVE_SELF));

    /// Both kinds of change.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0.union(other.0))
    }
}

/// Watches any number of paths through one descriptor.
#[derive(Debug)]
pub struct Watcher(Inotify);

impl Watcher {
    /// A watcher that watches nothing yet.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?))
    }

    /// Watches `path` for the changes in `what`.
    pub fn add(&self, path: &Path, what: Watch) -> Result<WatchId, Errno> {
        self.0.add_watch(path, what.0).map(WatchId)
    }

    /// Ends a watch.
    pub fn remove(&self, watch: WatchId) -> Result<(), Errno> {
        self.0.rm_watch(watch.0)
    }

    /// What changed since the last call; empty when nothing did.
    pub fn read(&self) -> Result<Vec<Change>, Errno> {
        let events = match self.0.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN) => return Ok(Vec::new()),
            Err(errno) => return Err(errno),
        };
        Ok(events
            .into_iter()
            .map(|event| Change {
                watch: WatchId(event.wd),
                gone: event.mask.intersects(
                    AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF,
                ),
                overflow: event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW),
                name: event.name,
            })
            .collect())
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
