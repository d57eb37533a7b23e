//! `/hythe/v1/logs` and `/hythe/v1/logs/groups`: what of the output is wanted, and which groups and streams there are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Api,
    beside::Query,
    live::{LogQuery, LogSource},
    reference,
    refused::{Kind, Refused},
};
use crate::{
    model::{
        ids::{ContainerName, ServiceName, TaskId},
        task::Task,
        time::Timestamp,
    },
    store::Snapshot,
};

/// Reads what is wanted.
pub(super) fn query(api: &Api, text: &str) -> Result<LogQuery, Refused> {
    let words =
        ["task", "service", "cluster", "group", "stream", "container", "follow", "since", "until", "tail"];
    let query = Query::parse(text, &words)?;
    let source = source(api, &query)?;
    let snapshot = api.store.snapshot();
    let is_known = match &source {
        LogSource::Task(id) => snapshot.task(id).is_some(),
        LogSource::Service(cluster, name) => snapshot.service(&(cluster.clone(), name.clone())).is_some(),
        // Whoever reads it finds out.
        LogSource::Group(..) => true,
    };
    if !is_known {
        let message = "The referenced task or service was not found";
        return Err(Refused::new(Kind::ResourceNotFoundException, message));
    }
    Ok(LogQuery {
        source,
        container: query.text("container").map(ContainerName::parse).transpose()?,
        follow: query.flag("follow")?,
        since: query.number("since")?.map(Timestamp),
        until: query.number("until")?.map(Timestamp),
        tail: query.number("tail")?,
    })
}

fn source(api: &Api, query: &Query) -> Result<LogSource, Refused> {
    match (query.text("task"), query.text("service"), query.text("group")) {
        (Some(task), None, None) => {
            let rest = api.owner.rest("task", task)?;
            let id = rest.rsplit('/').next().unwrap_or(rest);
            let id = TaskId::parse(id).map_err(|_| Refused::parameter("Task Identifier is invalid"))?;
            Ok(LogSource::Task(id))
        }
        (None, Some(service), None) => {
            let cluster = reference::cluster_name(&api.owner, query.text("cluster"))?;
            let (cluster, name) = reference::service_key(&api.owner, &cluster, service)?;
            Ok(LogSource::Service(cluster, ServiceName::parse(name.as_str())?))
        }
        (None, None, Some(group)) => {
            Ok(LogSource::Group(group.to_owned(), query.text("stream").map(str::to_owned)))
        }
        _ => Err(Refused::parameter("Name one of a task, a service and a group.")),
    }
}

/// The groups, by name, each with its streams, the newest last.
pub(super) fn groups(api: &Api) -> Value {
    let snapshot = api.store.snapshot();
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for stream in snapshot.log_streams() {
        let line = json!({
            "name": stream.name.stream, "task": stream.task.id, "container": stream.container,
            "lastStatus": stream.task.known_status, "createdAt": stream.task.created_at.as_epoch_seconds(),
        });
        groups.entry(stream.name.group).or_default().push(line);
    }
    let groups: Vec<Value> =
        groups.into_iter().map(|(name, streams)| json!({ "name": name, "streams": streams })).collect();
    json!({ "groups": groups })
}

/// The files that hold the output of a task's containers; none for those whose driver takes it away.
pub(super) fn paths(api: &Api, snapshot: &Snapshot, task: &Task) -> Value {
    let directory = api.host.logs.join(task.id.as_str());
    let kept = snapshot.logs_of(task).filter(|(_, log)| log.is_none_or(|log| log.taken_by().is_none()));
    kept.map(|(name, _)| directory.join(format!("{name}.log")).display().to_string()).collect()
}
