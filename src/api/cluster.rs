//! CreateCluster, DeleteCluster, DescribeClusters, ListClusters.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Answer, Api, account_setting, capacity_provider, input,
    page::Page,
    reference,
    refused::{Kind, Refused},
    tags, update_cluster,
    wire::{self, cluster::Include},
};
use crate::{
    model::{
        cluster::{Cluster, ClusterStatus},
        ids::{ClusterName, InstanceId},
        service::ServiceStatus,
        task::Tag,
    },
    store::Draft,
};

/// Most ACTIVE clusters.
const MOST_CLUSTERS: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateCluster {
    cluster_name: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    settings: Option<Vec<Value>>,
    configuration: Option<Value>,
    capacity_providers: Option<Vec<String>>,
    default_capacity_provider_strategy: Option<Vec<Value>>,
    service_connect_defaults: Option<Value>,
}

pub(super) async fn create(api: &Api, value: Value) -> Answer {
    let input: CreateCluster = input(value)?;
    tags::check(&input.tags)?;
    let name = reference::cluster_name(&api.owner, input.cluster_name.as_deref())?;
    update_cluster::check_settings(input.settings.as_deref().unwrap_or_default())?;
    capacity_provider::check_names(input.capacity_providers.as_deref().unwrap_or_default())?;
    capacity_provider::check_strategy(
        input.default_capacity_provider_strategy.as_deref().unwrap_or_default(),
    )?;
    let settings = input.settings.filter(|settings| !settings.is_empty()).unwrap_or_else(|| {
        let value = account_setting::container_insights(api, &api.store.snapshot());
        vec![json!({"name": "containerInsights", "value": value})]
    });
    let kept = [
        ("settings", Some(settings.into())),
        ("configuration", input.configuration),
        ("capacityProviders", input.capacity_providers.map(Value::from)),
        ("defaultCapacityProviderStrategy", input.default_capacity_provider_strategy.map(Value::from)),
        ("serviceConnectDefaults", input.service_connect_defaults),
    ];
    let extra: Map<String, Value> =
        kept.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let instance = InstanceId::from_random(api.source.random());
    let new = Cluster { tags: input.tags, extra, ..Cluster::new(name.clone(), instance, api.source.now()) };
    let make = move |draft: &mut Draft| make(draft, new);
    api.store.write(make).await?;
    described(api, &name)
}

/// Writes a new cluster, unless an ACTIVE one has its name. One that was deleted keeps its instance.
fn make(draft: &mut Draft, mut new: Cluster) -> Result<(), Refused> {
    match draft.cluster(&new.name) {
        Some(known) if known.status == ClusterStatus::Active => return Ok(()),
        Some(known) => new.instance = known.instance.clone(),
        None => {}
    }
    if draft.clusters().filter(|one| one.status == ClusterStatus::Active).count() >= MOST_CLUSTERS {
        let message =
            format!("There are {MOST_CLUSTERS} clusters, and clusterName {} is one too many.", new.name);
        return Err(Refused::client(message));
    }
    draft.put_cluster(new);
    Ok(())
}

impl Api {
    /// Makes the cluster named `default` if there has never been one: what a call means that names no cluster.
    pub async fn ensure_default_cluster(&self) -> Result<(), Refused> {
        let name = reference::cluster_name(&self.owner, None)?;
        if self.store.snapshot().cluster(&name).is_some() {
            return Ok(());
        }
        create(self, json!({})).await.map(drop)
    }
}

pub(super) fn described(api: &Api, name: &ClusterName) -> Answer {
    let snapshot = api.store.snapshot();
    let gone = || Refused::new(Kind::ClusterNotFoundException, "Cluster not found.");
    let cluster = snapshot.cluster(name).ok_or_else(gone)?;
    Ok(json!({"cluster": wire::cluster::document(cluster, &snapshot, &api.owner, Include::ALL)}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeleteCluster {
    cluster: String,
}

pub(super) async fn delete(api: &Api, value: Value) -> Answer {
    let DeleteCluster { cluster } = input(value)?;
    let name = reference::cluster_name(&api.owner, Some(&cluster))?;
    let wanted = name.clone();
    api.store
        .write(move |draft| {
            let not_found = || Refused::new(Kind::ClusterNotFoundException, "Cluster not found.");
            let mut cluster = (**draft.cluster(&wanted).ok_or_else(not_found)?).clone();
            if draft.services_of(&wanted).any(|service| service.status != ServiceStatus::Inactive) {
                let message = "The Cluster cannot be deleted while Services are active.";
                return Err(Refused::new(Kind::ClusterContainsServicesException, message));
            }
            if draft.counts_of_cluster(&wanted).live() > 0 {
                let message = "The Cluster cannot be deleted while Tasks are active.";
                return Err(Refused::new(Kind::ClusterContainsTasksException, message));
            }
            cluster.status = ClusterStatus::Inactive;
            cluster.tags.clear();
            draft.put_cluster(cluster);
            Ok(())
        })
        .await?;
    described(api, &name)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeClusters {
    #[serde(default)]
    clusters: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

pub(super) fn describe(api: &Api, value: Value) -> Answer {
    let DescribeClusters { mut clusters, include } = input(value)?;
    let words = ["ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "STATISTICS", "TAGS"];
    reference::words("include", &include, &words)?;
    let has = |word: &str| include.iter().any(|included| included == word);
    let include = Include {
        configurations: has("CONFIGURATIONS"),
        settings: has("SETTINGS"),
        statistics: has("STATISTICS"),
        tags: has("TAGS"),
    };
    if clusters.len() > 100 {
        return Err(Refused::parameter("Clusters cannot be more than 100."));
    }
    if clusters.is_empty() {
        clusters.push("default".into());
    }
    let snapshot = api.store.snapshot();
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in &clusters {
        let name = reference::cluster_name(&api.owner, Some(text))?;
        match snapshot.cluster(&name) {
            Some(cluster) => found.push(wire::cluster::document(cluster, &snapshot, &api.owner, include)),
            None => failures.push(wire::failure(api.owner.cluster(&name), "MISSING")),
        }
    }
    Ok(json!({"clusters": found, "failures": failures}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListClusters {
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn list(api: &Api, value: Value) -> Answer {
    let ListClusters { max_results, next_token } = input(value)?;
    let snapshot = api.store.snapshot();
    let active = snapshot.clusters().filter(|cluster| cluster.status == ClusterStatus::Active);
    let arns = active.map(|cluster| (cluster.name.clone(), api.owner.cluster(&cluster.name).into()));
    let page = Page { max_results, next_token };
    let listed = page.of(arns, 100, |text| ClusterName::parse(text).ok(), |name, seen| name > seen)?;
    Ok(listed.under("clusterArns"))
}
