//! Tags: their rules, and the three operations on them.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Api, input,
    reference::{self, Definition},
    refused::{Kind, Refused},
    wire,
};
use crate::{
    model::{
        cluster::Cluster,
        ids::{ClusterName, InstanceId, TaskDefinitionId, TaskId},
        task::Tag,
    },
    store::{Draft, ServiceKey, Snapshot},
};

/// Most tags on one thing.
const MOST: usize = 50;

/// Refuses tags that no thing may have.
pub(super) fn check(tags: &[Tag]) -> Result<(), Refused> {
    if tags.len() > MOST {
        let message = format!("Too many tags. A resource may have 50, and these are {}.", tags.len());
        return Err(Refused::parameter(message));
    }
    let mut keys = BTreeSet::new();
    for Tag { key, value } in tags {
        let sizes = [("tags.key", key, 1..=128), ("tags.value", value, 0..=256)];
        for (member, text, sizes) in sizes {
            if !sizes.contains(&text.chars().count()) {
                let message =
                    "A tag is too long or empty: a key has 1 to 128 characters, a value at most 256.";
                return Err(Refused::parameter(message).about(member, text));
            }
            let fits =
                |letter: char| letter.is_alphanumeric() || letter == ' ' || "+-=._:/@".contains(letter);
            if !text.chars().all(fits) {
                let message = "A tag has a character that tags cannot have: letters, digits, spaces and \
                               + - = . _ : / @ are possible.";
                return Err(Refused::parameter(message).about(member, text));
            }
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Refused::parameter(format!("Tag '{key}' begins with aws:, which is reserved.")));
        }
        if !keys.insert(key) {
            return Err(Refused::parameter(format!("Tag key '{key}' is given more than once.")));
        }
    }
    Ok(())
}

/// `mine` with `more`, which win.
pub(super) fn merge(mine: &mut Vec<Tag>, more: Vec<Tag>) {
    for tag in more {
        match mine.iter_mut().find(|known| known.key == tag.key) {
            Some(known) => known.value = tag.value,
            None => mine.push(tag),
        }
    }
}

/// A thing that has tags.
#[derive(Clone, Debug)]
enum Tagged {
    Cluster(ClusterName),
    Instance(ClusterName, InstanceId),
    Service(ServiceKey),
    Task(TaskId),
    TaskDefinition(TaskDefinitionId),
}

impl Tagged {
    fn parse(api: &Api, arn: &str) -> Result<Self, Refused> {
        Self::read(api, arn).map_err(|refused| refused.about("resourceArn", arn))
    }

    fn read(api: &Api, arn: &str) -> Result<Self, Refused> {
        let invalid = || Refused::parameter("This is not the ARN of a resource that has tags.");
        let resource =
            arn.strip_prefix("arn:").and_then(|rest| rest.splitn(5, ':').nth(4)).ok_or_else(invalid)?;
        let (kind, rest) = resource.split_once('/').ok_or_else(invalid)?;
        let owner = &api.owner;
        let of_cluster = || {
            let (cluster, _) = rest
                .split_once('/')
                .ok_or_else(|| Refused::parameter("Long arn format must be used for tagging operations"))?;
            Ok::<_, Refused>(ClusterName::parse(cluster)?)
        };
        match kind {
            "cluster" => Ok(Self::Cluster(reference::cluster_name(owner, Some(arn))?)),
            "container-instance" => {
                let cluster = of_cluster()?;
                let id = reference::instance_id(owner, &cluster, arn)?;
                Ok(Self::Instance(cluster, id))
            }
            "service" => Ok(Self::Service(reference::service_key(owner, &of_cluster()?, arn)?)),
            "task" => Ok(Self::Task(reference::task_id(owner, &of_cluster()?, arn)?)),
            "task-definition" => match Definition::parse(owner, arn)? {
                Definition::Revision(id) => Ok(Self::TaskDefinition(id)),
                Definition::Latest(_) => Err(Refused::client("Revision is missing.")),
            },
            _ => Err(invalid()),
        }
    }

    fn tags(&self, snapshot: &Snapshot) -> Option<Vec<Tag>> {
        match self {
            Self::Cluster(name) => snapshot.cluster(name).map(|cluster| cluster.tags.clone()),
            Self::Instance(name, id) => {
                let cluster = snapshot.cluster(name).filter(|cluster| cluster.instance == *id);
                cluster.map(|cluster| cluster.instance_tags.clone())
            }
            Self::Service(key) => snapshot.service(key).map(|service| service.tags.clone()),
            Self::Task(id) => snapshot.task(id).map(|task| task.tags.clone()),
            Self::TaskDefinition(id) => {
                snapshot.task_definition(id).map(|definition| definition.tags.clone())
            }
        }
    }

    /// Replaces the tags of a thing that is there.
    fn set(&self, draft: &mut Draft, tags: Vec<Tag>) {
        match self {
            Self::Cluster(name) => {
                if let Some(cluster) = draft.cluster(name).map(|cluster| (**cluster).clone()) {
                    draft.put_cluster(Cluster { tags, ..cluster });
                }
            }
            Self::Instance(name, _) => {
                if let Some(cluster) = draft.cluster(name).map(|cluster| (**cluster).clone()) {
                    draft.put_cluster(Cluster { instance_tags: tags, ..cluster });
                }
            }
            Self::Service(key) => {
                draft.update_service(key, |service| service.tags = tags);
            }
            Self::Task(id) => {
                draft.update_task(id, |task| task.tags = tags);
            }
            Self::TaskDefinition(id) => {
                if let Some(definition) = draft.task_definition(id).map(|definition| (**definition).clone()) {
                    draft.put_task_definition(crate::model::task_definition::TaskDefinition {
                        tags,
                        ..definition
                    });
                }
            }
        }
    }
}

fn not_found() -> Refused {
    Refused::new(Kind::ResourceNotFoundException, "The specified resource wasn't found.")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TagResource {
    resource_arn: String,
    tags: Vec<Tag>,
}

pub(super) async fn tag_resource(api: &Api, value: Value) -> Answer {
    let TagResource { resource_arn, tags } = input(value)?;
    check(&tags)?;
    change(api, &resource_arn, move |mine| merge(mine, tags)).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UntagResource {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(super) async fn untag_resource(api: &Api, value: Value) -> Answer {
    let UntagResource { resource_arn, tag_keys } = input(value)?;
    change(api, &resource_arn, move |mine| mine.retain(|tag| !tag_keys.contains(&tag.key))).await
}

async fn change(api: &Api, arn: &str, change: impl FnOnce(&mut Vec<Tag>) + Send + 'static) -> Answer {
    let (tagged, owner) = (Tagged::parse(api, arn)?, api.owner.clone());
    api.store
        .write(move |draft| {
            if let Tagged::Cluster(name) = &tagged {
                reference::cluster(draft, &owner, Some(name.as_str()))?;
            }
            let mut tags = tagged.tags(draft).ok_or_else(not_found)?;
            change(&mut tags);
            if tags.len() > MOST {
                let message = "Too many tags. A resource may have 50.";
                return Err(Refused::new(Kind::LimitExceededException, message));
            }
            tagged.set(draft, tags);
            Ok(())
        })
        .await?;
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListTagsForResource {
    resource_arn: String,
}

pub(super) fn list_tags_for_resource(api: &Api, value: Value) -> Answer {
    let ListTagsForResource { resource_arn } = input(value)?;
    let tagged = Tagged::parse(api, &resource_arn)?;
    let tags = tagged.tags(&api.store.snapshot()).ok_or_else(|| match tagged {
        Tagged::Cluster(_) => Refused::new(Kind::ClusterNotFoundException, "Cluster not found."),
        Tagged::Instance(..) | Tagged::Service(_) | Tagged::Task(_) | Tagged::TaskDefinition(_) => {
            Refused::parameter("The specified resource wasn't found.")
        }
    })?;
    Ok(json!({"tags": wire::tags(&tags)}))
}
