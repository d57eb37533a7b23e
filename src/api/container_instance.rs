//! DescribeContainerInstances, ListContainerInstances, UpdateContainerInstancesState: this host, once in each cluster.
//!
//! A DRAINING instance takes no new task. What ends the tasks of services on it is decided elsewhere.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Api, input, page::Page, reference, refused::Refused, wire};
use crate::model::{
    cluster::{Cluster, InstanceStatus},
    ids::InstanceId,
    placement::{ConstraintKind, PlacementConstraint},
};

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
    let with_tags = include.iter().any(|word| word == "TAGS");
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, cluster.as_deref())?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in &container_instances {
        let id = reference::instance_id(&api.owner, &cluster.name, text)?;
        if id == cluster.instance {
            found.push(wire::container_instance::document(cluster, &snapshot, api, with_tags));
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
    reference::words("status", input.status.as_slice(), &words)?;
    let filter = input.filter.filter(|text| !text.is_empty());
    let filter =
        filter.map(|text| PlacementConstraint { kind: ConstraintKind::MemberOf, expression: Some(text) });
    if let Some(Err(why)) = filter.as_ref().map(PlacementConstraint::read) {
        return Err(Refused::parameter(format!("filter: {why}")));
    }
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, input.cluster.as_deref())?;
    let arn = api.owner.container_instance(&cluster.name, &cluster.instance);
    let status = wire::container_instance::status(cluster.instance_status);
    let is_wanted = input.status.as_deref().is_none_or(|wanted| wanted == status)
        && snapshot.unmet(&filter, cluster, &api.host.capacity.traits, "").is_none();
    let all = is_wanted.then(|| (cluster.instance.clone(), Value::from(arn)));
    let page = Page { max_results: input.max_results, next_token: input.next_token };
    let parse = |text: &str| InstanceId::parse(text).ok();
    Ok(page.of(all.into_iter(), 100, parse, |id, seen| id > seen)?.under("containerInstanceArns"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateContainerInstancesState {
    cluster: Option<String>,
    container_instances: Vec<String>,
    status: String,
}

pub(super) async fn update_state(api: &Api, value: Value) -> Answer {
    let UpdateContainerInstancesState { cluster, container_instances, status } = input(value)?;
    reference::words("status", &[&status], &["ACTIVE", "DRAINING"])?;
    if !(1..=10).contains(&container_instances.len()) {
        return Err(Refused::parameter("Container instances cannot be empty, nor more than 10."));
    }
    let status = if status == "DRAINING" { InstanceStatus::Draining } else { InstanceStatus::Active };
    let owner = api.owner.clone();
    let (name, failures) = api
        .store
        .write(move |draft| {
            let mut cluster = Cluster::clone(reference::cluster(draft, &owner, cluster.as_deref())?);
            let (name, mut is_meant, mut failures) = (cluster.name.clone(), false, Vec::new());
            for text in &container_instances {
                let id = reference::instance_id(&owner, &name, text)?;
                if id == cluster.instance {
                    is_meant = true;
                } else {
                    failures.push(wire::failure(owner.container_instance(&name, &id), "MISSING"));
                }
            }
            if is_meant && cluster.instance_status != status {
                cluster.instance_status = status;
                cluster.instance_changes += 1;
                draft.put_cluster(cluster);
            }
            Ok::<_, Refused>((is_meant.then_some(name), failures))
        })
        .await?;
    let snapshot = api.store.snapshot();
    let cluster = name.and_then(|name| snapshot.cluster(&name));
    let changed = cluster.map(|cluster| wire::container_instance::document(cluster, &snapshot, api, true));
    Ok(json!({"containerInstances": changed.into_iter().collect::<Vec<_>>(), "failures": failures}))
}
