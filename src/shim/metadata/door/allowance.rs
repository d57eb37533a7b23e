//! How often a task may ask: as in ECS.

use crate::model::time::Moment;

/// Questions a second, and how many may come at once: ECS's own numbers.
const RATE: u64 = 40;
const BURST: u64 = 60;

/// How many questions may still be answered, in thousandths.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u64,
    at: Option<Moment>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: BURST * 1000, at: None }
    }
}

impl Allowance {
    /// Takes one question, if there is one left.
    pub(super) fn take(&mut self, now: Moment) -> bool {
        let passed = self.at.replace(now).map_or(0, |at| now.0.saturating_sub(at.0));
        self.left = self.left.saturating_add(passed.saturating_mul(RATE)).min(BURST * 1000);
        let may = self.left >= 1000;
        self.left -= if may { 1000 } else { 0 };
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_answered_and_then_forty_a_second() {
        let mut allowance = Allowance::default();
        let count = |allowance: &mut Allowance, at| (0..200).filter(|_| allowance.take(Moment(at))).count();
        assert_eq!(count(&mut allowance, 1000), 60);
        assert_eq!(count(&mut allowance, 2000), 40);
        assert_eq!(count(&mut allowance, 2100), 4);
        assert_eq!(count(&mut allowance, 1_000_000), 60);
    }
}
