//! StartTask: RunTask for a caller who names the container instances. There is one in each cluster.

use serde::Deserialize;
use serde_json::Value;

use super::{
    Answer, Api, input,
    launch::{self, Launch, Obstacle, Request},
    reference,
    refused::Refused,
    wire,
};
use crate::model::task::{Tag, TaskOverride};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StartTask {
    cluster: Option<String>,
    container_instances: Vec<String>,
    task_definition: String,
    group: Option<String>,
    started_by: Option<String>,
    #[serde(default)]
    overrides: TaskOverride,
    #[serde(default)]
    tags: Vec<Tag>,
    propagate_tags: Option<String>,
    #[serde(default, rename = "enableECSManagedTags")]
    enable_ecs_managed_tags: bool,
    #[serde(default)]
    enable_execute_command: bool,
    network_configuration: Option<Value>,
    reference_id: Option<String>,
    volume_configurations: Option<Value>,
}

pub(super) async fn start(api: &Api, value: Value) -> Answer {
    let request: StartTask = input(value)?;
    if !(1..=10).contains(&request.container_instances.len()) {
        return Err(Refused::parameter("Container instances cannot be empty, nor more than 10."));
    }
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, request.cluster.as_deref())?;
    let (mut count, mut failures) = (0, Vec::new());
    for text in &request.container_instances {
        let id = reference::instance_id(&api.owner, &cluster.name, text)?;
        if id == cluster.instance {
            count += 1;
        } else {
            failures.push(wire::failure(api.owner.container_instance(&cluster.name, &id), "MISSING"));
        }
    }
    let launch = Launch::new(api, &snapshot, cluster, request.launch())?;
    let name = cluster.name.clone();
    let place = move |draft: &mut crate::store::Draft| {
        if launch.is_open(draft) {
            launch.place(count, draft)
        } else {
            Ok((Vec::new(), vec![Obstacle::new("INACTIVE"); count]))
        }
    };
    let (ids, obstacles) = api.store.write(place).await?;
    Ok(launch::answer(api, &name, &ids, &obstacles, failures))
}

impl StartTask {
    /// What it has in common with RunTask.
    fn launch(self) -> Request {
        Request {
            task_definition: self.task_definition,
            group: self.group,
            started_by: self.started_by,
            overrides: self.overrides,
            tags: self.tags,
            propagate_tags: self.propagate_tags,
            enable_ecs_managed_tags: self.enable_ecs_managed_tags,
            launch_type: None,
            strategy: Vec::new(),
            platform_version: None,
            network_configuration: self.network_configuration,
            placement_constraints: Vec::new(),
            kept: vec![
                ("referenceId", self.reference_id.map(Value::from)),
                ("volumeConfigurations", self.volume_configurations),
                ("enableExecuteCommand", self.enable_execute_command.then_some(Value::Bool(true))),
            ],
        }
    }
}
