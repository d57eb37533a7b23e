//! UpdateService: what is absent stays, an empty list clears, and what a task is made of starts a deployment.

use serde_json::{Map, Value};

use super::{
    Answer, Api, constraint, input,
    reference::{self, Definition},
    refused::{Kind, Refused},
    run_task, service,
    service_request::{DEPLOYS, ServiceRequest},
};
use crate::{
    model::{
        service::{SchedulingStrategy, Service, ServiceStatus},
        task_definition::TaskDefinition,
        time::Timestamp,
    },
    store::{Draft, ServiceKey},
};

/// A request that was read.
pub(super) struct Update {
    key: ServiceKey,
    definition: Option<Definition>,
    request: ServiceRequest,
    random: [u8; 16],
    now: Timestamp,
}

pub(super) async fn update(api: &Api, value: Value) -> Answer {
    let (key, update) = read(api, value)?;
    api.store.write(move |draft| update.apply(draft)).await?;
    service::described(api, &key)
}

/// Reads a request, and says which service it is about.
pub(super) fn read(api: &Api, value: Value) -> Result<(ServiceKey, Update), Refused> {
    let request: ServiceRequest = input(value)?;
    ServiceRequest::refuse(&[
        ("serviceName", request.service_name.is_some()),
        ("launchType", request.launch_type.is_some()),
        ("role", request.role.is_some()),
        ("schedulingStrategy", request.scheduling_strategy.is_some()),
        ("clientToken", request.client_token.is_some()),
        ("tags", request.tags.is_some()),
    ])?;
    request.check()?;
    request.count()?;
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, request.cluster.as_deref())?.name.clone();
    let text = request.service.as_deref().ok_or_else(|| Refused::parameter("service is missing."))?;
    let key = reference::service_key(&api.owner, &cluster, text)?;
    let definition = request.task_definition.as_deref();
    let definition = definition.map(|text| Definition::parse(&api.owner, text)).transpose()?;
    let update =
        Update { key: key.clone(), definition, request, random: api.source.random(), now: api.source.now() };
    Ok((key, update))
}

impl Update {
    /// Makes the service what the request asks for.
    pub(super) fn apply(self, draft: &mut Draft) -> Result<(), Refused> {
        let mut service = (**draft.service(&self.key).ok_or_else(service::not_found)?).clone();
        if service.status != ServiceStatus::Active {
            return Err(Refused::new(Kind::ServiceNotActiveException, "Service was not ACTIVE."));
        }
        if let Some(count) = self.request.count()? {
            if service.scheduling_strategy == SchedulingStrategy::Daemon {
                return Err(service::counted_daemon());
            }
            service.desired_count = count;
        }
        service.bounds = self.request.bounds(service.bounds, service.scheduling_strategy)?;
        service.breaker = self.request.breaker(service.breaker)?;
        let mut settings = self.request.settings();
        merge_configuration(&service, &mut settings);
        match settings.get("capacityProviderStrategy").and_then(Value::as_array) {
            None => {}
            Some(none) if none.is_empty() => {
                settings.remove("capacityProviderStrategy");
                service.extra.remove("capacityProviderStrategy");
                service.extra.entry("launchType").or_insert_with(|| "EC2".into());
            }
            Some(_) => {
                service.extra.remove("launchType");
            }
        }
        let before = service.extra.clone();
        service.extra.append(&mut settings);
        let made_of = self.made_of(draft, &service)?;
        let changed = |name: &&str| is_other(&before, &service.extra, name);
        let deploys = self.request.force_new_deployment == Some(true)
            || made_of.as_ref().is_some_and(|definition| definition.id != service.primary().task_definition)
            || DEPLOYS.iter().any(changed);
        if deploys {
            let made_of = made_of.map(|definition| definition.id);
            let made_of = made_of.unwrap_or_else(|| service.primary().task_definition.clone());
            service.deploy(service::deployment_id(self.random), made_of, self.now);
        }
        draft.put_service(service);
        Ok(())
    }

    /// The task definition that is asked for, which fits the network configuration that will hold. One that the
    /// service has already may be INACTIVE.
    fn made_of(&self, draft: &Draft, service: &Service) -> Result<Option<TaskDefinition>, Refused> {
        let now = &service.primary().task_definition;
        let asked = match &self.definition {
            None => None,
            Some(definition) => match definition.find(draft) {
                Some(same) if same.id == *now => Some(same),
                Some(_) | None => Some(definition.usable(draft)?),
            },
        };
        if let Some(definition) = asked.or_else(|| draft.task_definition(now)) {
            run_task::network(&definition.document, service.extra.get("networkConfiguration"))?;
            let launch_type = service::launch_type(&service.extra);
            self.request.check_placement(launch_type)?;
            let is_moved = self.request.capacity_provider_strategy.is_some();
            if self.definition.is_some() || self.request.placement_constraints.is_some() || is_moved {
                reference::launch_type(definition, launch_type)?;
                constraint::of_task(&definition.document, &service.placement_constraints(), launch_type)?;
            }
            self.request.check_load_balancers(&definition.document)?;
        }
        Ok(asked.map(|definition| (**definition).clone()))
    }
}

/// Whether a member means something else than before; an empty list is none.
fn is_other(before: &Map<String, Value>, after: &Map<String, Value>, name: &str) -> bool {
    let of = |members: &Map<String, Value>| {
        members.get(name).filter(|value| value.as_array().is_none_or(|list| !list.is_empty())).cloned()
    };
    of(before) != of(after)
}

/// Of `deploymentConfiguration`, what the request leaves out stays.
fn merge_configuration(service: &Service, settings: &mut Map<String, Value>) {
    if let (Some(before), Some(Value::Object(after))) =
        (service.configuration(), settings.get_mut("deploymentConfiguration"))
    {
        for (name, value) in before {
            after.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}
