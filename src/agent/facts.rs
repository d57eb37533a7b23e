//! Telling: the one way out for what the agent saw.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use crate::model::fact::{Fact, Seen};
use crate::model::ids::{ContainerName, TaskId};
use crate::model::task::Span;
use crate::model::time::Timestamp;

/// Sends facts to whoever keeps them.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    facts: mpsc::UnboundedSender<Fact>,
}

impl Teller {
    pub(crate) fn new(facts: mpsc::UnboundedSender<Fact>) -> Self {
        Self { facts }
    }

    /// Tells what was just seen of a task.
    pub(crate) fn tell(&self, task: &TaskId, seen: Seen) {
        self.pass(Fact { task: task.clone(), at: now(), ledger: None, seen });
    }

    /// Passes on what a shim saw.
    pub(crate) fn pass(&self, fact: Fact) {
        // Nobody listens only while the daemon ends; the next one adopts and asks again.
        let _ = self.facts.send(fact);
    }
}

/// Wall time.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Where a start spends its time.
#[derive(Debug)]
pub(crate) struct Timer {
    begin: Instant,
    spans: Vec<Span>,
}

impl Timer {
    pub(crate) fn start() -> Self {
        Self { begin: Instant::now(), spans: Vec::new() }
    }

    /// A clock that runs with this one, for a step elsewhere.
    pub(crate) fn fork(&self) -> Self {
        Self { begin: self.begin, spans: Vec::new() }
    }

    /// Notes a step that began at `from` and ends now.
    pub(crate) fn note(&mut self, name: &str, container: Option<&ContainerName>, from: Instant) {
        self.note_until(name, container, from, Instant::now());
    }

    /// Notes a step that began at `from` and ended at `to`.
    pub(crate) fn note_until(
        &mut self,
        name: &str,
        container: Option<&ContainerName>,
        from: Instant,
        to: Instant,
    ) {
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.spans.push(Span {
            name: name.to_owned(),
            container: container.cloned(),
            start_us: micros(from.duration_since(self.begin)),
            took_us: micros(to.duration_since(from)),
        });
    }

    /// Takes over what another clock noted.
    pub(crate) fn join(&mut self, other: Self) {
        self.spans.extend(other.spans);
    }

    /// Everything noted, in the order of beginning.
    pub(crate) fn finish(mut self) -> Vec<Span> {
        self.spans.sort_by_key(|span| span.start_us);
        self.spans
    }
}
