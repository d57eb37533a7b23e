//! UpdateCluster, UpdateClusterSettings, PutClusterCapacityProviders, and the rules of a cluster's settings.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Answer, Api, capacity_provider, cluster, input, reference,
    refused::{Kind, Refused},
};
use crate::model::{cluster::Cluster, ids::ClusterName};

/// Refuses settings that no cluster has.
pub(super) fn check_settings(settings: &[Value]) -> Result<(), Refused> {
    for setting in settings {
        let name = setting["name"].as_str().unwrap_or_default();
        reference::words("settings.name", &[name], &["containerInsights"])?;
        let value = setting["value"].as_str().unwrap_or_default();
        reference::words("settings.value", &[value], &["enhanced", "enabled", "disabled"])?;
    }
    Ok(())
}

/// The settings of before with those that are given now.
fn merge(before: Option<&Value>, given: Vec<Value>) -> Value {
    let mut settings = before.and_then(Value::as_array).cloned().unwrap_or_default();
    for setting in given {
        settings.retain(|known| known["name"] != setting["name"]);
        settings.push(setting);
    }
    settings.into()
}

/// A cluster's new members.
type Change = Box<dyn FnOnce(&mut Map<String, Value>) + Send>;

/// Changes what a cluster keeps, and answers with the cluster.
async fn change(api: &Api, text: &str, change: Change) -> Answer {
    let name = reference::cluster_name(&api.owner, Some(text))?;
    let wanted: ClusterName = name.clone();
    let owner = api.owner.clone();
    api.store
        .write(move |draft| {
            let mut cluster = Cluster::clone(reference::cluster(draft, &owner, Some(wanted.as_str()))?);
            change(&mut cluster.extra);
            draft.put_cluster(cluster);
            Ok::<_, Refused>(())
        })
        .await?;
    cluster::described(api, &name)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateCluster {
    cluster: String,
    settings: Option<Vec<Value>>,
    configuration: Option<Value>,
    service_connect_defaults: Option<Value>,
}

pub(super) async fn update(api: &Api, value: Value) -> Answer {
    let UpdateCluster { cluster, settings, configuration, service_connect_defaults } = input(value)?;
    check_settings(settings.as_deref().unwrap_or_default())?;
    let apply = move |extra: &mut Map<String, Value>| {
        if let Some(settings) = settings {
            let merged = merge(extra.get("settings"), settings);
            extra.insert("settings".into(), merged);
        }
        if let Some(configuration) = configuration {
            extra.insert("configuration".into(), configuration);
        }
        match service_connect_defaults {
            // An empty name takes the default away.
            Some(defaults) if defaults["namespace"] == json!("") => {
                extra.shift_remove("serviceConnectDefaults");
            }
            Some(defaults) => {
                extra.insert("serviceConnectDefaults".into(), defaults);
            }
            None => {}
        }
    };
    change(api, &cluster, Box::new(apply)).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateClusterSettings {
    cluster: String,
    settings: Vec<Value>,
}

pub(super) async fn update_settings(api: &Api, value: Value) -> Answer {
    let UpdateClusterSettings { cluster, settings } = input(value)?;
    if settings.is_empty() {
        return Err(Refused::parameter("Settings cannot be empty."));
    }
    check_settings(&settings)?;
    let apply = move |extra: &mut Map<String, Value>| {
        let merged = merge(extra.get("settings"), settings);
        extra.insert("settings".into(), merged);
    };
    change(api, &cluster, Box::new(apply)).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PutClusterCapacityProviders {
    cluster: String,
    capacity_providers: Vec<String>,
    default_capacity_provider_strategy: Vec<Value>,
}

pub(super) async fn put_capacity_providers(api: &Api, value: Value) -> Answer {
    let input: PutClusterCapacityProviders = input(value)?;
    let strategy = input.default_capacity_provider_strategy;
    capacity_provider::check_names(&input.capacity_providers)?;
    capacity_provider::check_strategy(&strategy)?;
    let of_cluster =
        |item: &&Value| input.capacity_providers.iter().any(|name| item["capacityProvider"] == **name);
    if let Some(item) = strategy.iter().find(|item| !of_cluster(item)) {
        let name = item["capacityProvider"].as_str().unwrap_or_default();
        let message = format!(
            "The capacity provider '{name}' of the default strategy is not one of the cluster's capacityProviders."
        );
        return Err(Refused::new(Kind::InvalidParameterException, message));
    }
    let providers = input.capacity_providers;
    let apply = move |extra: &mut Map<String, Value>| {
        extra.insert("capacityProviders".into(), providers.into());
        extra.insert("defaultCapacityProviderStrategy".into(), strategy.into());
    };
    change(api, &input.cluster, Box::new(apply)).await
}
