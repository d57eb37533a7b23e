//! Services through the API: made, changed, scaled and deleted, and what is refused.
//!
//! Nothing runs here; what a service does with its tasks is tested where tasks run.

use std::convert::Infallible;

use hythe::model::{
    ids::{ClusterName, ServiceName},
    service::ServiceStatus,
};
use serde_json::{Value, json};

use super::{Fixture, fixture, id};

async fn with_service() -> (Fixture, Value) {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let created = api
        .ok("CreateService", json!({"serviceName": "site", "taskDefinition": "web", "desiredCount": 3}))
        .await;
    (api, created["service"].clone())
}

#[tokio::test]
async fn a_service_is_created_with_the_usual_settings() {
    let (api, service) = with_service().await;
    assert_eq!(service["serviceArn"], "arn:aws:ecs:us-east-1:000000000000:service/default/site");
    assert_eq!(id(&service["taskDefinition"]), "web:1");
    assert_eq!(service["status"], "ACTIVE");
    assert_eq!((&service["desiredCount"], &service["runningCount"]), (&json!(3), &json!(0)));
    assert_eq!(service["deploymentConfiguration"]["maximumPercent"], 200);
    assert_eq!(service["deploymentConfiguration"]["minimumHealthyPercent"], 100);
    assert_eq!(service["launchType"], "EC2");
    assert!(service.get("capacityProviderStrategy").is_none());
    assert_eq!(service["deployments"].as_array().unwrap().len(), 1);
    assert_eq!(service["deployments"][0]["status"], "PRIMARY");
    assert_eq!(service["deployments"][0]["rolloutState"], "IN_PROGRESS");
    assert_eq!(service["events"], json!([]));
    let described = api.ok("DescribeServices", json!({"services": ["site", "other"]})).await;
    assert_eq!(described["services"][0], service);
    assert_eq!(described["failures"][0]["reason"], "MISSING");
    assert_eq!(api.ok("ListServices", json!({})).await["serviceArns"], json!([service["serviceArn"]]));
    assert_eq!(
        api.refused("DescribeServices", json!({"services": ["site"], "cluster": "x"})).await.0,
        "ClusterNotFoundException"
    );
}

#[tokio::test]
async fn creating_again_is_fine_when_it_says_the_same() {
    let (api, service) = with_service().await;
    let same = json!({"serviceName": "site", "taskDefinition": "web:1", "desiredCount": 3});
    assert_eq!(api.ok("CreateService", same).await["service"], service);
    let other = json!({"serviceName": "site", "taskDefinition": "web:1", "desiredCount": 4});
    let (code, message) = api.refused("CreateService", other).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("InvalidParameterException", "Creation of service was not idempotent.")
    );
}

#[tokio::test]
async fn scaling_keeps_the_deployment_and_a_new_definition_makes_one() {
    let (api, service) = with_service().await;
    let scaled =
        api.ok("UpdateService", json!({"service": "site", "desiredCount": 5})).await["service"].take();
    assert_eq!(scaled["desiredCount"], 5);
    assert_eq!(scaled["deployments"].as_array().unwrap().len(), 1);
    assert_eq!(scaled["deployments"][0]["id"], service["deployments"][0]["id"]);

    api.register("web", json!({})).await;
    let rolled =
        api.ok("UpdateService", json!({"service": "site", "taskDefinition": "web"})).await["service"].take();
    assert_eq!(id(&rolled["taskDefinition"]), "web:2");
    let statuses: Vec<&Value> =
        rolled["deployments"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, ["PRIMARY", "ACTIVE"]);

    let bounds = json!({"maximumPercent": 150, "minimumHealthyPercent": 50});
    let input = json!({"service": "site", "deploymentConfiguration": bounds});
    let bounded = api.ok("UpdateService", input).await["service"].take();
    assert_eq!(bounded["deployments"].as_array().unwrap().len(), 2);
    assert_eq!(bounded["deploymentConfiguration"]["maximumPercent"], 150);
    let forced = api.ok("UpdateService", json!({"service": "site", "forceNewDeployment": true})).await;
    assert_eq!(forced["service"]["deployments"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_service_scales_though_its_definition_is_inactive() {
    let (api, _) = with_service().await;
    api.ok("DeregisterTaskDefinition", json!({"taskDefinition": "web:1"})).await;
    api.ok("UpdateService", json!({"service": "site", "desiredCount": 1, "taskDefinition": "web:1"})).await;
    let (code, _) = api.refused("UpdateService", json!({"service": "site", "taskDefinition": "web"})).await;
    assert_eq!(code, "ClientException");
}

#[tokio::test]
async fn a_service_is_deleted_when_it_is_scaled_down_or_by_force() {
    let (api, _) = with_service().await;
    let (code, message) = api.refused("DeleteService", json!({"service": "site"})).await;
    assert_eq!(code, "InvalidParameterException");
    assert_eq!(message, "The service cannot be stopped while it is scaled above 0.");
    let deleted = api.ok("DeleteService", json!({"service": "site", "force": true})).await["service"].take();
    assert_eq!((&deleted["status"], &deleted["desiredCount"]), (&json!("INACTIVE"), &json!(0)));
    assert_eq!(api.ok("ListServices", json!({})).await["serviceArns"], json!([]));
    let described = api.ok("DescribeServices", json!({"services": ["site"]})).await;
    assert_eq!(described["services"][0]["status"], "INACTIVE");
    let again = api.ok("DeleteService", json!({"service": "site"})).await;
    assert_eq!(again["service"]["status"], "INACTIVE");
    let (code, message) = api.refused("UpdateService", json!({"service": "site", "desiredCount": 1})).await;
    assert_eq!((code.as_str(), message.as_str()), ("ServiceNotActiveException", "Service was not ACTIVE."));
    api.ok("CreateService", json!({"serviceName": "site", "taskDefinition": "web", "desiredCount": 0})).await;
}

#[tokio::test]
async fn a_name_that_drains_is_not_free() {
    let (api, _) = with_service().await;
    let key = (ClusterName::parse("default").unwrap(), ServiceName::parse("site").unwrap());
    let drain = move |draft: &mut hythe::store::Draft| {
        Ok::<_, Infallible>(draft.update_service(&key, |service| service.status = ServiceStatus::Draining))
    };
    assert!(api.api.store.write(drain).await.unwrap());
    let input = json!({"serviceName": "site", "taskDefinition": "web", "desiredCount": 3});
    let (_, message) = api.refused("CreateService", input).await;
    assert_eq!(message, "Unable to Start a service that is still Draining.");
}

#[tokio::test]
async fn members_that_do_not_go_together_are_refused() {
    let (api, _) = with_service().await;
    let daemon = json!({"serviceName": "d", "taskDefinition": "web", "schedulingStrategy": "DAEMON"});
    let counted = json!({"serviceName": "c", "taskDefinition": "web", "schedulingStrategy": "DAEMON", "desiredCount": 2});
    let made = api.ok("CreateService", daemon).await["service"].take();
    assert_eq!(
        (&made["desiredCount"], &made["deploymentConfiguration"]["maximumPercent"]),
        (&json!(1), &json!(100))
    );
    for (operation, input, code, word) in [
        ("CreateService", counted, "InvalidParameterException", "does not support a desired count"),
        (
            "CreateService",
            json!({"serviceName": "x", "desiredCount": 1}),
            "InvalidParameterException",
            "taskDefinition",
        ),
        (
            "CreateService",
            json!({"serviceName": "x y", "taskDefinition": "web", "desiredCount": 1}),
            "InvalidParameterException",
            "service name",
        ),
        ("UpdateService", json!({"service": "nobody"}), "ServiceNotFoundException", "not found"),
        (
            "UpdateService",
            json!({"service": "site", "desiredCount": -1}),
            "InvalidParameterException",
            "desiredCount",
        ),
        (
            "UpdateService",
            json!({"service": "site", "desiredCont": 1}),
            "ClientException",
            "did you mean `desiredCount`?",
        ),
        (
            "UpdateService",
            json!({"service": "site", "deploymentConfiguration": {"strategy": "BLUE_GREEN"}}),
            "UnsupportedFeatureException",
            "ROLLING",
        ),
    ] {
        let refused = api.refused(operation, input).await;
        assert_eq!(refused.0, code, "{}", refused.1);
        assert!(refused.1.contains(word), "{}", refused.1);
    }
}
