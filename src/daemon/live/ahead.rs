//! What the decisions would do with a service, and what stands in the way of a service or a task.

use std::collections::BTreeSet;

use super::super::{
    config::Config,
    host,
    reconciler::Settings,
    services::{self, PassContext, Passes},
};
use crate::{
    api::live::{Explained, Foreseen, LiveError, LiveErrorKind, Subject},
    model::{
        ids::{DeploymentId, TaskId},
        resources::{Reservation, Resources, Traits},
        service::Service,
        task::{DesiredStatus, Task, TaskStatus},
    },
    plan::{
        explain::{self, Constraint},
        foresee::{Doing, Stuck, foresee as look_ahead},
        service::{Obstacle, Room, ServiceTask},
    },
    store::{Draft, Snapshot},
};

/// The steps that would lead to `service`, in their order. In `draft` they are done, for each to see what those before it
/// have left.
pub(super) fn foresee(draft: &mut Draft, config: &Config, service: &Service) -> Vec<Foreseen> {
    let now = Snapshot::clone(draft);
    let snapshot = &now;
    let context = context(snapshot, config, service);
    let view = services::view(snapshot, service, &context);
    let made_of = |id: &DeploymentId| {
        let deployment = service.deployments.iter().find(|one| one.id == *id);
        deployment.map(|one| one.task_definition.to_string())
    };
    let definition = snapshot.task_definition(&service.primary().task_definition);
    let containers = definition.into_iter().flat_map(|one| &one.document.container_definitions);
    let is_checked = containers.into_iter().any(|one| one.essential && one.health_check.is_some());
    let mut room = |tasks: &[ServiceTask]| room_beside(draft, service, &context, tasks);
    let steps = look_ahead(&view, is_checked, context.now, &mut room);
    let step = |step: crate::plan::foresee::Step| {
        let mut seen = Foreseen {
            after_seconds: step.after.as_secs(),
            action: String::new(),
            count: 0,
            task_definition: None,
            tasks: Vec::new(),
            why: step.why,
        };
        match step.does {
            Doing::Start(id, count) => {
                seen.action = "start".into();
                seen.count = usize::try_from(count).unwrap_or(usize::MAX);
                seen.task_definition = made_of(&id);
            }
            Doing::Stop(tasks) => {
                seen.action = "stop".into();
                seen.count = tasks.len();
                let first = tasks.first().and_then(|id| snapshot.task(id));
                seen.task_definition = first.map(|task| task.task_definition.to_string());
                seen.tasks = tasks.iter().map(ToString::to_string).collect();
            }
            Doing::StopNew(count) => (seen.action, seen.count) = ("stop".into(), count),
            Doing::Complete(id) => {
                (seen.action, seen.task_definition) = ("complete".into(), made_of(&id));
            }
            Doing::Stuck(why) => {
                seen.action = "stuck".into();
                seen.why = format!("{}: {}", stuck(why), seen.why);
            }
        }
        seen
    };
    steps.into_iter().map(step).collect()
}

/// What the host can take once the service has these tasks and no others.
fn room_beside(draft: &mut Draft, service: &Service, context: &PassContext, tasks: &[ServiceTask]) -> Room {
    let key = (service.cluster.clone(), service.name.clone());
    let there: BTreeSet<TaskId> = draft.live_tasks_of_service(&key).map(|task| task.id.clone()).collect();
    for gone in there.iter().filter(|&id| !tasks.iter().any(|task| task.id == *id)) {
        draft.remove_task(gone);
    }
    for new in tasks.iter().filter(|task| !there.contains(&task.id)) {
        let made = services::new_task(draft, service, &new.deployment, new.id.clone(), context.wall);
        if let Some(mut task) = made {
            task.known_status = TaskStatus::Running;
            draft.put_task(task);
        }
    }
    services::room_for(draft, service, &context.capacity)
}

fn stuck(why: Stuck) -> String {
    match why {
        Stuck::Bounds => "minimumHealthyPercent and maximumPercent allow neither a start nor a stop".into(),
        Stuck::Protected => "protected tasks are in the way".into(),
        Stuck::Host(Obstacle::Lacks(shortage)) => format!("the host {shortage}"),
        Stuck::Host(Obstacle::Draining) => "the host is DRAINING".into(),
        Stuck::Host(Obstacle::Constraint(unmet)) => unmet.reason().into(),
    }
}

/// Each constraint of what is named.
pub(super) fn explain(
    snapshot: &Snapshot,
    config: &Config,
    subject: &Subject,
) -> Result<Vec<Explained>, LiveError> {
    let list = match subject {
        Subject::Service(cluster, name) => {
            let service = snapshot.service(&(cluster.clone(), name.clone())).ok_or_else(gone)?;
            let context = context(snapshot, config, service);
            let mut list = explain::service(&services::view(snapshot, service, &context), context.now);
            list.extend(rules(snapshot, service, &context.capacity.traits));
            list
        }
        Subject::Task(id) => of_task(snapshot, config, snapshot.task(id).ok_or_else(gone)?),
    };
    let explained =
        |one: Constraint| Explained { constraint: one.name, need: one.need, have: one.have, met: one.is_met };
    Ok(list.into_iter().map(explained).collect())
}

/// The rules of placement of a service's tasks.
fn rules(snapshot: &Snapshot, service: &Service, traits: &Traits) -> Vec<Constraint> {
    let Some(cluster) = snapshot.cluster(&service.cluster) else { return Vec::new() };
    let (candidate, group) = (snapshot.candidate(cluster, traits), service.group());
    let definition = snapshot.task_definition(&service.primary().task_definition);
    let of_definition = definition.map_or(&[][..], |one| &one.document.placement_constraints);
    let own = service.placement_constraints();
    let all = of_definition.iter().chain(&own);
    all.map(|one| {
        let (need, have) = one.told(&candidate, &group);
        Constraint {
            name: "placementConstraints of one more".into(),
            need,
            have,
            is_met: one.is_met(&candidate, &group),
        }
    })
    .collect()
}

fn of_task(snapshot: &Snapshot, config: &Config, task: &Task) -> Vec<Constraint> {
    let line = |name: String, need: String, have: String, is_met| Constraint { name, need, have, is_met };
    let wanted = task.desired_status == DesiredStatus::Running;
    let desired = if wanted { "RUNNING" } else { "STOPPED" };
    let status = format!("{:?}", task.known_status).to_uppercase();
    let mut list = vec![line("status".into(), desired.into(), status.clone(), status == desired)];
    if let Some(stop) = &task.stop {
        list.push(line("stop".into(), "no reason to stop".into(), stop.reason.clone(), false));
    }
    let definition = snapshot.task_definition(&task.task_definition);
    if let Some(definition) = definition.filter(|_| task.known_status < TaskStatus::Deprovisioning) {
        let needs = Reservation::of(&definition.document, &task.overrides);
        let taken = snapshot.taken();
        let others = Resources {
            cpu: taken.resources.cpu.saturating_sub(needs.resources.cpu),
            memory: taken.resources.memory.saturating_sub(needs.resources.memory),
        };
        let ports: BTreeSet<_> = held_by_others(snapshot, task);
        list.extend(explain::placement(
            &host::capacity(&config.host, &config.owner.region),
            &needs,
            others,
            |port| ports.contains(&port),
        ));
        for container in &definition.document.container_definitions {
            for dependency in &container.depends_on {
                let other = task.container(&dependency.container_name);
                let have = other.map_or_else(String::new, |one| {
                    format!("{:?}, health {:?}", one.known_status, one.health).to_uppercase()
                });
                let own = task.container(&container.name).and_then(|one| one.started_at);
                let need = format!("{} {:?}", dependency.container_name, dependency.condition).to_uppercase();
                list.push(line(format!("container {}", container.name), need, have, own.is_some()));
            }
        }
    }
    list
}

fn held_by_others(snapshot: &Snapshot, task: &Task) -> BTreeSet<crate::model::resources::HostPort> {
    let others = snapshot.live_tasks().filter(|other| other.id != task.id);
    let needs = others.filter_map(|other| {
        let definition = snapshot.task_definition(&other.task_definition)?;
        Some(Reservation::of(&definition.document, &other.overrides).ports)
    });
    needs.flatten().collect()
}

fn context(snapshot: &Snapshot, config: &Config, service: &Service) -> PassContext {
    let key = (service.cluster.clone(), service.name.clone());
    Passes::of(&Settings::of(config)).context(snapshot, &key)
}

fn gone() -> LiveError {
    LiveError::new(LiveErrorKind::NotFound, "it is gone meanwhile")
}
