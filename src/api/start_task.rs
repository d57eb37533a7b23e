//! StartTask: RunTask for a caller who names the container instances. There is one in each cluster.

use serde_json::Value;

use super::{
    Answer, Api, input,
    launch::{self, Launch, Obstacle},
    reference,
    refused::Refused,
    task_request::TaskRequest,
    wire,
};

pub(super) async fn start(api: &Api, value: Value) -> Answer {
    let request: TaskRequest = input(value)?;
    if !(1..=10).contains(&request.container_instances.len()) {
        return Err(Refused::parameter("containerInstances cannot be empty, nor more than 10."));
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
    let launch = Launch::new(api, &snapshot, cluster, request)?;
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
