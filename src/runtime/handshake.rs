//! What child and parent tell each other: "ready", "start", and which step failed.
//!
//! One socket pair that keeps message boundaries carries all of it. A report has a fixed size and is sent from
//! memory that was there before the clone. The socket closes on exec, so that the parent reads the end of the
//! stream when, and only when, the program runs.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use crate::kernel::process::{accept, recv_with_fds, send_with_fd};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, recv, send, socket,
    socketpair,
};
use nix::sys::stat::Mode;

/// Bytes of a report.
const SIZE: usize = 40;

/// The message that lets the child go.
const START: &[u8] = b"s";

const READY: u8 = 1;
const FAILED: u8 = 2;
const NOT_EXECUTED: u8 = 3;
const ASKS: u8 = 4;
const GIVES: u8 = 5;
const BORN: u8 = 6;

/// Which part of a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The step's main call.
    Whole,
    /// Opening what it works from.
    Source,
    /// Opening or making the place it works on.
    Target,
    /// Setting attributes.
    Attributes,
    /// The filesystem type.
    Type,
    /// An option of the filesystem.
    Option,
    /// A hook that ended with the code given as the reason.
    HookCode,
    /// A hook that was ended by the signal given as the reason.
    HookSignal,
    /// A hook that took too long.
    HookTimeout,
}

const PARTS: [Part; 9] = [
    Part::Whole,
    Part::Source,
    Part::Target,
    Part::Attributes,
    Part::Type,
    Part::Option,
    Part::HookCode,
    Part::HookSignal,
    Part::HookTimeout,
];

/// What the child says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// All steps are done; when it was born, when mounts began, when the identity began, and when it was done.
    Ready([Duration; 4]),
    /// A step failed.
    Failed {
        /// Its place in the list.
        step: usize,
        /// Which part of it.
        part: Part,
        /// Why: an error number, or what the part says it is.
        code: i32,
        /// Which hook, where the step is several.
        hook: u16,
    },
    /// A step waits for something that only the parent can do.
    Asks {
        /// Its place in the list.
        step: usize,
    },
    /// A step has made a descriptor for the parent, and waits until it is in place. The descriptor comes with it.
    Gives {
        /// Its place in the list.
        step: usize,
    },
    /// The steps are done, and another process goes on from there, once the parent lets it. Its handle comes with this.
    Born,
    /// The program could not be executed.
    NotExecuted {
        /// `Source` if it is the runtime itself, `Attributes` if it is the filter.
        part: Part,
        /// Why: an error number, or what the part says it is.
        code: i32,
        /// Which hook, if it was one.
        hook: u16,
    },
}

impl Report {
    fn encode(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let (kind, part, step, code, hook) = match self {
            Self::Ready(times) => {
                for (at, time) in times.iter().enumerate() {
                    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                    bytes[8 + at * 8..16 + at * 8].copy_from_slice(&nanos.to_le_bytes());
                }
                (READY, Part::Whole, 0, 0, 0)
            }
            Self::Failed { step, part, code, hook } => (FAILED, part, step, code, hook),
            Self::Asks { step } => (ASKS, Part::Whole, step, 0, 0),
            Self::Gives { step } => (GIVES, Part::Whole, step, 0, 0),
            Self::Born => (BORN, Part::Whole, 0, 0, 0),
            Self::NotExecuted { part, code, hook } => (NOT_EXECUTED, part, 0, code, hook),
        };
        if kind != READY {
            bytes[8..10].copy_from_slice(&hook.to_le_bytes());
        }
        bytes[0] = kind;
        bytes[1] =
            PARTS.iter().position(|one| *one == part).and_then(|at| u8::try_from(at).ok()).unwrap_or(0);
        bytes[2..4].copy_from_slice(&u16::try_from(step).unwrap_or(u16::MAX).to_le_bytes());
        bytes[4..8].copy_from_slice(&code.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; SIZE]) -> Option<Self> {
        let part = *PARTS.get(usize::from(bytes[1]))?;
        let step = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        let code = i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let hook = u16::from_le_bytes([bytes[8], bytes[9]]);
        Some(match bytes[0] {
            READY => Self::Ready(std::array::from_fn(|at| {
                let mut nanos = [0; 8];
                nanos.copy_from_slice(&bytes[8 + at * 8..16 + at * 8]);
                Duration::from_nanos(u64::from_le_bytes(nanos))
            })),
            FAILED => Self::Failed { step, part, code, hook },
            ASKS => Self::Asks { step },
            GIVES => Self::Gives { step },
            BORN => Self::Born,
            NOT_EXECUTED => Self::NotExecuted { part, code, hook },
            _ => return None,
        })
    }
}

/// Both ends of the line between parent and child, closed on exec.
pub(super) fn line() -> Result<(ParentEnd, OwnedFd), Errno> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    // Above the standard streams, which the child is about to put in place.
    let theirs = crate::kernel::process::dup_above_stdio(theirs)?;
    Ok((ParentEnd(ours), theirs))
}

/// A socket at `path` on which a created container waits to be started.
pub(super) fn listen(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = seqpacket()?;
    with_address(path, |address| bind(socket.as_raw_fd(), address))?;
    nix::sys::socket::listen(&socket, Backlog::new(4)?)?;
    crate::kernel::process::dup_above_stdio(socket)
}

/// Connects to the socket of a created container.
pub(super) fn call(path: &Path) -> Result<ParentEnd, Errno> {
    let socket = seqpacket()?;
    with_address(path, |address| connect(socket.as_raw_fd(), address))?;
    Ok(ParentEnd(socket))
}

fn seqpacket() -> Result<OwnedFd, Errno> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
}

/// Names the socket through its directory's descriptor: an address is short, a path need not be.
fn with_address<T>(path: &Path, act: impl FnOnce(&UnixAddr) -> Result<T, Errno>) -> Result<T, Errno> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::EINVAL) };
    let dir = open(dir, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let address = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    act(&UnixAddr::new(&address)?)
}

/// The parent's end.
#[derive(Debug)]
pub(super) struct ParentEnd(OwnedFd);

impl AsRawFd for ParentEnd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl ParentEnd {
    /// The next report and the descriptor that came with it; `None` when the child executes its program, or is gone.
    pub(super) fn receive(&self) -> Result<Option<(Report, Option<OwnedFd>)>, Errno> {
        let mut bytes = [0; SIZE];
        loop {
            match recv_with_fds(self.0.as_fd(), &mut bytes) {
                Ok((SIZE, mut fds)) => return Ok(Report::decode(&bytes).map(|report| (report, fds.pop()))),
                Ok(_) | Err(Errno::ECONNRESET) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Lets the child go on: after a question, or to execute its program.
    pub(super) fn go_on(&self) -> Result<(), Errno> {
        send(self.0.as_raw_fd(), START, MsgFlags::MSG_NOSIGNAL).map(drop)
    }
}

/// How the child learns that it is to start.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gate<'a> {
    /// At once.
    Open,
    /// On the line to the parent.
    Line,
    /// From whoever connects to this listening socket.
    Socket(BorrowedFd<'a>),
}

/// The child's end.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChildEnd<'a> {
    pub line: BorrowedFd<'a>,
    pub gate: Gate<'a>,
}

/// Who hears of a failed exec.
pub(super) enum Answer<'a> {
    Line(BorrowedFd<'a>),
    Caller(OwnedFd),
}

impl Answer<'_> {
    pub(super) fn send(&self, report: Report) {
        let fd = match self {
            Self::Line(fd) => fd.as_raw_fd(),
            Self::Caller(fd) => fd.as_raw_fd(),
        };
        send_report(fd, report);
    }
}

impl<'a> ChildEnd<'a> {
    /// The descriptors that must stay open until exec.
    pub(super) fn descriptors(&self) -> (RawFd, Option<RawFd>) {
        let gate = match self.gate {
            Gate::Open | Gate::Line => None,
            Gate::Socket(socket) => Some(socket.as_raw_fd()),
        };
        (self.line.as_raw_fd(), gate)
    }

    pub(super) fn send(&self, report: Report) {
        send_report(self.line.as_raw_fd(), report);
    }

    /// Has the parent do its part of a step, and waits until it has.
    pub(super) fn ask(&self, step: usize) -> Result<(), Errno> {
        self.send(Report::Asks { step });
        self.wait()
    }

    /// Hands a descriptor to the parent, and waits until it is in place.
    pub(super) fn give(&self, step: usize, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        send_with_fd(self.line, &Report::Gives { step }.encode(), fd)?;
        self.wait()
    }

    /// Names the process that goes on in this one's place; it is that one that waits.
    pub(super) fn give_way(&self, to: BorrowedFd<'_>) -> Result<(), Errno> {
        send_with_fd(self.line, &Report::Born.encode(), to)
    }

    /// A parent that does not answer is about to kill this process.
    pub(super) fn wait(&self) -> Result<(), Errno> {
        if is_started(self.line) { Ok(()) } else { Err(Errno::ECANCELED) }
    }

    /// Says that everything is in place and waits to be started; `None` if that will never happen.
    pub(super) fn ready_and_wait(&self, times: [Duration; 4]) -> Option<Answer<'a>> {
        match self.gate {
            Gate::Open => Some(Answer::Line(self.line)),
            Gate::Line => {
                self.send(Report::Ready(times));
                is_started(self.line).then_some(Answer::Line(self.line))
            }
            Gate::Socket(listener) => {
                self.send(Report::Ready(times));
                loop {
                    let caller = accept(listener).ok()?;
                    if is_started(caller.as_fd()) {
                        return Some(Answer::Caller(caller));
                    }
                }
            }
        }
    }
}

fn is_started(from: BorrowedFd<'_>) -> bool {
    let mut byte = [0; 1];
    loop {
        match recv(from.as_raw_fd(), &mut byte, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Ok(1) => return byte == START,
            Ok(_) | Err(_) => return false,
        }
    }
}

/// Nobody can be told if this fails; the parent then sees the line end.
fn send_report(fd: RawFd, report: Report) {
    let _ = send(fd, &report.encode(), MsgFlags::MSG_NOSIGNAL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_wire() {
        let times = [1, 2, 3, 4].map(Duration::from_nanos);
        let reports = [
            Report::Ready(times),
            Report::Failed { step: 17, part: Part::Target, code: libc::EROFS, hook: 3 },
            Report::Asks { step: 3 },
            Report::Gives { step: 4 },
            Report::Born,
            Report::NotExecuted { part: Part::Source, code: libc::EACCES, hook: 0 },
        ];
        for report in reports {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
    }
}
