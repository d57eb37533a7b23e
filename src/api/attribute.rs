//! PutAttributes, DeleteAttributes, ListAttributes: what this host is called by for placement, cluster by cluster.
//!
//! Attributes that the host has by itself (its processor, its system) are listed with the others and cannot be
//! changed.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Api, input,
    page::Page,
    reference,
    refused::{Kind, Refused},
    wire::Members,
};
use crate::model::{
    arn::Owner,
    cluster::{self, Cluster},
};

/// Most attributes that somebody may give one instance.
const MOST: usize = 10;

/// Where the names of what the host has by itself begin.
const RESERVED: [&str; 2] = ["ecs.", "com.amazonaws.ecs."];

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Attribute {
    name: String,
    value: Option<String>,
    target_type: Option<String>,
    target_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Attributes {
    cluster: Option<String>,
    attributes: Vec<Attribute>,
}

fn check(attribute: &Attribute) -> Result<(), Refused> {
    let Attribute { name, value, target_type, .. } = attribute;
    reference::words("targetType", target_type.as_slice(), &["container-instance"])?;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_./\\".contains(letter);
    if !(1..=128).contains(&name.len()) || !name.chars().all(fits) {
        return Err(Refused::parameter(format!(
            "The attribute name '{name}' is not valid: 1 to 128 letters, digits, hyphens, underscores, periods and slashes."
        )));
    }
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.@:/\\ ".contains(letter);
    let is_value =
        |text: &str| (1..=128).contains(&text.len()) && text.chars().all(fits) && text.trim() == text;
    match value {
        Some(text) if !is_value(text) => Err(Refused::parameter(format!(
            "The attribute value '{text}' is not valid: 1 to 128 letters, digits, spaces between them and - _ . @ : / \\."
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a target that is not this host.
fn check_target(attribute: &Attribute, cluster: &Cluster, owner: &Owner) -> Result<(), Refused> {
    let text = attribute.target_id.as_deref().ok_or_else(|| Refused::parameter("targetId is missing."))?;
    let id = reference::instance_id(owner, &cluster.name, text);
    if id.map_err(|refused| refused.about("targetId", text))? == cluster.instance {
        return Ok(());
    }
    Err(Refused::new(Kind::TargetNotFoundException, format!("targetId: the target '{text}' was not found.")))
}

pub(super) async fn put(api: &Api, value: Value) -> Answer {
    let Attributes { cluster, attributes } = input(value)?;
    if attributes.is_empty() {
        return Err(Refused::parameter("Attributes cannot be empty."));
    }
    for attribute in &attributes {
        check(attribute)?;
        if RESERVED.iter().any(|start| attribute.name.starts_with(start)) {
            let message = format!(
                "The attribute '{}' is the host's own: names that begin with ecs. or com.amazonaws.ecs. are reserved.",
                attribute.name
            );
            return Err(Refused::parameter(message));
        }
    }
    change(api, cluster, attributes, |cluster, attribute| {
        cluster.instance_attributes.retain(|known| known.name != attribute.name);
        cluster.instance_attributes.push(cluster::Attribute { name: attribute.name, value: attribute.value });
    })
    .await
}

pub(super) async fn delete(api: &Api, value: Value) -> Answer {
    let Attributes { cluster, attributes } = input(value)?;
    for attribute in &attributes {
        check(attribute)?;
    }
    change(api, cluster, attributes, |cluster, attribute| {
        let is_meant = |known: &cluster::Attribute| {
            known.name == attribute.name && (attribute.value.is_none() || known.value == attribute.value)
        };
        cluster.instance_attributes.retain(|known| !is_meant(known));
    })
    .await
}

/// Changes this host's attributes one after the other, and answers with what was given.
async fn change(
    api: &Api,
    cluster: Option<String>,
    attributes: Vec<Attribute>,
    each: impl Fn(&mut Cluster, Attribute) + Send + 'static,
) -> Answer {
    let owner = api.owner.clone();
    let changed = api
        .store
        .write(move |draft| {
            let mut cluster = Cluster::clone(reference::cluster(draft, &owner, cluster.as_deref())?);
            let target = owner.container_instance(&cluster.name, &cluster.instance);
            let mut changed = Vec::new();
            for attribute in attributes {
                check_target(&attribute, &cluster, &owner)?;
                changed.push(document(&attribute.name, attribute.value.as_deref(), &target));
                each(&mut cluster, attribute);
            }
            if cluster.instance_attributes.len() > MOST {
                let message = "Too many attributes. A container instance may have 10 beside its own.";
                return Err(Refused::new(Kind::AttributeLimitExceededException, message));
            }
            cluster.instance_changes += 1;
            draft.put_cluster(cluster);
            Ok(changed)
        })
        .await?;
    Ok(json!({"attributes": changed}))
}

fn document(name: &str, value: Option<&str>, target: &str) -> Value {
    let mut members = Members::default();
    members
        .put("name", name)
        .put_some("value", value)
        .put("targetType", "container-instance")
        .put("targetId", target)
        .document()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListAttributes {
    cluster: Option<String>,
    target_type: String,
    attribute_name: Option<String>,
    attribute_value: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn list(api: &Api, value: Value) -> Answer {
    let input: ListAttributes = input(value)?;
    reference::words("targetType", &[&input.target_type], &["container-instance"])?;
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, input.cluster.as_deref())?;
    let target = api.owner.container_instance(&cluster.name, &cluster.instance);
    let mut attributes = cluster.attributes(&api.host.capacity.traits);
    attributes.retain(|attribute| {
        input.attribute_name.as_deref().is_none_or(|name| attribute.name == name)
            && input.attribute_value.as_deref().is_none_or(|value| attribute.value.as_deref() == Some(value))
    });
    attributes.sort_by(|one, other| one.name.cmp(&other.name));
    let all = attributes.into_iter().map(|attribute| {
        let shown = document(&attribute.name, attribute.value.as_deref(), &target);
        (attribute.name, shown)
    });
    let page = Page { max_results: input.max_results, next_token: input.next_token.clone() };
    let listed = page.of(all, 100, |text| Some(text.to_owned()), |name: &String, seen| name > seen)?;
    Ok(listed.under("attributes"))
}
