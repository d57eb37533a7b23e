//! The operations of ECS by name: what is done, and what this host does not have.

use std::sync::LazyLock;

use serde_json::Value;

use super::{
    Answer, Api, account_setting, attribute, capacity_provider, cluster, container_instance, namespace,
    protection,
    refused::{Kind, Refused},
    run_task, service, service_deployment, start_task, tags, task, task_definition, update_cluster,
    update_service,
};
use crate::model::{form::Forms, reading, task_definition::validate};

/// Before the name of the operation in `X-Amz-Target`.
pub(super) const TARGET: &str = "AmazonEC2ContainerServiceV20141113.";

/// What the requests may carry, but for RegisterTaskDefinition, whose document is checked where it is read.
static FORMS: LazyLock<Forms> = LazyLock::new(|| {
    let mut forms = Forms::read(&[validate::FORM, include_str!("form.txt")]);
    forms.forget("RegisterTaskDefinition");
    forms
});

/// Operations that are done.
const DONE: &[&str] = &[
    "CreateCluster",
    "CreateService",
    "DeleteAccountSetting",
    "DeleteAttributes",
    "DeleteCluster",
    "DeleteService",
    "DeleteTaskDefinitions",
    "DeregisterTaskDefinition",
    "DescribeCapacityProviders",
    "DescribeClusters",
    "DescribeContainerInstances",
    "DescribeServiceDeployments",
    "DescribeServiceRevisions",
    "DescribeServices",
    "DescribeTaskDefinition",
    "DescribeTasks",
    "GetTaskProtection",
    "ListAccountSettings",
    "ListAttributes",
    "ListClusters",
    "ListContainerInstances",
    "ListServiceDeployments",
    "ListServices",
    "ListServicesByNamespace",
    "ListTagsForResource",
    "ListTaskDefinitionFamilies",
    "ListTaskDefinitions",
    "ListTasks",
    "PutAccountSetting",
    "PutAccountSettingDefault",
    "PutAttributes",
    "PutClusterCapacityProviders",
    "RegisterTaskDefinition",
    "RunTask",
    "StartTask",
    "StopServiceDeployment",
    "StopTask",
    "TagResource",
    "UntagResource",
    "UpdateCluster",
    "UpdateClusterSettings",
    "UpdateContainerInstancesState",
    "UpdateService",
    "UpdateTaskProtection",
];

/// Operations that ECS has and this release does not.
const NOT_DONE: &[&str] = &[
    "AssociateGatewayWithCluster",
    "ContinueServiceDeployment",
    "CreateCapacityProvider",
    "CreateDaemon",
    "CreateExpressGatewayService",
    "CreateGateway",
    "CreateTaskSet",
    "DeleteCapacityProvider",
    "DeleteDaemon",
    "DeleteDaemonTaskDefinition",
    "DeleteExpressGatewayService",
    "DeleteGateway",
    "DeleteTaskSet",
    "DeregisterContainerInstance",
    "DescribeDaemon",
    "DescribeDaemonDeployments",
    "DescribeDaemonRevisions",
    "DescribeDaemonTaskDefinition",
    "DescribeExpressGatewayService",
    "DescribeGateway",
    "DescribeGatewayResources",
    "DescribeGatewayRoute",
    "DescribeTaskSets",
    "DisassociateGatewayFromCluster",
    "DiscoverPollEndpoint",
    "ExecuteCommand",
    "ListDaemonDeployments",
    "ListDaemonTaskDefinitions",
    "ListDaemons",
    "ListGatewayClusterAssociations",
    "ListGatewayRoutes",
    "ListGateways",
    "RegisterContainerInstance",
    "RegisterDaemonTaskDefinition",
    "SubmitAttachmentStateChanges",
    "SubmitContainerStateChange",
    "SubmitTaskStateChange",
    "UpdateCapacityProvider",
    "UpdateContainerAgent",
    "UpdateDaemon",
    "UpdateExpressGatewayService",
    "UpdateGateway",
    "UpdateServicePrimaryTaskSet",
    "UpdateTaskSet",
];

impl Api {
    /// Does the operation of ECS that is named so, with that input.
    pub async fn call(&self, operation: &str, value: Value) -> Answer {
        FORMS
            .check(operation, &value)
            .map_err(|refusal| Refused::unreadable(&refusal, Kind::InvalidParameterException))?;
        match operation {
            "CreateCluster" => cluster::create(self, value).await,
            "CreateService" => service::create(self, value).await,
            "DeleteAccountSetting" => account_setting::delete(self, value).await,
            "DeleteAttributes" => attribute::delete(self, value).await,
            "DeleteCluster" => cluster::delete(self, value).await,
            "DeleteService" => service::delete(self, value).await,
            "DeleteTaskDefinitions" => task_definition::delete(self, value).await,
            "DeregisterTaskDefinition" => task_definition::deregister(self, value).await,
            "DescribeCapacityProviders" => capacity_provider::describe(self, value),
            "DescribeClusters" => cluster::describe(self, value),
            "DescribeContainerInstances" => container_instance::describe(self, value),
            "DescribeServiceDeployments" => service_deployment::describe(self, value),
            "DescribeServiceRevisions" => service_deployment::describe_revisions(self, value),
            "DescribeServices" => service::describe(self, value),
            "DescribeTaskDefinition" => task_definition::describe(self, value),
            "DescribeTasks" => task::describe(self, value),
            "GetTaskProtection" => protection::get(self, value),
            "ListAccountSettings" => account_setting::list(self, value),
            "ListAttributes" => attribute::list(self, value),
            "ListClusters" => cluster::list(self, value),
            "ListContainerInstances" => container_instance::list(self, value),
            "ListServiceDeployments" => service_deployment::list(self, value),
            "ListServices" => service::list(self, value),
            "ListServicesByNamespace" => namespace::list_services(self, value),
            "ListTagsForResource" => tags::list_tags_for_resource(self, value),
            "ListTaskDefinitionFamilies" => task_definition::list_families(self, value),
            "ListTaskDefinitions" => task_definition::list(self, value),
            "ListTasks" => task::list(self, value),
            "PutAccountSetting" | "PutAccountSettingDefault" => account_setting::put(self, value).await,
            "PutAttributes" => attribute::put(self, value).await,
            "PutClusterCapacityProviders" => update_cluster::put_capacity_providers(self, value).await,
            "RegisterTaskDefinition" => task_definition::register(self, value).await,
            "RunTask" => run_task::run(self, value).await,
            "StartTask" => start_task::start(self, value).await,
            "StopServiceDeployment" => service_deployment::stop(self, value).await,
            "StopTask" => task::stop(self, value).await,
            "TagResource" => tags::tag_resource(self, value).await,
            "UntagResource" => tags::untag_resource(self, value).await,
            "UpdateCluster" => update_cluster::update(self, value).await,
            "UpdateClusterSettings" => update_cluster::update_settings(self, value).await,
            "UpdateContainerInstancesState" => container_instance::update_state(self, value).await,
            "UpdateService" => update_service::update(self, value).await,
            "UpdateTaskProtection" => protection::update(self, value).await,
            _ => Err(unknown(operation)),
        }
    }
}

fn unknown(operation: &str) -> Refused {
    if operation == "ExecuteCommand" {
        let message = "ExecuteCommand is not supported by this release of hythe; run the command on the host: \
                       hythe exec -it TASK [CONTAINER] -- COMMAND";
        return Refused::new(Kind::UnsupportedFeatureException, message);
    }
    if NOT_DONE.contains(&operation) {
        let message = format!("{operation} is not supported by this release of hythe.");
        return Refused::new(Kind::UnsupportedFeatureException, message);
    }
    let nearest = reading::nearest_word(operation, DONE.iter().copied());
    let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
    Refused::new(Kind::UnknownOperationException, format!("unknown operation `{operation}`{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_of_the_service_model_is_known_once() {
        let mut names: Vec<&&str> = DONE.iter().chain(NOT_DONE).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 88);
    }

    #[test]
    fn every_operation_has_a_form_and_every_form_that_is_named_is_there() {
        let forms = Forms::read(&[validate::FORM, include_str!("form.txt")]);
        assert_eq!(forms.missing(), Vec::<&str>::new());
        for name in DONE {
            assert!(forms.has(name), "{name}");
        }
    }

    #[test]
    fn what_ecs_has_and_this_host_does_not_is_told_apart_from_what_nobody_has() {
        assert_eq!(unknown("CreateTaskSet").kind, Kind::UnsupportedFeatureException);
        let told = unknown("ExecuteCommand");
        assert_eq!(told.kind, Kind::UnsupportedFeatureException);
        assert!(told.message.contains("hythe exec -it TASK"), "{told}");
        let misspelt = unknown("RunTasks");
        assert_eq!(misspelt.kind, Kind::UnknownOperationException);
        assert!(misspelt.message.ends_with("did you mean `RunTask`?"), "{misspelt}");
    }
}
