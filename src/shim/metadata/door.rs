//! The door through which a task's containers ask: a socket inside the task's network, and who came through it.
//!
//! The listener takes only what comes by the task's own loopback, so nobody reaches it from outside, whatever routes
//! they set. On the host's network it is a port of the host's loopback, which others there reach too; what they do not
//! know is the names under which a task asks.
//!
//! All of it is in the shim's own loop, on its one thread: the shim visits the task's network to open the door, and
//! nothing here waits. Each visitor has one buffer of bounded size and a moment at which it is shown out, and when all
//! places are taken the one that has been here longest makes room.

use std::{
    io,
    net::{SocketAddrV4, TcpListener, TcpStream},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt,
};

use super::{
    errand::Reply,
    request::{Answer, Asked},
};
use crate::{
    kernel::{
        event::{Interest, Poll},
        namespace::visit_network,
    },
    model::{
        network::{METADATA_ADDRESS, METADATA_LISTENER},
        time::Moment,
    },
    shim::source::Source,
};

mod allowance;
mod visitor;

use allowance::Allowance;
use visitor::{Then, Visitor};

/// Visitors at a time.
const MOST: usize = 16;

/// The socket, and who came through it.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    visitors: Vec<Visitor>,
    /// The number that the next visitor gets.
    next: u32,
    allowance: Allowance,
}

impl Door {
    /// Opens the door in the network namespace of the task.
    pub(super) fn open(network: BorrowedFd<'_>, poll: &Poll) -> io::Result<Self> {
        Self::at(TcpListener::from(visit_network(network, listen_here)??), poll)
    }

    /// The same with a socket that listens already and never makes anybody wait.
    pub(super) fn at(listener: TcpListener, poll: &Poll) -> io::Result<Self> {
        poll.add(&listener, Source::Door.token(), Interest::READ)?;
        Ok(Self { listener, visitors: Vec::new(), next: 0, allowance: Allowance::default() })
    }

    /// When somebody is to be shown out.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        self.visitors.iter().map(Visitor::until).min()
    }

    /// Lets in who waits, and goes on with everybody as far as that is possible now.
    pub(super) fn serve(
        &mut self,
        now: Moment,
        poll: &Poll,
        mut answer: impl FnMut(&Asked<'_>, &[u8]) -> Reply,
    ) {
        for _ in 0..MOST {
            let Ok((stream, _)) = self.listener.accept() else { break };
            let _ = self.welcome(stream, now, poll);
        }
        let allowance = &mut self.allowance;
        self.visitors.retain_mut(|visitor| {
            let then = visitor.go_on(now, poll, &mut |asked, body| {
                if allowance.take(now) {
                    answer(asked, body)
                } else {
                    Reply::Answer(Answer::refusal(429, "You have reached maximum request limit."))
                }
            });
            then.is_ok_and(|then| then == Then::Stays)
        });
    }

    fn welcome(&mut self, stream: TcpStream, now: Moment, poll: &Poll) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        if self.visitors.len() >= MOST {
            self.visitors.remove(0);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        poll.add(&stream, Source::Visitor(number).token(), Interest::READ)?;
        self.visitors.push(Visitor::new(number, stream, now));
        Ok(())
    }
}

/// A listening socket in the namespace that the calling thread is in.
fn listen_here() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    setsockopt(&fd, sockopt::BindToDevice, &"lo".into())?;
    let address = SockaddrIn::from(SocketAddrV4::new(METADATA_ADDRESS, METADATA_LISTENER));
    bind(fd.as_raw_fd(), &address)?;
    listen(&fd, Backlog::new(i32::try_from(MOST).unwrap_or(16))?)?;
    Ok(fd)
}
