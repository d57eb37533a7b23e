//! The shim's two clocks.

use nix::time::{ClockId, clock_gettime};

use crate::model::time::{Moment, Timestamp};

/// Microseconds since the host booted, suspend included.
pub(super) fn micros() -> u64 {
    read(ClockId::CLOCK_BOOTTIME) / 1000
}

/// Now, for decisions.
pub(super) fn moment() -> Moment {
    Moment(read(ClockId::CLOCK_BOOTTIME) / 1_000_000)
}

/// Nanoseconds since 1970.
pub(super) fn nanos() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

/// Now, for people.
pub(super) fn timestamp() -> Timestamp {
    Timestamp(nanos() / 1_000_000)
}

fn read(clock: ClockId) -> u64 {
    // The clock exists on every kernel we run on; zero would only make waits longer.
    let time = clock_gettime(clock).unwrap_or_else(|_| std::time::Duration::ZERO.into());
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec()) * 1_000_000_000 + part(time.tv_nsec())
}
