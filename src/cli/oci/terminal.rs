//! Waiting for a process of ours: signals go to it, and if it has a terminal, so do our keys.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::report::Failure;
use crate::kernel::event::SignalFd;
use crate::kernel::process::{Exit, Signal};
use crate::kernel::terminal::{Raw, set_size, size_of};

/// Signals that are meant for the container when we get them.
pub(super) const FORWARDED: [Signal; 7] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2, Signal::WINCH];

/// A process to wait for.
pub(super) struct Attended<'a> {
    /// Readable when it has ended.
    pub pidfd: BorrowedFd<'a>,
    /// Sends it a signal.
    pub signal: &'a dyn Fn(Signal),
    /// How it has ended, if it has.
    pub try_wait: &'a dyn Fn() -> Result<Option<Exit>, Errno>,
}

/// A terminal's master, and what is still to be written to it.
struct Screen {
    master: OwnedFd,
    pending: Vec<u8>,
    /// Whether programs still have the other end.
    is_open: bool,
    /// Whether our standard input may still bring keys.
    has_keys: bool,
}

/// Waits until the process ends. Its output is complete by then.
pub(super) fn attend(
    process: &Attended<'_>,
    signals: &SignalFd,
    terminal: Option<OwnedFd>,
) -> Result<Exit, Failure> {
    let stdin = io::stdin();
    let mut screen = terminal.map(Screen::new).transpose()?;
    // Somebody who is no terminal, such as a script, has no mode to change.
    let _raw = screen.as_ref().and_then(|_| Raw::enter(stdin.as_fd()).ok());
    loop {
        let ready = wait(process, signals, screen.as_ref())?;
        while let Some((signal, _)) = signals.read()? {
            match &screen {
                Some(screen) if signal == Signal::WINCH => screen.fit()?,
                // One that ends meanwhile is noticed below.
                Some(_) | None => (process.signal)(signal),
            }
        }
        if let Some(screen) = &mut screen {
            screen.move_bytes(ready)?;
        }
        if let Some(exit) = (process.try_wait)()? {
            if let Some(screen) = &mut screen {
                screen.show()?;
            }
            return Ok(exit);
        }
    }
}

/// What is ready: our standard input.
#[derive(Clone, Copy)]
struct Ready {
    keys: bool,
}

fn wait(process: &Attended<'_>, signals: &SignalFd, screen: Option<&Screen>) -> Result<Ready, Failure> {
    let stdin = io::stdin();
    let mut fds =
        vec![PollFd::new(process.pidfd, PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    let mut keys_at = None;
    if let Some(screen) = screen {
        let wants_room = if screen.pending.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        if screen.is_open {
            fds.push(PollFd::new(screen.master.as_fd(), PollFlags::POLLIN | wants_room));
        }
        if screen.has_keys && screen.pending.is_empty() {
            keys_at = Some(fds.len());
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
    }
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let keys = keys_at.and_then(|at| fds[at].revents()).is_some_and(|events| !events.is_empty());
    Ok(Ready { keys })
}

impl Screen {
    fn new(master: OwnedFd) -> Result<Self, Errno> {
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let screen = Self { master, pending: Vec::new(), is_open: true, has_keys: true };
        screen.fit()?;
        Ok(screen)
    }

    /// Makes the terminal as large as ours, if we have one.
    fn fit(&self) -> Result<(), Errno> {
        match size_of(io::stdin().as_fd()) {
            Ok(size) => set_size(self.master.as_fd(), size),
            Err(_) => Ok(()),
        }
    }

    fn move_bytes(&mut self, ready: Ready) -> Result<(), Failure> {
        self.show()?;
        if ready.keys {
            let mut bytes = [0; 4096];
            let read = io::stdin().lock().read(&mut bytes)?;
            self.has_keys = read > 0;
            self.pending.extend_from_slice(&bytes[..read]);
        }
        if !self.pending.is_empty() {
            match nix::unistd::write(&self.master, &self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                // Nobody reads any more.
                Err(_) => self.pending.clear(),
            }
        }
        Ok(())
    }

    /// Prints what programs have written so far.
    fn show(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; 8192];
        while self.is_open {
            match nix::unistd::read(&self.master, &mut bytes) {
                Ok(read) if read > 0 => {
                    let mut out = io::stdout().lock();
                    out.write_all(&bytes[..read])?;
                    out.flush()?;
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                // EIO: the last program with the other end has closed it. Another may open it yet, but not hurry us.
                Ok(_) | Err(_) => self.is_open = false,
            }
        }
        Ok(())
    }
}
