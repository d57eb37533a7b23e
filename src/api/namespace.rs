//! ListServicesByNamespace: which services speak under a Service Connect namespace.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Answer, Api, input,
    page::Page,
    refused::{Kind, Refused},
};
use crate::{
    model::{
        ids::{ClusterName, ServiceName},
        service::{Service, ServiceStatus},
    },
    store::{ServiceKey, Snapshot},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListServicesByNamespace {
    namespace: String,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn list_services(api: &Api, value: Value) -> Answer {
    let ListServicesByNamespace { namespace, max_results, next_token } = input(value)?;
    if namespace.is_empty() {
        return Err(Refused::parameter("namespace cannot be empty."));
    }
    let snapshot = api.store.snapshot();
    let is_known = snapshot.clusters().any(|cluster| usual_of(&cluster.extra) == Some(&namespace))
        || snapshot.services().any(|service| of(service, &snapshot) == Some(&namespace));
    if !is_known {
        let message =
            format!("The namespace '{namespace}' was not found: no cluster and no service names it.");
        return Err(Refused::new(Kind::NamespaceNotFoundException, message));
    }
    let services = snapshot.services().filter(|service| {
        service.status == ServiceStatus::Active && of(service, &snapshot) == Some(&namespace)
    });
    let arns = services.map(|service| {
        (
            Key((service.cluster.clone(), service.name.clone())),
            api.owner.service(&service.cluster, &service.name).into(),
        )
    });
    let page = Page { max_results, next_token };
    let listed = page.of(arns, 10, Key::parse, |key, seen| key.0 > seen.0)?;
    Ok(listed.under("serviceArns"))
}

/// A cluster and a service, as a token holds them.
struct Key(ServiceKey);

impl Key {
    fn parse(text: &str) -> Option<Self> {
        let (cluster, service) = text.split_once('/')?;
        Some(Self((ClusterName::parse(cluster).ok()?, ServiceName::parse(service).ok()?)))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0.0, self.0.1)
    }
}

/// The namespace of a service: its own, or its cluster's where it takes part without naming one.
fn of<'a>(service: &'a Service, snapshot: &'a Snapshot) -> Option<&'a str> {
    let connect = service.extra.get("serviceConnectConfiguration")?;
    if connect["enabled"] != Value::Bool(true) {
        return None;
    }
    let own = connect["namespace"].as_str();
    own.or_else(|| snapshot.cluster(&service.cluster).and_then(|cluster| usual_of(&cluster.extra)))
}

fn usual_of(extra: &Map<String, Value>) -> Option<&str> {
    extra.get("serviceConnectDefaults")?["namespace"].as_str()
}
