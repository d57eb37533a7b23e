//! What the options `labels` and `env`, and `labels-regex` and `env-regex`, add to each line of output.

use std::collections::BTreeMap;

use super::{Asked, Options};
use crate::model::task_definition::LogPattern;

/// The labels and variables that options name or match, with their values; a variable beats a label of its name.
pub(super) fn of(asked: &Asked<'_>, options: &Options<'_>) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<&str, &str> = BTreeMap::new();
    let own = labels_of_ecs(asked);
    labels.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
    let given = asked.definition.docker_labels.iter().flatten();
    labels.extend(given.map(|(name, value)| (name.as_str(), value.as_str())));
    let changed = asked.change.map(|change| change.environment.as_slice()).unwrap_or_default();
    let variables = asked.definition.environment.iter().chain(changed);
    let variables = variables.map(|pair| (pair.name.as_str(), pair.value.as_str())).collect();
    let mut extra = chosen(&labels, options, "labels");
    extra.extend(chosen(&variables, options, "env"));
    extra
}

/// Those whose names the option lists, or its `-regex` matches.
fn chosen(all: &BTreeMap<&str, &str>, options: &Options<'_>, option: &str) -> BTreeMap<String, String> {
    let listed = options.get(option).unwrap_or_default();
    let listed: Vec<&str> = listed.split(',').map(str::trim).collect();
    // What is no pattern was refused when it was registered, unless it is a secret.
    let pattern = options.get(&format!("{option}-regex")).and_then(|text| LogPattern::parse(text).ok());
    let is_meant =
        |name: &str| listed.contains(&name) || pattern.as_ref().is_some_and(|pattern| pattern.is_in(name));
    let meant = all.iter().filter(|(name, _)| is_meant(name));
    meant.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
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

/// A name as the journal takes it: capitals, digits and `_`, which it does not begin with.
pub(super) fn field(name: &str) -> String {
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    name.chars().map(letter).collect::<String>().trim_start_matches('_').to_owned()
}
