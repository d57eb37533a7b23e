//! Descriptors that become readable: a deadline, a nudge from another thread, a signal.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd as RawEventFd};
use nix::sys::signalfd::{SfdFlags, SignalFd as RawSignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd as RawTimerFd, TimerFlags, TimerSetTimeFlags};

use crate::kernel::process::{Pid, Signal, SignalMask};

/// The monotonic clock, comparable between processes of one host.
#[must_use]
pub fn monotonic() -> Duration {
    // The monotonic clock cannot fail; zero would only spoil a measurement.
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// A deadline on the monotonic clock.
#[derive(Debug)]
pub struct TimerFd(RawTimerFd);

impl TimerFd {
    /// A timer that is not set.
    pub fn new() -> Result<Self, Errno> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self(RawTimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?))
    }

    /// Becomes readable at `deadline`; at once if that has passed; never for `None`.
    pub fn set(&self, deadline: Option<Instant>) -> Result<(), Errno> {
        match deadline {
            None => self.0.unset(),
            Some(deadline) => self.set_after(deadline.saturating_duration_since(Instant::now())),
        }
    }

    /// Becomes readable after `pause`.
    pub fn set_after(&self, pause: Duration) -> Result<(), Errno> {
        // Zero would disarm the timer instead of firing it.
        let pause = pause.max(Duration::from_nanos(1));
        self.0.set(Expiration::OneShot(TimeSpec::from(pause)), TimerSetTimeFlags::empty())
    }

    /// Takes the expiry back, if there was one.
    pub fn clear(&self) -> Result<bool, Errno> {
        match self.0.wait() {
            Ok(()) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A counter that other threads and the kernel can raise.
#[derive(Debug)]
pub struct EventFd(RawEventFd);

impl EventFd {
    /// A counter at zero.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self(RawEventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?))
    }

    /// Makes the descriptor readable.
    pub fn notify(&self) -> Result<(), Errno> {
        match self.0.write(1) {
            // A full counter is readable already.
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Takes the count back; zero when nobody called.
    pub fn drain(&self) -> Result<u64, Errno> {
        match self.0.read() {
            Ok(count) => Ok(count),
            Err(Errno::EAGAIN) => Ok(0),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Signals as readable events.
///
/// The signals stay blocked in this thread after the value is dropped: letting one that is already pending through
/// would run its default action.
#[derive(Debug)]
pub struct SignalFd(RawSignalFd);

impl SignalFd {
    /// Blocks `signals` in this thread and reads them from here on.
    pub fn new(signals: &[Signal]) -> Result<Self, Errno> {
        let mask = SignalMask::of(signals);
        mask.block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self(RawSignalFd::with_flags(&mask.to_sigset(), flags)?))
    }

    /// The next pending signal and its sender, or `None`.
    pub fn read(&self) -> Result<Option<(Signal, Pid)>, Errno> {
        let info = self.0.read_signal()?;
        Ok(info.and_then(|info| {
            let signal = Signal::from_raw(info.ssi_signo.cast_signed())?;
            Some((signal, Pid::from_raw(info.ssi_pid.cast_signed())))
        }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
