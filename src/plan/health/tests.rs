use super::*;

const START: Moment = Moment(1_000_000);

fn check(start_period: u64) -> Check {
    let seconds = Duration::from_secs;
    Check { interval: seconds(10), timeout: seconds(2), retries: 2, start_period: seconds(start_period) }
}

fn after(seconds: u64) -> Moment {
    START + Duration::from_secs(seconds)
}

/// Runs probes with these results, each taking no time, and gives the moment in seconds and the verdict of each.
fn history(check: &Check, results: &[bool]) -> Vec<(u64, HealthStatus)> {
    let (mut health, mut now) = (Health::default(), START);
    let mut seen = Vec::new();
    for &passed in results {
        if let Next::At(moment) = health.next(check, START, now) {
            now = moment;
        }
        assert_eq!(health.next(check, START, now), Next::Begin);
        health.begun(now);
        health.ended(passed, check, START, now);
        seen.push((now.since(START).as_secs(), health.verdict));
    }
    seen
}

#[test]
fn a_verdict_changes_after_retries_failures_and_after_one_pass() {
    use HealthStatus::{Healthy, Unhealthy, Unknown};
    let seen = history(&check(0), &[false, false, true, false, true, false, false]);
    let verdicts: Vec<_> = seen.iter().map(|(_, verdict)| *verdict).collect();
    assert_eq!(verdicts, [Unknown, Unhealthy, Healthy, Healthy, Healthy, Healthy, Unhealthy]);
    assert_eq!(seen.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [10, 20, 30, 40, 50, 60, 70]);
}

#[test]
fn failures_in_the_start_period_do_not_count_and_probes_come_faster() {
    use HealthStatus::{Unhealthy, Unknown};
    let seen = history(&check(12), &[false, false, false, false]);
    assert_eq!(seen, [(5, Unknown), (10, Unknown), (15, Unknown), (25, Unhealthy)]);
}

#[test]
fn the_first_pass_ends_the_start_period() {
    use HealthStatus::{Healthy, Unhealthy};
    let seen = history(&check(300), &[true, false, false]);
    assert_eq!(seen, [(5, Healthy), (15, Healthy), (25, Unhealthy)]);
}

#[test]
fn a_probe_that_takes_too_long_has_failed_once_and_no_other_begins_before_it_is_gone() {
    let check = Check { retries: 1, ..check(0) };
    let mut health = Health::default();
    health.begun(after(10));
    assert_eq!(health.next(&check, START, after(11)), Next::At(after(12)));
    assert_eq!(health.next(&check, START, after(12)), Next::Abort);
    assert_eq!(health.aborted(&check, START, after(12)), Some(HealthStatus::Unhealthy));
    assert_eq!(health.aborted(&check, START, after(12)), None);
    assert_eq!(health.next(&check, START, after(99)), Next::Gone);
    assert_eq!(health.ended(true, &check, START, after(100)), None, "what it says after that is not heard");
    assert_eq!(health.next(&check, START, after(100)), Next::At(after(110)));
}

#[test]
fn a_check_that_says_none_is_none() {
    let words = |words: &[&str]| HealthCheck {
        command: words.iter().map(ToString::to_string).collect(),
        interval: None,
        timeout: None,
        retries: None,
        start_period: None,
    };
    assert_eq!(Check::of(&words(&["NONE"])), None);
    assert_eq!(Check::of(&words(&[])), None);
    assert_eq!(Check::of(&words(&["CMD", "true"])).map(|check| check.retries), Some(3));
}
