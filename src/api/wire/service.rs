//! A service, its deployments and its events on the wire.

use serde_json::{Map, Value, json};

use super::{Members, deployment::Of, tags};
use crate::{
    model::{
        arn::Owner,
        service::{
            Deployment, DeploymentStatus, RolloutState, SchedulingStrategy, Service, ServiceEvent,
            ServiceStatus,
        },
    },
    store::Snapshot,
};

/// Members of the request that a service shows as they came, where they came.
const KEPT: [&str; 7] = [
    "launchType",
    "platformVersion",
    "platformFamily",
    "networkConfiguration",
    "healthCheckGracePeriodSeconds",
    "propagateTags",
    "availabilityZoneRebalancing",
];

/// Lists that are empty where they did not come.
const LISTS: [&str; 4] = ["loadBalancers", "serviceRegistries", "placementConstraints", "placementStrategy"];

/// Members of the service that its deployments show too.
const OF_DEPLOYMENTS: [&str; 7] = [
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "networkConfiguration",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
];

pub(in crate::api) fn status(status: ServiceStatus) -> &'static str {
    match status {
        ServiceStatus::Active => "ACTIVE",
        ServiceStatus::Draining => "DRAINING",
        ServiceStatus::Inactive => "INACTIVE",
    }
}

pub(in crate::api) fn strategy(strategy: SchedulingStrategy) -> &'static str {
    match strategy {
        SchedulingStrategy::Replica => "REPLICA",
        SchedulingStrategy::Daemon => "DAEMON",
    }
}

pub(in crate::api) fn document(
    service: &Service,
    snapshot: &Snapshot,
    owner: &Owner,
    with_tags: bool,
) -> Value {
    let key = (service.cluster.clone(), service.name.clone());
    let counts = snapshot.counts_of_service(&key);
    let deployments = match service.status {
        ServiceStatus::Active | ServiceStatus::Draining => service.deployments.as_slice(),
        ServiceStatus::Inactive => &[],
    };
    let of = Of { service, snapshot, owner };
    let flag = |name: &str| service.extra.get(name) == Some(&Value::Bool(true));
    let mut members = Members::default();
    members
        .put("serviceArn", owner.service(&service.cluster, &service.name))
        .put("serviceName", service.name.as_str())
        .put("clusterArn", owner.cluster(&service.cluster))
        .put("status", status(service.status))
        .put("desiredCount", service.desired_count)
        .put("runningCount", counts.running)
        .put("pendingCount", counts.pending)
        .put("taskDefinition", owner.task_definition(&service.primary().task_definition))
        .put("deploymentConfiguration", deployment_configuration(service))
        .put("schedulingStrategy", strategy(service.scheduling_strategy))
        .put(
            "deployments",
            deployments.iter().map(|one| deployment(one, service, snapshot, owner)).collect::<Value>(),
        )
        .put("events", service.events.iter().map(event).collect::<Value>())
        .put_some("currentServiceDeployment", service.current().map(|record| of.record_arn(record)))
        .put("currentServiceRevisions", of.current_revisions())
        .put_time("createdAt", Some(service.created_at))
        .put("createdBy", format!("arn:aws:iam::{}:root", owner.account))
        .put_kept(&service.extra, &KEPT, &LISTS)
        .put_some("capacityProviderStrategy", service.extra.get("capacityProviderStrategy").cloned())
        .put("enableECSManagedTags", flag("enableECSManagedTags"))
        .put("enableExecuteCommand", flag("enableExecuteCommand"))
        .put("tags", if with_tags { tags(&service.tags) } else { json!([]) });
    members.document()
}

fn deployment_configuration(service: &Service) -> Value {
    let given = service.extra.get("deploymentConfiguration").and_then(Value::as_object);
    let mut members = Members(given.cloned().unwrap_or_else(Map::new));
    members
        .put("maximumPercent", service.bounds.maximum_percent)
        .put("minimumHealthyPercent", service.bounds.minimum_healthy_percent);
    members.0.entry("strategy").or_insert_with(|| "ROLLING".into());
    members.document()
}

fn deployment(deployment: &Deployment, service: &Service, snapshot: &Snapshot, owner: &Owner) -> Value {
    let counts = snapshot.counts_of_deployment(&deployment.id);
    let (status, wanted) = match deployment.status {
        DeploymentStatus::Primary => ("PRIMARY", service.desired_count),
        DeploymentStatus::Active => ("ACTIVE", counts.wanted),
    };
    let rollout_state = match deployment.rollout_state {
        RolloutState::InProgress => "IN_PROGRESS",
        RolloutState::Completed => "COMPLETED",
        RolloutState::Failed => "FAILED",
    };
    let mut members = Members::default();
    members
        .put("id", deployment.id.as_str())
        .put("status", status)
        .put("taskDefinition", owner.task_definition(&deployment.task_definition))
        .put("desiredCount", wanted)
        .put("pendingCount", counts.pending)
        .put("runningCount", counts.running)
        .put("failedTasks", deployment.failed_tasks)
        .put_time("createdAt", Some(deployment.created_at))
        .put_time("updatedAt", Some(deployment.updated_at))
        .put("rolloutState", rollout_state)
        .put("rolloutStateReason", deployment.rollout_state_reason.as_str())
        .put_kept(
            service.revision(&deployment.revision()).map_or(&service.extra, |revision| &revision.settings),
            &OF_DEPLOYMENTS,
            &[],
        );
    members.document()
}

pub(in crate::api) fn event(event: &ServiceEvent) -> Value {
    let mut members = Members::default();
    members
        .put("id", event.id.as_str())
        .put_time("createdAt", Some(event.created_at))
        .put("message", event.message.as_str());
    members.document()
}
