//! What CreateService and UpdateService carry, and the rules of each member.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    capacity_provider, constraint, reference,
    refused::{Kind, Refused},
    task_request::LAUNCH_TYPES,
};
use crate::model::{
    placement::{PlacementConstraint, PlacementStrategy},
    service::{Breaker, DeploymentBounds, SchedulingStrategy, ThresholdType},
    task::Tag,
    task_definition::Document,
};

/// Every member of the two calls.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ServiceRequest {
    pub(super) cluster: Option<String>,
    pub(super) service: Option<String>,
    pub(super) service_name: Option<String>,
    pub(super) task_definition: Option<String>,
    pub(super) desired_count: Option<i64>,
    pub(super) force_new_deployment: Option<bool>,
    pub(super) client_token: Option<String>,
    pub(super) tags: Option<Vec<Tag>>,
    pub(super) launch_type: Option<String>,
    pub(super) role: Option<String>,
    pub(super) scheduling_strategy: Option<String>,
    pub(super) deployment_controller: Option<Value>,
    pub(super) deployment_configuration: Option<Value>,
    pub(super) network_configuration: Option<Value>,
    pub(super) capacity_provider_strategy: Option<Vec<Value>>,
    platform_version: Option<String>,
    pub(super) placement_constraints: Option<Vec<PlacementConstraint>>,
    placement_strategy: Option<Vec<PlacementStrategy>>,
    health_check_grace_period_seconds: Option<i64>,
    enable_execute_command: Option<bool>,
    #[serde(rename = "enableECSManagedTags")]
    enable_ecs_managed_tags: Option<bool>,
    propagate_tags: Option<String>,
    availability_zone_rebalancing: Option<String>,
    pub(super) load_balancers: Option<Vec<Value>>,
    service_registries: Option<Vec<Value>>,
    service_connect_configuration: Option<Value>,
    volume_configurations: Option<Vec<Value>>,
    vpc_lattice_configurations: Option<Vec<Value>>,
    gateway_connectors: Option<Vec<Value>>,
    monitoring: Option<Value>,
}

/// The part of `deploymentConfiguration` that has rules of its own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Rolling {
    maximum_percent: Option<u32>,
    minimum_healthy_percent: Option<u32>,
    strategy: Option<String>,
    deployment_circuit_breaker: Option<BreakerRequest>,
    alarms: Option<Value>,
    bake_time_in_minutes: Option<Value>,
    lifecycle_hooks: Option<Value>,
    linear_configuration: Option<Value>,
    canary_configuration: Option<Value>,
    early_success_criteria: Option<Value>,
}

/// `deploymentCircuitBreaker`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BreakerRequest {
    enable: bool,
    rollback: bool,
    reset_on_healthy_task: Option<bool>,
    threshold_configuration: Option<ThresholdRequest>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ThresholdRequest {
    #[serde(rename = "type")]
    kind: Option<ThresholdType>,
    value: Option<u32>,
}

/// Members whose change is a new deployment.
pub(super) const DEPLOYS: [&str; 7] = [
    "networkConfiguration",
    "platformVersion",
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
];

impl ServiceRequest {
    /// The rules that hold for each member by itself.
    pub(super) fn check(&self) -> Result<(), Refused> {
        reference::words("launchType", self.launch_type.as_slice(), &LAUNCH_TYPES)?;
        reference::words(
            "propagateTags",
            self.propagate_tags.as_slice(),
            &["TASK_DEFINITION", "SERVICE", "NONE"],
        )?;
        let zone = self.availability_zone_rebalancing.as_slice();
        reference::words("availabilityZoneRebalancing", zone, &["ENABLED", "DISABLED"])?;
        if self.launch_type.is_some() && self.capacity_provider_strategy.is_some() {
            return Err(Refused::parameter(
                "Specify either launchType or capacityProviderStrategy, not both.",
            ));
        }
        let most = [
            ("serviceRegistries", &self.service_registries, 1),
            ("loadBalancers", &self.load_balancers, 5),
            ("capacityProviderStrategy", &self.capacity_provider_strategy, 20),
        ];
        for (name, list, most) in most {
            if list.as_ref().is_some_and(|list| list.len() > most) {
                return Err(Refused::parameter(format!("{name} has at most {most} elements.")));
            }
        }
        capacity_provider::check_strategy(self.capacity_provider_strategy.as_deref().unwrap_or_default())?;
        if self
            .health_check_grace_period_seconds
            .is_some_and(|seconds| !(0..=2_147_483_647).contains(&seconds))
        {
            let message = "healthCheckGracePeriodSeconds must be between 0 and 2147483647.";
            return Err(Refused::parameter(message));
        }
        let controller =
            self.deployment_controller.as_ref().and_then(|controller| controller["type"].as_str());
        reference::words("deploymentController", controller.as_slice(), &["ECS", "CODE_DEPLOY", "EXTERNAL"])?;
        if let Some(word) = controller.filter(|word| *word != "ECS") {
            let message = format!(
                "deploymentController.type is {word}, and the only deployment controller of this release of hythe is \
                 ECS."
            );
            return Err(Refused::new(Kind::UnsupportedFeatureException, message));
        }
        Ok(())
    }

    /// Refuses strategies of placement that cannot be.
    pub(super) fn check_placement(&self, launch_type: Option<&str>) -> Result<(), Refused> {
        constraint::strategies(self.placement_strategy.as_deref().unwrap_or_default(), launch_type)
    }

    /// Refuses load balancers for containers and ports that the task definition does not have.
    pub(super) fn check_load_balancers(&self, document: &Document) -> Result<(), Refused> {
        for (index, balancer) in self.load_balancers.as_deref().unwrap_or_default().iter().enumerate() {
            let Some(name) = balancer["containerName"].as_str() else { continue };
            let mut containers = document.container_definitions.iter();
            let Some(container) = containers.find(|one| one.name.as_str() == name) else {
                let message = format!("The container {name} does not exist in the task definition.");
                return Err(
                    Refused::parameter(message).about(&format!("loadBalancers[{index}].containerName"), name)
                );
            };
            let port = balancer["containerPort"].as_u64();
            let mut mappings = container.port_mappings.iter();
            if let Some(port) = port
                && !mappings.any(|mapping| mapping.container_port.map(u64::from) == Some(port))
            {
                let message = format!("The container {name} did not have a container port {port} defined.");
                let member = format!("loadBalancers[{index}].containerPort");
                return Err(Refused::parameter(message).about(&member, &port.to_string()));
            }
        }
        Ok(())
    }

    /// The desired count, where one is given.
    pub(super) fn count(&self) -> Result<Option<u32>, Refused> {
        self.desired_count
            .map(|count| {
                u32::try_from(count).ok().filter(|count| *count <= 5000).ok_or_else(|| {
                    Refused::parameter(format!("desiredCount is {count}, and must be between 0 and 5000"))
                })
            })
            .transpose()
    }

    /// The bounds of rolling updates, from `before` where the request has none.
    pub(super) fn bounds(
        &self,
        before: DeploymentBounds,
        strategy: SchedulingStrategy,
    ) -> Result<DeploymentBounds, Refused> {
        let Some(given) = &self.deployment_configuration else { return Ok(before) };
        let configuration: Rolling = super::input(given.clone())?;
        let words = ["ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"];
        reference::words("deploymentConfiguration.strategy", configuration.strategy.as_slice(), &words)?;
        if let Some(word) = configuration.strategy.as_deref().filter(|word| *word != "ROLLING") {
            let message = format!(
                "deploymentConfiguration.strategy is {word}, which shifts traffic with a load balancer. This release \
                 of hythe has none yet: its strategy is ROLLING."
            );
            return Err(Refused::new(Kind::UnsupportedFeatureException, message));
        }
        let bounds = DeploymentBounds {
            minimum_healthy_percent: configuration
                .minimum_healthy_percent
                .unwrap_or(before.minimum_healthy_percent),
            maximum_percent: configuration.maximum_percent.unwrap_or(before.maximum_percent),
        };
        match strategy {
            SchedulingStrategy::Daemon if bounds.maximum_percent != 100 => {
                Err(Refused::parameter("The daemon scheduling strategy takes a maximumPercent of 100 only."))
            }
            SchedulingStrategy::Replica if bounds.maximum_percent < 100 => {
                Err(Refused::parameter("maximumPercent must be at least 100."))
            }
            SchedulingStrategy::Replica | SchedulingStrategy::Daemon => {
                if bounds.minimum_healthy_percent > 100 {
                    return Err(Refused::parameter("minimumHealthyPercent must be at most 100."));
                }
                Ok(bounds)
            }
        }
    }

    /// The circuit breaker, `before` where the request has none.
    pub(super) fn breaker(&self, before: Breaker) -> Result<Breaker, Refused> {
        let Some(given) = &self.deployment_configuration else { return Ok(before) };
        let configuration: Rolling = super::input(given.clone())?;
        let Some(asked) = configuration.deployment_circuit_breaker else { return Ok(before) };
        let usual = Breaker::default();
        let threshold = asked.threshold_configuration;
        let breaker = Breaker {
            enable: asked.enable,
            rollback: asked.rollback,
            reset_on_healthy_task: asked.reset_on_healthy_task.unwrap_or(usual.reset_on_healthy_task),
            threshold_type: threshold.and_then(|one| one.kind).unwrap_or(usual.threshold_type),
            value: threshold.and_then(|one| one.value).unwrap_or(usual.value),
        };
        let most = match breaker.threshold_type {
            ThresholdType::BoundedPercent | ThresholdType::UnboundedPercent => 100,
            ThresholdType::Count => u32::MAX,
        };
        if breaker.value == 0 || breaker.value > most {
            return Err(Refused::parameter(format!(
                "deploymentCircuitBreaker.thresholdConfiguration.value is {}, and must be between 1 and {most}",
                breaker.value
            )));
        }
        Ok(breaker)
    }

    /// Members that the service keeps as they came.
    pub(super) fn settings(&self) -> Map<String, Value> {
        let list = |list: &Option<Vec<Value>>| list.clone().map(Value::from);
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let constraints = self.placement_constraints.as_ref();
        let constraints = constraints.and_then(|list| serde_json::to_value(list).ok());
        let strategies = self.placement_strategy.as_ref();
        let strategies = strategies.and_then(|list| serde_json::to_value(list).ok());
        let kept = [
            ("launchType", text(&self.launch_type)),
            ("role", text(&self.role)),
            ("deploymentConfiguration", self.deployment_configuration.clone()),
            ("networkConfiguration", self.network_configuration.clone()),
            ("capacityProviderStrategy", list(&self.capacity_provider_strategy)),
            ("platformVersion", text(&self.platform_version)),
            ("placementConstraints", constraints),
            ("placementStrategy", strategies),
            ("healthCheckGracePeriodSeconds", self.health_check_grace_period_seconds.map(Value::from)),
            ("enableExecuteCommand", self.enable_execute_command.map(Value::from)),
            ("enableECSManagedTags", self.enable_ecs_managed_tags.map(Value::from)),
            ("propagateTags", text(&self.propagate_tags)),
            ("availabilityZoneRebalancing", text(&self.availability_zone_rebalancing)),
            ("loadBalancers", list(&self.load_balancers)),
            ("serviceRegistries", list(&self.service_registries)),
            ("serviceConnectConfiguration", self.service_connect_configuration.clone()),
            ("volumeConfigurations", list(&self.volume_configurations)),
            ("vpcLatticeConfigurations", list(&self.vpc_lattice_configurations)),
            ("gatewayConnectors", list(&self.gateway_connectors)),
            ("monitoring", self.monitoring.clone()),
        ];
        kept.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// Refuses members that belong to the other call.
    pub(super) fn refuse(given: &[(&str, bool)]) -> Result<(), Refused> {
        match given.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(Refused::client(format!("unknown member `{name}` of this operation"))),
            None => Ok(()),
        }
    }
}
