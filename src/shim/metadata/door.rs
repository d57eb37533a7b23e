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
    io::{self, Read, Write},
    net::{Shutdown, SocketAddrV4, TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt,
};

use super::{
    errand::{Errand, Reply},
    request::{self, Answer, Asked, HEAD_MAX},
};
use crate::{
    kernel::{
        event::{Interest, Poll, Token},
        namespace::visit_network,
    },
    model::{
        network::{METADATA_ADDRESS, METADATA_LISTENER},
        time::Moment,
    },
    shim::source::Source,
};

/// Visitors at a time.
const MOST: usize = 16;

/// How long a visitor may take to ask, and then to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one that has its answer may take to go.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes that are thrown away of one that still speaks after its answer.
const LEAVING_MAX: usize = 64 << 10;

/// Questions a second, and how many may come at once: ECS's own numbers.
const RATE: u64 = 40;
const BURST: u64 = 60;

/// The socket, and who came through it.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    visitors: Vec<Visitor>,
    /// The number that the next visitor gets.
    next: u32,
    allowance: Allowance,
}

#[derive(Debug)]
struct Visitor {
    number: u32,
    stream: TcpStream,
    step: Step,
    /// When it is shown out.
    until: Moment,
    waits_to_write: bool,
}

/// How far a visitor is.
#[derive(Debug)]
enum Step {
    /// It asks: the bytes so far.
    Asking(Vec<u8>),
    /// What it asks somebody else is asked; none for the moment in between.
    Waiting(Option<Errand>),
    /// It is answered: the bytes, and how many of them are gone.
    Answered(Vec<u8>, usize),
    /// It has all, and may say bytes that nobody hears: closing on them would take the answer away from it.
    Leaving(usize),
}

/// Whether a visitor stays.
#[derive(PartialEq, Eq)]
enum Then {
    Stays,
    Goes,
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
        self.visitors.iter().map(|visitor| visitor.until).min()
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
        let (step, until) = (Step::Asking(Vec::new()), now + PATIENCE);
        self.visitors.push(Visitor { number, stream, step, until, waits_to_write: false });
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

impl Visitor {
    fn go_on(
        &mut self,
        now: Moment,
        poll: &Poll,
        answer: &mut dyn FnMut(&Asked<'_>, &[u8]) -> Reply,
    ) -> io::Result<Then> {
        let is_late = now >= self.until;
        if let Step::Waiting(errand) = &mut self.step {
            let Some(errand) = errand.take() else { return Ok(Then::Goes) };
            let going = if is_late { Err(errand.give_up()) } else { errand.go_on() };
            match going {
                Ok(errand) => {
                    self.step = Step::Waiting(Some(errand));
                    return Ok(Then::Stays);
                }
                Err(reply) => {
                    poll.add(&self.stream, self.token(), Interest::READ)?;
                    self.waits_to_write = false;
                    self.reply(reply, now, poll)?;
                }
            }
        } else if is_late {
            return Ok(Then::Goes);
        }
        if let Step::Asking(heard) = &mut self.step {
            let Some(reply) = hear(&mut self.stream, heard, answer)? else { return Ok(Then::Stays) };
            self.reply(reply, now, poll)?;
        }
        if let Step::Answered(bytes, sent) = &mut self.step {
            if !tell(&mut self.stream, bytes, sent)? {
                self.wait_to_write(true, poll)?;
                return Ok(Then::Stays);
            }
            self.stream.shutdown(Shutdown::Write)?;
            self.wait_to_write(false, poll)?;
            (self.step, self.until) = (Step::Leaving(0), now + FAREWELL);
        }
        match &mut self.step {
            Step::Leaving(heard) => leave(&mut self.stream, heard),
            Step::Asking(_) | Step::Waiting(_) | Step::Answered(..) => Ok(Then::Stays),
        }
    }

    /// Takes the answer, or the errand that leads to it. While that is under way nobody listens to the visitor: what it
    /// says, or that it goes, would wake the loop over and over.
    fn reply(&mut self, mut reply: Reply, now: Moment, poll: &Poll) -> io::Result<()> {
        self.until = now + PATIENCE;
        loop {
            match reply {
                Reply::Answer(answer) => {
                    self.step = Step::Answered(answer.into_bytes(), 0);
                    return Ok(());
                }
                Reply::Errand(order) => match Errand::begin(order, poll, self.token()) {
                    Ok(errand) => {
                        self.step = Step::Waiting(Some(errand));
                        return Ok(poll.remove(self.stream.as_fd())?);
                    }
                    Err(instead) => reply = instead,
                },
            }
        }
    }

    fn token(&self) -> Token {
        Source::Visitor(self.number).token()
    }

    fn wait_to_write(&mut self, wait: bool, poll: &Poll) -> io::Result<()> {
        if self.waits_to_write != wait {
            self.waits_to_write = wait;
            let interest = if wait { Interest::WRITE } else { Interest::READ };
            poll.modify(self.stream.as_fd(), self.token(), interest)?;
        }
        Ok(())
    }
}

/// Reads on; gives the answer once the question is whole, or too long.
fn hear(
    stream: &mut TcpStream,
    heard: &mut Vec<u8>,
    answer: &mut dyn FnMut(&Asked<'_>, &[u8]) -> Reply,
) -> io::Result<Option<Reply>> {
    let mut bytes = [0; 2048];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => heard.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        match understand(heard, answer) {
            Ok(None) => {}
            Ok(Some(reply)) => return Ok(Some(reply)),
            Err(refusal) => return Ok(Some(Reply::Answer(refusal))),
        }
    }
}

/// What is answered to what was heard so far; none while it is not whole.
fn understand(
    heard: &[u8],
    answer: &mut dyn FnMut(&Asked<'_>, &[u8]) -> Reply,
) -> Result<Option<Reply>, Answer> {
    let Some(end) = request::head_end(heard) else {
        let is_long = heard.len() > HEAD_MAX;
        let refusal = || Answer::refusal(431, "the head of a request may have 8 KiB here");
        return if is_long { Err(refusal()) } else { Ok(None) };
    };
    let asked = request::read(&heard[..end])?;
    let length = match asked {
        Asked::Protection { change: true, .. } => request::body_length(&heard[..end])?,
        Asked::Protection { .. } | Asked::Metadata { .. } | Asked::Credentials(_) => 0,
    };
    Ok(heard[end + 4..].get(..length).map(|body| answer(&asked, body)))
}

/// Writes on; gives whether everything is gone.
fn tell(stream: &mut TcpStream, bytes: &[u8], sent: &mut usize) -> io::Result<bool> {
    while *sent < bytes.len() {
        match stream.write(&bytes[*sent..]) {
            Ok(count) => *sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Hears out one that has its answer.
fn leave(stream: &mut TcpStream, heard: &mut usize) -> io::Result<Then> {
    let mut bytes = [0; 4096];
    while *heard < LEAVING_MAX {
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(Then::Goes),
            Ok(count) => *heard += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Then::Stays),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Then::Goes)
}

/// How many questions may still be answered, in thousandths.
#[derive(Debug)]
struct Allowance {
    left: u64,
    at: Option<Moment>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: BURST * 1000, at: None }
    }
}

impl Allowance {
    fn take(&mut self, now: Moment) -> bool {
        let passed = self.at.replace(now).map_or(0, |at| now.0.saturating_sub(at.0));
        self.left = self.left.saturating_add(passed.saturating_mul(RATE)).min(BURST * 1000);
        let may = self.left >= 1000;
        self.left -= if may { 1000 } else { 0 };
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_answered_and_then_forty_a_second() {
        let mut allowance = Allowance::default();
        let count = |allowance: &mut Allowance, at| (0..200).filter(|_| allowance.take(Moment(at))).count();
        assert_eq!(count(&mut allowance, 1000), 60);
        assert_eq!(count(&mut allowance, 2000), 40);
        assert_eq!(count(&mut allowance, 2100), 4);
        assert_eq!(count(&mut allowance, 1_000_000), 60);
    }
}
