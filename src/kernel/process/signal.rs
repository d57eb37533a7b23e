//! Signals by number and by every name people use for them, and sets of signals.

use std::fmt;

use nix::errno::Errno;
use nix::sys::signal::SigSet;

/// Signals are numbered from 1 to 64 on every Linux we run on.
const HIGHEST: i32 = 64;

/// The first real-time signal as the C library counts: the kernel's first two are its own.
const RTMIN: i32 = 34;

/// Names of the standard signals; the index is the number less one.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// A signal, standard or real-time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(i32);

/// Text that names no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown signal {0:?}")]
pub struct UnknownSignal(pub String);

impl Signal {
    /// Hang-up of a terminal; to daemons, reload.
    pub const HUP: Self = Self(libc::SIGHUP);
    /// Interrupt from the keyboard.
    pub const INT: Self = Self(libc::SIGINT);
    /// Quit from the keyboard.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// The end that cannot be refused.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// The first signal without a meaning of its own.
    pub const USR1: Self = Self(libc::SIGUSR1);
    /// The second one.
    pub const USR2: Self = Self(libc::SIGUSR2);
    /// A request to end.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// A child changed state.
    pub const CHLD: Self = Self(libc::SIGCHLD);
    /// Continue after a stop.
    pub const CONT: Self = Self(libc::SIGCONT);
    /// The stop that cannot be refused.
    pub const STOP: Self = Self(libc::SIGSTOP);
    /// Reading from the terminal in the background.
    pub const TTIN: Self = Self(libc::SIGTTIN);
    /// Writing to the terminal in the background.
    pub const TTOU: Self = Self(libc::SIGTTOU);
    /// The terminal's size changed.
    pub const WINCH: Self = Self(libc::SIGWINCH);

    /// The signal with this number, if there is one.
    #[must_use]
    pub const fn from_raw(number: i32) -> Option<Self> {
        if number >= 1 && number <= HIGHEST { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Reads `15`, `TERM`, `SIGTERM`, `sigterm`, `RTMIN+3` and `SIGRTMAX-1`.
    pub fn parse(text: &str) -> Result<Self, UnknownSignal> {
        let unknown = || UnknownSignal(text.to_owned());
        if let Ok(number) = text.parse::<i32>() {
            return Self::from_raw(number).ok_or_else(unknown);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = match name {
            "IOT" => Some(libc::SIGABRT),
            "POLL" => Some(libc::SIGIO),
            "CLD" => Some(libc::SIGCHLD),
            name => NAMES
                .iter()
                .position(|known| *known == name)
                .and_then(|at| i32::try_from(at + 1).ok())
                .or_else(|| real_time(name)),
        };
        number.and_then(Self::from_raw).ok_or_else(unknown)
    }
}

/// `RTMIN`, `RTMIN+n`, `RTMAX`, `RTMAX-n`.
fn real_time(name: &str) -> Option<i32> {
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        RTMIN.checked_add(offset(rest, '+')?)?
    } else {
        HIGHEST.checked_sub(offset(name.strip_prefix("RTMAX")?, '-')?)?
    };
    (RTMIN..=HIGHEST).contains(&number).then_some(number)
}

fn offset(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() { Some(0) } else { text.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from) }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let standard = usize::try_from(self.0 - 1).ok().and_then(|at| NAMES.get(at));
        match standard {
            Some(name) => write!(f, "SIG{name}"),
            None if self.0 >= RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// A set of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalMask(SigSet);

impl SignalMask {
    /// Exactly `signals`.
    #[must_use]
    pub fn of(signals: &[Signal]) -> Self {
        let mut set = empty_set();
        for signal in signals {
            // SAFETY: `set` is an initialised set that lives on this stack, and the number is within 1..=64.
            unsafe { libc::sigaddset(&raw mut set, signal.0) };
        }
        // SAFETY: `set` was initialised by sigemptyset and changed only by sigaddset.
        Self(unsafe { SigSet::from_sigset_t_unchecked(set) })
    }

    /// Every signal.
    #[must_use]
    pub fn all() -> Self {
        Self(SigSet::all())
    }

    /// No signal.
    #[must_use]
    pub fn none() -> Self {
        Self(SigSet::empty())
    }

    /// Adds these signals to what this thread blocks.
    pub fn block(&self) -> Result<(), Errno> {
        self.0.thread_block()
    }

    /// Removes these signals from what this thread blocks.
    pub fn unblock(&self) -> Result<(), Errno> {
        self.0.thread_unblock()
    }

    /// Blocks exactly these signals in this thread, and returns what was blocked before.
    pub fn swap(&self) -> Result<Self, Errno> {
        self.0.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK).map(Self)
    }

    pub(in crate::kernel) fn to_sigset(self) -> SigSet {
        self.0
    }
}

fn empty_set() -> libc::sigset_t {
    *SigSet::empty().as_ref()
}

/// A signal's action as the kernel takes it; all zero is the default action. Large enough for every architecture,
/// of which some have no restorer.
#[repr(C)]
struct KernelAction([u64; 4]);

const DEFAULT: KernelAction = KernelAction([0; 4]);

/// Gives every signal its default action and unblocks all, as a fresh program expects.
///
/// An ignored signal would stay ignored across exec, and this language's runtime ignores SIGPIPE.
pub fn default_dispositions() -> Result<(), Errno> {
    for number in 1..=HIGHEST {
        if number == libc::SIGKILL || number == libc::SIGSTOP {
            continue;
        }
        // The bare call, because the C library hides the two signals that it keeps for itself.
        let (action, none) = (DEFAULT, std::ptr::null_mut::<KernelAction>());
        // SAFETY: `action` is laid out as the kernel reads it and the mask's size is given; SIG_DFL runs no code.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, number, &raw const action, none, size_of::<u64>()) };
    }
    SigSet::empty().thread_set_mask()
}
