//! DescribeContainerInstances, ListContainerInstances: this host, once in each cluster.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Api, input,
    page::Page,
    reference,
    refused::{Kind, Refused},
    wire,
};
use crate::model::ids::InstanceId;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeContainerInstances {
    cluster: Option<String>,
    container_instances: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

pub(super) fn describe(api: &Api, value: Value) -> Answer {
    let DescribeContainerInstances { cluster, container_instances, include } = input(value)?;
    reference::words("include", &include, &["TAGS", "CONTAINER_INSTANCE_HEALTH"])?;
    if !(1..=100).contains(&container_instances.len()) {
        return Err(Refused::parameter("Container instances cannot be empty, nor more than 100."));
    }
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, cluster.as_deref())?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in &container_instances {
        let id = reference::instance_id(&api.owner, &cluster.name, text)?;
        if id == cluster.instance {
            found.push(wire::container_instance::document(cluster, &snapshot, api));
        } else {
            failures.push(wire::failure(api.owner.container_instance(&cluster.name, &id), "MISSING"));
        }
    }
    Ok(json!({"containerInstances": found, "failures": failures}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListContainerInstances {
    cluster: Option<String>,
    filter: Option<String>,
    status: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn list(api: &Api, value: Value) -> Answer {
    let input: ListContainerInstances = input(value)?;
    let words = ["ACTIVE", "DRAINING", "REGISTERING", "DEREGISTERING", "REGISTRATION_FAILED", "INACTIVE"];
    let status = input.status.as_deref().unwrap_or("ACTIVE");
    reference::words("status", &[status], &words)?;
    if input.filter.is_some() {
        let message = "Filters of container instances are not supported by this release of hythe.";
        return Err(Refused::new(Kind::UnsupportedFeatureException, message));
    }
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, input.cluster.as_deref())?;
    let arn = api.owner.container_instance(&cluster.name, &cluster.instance);
    let all = (status == "ACTIVE").then(|| (cluster.instance.clone(), Value::from(arn)));
    let page = Page { max_results: input.max_results, next_token: input.next_token };
    let parse = |text: &str| InstanceId::parse(text).ok();
    Ok(page.of(all.into_iter(), 100, parse, |id, seen| id > seen)?.under("containerInstanceArns"))
}
