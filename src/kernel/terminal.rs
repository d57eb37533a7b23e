//! Pseudo terminals: pairs from a devpts of one's choice, window sizes, raw mode.
//!
//! A pair is made without looking up its other end by name: the kernel is asked for it through the first
//! (`TIOCGPTPEER`), so nothing that is mounted or linked over `/dev/pts` can take its place.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat, makedev};
use nix::sys::statfs::{FsType, fstatfs};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{Uid, fchown};

/// What a devpts is known by (linux/magic.h).
const DEVPTS: FsType = FsType(0x1cd1);

/// The device that makes pairs.
const MULTIPLEXER: (u64, u64) = (5, 2);

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// The two ends of a pseudo terminal.
#[derive(Debug)]
pub struct Pair {
    /// The end of whoever shows the terminal.
    pub master: OwnedFd,
    /// The end of the programs in it.
    pub slave: OwnedFd,
}

/// Makes a pair from the devpts at `/dev/pts` below `root`. Allocates nothing.
///
/// `ENODEV` if there is no devpts.
pub fn open_pair(root: BorrowedFd<'_>) -> Result<Pair, Errno> {
    let links = ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let place = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(links | ResolveFlag::RESOLVE_IN_ROOT);
    let devpts = openat2(root, c"dev/pts", place)?;
    if fstatfs(&devpts)?.filesystem_type() != DEVPTS {
        return Err(Errno::ENODEV);
    }
    // Nothing but terminals can be in a devpts, and nothing mounted on it is crossed to.
    let device = OpenHow::new()
        .flags(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
        .resolve(links | ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV);
    let master = openat2(&devpts, c"ptmx", device)?;
    let status = fstat(&master)?;
    let is_device = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
    if !is_device || status.st_rdev != makedev(MULTIPLEXER.0, MULTIPLEXER.1) {
        return Err(Errno::ENODEV);
    }
    unlock(&master)?;
    let slave = peer(&master)?;
    Ok(Pair { master, slave })
}

fn unlock(master: &OwnedFd) -> Result<(), Errno> {
    let unlocked: libc::c_int = 0;
    // SAFETY: the request reads one integer, which lives across the call.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) }).map(drop)
}

fn peer(master: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the request takes flags by value and makes a descriptor.
    let fd = Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the kernel has just made this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes `slave` the terminal of this process's session, of which it must be the leader.
pub fn take_control(slave: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the request takes an integer by value.
    Errno::result(unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// Gives a terminal to a user; its group stays.
pub fn give_to(slave: BorrowedFd<'_>, uid: u32) -> Result<(), Errno> {
    fchown(slave, Some(Uid::from_raw(uid)), None)
}

/// Sets the size that programs in the terminal see, and tells them.
pub fn set_size(terminal: BorrowedFd<'_>, size: Size) -> Result<(), Errno> {
    let wanted = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request reads one structure, which lives across the call.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const wanted) }).map(drop)
}

/// The size of a terminal; `ENOTTY` for anything else.
pub fn size_of(terminal: BorrowedFd<'_>) -> Result<Size, Errno> {
    let mut found = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes one structure, which lives across the call.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut found) })?;
    Ok(Size { rows: found.ws_row, columns: found.ws_col })
}

/// The number of a pair within its devpts.
pub fn number_of(master: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut number: libc::c_uint = 0;
    // SAFETY: the request writes one integer, which lives across the call.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number) })?;
    Ok(number)
}

/// A terminal that passes every key on as it is, until this is dropped.
#[derive(Debug)]
pub struct Raw<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> Raw<'a> {
    /// Puts `terminal` into raw mode; `ENOTTY` if it is none.
    pub fn enter(terminal: BorrowedFd<'a>) -> Result<Self, Errno> {
        let before = tcgetattr(terminal)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(terminal, SetArg::TCSANOW, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        // A terminal that has gone away needs no mode.
        let _ = tcsetattr(self.terminal.as_fd(), SetArg::TCSANOW, &self.before);
    }
}
