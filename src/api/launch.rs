//! How standalone tasks come to be: the rules that RunTask and StartTask share, and placement on this host.
//!
//! A request is found good first, outside the store's one writer; what then happens inside is a question of room.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

use super::{
    Api, Source, capacity_provider, constraint, reference, reference::Definition, refused::Refused, run_task,
    tags, task_request::TaskRequest, wire,
};
use crate::{
    model::{
        cluster::{Cluster, InstanceStatus},
        ids::{ClusterName, TaskId},
        placement::PlacementConstraint,
        provider,
        resources::{Capacity, Reservation},
        task::{NewTask, Tag, Task, TaskOverride},
        task_definition::{Document, TaskDefinition},
        time::Timestamp,
    },
    store::{Draft, Snapshot},
};

/// The platform of ECS that `LATEST` stands for.
const LATEST_PLATFORM: &str = "1.4.0";

/// Why a task is not placed: `reason` and `detail` of an entry in `failures`.
#[derive(Clone, Debug)]
pub(super) struct Obstacle {
    reason: &'static str,
    detail: Option<String>,
}

impl Obstacle {
    /// One whose reason says it all.
    pub(super) fn new(reason: &'static str) -> Self {
        Self { reason, detail: None }
    }
}

/// A request that was found good, ready to be placed.
pub(super) struct Launch {
    pub(super) cluster: ClusterName,
    pub(super) now: Timestamp,
    definition: Definition,
    group: Option<String>,
    started_by: Option<String>,
    overrides: TaskOverride,
    tags: Vec<Tag>,
    propagate: bool,
    managed_tags: bool,
    extra: Map<String, Value>,
    constraints: Vec<PlacementConstraint>,
    strategy: Vec<Value>,
    capacity: Capacity,
    source: Arc<dyn Source>,
}

impl Launch {
    /// Checks what was asked for in `cluster`.
    pub(super) fn new(
        api: &Api,
        snapshot: &Snapshot,
        cluster: &Cluster,
        request: TaskRequest,
    ) -> Result<Self, Refused> {
        request.check()?;
        let strategy = request.strategy(cluster);
        let launch_type = capacity_provider::launch_type(request.launch_type.as_deref(), &strategy);
        request.check_placement(launch_type)?;
        let definition = Definition::parse(&api.owner, &request.task_definition)?;
        let document = &definition.usable(snapshot)?.document;
        run_task::network(document, request.network_configuration.as_ref())?;
        reference::launch_type(definition.usable(snapshot)?, launch_type)?;
        let constraints = constraint::of_task(document, &request.placement_constraints, launch_type)?;
        for change in &request.overrides.container_overrides {
            if document.container(&change.name).is_none() {
                return Err(Refused::parameter(format!(
                    "Override for container named {} is not a container in the TaskDefinition.",
                    change.name
                )));
            }
        }
        let extra = kept(&request, launch_type, &strategy);
        Ok(Self {
            cluster: cluster.name.clone(),
            now: api.source.now(),
            definition,
            group: request.group,
            started_by: request.started_by,
            overrides: request.overrides,
            tags: request.tags,
            propagate: request.propagate_tags.as_deref() == Some("TASK_DEFINITION"),
            managed_tags: request.enable_ecs_managed_tags,
            extra,
            constraints,
            strategy,
            capacity: api.host.capacity.clone(),
            source: Arc::clone(&api.source),
        })
    }

    /// Whether this host takes new tasks of the cluster.
    pub(super) fn is_open(&self, draft: &Draft) -> bool {
        let cluster = draft.cluster(&self.cluster);
        cluster.is_some_and(|cluster| match cluster.instance_status {
            InstanceStatus::Active => true,
            InstanceStatus::Draining => false,
        })
    }

    /// Writes as many of `count` tasks as fit; of each of the others, why not, in the words of `failures`.
    pub(super) fn place(
        &self,
        count: usize,
        draft: &mut Draft,
    ) -> Result<(Vec<TaskId>, Vec<Obstacle>), Refused> {
        let definition = Arc::clone(self.definition.usable(draft)?);
        let reservation = Reservation::of(&definition.document, &self.overrides);
        let (mut placed, mut failures) = (Vec::new(), Vec::new());
        let mut gone: BTreeMap<String, u64> = BTreeMap::new();
        for _ in 0..count {
            if let Some(obstacle) = self.obstacle(&definition.document, &reservation, draft) {
                failures.push(obstacle);
            } else {
                let mut task = self.task(&definition);
                let to = provider::next(&self.strategy, |name| gone.get(name).copied().unwrap_or(0));
                if let Some(name) = to {
                    task.extra.insert("capacityProviderName".into(), name.as_str().into());
                    *gone.entry(name).or_default() += 1;
                }
                placed.push(task.id.clone());
                draft.put_task(task);
            }
        }
        Ok((placed, failures))
    }

    /// Why this host cannot take one more.
    fn obstacle(&self, document: &Document, reservation: &Reservation, draft: &Draft) -> Option<Obstacle> {
        let usual = format!("family:{}", document.family);
        let group = self.group.as_deref().unwrap_or(&usual);
        let unmet = draft
            .cluster(&self.cluster)
            .and_then(|cluster| draft.unmet(&self.constraints, cluster, &self.capacity.traits, group));
        if let Some(unmet) = unmet {
            return Some(Obstacle::new(unmet.reason()));
        }
        let taken = draft.taken();
        let admitted = self.capacity.admit(taken.resources, reservation, |port| taken.has(port));
        let shortage = admitted.err()?;
        let detail = self.capacity.told(taken.resources, reservation, shortage);
        Some(Obstacle { reason: shortage.reason(), detail: Some(detail) })
    }

    fn task(&self, definition: &TaskDefinition) -> Task {
        let mut tags = if self.propagate { definition.tags.clone() } else { Vec::new() };
        tags::merge(&mut tags, self.tags.clone());
        if self.managed_tags {
            tags.push(Tag { key: "aws:ecs:clusterName".into(), value: self.cluster.to_string() });
        }
        NewTask {
            id: TaskId::from_random(self.source.random()),
            cluster: self.cluster.clone(),
            definition,
            owner: None,
            group: self.group.clone(),
            started_by: self.started_by.clone(),
            overrides: self.overrides.clone(),
            tags,
            extra: self.extra.clone(),
            at: self.now,
        }
        .into()
    }
}

/// What the tasks of a request show of it later: a launch type or the provider that each goes to.
fn kept(request: &TaskRequest, launch_type: Option<&str>, strategy: &[Value]) -> Map<String, Value> {
    let on_fargate = launch_type == Some("FARGATE");
    let platform = match request.platform_version.as_deref() {
        None | Some("LATEST") if on_fargate => Some(LATEST_PLATFORM.into()),
        given => given.map(Value::from),
    };
    let kept = [
        ("launchType", strategy.is_empty().then(|| launch_type.unwrap_or("EC2").into())),
        ("networkConfiguration", request.network_configuration.clone()),
        ("platformVersion", platform),
        ("platformFamily", on_fargate.then(|| "Linux".into())),
        ("referenceId", request.reference_id.clone().map(Value::from)),
        ("volumeConfigurations", request.volume_configurations.clone()),
        ("enableExecuteCommand", request.enable_execute_command.then_some(Value::Bool(true))),
    ];
    kept.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The answer of both calls: the tasks, and failures that name this host as `cluster` knows it.
pub(super) fn answer(
    api: &Api,
    cluster: &ClusterName,
    ids: &[TaskId],
    obstacles: &[Obstacle],
    mut failures: Vec<Value>,
) -> Value {
    let snapshot = api.store.snapshot();
    let tasks = ids.iter().filter_map(|id| snapshot.task(id));
    let tasks: Value = tasks.map(|task| wire::task::document(task, &snapshot, api, true)).collect();
    let instance = snapshot.cluster(cluster).map(|cluster| cluster.instance.clone());
    let arn = instance.map(|instance| api.owner.container_instance(cluster, &instance));
    let failure = |one: &Obstacle| wire::failure_for(arn.clone(), one.reason, one.detail.as_deref());
    failures.extend(obstacles.iter().map(failure));
    json!({"tasks": tasks, "failures": failures})
}
