//! A handle to a process that stays with it: signal it, wait for it, register it with a poll.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::Signal;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It called exit with this code.
    Code(i32),
    /// A signal ended it.
    Signal(Signal),
}

impl Exit {
    /// The code a shell would show: 128 plus the number for a signal.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal.as_raw(),
        }
    }
}

/// A process, whatever happens to its number. Readable once the process has ended.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// A handle to the process that has `pid` now.
    ///
    /// Only the parent, before it reaps, can be sure which process that is.
    pub fn open(pid: Pid) -> Result<Self, Errno> {
        // SAFETY: the call takes two integers and touches none of our memory.
        let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
        let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel has just made this descriptor; nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes over a descriptor that clone or a socket has handed us.
    #[must_use]
    pub fn from_owned(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// The number of the process in this process's pid namespace, from the kernel; `ESRCH` if it has none there, or not
    /// any more.
    pub fn number(&self) -> Result<Pid, Errno> {
        let path = format!("/proc/self/fdinfo/{}", self.0.as_raw_fd());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
        number.filter(|number| *number > 0).map(Pid::from_raw).ok_or(Errno::ESRCH)
    }

    /// Sends `signal`. A process that has ended but is not reaped takes it silently; a reaped one gives `ESRCH`.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        self.send(signal.as_raw())
    }

    /// Whether the process has not been reaped yet.
    pub fn exists(&self) -> bool {
        self.send(0) != Err(Errno::ESRCH)
    }

    fn send(&self, number: i32) -> Result<(), Errno> {
        let none: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: a null siginfo asks the kernel to fill in the usual one; no memory of ours is passed.
        let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), number, none, 0) };
        Errno::result(sent).map(drop)
    }

    /// Waits until the process has ended, at most for so long, or for ever; whether it has. It need not be our child, and
    /// is not reaped.
    pub fn ends_within(&self, limit: Option<Duration>) -> Result<bool, Errno> {
        let until = limit.map(|limit| Instant::now() + limit);
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let millis = left.map_or(PollTimeout::NONE, |left| {
                // Rounded up, so that the limit has passed when the wait is over.
                PollTimeout::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
            });
            match poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], millis) {
                Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(true),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Reaps the child if it has ended. `ECHILD` when it is not our child or was reaped before.
    pub fn try_wait(&self) -> Result<Option<Exit>, Errno> {
        self.waitid(libc::WEXITED | libc::WNOHANG)
    }

    /// Waits for the child to end and reaps it.
    pub fn wait(&self) -> Result<Exit, Errno> {
        loop {
            match self.waitid(libc::WEXITED) {
                Ok(Some(exit)) => return Ok(exit),
                Ok(None) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// How the child ended, leaving it to be reaped later.
    pub fn peek(&self) -> Result<Option<Exit>, Errno> {
        self.waitid(libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
    }

    fn waitid(&self, options: i32) -> Result<Option<Exit>, Errno> {
        let id = libc::id_t::try_from(self.0.as_raw_fd()).map_err(|_| Errno::EBADF)?;
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: `info` is large enough for a siginfo and lives across the call; the descriptor is ours.
        Errno::result(unsafe { libc::waitid(libc::P_PIDFD, id, info.as_mut_ptr(), options) })?;
        // SAFETY: all-zero bytes are a valid siginfo, and the kernel has at most overwritten them.
        let info = unsafe { info.assume_init() };
        // SAFETY: waitid fills in the fields of a child's change of state, or leaves zeroes.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        if pid == 0 {
            return Ok(None);
        }
        Ok(Some(match info.si_code {
            libc::CLD_EXITED => Exit::Code(status),
            _ => Signal::from_raw(status).map_or(Exit::Code(status), Exit::Signal),
        }))
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Pidfd> for OwnedFd {
    fn from(pidfd: Pidfd) -> Self {
        pidfd.0
    }
}
