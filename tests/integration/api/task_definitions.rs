//! Task definitions through the API: revisions, their lives, lists, and documents that are refused.

use serde_json::json;

use super::{fixture, id};

#[tokio::test]
async fn a_definition_is_registered_and_says_what_its_absent_members_mean() {
    let api = fixture().await;
    let containers =
        json!([{"name": "web", "image": "nginx", "memory": 64, "portMappings": [{"containerPort": 80}]}]);
    let definition = api.register("web", json!({"containerDefinitions": containers})).await;
    assert_eq!(definition["taskDefinitionArn"], "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1");
    assert_eq!(definition["revision"], 1);
    assert_eq!(definition["status"], "ACTIVE");
    assert_eq!(definition["volumes"], json!([]));
    let container = &definition["containerDefinitions"][0];
    assert_eq!(container["essential"], true);
    assert_eq!(container["cpu"], 0);
    assert_eq!(container["environment"], json!([]));
    assert_eq!(container["portMappings"], json!([{"containerPort": 80, "protocol": "tcp", "hostPort": 0}]));
    assert!(definition["registeredAt"].is_f64());
    assert!(definition.get("networkMode").is_none());
    let described = api.ok("DescribeTaskDefinition", json!({"taskDefinition": "web"})).await;
    assert_eq!(described["taskDefinition"], definition);
}

#[tokio::test]
async fn a_revision_lives_is_deregistered_and_deleted_and_its_number_is_not_used_again() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    api.register("web", json!({})).await;
    api.ok("RunTask", json!({"taskDefinition": "web:1"})).await;
    let latest = api.ok("DescribeTaskDefinition", json!({"taskDefinition": "web"})).await;
    assert_eq!(id(&latest["taskDefinition"]["taskDefinitionArn"]), "web:2");

    let failures =
        api.ok("DeleteTaskDefinitions", json!({"taskDefinitions": ["web:1"]})).await["failures"].take();
    assert!(failures[0]["reason"].as_str().unwrap().contains("ACTIVE"));
    let gone = api.ok("DeregisterTaskDefinition", json!({"taskDefinition": "web:1"})).await;
    assert_eq!(gone["taskDefinition"]["status"], "INACTIVE");
    let (code, message) = api.refused("RunTask", json!({"taskDefinition": "web:1"})).await;
    assert_eq!((code.as_str(), message.as_str()), ("ClientException", "TaskDefinition is inactive"));
    let deleted = api.ok("DeleteTaskDefinitions", json!({"taskDefinitions": ["web:1"]})).await;
    assert_eq!(deleted["taskDefinitions"][0]["status"], "DELETE_IN_PROGRESS");
    let kept = api.ok("DescribeTaskDefinition", json!({"taskDefinition": "web:1"})).await;
    assert_eq!(kept["taskDefinition"]["status"], "DELETE_IN_PROGRESS", "a task still runs it");

    api.ok("DeregisterTaskDefinition", json!({"taskDefinition": "web:2"})).await;
    api.ok("DeleteTaskDefinitions", json!({"taskDefinitions": ["web:2"]})).await;
    let (code, message) = api.refused("DescribeTaskDefinition", json!({"taskDefinition": "web:2"})).await;
    assert_eq!((code.as_str(), message.as_str()), ("ClientException", "Unable to describe task definition."));
    assert_eq!(api.register("web", json!({})).await["revision"], 3);
}

#[tokio::test]
async fn names_that_lead_nowhere_are_refused_in_the_words_of_ecs() {
    let api = fixture().await;
    for (operation, text, code, sentence) in [
        ("DeregisterTaskDefinition", "web", "ClientException", "Revision is missing."),
        (
            "DeregisterTaskDefinition",
            "web:foo",
            "InvalidParameterException",
            "Invalid revision number. Number: foo",
        ),
        ("DescribeTaskDefinition", "", "InvalidParameterException", "Task Definition can not be blank."),
        ("DescribeTaskDefinition", "web", "ClientException", "Unable to describe task definition."),
        ("RunTask", "web", "ClientException", "TaskDefinition not found."),
    ] {
        let refused = api.refused(operation, json!({"taskDefinition": text})).await;
        assert_eq!((refused.0.as_str(), refused.1.as_str()), (code, sentence));
    }
}

#[tokio::test]
async fn lists_are_by_family_and_number_and_families_by_what_they_hold() {
    let api = fixture().await;
    for family in ["web", "web", "api", "webby"] {
        api.register(family, json!({})).await;
    }
    for _ in 0..9 {
        api.register("many", json!({})).await;
    }
    api.register("many", json!({})).await;
    api.ok("DeregisterTaskDefinition", json!({"taskDefinition": "api:1"})).await;
    let names = |answer: &serde_json::Value, list: &str| -> Vec<String> {
        answer[list].as_array().unwrap().iter().map(|arn| id(arn).to_owned()).collect()
    };
    let listed = api.ok("ListTaskDefinitions", json!({"familyPrefix": "web"})).await;
    assert_eq!(names(&listed, "taskDefinitionArns"), ["web:1", "web:2"]);
    let page = api.ok("ListTaskDefinitions", json!({"sort": "DESC", "maxResults": 5})).await;
    assert_eq!(names(&page, "taskDefinitionArns"), ["webby:1", "web:2", "web:1", "many:10", "many:9"]);
    let more = json!({"sort": "DESC", "maxResults": 2, "nextToken": page["nextToken"]});
    let page = api.ok("ListTaskDefinitions", more).await;
    assert_eq!(names(&page, "taskDefinitionArns"), ["many:8", "many:7"]);
    let families =
        api.ok("ListTaskDefinitionFamilies", json!({"familyPrefix": "we", "status": "ACTIVE"})).await;
    assert_eq!(names(&families, "families"), ["web", "webby"]);
    let families = api.ok("ListTaskDefinitionFamilies", json!({"status": "INACTIVE"})).await;
    assert_eq!(names(&families, "families"), ["api"]);
}

#[tokio::test]
async fn bad_documents_are_refused_by_member_and_nearest_word() {
    let api = fixture().await;
    let with = |container: serde_json::Value| json!({"family": "web", "containerDefinitions": [container]});
    let (code, message) =
        api.refused("RegisterTaskDefinition", with(json!({"name": "web", "imge": "x", "memory": 64}))).await;
    assert_eq!(code, "ClientException");
    assert_eq!(message, "containerDefinitions[0].imge: unknown member `imge`; did you mean `image`?");
    let (code, message) = api
        .refused("RegisterTaskDefinition", with(json!({"name": "web", "image": "x", "memory": "64"})))
        .await;
    assert_eq!(code, "SerializationException");
    assert!(message.starts_with("containerDefinitions[0].memory: invalid type"), "{message}");
    let (code, message) = api.refused("RunTask", json!({"taskDefiniton": "web"})).await;
    assert_eq!(code, "ClientException");
    assert!(message.ends_with("did you mean `taskDefinition`?"), "{message}");
    let big = "x".repeat(70_000);
    let (code, message) = api
        .refused(
            "RegisterTaskDefinition",
            with(json!({"name": "web", "image": "x", "memory": 64, "command": [big]})),
        )
        .await;
    assert_eq!(code, "ClientException");
    assert!(message.contains("Max allowed length is '65536' bytes."), "{message}");
}
