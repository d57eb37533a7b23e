//! The operations of ECS by name: what is done, and what this host does not have.

use serde_json::Value;

use super::{
    Answer, Api, cluster, container_instance,
    refused::{Kind, Refused},
    run_task, service, service_deployment, tags, task, task_definition, update_service,
};
use crate::model::reading;

/// Before the name of the operation in `X-Amz-Target`.
pub(super) const TARGET: &str = "AmazonEC2ContainerServiceV20141113.";

/// Operations that are done.
const DONE: [&str; 28] = [
    "CreateCluster",
    "CreateService",
    "DeleteCluster",
    "DeleteService",
    "DeleteTaskDefinitions",
    "DeregisterTaskDefinition",
    "DescribeClusters",
    "DescribeContainerInstances",
    "DescribeServiceDeployments",
    "DescribeServiceRevisions",
    "DescribeServices",
    "DescribeTaskDefinition",
    "DescribeTasks",
    "ListClusters",
    "ListContainerInstances",
    "ListServiceDeployments",
    "ListServices",
    "ListTagsForResource",
    "ListTaskDefinitionFamilies",
    "ListTaskDefinitions",
    "ListTasks",
    "RegisterTaskDefinition",
    "RunTask",
    "StopServiceDeployment",
    "StopTask",
    "TagResource",
    "UntagResource",
    "UpdateService",
];

/// Operations that ECS has and this release does not.
const NOT_DONE: [&str; 60] = [
    "AssociateGatewayWithCluster",
    "ContinueServiceDeployment",
    "CreateCapacityProvider",
    "CreateDaemon",
    "CreateExpressGatewayService",
    "CreateGateway",
    "CreateTaskSet",
    "DeleteAccountSetting",
    "DeleteAttributes",
    "DeleteCapacityProvider",
    "DeleteDaemon",
    "DeleteDaemonTaskDefinition",
    "DeleteExpressGatewayService",
    "DeleteGateway",
    "DeleteTaskSet",
    "DeregisterContainerInstance",
    "DescribeCapacityProviders",
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
    "GetTaskProtection",
    "ListAccountSettings",
    "ListAttributes",
    "ListDaemonDeployments",
    "ListDaemonTaskDefinitions",
    "ListDaemons",
    "ListGatewayClusterAssociations",
    "ListGatewayRoutes",
    "ListGateways",
    "ListServicesByNamespace",
    "PutAccountSetting",
    "PutAccountSettingDefault",
    "PutAttributes",
    "PutClusterCapacityProviders",
    "RegisterContainerInstance",
    "RegisterDaemonTaskDefinition",
    "StartTask",
    "SubmitAttachmentStateChanges",
    "SubmitContainerStateChange",
    "SubmitTaskStateChange",
    "UpdateCapacityProvider",
    "UpdateCluster",
    "UpdateClusterSettings",
    "UpdateContainerAgent",
    "UpdateContainerInstancesState",
    "UpdateDaemon",
    "UpdateExpressGatewayService",
    "UpdateGateway",
    "UpdateServicePrimaryTaskSet",
    "UpdateTaskProtection",
    "UpdateTaskSet",
];

impl Api {
    /// Does the operation of ECS that is named so, with that input.
    pub async fn call(&self, operation: &str, value: Value) -> Answer {
        match operation {
            "CreateCluster" => cluster::create(self, value).await,
            "CreateService" => service::create(self, value).await,
            "DeleteCluster" => cluster::delete(self, value).await,
            "DeleteService" => service::delete(self, value).await,
            "DeleteTaskDefinitions" => task_definition::delete(self, value).await,
            "DeregisterTaskDefinition" => task_definition::deregister(self, value).await,
            "DescribeClusters" => cluster::describe(self, value),
            "DescribeContainerInstances" => container_instance::describe(self, value),
            "DescribeServiceDeployments" => service_deployment::describe(self, value),
            "DescribeServiceRevisions" => service_deployment::describe_revisions(self, value),
            "DescribeServices" => service::describe(self, value),
            "DescribeTaskDefinition" => task_definition::describe(self, value),
            "DescribeTasks" => task::describe(self, value),
            "ListClusters" => cluster::list(self, value),
            "ListContainerInstances" => container_instance::list(self, value),
            "ListServiceDeployments" => service_deployment::list(self, value),
            "ListServices" => service::list(self, value),
            "ListTagsForResource" => tags::list_tags_for_resource(self, value),
            "ListTaskDefinitionFamilies" => task_definition::list_families(self, value),
            "ListTaskDefinitions" => task_definition::list(self, value),
            "ListTasks" => task::list(self, value),
            "RegisterTaskDefinition" => task_definition::register(self, value).await,
            "RunTask" => run_task::run(self, value).await,
            "StopServiceDeployment" => service_deployment::stop(self, value).await,
            "StopTask" => task::stop(self, value).await,
            "TagResource" => tags::tag_resource(self, value).await,
            "UntagResource" => tags::untag_resource(self, value).await,
            "UpdateService" => update_service::update(self, value).await,
            _ => Err(unknown(operation)),
        }
    }
}

fn unknown(operation: &str) -> Refused {
    if NOT_DONE.contains(&operation) {
        let message = format!("{operation} is not supported by this release of hythe.");
        return Refused::new(Kind::UnsupportedFeatureException, message);
    }
    let nearest = reading::nearest_word(operation, DONE);
    let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
    Refused::new(Kind::UnknownOperationException, format!("unknown operation `{operation}`{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_of_the_service_model_is_known_once() {
        let mut names: Vec<&str> = DONE.into_iter().chain(NOT_DONE).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 88);
    }

    #[test]
    fn what_ecs_has_and_this_host_does_not_is_told_apart_from_what_nobody_has() {
        assert_eq!(unknown("ExecuteCommand").kind, Kind::UnsupportedFeatureException);
        let misspelt = unknown("RunTasks");
        assert_eq!(misspelt.kind, Kind::UnknownOperationException);
        assert!(misspelt.message.ends_with("did you mean `RunTask`?"), "{misspelt}");
    }
}
