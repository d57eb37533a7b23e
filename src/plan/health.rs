//! When a container's health is probed, and what the results amount to.
//!
//! ```text
//!             pass                          pass
//!   UNKNOWN ----------> HEALTHY <------------------------+
//!      |                   |  `retries` failures in a row |
//!      +-------------------+-----------------------> UNHEALTHY
//! ```
//!
//! A probe begins one interval after the start, and then one interval after the last one ended. One that takes longer
//! than its timeout is aborted and has failed. In the start period failures do not count, and probes follow each
//! other faster, so that whoever waits for HEALTHY does not wait for nothing; the first pass ends that period.

use std::time::Duration;

use crate::model::{task::HealthStatus, task_definition::HealthCheck, time::Moment};

/// The longest pause between probes in the start period.
const EAGER: Duration = Duration::from_secs(5);

/// A health check with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Between probes.
    pub interval: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// Failures in a row that make UNHEALTHY.
    pub retries: u32,
    /// After the start, while failures do not count.
    pub start_period: Duration,
}

/// What is known of a container's health in its present run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The verdict.
    pub verdict: HealthStatus,
    /// Failures since the last pass that counted.
    failures: u32,
    /// Whether a probe has passed.
    passed: bool,
    /// The probe that runs.
    probe: Option<Probe>,
    /// When the last probe ended.
    last: Option<Moment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Probe {
    since: Moment,
    aborted: bool,
}

/// What to do about a container's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Begin a probe.
    Begin,
    /// End the probe that runs: it took too long.
    Abort,
    /// Nothing before this moment.
    At(Moment),
    /// Nothing before the aborted probe is gone.
    Gone,
}

impl Check {
    /// The check that a definition asks for; none when it says `NONE`.
    #[must_use]
    pub fn of(definition: &HealthCheck) -> Option<Self> {
        if definition.command.first().is_none_or(|word| word == "NONE") {
            return None;
        }
        let seconds = |given: Option<u32>, default| Duration::from_secs(given.unwrap_or(default).into());
        Some(Self {
            interval: seconds(definition.interval, 30),
            timeout: seconds(definition.timeout, 5),
            retries: definition.retries.unwrap_or(3),
            start_period: seconds(definition.start_period, 0),
        })
    }
}

impl Health {
    /// What to do now in a run that began at `since`.
    #[must_use]
    pub fn next(&self, check: &Check, since: Moment, now: Moment) -> Next {
        match &self.probe {
            Some(Probe { aborted: true, .. }) => Next::Gone,
            Some(probe) if now >= probe.since + check.timeout => Next::Abort,
            Some(probe) => Next::At(probe.since + check.timeout),
            None => {
                let from = self.last.unwrap_or(since);
                let eager = self.is_starting(check, since, from);
                let pause = if eager { check.interval.min(EAGER) } else { check.interval };
                if now >= from + pause { Next::Begin } else { Next::At(from + pause) }
            }
        }
    }

    /// Whether a probe runs.
    #[must_use]
    pub fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// Whether a probe runs that nobody has aborted.
    #[must_use]
    pub fn is_probing_freely(&self) -> bool {
        self.probe.as_ref().is_some_and(|probe| !probe.aborted)
    }

    /// A probe has begun.
    pub fn begun(&mut self, now: Moment) {
        self.probe = Some(Probe { since: now, aborted: false });
    }

    /// The probe was aborted and has failed. Gives the verdict if it is another one.
    pub fn aborted(&mut self, check: &Check, since: Moment, now: Moment) -> Option<HealthStatus> {
        let probe = self.probe.as_mut().filter(|probe| !probe.aborted)?;
        probe.aborted = true;
        self.count(false, check, since, now)
    }

    /// The probe has ended. Gives the verdict if it is another one.
    pub fn ended(&mut self, passed: bool, check: &Check, since: Moment, now: Moment) -> Option<HealthStatus> {
        let probe = self.probe.take()?;
        self.last = Some(now);
        if probe.aborted { None } else { self.count(passed, check, since, now) }
    }

    fn count(&mut self, passed: bool, check: &Check, since: Moment, now: Moment) -> Option<HealthStatus> {
        let before = self.verdict;
        if passed {
            (self.passed, self.failures) = (true, 0);
            self.verdict = HealthStatus::Healthy;
        } else if !self.is_starting(check, since, now) {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= check.retries {
                self.verdict = HealthStatus::Unhealthy;
            }
        }
        (self.verdict != before).then_some(self.verdict)
    }

    fn is_starting(&self, check: &Check, since: Moment, at: Moment) -> bool {
        !self.passed && at < since + check.start_period
    }
}

#[cfg(test)]
mod tests;
