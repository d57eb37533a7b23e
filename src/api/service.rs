//! CreateService, DeleteService, DescribeServices, ListServices. UpdateService has a file of its own.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Answer, Api, capacity_provider, constraint, input,
    page::Page,
    reference::{self, Definition},
    refused::{Kind, Refused},
    run_task,
    service_request::ServiceRequest,
    tags,
    task_request::LAUNCH_TYPES,
    wire,
};
use crate::{
    model::{
        ids::{DeploymentId, ServiceName, TaskDefinitionId},
        service::{Breaker, DeploymentBounds, SchedulingStrategy, Service, ServiceStatus},
        task::Tag,
        time::Timestamp,
    },
    store::{Draft, ServiceKey},
};

/// Most ACTIVE services of a cluster.
const MOST_SERVICES: usize = 5000;

/// The id that a new deployment gets.
pub(super) fn deployment_id(random: [u8; 16]) -> DeploymentId {
    let [low, ..] = random.as_chunks::<8>().0 else { unreachable!("sixteen bytes are two times eight") };
    DeploymentId::from_random(u64::from_be_bytes(*low))
}

/// A request that was found good.
struct Wanted {
    key: ServiceKey,
    definition: Definition,
    strategy: SchedulingStrategy,
    count: u32,
    bounds: DeploymentBounds,
    breaker: Breaker,
    settings: Map<String, Value>,
    tags: Vec<Tag>,
    random: [u8; 16],
    now: Timestamp,
}

pub(super) async fn create(api: &Api, value: Value) -> Answer {
    let request: ServiceRequest = input(value)?;
    let wanted = wanted(api, request)?;
    let key = wanted.key.clone();
    api.store.write(move |draft| wanted.make(draft)).await?;
    described(api, &key)
}

/// The answer of the calls that change a service.
pub(super) fn described(api: &Api, key: &ServiceKey) -> Answer {
    let snapshot = api.store.snapshot();
    let service = snapshot.service(key).ok_or_else(not_found)?;
    Ok(json!({"service": wire::service::document(service, &snapshot, &api.owner, true)}))
}

pub(super) fn not_found() -> Refused {
    Refused::new(Kind::ServiceNotFoundException, "Service not found.")
}

fn wanted(api: &Api, request: ServiceRequest) -> Result<Wanted, Refused> {
    ServiceRequest::refuse(&[
        ("service", request.service.is_some()),
        ("forceNewDeployment", request.force_new_deployment.is_some()),
    ])?;
    request.check()?;
    tags::check(request.tags.as_deref().unwrap_or_default())?;
    if let Some(token) = request.client_token.as_deref().filter(|token| token.len() > 36) {
        let message = "clientToken has at most 36 characters.";
        return Err(Refused::parameter(message).about("clientToken", token));
    }
    let snapshot = api.store.snapshot();
    let known = reference::cluster(&snapshot, &api.owner, request.cluster.as_deref())?;
    let cluster = known.name.clone();
    let name =
        request.service_name.as_deref().ok_or_else(|| Refused::parameter("serviceName is missing."))?;
    let strategy = request.scheduling_strategy.as_deref().unwrap_or("REPLICA");
    reference::words("schedulingStrategy", &[strategy], &["REPLICA", "DAEMON"])?;
    let (strategy, usual) = if strategy == "DAEMON" {
        (SchedulingStrategy::Daemon, DeploymentBounds { minimum_healthy_percent: 0, maximum_percent: 100 })
    } else {
        (SchedulingStrategy::Replica, DeploymentBounds { minimum_healthy_percent: 100, maximum_percent: 200 })
    };
    let count = match (strategy, request.count()?) {
        (SchedulingStrategy::Replica, Some(count)) => count,
        (SchedulingStrategy::Replica, None) => return Err(Refused::parameter("desiredCount is missing.")),
        (SchedulingStrategy::Daemon, None) => 1,
        (SchedulingStrategy::Daemon, Some(_)) => return Err(counted_daemon()),
    };
    let text = request.task_definition.as_deref();
    let text = text.ok_or_else(|| Refused::parameter("taskDefinition is missing."))?;
    let definition = Definition::parse(&api.owner, text)?;
    let document = &definition.usable(&snapshot)?.document;
    run_task::network(document, request.network_configuration.as_ref())?;
    let mut settings = request.settings();
    place(&mut settings, known.extra.get("defaultCapacityProviderStrategy"));
    let launch_type = launch_type(&settings);
    request.check_placement(launch_type)?;
    reference::launch_type(definition.usable(&snapshot)?, launch_type)?;
    constraint::of_task(document, request.placement_constraints.as_deref().unwrap_or_default(), launch_type)?;
    request.check_load_balancers(document)?;
    if strategy == SchedulingStrategy::Daemon && launch_type == Some("FARGATE") {
        let message = "schedulingStrategy: DAEMON is not supported on Fargate.";
        return Err(Refused::parameter(message));
    }
    settings.entry("availabilityZoneRebalancing").or_insert_with(|| "ENABLED".into());
    settings.entry("propagateTags").or_insert_with(|| "NONE".into());
    Ok(Wanted {
        key: (cluster, ServiceName::parse(name)?),
        definition,
        strategy,
        count,
        bounds: request.bounds(usual, strategy)?,
        breaker: request.breaker(Breaker::default())?,
        settings,
        tags: request.tags.unwrap_or_default(),
        random: api.source.random(),
        now: api.source.now(),
    })
}

/// Says where the tasks of new services are placed: as asked, as the cluster's strategy `usual` has it, or on EC2.
fn place(settings: &mut Map<String, Value>, usual: Option<&Value>) {
    // An empty strategy is none.
    settings.retain(|name, value| name != "capacityProviderStrategy" || *value != json!([]));
    if !settings.contains_key("capacityProviderStrategy") && !settings.contains_key("launchType") {
        match usual.filter(|strategy| strategy.as_array().is_some_and(|list| !list.is_empty())) {
            Some(strategy) => settings.insert("capacityProviderStrategy".into(), strategy.clone()),
            None => settings.insert("launchType".into(), "EC2".into()),
        };
    }
}

/// The launch type whose rules hold for a service with these settings.
pub(super) fn launch_type(settings: &Map<String, Value>) -> Option<&str> {
    let strategy = settings.get("capacityProviderStrategy").and_then(Value::as_array);
    let asked = settings.get("launchType").and_then(Value::as_str);
    capacity_provider::launch_type(asked, strategy.map_or(&[], Vec::as_slice))
}

/// A DAEMON service runs one task on each host, and takes no count.
pub(super) fn counted_daemon() -> Refused {
    Refused::parameter(
        "The daemon scheduling strategy does not support a desired count for services. Remove the desired count \
         value and try again",
    )
}

impl Wanted {
    fn make(self, draft: &mut Draft) -> Result<(), Refused> {
        let id = self.definition.usable(draft)?.id.clone();
        if let Some(known) = draft.service(&self.key) {
            match known.status {
                ServiceStatus::Active if self.is_again(known, &id) => return Ok(()),
                ServiceStatus::Active => {
                    return Err(Refused::parameter("Creation of service was not idempotent."));
                }
                ServiceStatus::Draining => {
                    return Err(Refused::parameter("Unable to Start a service that is still Draining."));
                }
                ServiceStatus::Inactive => {}
            }
        }
        let (cluster, name) = self.key;
        let active = draft.services_of(&cluster).filter(|one| one.status == ServiceStatus::Active);
        if active.count() >= MOST_SERVICES {
            return Err(Refused::client(format!(
                "Cluster {cluster} has {MOST_SERVICES} services, and can have no more: serviceName {name} is one too \
                 many."
            )));
        }
        let mut service = Service {
            scheduling_strategy: self.strategy,
            bounds: self.bounds,
            breaker: self.breaker,
            tags: self.tags,
            extra: self.settings,
            ..Service::new(cluster, name, self.count, self.now)
        };
        service.deploy(deployment_id(self.random), id, self.now);
        draft.put_service(service);
        Ok(())
    }

    /// Whether `known` is what this request would make.
    fn is_again(&self, known: &Service, id: &TaskDefinitionId) -> bool {
        known.primary().task_definition == *id
            && known.scheduling_strategy == self.strategy
            && (known.desired_count == self.count || self.strategy == SchedulingStrategy::Daemon)
            && known.bounds == self.bounds
            && known.extra == self.settings
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeleteService {
    cluster: Option<String>,
    service: String,
    #[serde(default)]
    force: bool,
}

pub(super) async fn delete(api: &Api, value: Value) -> Answer {
    let DeleteService { cluster, service, force } = input(value)?;
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, cluster.as_deref())?.name.clone();
    let key = reference::service_key(&api.owner, &cluster, &service)?;
    let wanted = key.clone();
    api.store
        .write(move |draft| {
            let known = draft.service(&wanted).ok_or_else(not_found)?;
            if known.status != ServiceStatus::Active {
                return Ok(());
            }
            if known.scheduling_strategy == SchedulingStrategy::Replica && !force {
                if known.desired_count > 0 {
                    let message = "The service cannot be stopped while it is scaled above 0.";
                    return Err(Refused::parameter(message));
                }
                if known.deployments.len() > 1 {
                    let message = "The service cannot be stopped while deployments are active.";
                    return Err(Refused::parameter(message));
                }
            }
            let is_empty = draft.counts_of_service(&wanted).live() == 0;
            draft.update_service(&wanted, |service| {
                service.desired_count = 0;
                service.status = if is_empty { ServiceStatus::Inactive } else { ServiceStatus::Draining };
            });
            Ok(())
        })
        .await?;
    described(api, &key)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeServices {
    cluster: Option<String>,
    services: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

pub(super) fn describe(api: &Api, value: Value) -> Answer {
    let DescribeServices { cluster, services, include } = input(value)?;
    let with_tags = reference::include_tags(&include)?;
    if services.is_empty() {
        return Err(Refused::parameter("Services cannot be empty."));
    }
    if services.len() > 10 {
        return Err(Refused::parameter("Services cannot be more than 10."));
    }
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, cluster.as_deref())?.name.clone();
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in &services {
        let key = reference::service_key(&api.owner, &cluster, text)?;
        match snapshot.service(&key) {
            Some(service) => found.push(wire::service::document(service, &snapshot, &api.owner, with_tags)),
            None => failures.push(wire::failure(api.owner.service(&key.0, &key.1), "MISSING")),
        }
    }
    Ok(json!({"services": found, "failures": failures}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListServices {
    cluster: Option<String>,
    launch_type: Option<String>,
    scheduling_strategy: Option<String>,
    resource_management_type: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn list(api: &Api, value: Value) -> Answer {
    let input: ListServices = input(value)?;
    reference::words("launchType", input.launch_type.as_slice(), &LAUNCH_TYPES)?;
    reference::words("schedulingStrategy", input.scheduling_strategy.as_slice(), &["REPLICA", "DAEMON"])?;
    reference::words(
        "resourceManagementType",
        input.resource_management_type.as_slice(),
        &["CUSTOMER", "ECS"],
    )?;
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, input.cluster.as_deref())?.name.clone();
    let is_wanted = |service: &Service| {
        let launch_type = service.extra.get("launchType").and_then(Value::as_str);
        let strategy = wire::service::strategy(service.scheduling_strategy);
        service.status == ServiceStatus::Active
            && input.launch_type.as_deref().is_none_or(|word| launch_type == Some(word))
            && input.scheduling_strategy.as_deref().is_none_or(|word| strategy == word)
            && input.resource_management_type.as_deref().is_none_or(|word| word == "CUSTOMER")
    };
    let services = snapshot.services_of(&cluster).filter(|service| is_wanted(service));
    let arns = services
        .map(|service| (service.name.clone(), api.owner.service(&service.cluster, &service.name).into()));
    let page = Page { max_results: input.max_results, next_token: input.next_token.clone() };
    let listed = page.of(arns, 10, |text| ServiceName::parse(text).ok(), |name, seen| name > seen)?;
    Ok(listed.under("serviceArns"))
}
