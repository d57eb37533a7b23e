//! One visitor: what it asks is heard, answered or asked of somebody else, and told; and none of it waits.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    time::Duration,
};

use crate::{
    kernel::event::{Interest, Poll, Token},
    model::time::Moment,
    shim::{
        metadata::{
            errand::{Errand, Reply},
            request::{self, Answer, Asked, HEAD_MAX},
        },
        source::Source,
    },
};

/// How long a visitor may take to ask, and then to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one that has its answer may take to go.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes that are thrown away of one that still speaks after its answer.
const LEAVING_MAX: usize = 64 << 10;

/// Somebody who came through the door.
#[derive(Debug)]
pub(super) struct Visitor {
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
pub(super) enum Then {
    Stays,
    Goes,
}

impl Visitor {
    /// One that has said nothing yet.
    pub(super) fn new(number: u32, stream: TcpStream, now: Moment) -> Self {
        let (step, until) = (Step::Asking(Vec::new()), now + PATIENCE);
        Self { number, stream, step, until, waits_to_write: false }
    }

    /// When it is shown out.
    pub(super) fn until(&self) -> Moment {
        self.until
    }

    /// Goes as far as is possible now.
    pub(super) fn go_on(
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
