//! What ECS does not have, under `/hythe/v1`.
//!
//! ```text
//!   GET    version                                       the release and the instance
//!   GET    logs?task=|service=&cluster=|group=&stream=&container=&follow=&since=&until=&tail=      lines
//!   GET    logs/groups                                   groups of the driver awslogs, and their streams
//!   GET    tasks/ID                                      the stored task, with timing and log files
//!   POST   tasks/ID/exec                                 a command in it; the connection becomes its own
//!   GET    events?follow=&cluster=&service=              lines
//!   GET    images        GET images/inspect?ref=         DELETE images?ref=&force=
//!   POST   images/pull   images/load   images/verify     lines
//!   POST   images/prune  images/save
//!   POST   services/plan                                 the input of UpdateService: what it would start and stop
//!   POST   services/rollback                             {cluster, service, revision}
//!   GET    explain?task=|service=&cluster=               constraints, with need and have
//!   GET    doctor
//! ```

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, ahead, events, input,
    live::{LoadRequest, PullRequest, SaveRequest},
    logs, reference,
    refused::{Kind, Refused},
    reply::{self, Reply},
};
use crate::{
    model::{exec::ExecRequest, ids::TaskId, reading, task::Task},
    store::Snapshot,
};

/// Where all of it begins.
pub(super) const PREFIX: &str = "/hythe/v1/";

/// The part of an address after `?`.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads `name=value&…`; a name that is not in `valid` is refused.
    pub(super) fn parse(text: &str, valid: &[&str]) -> Result<Self, Refused> {
        let pairs: BTreeMap<String, String> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let names: Vec<&String> = pairs.keys().collect();
        reference::words("query", &names, valid)?;
        Ok(Self(pairs))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn required(&self, name: &str) -> Result<String, Refused> {
        self.text(name).map(str::to_owned).ok_or_else(|| Refused::parameter(format!("{name} is missing.")))
    }

    pub(super) fn number<N: FromStr>(&self, name: &str) -> Result<Option<N>, Refused> {
        let bad = |text| Refused::parameter(format!("{name} is '{text}', and must be a number"));
        self.text(name).map(|text| text.parse().map_err(|_| bad(text))).transpose()
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Refused> {
        match self.0.get(name).map(String::as_str) {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(text) => Err(Refused::parameter(format!("{name} is '{text}', and must be true or false"))),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prune {
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verify {
    reference: Option<String>,
}

impl Api {
    /// Answers a call under the prefix: `path` is what follows it.
    pub(super) async fn beside(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        body: &str,
    ) -> Result<Reply, Refused> {
        if let Some(id) = path.strip_prefix("tasks/").filter(|_| method == Method::GET) {
            return stored_task(self, id).map(Reply::Whole);
        }
        if let Some(id) = path.strip_prefix("tasks/").and_then(|rest| rest.strip_suffix("/exec"))
            && method == Method::POST
        {
            return self.exec(id, self::body(body)?).await;
        }
        match (method.as_str(), path) {
            ("GET", "version") => Ok(Reply::Whole(version(self))),
            ("GET", "events") => {
                events::answer(self, &Query::parse(query, &["follow", "cluster", "service"])?)
            }
            ("GET", "logs") => Ok(reply::lines(self.live.logs(logs::query(self, query)?).await?)),
            ("GET", "logs/groups") => Ok(Reply::Whole(logs::groups(self))),
            ("GET", "explain") => {
                let query = Query::parse(query, &["task", "service", "cluster"])?;
                let (task, service) = (query.text("task"), query.text("service"));
                ahead::explain(self, query.text("cluster"), task, service).await.map(Reply::Whole)
            }
            ("POST", "services/plan") => ahead::plan(self, self::body(body)?).await.map(Reply::Whole),
            ("POST", "services/rollback") => {
                ahead::roll_back(self, self::body(body)?).await.map(Reply::Whole)
            }
            ("GET", "doctor") => whole(&self.live.doctor().await?),
            ("GET" | "DELETE" | "POST", path) if path == "images" || path.starts_with("images/") => {
                self.images(method, path, query, body).await
            }
            _ => Err(no_such(method, path)),
        }
    }

    async fn exec(&self, id: &str, request: ExecRequest) -> Result<Reply, Refused> {
        let task = find_task(&self.store.snapshot(), id)?.id.clone();
        if request.command.is_empty() {
            return Err(Refused::parameter("The command is missing."));
        }
        if let Some(bad) = request.environment.iter().find(|variable| !variable.contains('=')) {
            return Err(Refused::parameter(format!("The variable '{bad}' is not NAME=VALUE.")));
        }
        if request.working_directory.as_ref().is_some_and(|directory| !directory.starts_with('/')) {
            return Err(Refused::parameter("The working directory is not absolute."));
        }
        let words = request.command.iter().chain(&request.environment).chain(&request.working_directory);
        if words.chain(&request.user).any(|word| word.contains('\0')) {
            return Err(Refused::parameter("A word of the command holds a zero byte."));
        }
        Ok(Reply::Bytes(self.live.exec(task, request).await?))
    }

    async fn images(&self, method: &Method, path: &str, query: &str, body: &str) -> Result<Reply, Refused> {
        match (method.as_str(), path) {
            ("GET", "images") => Ok(Reply::Whole(json!({"images": self.live.images().await?}))),
            ("GET", "images/inspect") => {
                let reference = Query::parse(query, &["ref"])?.required("ref")?;
                Ok(Reply::Whole(self.live.inspect_image(reference).await?))
            }
            ("DELETE", "images") => {
                let query = Query::parse(query, &["ref", "force"])?;
                whole(&self.live.remove_image(query.required("ref")?, query.flag("force")?).await?)
            }
            ("POST", "images/pull") => {
                let request: PullRequest = self::body(body)?;
                Ok(reply::lines(self.live.pull_image(request).await?))
            }
            ("POST", "images/load") => {
                let request: LoadRequest = self::body(body)?;
                Ok(reply::lines(self.live.load_images(request).await?))
            }
            ("POST", "images/save") => {
                let request: SaveRequest = self::body(body)?;
                self.live.save_image(request).await?;
                Ok(Reply::Whole(json!({})))
            }
            ("POST", "images/prune") => {
                let Prune { all } = self::body(body)?;
                whole(&self.live.prune_images(all).await?)
            }
            ("POST", "images/verify") => {
                let Verify { reference } = self::body(body)?;
                Ok(reply::lines(self.live.verify_images(reference).await?))
            }
            _ => Err(no_such(method, path)),
        }
    }
}

fn no_such(method: &Method, path: &str) -> Refused {
    Refused::new(Kind::UnknownOperationException, format!("there is no {method} {PREFIX}{path}"))
}

fn whole(value: &impl serde::Serialize) -> Result<Reply, Refused> {
    let value = serde_json::to_value(value);
    value.map(Reply::Whole).map_err(|error| Refused::new(Kind::ServerException, error.to_string()))
}

/// Reads the body of a request; an empty one is an empty object.
fn body<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Refused> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let value = reading::parse(text)
        .map_err(|refusal| Refused::unreadable(&refusal, Kind::SerializationException))?;
    input(value)
}

fn version(api: &Api) -> Value {
    json!({
        "version": api.host.version,
        "region": api.owner.region,
        "account": api.owner.account,
        "revision": api.store.snapshot().revision(),
    })
}

/// The stored task whose id is `text`, or begins with it.
fn stored_task(api: &Api, text: &str) -> Result<Value, Refused> {
    let snapshot = api.store.snapshot();
    let task = find_task(&snapshot, text)?;
    let mut value = serde_json::to_value(&**task)
        .map_err(|error| Refused::new(Kind::ServerException, error.to_string()))?;
    value["logPaths"] = logs::paths(api, &snapshot, task);
    Ok(value)
}

pub(super) fn find_task<'a>(snapshot: &'a Snapshot, text: &str) -> Result<&'a Arc<Task>, Refused> {
    if let Some(task) = TaskId::parse(text).ok().and_then(|id| snapshot.task(&id)) {
        return Ok(task);
    }
    let mut like = snapshot.tasks().filter(|task| task.id.as_str().starts_with(text));
    match (like.next(), like.next()) {
        (Some(task), None) if !text.is_empty() => Ok(task),
        (Some(_), Some(_)) => Err(Refused::parameter(format!("'{text}' begins the ids of several tasks"))),
        (Some(_) | None, Some(_) | None) => {
            Err(Refused::new(Kind::ResourceNotFoundException, "The referenced task was not found"))
        }
    }
}
