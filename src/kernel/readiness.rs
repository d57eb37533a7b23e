//! Waiting for a descriptor inside an async runtime.
//!
//! [`Readable`] registers a descriptor with the runtime it is made in. A wait ends after something arrived since the
//! last one; the caller then reads until there is nothing left, and waits again.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that an async task waits on until there is something to read.
#[derive(Debug)]
pub struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// Registers `fd` with the current runtime. The descriptor is duplicated, so its owner may go first.
    pub fn register(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let own = fd.try_clone_to_owned()?;
        // SAFETY: the `AsyncFd` owns the descriptor, which an `OwnedFd` neither closes nor exchanges before it is
        // dropped, so it stays open and the same for as long as it is registered.
        let registered = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) };
        Ok(Self(registered.map_err(io::Error::from)?))
    }

    /// Waits until something arrives. Dropping the wait loses nothing.
    pub async fn wait(&self) -> io::Result<()> {
        // Cleared before the caller reads, so what arrives while it reads wakes the next wait.
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}
