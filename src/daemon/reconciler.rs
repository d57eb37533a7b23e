//! The loop that makes the host what the store says.
//!
//! ```text
//!   a commit, or a moment that a plan asked for
//!        -> services that it touches: plan and carry out, one write
//!        -> the host: which task starts, stops, is swept; each order returns at once
//!        -> what a task leaves behind that is STOPPED
//! ```
//!
//! It wakes for a reason and asks for nothing in between. A pass compares, so it does not matter what woke it nor how
//! often. No task is waited for: what the agent does comes back as facts.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use tokio::sync::mpsc::UnboundedSender;
use tracing::error;

use crate::{
    agent::kill_point::kill_point,
    model::{
        cluster::InstanceStatus,
        fact::Fact,
        ids::TaskId,
        service::SchedulingStrategy,
        task::{Task, TaskStatus},
        time::Moment,
    },
    store::{Changes, ServiceKey, Snapshot, Store, Watch},
};

use super::{
    alarms::Alarms,
    clock,
    doer::Doer,
    hands::{HandsOf, Holdings},
    history::{Pruning, Sizes},
    report::chain,
    services::{self, Outcome, PassContext, Passes},
};

mod orders;
mod prune;
mod settings;

pub use settings::Settings;

/// When a service is looked at again after a write that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// The loop.
pub struct Reconciler<D> {
    store: Store,
    doer: D,
    facts: UnboundedSender<Fact>,
    settings: Settings,
    passes: Passes,
    hands: HandsOf,
    dirty: BTreeSet<ServiceKey>,
    holdings: Holdings,
    alarms: Alarms,
    starved: BTreeSet<ServiceKey>,
    waiting: BTreeSet<TaskId>,
    pruning: Pruning,
    sizes: Sizes,
}

impl<D: Doer> Reconciler<D> {
    /// A loop that begins with the tasks that adoption found on the host.
    pub fn new(
        store: Store,
        doer: D,
        facts: UnboundedSender<Fact>,
        settings: Settings,
        passes: Passes,
        hands: HandsOf,
    ) -> Self {
        let snapshot = store.snapshot();
        let ended = snapshot.stopped_tasks().map(|task| task.id.clone()).collect();
        let pruning = Pruning::of(settings.history, clock::moment(), ended);
        let dirty = snapshot.services().map(|of| (of.cluster.clone(), of.name.clone())).collect();
        let mut holdings = Holdings::default();
        for task in snapshot.live_tasks() {
            holdings.refresh(&snapshot, &task.id, hands.of(&task.id));
        }
        Self {
            store,
            doer,
            facts,
            settings,
            passes,
            hands,
            dirty,
            holdings,
            alarms: Alarms::default(),
            starved: BTreeSet::new(),
            waiting: BTreeSet::new(),
            pruning,
            sizes: Sizes::default(),
        }
    }

    /// Runs for ever. The watch must be older than the state that adoption saw.
    pub async fn run(mut self, mut watch: Watch) {
        loop {
            self.pass().await;
            let wake = self.next_wake();
            tokio::select! {
                changes = watch.changed() => self.mark(&changes),
                () = sleep_until(wake) => {}
            }
        }
    }

    /// One pass over whatever is due.
    pub async fn pass(&mut self) {
        self.services().await;
        let snapshot = self.store.snapshot();
        self.host(&snapshot);
        self.prune().await;
    }

    fn mark(&mut self, changes: &Changes) {
        let snapshot = self.store.snapshot();
        self.dirty.extend(changes.services.iter().cloned());
        for cluster in &changes.clusters {
            let services = snapshot.services_of(cluster);
            self.dirty.extend(services.map(|of| (of.cluster.clone(), of.name.clone())));
        }
        for id in &changes.tasks {
            let task = snapshot.task(id);
            if let Some(owner) = task.and_then(|task| task.owner.as_ref().map(|owner| (task, owner))) {
                self.dirty.insert((owner.0.cluster.clone(), owner.1.service.clone()));
            }
            if task.is_none_or(|task| task.known_status >= TaskStatus::Running) {
                // A service may wait for this: for room, or for a task beside its own.
                self.dirty.append(&mut self.starved);
            }
            if let Some(task) = task.filter(|task| task.is_stopped()) {
                self.mark_leaving(&snapshot, task);
            }
            if task.is_none_or(|task| task.is_stopped()) {
                self.let_go(id);
                self.waiting.remove(id);
            }
            if task.is_some_and(|task| task.is_stopped()) {
                self.pruning.note(id.clone());
            }
            self.holdings.refresh(&snapshot, id, self.hands.of(id));
        }
        self.pruning.expect(clock::moment());
    }

    /// Marks all services of a cluster that is to leave the host: DAEMON services go after the others.
    fn mark_leaving(&mut self, snapshot: &Snapshot, task: &Task) {
        let cluster = snapshot.cluster(&task.cluster);
        if cluster.is_some_and(|cluster| cluster.instance_status == InstanceStatus::Draining) {
            let services = snapshot.services_of(&task.cluster);
            self.dirty.extend(services.map(|of| (of.cluster.clone(), of.name.clone())));
        }
    }

    fn next_wake(&self) -> Option<Moment> {
        self.alarms.next().into_iter().chain(self.pruning.at()).min()
    }

    /// Looks at the services that are due, and writes what that comes to in one go.
    async fn services(&mut self) {
        let now = clock::moment();
        let mut keys: BTreeSet<ServiceKey> = self.alarms.due(now).into_iter().collect();
        keys.append(&mut self.dirty);
        if keys.is_empty() || self.settings.is_ending {
            return;
        }
        let snapshot = self.store.snapshot();
        let mut to_write = Vec::new();
        // DAEMON services first and then the oldest, which is the order in which services come back after a reboot.
        let mut keys: Vec<ServiceKey> = keys.into_iter().collect();
        keys.sort_by_key(|key| {
            let service = snapshot.service(key);
            service.map(|of| (of.scheduling_strategy != SchedulingStrategy::Daemon, of.created_at))
        });
        for key in keys {
            let context = self.passes.context(&snapshot, &key);
            let plan = services::plan(&snapshot, &key, &context);
            if services::is_news(&snapshot, &key, &plan, context.wall) {
                to_write.push((key, context));
            } else {
                self.note(key, &Outcome::of(&plan));
            }
        }
        if !to_write.is_empty() {
            self.write(to_write, now).await;
        }
    }

    async fn write(&mut self, passes: Vec<(ServiceKey, PassContext)>, now: Moment) {
        let keys: Vec<ServiceKey> = passes.iter().map(|(key, _)| key.clone()).collect();
        kill_point("service-pass");
        let written = self.store.write(move |draft| {
            let run = |(key, context): (ServiceKey, PassContext)| {
                let outcome = services::pass(draft, &key, &context);
                (key, outcome)
            };
            Ok::<_, Infallible>(passes.into_iter().map(run).collect::<Vec<_>>())
        });
        match written.await {
            Ok(outcomes) => {
                kill_point("service-written");
                for (key, outcome) in outcomes {
                    self.note(key, &outcome);
                }
            }
            Err(why) => {
                error!(error = %chain(&why), services = keys.len(), "services not updated, trying again");
                for key in keys {
                    self.alarms.set(key, Some(now + AFTER_FAILURE));
                }
            }
        }
    }

    fn note(&mut self, key: ServiceKey, outcome: &Outcome) {
        if outcome.is_starved {
            self.starved.insert(key.clone());
        } else {
            self.starved.remove(&key);
        }
        self.alarms.set(key, outcome.wake_at);
    }
}

async fn sleep_until(moment: Option<Moment>) {
    match moment {
        Some(moment) => tokio::time::sleep(moment - clock::moment()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
