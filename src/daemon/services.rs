//! A pass over one service, carried out in the store.
//!
//! The plan is made inside the write, from the very state that it changes: whatever the API wrote a moment before is
//! part of the view, and two passes never act on the same one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    model::{
        cluster::InstanceStatus,
        ids::{DeploymentId, InstanceId, TaskId},
        placement::PlacementConstraint,
        provider,
        resources::{Capacity, Reservation},
        service::{SchedulingStrategy, Service, ServiceEvent, ServiceStatus},
        task::{DesiredStatus, NewTask, StopRequest, Task, TaskOverride, TaskOwner},
        time::{Moment, Timestamp},
    },
    plan::{
        Plan,
        admit::{Promised, room},
        crash_loop,
        history::{self, News},
        service::{Obstacle, Room, ServiceAction, ServiceNote, ServiceView, service, view::Surroundings},
    },
    store::{Draft, ServiceKey, Snapshot},
};

/// How many tasks one event names.
const TOLD_AT_ONCE: usize = 10;

/// What a pass needs beside the state.
#[derive(Clone)]
pub struct PassContext {
    /// Monotonic time.
    pub now: Moment,
    /// Wall time.
    pub wall: Timestamp,
    /// Moments of the wall times that the view asks for.
    pub moments: Arc<BTreeMap<Timestamp, Moment>>,
    /// How long a task without a health check must run to count as healthy.
    pub healthy_after: Duration,
    /// What the host has for tasks.
    pub capacity: Arc<Capacity>,
    /// Spreads the waits of services.
    pub seed: u64,
    /// Where ids come from.
    pub random: fn() -> [u8; 16],
}

/// What a pass came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// When to ask again though nothing has happened.
    pub wake_at: Option<Moment>,
    /// Whether it waits for the host to have room.
    pub is_starved: bool,
    /// Whether anything was changed.
    pub changed: bool,
}

/// The wall times that a view of the service asks for.
pub fn times_of(snapshot: &Snapshot, key: &ServiceKey) -> impl Iterator<Item = Timestamp> {
    let tasks = snapshot.live_tasks_of_service(key);
    let of_tasks = tasks.flat_map(|task| {
        let healthy = task.containers.iter().filter_map(|container| container.healthy_since);
        task.times.started_at.into_iter().chain([task.created_at]).chain(healthy)
    });
    let of_service = snapshot.service(key).into_iter().flat_map(|service| {
        let failed = service.deployments.iter().filter_map(|one| one.failed_at);
        failed.chain([service.crash_loop.last])
    });
    of_tasks.chain(of_service)
}

/// What a pass would do now.
pub fn plan(
    snapshot: &Snapshot,
    key: &ServiceKey,
    context: &PassContext,
) -> Plan<ServiceAction, ServiceNote> {
    let Some(of) = snapshot.service(key).filter(|of| of.status != ServiceStatus::Inactive) else {
        return Plan::default();
    };
    let view = view(snapshot, of, context);
    let mut plan = service(&view, context.now);
    if plan.notes.contains(&ServiceNote::SteadyState)
        && let Some(again) = history::steady_again(&of.events)
    {
        plan.wake_by(context.ahead(again));
    }
    plan
}

/// What a pass over `of` looks at; `of` may be other than the snapshot's own, to see what would be.
pub fn view(snapshot: &Snapshot, of: &Service, context: &PassContext) -> ServiceView {
    let key = (of.cluster.clone(), of.name.clone());
    let document =
        |task: &Task| snapshot.task_definition(&task.task_definition).map(|definition| &definition.document);
    let moment = |at: Timestamp| {
        let unknown = || Moment(context.now.0.saturating_sub(context.wall.0.saturating_sub(at.0)));
        context.moments.get(&at).copied().unwrap_or_else(unknown)
    };
    let around = Surroundings {
        document: &document,
        moment: &moment,
        ahead: &|at| context.ahead(at),
        now: context.now,
        is_draining: is_leaving(snapshot, of),
        healthy_after: context.healthy_after,
        room: room_for(snapshot, of, &context.capacity),
        seed: context.seed,
    };
    ServiceView::of(of, snapshot.live_tasks_of_service(&key), &around)
}

/// Whether the host is to be emptied of the service's tasks. Those of DAEMON services are the last to go.
fn is_leaving(snapshot: &Snapshot, of: &Service) -> bool {
    let cluster = snapshot.cluster(&of.cluster);
    let is_draining = cluster.is_some_and(|cluster| cluster.instance_status == InstanceStatus::Draining);
    let is_last = |of: &Service| of.scheduling_strategy == SchedulingStrategy::Daemon;
    let has_tasks = |of: &Service| {
        let key = (of.cluster.clone(), of.name.clone());
        snapshot.live_tasks_of_service(&key).next().is_some()
    };
    let mut others = snapshot.services_of(&of.cluster).filter(|other| !is_last(other));
    is_draining && !(is_last(of) && others.any(|other| has_tasks(other)))
}

impl PassContext {
    /// The moment of a wall time that is to come.
    fn ahead(&self, at: Timestamp) -> Moment {
        self.now + at.since(self.wall)
    }
}

/// How many more tasks of the PRIMARY deployment fit.
pub fn room_for(snapshot: &Snapshot, of: &Service, capacity: &Capacity) -> Room {
    let Some(definition) = snapshot.task_definition(&of.primary().task_definition) else {
        return Room { tasks: 0, obstacle: None };
    };
    let needs = Reservation::of(&definition.document, &TaskOverride::default());
    let wanted = snapshot.wanted();
    let promised = Promised { resources: wanted.resources, has_port: &|port| wanted.has(port) };
    let most = of.desired_count.saturating_mul(2).max(2);
    let own = of.placement_constraints();
    let constraints = || definition.document.placement_constraints.iter().chain(&own);
    let unmet = snapshot
        .cluster(&of.cluster)
        .and_then(|cluster| snapshot.unmet(constraints(), cluster, &capacity.traits, &of.group()));
    if let Some(unmet) = unmet {
        return Room { tasks: 0, obstacle: Some(Obstacle::Constraint(unmet)) };
    }
    // What the next task changes is looked at again after it.
    let is_one_by_one = constraints().any(PlacementConstraint::is_about_tasks);
    room(capacity, promised, &needs, if is_one_by_one { 1 } else { most })
}

/// Whether a plan changes anything: it has steps, or a reason that was not told.
pub fn is_news(
    snapshot: &Snapshot,
    key: &ServiceKey,
    plan: &Plan<ServiceAction, ServiceNote>,
    wall: Timestamp,
) -> bool {
    let Some(service) = snapshot.service(key) else { return false };
    let instance = instance_of(snapshot, key);
    !plan.actions.is_empty()
        || plan.notes.iter().any(|note| {
            let news = News::Note(note.clone());
            !news.is_told(&service.events, &news.text(&key.1, &instance), wall)
        })
}

/// Runs a pass and carries out what it decides.
pub fn pass(draft: &mut Draft, key: &ServiceKey, context: &PassContext) -> Outcome {
    let plan = plan(draft, key, context);
    let mut outcome = Outcome::of(&plan);
    if !is_news(draft, key, &plan, context.wall) {
        return outcome;
    }
    let Some(mut service) = draft.service(key).map(|service| Service::clone(service)) else {
        return outcome;
    };
    let (mut started, mut stopped) = (Vec::new(), Vec::new());
    for action in plan.actions {
        match action {
            ServiceAction::Start { deployment, count } => {
                started.extend(start(draft, &service, &deployment, count, context));
            }
            ServiceAction::Stop { task, request } => {
                if stop(draft, &mut service, &task, request, context) {
                    stopped.push(task);
                }
            }
            ServiceAction::Count(count) => service.desired_count = count,
            ServiceAction::ForgetFailures(id) => service.forgive(&id, context.wall),
            ServiceAction::Complete(id) => service.complete(&id, context.wall),
            ServiceAction::Fail { deployment, reason, triggered } => {
                service.fail(&deployment, &reason, triggered, context.wall);
            }
            ServiceAction::RollBack { from, to, reason } => {
                service.roll_back(&from, &to, &reason, context.wall);
            }
            ServiceAction::GiveUpRollback(id) => {
                let reason = format!("Tasks of deployment {id} failed to start.");
                service.rollback_failed(&id, &reason, context.wall);
            }
            ServiceAction::Drop(id) => service.deployments.retain(|one| one.id != id),
            ServiceAction::Retire => service.status = ServiceStatus::Inactive,
        }
    }
    let instance = instance_of(draft, key);
    let did = |tasks: &[TaskId], news: fn(Vec<TaskId>) -> News| {
        tasks.chunks(TOLD_AT_ONCE).map(move |some| news(some.to_vec())).collect::<Vec<_>>()
    };
    let doings = did(&stopped, News::Stopped).into_iter().chain(did(&started, News::Started));
    for news in doings.chain(plan.notes.into_iter().map(News::Note)) {
        tell(&mut service, &news, &instance, context);
    }
    draft.put_service(service);
    outcome.changed = true;
    outcome
}

impl Outcome {
    /// What a plan says beyond its steps.
    #[must_use]
    pub fn of(plan: &Plan<ServiceAction, ServiceNote>) -> Self {
        let is_starved = plan.notes.iter().any(|note| matches!(note, ServiceNote::CannotPlace(_)));
        Self { wake_at: plan.wake_at, is_starved, changed: false }
    }
}

fn start(
    draft: &mut Draft,
    service: &Service,
    deployment: &DeploymentId,
    count: u32,
    context: &PassContext,
) -> Vec<TaskId> {
    let tasks = (0..count).filter_map(|_| {
        let id = TaskId::from_random((context.random)());
        let task = new_task(draft, service, deployment, id.clone(), context.wall)?;
        draft.put_task(task);
        Some(id)
    });
    tasks.collect()
}

/// One more task of a deployment, if what it is made of is still known.
pub fn new_task(
    snapshot: &Snapshot,
    service: &Service,
    deployment: &DeploymentId,
    id: TaskId,
    at: Timestamp,
) -> Option<Task> {
    let made_of = service.deployments.iter().find(|one| one.id == *deployment)?;
    let definition = snapshot.task_definition(&made_of.task_definition)?;
    let revision = service.revision(&made_of.revision());
    let settings = revision.map_or(&service.extra, |revision| &revision.settings);
    let mut task = Task::from(NewTask {
        id,
        cluster: service.cluster.clone(),
        definition,
        owner: Some(TaskOwner { service: service.name.clone(), deployment: deployment.clone() }),
        group: None,
        started_by: None,
        overrides: TaskOverride::default(),
        tags: service.tags_of_tasks(&definition.tags),
        extra: inherited(settings),
        at,
    });
    for container in &mut task.containers {
        container.image_digest = revision.and_then(|known| known.images.get(&container.name).cloned());
    }
    let key = (service.cluster.clone(), service.name.clone());
    if let Some(name) = next_provider(snapshot, &key, settings) {
        task.extra.insert("capacityProviderName".into(), name.into());
    }
    Some(task)
}

/// The capacity provider that the next task of a service goes to.
fn next_provider(
    snapshot: &Snapshot,
    key: &ServiceKey,
    settings: &serde_json::Map<String, serde_json::Value>,
) -> Option<String> {
    let strategy = settings.get("capacityProviderStrategy")?.as_array()?;
    let has = |task: &Task, name: &str| task.extra.get("capacityProviderName").is_some_and(|own| own == name);
    let gone = |name: &str| snapshot.live_tasks_of_service(key).filter(|task| has(task, name)).count();
    provider::next(strategy, |name| gone(name) as u64)
}

/// What the tasks of a service take over from its request.
fn inherited(
    settings: &serde_json::Map<String, serde_json::Value>,
) -> serde_json::Map<String, serde_json::Value> {
    let words =
        ["launchType", "platformVersion", "platformFamily", "networkConfiguration", "enableExecuteCommand"];
    let taken = words.iter().filter_map(|word| Some(((*word).to_owned(), settings.get(*word)?.clone())));
    taken.collect()
}

/// Sets the desired status of a task to STOPPED; whether that was news.
fn stop(
    draft: &mut Draft,
    service: &mut Service,
    id: &TaskId,
    request: StopRequest,
    context: &PassContext,
) -> bool {
    let Some(task) = draft.task(id).filter(|task| task.desired_status == DesiredStatus::Running) else {
        return false;
    };
    let mut task = Task::clone(task);
    task.desired_status = DesiredStatus::Stopped;
    task.stop = Some(request);
    task.times.stopping_at.get_or_insert(context.wall);
    task.version += 1;
    let definition = draft.task_definition(&task.task_definition).map(Arc::clone);
    let document = definition.as_ref().map(|definition| &definition.document);
    crash_loop::account(service, &task, document, context.wall, context.healthy_after);
    draft.put_task(task);
    true
}

fn tell(service: &mut Service, news: &News, instance: &InstanceId, context: &PassContext) {
    let text = news.text(&service.name, instance);
    if news.is_told(&service.events, &text, context.wall) {
        return;
    }
    tracing::info!(service = %service.name, event = %text, "service event");
    let event = ServiceEvent { id: uuid((context.random)()), created_at: context.wall, message: text };
    history::push(&mut service.events, event);
}

/// Random bytes as a UUID of version 4.
#[must_use]
pub fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn instance_of(snapshot: &Snapshot, key: &ServiceKey) -> InstanceId {
    let unknown = || InstanceId::from_random([0; 16]);
    snapshot.cluster(&key.0).map_or_else(unknown, |cluster| cluster.instance.clone())
}
