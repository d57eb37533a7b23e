//! Sockets to the kernel, one for each conversation that goes on at a time.
//!
//! Deleting a link takes the kernel some twenty milliseconds; nobody else should wait for the answer to that. So a
//! conversation borrows a socket and gives it back, and only the borrowing is behind a lock.

use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::NetError;
use crate::kernel::netlink::{Family, Socket};

/// Idle sockets that are kept: each has room for the longest answer, and many are on loan only when many tasks start.
const IDLE: usize = 4;

/// The network namespace of the calling thread.
const HERE: &str = "/proc/thread-self/ns/net";

/// Idle sockets of one family, all in the namespace that the first was opened in.
#[derive(Debug)]
pub(super) struct Sockets {
    family: Family,
    home: OwnedFd,
    idle: Mutex<Vec<Socket>>,
}

impl Sockets {
    /// Opens the first socket in the calling thread's network namespace.
    pub(super) fn open(family: Family) -> Result<Self, NetError> {
        let home = File::open(HERE).map_err(NetError::Namespace)?.into();
        let idle = Mutex::new(vec![Socket::open(family)?]);
        Ok(Self { family, home, idle })
    }

    /// Borrows a socket that nobody else talks on.
    pub(super) fn borrow(&self) -> Result<Borrowed<'_>, NetError> {
        let idle = self.idle().pop();
        let socket = match idle {
            Some(socket) => socket,
            None => Socket::open_in(self.home.as_fd(), self.family)?,
        };
        Ok(Borrowed { socket: Some(socket), from: self })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Socket>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket on loan.
pub(super) struct Borrowed<'a> {
    /// There until it is dropped.
    socket: Option<Socket>,
    from: &'a Sockets,
}

impl Deref for Borrowed<'_> {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        self.socket.as_ref().expect("a loan ends only when it is dropped")
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut Socket {
        self.socket.as_mut().expect("a loan ends only when it is dropped")
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let mut idle = self.from.idle();
        if idle.len() < IDLE {
            idle.extend(self.socket.take());
        }
    }
}
