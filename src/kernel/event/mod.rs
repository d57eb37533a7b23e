//! What a single-threaded loop waits on: epoll, timerfd, eventfd, signalfd, inotify.
//!
//! A [`Poll`] owns an epoll instance and hands back the [`Token`] that the caller gave with each descriptor. The
//! sources are small owned descriptors that the caller registers itself, so nothing here knows what an event means.
//! Every descriptor is non-blocking and closed on exec: a loop that was woken for nothing goes back to sleep, and a
//! process started from the loop inherits none of it.
//!
//! Time is monotonic. Nothing here wakes up unless it was asked to.

mod poll;
mod source;
mod watch;

pub use poll::{Event, Interest, Poll, Token};
pub use source::{EventFd, SignalFd, TimerFd, monotonic};
pub use watch::{Change, Watch, WatchId, Watcher};

#[cfg(test)]
mod tests;
