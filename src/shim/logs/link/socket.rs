//! One socket of a link: on its way, there, or, with TLS, there and known.

use std::{
    net::SocketAddr,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, SockFlag, SockProtocol, SockType, SockaddrLike, SockaddrStorage, UnixAddr, connect,
        socket,
    },
};

use super::Turn;
use crate::{
    kernel::event::Interest,
    shim::{
        logs::tls::Tls,
        spec::{Target, TlsSpec},
    },
};

/// A socket to whoever takes output.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    pub(super) is_stream: bool,
    /// Whether somebody is at the other end.
    pub(super) is_there: bool,
    pub(super) tls: Option<Box<Tls>>,
    /// What the loop waits for.
    waits: Option<Interest>,
}

impl Socket {
    /// One on its way to `target`.
    pub(super) fn to(target: &Target) -> Result<Self, Errno> {
        let (fd, is_there) = reach(target)?;
        let is_stream = matches!(target, Target::UnixStream(_) | Target::Tcp(_));
        Ok(Self { fd, is_stream, is_there, tls: None, waits: None })
    }

    /// Gives whether the other end is known; without TLS it need not be.
    pub(super) fn shake_hands(&mut self, spec: Option<&TlsSpec>) -> Result<bool, String> {
        let Some(spec) = spec else { return Ok(true) };
        if self.tls.is_none() {
            self.tls = Some(Box::new(Tls::begin(spec)?));
        }
        let Some(tls) = &mut self.tls else { return Ok(false) };
        tls.go_on(&self.fd)?;
        Ok(tls.is_ready())
    }

    /// Says what the loop is to wait for: room, where there is something that the other end did not take.
    pub(super) fn wait(&mut self, turn: Turn<'_>, for_room: bool) {
        let Turn { poll, token, .. } = turn;
        let for_room = for_room || self.tls.as_ref().is_some_and(|tls| tls.is_full());
        let wanted = match (self.is_stream, for_room) {
            (true, true) => Some(Interest::READ.and(Interest::WRITE)),
            (true, false) => Some(Interest::READ),
            (false, true) => Some(Interest::WRITE),
            (false, false) => None,
        };
        if wanted == self.waits {
            return;
        }
        let done = match (self.waits, wanted) {
            (None, Some(interest)) => poll.add(&self.fd, token, interest),
            (Some(_), Some(interest)) => poll.modify(&self.fd, token, interest),
            (_, None) => poll.remove(&self.fd),
        };
        match done {
            Ok(()) => self.waits = wanted,
            Err(errno) => eprintln!("wait for whoever takes output: {errno}"),
        }
    }
}

/// A socket on its way to `target`, and whether it is there.
fn reach(target: &Target) -> Result<(OwnedFd, bool), Errno> {
    match target {
        Target::UnixDatagram(path) => go(AddressFamily::Unix, SockType::Datagram, &UnixAddr::new(path)?),
        Target::UnixStream(path) => go(AddressFamily::Unix, SockType::Stream, &UnixAddr::new(path)?),
        Target::Udp(address) => go(family(*address), SockType::Datagram, &SockaddrStorage::from(*address)),
        Target::Tcp(address) => go(family(*address), SockType::Stream, &SockaddrStorage::from(*address)),
    }
}

fn go(family: AddressFamily, kind: SockType, address: &impl SockaddrLike) -> Result<(OwnedFd, bool), Errno> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(family, kind, flags, None::<SockProtocol>)?;
    match connect(fd.as_raw_fd(), address) {
        Ok(()) => Ok((fd, true)),
        Err(Errno::EINPROGRESS) => Ok((fd, false)),
        Err(errno) => Err(errno),
    }
}

fn family(address: SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
