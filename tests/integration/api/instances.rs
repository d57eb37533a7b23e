//! This host as a container instance: draining, attributes, tags, and tasks that are started on it by name.

use serde_json::{Value, json};

use super::{Fixture, fixture, id};

async fn instance(api: &Fixture) -> String {
    let listed = api.ok("ListContainerInstances", json!({})).await;
    listed["containerInstanceArns"][0].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_draining_instance_takes_no_new_task_until_it_is_active_again() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let arn = instance(&api).await;
    let drained = api
        .ok("UpdateContainerInstancesState", json!({"containerInstances": [arn], "status": "DRAINING"}))
        .await;
    assert_eq!(drained["containerInstances"][0]["status"], "DRAINING");
    assert_eq!(drained["containerInstances"][0]["version"], 2);
    let none = api.ok("ListContainerInstances", json!({"status": "ACTIVE"})).await;
    assert_eq!(none["containerInstanceArns"], json!([]));
    let (kind, message) = api.refused("RunTask", json!({"taskDefinition": "web"})).await;
    assert_eq!(kind, "InvalidParameterException");
    assert_eq!(message, "No Container Instances were found in your cluster.");
    let started = api.ok("StartTask", json!({"taskDefinition": "web", "containerInstances": [arn]})).await;
    assert_eq!(started["failures"][0]["reason"], "INACTIVE");
    api.ok("UpdateContainerInstancesState", json!({"containerInstances": [arn], "status": "ACTIVE"})).await;
    assert_eq!(api.ok("RunTask", json!({"taskDefinition": "web"})).await["failures"], json!([]));
}

#[tokio::test]
async fn an_instance_that_is_not_there_is_a_failure_and_a_state_that_is_not_is_refused() {
    let api = fixture().await;
    let stranger = "0123456789abcdef0123456789abcdef";
    let answer = api
        .ok("UpdateContainerInstancesState", json!({"containerInstances": [stranger], "status": "DRAINING"}))
        .await;
    assert_eq!(answer["containerInstances"], json!([]));
    assert_eq!(answer["failures"][0]["reason"], "MISSING");
    let asked = json!({"containerInstances": [stranger], "status": "REGISTERING"});
    let (kind, message) = api.refused("UpdateContainerInstancesState", asked).await;
    assert_eq!(kind, "InvalidParameterException");
    assert!(message.contains("REGISTERING"), "{message}");
}

#[tokio::test]
async fn tasks_are_started_on_the_instances_that_are_named() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let arn = instance(&api).await;
    let stranger = "0123456789abcdef0123456789abcdef";
    let request = json!({
        "taskDefinition": "web", "containerInstances": [id(&Value::from(arn.as_str())), stranger],
        "startedBy": "me", "group": "mine",
    });
    let answer = api.ok("StartTask", request).await;
    assert_eq!(answer["tasks"].as_array().unwrap().len(), 1);
    let task = &answer["tasks"][0];
    assert_eq!((&task["startedBy"], &task["group"]), (&json!("me"), &json!("mine")));
    assert_eq!(task["containerInstanceArn"], arn.as_str());
    assert_eq!(answer["failures"].as_array().unwrap().len(), 1);
    assert_eq!(answer["failures"][0]["reason"], "MISSING");
    api.register("huge", json!({"memory": "2000"})).await;
    let full = api.ok("StartTask", json!({"taskDefinition": "huge", "containerInstances": [arn]})).await;
    assert_eq!(
        (&full["failures"][0]["arn"], &full["failures"][0]["reason"]),
        (&json!(arn), &json!("RESOURCE:MEMORY"))
    );
}

#[tokio::test]
async fn attributes_are_put_listed_by_name_and_value_and_deleted() {
    let api = fixture().await;
    let arn = instance(&api).await;
    let put = json!({"attributes": [
        {"name": "rack", "value": "r1", "targetId": arn},
        {"name": "fast", "targetType": "container-instance", "targetId": id(&Value::from(arn.as_str()))},
    ]});
    let answer = api.ok("PutAttributes", put).await;
    assert_eq!(answer["attributes"][0]["targetId"], arn.as_str());
    let list = async |more: Value| {
        let mut asked = json!({"targetType": "container-instance"});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.ok("ListAttributes", asked).await["attributes"].as_array().unwrap().clone()
    };
    assert_eq!(list(json!({"attributeName": "rack", "attributeValue": "r1"})).await.len(), 1);
    assert_eq!(list(json!({"attributeName": "rack", "attributeValue": "r2"})).await.len(), 0);
    assert_eq!(list(json!({"attributeName": "ecs.os-type"})).await[0]["value"], "linux");
    let described = api.ok("DescribeContainerInstances", json!({"containerInstances": [arn]})).await;
    let shown = described["containerInstances"][0]["attributes"].as_array().unwrap();
    assert!(shown.contains(&json!({"name": "rack", "value": "r1"})), "{shown:?}");
    api.ok("DeleteAttributes", json!({"attributes": [{"name": "rack", "targetId": arn}]})).await;
    assert_eq!(list(json!({"attributeName": "rack"})).await.len(), 0);
}

#[tokio::test]
async fn attributes_of_strangers_too_many_and_the_hosts_own_are_refused() {
    let api = fixture().await;
    let arn = instance(&api).await;
    let put = async |name: &str, target: &str| {
        api.refused("PutAttributes", json!({"attributes": [{"name": name, "targetId": target}]})).await.0
    };
    assert_eq!(put("rack", "0123456789abcdef0123456789abcdef").await, "TargetNotFoundException");
    assert_eq!(put("ecs.os-type", &arn).await, "InvalidParameterException");
    assert_eq!(put("a b", &arn).await, "InvalidParameterException");
    let many: Vec<Value> =
        (0..11).map(|number| json!({"name": format!("n{number}"), "targetId": arn})).collect();
    let (kind, _) = api.refused("PutAttributes", json!({"attributes": many})).await;
    assert_eq!(kind, "AttributeLimitExceededException");
    let listed =
        api.ok("ListAttributes", json!({"targetType": "container-instance", "attributeName": "n0"})).await;
    assert_eq!(listed["attributes"], json!([]), "nothing of a refused call stays");
}

#[tokio::test]
async fn an_instance_has_tags_of_its_own() {
    let api = fixture().await;
    let arn = instance(&api).await;
    api.ok("TagResource", json!({"resourceArn": arn, "tags": [{"key": "rack", "value": "7"}]})).await;
    let tags = json!([{"key": "rack", "value": "7"}]);
    assert_eq!(api.ok("ListTagsForResource", json!({"resourceArn": arn})).await["tags"], tags);
    let described =
        api.ok("DescribeContainerInstances", json!({"containerInstances": [arn], "include": ["TAGS"]})).await;
    assert_eq!(described["containerInstances"][0]["tags"], tags);
}
