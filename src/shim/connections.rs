//! The daemons that are connected: what they order, and the facts that they get.
//!
//! Nothing here waits. Each connection has a place in the ledger and at most one batch of lines under way; the next
//! facts are read from the ledger when those are gone, so a daemon that does not listen costs a shim nothing. One
//! that says more than a line holds is let go.

use std::{
    fs,
    io::{self, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use super::{
    ledger::{Cursor, Ledger},
    nearby::Nearby,
    protocol::{LINE_MAX, Order, Report, VERSION},
    source::Source,
};
use crate::{
    kernel::event::{Interest, Poll},
    model::{
        exec::{ExecRequest, ExecUser},
        ids::{ContainerName, TaskId},
        reading,
    },
};

/// Connections at a time; one is usual.
const MOST: usize = 16;

/// Bytes that are gathered before they are sent.
const BATCH: usize = 16 << 10;

/// Everybody who is connected, and the door for more.
#[derive(Debug)]
pub(super) struct Connections {
    task: TaskId,
    socket: PathBuf,
    listener: UnixListener,
    open: Vec<Connection>,
    /// The number that the next connection gets.
    next: u32,
}

/// A command that somebody wants run, and the connection that is its own from now on.
#[derive(Debug)]
pub(super) struct Call {
    /// Where its frames go.
    pub(super) stream: UnixStream,
    /// What has come of them already.
    pub(super) heard: Vec<u8>,
    /// In which container.
    pub(super) container: ContainerName,
    /// What is run.
    pub(super) request: ExecRequest,
    /// Whom the request's user is.
    pub(super) user: Option<ExecUser>,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// An order.
    Order(Order),
    /// A command to run.
    Call(Call),
}

#[derive(Debug)]
struct Connection {
    number: u32,
    stream: UnixStream,
    /// Bytes of an order that is not whole yet.
    heard: Vec<u8>,
    /// Bytes that the socket has not taken yet.
    under_way: Vec<u8>,
    /// The place in the ledger, once it has said hello.
    cursor: Option<Cursor>,
    waits_to_write: bool,
}

impl Connections {
    /// Listens at `socket`, where a socket that is left from before is removed.
    pub(super) fn listen(task: TaskId, socket: &Path, poll: &Poll) -> io::Result<Self> {
        fs::create_dir_all(socket.parent().unwrap_or(socket))?;
        match fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(Nearby::of(socket)?.path())?;
        fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        poll.add(&listener, Source::Listener.token(), Interest::READ)?;
        Ok(Self { task, socket: socket.to_owned(), listener, open: Vec::new(), next: 0 })
    }

    /// Takes a connection that is there already.
    pub(super) fn adopt(&mut self, stream: OwnedFd, poll: &Poll) -> io::Result<()> {
        self.welcome(UnixStream::from(stream), poll)
    }

    /// Takes everybody who waits at the door.
    pub(super) fn accept(&mut self, poll: &Poll) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.open.len() < MOST {
                let _ = self.welcome(stream, poll);
            }
        }
    }

    fn welcome(&mut self, stream: UnixStream, poll: &Poll) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let number = self.next;
        poll.add(&stream, Source::Connection(number).token(), Interest::READ)?;
        self.next = self.next.wrapping_add(1);
        self.open.push(Connection {
            number,
            stream,
            heard: Vec::new(),
            under_way: Vec::new(),
            cursor: None,
            waits_to_write: false,
        });
        Ok(())
    }

    /// Everything that was ordered, by anybody. A connection that has become a command's own is given away.
    pub(super) fn hear(&mut self, ledger: &Ledger, poll: &Poll) -> Vec<Heard> {
        let (mut all, mut at) = (Vec::new(), 0);
        while at < self.open.len() {
            let mut orders = Vec::new();
            let going = self.open[at].hear(&self.task, ledger, &mut orders);
            let call = orders.pop_if(|order| matches!(order, Order::Exec { .. }));
            all.extend(orders.into_iter().map(Heard::Order));
            match (going, call) {
                (Ok(()), None) => at += 1,
                (Ok(()), Some(order)) => {
                    all.extend(self.open.remove(at).into_call(order, poll).map(Heard::Call));
                }
                (Err(_), _) => {
                    self.open.remove(at);
                }
            }
        }
        all
    }

    /// Sends everybody the facts that they have not had.
    pub(super) fn tell(&mut self, ledger: &Ledger, poll: &Poll) {
        self.open.retain_mut(|connection| connection.tell(ledger, poll).is_ok());
    }

    /// Whether somebody has had every fact.
    pub(super) fn somebody_has_all(&self, ledger: &Ledger) -> bool {
        self.open.iter().any(|connection| connection.has_all(ledger))
    }

    /// Whether everybody who said hello has had every fact.
    pub(super) fn everybody_has_all(&self, ledger: &Ledger) -> bool {
        self.open.iter().all(|connection| connection.cursor.is_none() || connection.has_all(ledger))
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

impl Connection {
    fn has_all(&self, ledger: &Ledger) -> bool {
        self.under_way.is_empty() && self.cursor.is_some_and(|cursor| cursor.next() > ledger.facts())
    }

    fn hear(&mut self, task: &TaskId, ledger: &Ledger, orders: &mut Vec<Order>) -> io::Result<()> {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.heard.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            while let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                let order = reading::from_slice(&self.heard[..end])?;
                self.heard.drain(..=end);
                match order {
                    Order::Hello { from } => {
                        self.cursor = Some(Cursor::before(from));
                        let facts = ledger.facts();
                        put(
                            &mut self.under_way,
                            &Report::Welcome { version: VERSION, task: task.clone(), facts },
                        )?;
                    }
                    Order::Stop { .. } | Order::Signal { .. } | Order::Credentials { .. } => {
                        orders.push(order);
                    }
                    Order::Exec { .. } => {
                        orders.push(order);
                        return Ok(());
                    }
                    Order::Unknown => {}
                }
            }
            if self.heard.len() > LINE_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    /// The connection as a command's own.
    fn into_call(self, order: Order, poll: &Poll) -> Option<Call> {
        let Order::Exec { container, request, user } = order else { return None };
        poll.remove(&self.stream).ok()?;
        Some(Call { stream: self.stream, heard: self.heard, container, request: *request, user })
    }

    /// Sends until there is no more, or the socket takes no more.
    fn tell(&mut self, ledger: &Ledger, poll: &Poll) -> io::Result<()> {
        loop {
            self.gather(ledger);
            if self.under_way.is_empty() {
                return self.wait_to_write(false, poll);
            }
            match self.stream.write(&self.under_way) {
                Ok(count) => {
                    self.under_way.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.wait_to_write(true, poll);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the next facts from the ledger.
    fn gather(&mut self, ledger: &Ledger) {
        let Some(cursor) = &mut self.cursor else { return };
        while self.under_way.len() < BATCH {
            let Some(fact) = ledger.read(cursor) else { return };
            self.under_way.extend_from_slice(br#"{"say":"fact","fact":"#);
            self.under_way.extend_from_slice(&fact);
            self.under_way.extend_from_slice(b"}\n");
        }
    }

    fn wait_to_write(&mut self, wait: bool, poll: &Poll) -> io::Result<()> {
        if self.waits_to_write != wait {
            self.waits_to_write = wait;
            let interest = if wait { Interest::READ.and(Interest::WRITE) } else { Interest::READ };
            poll.modify(&self.stream, Source::Connection(self.number).token(), interest)?;
        }
        Ok(())
    }
}

/// Appends a report as a line.
fn put(line: &mut Vec<u8>, report: &Report) -> io::Result<()> {
    serde_json::to_writer(&mut *line, report)?;
    line.push(b'\n');
    Ok(())
}

/// Says on a connection that the shim cannot begin.
pub(super) fn refuse(connection: OwnedFd, reason: &str) {
    let mut line = Vec::new();
    if put(&mut line, &Report::Failed { reason: reason.to_owned() }).is_ok() {
        // Nobody may listen any more; then nobody needs to know.
        let _ = UnixStream::from(connection).write_all(&line);
    }
}
