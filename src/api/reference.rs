//! What a request's texts lead to: names, ids and ARNs, in any form that ECS takes.

use std::sync::Arc;

use super::{
    refused::{Kind, Refused},
    wire,
};
use crate::{
    model::{
        arn::Owner,
        cluster::{Cluster, ClusterStatus},
        ids::{ClusterName, Family, InstanceId, ServiceName, TaskDefinitionId, TaskId},
        task_definition::{TaskDefinition, TaskDefinitionStatus},
    },
    store::{ServiceKey, Snapshot},
};

/// The cluster that an absent `cluster` means.
const DEFAULT_CLUSTER: &str = "default";

pub(super) fn cluster_name(owner: &Owner, text: Option<&str>) -> Result<ClusterName, Refused> {
    let text = text.unwrap_or(DEFAULT_CLUSTER);
    let rest = owner.rest("cluster", text).map_err(|bad| Refused::from(bad).about("cluster", text))?;
    Ok(ClusterName::parse(rest)?)
}

/// The cluster that is meant, which is there and takes work.
pub(super) fn cluster<'a>(
    snapshot: &'a Snapshot,
    owner: &Owner,
    text: Option<&str>,
) -> Result<&'a Arc<Cluster>, Refused> {
    let name = cluster_name(owner, text)?;
    let not_found = || Refused::new(Kind::ClusterNotFoundException, "Cluster not found.");
    let cluster = snapshot.cluster(&name).ok_or_else(not_found)?;
    match cluster.status {
        ClusterStatus::Active => Ok(cluster),
        ClusterStatus::Inactive => Err(Refused::parameter(
            "The specified cluster is inactive. Specify an active cluster and try again.",
        )),
    }
}

/// The part of a name or an ARN of `kind` after its cluster, which is `cluster` where it is named.
fn in_cluster<'a>(
    owner: &Owner,
    kind: &str,
    text: &'a str,
    cluster: &ClusterName,
) -> Result<&'a str, Refused> {
    let rest = owner.rest(kind, text)?;
    match rest.split_once('/') {
        None => Ok(rest),
        Some((named, id)) if named == cluster.as_str() => Ok(id),
        Some((named, _)) => {
            let message =
                format!("Invalid identifier: Identifier is for cluster {named}. Your cluster is {cluster}");
            Err(Refused::parameter(message))
        }
    }
}

pub(super) fn service_key(owner: &Owner, cluster: &ClusterName, text: &str) -> Result<ServiceKey, Refused> {
    let name =
        in_cluster(owner, "service", text, cluster).map_err(|refused| refused.about("service", text))?;
    Ok((cluster.clone(), ServiceName::parse(name)?))
}

pub(super) fn task_id(owner: &Owner, cluster: &ClusterName, text: &str) -> Result<TaskId, Refused> {
    let id = in_cluster(owner, "task", text, cluster)
        .and_then(|id| TaskId::parse(id).map_err(|_| Refused::parameter("Task Identifier is invalid")));
    id.map_err(|refused| refused.about("task", text))
}

pub(super) fn instance_id(owner: &Owner, cluster: &ClusterName, text: &str) -> Result<InstanceId, Refused> {
    let id = in_cluster(owner, "container-instance", text, cluster).and_then(|id| {
        InstanceId::parse(id).map_err(|_| Refused::parameter("Container instance Identifier is invalid"))
    });
    id.map_err(|refused| refused.about("containerInstance", text))
}

/// What a task definition is called: a revision, or a family and so its latest ACTIVE revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Definition {
    Revision(TaskDefinitionId),
    Latest(Family),
}

impl Definition {
    pub(super) fn parse(owner: &Owner, text: &str) -> Result<Self, Refused> {
        let about = |bad| Refused::from(bad).about("taskDefinition", text);
        let rest = owner.rest("task-definition", text).map_err(about)?;
        if rest.is_empty() {
            return Err(Refused::parameter("Task Definition can not be blank."));
        }
        match rest.rsplit_once(':') {
            None => Ok(Self::Latest(Family::parse(rest)?)),
            Some((family, number)) => {
                let invalid = || Refused::parameter(format!("Invalid revision number. Number: {number}"));
                let revision = number.parse().ok().filter(|&revision| revision > 0).ok_or_else(invalid)?;
                Ok(Self::Revision(TaskDefinitionId { family: Family::parse(family)?, revision }))
            }
        }
    }

    /// The revision that is meant, whatever its status.
    pub(super) fn find<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a Arc<TaskDefinition>> {
        match self {
            Self::Revision(id) => snapshot.task_definition(id),
            Self::Latest(family) => snapshot.latest_active(family),
        }
    }

    /// The revision that is meant, usable for something new.
    pub(super) fn usable<'a>(&self, snapshot: &'a Snapshot) -> Result<&'a Arc<TaskDefinition>, Refused> {
        let definition = self.find(snapshot).ok_or_else(|| Refused::client("TaskDefinition not found."))?;
        match definition.status {
            TaskDefinitionStatus::Active => Ok(definition),
            TaskDefinitionStatus::Inactive | TaskDefinitionStatus::DeleteInProgress => {
                Err(Refused::client("TaskDefinition is inactive"))
            }
        }
    }
}

/// Refuses a launch type that the definition is not made for.
pub(super) fn launch_type(definition: &TaskDefinition, launch_type: Option<&str>) -> Result<(), Refused> {
    let fits = |word: &str| match word {
        "FARGATE" | "EXTERNAL" => wire::task_definition::compatibilities(definition).contains(&word),
        _ => true,
    };
    match launch_type {
        Some(word) if !fits(word) => {
            Err(Refused::parameter(format!("Task definition does not support launch_type {word}.")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether `include` asks for tags; words that mean nothing are refused.
pub(super) fn include_tags(include: &[String]) -> Result<bool, Refused> {
    words("include", include, &["TAGS"])?;
    Ok(include.iter().any(|word| word == "TAGS"))
}

/// Refuses words that are not in `valid`, with the nearest that is.
pub(super) fn words<W: AsRef<str>>(member: &str, words: &[W], valid: &[&str]) -> Result<(), Refused> {
    for word in words {
        let word = word.as_ref();
        if !valid.contains(&word) {
            let nearest = crate::model::reading::nearest_word(word, valid.iter().copied());
            let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
            let valid = valid.join(", ");
            return Err(Refused::parameter(format!("{member}: `{word}` is not one of {valid}{hint}")));
        }
    }
    Ok(())
}
