//! What is stored for tools that ask: settings of clusters and of the account, capacity providers, namespaces,
//! protection.

use serde_json::{Value, json};

use super::{
    LARGE, fixture, fixture_on, id,
    placement::{network, on_fargate},
};

#[tokio::test]
async fn a_clusters_settings_change_one_by_one() {
    let api = fixture().await;
    let made = api.ok("CreateCluster", json!({"clusterName": "edge"})).await;
    let insights = |value: &str| json!([{"name": "containerInsights", "value": value}]);
    assert_eq!(made["cluster"]["settings"], insights("disabled"));
    let changed =
        api.ok("UpdateClusterSettings", json!({"cluster": "edge", "settings": insights("enhanced")})).await;
    assert_eq!(changed["cluster"]["settings"], insights("enhanced"));
    let configuration = json!({"executeCommandConfiguration": {"logging": "NONE"}});
    let asked = json!({
        "cluster": "edge", "configuration": configuration, "serviceConnectDefaults": {"namespace": "shop"},
    });
    let changed = api.ok("UpdateCluster", asked).await;
    assert_eq!(changed["cluster"]["settings"], insights("enhanced"));
    assert_eq!(changed["cluster"]["configuration"], configuration);
    assert_eq!(changed["cluster"]["serviceConnectDefaults"], json!({"namespace": "shop"}));
    let cleared = json!({"cluster": "edge", "serviceConnectDefaults": {"namespace": ""}});
    assert_eq!(api.ok("UpdateCluster", cleared).await["cluster"]["serviceConnectDefaults"], Value::Null);
    let (kind, message) =
        api.refused("UpdateClusterSettings", json!({"cluster": "edge", "settings": insights("on")})).await;
    assert_eq!(kind, "InvalidParameterException");
    assert!(message.contains("`on` is not one of enhanced, enabled, disabled"), "{message}");
    assert_eq!(
        api.refused("UpdateCluster", json!({"cluster": "nowhere"})).await.0,
        "ClusterNotFoundException"
    );
}

#[tokio::test]
async fn providers_are_listed_and_given_to_clusters_whose_tasks_show_them() {
    let api = fixture_on(LARGE).await;
    let all = api.ok("DescribeCapacityProviders", json!({})).await;
    let names: Vec<&Value> =
        all["capacityProviders"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["FARGATE", "FARGATE_SPOT"]);
    let some =
        api.ok("DescribeCapacityProviders", json!({"capacityProviders": ["FARGATE_SPOT", "mine"]})).await;
    assert_eq!(some["capacityProviders"].as_array().unwrap().len(), 1);
    assert_eq!(some["failures"][0]["reason"], "MISSING");
    let strategy = json!([{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}]);
    let asked = json!({
        "cluster": "default", "capacityProviders": ["FARGATE_SPOT"], "defaultCapacityProviderStrategy": strategy,
    });
    let cluster = api.ok("PutClusterCapacityProviders", asked).await["cluster"].take();
    assert_eq!(cluster["capacityProviders"], json!(["FARGATE_SPOT"]));
    assert_eq!(cluster["defaultCapacityProviderStrategy"], strategy);
    let of_cluster = api.ok("DescribeCapacityProviders", json!({"cluster": "default"})).await;
    assert_eq!(of_cluster["capacityProviders"].as_array().unwrap().len(), 1);
    api.register("web", on_fargate()).await;
    let run = json!({"taskDefinition": "web", "networkConfiguration": network()});
    let task = api.ok("RunTask", run.clone()).await["tasks"][0].take();
    assert_eq!(task["capacityProviderName"], "FARGATE_SPOT");
    assert_eq!(task["launchType"], Value::Null);
    let mut chosen = run;
    chosen["launchType"] = json!("EC2");
    let chosen = api.ok("RunTask", chosen).await;
    assert_eq!(chosen["tasks"][0]["launchType"], "EC2");
    for bad in [
        json!({"cluster": "default", "capacityProviders": ["mine"], "defaultCapacityProviderStrategy": []}),
        json!({"cluster": "default", "capacityProviders": ["FARGATE"], "defaultCapacityProviderStrategy": strategy}),
    ] {
        assert_eq!(api.refused("PutClusterCapacityProviders", bad).await.0, "InvalidParameterException");
    }
}

#[tokio::test]
async fn account_settings_are_set_listed_inherited_and_deleted() {
    let api = fixture().await;
    assert_eq!(api.ok("ListAccountSettings", json!({})).await["settings"], json!([]));
    let put = json!({"name": "containerInsights", "value": "enabled"});
    let setting = api.ok("PutAccountSettingDefault", put).await["setting"].take();
    assert_eq!(setting["principalArn"], "arn:aws:iam::000000000000:root");
    let made = api.ok("CreateCluster", json!({"clusterName": "edge"})).await;
    assert_eq!(made["cluster"]["settings"], json!([{"name": "containerInsights", "value": "enabled"}]));
    let someone = "arn:aws:iam::000000000000:user/ada";
    let asked = json!({"effectiveSettings": true, "principalArn": someone, "name": "containerInsights"});
    let listed = api.ok("ListAccountSettings", asked).await;
    assert_eq!(listed["settings"][0]["value"], "enabled");
    assert_eq!(listed["settings"][0]["principalArn"], someone);
    let first = api.ok("ListAccountSettings", json!({"effectiveSettings": true})).await;
    assert_eq!(first["settings"].as_array().unwrap().len(), 10);
    let token = &first["nextToken"];
    let second = api.ok("ListAccountSettings", json!({"effectiveSettings": true, "nextToken": token})).await;
    assert_eq!(second["settings"].as_array().unwrap().len(), 1);
    api.ok("DeleteAccountSetting", json!({"name": "containerInsights"})).await;
    assert_eq!(api.ok("ListAccountSettings", json!({})).await["settings"], json!([]));
}

#[tokio::test]
async fn account_settings_that_cannot_be_are_refused() {
    let api = fixture().await;
    for bad in [
        json!({"name": "colour", "value": "enabled"}),
        json!({"name": "taskLongArnFormat", "value": "disabled"}),
        json!({"name": "awsvpcTrunking", "value": "perhaps"}),
        json!({"name": "awsvpcTrunking", "value": "enabled", "principalArn": "arn:aws:iam::999999999999:user/ada"}),
    ] {
        assert_eq!(api.refused("PutAccountSetting", bad).await.0, "InvalidParameterException");
    }
}

#[tokio::test]
async fn services_are_found_by_the_namespace_that_they_speak_under() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    for (name, connect) in [
        ("front", json!({"enabled": true, "namespace": "shop"})),
        ("back", json!({"enabled": true, "namespace": "shop"})),
        ("mute", json!({"enabled": false, "namespace": "shop"})),
    ] {
        let request = json!({
            "serviceName": name, "taskDefinition": "web", "desiredCount": 0, "serviceConnectConfiguration": connect,
        });
        api.ok("CreateService", request).await;
    }
    let first = api.ok("ListServicesByNamespace", json!({"namespace": "shop", "maxResults": 1})).await;
    assert_eq!(id(&first["serviceArns"][0]), "back");
    let asked = json!({"namespace": "shop", "nextToken": first["nextToken"]});
    let second = api.ok("ListServicesByNamespace", asked).await;
    assert_eq!(second["serviceArns"].as_array().unwrap().len(), 1);
    assert_eq!(id(&second["serviceArns"][0]), "front");
    let (kind, _) = api.refused("ListServicesByNamespace", json!({"namespace": "nobody"})).await;
    assert_eq!(kind, "NamespaceNotFoundException");
}

#[tokio::test]
async fn only_tasks_of_services_are_protected_and_never_more_than_it_wants() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let alone = api.ok("RunTask", json!({"taskDefinition": "web"})).await["tasks"][0]["taskArn"].take();
    let asked = json!({"cluster": "default", "tasks": [alone], "protectionEnabled": true});
    let answer = api.ok("UpdateTaskProtection", asked.clone()).await;
    assert_eq!(answer["protectedTasks"], json!([]));
    assert_eq!(answer["failures"][0]["reason"], "TASK_NOT_VALID");
    let service = json!({"serviceName": "front", "taskDefinition": "web", "desiredCount": 1});
    let service = api.ok("CreateService", service).await["service"].take();
    let deployment = service["deployments"][0]["id"].as_str().unwrap().to_owned();
    let task = hythe::model::ids::TaskId::parse(id(&alone)).unwrap();
    api.change(&task, move |task| {
        task.owner = Some(hythe::model::task::TaskOwner {
            service: hythe::model::ids::ServiceName::parse("front").unwrap(),
            deployment: hythe::model::ids::DeploymentId::parse(deployment).unwrap(),
        });
    })
    .await;
    let answer = api.ok("UpdateTaskProtection", asked).await;
    let protected = &answer["protectedTasks"][0];
    assert_eq!((&protected["taskArn"], &protected["protectionEnabled"]), (&alone, &json!(true)));
    assert!(protected["expirationDate"].as_f64().unwrap() > 1_700_007_200.0, "two hours: {protected}");
    let got = api.ok("GetTaskProtection", json!({"cluster": "default", "tasks": [alone]})).await;
    assert_eq!(got["protectedTasks"][0]["protectionEnabled"], true);
    api.ok("UpdateService", json!({"service": "front", "desiredCount": 0})).await;
    let more =
        json!({"cluster": "default", "tasks": [alone], "protectionEnabled": true, "expiresInMinutes": 5});
    let blocked = api.ok("UpdateTaskProtection", more).await;
    assert_eq!(blocked["failures"][0]["reason"], "DEPLOYMENT_BLOCKED");
    let off = json!({"cluster": "default", "tasks": [alone], "protectionEnabled": false});
    let answer = api.ok("UpdateTaskProtection", off).await;
    assert_eq!(answer["protectedTasks"][0], json!({"taskArn": alone, "protectionEnabled": false}));
    let late =
        json!({"cluster": "default", "tasks": [alone], "protectionEnabled": true, "expiresInMinutes": 2881});
    assert_eq!(api.refused("UpdateTaskProtection", late).await.0, "InvalidParameterException");
    let stranger = json!({"cluster": "default", "tasks": ["0123456789abcdef0123456789abcdef"]});
    assert_eq!(api.refused("GetTaskProtection", stranger).await.0, "ResourceNotFoundException");
}
