//! Turns: only so many tasks begin at the same time.
//!
//! A start keeps processors busy, here and in the shim. Begun all at once none is there sooner, and whoever calls the
//! daemon meanwhile waits behind all of them. So a task whose images are here waits for its turn, and has it until
//! something of it runs.
//!
//! A turn ends by itself after a while, so a start that hangs keeps no other from beginning.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// So many for each processor: a start also waits, mostly for the kernel.
const FOR_EACH_PROCESSOR: usize = 2;

/// How long a turn lasts at most: many times as long as a start.
const LONGEST: Duration = Duration::from_millis(500);

/// Who gives turns.
#[derive(Debug)]
pub(crate) struct Turns {
    left: Arc<Semaphore>,
    longest: Duration,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Option<AbortHandle>);

impl Turns {
    /// As many at a time as the processors of this host can do with.
    pub(crate) fn of_host() -> Self {
        let processors = available_parallelism().map_or(1, NonZero::get);
        Self::new(processors * FOR_EACH_PROCESSOR, LONGEST)
    }

    fn new(at_a_time: usize, longest: Duration) -> Self {
        Self { left: Arc::new(Semaphore::new(at_a_time)), longest }
    }

    /// Waits for a turn.
    pub(super) async fn next(&self) -> Turn {
        let longest = self.longest;
        let taken = Arc::clone(&self.left).acquire_owned().await;
        let end = |taken| async move {
            sleep(longest).await;
            drop(taken);
        };
        // Nobody closes where turns come from; if it were closed, nobody would have to wait.
        Turn(taken.ok().map(|taken| tokio::spawn(end(taken)).abort_handle()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_next_has_its_turn_when_one_has_ended() {
        let turns = Turns::new(1, Duration::from_secs(3600));
        let first = turns.next().await;
        assert!(turns.next().now_or_never().is_none(), "one at a time");
        drop(first);
        turns.next().await;
    }

    #[tokio::test]
    async fn a_start_that_hangs_is_not_waited_for() {
        let turns = Turns::new(1, Duration::from_millis(20));
        let hangs = turns.next().await;
        turns.next().await;
        drop(hangs);
    }
}
