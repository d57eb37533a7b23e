//! What RunTask and StartTask carry, and the rules of each member.
//!
//! One type for both: which of its members a call has, its form says (`form.txt`), and a member of the other call is
//! refused there.

use serde::Deserialize;
use serde_json::Value;

use super::{capacity_provider, constraint, reference, refused::Refused, tags};
use crate::model::{
    cluster::Cluster,
    placement::{PlacementConstraint, PlacementStrategy},
    task::{Tag, TaskOverride},
};

/// What ECS can be asked to launch on.
pub(super) const LAUNCH_TYPES: [&str; 4] = ["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"];

/// Every member of the two calls.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TaskRequest {
    pub(super) task_definition: String,
    pub(super) cluster: Option<String>,
    pub(super) group: Option<String>,
    pub(super) started_by: Option<String>,
    #[serde(default)]
    pub(super) overrides: TaskOverride,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
    pub(super) propagate_tags: Option<String>,
    #[serde(default, rename = "enableECSManagedTags")]
    pub(super) enable_ecs_managed_tags: bool,
    #[serde(default)]
    pub(super) enable_execute_command: bool,
    pub(super) network_configuration: Option<Value>,
    pub(super) reference_id: Option<String>,
    pub(super) volume_configurations: Option<Value>,
    /// StartTask's own.
    #[serde(default)]
    pub(super) container_instances: Vec<String>,
    // From here on RunTask's own.
    pub(super) count: Option<i64>,
    pub(super) launch_type: Option<String>,
    /// The capacity providers that the tasks are spread over; those of the cluster where there are none.
    capacity_provider_strategy: Option<Vec<Value>>,
    pub(super) platform_version: Option<String>,
    #[serde(default)]
    pub(super) placement_constraints: Vec<PlacementConstraint>,
    #[serde(default)]
    placement_strategy: Vec<PlacementStrategy>,
    pub(super) client_token: Option<String>,
}

impl TaskRequest {
    /// The rules that hold for each member by itself.
    pub(super) fn check(&self) -> Result<(), Refused> {
        tags::check(&self.tags)?;
        let words = ["TASK_DEFINITION", "SERVICE", "NONE"];
        reference::words("propagateTags", self.propagate_tags.as_slice(), &words)?;
        if self.propagate_tags.as_deref() == Some("SERVICE") {
            return Err(Refused::parameter(
                "propagateTags: SERVICE is for services; standalone tasks take TASK_DEFINITION.",
            ));
        }
        let is_word =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_/-".contains(&byte));
        if let Some(text) = self.started_by.as_deref().filter(|text| text.len() > 128 || !is_word(text)) {
            let message = "startedBy has at most 128 letters, digits, hyphens, underscores and slashes.";
            return Err(Refused::parameter(message).about("startedBy", text));
        }
        if let Some(group) = self.group.as_deref().filter(|group| group.starts_with("service:")) {
            let message = "A group that begins with service: is reserved for services.";
            return Err(Refused::parameter(message).about("group", group));
        }
        if let Some(group) = self.group.as_deref().filter(|group| group.len() > 255) {
            return Err(Refused::parameter("group has at most 255 characters.").about("group", group));
        }
        let overrides = serde_json::to_string(&self.overrides).unwrap_or_default();
        if overrides.len() > 8192 {
            let message =
                format!("overrides have at most 8192 characters, and these have {}.", overrides.len());
            return Err(Refused::parameter(message));
        }
        reference::words("launchType", self.launch_type.as_slice(), &LAUNCH_TYPES)?;
        if self.launch_type.is_some() && self.capacity_provider_strategy.is_some() {
            return Err(Refused::parameter(
                "Specify either launchType or capacityProviderStrategy, not both.",
            ));
        }
        capacity_provider::check_strategy(self.capacity_provider_strategy.as_deref().unwrap_or_default())?;
        let is_token = |text: &str| {
            (1..=64).contains(&text.len()) && text.bytes().all(|byte| (33..=126).contains(&byte))
        };
        if let Some(text) = self.client_token.as_deref().filter(|text| !is_token(text)) {
            let message = "clientToken has 1 to 64 characters from ASCII 33 to 126.";
            return Err(Refused::parameter(message).about("clientToken", text));
        }
        Ok(())
    }

    /// The capacity providers that the tasks are spread over. A cluster's default strategy holds where RunTask says
    /// nothing; StartTask has named the instances.
    pub(super) fn strategy(&self, cluster: &Cluster) -> Vec<Value> {
        let usual = cluster.extra.get("defaultCapacityProviderStrategy").and_then(Value::as_array);
        let is_open = self.launch_type.is_none() && self.container_instances.is_empty();
        let strategy = self.capacity_provider_strategy.as_ref().or(usual.filter(|_| is_open));
        strategy.cloned().unwrap_or_default()
    }

    /// Refuses strategies of placement that cannot be.
    pub(super) fn check_placement(&self, launch_type: Option<&str>) -> Result<(), Refused> {
        constraint::strategies(&self.placement_strategy, launch_type)
    }
}
