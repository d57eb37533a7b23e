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

use std::{
    collections::BTreeSet,
    convert::Infallible,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, error, info};

use crate::{
    agent::StartTask,
    agent::kill_point::kill_point,
    model::{
        action::TaskAction,
        cluster::InstanceStatus,
        fact::{Fact, Seen},
        ids::TaskId,
        resources::Capacity,
        service::SchedulingStrategy,
        task::{StopCode, StopRequest, Task, TaskStatus},
        task_definition::LogMode,
        time::{Moment, Timestamp},
    },
    plan::admit::{Hands, admit},
    store::{Changes, Retention, ServiceKey, Snapshot, Store, Watch},
};

use super::{
    alarms::Alarms,
    clock::{self, Moments},
    config::HistoryConfig,
    doer::{Doer, sweep_until_done},
    hands::{HandsOf, Holdings},
    history,
    report::chain,
    services::{self, Outcome, PassContext},
};

/// When a service is looked at again after a write that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// The account setting that says what holds for whoever takes output too slowly.
const LOG_MODE: &str = "defaultLogDriverMode";

/// So many ends later the history is looked at, whatever the clock says.
const MOST_ENDED: usize = 64;

/// What the loop is told once.
pub struct Settings {
    /// How long a task of a service must run, without a health check, to count as healthy.
    pub healthy_after: Duration,
    /// What the host has for tasks.
    pub capacity: Capacity,
    /// How long what is over is remembered.
    pub history: HistoryConfig,
    /// Spreads the waits of services, differently on each host.
    pub seed: u64,
    /// Where ids come from.
    pub random: fn() -> [u8; 16],
    /// Whether tasks are only stopped and swept: services are left as they are and get nothing new.
    pub is_ending: bool,
}

/// The loop.
pub struct Reconciler<D> {
    store: Store,
    doer: D,
    facts: UnboundedSender<Fact>,
    settings: Settings,
    capacity: Arc<Capacity>,
    hands: HandsOf,
    moments: Moments,
    dirty: BTreeSet<ServiceKey>,
    holdings: Holdings,
    alarms: Alarms,
    starved: BTreeSet<ServiceKey>,
    waiting: BTreeSet<TaskId>,
    prune_at: Option<Moment>,
    /// Those that have stopped since the history was looked at.
    ended: BTreeSet<TaskId>,
    sizes: history::Sizes,
}

impl<D: Doer> Reconciler<D> {
    /// A loop that begins with the tasks that adoption found on the host.
    pub fn new(
        store: Store,
        doer: D,
        facts: UnboundedSender<Fact>,
        settings: Settings,
        hands: HandsOf,
    ) -> Self {
        let capacity = Arc::new(settings.capacity.clone());
        let snapshot = store.snapshot();
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
            capacity,
            hands,
            moments: Moments::default(),
            dirty,
            holdings,
            alarms: Alarms::default(),
            starved: BTreeSet::new(),
            waiting: BTreeSet::new(),
            prune_at: Some(clock::moment()),
            ended: snapshot.stopped_tasks().map(|task| task.id.clone()).collect(),
            sizes: history::Sizes::default(),
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
                self.ended.insert(id.clone());
            }
            self.holdings.refresh(&snapshot, id, self.hands.of(id));
        }
        if !self.ended.is_empty() && self.prune_at.is_none() {
            self.prune_at = Some(clock::moment() + self.settings.history.keep);
        }
    }

    /// Has what is left of a task that is over taken off the host. Nobody waits for that.
    fn let_go(&mut self, id: &TaskId) {
        match self.hands.of(id) {
            Hands::Holding | Hands::Stopping => {
                kill_point("sweep");
                sweep_until_done(&self.doer, id.clone());
            }
            Hands::Empty | Hands::Sweeping => {}
        }
        self.hands.set(id, Hands::Empty);
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
        self.alarms.next().into_iter().chain(self.prune_at).min()
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
            let context = self.context(&snapshot, &key, now);
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

    fn context(&mut self, snapshot: &Snapshot, key: &ServiceKey, now: Moment) -> PassContext {
        let wall = clock::wall();
        let times: BTreeSet<Timestamp> = services::times_of(snapshot, key).collect();
        let moments = times.into_iter().map(|at| (at, self.moments.of(at, wall, now))).collect();
        let mut hasher = DefaultHasher::new();
        (self.settings.seed, key).hash(&mut hasher);
        PassContext {
            now,
            wall,
            moments: Arc::new(moments),
            healthy_after: self.settings.healthy_after,
            capacity: Arc::clone(&self.capacity),
            seed: hasher.finish(),
            random: self.settings.random,
        }
    }

    /// Orders the next step of each task of the host.
    fn host(&mut self, snapshot: &Snapshot) {
        let view = self.holdings.view(snapshot, &self.capacity, &self.hands);
        let plan = self.holdings.beside(|others| admit(&view, others));
        for action in plan.actions {
            let task = action.task().clone();
            self.order(snapshot, action);
            self.holdings.refresh(snapshot, &task, self.hands.of(&task));
        }
        for note in plan.notes {
            if self.waiting.insert(note.task.clone()) {
                info!(task = %note.task, host = %note.shortage, "task waits for the host");
            }
        }
    }

    fn order(&mut self, snapshot: &Snapshot, action: TaskAction) {
        debug!(?action, "order");
        match action {
            TaskAction::Start(id) => {
                self.waiting.remove(&id);
                let task = snapshot.task(&id);
                let made =
                    task.and_then(|task| Some((task, snapshot.task_definition(&task.task_definition)?)));
                match made {
                    Some((task, definition)) => {
                        kill_point("start");
                        let (task, definition) = ((**task).clone(), Arc::clone(definition));
                        let log_mode = snapshot.account_default(LOG_MODE).and_then(LogMode::parse);
                        let log_mode = log_mode.unwrap_or_default();
                        self.doer.start(StartTask { task, definition, log_mode });
                        self.hands.set(&id, Hands::Holding);
                    }
                    None => self.refuse(&id, no_definition()),
                }
            }
            TaskAction::Stop(id, request) => {
                kill_point("stop");
                self.doer.stop(&id, &request);
                self.hands.set(&id, Hands::Stopping);
            }
            TaskAction::Sweep(id) => {
                kill_point("sweep");
                self.hands.set(&id, Hands::Sweeping);
                sweep_until_done(&self.doer, id);
            }
            TaskAction::Refuse(id, request) => self.refuse(&id, request),
        }
    }

    /// The task stops before it starts, and is then swept as any other.
    fn refuse(&mut self, id: &TaskId, request: StopRequest) {
        self.hands.set(id, Hands::Stopping);
        for seen in [Seen::Stopping { request }, Seen::AllStopped] {
            let fact = Fact { task: id.clone(), at: clock::wall(), ledger: None, seen };
            if self.facts.send(fact).is_err() {
                debug!(task = %id, "nobody takes facts any more");
            }
        }
    }

    /// Forgets what has been over for long enough.
    async fn prune(&mut self) {
        let now = clock::moment();
        let HistoryConfig { keep, most_tasks, most_bytes } = self.settings.history;
        let crowded = self.ended.len() > (most_tasks / 4 + 1).min(MOST_ENDED);
        if !crowded && self.prune_at.is_none_or(|at| at > now) {
            return;
        }
        let before = Timestamp(clock::wall().0.saturating_sub(millis(keep)));
        let before = before.max(self.over_the_ceiling(most_bytes).await);
        let retention = Retention { before, most_stopped_tasks: most_tasks };
        let pruned = self.store.write(move |draft| Ok::<_, Infallible>(draft.prune(retention))).await;
        let snapshot = self.store.snapshot();
        self.prune_at = snapshot.stopped_tasks().next().is_some().then(|| now + keep);
        self.forget_moments(&snapshot);
        match pruned {
            Ok(forgotten) => {
                for task in forgotten {
                    self.forget(task);
                }
            }
            Err(why) => error!(error = %chain(&why), "history not pruned"),
        }
    }

    /// The time before which stopped tasks are too many bytes, the newer ones included.
    async fn over_the_ceiling(&mut self, most_bytes: u64) -> Timestamp {
        let snapshot = self.store.snapshot();
        let ended = std::mem::take(&mut self.ended);
        let ended: Vec<_> = ended.iter().filter_map(|id| snapshot.task(id)).collect();
        let logs = self.doer.log_bytes(ended.iter().map(|task| task.id.clone()).collect()).await;
        for (task, logs) in ended.into_iter().zip(logs) {
            self.sizes.note(task, logs);
        }
        self.sizes.forget(|id| snapshot.task(id).is_some());
        self.sizes.kept_since(most_bytes)
    }

    fn forget(&self, task: TaskId) {
        let forgetting = self.doer.forget(task.clone());
        tokio::spawn(async move {
            if let Err(why) = forgetting.await {
                tracing::warn!(task = %task, error = %why, "logs of a forgotten task not deleted");
            }
        });
    }

    fn forget_moments(&mut self, snapshot: &Snapshot) {
        let keys = snapshot.services().map(|of| (of.cluster.clone(), of.name.clone()));
        let used: BTreeSet<Timestamp> =
            keys.flat_map(|key| services::times_of(snapshot, &key).collect::<Vec<_>>()).collect();
        self.moments.retain(|at| used.contains(&at));
    }
}

fn no_definition() -> StopRequest {
    let reason = "ResourceInitializationError: the task definition does not exist any more".into();
    StopRequest { code: StopCode::TaskFailedToStart, reason }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn sleep_until(moment: Option<Moment>) {
    match moment {
        Some(moment) => tokio::time::sleep(moment - clock::moment()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
