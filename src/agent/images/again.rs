//! Asking again for an image that could not be had for a reason that passes: the network, a busy registry.
//!
//! As ECS does it: a few attempts, the pause between two grows from a second to five and is spread, so that many
//! tasks that failed together do not ask together. What will not change by waiting (no such image, no right to it, a
//! full disk) is told at once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::image::pull::PullError;

/// The first pause and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1100), Duration::from_secs(5));

/// The pause before the attempt after so many failed ones; none when there is no further one. `spread` is any number.
pub(super) fn pause(error: &PullError, failed: u32, attempts: u32, spread: u32) -> Option<Duration> {
    if !error.is_transient() || failed >= attempts {
        return None;
    }
    let whole = PAUSE.0.saturating_mul(1 << failed.saturating_sub(1).min(16)).min(PAUSE.1);
    Some(whole.mul_f64(0.8 + 0.2 * f64::from(spread % 1000) / 1000.0))
}

/// A number that differs from task to task: the clock's last digits.
pub(super) fn spread() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::registry::RegistryError;

    fn failed(error: RegistryError) -> PullError {
        PullError::Registry("web:1".to_owned(), error)
    }

    #[test]
    fn what_passes_is_asked_for_again_with_growing_pauses() {
        let busy = failed(RegistryError::Throttled("r".to_owned()));
        let pauses: Vec<u128> =
            (1..5).filter_map(|count| pause(&busy, count, 5, 999)).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [1099, 2199, 4399, 4999]);
        assert_eq!(pause(&busy, 5, 5, 0), None, "five attempts are enough");
        assert!(pause(&busy, 1, 5, 0) < pause(&busy, 1, 5, 999), "pauses are spread");
    }

    #[test]
    fn what_stays_is_told_at_once() {
        let none = failed(RegistryError::NotFound("web:1".to_owned()));
        assert_eq!(pause(&none, 1, 5, 0), None);
    }
}
