//! How much of what is over is remembered: a decision over ends and sizes, and when it is made again.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use super::config::HistoryConfig;
use crate::model::{
    ids::TaskId,
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
    /// Those that have stopped since the last look.
    ended: BTreeSet<TaskId>,
}

impl Pruning {
    /// A first look now, at those that have `ended` already.
    pub(super) fn of(config: HistoryConfig, now: Moment, ended: BTreeSet<TaskId>) -> Self {
        Self { config, at: Some(now), ended }
    }

    /// One more task is over.
    pub(super) fn note(&mut self, task: TaskId) {
        self.ended.insert(task);
    }

    /// Has what ended just now looked at once it is old enough.
    pub(super) fn expect(&mut self, now: Moment) {
        if !self.ended.is_empty() && self.at.is_none() {
            self.at = Some(now + self.config.keep);
        }
    }

    /// When the clock alone is a reason to look.
    pub(super) fn at(&self) -> Option<Moment> {
        self.at
    }

    /// Whether it is time: by the clock, or because so much has ended.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        let is_crowded = self.ended.len() > (self.config.most_tasks / 4 + 1).min(MOST_ENDED);
        is_crowded || self.at.is_some_and(|at| at <= now)
    }

    /// Those that have stopped since the last look, which is now.
    pub(super) fn take_ended(&mut self) -> BTreeSet<TaskId> {
        mem::take(&mut self.ended)
    }

    /// It was looked at, and is empty now or not.
    pub(super) fn done(&mut self, now: Moment, is_empty: bool) {
        self.at = (!is_empty).then(|| now + self.config.keep);
    }
}

/// What each task that is over takes on the disk, the oldest first. It is looked for once of each, as it does not change
/// any more.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    of: BTreeMap<(Timestamp, TaskId), u64>,
    total: u64,
}

impl Sizes {
    /// Notes a task that is over, with the bytes of its logs.
    pub(super) fn note(&mut self, task: &Task, logs: u64) {
        let at = task.times.stopped_at.unwrap_or(task.created_at);
        self.put((at, task.id.clone()), words(task).saturating_add(logs));
    }

    fn put(&mut self, end: (Timestamp, TaskId), bytes: u64) {
        let bytes = bytes.saturating_add(RECORD);
        let before = self.of.insert(end, bytes).unwrap_or(0);
        self.total = self.total.saturating_sub(before).saturating_add(bytes);
    }

    /// Forgets the oldest, as far as they are not known any more.
    pub(super) fn forget(&mut self, is_known: impl Fn(&TaskId) -> bool) {
        while let Some(oldest) = self.of.first_entry().filter(|oldest| !is_known(&oldest.key().1)) {
            self.total = self.total.saturating_sub(oldest.remove());
        }
    }

    /// Since when stopped tasks are kept, so that the kept ones take at most `most` bytes. The newest is always kept.
    pub(super) fn kept_since(&self, most: u64) -> Timestamp {
        let mut left = self.total;
        let mut since = Timestamp(0);
        if left <= most {
            return since;
        }
        for ((at, _), bytes) in &self.of {
            since = *at;
            if left <= most {
                break;
            }
            left = left.saturating_sub(*bytes);
        }
        since
    }
}

/// The bytes of what its containers said last, which are kept with a task.
fn words(task: &Task) -> u64 {
    let lines = task.containers.iter().flat_map(|container| &container.last_lines);
    lines.map(|line| line.line.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(ends: &[(u64, u64)]) -> Sizes {
        let mut sizes = Sizes::default();
        for (at, bytes) in ends {
            sizes.put((Timestamp(*at), task(*at)), *bytes);
        }
        sizes
    }

    fn task(number: u64) -> TaskId {
        TaskId::from_random([u8::try_from(number).unwrap(); 16])
    }

    #[test]
    fn the_oldest_go_when_the_kept_ones_take_too_much() {
        let sizes = sizes(&[(9, 6000), (8, 0), (7, 6000), (6, 0)]);
        assert_eq!(sizes.kept_since(1 << 20), Timestamp(0), "all have room");
        assert_eq!(sizes.kept_since(15_000), Timestamp(8), "two have room");
        assert_eq!(sizes.kept_since(0), Timestamp(9), "the newest stays");
    }

    #[test]
    fn what_is_forgotten_takes_no_room() {
        let mut sizes = sizes(&[(9, 0), (8, 0), (7, 0)]);
        sizes.put((Timestamp(9), task(9)), 500);
        sizes.forget(|id| *id == task(9));
        assert_eq!((sizes.of.len(), sizes.total), (1, RECORD + 500));
    }
}
