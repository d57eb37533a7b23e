//! Whether a container that ended is started again inside its task.
//!
//! Only a container that its policy covers, in a task that goes on, whose exit code is not among the ignored ones,
//! and that has run as long as the policy's period. One that dies faster counts as stopped: the loop of a crashing
//! container is left to its service, which backs off.

use std::time::Duration;

use crate::model::{task::Exit, task_definition::RestartPolicy};

/// The period that holds when the policy names none.
const PERIOD: u32 = 300;

/// Whether a container of this policy, which ended so after running for `ran`, is started again.
#[must_use]
pub fn restarts(policy: Option<&RestartPolicy>, exit: Exit, ran: Duration) -> bool {
    policy.is_some_and(|policy| {
        let period = Duration::from_secs(policy.restart_attempt_period.unwrap_or(PERIOD).into());
        policy.enabled && ran >= period && !policy.ignored_exit_codes.contains(&exit.code())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(enabled: bool, ignored: &[i32], period: Option<u32>) -> RestartPolicy {
        RestartPolicy { enabled, ignored_exit_codes: ignored.to_vec(), restart_attempt_period: period }
    }

    fn after(seconds: u64, exit: Exit, policy: &RestartPolicy) -> bool {
        restarts(Some(policy), exit, Duration::from_secs(seconds))
    }

    #[test]
    fn a_container_that_ran_long_enough_is_started_again() {
        assert!(after(60, Exit::Code(0), &policy(true, &[], Some(60))));
        assert!(after(300, Exit::Signal(9), &policy(true, &[], None)));
    }

    #[test]
    fn a_container_that_died_faster_than_the_period_is_not() {
        assert!(!after(59, Exit::Code(1), &policy(true, &[], Some(60))));
        assert!(!after(299, Exit::Code(1), &policy(true, &[], None)));
    }

    #[test]
    fn an_ignored_code_is_not_a_reason_and_signals_count_as_shells_print_them() {
        assert!(!after(999, Exit::Code(3), &policy(true, &[3, 143], None)));
        assert!(!after(999, Exit::Signal(15), &policy(true, &[3, 143], None)));
        assert!(after(999, Exit::Code(4), &policy(true, &[3, 143], None)));
    }

    #[test]
    fn without_a_policy_or_with_one_that_is_off_nothing_is_started_again() {
        assert!(!restarts(None, Exit::Code(1), Duration::from_secs(999)));
        assert!(!after(999, Exit::Code(1), &policy(false, &[], None)));
    }
}
