//! A pass over one service: what it looks at, and what it would do.
//!
//! [`plan`] is pure and made from any snapshot, to see whether there is anything to do at all. [`pass`] makes it again
//! inside the write, from the very state that it changes: whatever the API wrote a moment before is part of the view, and
//! two passes never act on the same one.

use crate::{
    model::{
        cluster::InstanceStatus,
        ids::InstanceId,
        placement::PlacementConstraint,
        resources::{Capacity, Reservation},
        service::{SchedulingStrategy, Service, ServiceStatus},
        task::{Task, TaskOverride},
        time::{Moment, Timestamp},
    },
    plan::{
        Plan,
        admit::{Promised, room},
        history::{self, News},
        service::{Obstacle, Room, ServiceAction, ServiceNote, ServiceView, service, view::Surroundings},
    },
    store::{ServiceKey, Snapshot},
};

mod carry_out;
mod context;
mod new_task;

pub use carry_out::pass;
pub use context::{PassContext, Passes};
pub use new_task::new_task;

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

impl Outcome {
    /// What a plan says beyond its steps.
    #[must_use]
    pub fn of(plan: &Plan<ServiceAction, ServiceNote>) -> Self {
        let is_starved = plan.notes.iter().any(|note| matches!(note, ServiceNote::CannotPlace(_)));
        Self { wake_at: plan.wake_at, is_starved, changed: false }
    }
}

fn instance_of(snapshot: &Snapshot, key: &ServiceKey) -> InstanceId {
    let unknown = || InstanceId::from_random([0; 16]);
    snapshot.cluster(&key.0).map_or_else(unknown, |cluster| cluster.instance.clone())
}
