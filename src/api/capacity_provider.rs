//! Capacity providers: where ECS would find room. DescribeCapacityProviders, and the rules of strategies.
//!
//! A host has one place to run tasks in, itself. The two providers that every account of ECS has are known here, so
//! that what names them works; which of them a task names changes what it shows and not where it runs.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, Api, input, page::Page, reference, refused::Refused, wire};
use crate::model::arn::Owner;

/// The providers that there are.
pub(super) const KNOWN: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

/// Most providers in a strategy, and most of a cluster.
const MOST: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    capacity_provider: String,
    weight: Option<i64>,
    base: Option<i64>,
}

/// Refuses providers that there are not.
pub(super) fn check_names(names: &[String]) -> Result<(), Refused> {
    if names.len() > MOST {
        return Err(Refused::parameter("Too many capacity providers. A cluster may have 20."));
    }
    match names.iter().find(|name| !KNOWN.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Refused::parameter(format!(
            "The specified capacity provider '{name}' was not found. Specify one of {} and try again.",
            KNOWN.join(", ")
        ))),
    }
}

/// Refuses a strategy that no request may have.
pub(super) fn check_strategy(strategy: &[Value]) -> Result<(), Refused> {
    if strategy.len() > MOST {
        let message = "A strategy (capacityProviderStrategy, defaultCapacityProviderStrategy) has at most 20 providers.";
        return Err(Refused::parameter(message));
    }
    let items: Vec<Item> = input(Value::Array(strategy.to_vec()))?;
    let names: Vec<String> = items.iter().map(|item| item.capacity_provider.clone()).collect();
    check_names(&names)?;
    if items.iter().filter(|item| item.base.unwrap_or(0) > 0).count() > 1 {
        let message = "Only one capacity provider in a capacity provider strategy can have a base defined.";
        return Err(Refused::parameter(message));
    }
    // A weight that is absent is 0; of a strategy of one provider it does not matter.
    if items.len() > 1 && items.iter().all(|item| item.weight.unwrap_or(0) == 0) {
        let message =
            "At least one capacity provider in a capacity provider strategy must have a weight above 0.";
        return Err(Refused::parameter(message));
    }
    Ok(())
}

/// The launch type whose rules hold: the one that is asked for, or that of the providers in a strategy. Those that there
/// are, are Fargate's.
pub(super) fn launch_type<'a>(asked: Option<&'a str>, strategy: &[Value]) -> Option<&'a str> {
    if strategy.is_empty() { asked } else { Some("FARGATE") }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DescribeCapacityProviders {
    capacity_providers: Option<Vec<String>>,
    cluster: Option<String>,
    #[serde(default)]
    include: Vec<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

pub(super) fn describe(api: &Api, value: Value) -> Answer {
    let input: DescribeCapacityProviders = input(value)?;
    reference::include_tags(&input.include)?;
    let snapshot = api.store.snapshot();
    let of_cluster = match input.cluster.as_deref() {
        None => None,
        Some(text) => Some(reference::cluster(&snapshot, &api.owner, Some(text))?.extra.clone()),
    };
    let asked = input.capacity_providers.unwrap_or_default();
    if asked.len() > 100 {
        return Err(Refused::parameter("Capacity providers cannot be more than 100."));
    }
    let (mut names, mut failures) = (Vec::new(), Vec::new());
    for text in &asked {
        let name = api.owner.rest("capacity-provider", text);
        let name = name.map_err(|bad| Refused::from(bad).about("capacityProviders", text))?;
        match KNOWN.iter().find(|known| **known == name) {
            Some(known) => names.push(*known),
            None => failures.push(wire::failure(api.owner.capacity_provider(name), "MISSING")),
        }
    }
    if asked.is_empty() {
        names.extend(KNOWN);
    }
    names.retain(|name| of_cluster.as_ref().is_none_or(|extra| is_of(extra, name)));
    names.sort_unstable();
    names.dedup();
    let all = names.into_iter().map(|name| (name.to_owned(), document(name, &api.owner)));
    let page = Page { max_results: input.max_results, next_token: input.next_token };
    let listed =
        page.of_at_most(10, all, 10, |text| Some(text.to_owned()), |name: &String, seen| name > seen)?;
    let mut answer = listed.under("capacityProviders");
    answer["failures"] = failures.into();
    Ok(answer)
}

/// Whether a cluster with these settings has the provider.
fn is_of(extra: &Map<String, Value>, name: &str) -> bool {
    let names = extra.get("capacityProviders").and_then(Value::as_array);
    names.into_iter().flatten().any(|of| of == name)
}

fn document(name: &str, owner: &Owner) -> Value {
    json!({
        "capacityProviderArn": owner.capacity_provider(name),
        "name": name,
        "status": "ACTIVE",
        "type": name,
        "tags": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_that_cannot_be_followed_are_refused() {
        let of = |provider: &str, weight: i64, base: i64| json!({"capacityProvider": provider, "weight": weight, "base": base});
        for bad in [
            vec![of("MY_HOSTS", 1, 0)],
            vec![of("FARGATE", 1, 1), of("FARGATE_SPOT", 1, 1)],
            vec![of("FARGATE", 0, 0), of("FARGATE_SPOT", 0, 0)],
            vec![of("FARGATE", 1, 0); 21],
        ] {
            assert!(check_strategy(&bad).is_err(), "{bad:?}");
        }
        assert_eq!(check_strategy(&[of("FARGATE", 0, 0)]), Ok(()));
    }
}
