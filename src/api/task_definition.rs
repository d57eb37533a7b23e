//! RegisterTaskDefinition, DeregisterTaskDefinition, DeleteTaskDefinitions, DescribeTaskDefinition,
//! ListTaskDefinitions, ListTaskDefinitionFamilies.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Api, input,
    page::Page,
    reference::{self, Definition},
    refused::{Kind, Refused},
    tags, wire,
};
use crate::model::{
    ids::{Family, TaskDefinitionId},
    task_definition::{TaskDefinition, TaskDefinitionStatus, validate},
};

/// Most bytes of a document.
const MOST_BYTES: usize = 64 * 1024;

pub(super) async fn register(api: &Api, value: Value) -> Answer {
    let size = value.to_string().len();
    if size > MOST_BYTES {
        return Err(Refused::client(format!(
            "Actual length: '{size}'. Max allowed length is '{MOST_BYTES}' bytes."
        )));
    }
    let (document, given_tags) = validate::read_document(value.clone())
        .map_err(|refusal| Refused::unreadable_in(&value, &refusal, Kind::ClientException))?;
    tags::check(&given_tags)?;
    let registered_at = api.source.now();
    let (definition, tags) = api
        .store
        .write(move |draft| {
            let revision = draft.next_revision(&document.family);
            let definition = TaskDefinition {
                tags: given_tags.clone(),
                ..TaskDefinition::new(document, revision, registered_at)
            };
            draft.put_task_definition(definition.clone());
            Ok::<_, Refused>((definition, given_tags))
        })
        .await?;
    let document = wire::task_definition::document(&definition, &api.owner, None);
    Ok(json!({"taskDefinition": document, "tags": wire::tags(&tags)}))
}

/// The revision that `text` names; a family alone is not enough.
fn revision(api: &Api, text: &str) -> Result<TaskDefinitionId, Refused> {
    match Definition::parse(&api.owner, text)? {
        Definition::Revision(id) => Ok(id),
        Definition::Latest(_) => Err(Refused::client("Revision is missing.")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeregisterTaskDefinition {
    task_definition: String,
}

pub(super) async fn deregister(api: &Api, value: Value) -> Answer {
    let DeregisterTaskDefinition { task_definition } = input(value)?;
    let id = revision(api, &task_definition)?;
    let now = api.source.now();
    let definition = api
        .store
        .write(move |draft| {
            let unknown = || Refused::client("The specified task definition does not exist.");
            let mut definition = (**draft.task_definition(&id).ok_or_else(unknown)?).clone();
            if definition.status == TaskDefinitionStatus::Active {
                definition.status = TaskDefinitionStatus::Inactive;
                definition.deregistered_at = Some(now);
                draft.put_task_definition(definition.clone());
            }
            Ok::<_, Refused>(definition)
        })
        .await?;
    Ok(json!({"taskDefinition": wire::task_definition::document(&definition, &api.owner, None)}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeleteTaskDefinitions {
    task_definitions: Vec<String>,
}

pub(super) async fn delete(api: &Api, value: Value) -> Answer {
    let DeleteTaskDefinitions { task_definitions } = input(value)?;
    if !(1..=10).contains(&task_definitions.len()) {
        return Err(Refused::parameter("Between 1 and 10 task definitions can be deleted in one call."));
    }
    let ids = task_definitions.iter().map(|text| revision(api, text)).collect::<Result<Vec<_>, _>>()?;
    let now = api.source.now();
    let results = api
        .store
        .write(move |draft| {
            let mut results = Vec::new();
            for id in ids {
                let Some(known) = draft.task_definition(&id) else {
                    results.push(Err((id, "MISSING")));
                    continue;
                };
                let mut definition = (**known).clone();
                if definition.status == TaskDefinitionStatus::Active {
                    let reason = "The specified task definition is still in ACTIVE status. Please deregister the \
                                  target and try again.";
                    results.push(Err((id, reason)));
                    continue;
                }
                definition.status = TaskDefinitionStatus::DeleteInProgress;
                draft.put_task_definition(definition.clone());
                results.push(Ok(definition));
            }
            draft.drop_deleted_definitions();
            Ok::<_, Refused>(results)
        })
        .await?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(definition) => {
                deleted.push(wire::task_definition::document(&definition, &api.owner, Some(now)));
            }
            Err((id, reason)) => failures.push(wire::failure(api.owner.task_definition(&id), reason)),
        }
    }
    Ok(json!({"taskDefinitions": deleted, "failures": failures}))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeTaskDefinition {
    task_definition: String,
    #[serde(default)]
    include: Vec<String>,
}

pub(super) fn describe(api: &Api, value: Value) -> Answer {
    let DescribeTaskDefinition { task_definition, include } = input(value)?;
    let with_tags = reference::include_tags(&include)?;
    let snapshot = api.store.snapshot();
    let unknown = || Refused::client("Unable to describe task definition.");
    let definition = Definition::parse(&api.owner, &task_definition)?.find(&snapshot).ok_or_else(unknown)?;
    let tags = if with_tags { wire::tags(&definition.tags) } else { json!([]) };
    Ok(json!({
        "taskDefinition": wire::task_definition::document(definition, &api.owner, None),
        "tags": tags,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListTaskDefinitions {
    family_prefix: Option<String>,
    status: Option<String>,
    sort: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn list(api: &Api, value: Value) -> Answer {
    let input: ListTaskDefinitions = input(value)?;
    let status = input.status.as_deref().unwrap_or("ACTIVE");
    reference::words("status", &[status], &["ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS"])?;
    let sort = input.sort.as_deref().unwrap_or("ASC");
    reference::words("sort", &[sort], &["ASC", "DESC"])?;
    let snapshot = api.store.snapshot();
    // The member is named a prefix and means the whole family.
    let family = input
        .family_prefix
        .as_deref()
        .map(|text| Family::parse(text).map_err(|bad| Refused::from(bad).about("familyPrefix", text)));
    let family = family.transpose()?;
    let ids = snapshot.task_definitions().filter(|definition| {
        wire::task_definition::status(definition.status) == status
            && family.as_ref().is_none_or(|family| definition.id.family == *family)
    });
    let arns =
        ids.map(|definition| (definition.id.clone(), Value::from(api.owner.task_definition(&definition.id))));
    let page = Page { max_results: input.max_results, next_token: input.next_token };
    let parse = |text: &str| TaskDefinitionId::parse(text).ok();
    let listed = if sort == "DESC" {
        page.of(arns.rev(), 100, parse, |id, seen| id < seen)?
    } else {
        page.of(arns, 100, parse, |id, seen| id > seen)?
    };
    Ok(listed.under("taskDefinitionArns"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListTaskDefinitionFamilies {
    family_prefix: Option<String>,
    status: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn list_families(api: &Api, value: Value) -> Answer {
    let input: ListTaskDefinitionFamilies = input(value)?;
    let status = input.status.as_deref().unwrap_or("ALL");
    reference::words("status", &[status], &["ACTIVE", "INACTIVE", "ALL"])?;
    let prefix = input.family_prefix.unwrap_or_default();
    let snapshot = api.store.snapshot();
    let mut families: Vec<(Family, bool)> = Vec::new();
    for definition in snapshot.task_definitions() {
        let active = definition.status == TaskDefinitionStatus::Active;
        match families.last_mut() {
            Some((family, any)) if *family == definition.id.family => *any |= active,
            Some(_) | None => families.push((definition.id.family.clone(), active)),
        }
    }
    let wanted = families.into_iter().filter(|(family, active)| {
        family.as_str().starts_with(&prefix)
            && match status {
                "ACTIVE" => *active,
                "INACTIVE" => !*active,
                _ => true,
            }
    });
    let names = wanted.map(|(family, _)| (family.clone(), Value::from(family.as_str())));
    let page = Page { max_results: input.max_results, next_token: input.next_token };
    let listed = page.of(names, 100, |text| Family::parse(text).ok(), |family, seen| family > seen)?;
    Ok(listed.under("families"))
}
