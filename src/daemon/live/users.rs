//! Whom the containers of a task run as, and who says so.

use crate::{
    agent::{Agent, RunsAs},
    api::live::Explained,
    model::{
        task::{Container, Task},
        task_definition::ContainerDefinition,
    },
    store::Snapshot,
};

/// A line for each container that there is.
pub(super) async fn explain(agent: &Agent, snapshot: &Snapshot, task: &Task) -> Vec<Explained> {
    let mut list = Vec::new();
    let Some(definition) = snapshot.task_definition(&task.task_definition) else { return list };
    for asked in &definition.document.container_definitions {
        let Some(user) = agent.runs_as(&task.id, &asked.name).await else { continue };
        let need = who_says_so(agent, asked, task.container(&asked.name)).await;
        list.push(Explained {
            constraint: format!("user of {}", asked.name),
            need,
            have: told(&user),
            met: true,
        });
    }
    list
}

/// The order in which it is decided: the task definition, the image, root.
async fn who_says_so(agent: &Agent, asked: &ContainerDefinition, container: Option<&Container>) -> String {
    if let Some(user) = asked.user.as_ref().filter(|user| !user.is_empty()) {
        return format!("user {user} of the task definition");
    }
    let digest = container.and_then(|container| container.image_digest.as_deref());
    let pinned = digest.map(|digest| format!("{}@{digest}", asked.image));
    for reference in pinned.iter().chain([&asked.image]) {
        let Ok(image) = agent.images().inspect(reference).await else { continue };
        return match image["config"]["config"]["User"].as_str().filter(|user| !user.is_empty()) {
            Some(user) => format!("USER {user} of the image"),
            None => "root: neither the task definition nor the image names a user".into(),
        };
    }
    "USER of the image, which is gone: the task definition names no user".into()
}

fn told(user: &RunsAs) -> String {
    let groups: Vec<String> = user.groups.iter().map(ToString::to_string).collect();
    let groups =
        if groups.is_empty() { "no more groups".into() } else { format!("groups {}", groups.join(" ")) };
    let host = match user.root_on_host {
        Some(first) => {
            let (uid, gid) = (first.saturating_add(user.uid), first.saturating_add(user.gid));
            format!("uid {uid}, gid {gid} on the host, where the task has users of its own")
        }
        None => "the same on the host".into(),
    };
    format!("uid {}, gid {}, {groups}; {host}", user.uid, user.gid)
}
