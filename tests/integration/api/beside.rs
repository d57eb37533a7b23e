//! What the API offers beside the calls of ECS: logs, images, stored tasks, changes and the version.
//!
//! These are plain paths of our own. Answers that go on for as long as somebody listens are lines of JSON.

use hyper::Method;
use serde_json::{Value, json};

use super::{fixture, id, refusal};

#[tokio::test]
async fn logs_come_line_by_line_and_a_late_refusal_is_the_last_line() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let ran = api.ok("RunTask", json!({"taskDefinition": "web"})).await;
    let path = format!("/hythe/v1/logs?task={}&tail=2&follow=true", id(&ran["tasks"][0]["taskArn"]));
    let mut lines = api.client.lines(Method::GET, &path, None).await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap()["line"], "line 0");
    assert_eq!(lines.next().await.unwrap().unwrap()["line"], "line 1");
    assert_eq!(refusal(lines.next().await), ("ServerException".into(), "the log is gone".into()));
    for (query, code) in [
        ("", "InvalidParameterException"),
        ("task=x", "InvalidParameterException"),
        ("task=00000000000000000000000000000000", "ResourceNotFoundException"),
        ("service=nobody", "ResourceNotFoundException"),
        ("tsk=x", "InvalidParameterException"),
        ("service=a&tail=x", "InvalidParameterException"),
    ] {
        let answer = api.client.get(&format!("/hythe/v1/logs?{query}")).await;
        assert!([code, "ResourceNotFoundException"].contains(&refusal(answer).0.as_str()), "{query}");
    }
}

#[tokio::test]
async fn a_pull_tells_its_progress_and_other_image_calls_answer_whole() {
    let api = fixture().await;
    let body = Some(json!({"reference": "busybox"}));
    let mut lines = api.client.lines(Method::POST, "/hythe/v1/images/pull", body).await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap()["event"], "layer");
    assert_eq!(lines.next().await.unwrap().unwrap()["name"], "busybox");
    assert_eq!(lines.next().await.unwrap(), None);
    assert_eq!(api.client.get("/hythe/v1/images").await.unwrap(), json!({"images": []}));
    let missing = refusal(api.client.get("/hythe/v1/images/inspect?ref=a%2Fb").await);
    assert_eq!(missing, ("ResourceNotFoundException".into(), "no image a/b".into()));
    let path = "/hythe/v1/images?ref=busybox";
    assert_eq!(refusal(api.client.send(Method::DELETE, path, None).await).0, "ResourceInUseException");
    let removed = api.client.send(Method::DELETE, &format!("{path}&force=true"), None).await.unwrap();
    assert_eq!(removed["names"], json!(["busybox"]));
    let pruned = api.client.send(Method::POST, "/hythe/v1/images/prune", Some(json!({"all": true}))).await;
    assert_eq!(pruned.unwrap()["freed"], 1);
    let misspelt = api.client.send(Method::POST, "/hythe/v1/images/prune", Some(json!({"al": true}))).await;
    assert_eq!(refusal(misspelt).0, "ClientException");
    assert_eq!(api.client.get("/hythe/v1/doctor").await.unwrap()["version"], "0");
    assert_eq!(refusal(api.client.get("/hythe/v1/nothing").await).0, "UnknownOperationException");
}

#[tokio::test]
async fn the_stored_task_is_found_by_the_beginning_of_its_id() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let ran = api.ok("RunTask", json!({"taskDefinition": "web", "count": 2})).await;
    let whole = id(&ran["tasks"][1]["taskArn"]);
    let stored = api.client.get(&format!("/hythe/v1/tasks/{}", &whole[..8])).await.unwrap();
    assert_eq!(stored["id"], whole);
    assert_eq!(stored["logPaths"], json!([format!("/logs/{whole}/web.log")]));
    assert_eq!(stored["timing"], json!([]));
    assert_eq!(refusal(api.client.get("/hythe/v1/tasks/").await).0, "InvalidParameterException");
    assert_eq!(refusal(api.client.get("/hythe/v1/tasks/zz").await).0, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_follower_hears_of_every_change_after_it_came() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    let mut lines = api.client.lines(Method::GET, "/hythe/v1/events?follow=true", None).await.unwrap();
    let ran = api.ok("RunTask", json!({"taskDefinition": "web"})).await;
    let line = lines.next().await.unwrap().unwrap();
    assert_eq!(line["kind"], "task");
    assert_eq!(line["task"], id(&ran["tasks"][0]["taskArn"]));
    api.ok("CreateService", json!({"serviceName": "site", "taskDefinition": "web", "desiredCount": 1})).await;
    let line = lines.next().await.unwrap().unwrap();
    assert_eq!((&line["kind"], &line["service"]), (&json!("service"), &json!("site")));
    let past = api.client.send(Method::GET, "/hythe/v1/events", None).await.unwrap();
    assert_eq!(past, json!({}), "no service has done anything yet");
}

#[tokio::test]
async fn the_version_tells_whose_names_are_spoken_in() {
    let api = fixture().await;
    let version: Value = api.client.get("/hythe/v1/version").await.unwrap();
    assert_eq!((&version["region"], &version["account"]), (&json!("us-east-1"), &json!("000000000000")));
}
