//! The two clocks, and moments for wall times.
//!
//! The store remembers wall time and decisions measure with moments. A wall time is turned into a moment once, the
//! first time it is met, and that answer is kept: when the wall clock is set meanwhile, no wait starts anew and none
//! ends early.

use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use nix::time::{ClockId, clock_gettime};

use crate::model::time::{Moment, Timestamp};

/// Wall time.
#[must_use]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Monotonic time, suspend included.
#[must_use]
pub fn moment() -> Moment {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap_or_else(|_| nix::sys::time::TimeSpec::new(0, 0));
    let millis = time.tv_sec().saturating_mul(1000).saturating_add(time.tv_nsec() / 1_000_000);
    Moment(u64::try_from(millis).unwrap_or_default())
}

/// Moments of wall times, remembered.
#[derive(Debug, Default)]
pub struct Moments {
    known: HashMap<Timestamp, Moment>,
}

impl Moments {
    /// The moment of `at`, as it was when it was first asked for.
    pub fn of(&mut self, at: Timestamp, wall: Timestamp, now: Moment) -> Moment {
        let first = || Moment(now.0.saturating_sub(wall.0.saturating_sub(at.0)));
        *self.known.entry(at).or_insert_with(first)
    }

    /// Forgets what nobody asks for any more.
    pub fn retain(&mut self, is_used: impl Fn(Timestamp) -> bool) {
        self.known.retain(|at, _| is_used(*at));
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_the_wall_clock_moves_no_moment() {
        let mut moments = Moments::default();
        let started = Timestamp(1_000_000);
        let first = moments.of(started, Timestamp(1_005_000), Moment(60_000));
        assert_eq!(first, Moment(55_000));
        assert_eq!(moments.of(started, Timestamp(5_000), Moment(61_000)), first);
        assert_eq!(moments.of(started, Timestamp(9_000_000), Moment(62_000)), first);
    }

    #[test]
    fn a_wall_time_of_the_future_is_now() {
        let mut moments = Moments::default();
        assert_eq!(moments.of(Timestamp(9_000), Timestamp(1_000), Moment(500)), Moment(500));
    }

    #[test]
    fn both_clocks_run() {
        assert!(wall().0 > 1_600_000_000_000);
        let before = moment();
        assert!(before.0 > 0 && moment() >= before);
    }
}
