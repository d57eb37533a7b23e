//! What the options `labels` and `env` add to each line of output.

use std::collections::BTreeMap;

use super::Asked;

/// The labels and variables that are named, with their values; a variable beats a label of its name.
pub(super) fn of(asked: &Asked<'_>, labels: Option<&str>, env: Option<&str>) -> BTreeMap<String, String> {
    let mut extra = BTreeMap::new();
    let own = labels_of_ecs(asked);
    let given = asked.definition.docker_labels.as_ref();
    for name in words(labels) {
        let value = given.and_then(|labels| labels.get(name)).or_else(|| own.get(name));
        extra.extend(value.map(|value| (name.to_owned(), value.clone())));
    }
    let changed = asked.change.map(|change| change.environment.as_slice()).unwrap_or_default();
    for name in words(env) {
        let mut pairs = asked.definition.environment.iter().chain(changed).rev();
        let found = pairs.find(|pair| pair.name == name);
        extra.extend(found.map(|pair| (name.to_owned(), pair.value.clone())));
    }
    extra
}

/// The labels that ECS puts on every container.
fn labels_of_ecs(asked: &Asked<'_>) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("com.amazonaws.ecs.cluster", asked.task.cluster.to_string()),
        ("com.amazonaws.ecs.container-name", asked.definition.name.to_string()),
        ("com.amazonaws.ecs.task-definition-family", asked.revision.family.to_string()),
        ("com.amazonaws.ecs.task-definition-version", asked.revision.revision.to_string()),
    ])
}

fn words(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// A name as the journal takes it: capitals, digits and `_`, which it does not begin with.
pub(super) fn field(name: &str) -> String {
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    name.chars().map(letter).collect::<String>().trim_start_matches('_').to_owned()
}
