//! Clusters, the container instance that this host is in each of them, and tags.

use serde_json::json;

use super::{fixture, id};

#[tokio::test]
async fn a_cluster_is_created_described_listed_and_deleted() {
    let api = fixture().await;
    let input = json!({"clusterName": "edge", "tags": [{"key": "a", "value": "b"}], "settings": [{"name": "containerInsights", "value": "disabled"}]});
    let created = api.ok("CreateCluster", input.clone()).await;
    assert_eq!(created["cluster"]["clusterArn"], "arn:aws:ecs:us-east-1:000000000000:cluster/edge");
    assert_eq!(created["cluster"]["tags"][0]["key"], "a");
    assert_eq!(api.ok("CreateCluster", input).await, created, "creating again gives the same");

    let described = api.ok("DescribeClusters", json!({"clusters": ["edge", "nowhere"]})).await;
    assert_eq!(described["clusters"][0]["tags"], json!([]), "tags come when they are asked for");
    assert_eq!(described["clusters"][0]["runningTasksCount"], 0);
    assert_eq!(described["failures"][0]["reason"], "MISSING");
    let include = json!({"clusters": ["edge"], "include": ["TAGS", "STATISTICS", "SETTINGS"]});
    let described = api.ok("DescribeClusters", include).await;
    assert_eq!(described["clusters"][0]["tags"][0]["value"], "b");
    assert_eq!(
        described["clusters"][0]["statistics"][0],
        json!({"name": "runningEC2TasksCount", "value": "0"})
    );

    let arn = created["cluster"]["clusterArn"].clone();
    let deleted = api.ok("DeleteCluster", json!({"cluster": arn})).await;
    assert_eq!(deleted["cluster"]["status"], "INACTIVE");
    let listed = api.ok("ListClusters", json!({})).await;
    assert_eq!(listed["clusterArns"].as_array().unwrap().len(), 1);
    assert_eq!(id(&listed["clusterArns"][0]), "default");
    let (code, message) = api.refused("ListTasks", json!({"cluster": "edge"})).await;
    assert_eq!(code, "InvalidParameterException");
    assert!(message.starts_with("The specified cluster is inactive."), "{message}");
    assert_eq!(api.ok("CreateCluster", json!({"clusterName": "edge"})).await["cluster"]["status"], "ACTIVE");
}

#[tokio::test]
async fn a_cluster_with_work_is_not_deleted() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    api.ok("RunTask", json!({"taskDefinition": "web"})).await;
    let (code, _) = api.refused("DeleteCluster", json!({"cluster": "default"})).await;
    assert_eq!(code, "ClusterContainsTasksException");
    api.ok("CreateService", json!({"serviceName": "site", "taskDefinition": "web", "desiredCount": 1})).await;
    let (code, _) = api.refused("DeleteCluster", json!({"cluster": "default"})).await;
    assert_eq!(code, "ClusterContainsServicesException");
}

#[tokio::test]
async fn clusters_that_are_not_there_have_their_own_error() {
    let api = fixture().await;
    let (code, message) = api.refused("ListTasks", json!({"cluster": "nowhere"})).await;
    assert_eq!((code.as_str(), message.as_str()), ("ClusterNotFoundException", "Cluster not found."));
    let service = "arn:aws:ecs:us-east-1:000000000000:service/a/b";
    let (code, message) = api.refused("ListTasks", json!({"cluster": service})).await;
    assert_eq!(code, "InvalidParameterException");
    assert_eq!(message, format!("Unsupported resource type: service (cluster: '{service}')"));
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let api = fixture().await;
    for name in ["a", "b", "c", "d"] {
        api.ok("CreateCluster", json!({"clusterName": name})).await;
    }
    let (mut names, mut token) = (Vec::new(), json!(null));
    loop {
        let page = api.ok("ListClusters", json!({"maxResults": 2, "nextToken": token})).await;
        names.extend(page["clusterArns"].as_array().unwrap().iter().map(|arn| id(arn).to_owned()));
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "default"]);
    assert_eq!(api.refused("ListClusters", json!({"maxResults": 101})).await.0, "InvalidParameterException");
    assert_eq!(api.refused("ListClusters", json!({"nextToken": "x"})).await.0, "InvalidParameterException");
}

#[tokio::test]
async fn this_host_is_the_container_instance_of_each_cluster() {
    let api = fixture().await;
    api.register("web", json!({})).await;
    api.ok("RunTask", json!({"taskDefinition": "web", "count": 2})).await;
    let listed = api.ok("ListContainerInstances", json!({})).await;
    let arn = listed["containerInstanceArns"][0].clone();
    let described =
        api.ok("DescribeContainerInstances", json!({"containerInstances": [arn, "0".repeat(32)]})).await;
    let instance = &described["containerInstances"][0];
    assert_eq!(instance["pendingTasksCount"], 2);
    assert_eq!(instance["registeredResources"][0]["integerValue"], 2048);
    assert_eq!(instance["remainingResources"][0]["integerValue"], 1848);
    assert_eq!(instance["remainingResources"][1]["integerValue"], 872);
    assert_eq!(described["failures"][0]["reason"], "MISSING");
}

#[tokio::test]
async fn tags_are_merged_listed_and_taken_off() {
    let api = fixture().await;
    let definition = api.register("web", json!({"tags": [{"key": "a", "value": "1"}]})).await;
    let arn = definition["taskDefinitionArn"].clone();
    api.ok("TagResource", json!({"resourceArn": arn, "tags": [{"key": "a", "value": "2"}, {"key": "b"}]}))
        .await;
    let listed = api.ok("ListTagsForResource", json!({"resourceArn": arn})).await;
    assert_eq!(listed["tags"], json!([{"key": "a", "value": "2"}, {"key": "b", "value": ""}]));
    api.ok("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a"]})).await;
    let listed = api.ok("ListTagsForResource", json!({"resourceArn": arn})).await;
    assert_eq!(listed["tags"], json!([{"key": "b", "value": ""}]));
    for (tags, word) in [
        (json!([{"key": "aws:x", "value": ""}]), "reserved"),
        (json!([{"key": "", "value": ""}]), "too long"),
        (json!([{"key": "a!", "value": ""}]), "character"),
        (json!([{"key": "a"}, {"key": "a"}]), "more than once"),
    ] {
        let (code, message) = api.refused("TagResource", json!({"resourceArn": arn, "tags": tags})).await;
        assert_eq!(code, "InvalidParameterException");
        assert!(message.contains(word), "{message}");
    }
    let unknown = "arn:aws:ecs:us-east-1:000000000000:service/default/nobody";
    let (code, _) = api.refused("TagResource", json!({"resourceArn": unknown, "tags": []})).await;
    assert_eq!(code, "ResourceNotFoundException");
}
