//! Which capacity provider a task goes to: a strategy's base first, and then by weight.
//!
//! On one host all providers are the host, and the name is what clients see and filter by.

use serde_json::Value;

/// The provider of `strategy` that the next task goes to, when `count` tell how many have gone to each.
///
/// A provider without weight gets no task beyond its base; of equals it is the first.
#[must_use]
pub fn next(strategy: &[Value], count: impl Fn(&str) -> u64) -> Option<String> {
    let name = |item: &Value| item["capacityProvider"].as_str().map(str::to_owned);
    let number = |item: &Value, member: &str| item[member].as_u64().unwrap_or(0);
    let gone = |item: &Value| item["capacityProvider"].as_str().map_or(0, &count);
    if let Some(item) = strategy.iter().find(|item| gone(item) < number(item, "base")) {
        return name(item);
    }
    // The one that would still have the smallest share of its weight with one task more.
    let share = |item: &&Value| {
        let beyond = gone(item) + 1 - number(item, "base");
        beyond.saturating_mul(1_000_000) / number(item, "weight").max(1)
    };
    let weighty = strategy.iter().filter(|item| strategy.len() == 1 || number(item, "weight") > 0);
    weighty.min_by_key(share).and_then(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn spread(strategy: &Value, tasks: usize) -> Vec<(String, u64)> {
        let mut gone: BTreeMap<String, u64> = BTreeMap::new();
        for _ in 0..tasks {
            let to = next(strategy.as_array().unwrap(), |name| gone.get(name).copied().unwrap_or(0)).unwrap();
            *gone.entry(to).or_default() += 1;
        }
        gone.into_iter().collect()
    }

    #[test]
    fn the_base_is_filled_first_and_the_rest_goes_by_weight() {
        let strategy = json!([
            {"capacityProvider": "FARGATE", "base": 2, "weight": 1}, {"capacityProvider": "FARGATE_SPOT", "weight": 3},
        ]);
        assert_eq!(spread(&strategy, 2), [("FARGATE".into(), 2)]);
        assert_eq!(spread(&strategy, 10), [("FARGATE".into(), 4), ("FARGATE_SPOT".into(), 6)]);
    }

    #[test]
    fn a_provider_without_weight_gets_its_base_and_no_more() {
        let strategy = json!([
            {"capacityProvider": "FARGATE", "base": 1, "weight": 0}, {"capacityProvider": "FARGATE_SPOT", "weight": 1},
        ]);
        assert_eq!(spread(&strategy, 5), [("FARGATE".into(), 1), ("FARGATE_SPOT".into(), 4)]);
        assert_eq!(spread(&json!([{"capacityProvider": "FARGATE"}]), 3), [("FARGATE".into(), 3)]);
        assert_eq!(next(&[], |_| 0), None);
    }
}
