//! Rules of a task definition that need more than one member, in the order in which ECS would meet them.
//!
//! [`parse_document`] is for the text of a file, [`read_document`] for a request; both give a document that has
//! passed [`check`], or the first thing that is wrong with it. Where ECS's own sentence is known, it is used. What
//! depends on the host (its processor, its size, its kernel) is not decided here.

mod container;
mod fargate;
mod graph;
mod limits;
mod log;
mod ports;
mod volumes;

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::Value;

use super::{CpuUnits, Document, Mebibytes, NetworkMode};
use crate::model::{
    form::Forms,
    placement::{ConstraintKind, MOST_CONSTRAINTS},
    reading::{self, Fault, MemberPath, Refusal, Step},
    task::Tag,
};

pub use log::FACILITIES;

/// The form of what RegisterTaskDefinition carries.
pub const FORM: &str = include_str!("form.txt");

static FORMS: LazyLock<Forms> = LazyLock::new(|| Forms::read(&[FORM]));

/// Most containers of a task.
const MOST_CONTAINERS: usize = 10;

/// Reads a task definition from the text of a file and checks it. A refusal tells line and column.
pub fn parse_document(text: &str) -> Result<(Document, Vec<Tag>), Refusal> {
    let value = reading::parse(text)?;
    read_document(value).map_err(|refusal| refusal.located_in(text))
}

/// Reads what RegisterTaskDefinition carries and checks it: the document and its tags.
pub fn read_document(mut value: Value) -> Result<(Document, Vec<Tag>), Refusal> {
    refuse_nul(&value, &MemberPath::default())?;
    let form = FORMS.check("RegisterTaskDefinition", &value);
    // A list could be taken for an object whose members it has in their order.
    if let Err(refusal) = &form
        && refusal.fault == Fault::WrongType
    {
        return Err(refusal.clone());
    }
    let tags = value.as_object_mut().and_then(|members| members.shift_remove("tags"));
    let tags = tags.filter(|tags| !tags.is_null()).map_or_else(
        || Ok(Vec::new()),
        |tags| reading::read_at(&MemberPath::default().member("tags"), tags),
    )?;
    let document: Document = reading::read(value).map_err(in_the_words_of_ecs)?;
    check(&document)?;
    // The rest of it last, because the sentences of rules say more.
    form?;
    Ok((document, tags))
}

/// Whether the members of `document` go together.
pub fn check(document: &Document) -> Result<(), Refusal> {
    let containers = &document.container_definitions;
    let path = MemberPath::default().member("containerDefinitions");
    if containers.is_empty() {
        return Err(Refusal::rule(path, "Container list cannot be empty."));
    }
    if containers.len() > MOST_CONTAINERS {
        return Err(Refusal::rule(path.element(MOST_CONTAINERS), "Too many containers."));
    }
    let mut names = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        if !names.insert(&container.name) {
            let path = path.element(index).member("name");
            return Err(Refusal::rule(path, format!("Container name '{}' is not unique.", container.name)));
        }
    }
    if !containers.iter().any(|container| container.essential) {
        return Err(Refusal::rule(path, "At least one container must be marked as essential."));
    }
    for (index, container) in containers.iter().enumerate() {
        container::check(document, container, &path.element(index))?;
    }
    task_size(document)?;
    compatibilities(document)?;
    ports::check(document, &path)?;
    volumes::check(document, &path)?;
    graph::check(document, &path)?;
    constraints(document)
}

/// What containers ask for together fits what the task has.
fn task_size(document: &Document) -> Result<(), Refusal> {
    let root = MemberPath::default();
    let containers = &document.container_definitions;
    if let Some(CpuUnits(cpu)) = document.cpu {
        if !(128..=196_608).contains(&cpu) {
            let message = "Invalid 'cpu' setting for task. It must be between 128 and 196608 CPU units.";
            return Err(Refusal::rule(root.member("cpu"), message));
        }
        let sum: u64 = containers.iter().map(|container| u64::from(container.cpu)).sum();
        if sum > u64::from(cpu) {
            let message =
                "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.";
            return Err(Refusal::rule(root.member("cpu"), message));
        }
    }
    if let Some(Mebibytes(memory)) = document.memory {
        if memory < container::LEAST_MEMORY {
            let message = "Invalid 'memory' setting for task. It must be at least 4 MiB.";
            return Err(Refusal::rule(root.member("memory"), message));
        }
        let taken = |container: &super::ContainerDefinition| {
            u64::from(container.memory.or(container.memory_reservation).unwrap_or(0))
        };
        if containers.iter().map(taken).sum::<u64>() > u64::from(memory) {
            let message = "The sum of all container 'memory' values cannot be greater than the value of the \
                           task 'memory'.";
            return Err(Refusal::rule(root.member("memory"), message));
        }
    }
    Ok(())
}

/// What the document says it is for is something, and it meets the rules of that.
fn compatibilities(document: &Document) -> Result<(), Refusal> {
    const KNOWN: [&str; 4] = ["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"];
    let root = MemberPath::default();
    let path = root.member("requiresCompatibilities");
    for (index, word) in document.requires_compatibilities.iter().enumerate() {
        one_of(word, &KNOWN, || path.element(index))?;
    }
    if let Some(platform) = &document.runtime_platform {
        let path = root.member("runtimePlatform");
        if let Some(word) = &platform.cpu_architecture {
            one_of(word, &["X86_64", "ARM64"], || path.member("cpuArchitecture"))?;
        }
        if let Some(word) = &platform.operating_system_family {
            one_of(word, &["LINUX"], || path.member("operatingSystemFamily"))?;
        }
    }
    if document.requires_compatibilities.iter().any(|word| word == "FARGATE") {
        fargate::check(document)?;
    }
    if document.requires_compatibilities.iter().any(|word| word == "EXTERNAL")
        && document.network_mode() == NetworkMode::Awsvpc
    {
        let message = "External instances do not support network mode 'awsvpc'.";
        return Err(Refusal::rule(root.member("networkMode"), message));
    }
    Ok(())
}

fn constraints(document: &Document) -> Result<(), Refusal> {
    let path = MemberPath::default().member("placementConstraints");
    if document.placement_constraints.len() > MOST_CONSTRAINTS {
        return Err(Refusal::rule(path, "Too many placement constraints. A task definition may have 10."));
    }
    for (index, constraint) in document.placement_constraints.iter().enumerate() {
        let path = path.element(index);
        if constraint.kind == ConstraintKind::DistinctInstance {
            let message = "constraint.type 'distinctInstance' is not supported.";
            return Err(Refusal::rule(path.member("type"), message));
        }
        constraint.read().map_err(|why| Refusal::wrong(path.member("expression"), why.to_string()))?;
    }
    Ok(())
}

/// Refuses a word that is not one of `valid`, with the nearest that is.
fn one_of(word: &str, valid: &[&str], path: impl FnOnce() -> MemberPath) -> Result<(), Refusal> {
    if valid.contains(&word) {
        return Ok(());
    }
    Err(Refusal {
        fault: Fault::WrongValue,
        path: path(),
        message: format!("`{word}` is not one of {}", valid.join(", ")),
        nearest: reading::nearest_word(word, valid.iter().copied()),
        place: None,
    })
}

/// Refuses a number outside its range.
fn in_range(
    number: Option<u32>,
    range: std::ops::RangeInclusive<u32>,
    path: impl FnOnce() -> MemberPath,
) -> Result<(), Refusal> {
    match number {
        Some(number) if !range.contains(&number) => {
            let message = format!("{number} is not between {} and {}", range.start(), range.end());
            Err(Refusal::wrong(path(), message))
        }
        Some(_) | None => Ok(()),
    }
}

/// Paths in containers and on the host start at the root.
fn absolute(text: &str, path: impl FnOnce() -> MemberPath) -> Result<(), Refusal> {
    if text.starts_with('/') {
        return Ok(());
    }
    Err(Refusal::wrong(path(), format!("'{text}' is not an absolute path")))
}

/// No string of the system's own interfaces can hold a NUL.
fn refuse_nul(value: &Value, path: &MemberPath) -> Result<(), Refusal> {
    match value {
        Value::String(text) if text.contains('\0') => {
            Err(Refusal::wrong(path.clone(), "a text may not contain the character U+0000"))
        }
        Value::Array(elements) => {
            elements.iter().enumerate().try_for_each(|(index, value)| refuse_nul(value, &path.element(index)))
        }
        Value::Object(members) => {
            members.iter().try_for_each(|(name, value)| refuse_nul(value, &path.member(name)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// Two members whose absence ECS has sentences for.
fn in_the_words_of_ecs(mut refusal: Refusal) -> Refusal {
    let in_container = matches!(
        refusal.path.0.as_slice(),
        [Step::Member(list), Step::Element(_)] if list == "containerDefinitions"
    );
    if refusal.fault == Fault::MissingMember && in_container {
        for member in ["name", "image"] {
            if refusal.message.contains(&format!("`{member}`")) {
                refusal.message = format!("Container.{member} should not be null or empty.");
                refusal.fault = Fault::Rule;
            }
        }
    }
    refusal
}

#[cfg(test)]
mod tests;
