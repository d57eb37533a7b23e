//! Questions that only the daemon can answer: the task's tags as they are now, its protection.
//!
//! The shim asks as any client of the API does, over the daemon's socket and a question a connection, and goes on with
//! everything else meanwhile. Where no daemon answers, that is what the task is told.

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::{Path, PathBuf},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde_json::Value;

use super::{
    document::TaskDocument,
    protection,
    request::{Answer, Version},
    tags,
};
use crate::{
    kernel::event::{Interest, Poll, Token},
    shim::nearby::Nearby,
};

/// The longest answer that is read.
const LONGEST: usize = 256 << 10;

/// What is answered: at once, or after an errand.
#[derive(Debug)]
pub(super) enum Reply {
    /// At once.
    Answer(Answer),
    /// After this.
    Errand(Box<Order>),
}

/// A call of the API.
#[derive(Debug)]
pub(super) struct Order {
    /// Where the daemon listens; nobody is asked where it is not known.
    pub(super) socket: Option<PathBuf>,
    /// The operation.
    pub(super) operation: &'static str,
    /// Its input.
    pub(super) input: Value,
    /// What for.
    pub(super) purpose: Purpose,
}

/// What an errand is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The answer about the protection of a task.
    Protection {
        /// Its ARN.
        task: String,
    },
    /// A task's document with its tags.
    TaskTags {
        /// The document.
        document: Box<TaskDocument>,
        /// In which version it is wanted.
        version: Version,
    },
    /// The same with those of its container instance besides.
    InstanceTags {
        /// The document.
        document: Box<TaskDocument>,
        /// In which version it is wanted.
        version: Version,
    },
}

/// An errand that came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The status of HTTP.
    pub(super) status: u16,
    /// The name of the error.
    pub(super) code: String,
    /// A sentence.
    pub(super) message: String,
}

/// An errand under way.
#[derive(Debug)]
pub(super) struct Errand {
    stream: UnixStream,
    heard: Vec<u8>,
    order: Box<Order>,
}

impl Order {
    /// What is answered now that the outcome is known.
    pub(super) fn finish(self, outcome: Result<Value, Trouble>) -> Reply {
        let Self { socket, purpose, .. } = self;
        match purpose {
            Purpose::Protection { task } => Reply::Answer(protection::tell(&task, outcome)),
            Purpose::TaskTags { document, version } => tags::of_task(*document, version, outcome, socket),
            Purpose::InstanceTags { document, version } => {
                Reply::Answer(tags::of_instance(*document, version, outcome))
            }
        }
    }
}

impl Trouble {
    /// No daemon answers.
    pub(super) fn nobody(why: &io::Error) -> Self {
        let message = format!("the daemon does not answer: {why}");
        Self { status: 500, code: "ServerException".to_owned(), message }
    }
}

impl Errand {
    /// Asks. The loop is woken with `token` when something comes back.
    pub(super) fn begin(order: Box<Order>, poll: &Poll, token: Token) -> Result<Self, Reply> {
        match Self::ask(&order, poll, token) {
            Ok(stream) => Ok(Self { stream, heard: Vec::new(), order }),
            Err(error) => Err(order.finish(Err(Trouble::nobody(&error)))),
        }
    }

    fn ask(order: &Order, poll: &Poll, token: Token) -> io::Result<UnixStream> {
        let socket = order.socket.as_deref().ok_or(io::ErrorKind::NotFound)?;
        let mut stream = reach(socket)?;
        let body = order.input.to_string();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-amz-json-1.1\r\n\
             X-Amz-Target: AmazonEC2ContainerServiceV20141113.{}\r\nContent-Length: {}\r\n\r\n{body}",
            order.operation,
            body.len()
        );
        // A socket holds more than that before anybody reads.
        stream.write_all(request.as_bytes())?;
        poll.add(&stream, token, Interest::READ)?;
        Ok(stream)
    }

    /// Reads on; gives what is answered once that is known.
    pub(super) fn go_on(mut self) -> Result<Self, Reply> {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(self.order.finish(read(&self.heard))),
                Ok(count) => self.heard.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(self),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.order.finish(Err(Trouble::nobody(&error)))),
            }
            if self.heard.len() > LONGEST {
                return Err(self.give_up());
            }
        }
    }

    /// Waits no longer.
    pub(super) fn give_up(self) -> Reply {
        self.order.finish(Err(Trouble::nobody(&io::ErrorKind::TimedOut.into())))
    }
}

/// A connection, without waiting for one.
fn reach(path: &Path) -> io::Result<UnixStream> {
    let way = Nearby::of(path)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(way.path().as_str())?)?;
    Ok(fd.into())
}

/// The document of an answer of the API, or what it refuses with.
fn read(answer: &[u8]) -> Result<Value, Trouble> {
    let failed = || Trouble::nobody(&io::ErrorKind::UnexpectedEof.into());
    let text = std::str::from_utf8(answer).map_err(|_| failed())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(failed)?;
    let status: u16 = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(failed)?;
    let document: Value = serde_json::from_str(body).map_err(|_| failed())?;
    if status == 200 {
        return Ok(document);
    }
    let word = |name: &str| document[name].as_str().map(str::to_owned);
    let code = word("__type").map(|code| code.rsplit('#').next().unwrap_or_default().to_owned());
    Err(Trouble {
        status,
        code: code.unwrap_or_else(|| "ServerException".to_owned()),
        message: word("message").or_else(|| word("Message")).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_api_is_a_document_or_an_error_with_its_name() {
        let ok = b"HTTP/1.1 200 OK\r\ncontent-type: x\r\n\r\n{\"tasks\":[]}";
        assert_eq!(read(ok), Ok(serde_json::json!({ "tasks": [] })));
        let no = b"HTTP/1.1 400 Bad Request\r\n\r\n{\"__type\":\"x#ClientException\",\"message\":\"no\"}";
        let expected = Trouble { status: 400, code: "ClientException".to_owned(), message: "no".to_owned() };
        assert_eq!(read(no), Err(expected));
        for cut in [0, 10, ok.len() - 1] {
            assert_eq!(read(&ok[..cut]).unwrap_err().status, 500, "{cut} bytes");
        }
    }
}
