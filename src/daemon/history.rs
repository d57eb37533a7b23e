//! How much of what is over is remembered: a decision over ends and sizes.

use crate::model::{task::Task, time::Timestamp};

/// Bytes that a stopped task takes besides its logs.
const RECORD: u64 = 4096;

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
