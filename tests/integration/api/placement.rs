//! Rules of placement: what this host is decides whether a task is placed, and a failure says why not.

use serde_json::{Value, json};

use super::{Fixture, LARGE, fixture, fixture_on};

fn member_of(expression: &str) -> Value {
    json!([{"type": "memberOf", "expression": expression}])
}

/// The failures of a call of RunTask, in their reasons.
async fn failures(api: &Fixture, more: Value) -> Vec<Value> {
    let mut input = json!({"taskDefinition": "web"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = api.ok("RunTask", input).await;
    answer["failures"].as_array().unwrap().iter().map(|one| one["reason"].clone()).collect()
}

#[tokio::test]
async fn a_task_is_placed_where_its_rules_hold_and_nowhere_else() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let here =
        member_of("attribute:ecs.os-type == linux and attribute:ecs.availability-zone in [us-east-1a]");
    assert_eq!(failures(&api, json!({"placementConstraints": here})).await, [Value::Null; 0]);
    let there = member_of("attribute:rack == 7");
    let unmet = "MemberOf placement constraint unsatisfied.";
    assert_eq!(failures(&api, json!({"placementConstraints": there})).await, [unmet]);
    let arns = api.ok("ListContainerInstances", json!({})).await["containerInstanceArns"].clone();
    let rack = json!({"attributes": [{"name": "rack", "value": "7", "targetId": arns[0]}]});
    api.ok("PutAttributes", rack).await;
    assert_eq!(failures(&api, json!({"placementConstraints": there})).await, [Value::Null; 0]);
    api.register("web", json!({"placementConstraints": member_of("attribute:rack == 8")})).await;
    assert_eq!(failures(&api, json!({})).await, [unmet], "the definition's own rule");
}

#[tokio::test]
async fn one_instance_takes_one_task_of_a_group_that_wants_distinct_ones() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let distinct = json!({"count": 2, "placementConstraints": [{"type": "distinctInstance"}]});
    let unmet = "DistinctInstance placement constraint unsatisfied.";
    assert_eq!(failures(&api, distinct.clone()).await, [unmet]);
    assert_eq!(failures(&api, distinct.clone()).await, [unmet, unmet]);
    let running = api.ok("ListTasks", json!({})).await["taskArns"][0].clone();
    api.ok("StopTask", json!({"task": running})).await;
    assert_eq!(failures(&api, distinct).await, [unmet], "what is to stop does not count");
    let other = json!({"group": "other", "placementConstraints": [{"type": "distinctInstance"}]});
    assert_eq!(failures(&api, other).await, [Value::Null; 0]);
    let beside = member_of("task:group == other and not task:group == nobody");
    assert_eq!(failures(&api, json!({"placementConstraints": beside})).await, [Value::Null; 0]);
}

#[tokio::test]
async fn a_failure_says_what_is_needed_and_what_is_left() {
    let api = fixture().await;
    api.register("huge", json!({"memory": "2000"})).await;
    let answer = api.ok("RunTask", json!({"taskDefinition": "huge"})).await;
    let told = &answer["failures"][0];
    assert_eq!(told["reason"], "RESOURCE:MEMORY");
    assert_eq!(told["detail"], "the task needs 2000 MiB of memory, and 1000 of 1000 are left");
    api.register("far", json!({"runtimePlatform": {"cpuArchitecture": "ARM64"}})).await;
    let answer = api.ok("RunTask", json!({"taskDefinition": "far"})).await;
    assert_eq!(answer["failures"][0]["reason"], "ATTRIBUTE");
    assert!(answer["failures"][0]["detail"].as_str().unwrap().contains("cpuArchitecture"), "{answer:#}");
}

#[tokio::test]
async fn rules_that_cannot_be_are_refused_by_their_place() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let bad = member_of("attribute:rack = 7");
    let place = "placementConstraints[0].expression: expected an operator";
    for (operation, input) in [
        ("RunTask", json!({"taskDefinition": "web", "placementConstraints": bad})),
        (
            "CreateService",
            json!({"serviceName": "s", "taskDefinition": "web", "desiredCount": 1, "placementConstraints": bad}),
        ),
    ] {
        let (kind, message) = api.refused(operation, input).await;
        assert_eq!(kind, "InvalidParameterException", "{operation}: {message}");
        assert!(message.starts_with(place), "{operation}: {message}");
    }
    let container = json!([{"name": "a", "image": "i", "memory": 16}]);
    let register = |rules: Value| json!({"family": "f", "containerDefinitions": container, "placementConstraints": rules});
    let (kind, message) = api.refused("RegisterTaskDefinition", register(bad)).await;
    assert_eq!(kind, "ClientException");
    assert!(message.starts_with(place), "{message}");
    let distinct = register(json!([{"type": "distinctInstance"}]));
    let (_, message) = api.refused("RegisterTaskDefinition", distinct).await;
    assert_eq!(message, "constraint.type 'distinctInstance' is not supported.");
    let many: Vec<Value> = (0..10).map(|_| member_of("agentConnected == true")[0].clone()).collect();
    api.register("web", json!({"placementConstraints": many[..5]})).await;
    let (_, message) =
        api.refused("RunTask", json!({"taskDefinition": "web", "placementConstraints": many[..6]})).await;
    assert!(message.contains("at most 10") && message.contains("would have 11"), "{message}");
}

#[tokio::test]
async fn a_launch_type_that_the_definition_is_not_made_for_is_refused() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let (kind, message) =
        api.refused("RunTask", json!({"taskDefinition": "web", "launchType": "FARGATE"})).await;
    assert_eq!(kind, "InvalidParameterException");
    assert_eq!(message, "Task definition does not support launch_type FARGATE.");
    let service =
        json!({"serviceName": "s", "taskDefinition": "web", "desiredCount": 1, "launchType": "FARGATE"});
    let (_, message) = api.refused("CreateService", service).await;
    assert_eq!(message, "Task definition does not support launch_type FARGATE.");
}

#[tokio::test]
async fn names_of_another_region_account_or_cluster_are_refused() {
    let api = fixture().await;
    api.ok("CreateCluster", json!({"clusterName": "edge"})).await;
    for (cluster, sentence) in [
        (
            "arn:aws:ecs:eu-west-1:000000000000:cluster/edge",
            "Invalid Region in ARN: eu-west-1, and this is us-east-1",
        ),
        (
            "arn:aws:ecs:us-east-1:123456789012:cluster/edge",
            "Invalid identifier: Identifier is for 123456789012. Your accountId is 000000000000",
        ),
        ("arn:aws:ecs:us-east-1:000000000000:service/edge/web", "Unsupported resource type: service"),
        ("arn:aws:s3:::edge", "\"arn:aws:s3:::edge\" is not an ECS resource name"),
    ] {
        let (kind, message) = api.refused("ListTasks", json!({"cluster": cluster})).await;
        assert_eq!(kind, "InvalidParameterException");
        assert_eq!(message, format!("{sentence} (cluster: '{cluster}')"));
    }
    let service = "arn:aws:ecs:us-east-1:000000000000:service/other/web";
    let (_, message) =
        api.refused("DescribeServices", json!({"cluster": "edge", "services": [service]})).await;
    let sentence = "Invalid identifier: Identifier is for cluster other. Your cluster is edge";
    assert_eq!(message, format!("{sentence} (service: '{service}')"));
}

#[tokio::test]
async fn a_definition_and_the_host_speak_of_the_same_abilities() {
    let api = fixture().await;
    let made = api.register("web", json!({"networkMode": "awsvpc", "pidMode": "task"})).await;
    let names: Vec<&str> = made["requiresAttributes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["ecs.capability.pid-ipc-namespace-sharing", "ecs.capability.task-eni"]);
    let listed = api.ok("ListAttributes", json!({"targetType": "container-instance"})).await;
    for name in names {
        let has = |one: &Value| one["name"] == name;
        assert!(listed["attributes"].as_array().unwrap().iter().any(has), "{name}: {listed:#}");
    }
    let refused = api.refused(
        "PutAttributes",
        json!({"attributes": [
            {"name": "com.amazonaws.ecs.capability.x", "targetId": "0123456789abcdef0123456789abcdef"},
        ]}),
    );
    assert!(refused.await.1.contains("are reserved"));
}

#[tokio::test]
async fn instances_are_listed_by_what_they_are() {
    let api = fixture().await;
    let list = async |filter: &str| {
        let listed = api.ok("ListContainerInstances", json!({"filter": filter})).await;
        listed["containerInstanceArns"].as_array().unwrap().len()
    };
    assert_eq!(list("attribute:ecs.os-type == linux and runningTasksCount == 0").await, 1);
    assert_eq!(list("task:group == service:web").await, 0);
    let (kind, message) = api.refused("ListContainerInstances", json!({"filter": "rack"})).await;
    assert_eq!(kind, "InvalidParameterException");
    assert!(message.starts_with("filter: 'rack' is none of "), "{message}");
}

#[tokio::test]
async fn strategies_that_cannot_be_are_refused_and_others_are_given_back() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let service = |strategy: Value| json!({"serviceName": "s", "taskDefinition": "web", "desiredCount": 0, "placementStrategy": strategy});
    for (kind, field, why) in [
        ("binpack", json!("disk"), "binpack takes cpu or memory, and this is disk."),
        ("spread", Value::Null, "spread takes instanceId, host or attribute:NAME, and this is nothing."),
        ("random", json!("cpu"), "random takes no field, and this is cpu."),
    ] {
        let bad = json!([{"type": kind, "field": field}]);
        let (error, message) = api.refused("CreateService", service(bad.clone())).await;
        assert_eq!(
            (error.as_str(), message),
            ("InvalidParameterException", format!("placementStrategy[0].field: {why}"))
        );
        let run = json!({"taskDefinition": "web", "placementStrategy": bad});
        assert!(api.refused("RunTask", run).await.1.contains("placementStrategy[0].field"));
    }
    let good = json!([{"type": "spread", "field": "attribute:ecs.availability-zone"}, {"type": "random"}]);
    let made = api.ok("CreateService", service(good.clone())).await;
    assert_eq!(made["service"]["placementStrategy"], good);
}

#[tokio::test]
async fn what_a_service_cannot_be_is_refused_by_name_and_value() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let refused = async |more: Value| {
        let mut input = json!({"serviceName": "s", "taskDefinition": "web", "desiredCount": 1});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.refused("CreateService", input).await
    };
    for strategy in ["BLUE_GREEN", "LINEAR", "CANARY"] {
        let (kind, message) = refused(json!({"deploymentConfiguration": {"strategy": strategy}})).await;
        assert_eq!(kind, "UnsupportedFeatureException");
        assert!(
            message.starts_with(&format!("deploymentConfiguration.strategy is {strategy}, ")),
            "{message}"
        );
    }
    let balancer = |name: &str| json!({"loadBalancers": [{"containerName": name, "containerPort": 80}]});
    let (_, message) = refused(balancer("api")).await;
    assert!(message.starts_with("The container api does not exist in the task definition."), "{message}");
    let (_, message) = refused(balancer("web")).await;
    assert!(message.starts_with("The container web did not have a container port 80 defined."), "{message}");
    let (_, message) = refused(json!({"capacityProviderStrategy": [{"capacityProvider": "MINE"}]})).await;
    assert!(message.contains("'MINE' was not found"), "{message}");
}

#[tokio::test]
async fn a_service_goes_back_from_providers_to_a_launch_type() {
    let api = fixture().await;
    api.register("web", on_fargate()).await;
    let strategy = json!([{"capacityProvider": "FARGATE", "weight": 1}]);
    let input = json!({
        "serviceName": "s", "taskDefinition": "web", "desiredCount": 0, "capacityProviderStrategy": strategy,
        "networkConfiguration": network(),
    });
    let made = api.ok("CreateService", input).await;
    assert_eq!(made["service"]["launchType"], Value::Null);
    let back = api.ok("UpdateService", json!({"service": "s", "capacityProviderStrategy": []})).await;
    assert_eq!(back["service"]["launchType"], "EC2");
    assert_eq!(back["service"]["capacityProviderStrategy"], Value::Null);
}

#[tokio::test]
async fn a_service_that_says_nothing_has_the_strategy_of_its_cluster() {
    let api = fixture().await;
    api.register("web", on_fargate()).await;
    let strategy = json!([{"capacityProvider": "FARGATE_SPOT", "weight": 1}]);
    let usual = json!({
        "cluster": "default", "capacityProviders": ["FARGATE_SPOT"], "defaultCapacityProviderStrategy": strategy,
    });
    api.ok("PutClusterCapacityProviders", usual).await;
    let service = |name: &str, more: Value| {
        let mut input = json!({"serviceName": name, "taskDefinition": "web", "desiredCount": 0});
        input["networkConfiguration"] = network();
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let made = api.ok("CreateService", service("a", json!({}))).await;
    assert_eq!(
        (&made["service"]["capacityProviderStrategy"], &made["service"]["launchType"]),
        (&strategy, &Value::Null)
    );
    let made = api.ok("CreateService", service("b", json!({"launchType": "EC2"}))).await;
    assert_eq!(
        (&made["service"]["capacityProviderStrategy"], &made["service"]["launchType"]),
        (&Value::Null, &json!("EC2"))
    );
}

#[tokio::test]
async fn tasks_are_spread_over_providers_and_counted_by_them() {
    let api = fixture_on(LARGE).await;
    api.register("web", on_fargate()).await;
    let strategy = json!([
        {"capacityProvider": "FARGATE", "base": 1, "weight": 1}, {"capacityProvider": "FARGATE_SPOT", "weight": 1},
    ]);
    let ran = api
        .ok("RunTask", json!({
            "taskDefinition": "web", "count": 3, "capacityProviderStrategy": strategy, "networkConfiguration": network(),
        }))
        .await;
    let mut names: Vec<&str> = ran["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["capacityProviderName"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["FARGATE", "FARGATE", "FARGATE_SPOT"]);
    api.ok("RunTask", json!({"taskDefinition": "web", "networkConfiguration": network()})).await;
    let told = api.ok("DescribeClusters", json!({"include": ["STATISTICS"]})).await;
    let statistics = told["clusters"][0]["statistics"].as_array().unwrap();
    let count = |name: &str| statistics.iter().find(|one| one["name"] == name).unwrap()["value"].clone();
    assert_eq!((count("pendingFargateTasksCount"), count("pendingEC2TasksCount")), (json!("3"), json!("1")));
}

#[tokio::test]
async fn what_fargate_does_not_take_its_capacity_providers_do_not_take_either() {
    let api = fixture_on(LARGE).await;
    api.register("web", on_fargate()).await;
    api.register("plain", json!({})).await;
    for provider in ["FARGATE", "FARGATE_SPOT"] {
        let strategy = json!([{"capacityProvider": provider, "weight": 1}]);
        let run = |more: Value| {
            let mut input = json!({"taskDefinition": "web", "networkConfiguration": network()});
            input["capacityProviderStrategy"] = strategy.clone();
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            input
        };
        let ran = api.ok("RunTask", run(json!({}))).await["tasks"][0].take();
        assert_eq!(ran["ephemeralStorage"], json!({"sizeInGiB": 20}), "what a task of Fargate has");
        for (more, told) in [
            (json!({"taskDefinition": "plain", "networkConfiguration": null}), "launch_type FARGATE"),
            (json!({"placementStrategy": [{"type": "random"}]}), "placementStrategy"),
            (json!({"placementConstraints": [{"type": "distinctInstance"}]}), "placementConstraints"),
        ] {
            let (kind, message) = api.refused("RunTask", run(more.clone())).await;
            assert_eq!(kind, "InvalidParameterException");
            assert!(message.contains(told), "{more}: {message}");
        }
        let service = |more: Value| {
            let mut input = run(json!({"serviceName": "s"}));
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            input
        };
        for (more, told) in [
            (
                json!({"taskDefinition": "plain", "networkConfiguration": null, "desiredCount": 0}),
                "launch_type FARGATE",
            ),
            (json!({"placementStrategy": [{"type": "random"}], "desiredCount": 0}), "placementStrategy"),
            (json!({"schedulingStrategy": "DAEMON"}), "DAEMON"),
        ] {
            let (_, message) = api.refused("CreateService", service(more.clone())).await;
            assert!(message.contains(told), "{more}: {message}");
        }
    }
    let plain = json!({"serviceName": "p", "taskDefinition": "plain", "desiredCount": 0});
    api.ok("CreateService", plain).await;
    let moved =
        json!({"service": "p", "capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]});
    let (_, message) = api.refused("UpdateService", moved).await;
    assert!(message.contains("launch_type FARGATE"), "{message}");
}

/// What makes a definition one for Fargate.
pub(super) fn on_fargate() -> Value {
    json!({"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512"})
}

/// What its tasks then want.
pub(super) fn network() -> Value {
    json!({"awsvpcConfiguration": {"subnets": ["subnet-12345ab"]}})
}
