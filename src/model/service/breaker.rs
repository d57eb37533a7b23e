//! The deployment circuit breaker: how many failures are too many.

use serde::{Deserialize, Serialize};

/// The least threshold of [`ThresholdType::BoundedPercent`], and its most.
const BOUNDS: (u32, u32) = (3, 200);

/// What a threshold's value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ThresholdType {
    /// Per cent of the desired count, but never less than 3 nor more than 200.
    #[default]
    BoundedPercent,
    /// Per cent of the desired count.
    UnboundedPercent,
    /// A number of failures.
    Count,
}

/// `deploymentCircuitBreaker`, with ECS's own choices for what is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// Whether it watches at all.
    pub enable: bool,
    /// Whether it brings the last completed deployment back.
    pub rollback: bool,
    /// Whether a task that becomes healthy forgives all failures before it.
    pub reset_on_healthy_task: bool,
    /// What `value` is.
    pub threshold_type: ThresholdType,
    /// The threshold, before it meets the desired count.
    pub value: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            enable: false,
            rollback: false,
            reset_on_healthy_task: true,
            threshold_type: ThresholdType::default(),
            value: 50,
        }
    }
}

impl Breaker {
    /// So many failures end a deployment of that many tasks.
    #[must_use]
    pub fn threshold(self, desired: u32) -> u32 {
        let share = || {
            let share = (u64::from(desired) * u64::from(self.value)).div_ceil(100);
            u32::try_from(share).unwrap_or(u32::MAX)
        };
        match self.threshold_type {
            ThresholdType::BoundedPercent => share().clamp(BOUNDS.0, BOUNDS.1),
            ThresholdType::UnboundedPercent => share().max(1),
            ThresholdType::Count => self.value.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_threshold_is_half_of_the_tasks_within_bounds() {
        let breaker = Breaker::default();
        let thresholds = [1, 6, 25, 399, 400, 5000].map(|desired| breaker.threshold(desired));
        assert_eq!(thresholds, [3, 3, 13, 200, 200, 200]);
    }

    #[test]
    fn a_threshold_without_bounds_is_at_least_one() {
        let breaker =
            Breaker { threshold_type: ThresholdType::UnboundedPercent, value: 10, ..Breaker::default() };
        assert_eq!([0, 5, 1000, 5000].map(|desired| breaker.threshold(desired)), [1, 1, 100, 500]);
        let counted = Breaker { threshold_type: ThresholdType::Count, value: 7, ..breaker };
        assert_eq!(counted.threshold(5000), 7);
    }
}
