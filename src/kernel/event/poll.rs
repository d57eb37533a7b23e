//! epoll, with tokens instead of descriptors in the answers.
//!
//! Level-triggered by default: a source that was not drained is reported again, so a loop cannot lose an event by
//! doing too little. [`Interest::edge`] asks for the other mode where a hot source would be reported for nothing.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Events read by one [`Poll::wait`]; more stay queued in the kernel.
const BATCH: usize = 64;

/// The caller's name for a registered descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What to be woken for. Hang-up and error are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(EpollFlags);

impl Interest {
    /// Something can be read.
    pub const READ: Self = Self(EpollFlags::EPOLLIN.union(EpollFlags::EPOLLRDHUP));
    /// Something can be written.
    pub const WRITE: Self = Self(EpollFlags::EPOLLOUT);
    /// An exceptional condition: a change in a cgroup or sysfs event file.
    pub const PRIORITY: Self = Self(EpollFlags::EPOLLPRI);

    /// Both interests.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0.union(other.0))
    }

    /// The same interest, reported once for each change.
    #[must_use]
    pub const fn edge(self) -> Self {
        Self(self.0.union(EpollFlags::EPOLLET))
    }
}

/// One ready descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the kernel reports independent conditions")]
pub struct Event {
    /// The token the descriptor was registered with.
    pub token: Token,
    /// Reading makes progress (data, end of file or an error to collect).
    pub readable: bool,
    /// Writing makes progress.
    pub writable: bool,
    /// The condition of [`Interest::PRIORITY`].
    pub priority: bool,
    /// The other end is gone or the descriptor is in error.
    pub hangup: bool,
}

impl Event {
    fn new(raw: &EpollEvent) -> Self {
        let flags = raw.events();
        let hangup = flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR | EpollFlags::EPOLLRDHUP);
        Self {
            token: Token(raw.data()),
            readable: hangup || flags.contains(EpollFlags::EPOLLIN),
            writable: flags.contains(EpollFlags::EPOLLOUT),
            priority: flags.contains(EpollFlags::EPOLLPRI),
            hangup,
        }
    }
}

/// A set of descriptors to wait on.
#[derive(Debug)]
pub struct Poll {
    epoll: Epoll,
}

impl Poll {
    /// An empty set.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)? })
    }

    /// Adds `fd`; it must be removed before it is closed if a duplicate of it lives elsewhere.
    pub fn add(&self, fd: impl AsFd, token: Token, interest: Interest) -> Result<(), Errno> {
        self.epoll.add(fd, EpollEvent::new(interest.0, token.0))
    }

    /// Changes what `fd` is waited on for.
    pub fn modify(&self, fd: impl AsFd, token: Token, interest: Interest) -> Result<(), Errno> {
        self.epoll.modify(fd, &mut EpollEvent::new(interest.0, token.0))
    }

    /// Forgets `fd`.
    pub fn remove(&self, fd: impl AsFd) -> Result<(), Errno> {
        self.epoll.delete(fd)
    }

    /// Waits until something is ready, or `timeout` has passed; `None` waits for ever.
    ///
    /// `events` is cleared first and is empty after a timeout or an interrupting signal.
    pub fn wait(&self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<(), Errno> {
        events.clear();
        let mut raw = [EpollEvent::empty(); BATCH];
        match self.epoll.wait(&mut raw, round_up(timeout)) {
            Ok(count) => events.extend(raw[..count].iter().map(Event::new)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }
}

impl AsFd for Poll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

/// Rounds up to a millisecond, so that a deadline has passed when the wait ends.
fn round_up(timeout: Option<Duration>) -> EpollTimeout {
    let Some(timeout) = timeout else { return EpollTimeout::NONE };
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
}
