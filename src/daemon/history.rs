//! How much of what is over is remembered: a decision over ends and sizes, and when it is made again.

use super::config::HistoryConfig;
use crate::model::{
    task::Task,
    time::{Moment, Timestamp},
};

/// Bytes that a stopped task takes besides its logs.
const RECORD: u64 = 4096;

/// So many ends later the history is looked at, whatever the clock says.
const MOST_ENDED: usize = 64;

/// When the history is looked at again.
#[derive(Debug)]
pub(super) struct Pruning {
    config: HistoryConfig,
    at: Option<Moment>,
    /// Tasks that have ended since the last look.
    ended: usize,
}

impl Pruning {
    /// A first look now.
    pub(super) fn of(config: HistoryConfig, now: Moment) -> Self {
        Self { config, at: Some(now), ended: 0 }
    }

    /// One more task is over.
    pub(super) fn count_one(&mut self) {
        self.ended += 1;
    }

    /// Has what ended just now looked at once it is old enough.
    pub(super) fn expect(&mut self, now: Moment) {
        if self.ended > 0 && self.at.is_none() {
            self.at = Some(now + self.config.keep);
        }
    }

    /// When the clock alone is a reason to look.
    pub(super) fn at(&self) -> Option<Moment> {
        self.at
    }

    /// Whether it is time: by the clock, or because so much has ended.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        let is_crowded = self.ended > (self.config.most_tasks / 4 + 1).min(MOST_ENDED);
        is_crowded || self.at.is_some_and(|at| at <= now)
    }

    /// It was looked at, and is empty now or not.
    pub(super) fn done(&mut self, now: Moment, is_empty: bool) {
        self.ended = 0;
        self.at = (!is_empty).then(|| now + self.config.keep);
    }
}

/// Since when stopped tasks are kept, so that the kept ones take at most `most` bytes: each comes as the time of its
/// end and the bytes of its logs, the newest first. The newest is always kept.
pub(super) fn kept_since(stopped: impl IntoIterator<Item = (Timestamp, u64)>, most: u64) -> Timestamp {
    let mut left = most;
    let mut kept = None;
    for (at, bytes) in stopped {
        match left.checked_sub(bytes.saturating_add(RECORD)) {
            Some(rest) => left = rest,
            None => return kept.unwrap_or(at),
        }
        kept = Some(at);
    }
    Timestamp(0)
}

/// The bytes of what its containers said last, which are kept with a task.
pub(super) fn words(task: &Task) -> u64 {
    let lines = task.containers.iter().flat_map(|container| &container.last_lines);
    lines.map(|line| line.line.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_the_kept_ones_take_too_much() {
        let ends = [(9, 6000), (8, 0), (7, 6000), (6, 0)].map(|(at, bytes)| (Timestamp(at), bytes));
        assert_eq!(kept_since(ends, 1 << 20), Timestamp(0), "all have room");
        assert_eq!(kept_since(ends, 15_000), Timestamp(8), "two have room");
        assert_eq!(kept_since(ends, 0), Timestamp(9), "the newest stays");
    }
}
