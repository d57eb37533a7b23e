//! `GET /hythe/v1/events`: what services did so far and, when followed, every change from now on.
//!
//! A line is about one thing: a service's event, or the state that a task, a service, a cluster or a task
//! definition is in now. A follower that reads slowly gets fewer lines about a task, never an old one after a new.

use std::{collections::VecDeque, sync::Arc};

use futures_util::stream;
use serde_json::{Value, json};

use super::{
    Api,
    beside::Query,
    reference,
    refused::Refused,
    reply::{self, Reply},
    wire,
};
use crate::{
    model::{
        ids::{ClusterName, ServiceName},
        service::{Service, ServiceEvent},
    },
    store::{Changes, ServiceKey, Snapshot, Store, Watch},
};

/// Which lines are wanted.
#[derive(Clone, Debug)]
struct Filter {
    cluster: Option<ClusterName>,
    service: Option<ServiceName>,
}

impl Filter {
    fn takes(&self, cluster: &ClusterName, service: Option<&ServiceName>) -> bool {
        self.cluster.as_ref().is_none_or(|wanted| wanted == cluster)
            && self.service.as_ref().is_none_or(|wanted| Some(wanted) == service)
    }
}

pub(super) fn answer(api: &Api, query: &Query) -> Result<Reply, Refused> {
    let cluster = query.text("cluster").map(|text| reference::cluster_name(&api.owner, Some(text)));
    let filter = Filter {
        cluster: cluster.transpose()?,
        service: query.text("service").map(ServiceName::parse).transpose()?,
    };
    // The watch comes first, so that nothing falls between the past and what is followed.
    let watch = api.store.watch();
    let snapshot = api.store.snapshot();
    let past = past(&snapshot, &filter);
    if !query.flag("follow")? {
        return Ok(reply::values_of(stream::iter(past)));
    }
    let follower = Follower { store: api.store.clone(), watch, snapshot, filter, waiting: past.into() };
    Ok(reply::values_of(stream::unfold(follower, |mut follower| async move {
        let line = follower.next().await;
        Some((line, follower))
    })))
}

/// Events of all services, the oldest first.
fn past(snapshot: &Snapshot, filter: &Filter) -> Vec<Value> {
    let services = snapshot.services().filter(|service| filter.takes(&service.cluster, Some(&service.name)));
    let mut events: Vec<(&ServiceEvent, &Arc<Service>)> =
        services.flat_map(|service| service.events.iter().map(move |event| (event, service))).collect();
    events.reverse();
    events.sort_by_key(|(event, _)| event.created_at);
    events.into_iter().map(|(event, service)| event_line(event, service)).collect()
}

fn event_line(event: &ServiceEvent, service: &Service) -> Value {
    let mut line = wire::service::event(event);
    line["kind"] = "serviceEvent".into();
    line["cluster"] = service.cluster.as_str().into();
    line["service"] = service.name.as_str().into();
    line
}

/// One who follows.
struct Follower {
    store: Store,
    watch: Watch,
    /// What the lines so far have told.
    snapshot: Arc<Snapshot>,
    filter: Filter,
    waiting: VecDeque<Value>,
}

impl Follower {
    async fn next(&mut self) -> Value {
        loop {
            if let Some(line) = self.waiting.pop_front() {
                return line;
            }
            let changes = self.watch.changed().await;
            let now = self.store.snapshot();
            self.tell(&changes, &now);
            self.snapshot = now;
        }
    }

    fn tell(&mut self, changes: &Changes, now: &Snapshot) {
        for key in &changes.services {
            if self.filter.takes(&key.0, Some(&key.1)) {
                self.tell_service(key, now);
            }
        }
        for id in &changes.tasks {
            let Some(task) = now.task(id) else {
                self.waiting.push_back(json!({"kind": "task", "task": id.as_str(), "lastStatus": "DELETED"}));
                continue;
            };
            let service = task.owner.as_ref().map(|owner| &owner.service);
            if self.filter.takes(&task.cluster, service) {
                self.waiting.push_back(json!({
                    "kind": "task",
                    "task": id.as_str(),
                    "cluster": task.cluster.as_str(),
                    "service": service.map(ServiceName::as_str),
                    "lastStatus": wire::task::status(task.known_status),
                    "desiredStatus": wire::task::desired(task.desired_status),
                    "version": task.version,
                }));
            }
        }
        if self.filter.service.is_some() {
            return;
        }
        for name in changes.clusters.iter().filter(|name| self.filter.takes(name, None)) {
            self.waiting.push_back(json!({"kind": "cluster", "cluster": name.as_str()}));
        }
        for id in &changes.task_definitions {
            self.waiting.push_back(json!({"kind": "taskDefinition", "taskDefinition": id.to_string()}));
        }
    }

    /// A service's new events, and where it stands.
    fn tell_service(&mut self, key: &ServiceKey, now: &Snapshot) {
        let Some(service) = now.service(key) else { return };
        let told = self.snapshot.service(key).and_then(|before| before.events.first()).map(|event| &event.id);
        let news: Vec<&ServiceEvent> =
            service.events.iter().take_while(|event| Some(&event.id) != told).collect();
        for event in news.into_iter().rev() {
            self.waiting.push_back(event_line(event, service));
        }
        let counts = now.counts_of_service(key);
        self.waiting.push_back(json!({
            "kind": "service",
            "cluster": key.0.as_str(),
            "service": key.1.as_str(),
            "status": wire::service::status(service.status),
            "desiredCount": service.desired_count,
            "runningCount": counts.running,
            "pendingCount": counts.pending,
        }));
    }
}
