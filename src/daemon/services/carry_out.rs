//! What a plan for a service says, done in the store.

use std::sync::Arc;

use super::{Outcome, PassContext, instance_of, is_news, new_task, plan};
use crate::{
    model::{
        ids::{DeploymentId, InstanceId, TaskId, uuid},
        service::{Service, ServiceEvent, ServiceStatus},
        task::{DesiredStatus, StopRequest, Task},
    },
    plan::{
        crash_loop,
        history::{self, News},
        service::ServiceAction,
    },
    store::{Draft, ServiceKey},
};

/// How many tasks one event names.
const TOLD_AT_ONCE: usize = 10;

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
