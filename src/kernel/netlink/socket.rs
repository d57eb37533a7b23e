//! A netlink socket: sends a batch in one call and reads the answer to every request in it.
//!
//! Requests of a route batch are independent: the kernel tries each one, and the first refusal in order is reported.
//! A netfilter batch is one transaction, opened and closed by messages of its own.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockname, recv, send,
    setsockopt, socket, sockopt,
};

use super::reply::{INTERRUPTED, Messages, Reply};
use super::{Message, NetlinkError};
use crate::kernel::namespace::within_network;

/// The kernel fills at most 32 KiB per read of a listing; explanations and news are far smaller.
const READ: usize = 64 * 1024;

/// Batches below this fit every kernel's default send buffer.
const SMALL_BATCH: usize = 64 * 1024;

/// How often a listing that the kernel interrupted is started again.
const LISTING_ATTEMPTS: usize = 10;

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Links, addresses and routes.
    Route,
    /// Packet rules and connection tracking.
    Netfilter,
}

/// A conversation with one part of the kernel, in the network namespace it was opened in.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open(family: Family) -> Result<Self, NetlinkError> {
        let protocol = match family {
            Family::Route => SockProtocol::NetlinkRoute,
            Family::Netfilter => SockProtocol::NetlinkNetFilter,
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd =
            socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).map_err(NetlinkError::Open)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(NetlinkError::Open)?;
        let port = getsockname::<NetlinkAddr>(fd.as_raw_fd()).map_err(NetlinkError::Open)?.pid();
        // Both only make answers shorter and clearer: a kernel that lacks them still answers.
        let _ = option(fd.as_fd(), libc::NETLINK_EXT_ACK, 1);
        let _ = option(fd.as_fd(), libc::NETLINK_CAP_ACK, 1);
        Ok(Self { fd, port, sequence: 0, buffer: Vec::new() })
    }

    /// Opens a socket in the network namespace `netns` refers to; the caller stays where it is.
    pub fn open_in(netns: BorrowedFd<'_>, family: Family) -> Result<Self, NetlinkError> {
        within_network(netns, || Self::open(family)).map_err(NetlinkError::Enter)?
    }

    /// The number by which the kernel names this socket as the cause of news.
    #[must_use]
    pub const fn port(&self) -> u32 {
        self.port
    }

    /// Subscribes to a group of news, with room for a burst of it.
    pub fn join(&self, group: u32) -> Result<(), NetlinkError> {
        let failed = |source| NetlinkError::Subscribe { group, source };
        let number = i32::try_from(group).map_err(|_| failed(Errno::EINVAL))?;
        option(self.fd.as_fd(), libc::NETLINK_ADD_MEMBERSHIP, number).map_err(failed)?;
        // A small buffer only means that a burst reads as "something was lost".
        let _ = setsockopt(&self.fd, sockopt::RcvBufForce, &(1024 * 1024));
        Ok(())
    }

    /// Sends a batch and waits for no one: the first refusal in order, if any.
    ///
    /// Only messages with [`super::ACK`] are answered when all is well; a refusal is always answered.
    pub fn transact(&mut self, batch: &[Message]) -> Result<(), NetlinkError> {
        let Some(first) = batch.first() else { return Ok(()) };
        let base = self.send(batch)?;
        let mut waiting = batch.iter().filter(|message| message.wants_answer()).count();
        let mut refused: Option<(usize, NetlinkError)> = None;
        while waiting > 0 {
            let bytes = match self.read() {
                Ok(bytes) => bytes,
                Err(Errno::EAGAIN) if refused.is_some() => break,
                Err(source) => return Err(NetlinkError::Receive { what: first.what().to_owned(), source }),
            };
            for reply in Messages(bytes) {
                let index = usize::try_from(reply.sequence.wrapping_sub(base)).unwrap_or(usize::MAX);
                let (Some(request), Some(outcome)) = (batch.get(index), reply.outcome()) else { continue };
                if request.wants_answer() {
                    waiting = waiting.saturating_sub(1);
                }
                let is_earlier = refused.as_ref().is_none_or(|(earliest, _)| index < *earliest);
                if let (Some(source), true) = (outcome.errno, is_earlier) {
                    let what = request.what().to_owned();
                    let error = NetlinkError::Refused { what, explanation: outcome.explanation, source };
                    refused = Some((index, error));
                }
            }
        }
        refused.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Asks for one object ([`super::ACK`]) or a listing ([`super::DUMP`]); `read` picks from each message.
    pub fn query<T>(
        &mut self,
        request: &Message,
        mut read: impl FnMut(&Reply<'_>) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (found, interrupted) = self.list(request, &mut read)?;
            if !interrupted || attempt == LISTING_ATTEMPTS {
                return Ok(found);
            }
        }
    }

    fn list<T>(
        &mut self,
        request: &Message,
        read: &mut impl FnMut(&Reply<'_>) -> Option<T>,
    ) -> Result<(Vec<T>, bool), NetlinkError> {
        let sequence = self.send(std::slice::from_ref(request))?;
        let (mut found, mut interrupted) = (Vec::new(), false);
        loop {
            let failed = |source| NetlinkError::Receive { what: request.what().to_owned(), source };
            for reply in Messages(self.read().map_err(failed)?) {
                if reply.sequence != sequence {
                    continue;
                }
                interrupted |= reply.flags & INTERRUPTED != 0;
                match reply.outcome() {
                    None => found.extend(read(&reply)),
                    Some(outcome) => {
                        let Some(source) = outcome.errno else { return Ok((found, interrupted)) };
                        let (what, explanation) = (request.what().to_owned(), outcome.explanation);
                        return Err(NetlinkError::Refused { what, explanation, source });
                    }
                }
            }
        }
    }

    /// Reads news that has arrived and hands each message to `each`; returns at once when there is none.
    ///
    /// [`Errno::ENOBUFS`] says that news was lost.
    pub fn news(&mut self, mut each: impl FnMut(&Reply<'_>)) -> Result<(), Errno> {
        loop {
            match self.read() {
                Ok(bytes) => Messages(bytes).for_each(|reply| each(&reply)),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }

    fn send(&mut self, batch: &[Message]) -> Result<u32, NetlinkError> {
        let base = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(1024);
        for message in batch {
            self.sequence = self.sequence.wrapping_add(1);
            message.write(self.sequence, &mut bytes);
        }
        if bytes.len() > SMALL_BATCH {
            // If the buffer stays too small, the send below says so.
            let _ = setsockopt(&self.fd, sockopt::SndBufForce, &(bytes.len() * 2));
        }
        let what = || batch.first().map(|message| message.what().to_owned()).unwrap_or_default();
        send(self.fd.as_raw_fd(), &bytes, MsgFlags::empty())
            .map_err(|source| NetlinkError::Send { what: what(), source })?;
        Ok(base)
    }

    fn read(&mut self) -> Result<&[u8], Errno> {
        self.buffer.resize(READ, 0);
        loop {
            match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => return Ok(&self.buffer[..length]),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn option(fd: BorrowedFd<'_>, name: libc::c_int, value: libc::c_int) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(|_| Errno::EINVAL)?;
    // SAFETY: `value` lives through the call and `length` is its size; the kernel copies it and keeps no pointer.
    let answer = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            name,
            std::ptr::from_ref(&value).cast::<libc::c_void>(),
            length,
        )
    };
    Errno::result(answer).map(drop)
}
