//! The way to whoever takes output: a socket that never makes the shim wait, and is made again when it breaks.
//!
//! ```text
//!   Down ── something to say, and its pause is over ──▶ Connecting ──▶ Up
//!    ▲  each failure doubles the pause                      │           │
//!    └───────────────────────────────────────────────────────┴───────────┘ refused, closed
//! ```
//!
//! Nobody is connected to before there is something to say. When no address of a server answers, its name is looked up
//! anew ([`names`](super::names)) before they are tried again. With TLS a connection is up once both ends know each other.

use std::{
    borrow::Cow,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, getsockopt, recv, send, sockopt},
};

use super::names::{Lookup, Step};
use crate::{
    kernel::{
        event::{Interest, Poll, Token},
        process::send_with_fds,
    },
    model::time::Moment,
    shim::spec::{HostSpec, SyslogSpec, Target, TlsSpec},
};

mod socket;

use socket::Socket;

/// The pause after the first failure, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// How long a server may take to answer at all.
const ANSWER: Duration = Duration::from_secs(5);

/// What became of bytes that were to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// So many of them are gone; of a message all.
    Bytes(usize),
    /// None now: the other end is slow.
    Later,
    /// There is no way any more.
    Gone,
    /// A message cannot be that large.
    TooLarge,
}

/// One turn of the loop.
#[derive(Clone, Copy, Debug)]
pub(in crate::shim) struct Turn<'a> {
    /// What the loop waits with.
    pub(in crate::shim) poll: &'a Poll,
    /// What it is woken with when there is more room.
    pub(in crate::shim) token: Token,
    /// When it is.
    pub(in crate::shim) now: Moment,
}

/// The way.
#[derive(Debug)]
pub(super) struct Link {
    targets: Vec<Target>,
    /// How a stream over the network is kept from others.
    tls: Option<TlsSpec>,
    /// The server's name, where it has one.
    host: Option<HostSpec>,
    /// Whether it is to be looked up before anything is tried.
    is_stale: bool,
    /// Which of them is tried next.
    next: usize,
    state: State,
    pause: Duration,
    why: Option<Cow<'static, str>>,
}

#[derive(Debug)]
enum State {
    Down { again: Moment },
    Asking(Box<Lookup>),
    Connecting { socket: Socket, until: Moment },
    Up(Socket),
}

impl Link {
    /// A way to the first of `targets` that answers.
    pub(super) fn new(targets: Vec<Target>) -> Self {
        let state = State::Down { again: Moment(0) };
        Self { targets, tls: None, host: None, is_stale: false, next: 0, state, pause: PAUSES.0, why: None }
    }

    /// A way to a syslog server.
    pub(super) fn to(server: &SyslogSpec) -> Self {
        let (tls, host) = (server.tls.clone(), server.host.clone());
        Self { tls, host, is_stale: server.targets.is_empty(), ..Self::new(server.targets.clone()) }
    }

    /// Whether somebody is there, however slow.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Whether it was looked for in vain, or broke, and is not there again.
    pub(super) fn is_down(&self) -> bool {
        self.why.is_some() && !self.is_up()
    }

    /// Whether messages are told apart by what stands between them.
    pub(super) fn is_stream(&self) -> bool {
        matches!(&self.state, State::Up(socket) if socket.is_stream)
    }

    /// Why there was no way when there was last none.
    pub(super) fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// Whether bytes that were taken have not gone yet.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(&self.state, State::Up(Socket { tls: Some(tls), .. }) if tls.is_full())
    }

    /// Says that nothing more comes.
    pub(super) fn close(&mut self) {
        if let State::Up(Socket { fd, tls: Some(tls), .. }) = &mut self.state {
            tls.close(fd);
        }
    }

    /// When to look at it again; none while that is not for the clock to say.
    pub(super) fn again(&self) -> Option<Moment> {
        match self.state {
            State::Down { again } | State::Connecting { until: again, .. } => Some(again),
            State::Asking(ref lookup) => Some(lookup.until()),
            State::Up(_) => None,
        }
    }

    /// Makes a way if there is none and it is time to. Gives whether there is one.
    pub(super) fn open(&mut self, turn: Turn<'_>) -> bool {
        if let State::Connecting { until, .. } = self.state
            && until <= turn.now
        {
            self.lose(Errno::ETIMEDOUT.desc(), turn.now);
        }
        self.ask(turn);
        while let State::Down { again } = self.state
            && again <= turn.now
        {
            match self.host.as_ref().filter(|_| self.is_stale) {
                Some(host) => {
                    self.is_stale = false;
                    self.state = State::Asking(Box::new(Lookup::begin(&host.name)));
                    self.ask(turn);
                }
                None => self.try_next(turn),
            }
        }
        self.is_up()
    }

    /// Goes on with looking the name up.
    fn ask(&mut self, turn: Turn<'_>) {
        let State::Asking(lookup) = &mut self.state else { return };
        let step = lookup.go_on(turn.now);
        if let Some(socket) = lookup.new_socket()
            && let Err(errno) = turn.poll.add(socket, turn.token, Interest::READ)
        {
            eprintln!("wait for a name server: {errno}");
        }
        let (Step::Found(found), Some(host)) = (step, &self.host) else { return };
        let target = |address| {
            let address = SocketAddr::new(address, host.port);
            if host.is_stream { Target::Tcp(address) } else { Target::Udp(address) }
        };
        self.state = State::Down { again: turn.now };
        if !found.is_empty() {
            self.targets = found.into_iter().map(target).collect();
        }
    }

    fn try_next(&mut self, turn: Turn<'_>) {
        let Some(target) = self.targets.get(self.next) else {
            self.why.get_or_insert(Errno::EDESTADDRREQ.desc().into());
            (self.next, self.is_stale) = (0, true);
            self.state = State::Down { again: turn.now + self.pause };
            self.pause = (self.pause * 2).min(PAUSES.1);
            return;
        };
        match Socket::to(target) {
            Ok(socket) => {
                let is_there = socket.is_there;
                self.state = State::Connecting { socket, until: turn.now + ANSWER };
                if is_there {
                    self.arrive(turn.now);
                }
                self.wait(turn, false);
            }
            Err(errno) => {
                self.why = Some(errno.desc().into());
                self.next += 1;
            }
        }
    }

    /// Looks at what the loop was woken for.
    pub(super) fn look(&mut self, now: Moment) {
        match &mut self.state {
            State::Connecting { socket, .. } if !socket.is_there => {
                match getsockopt(&socket.fd, sockopt::SocketError) {
                    Ok(0) => {
                        socket.is_there = true;
                        self.arrive(now);
                    }
                    Ok(number) => self.lose(Errno::from_raw(number).desc(), now),
                    Err(errno) => self.lose(errno.desc(), now),
                }
            }
            State::Connecting { .. } => self.arrive(now),
            // What it says is seen to with the next line.
            State::Asking(lookup) => lookup.hear(),
            State::Up(Socket { fd, tls: Some(tls), .. }) => {
                if let Err(why) = tls.go_on(fd) {
                    self.lose(why, now);
                }
            }
            State::Up(socket) if socket.is_stream => {
                // Nobody has anything to say to us; what matters is that they are there.
                match recv(socket.fd.as_raw_fd(), &mut [0; 512], MsgFlags::empty()) {
                    Ok(0) => self.lose(Errno::ECONNRESET.desc(), now),
                    Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                    Err(errno) => self.lose(errno.desc(), now),
                }
            }
            State::Down { .. } | State::Up(_) => {}
        }
    }

    /// Somebody is there: goes on until both ends know each other.
    fn arrive(&mut self, now: Moment) {
        let spec = self.tls.as_ref();
        let State::Connecting { socket, .. } = &mut self.state else { return };
        match socket.shake_hands(spec) {
            Err(why) => self.lose(why, now),
            Ok(false) => {}
            Ok(true) => {
                let before = std::mem::replace(&mut self.state, State::Down { again: Moment(0) });
                self.state = match before {
                    State::Connecting { socket, .. } => State::Up(socket),
                    State::Down { .. } | State::Asking(_) | State::Up(_) => before,
                };
            }
        }
    }

    /// The way is no more: the next one is tried at once, unless all have been.
    fn lose(&mut self, why: impl Into<Cow<'static, str>>, now: Moment) {
        self.why = Some(why.into());
        self.next += 1;
        let again = if self.next < self.targets.len() {
            now
        } else {
            (self.next, self.is_stale) = (0, true);
            let again = now + self.pause;
            self.pause = (self.pause * 2).min(PAUSES.1);
            again
        };
        self.state = State::Down { again };
    }

    /// Sends what fits.
    pub(super) fn send(&mut self, bytes: &[u8], now: Moment) -> Sent {
        let State::Up(socket) = &mut self.state else { return Sent::Gone };
        if let Some(tls) = &mut socket.tls {
            return match tls.send(bytes, &socket.fd) {
                Ok(0) => Sent::Later,
                Ok(count) => {
                    self.pause = PAUSES.0;
                    Sent::Bytes(count)
                }
                Err(why) => {
                    self.lose(why, now);
                    Sent::Gone
                }
            };
        }
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let mut sent = send(socket.fd.as_raw_fd(), bytes, flags);
        if sent == Err(Errno::ECONNREFUSED) && matches!(self.targets.get(self.next), Some(Target::Udp(_))) {
            // That is what became of the packet before; nobody asks twice on that way.
            self.why = Some(Errno::ECONNREFUSED.desc().into());
            sent = send(socket.fd.as_raw_fd(), bytes, flags);
        }
        self.outcome(sent, now)
    }

    /// Sends a message that is nothing but a file.
    pub(super) fn send_file(&mut self, file: &OwnedFd, now: Moment) -> Sent {
        let State::Up(socket) = &self.state else { return Sent::Gone };
        let sent = send_with_fds(socket.fd.as_fd(), &[], &[file.as_fd()]);
        self.outcome(sent, now)
    }

    fn outcome(&mut self, sent: Result<usize, Errno>, now: Moment) -> Sent {
        match sent {
            Ok(count) => {
                self.pause = PAUSES.0;
                Sent::Bytes(count)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Sent::Later,
            Err(Errno::EMSGSIZE | Errno::ENOBUFS) => Sent::TooLarge,
            Err(errno) => {
                self.lose(errno.desc(), now);
                Sent::Gone
            }
        }
    }

    /// Says whether there is something to send that the other end did not take.
    pub(super) fn wait(&mut self, turn: Turn<'_>, for_room: bool) {
        match &mut self.state {
            State::Up(socket) => socket.wait(turn, for_room),
            State::Connecting { socket, .. } => {
                let is_connecting = !socket.is_there;
                socket.wait(turn, is_connecting);
            }
            State::Down { .. } | State::Asking(_) => {}
        }
    }
}
