//! What ECS has no call for: what an update would do, why things are as they are, and going back to any revision.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Api,
    beside::find_task,
    input,
    live::Subject,
    reference::{self, Definition},
    refused::{Kind, Refused},
    service, update_service, wire,
};
use crate::{
    model::{
        arn::Owner,
        ids::RevisionId,
        service::{Service, ServiceStatus},
    },
    store::Draft,
};

/// `POST services/plan`: the input of UpdateService, and what it would come to.
pub(super) async fn plan(api: &Api, value: Value) -> Answer {
    let (key, update) = update_service::read(api, value)?;
    let after = api.store.rehearse(|draft| update.apply(draft))?;
    let service = after.service(&key).ok_or_else(service::not_found)?;
    let steps = api.live.foresee(Box::new(Service::clone(service))).await?;
    Ok(json!({
        "steps": steps,
        "service": wire::service::document(service, &after, &api.owner, false),
    }))
}

/// `GET explain`: each constraint of a task or a service, what it needs and what there is.
pub(super) async fn explain(
    api: &Api,
    cluster: Option<&str>,
    task: Option<&str>,
    service: Option<&str>,
) -> Answer {
    let subject = match (task, service) {
        (Some(task), None) => {
            let id = task.rsplit('/').next().unwrap_or(task);
            Subject::Task(find_task(&api.store.snapshot(), id)?.id.clone())
        }
        (None, Some(name)) => {
            let cluster = reference::cluster_name(&api.owner, cluster)?;
            let key = reference::service_key(&api.owner, &cluster, name)?;
            if api.store.snapshot().service(&key).is_none() {
                return Err(service::not_found());
            }
            Subject::Service(key.0, key.1)
        }
        (None, None) | (Some(_), Some(_)) => {
            return Err(Refused::parameter("Name either a task or a service."));
        }
    };
    Ok(json!({ "constraints": api.live.explain(subject).await? }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RollBack {
    cluster: Option<String>,
    service: String,
    /// A revision of the service by id or ARN, or a revision of a task definition. The last completed one when absent.
    revision: Option<String>,
}

/// `POST services/rollback`: rolls out a revision that the service has had, with the images that it had.
pub(super) async fn roll_back(api: &Api, value: Value) -> Answer {
    let RollBack { cluster, service, revision } = input(value)?;
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, cluster.as_deref())?.name.clone();
    let key = reference::service_key(&api.owner, &cluster, &service)?;
    let (id, now, owner) = (service::deployment_id(api.source.random()), api.source.now(), api.owner.clone());
    let wanted = key.clone();
    api.store
        .write(move |draft| {
            let mut service = Service::clone(draft.service(&wanted).ok_or_else(service::not_found)?);
            if service.status != ServiceStatus::Active {
                return Err(Refused::new(Kind::ServiceNotActiveException, "Service was not ACTIVE."));
            }
            let target = target(draft, &service, &owner, revision.as_deref())?;
            service.redeploy(id, &target, now);
            draft.put_service(service);
            Ok(())
        })
        .await?;
    service::described(api, &key)
}

/// The revision that is meant.
fn target(
    draft: &Draft,
    service: &Service,
    owner: &Owner,
    text: Option<&str>,
) -> Result<RevisionId, Refused> {
    let unknown = || {
        let kept: Vec<String> =
            service.revisions.iter().map(|one| format!("{} ({})", one.id, one.task_definition)).collect();
        Refused::parameter(format!("The service has no such revision. It has {}.", kept.join(", ")))
    };
    let Some(text) = text else {
        let last = service.rollback_target(&service.primary().id).and_then(|id| service.record(id));
        let nothing =
            || Refused::parameter("No earlier deployment was completed: there is nothing to go back to.");
        return last.map(|record| record.target.clone()).ok_or_else(nothing);
    };
    let id = text.rsplit('/').next().unwrap_or(text);
    if let Ok(id) = RevisionId::parse(id) {
        return service.revision(&id).map(|known| known.id.clone()).ok_or_else(unknown);
    }
    let definition = Definition::parse(owner, text)?;
    let definition = definition.find(draft).ok_or_else(unknown)?;
    let found = service.revisions.iter().find(|one| one.task_definition == definition.id);
    found.map(|known| known.id.clone()).ok_or_else(unknown)
}
