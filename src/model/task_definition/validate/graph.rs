//! Rules of what containers want of each other: `dependsOn`, `volumesFrom`, `links`.
//!
//! All three order the start, so together they must not form a circle.

use crate::model::{
    ids::ContainerName,
    reading::{self, MemberPath, Refusal},
    task_definition::{Condition, ContainerDefinition, Dependency, Document, NetworkMode},
};

pub(super) fn check(document: &Document, containers: &MemberPath) -> Result<(), Refusal> {
    for (index, container) in document.container_definitions.iter().enumerate() {
        let path = containers.element(index);
        for (index, dependency) in container.depends_on.iter().enumerate() {
            self::dependency(document, container, dependency, &path.member("dependsOn").element(index))?;
        }
        for (index, from) in container.volumes_from.iter().enumerate() {
            let path = path.member("volumesFrom").element(index).member("sourceContainer");
            known(document, container, &from.source_container, &path)?;
        }
        if !container.links.is_empty() && document.network_mode() != NetworkMode::Bridge {
            let message = "Links are not supported when networkMode is not bridge.";
            return Err(Refusal::rule(path.member("links"), message));
        }
        for (index, link) in container.links.iter().enumerate() {
            let path = path.member("links").element(index);
            let name =
                linked(link).ok_or_else(|| Refusal::rule(path.clone(), format!("Invalid link '{link}'.")))?;
            known(document, container, &name, &path)?;
        }
    }
    let links =
        |container: &ContainerDefinition| container.links.iter().filter_map(|link| linked(link)).collect();
    if let Some(at) = circle(document, &links) {
        let path = containers.element(at).member("links");
        return Err(Refusal::rule(path, "Container links should not have a cycle"));
    }
    if let Some(at) = circle(document, &wanted) {
        let names = &document.container_definitions[at].name;
        let message = format!("Container '{names}' depends on itself through its dependencies.");
        return Err(Refusal::rule(containers.element(at).member("dependsOn"), message));
    }
    Ok(())
}

fn linked(link: &str) -> Option<ContainerName> {
    ContainerName::parse(link.split(':').next()?).ok()
}

fn wanted(container: &ContainerDefinition) -> Vec<ContainerName> {
    let conditions = container.depends_on.iter().map(|dependency| dependency.container_name.clone());
    let volumes = container.volumes_from.iter().map(|from| from.source_container.clone());
    let links = container.links.iter().filter_map(|link| linked(link));
    conditions.chain(volumes).chain(links).collect()
}

fn dependency(
    document: &Document,
    container: &ContainerDefinition,
    dependency: &Dependency,
    path: &MemberPath,
) -> Result<(), Refusal> {
    let other = known(document, container, &dependency.container_name, &path.member("containerName"))?;
    match dependency.condition {
        Condition::Complete | Condition::Success if other.essential => {
            let message =
                "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container";
            Err(Refusal::rule(path.member("condition"), message))
        }
        Condition::Healthy if other.health_check.is_none() => {
            let message = format!(
                "Container '{}' has no healthCheck, which condition HEALTHY of container '{}' needs.",
                other.name, container.name
            );
            Err(Refusal::rule(path.member("condition"), message))
        }
        Condition::Start | Condition::Complete | Condition::Success | Condition::Healthy => Ok(()),
    }
}

/// The container that is meant, which is there and is not `container` itself.
fn known<'a>(
    document: &'a Document,
    container: &ContainerDefinition,
    name: &ContainerName,
    path: &MemberPath,
) -> Result<&'a ContainerDefinition, Refusal> {
    if *name == container.name {
        return Err(Refusal::rule(path.clone(), format!("Container '{name}' cannot depend on itself.")));
    }
    document.container(name).ok_or_else(|| {
        let message = format!("Container '{}' refers to the unknown container '{name}'.", container.name);
        let mut refusal = Refusal::rule(path.clone(), message);
        let others = document.container_definitions.iter().filter(|other| other.name != container.name);
        refusal.nearest = reading::nearest_word(name.as_str(), others.map(|other| other.name.as_str()));
        refusal
    })
}

/// A container from which `next` leads back to itself.
fn circle(document: &Document, next: &dyn Fn(&ContainerDefinition) -> Vec<ContainerName>) -> Option<usize> {
    let containers = &document.container_definitions;
    let edges: Vec<Vec<usize>> = containers
        .iter()
        .map(|container| {
            let names = next(container);
            names.iter().filter_map(|name| containers.iter().position(|other| other.name == *name)).collect()
        })
        .collect();
    (0..containers.len()).find(|&start| {
        let mut seen = vec![false; containers.len()];
        let mut open = edges[start].clone();
        while let Some(at) = open.pop() {
            if at == start {
                return true;
            }
            if !std::mem::replace(&mut seen[at], true) {
                open.extend(&edges[at]);
            }
        }
        false
    })
}
