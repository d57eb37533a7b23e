//! Tasks through the API: run, described, listed and stopped.
//!
//! Nothing runs here: what the agent would report is written into the store.

use std::net::Ipv4Addr;

use hythe::model::{
    fact::Attachment,
    ids::TaskId,
    network::{Subnet, TaskInterface},
    task::{ContainerStatus, DesiredStatus, Exit, HealthStatus, TaskStatus},
    time::Timestamp,
};
use serde_json::json;

use super::{fixture, id};

#[tokio::test]
async fn a_task_is_run_described_listed_and_stopped() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let overrides = json!({"containerOverrides": [{"name": "web", "command": ["true"]}]});
    let input = json!({"taskDefinition": "web", "startedBy": "me", "overrides": overrides, "tags": [{"key": "a", "value": "b"}]});
    let ran = api.ok("RunTask", input).await;
    assert_eq!(ran["failures"], json!([]));
    let task = &ran["tasks"][0];
    assert_eq!(task["lastStatus"], "PENDING");
    assert_eq!(task["desiredStatus"], "RUNNING");
    assert_eq!(task["version"], 1);
    assert_eq!(task["group"], "family:web");
    assert_eq!(task["launchType"], "EC2");
    assert_eq!((&task["cpu"], &task["memory"]), (&json!("100"), &json!("64")));
    assert_eq!(task["overrides"]["containerOverrides"][0]["command"], json!(["true"]));
    assert_eq!(task["tags"][0]["key"], "a");
    assert_eq!(task["containers"][0]["lastStatus"], "PENDING");
    let arn = task["taskArn"].clone();
    let short = id(&arn);

    let listed = api.ok("ListTasks", json!({"startedBy": "me"})).await;
    assert_eq!(listed["taskArns"], json!([arn]));
    let stopped = api.ok("StopTask", json!({"task": short, "reason": "enough"})).await;
    assert_eq!(stopped["task"]["desiredStatus"], "STOPPED");
    assert_eq!(stopped["task"]["stopCode"], "UserInitiated");
    assert_eq!(stopped["task"]["stoppedReason"], "enough");
    assert_eq!(stopped["task"]["version"], 2);
    let again = api.ok("StopTask", json!({"task": arn, "reason": "more"})).await;
    assert_eq!(again["task"]["stoppedReason"], "enough", "the first reason stays");
    assert_eq!(api.ok("ListTasks", json!({})).await["taskArns"], json!([]));
    assert_eq!(api.ok("ListTasks", json!({"desiredStatus": "STOPPED"})).await["taskArns"], json!([arn]));
    let missing = "0".repeat(32);
    let described = api.ok("DescribeTasks", json!({"tasks": [arn, missing]})).await;
    assert_eq!(described["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(described["failures"][0]["reason"], "MISSING");
    let (code, message) = api.refused("StopTask", json!({"task": missing})).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("InvalidParameterException", "The referenced task was not found")
    );
    let (_, message) = api.refused("DescribeTasks", json!({"tasks": ["short"]})).await;
    assert!(message.starts_with("Task Identifier is invalid (task: '"), "{message}");
    let (_, message) = api.refused("DescribeTasks", json!({"tasks": []})).await;
    assert_eq!(message, "Tasks cannot be empty.");
}

#[tokio::test]
async fn what_the_hands_report_is_described() {
    let api = fixture().await;
    api.register("web", json!({"networkMode": "awsvpc"})).await;
    let vpc = json!({"awsvpcConfiguration": {"subnets": ["subnet-1"]}});
    let ran = api.ok("RunTask", json!({"taskDefinition": "web", "networkConfiguration": vpc})).await;
    assert_eq!(ran["tasks"][0]["lastStatus"], "PROVISIONING");
    let wanted = &ran["tasks"][0]["attachments"][0];
    assert_eq!(
        (&wanted["status"], &wanted["details"][0]["value"]),
        (&json!("PRECREATED"), &json!("subnet-1"))
    );
    let task = TaskId::parse(id(&ran["tasks"][0]["taskArn"])).unwrap();
    let host = task.to_string();
    api.change(&task, move |task| {
        let subnet = Subnet::new(Ipv4Addr::new(10, 88, 0, 0), 16).unwrap();
        let interface = TaskInterface::on(subnet, &host, Ipv4Addr::new(10, 88, 0, 2));
        task.attachment = Some(Attachment { id: "6e0e7a2c-0000-4000-8000-000000000000".into(), interface });
        task.known_status = TaskStatus::Running;
        task.times.started_at = Some(Timestamp(1_700_000_000_595));
        task.containers[0].known_status = ContainerStatus::Running;
        task.containers[0].started_at = Some(Timestamp(1_700_000_000_595));
        task.containers[0].health = HealthStatus::Healthy;
    })
    .await;
    let described = api.ok("DescribeTasks", json!({"tasks": [task.as_str()]})).await["tasks"][0].take();
    assert_eq!(described["startedAt"], 1_700_000_000.595);
    assert_eq!(described["healthStatus"], "HEALTHY");
    let details = described["attachments"][0]["details"].as_array().unwrap();
    assert!(details.contains(&json!({"name": "privateIPv4Address", "value": "10.88.0.2"})));
    assert!(details.contains(&json!({"name": "subnetId", "value": "subnet-1"})));
    assert_eq!(described["containers"][0]["networkInterfaces"][0]["privateIpv4Address"], "10.88.0.2");
    api.change(&task, |task| {
        task.known_status = TaskStatus::Stopped;
        task.desired_status = DesiredStatus::Stopped;
        task.containers[0].exit = Some(Exit::Signal(9));
        task.containers[0].reason = Some("OutOfMemoryError: Container killed due to memory usage".into());
    })
    .await;
    let described = api.ok("DescribeTasks", json!({"tasks": [task.as_str()]})).await["tasks"][0].take();
    assert_eq!(described["containers"][0]["exitCode"], 137);
    assert!(described["containers"][0]["reason"].as_str().unwrap().starts_with("OutOfMemoryError"));
}

#[tokio::test]
async fn tasks_that_do_not_fit_are_failures_and_those_that_do_run() {
    let api = fixture().await;
    api.register("big", json!({"memory": "400"})).await;
    let ran = api.ok("RunTask", json!({"taskDefinition": "big", "count": 3})).await;
    assert_eq!(ran["tasks"].as_array().unwrap().len(), 2);
    assert_eq!(ran["failures"][0]["reason"], "RESOURCE:MEMORY");
    assert!(ran["failures"][0]["arn"].as_str().unwrap().contains(":container-instance/default/"));
    let ports = json!([{"name": "web", "image": "x", "memory": 10, "portMappings": [{"containerPort": 80, "hostPort": 8080}]}]);
    api.register("port", json!({"containerDefinitions": ports})).await;
    let ran = api.ok("RunTask", json!({"taskDefinition": "port", "count": 2})).await;
    assert_eq!(ran["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(ran["failures"][0]["reason"], "RESOURCE:PORTS");
    api.register("hot", json!({"cpu": "4096"})).await;
    let ran = api.ok("RunTask", json!({"taskDefinition": "hot"})).await;
    assert_eq!(ran["failures"][0]["reason"], "RESOURCE:CPU");
    api.register("arm", json!({"runtimePlatform": {"cpuArchitecture": "ARM64"}})).await;
    let ran = api.ok("RunTask", json!({"taskDefinition": "arm"})).await;
    assert_eq!(ran["failures"][0]["reason"], "ATTRIBUTE");
}

#[tokio::test]
async fn the_same_token_starts_nothing_twice() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let input = json!({"taskDefinition": "web", "clientToken": "t1"});
    let first = api.ok("RunTask", input.clone()).await;
    assert_eq!(api.ok("RunTask", input).await["tasks"][0]["taskArn"], first["tasks"][0]["taskArn"]);
    let (code, _) =
        api.refused("RunTask", json!({"taskDefinition": "web", "clientToken": "t1", "count": 2})).await;
    assert_eq!(code, "ConflictException");
    assert_eq!(api.ok("ListTasks", json!({})).await["taskArns"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    api.register("vpc", json!({"networkMode": "awsvpc"})).await;
    let vpc = json!({"awsvpcConfiguration": {"subnets": ["subnet-1"]}});
    for (input, word) in [
        (json!({"taskDefinition": "vpc"}), "Network Configuration must be provided"),
        (json!({"taskDefinition": "web", "networkConfiguration": vpc}), "Network Configuration is not valid"),
        (json!({"taskDefinition": "web", "count": 11}), "between 1 and 10"),
        (json!({"taskDefinition": "web", "launchType": "FARGET"}), "did you mean `FARGATE`?"),
        (json!({"taskDefinition": "web", "group": "service:x"}), "reserved"),
        (json!({"taskDefinition": "web", "propagateTags": "SERVICE"}), "propagateTags"),
        (
            json!({"taskDefinition": "web", "overrides": {"containerOverrides": [{"name": "other"}]}}),
            "Override for container named other is not a container in the TaskDefinition.",
        ),
        (json!({"taskDefinition": "web", "startedBy": "not this one!"}), "startedBy"),
    ] {
        let (code, message) = api.refused("RunTask", input).await;
        assert_eq!(code, "InvalidParameterException");
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(api.ok("ListTasks", json!({})).await["taskArns"], json!([]));
}

#[tokio::test]
async fn the_tags_of_a_definition_go_to_tasks_that_propagate_them() {
    let api = fixture().await;
    let tags = json!([{"key": "team", "value": "a"}, {"key": "stage", "value": "x"}]);
    api.register("web", json!({"tags": tags})).await;
    let own = json!([{"key": "stage", "value": "y"}]);
    let mut run = json!({"taskDefinition": "web", "tags": own});
    assert_eq!(api.ok("RunTask", run.clone()).await["tasks"][0]["tags"], own);
    run["propagateTags"] = json!("TASK_DEFINITION");
    let both = json!([{"key": "team", "value": "a"}, {"key": "stage", "value": "y"}]);
    assert_eq!(api.ok("RunTask", run).await["tasks"][0]["tags"], both);
}
