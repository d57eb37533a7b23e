//! What the loop says: facts for the ledger, notes for people.

use std::time::Duration;

use super::Supervisor;
use crate::{
    kernel::cgroup::NotEnforced,
    model::{
        fact::{Fact, Seen},
        ids::ContainerName,
        task::{HealthStatus, Span},
    },
    plan::task::TaskNote,
    runtime::Timing,
    shim::clock::timestamp,
};

impl Supervisor {
    /// Keeps a fact.
    pub(super) fn see(&mut self, seen: Seen) {
        let fact = Fact { task: self.spec.task.clone(), at: timestamp(), ledger: None, seen };
        self.endpoint.iter_mut().for_each(|endpoint| endpoint.take(&fact));
        self.ledger.append(fact);
    }

    pub(super) fn see_health(&mut self, at: usize, verdict: Option<HealthStatus>) {
        if let Some(health) = verdict {
            self.see(Seen::HealthChanged { container: self.name(at), health });
        }
    }

    /// Says each thing that the host does not hold once.
    pub(super) fn say_not_enforced(&mut self, missing: Vec<NotEnforced>, at: Option<usize>) {
        for NotEnforced { resource, reason, .. } in missing {
            let whose = at.map_or("the task".to_owned(), |at| format!("container {}", self.name(at)));
            let what = format!("{resource} of {whose}: {reason}");
            if !self.said_not_enforced.contains(&what) {
                self.said_not_enforced.push(what.clone());
                self.see(Seen::NotEnforced { what });
            }
        }
    }

    /// Writes why the task does what it does, when that has changed, for whoever looks into the task's directory.
    pub(super) fn note(&mut self, notes: Vec<TaskNote>) {
        if self.notes != notes {
            for note in &notes {
                eprintln!("{}", self.sentence(note));
            }
            self.notes = notes;
        }
    }

    pub(super) fn sentence(&self, note: &TaskNote) -> String {
        match *note {
            TaskNote::Waits { container, need } => format!(
                "container {} waits for container {}: {:?}",
                self.name(container),
                self.name(need.on),
                need.condition
            ),
            TaskNote::GraceOver(at) => format!("container {} did not stop within its grace", self.name(at)),
        }
    }

    pub(super) fn name(&self, at: usize) -> ContainerName {
        self.spec.containers[at].name.clone()
    }

    /// Where a start spent its time: `exec` is all of it, `mount` and those below `exec` are its parts in their order.
    pub(super) fn spans(&self, at: usize, began: u64, took: u64, timing: &Timing) -> Vec<Span> {
        let container = self.name(at);
        let span = |name: &str, start: u64, took_us: u64| Span {
            name: name.to_owned(),
            container: Some(container.clone()),
            start_us: start.saturating_sub(self.spec.begun_us),
            took_us,
        };
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let parts = [
            ("exec/plan", timing.plan),
            ("exec/cgroup", timing.cgroup),
            ("exec/clone", timing.clone),
            ("exec/join", timing.join),
            ("mount", timing.mounts),
            ("exec/identity", timing.identity),
        ];
        let mut start = began;
        let mut spans = vec![span("exec", began, took)];
        for (name, duration) in parts {
            spans.push(span(name, start, micros(duration)));
            start += micros(duration);
        }
        spans
    }
}
