//! RunTask: checks the request, places as many tasks as fit, and remembers the answer under the client's token.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Answer, Api, Source, input,
    reference::{self, Definition},
    refused::{Kind, Refused},
    tags, wire,
};
use crate::{
    model::{
        arn::Owner,
        ids::{ClusterName, TaskId},
        resources::{Capacity, Reservation},
        task::{NewTask, Tag, Task, TaskOverride},
        task_definition::{Document, NetworkMode, TaskDefinition},
        time::Timestamp,
    },
    store::{ClientToken, Draft},
};

/// What ECS can be asked to launch on.
pub(super) const LAUNCH_TYPES: [&str; 4] = ["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"];

/// How long an answer is remembered.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RunTask {
    task_definition: String,
    cluster: Option<String>,
    count: Option<i64>,
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
    launch_type: Option<String>,
    capacity_provider_strategy: Option<Vec<Value>>,
    network_configuration: Option<Value>,
    platform_version: Option<String>,
    placement_constraints: Option<Vec<Value>>,
    placement_strategy: Option<Vec<Value>>,
    reference_id: Option<String>,
    volume_configurations: Option<Value>,
    client_token: Option<String>,
}

/// A request that was found good, ready to be placed.
struct Wanted {
    cluster: ClusterName,
    definition: Definition,
    count: usize,
    group: Option<String>,
    started_by: Option<String>,
    overrides: TaskOverride,
    tags: Vec<Tag>,
    propagate: bool,
    managed_tags: bool,
    extra: Map<String, Value>,
    token: Option<(String, String)>,
    capacity: Capacity,
    architecture: String,
    owner: Owner,
    source: Arc<dyn Source>,
    now: Timestamp,
}

/// Tasks that were placed, and why the others were not.
type Placed = (Vec<TaskId>, Vec<&'static str>);

pub(super) async fn run(api: &Api, value: Value) -> Answer {
    let fingerprint = fingerprint(&value);
    let request: RunTask = input(value)?;
    check(&request)?;
    let wanted = wanted(api, request, fingerprint)?;
    let cluster = wanted.cluster.clone();
    let (ids, reasons) = api.store.write(move |draft| wanted.place(draft)).await?;
    let snapshot = api.store.snapshot();
    let tasks = ids.iter().filter_map(|id| snapshot.task(id));
    let tasks: Value = tasks.map(|task| wire::task::document(task, &snapshot, api, true)).collect();
    let instance = snapshot.cluster(&cluster).map(|cluster| cluster.instance.clone());
    let arn = instance.map(|instance| api.owner.container_instance(&cluster, &instance));
    let failures: Value = reasons.into_iter().map(|reason| wire::failure(arn.clone(), reason)).collect();
    Ok(json!({"tasks": tasks, "failures": failures}))
}

/// A digest of everything in a request but its token.
fn fingerprint(value: &Value) -> String {
    let mut value = value.clone();
    if let Some(members) = value.as_object_mut() {
        members.remove("clientToken");
        members.sort_keys();
    }
    URL_SAFE_NO_PAD.encode(Sha256::digest(value.to_string()))
}

fn check(request: &RunTask) -> Result<(), Refused> {
    tags::check(&request.tags)?;
    reference::words("launchType", request.launch_type.as_slice(), &LAUNCH_TYPES)?;
    reference::words(
        "propagateTags",
        request.propagate_tags.as_slice(),
        &["TASK_DEFINITION", "SERVICE", "NONE"],
    )?;
    if request.propagate_tags.as_deref() == Some("SERVICE") {
        return Err(Refused::parameter(
            "propagateTags: SERVICE is for services; RunTask takes TASK_DEFINITION.",
        ));
    }
    if request.launch_type.is_some() && request.capacity_provider_strategy.is_some() {
        return Err(Refused::parameter("Specify either launchType or capacityProviderStrategy, not both."));
    }
    let is_word =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_/-".contains(&byte));
    if request.started_by.as_deref().is_some_and(|text| text.len() > 128 || !is_word(text)) {
        return Err(Refused::parameter(
            "startedBy has at most 128 letters, digits, hyphens, underscores and slashes.",
        ));
    }
    if request.group.as_deref().is_some_and(|group| group.starts_with("service:")) {
        return Err(Refused::parameter("A group that begins with service: is reserved for services."));
    }
    let is_token =
        |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(|byte| (33..=126).contains(&byte));
    if request.client_token.as_deref().is_some_and(|text| !is_token(text)) {
        return Err(Refused::parameter("clientToken has 1 to 64 characters from ASCII 33 to 126."));
    }
    if request.placement_constraints.as_ref().is_some_and(|list| list.len() > 10) {
        return Err(Refused::parameter("Too many placement constraints. A request may have 10."));
    }
    if request.placement_strategy.as_ref().is_some_and(|list| list.len() > 5) {
        return Err(Refused::parameter("Too many placement strategies. A request may have 5."));
    }
    let overrides = serde_json::to_string(&request.overrides).unwrap_or_default();
    if overrides.len() > 8192 {
        return Err(Refused::parameter("Overrides have at most 8192 characters."));
    }
    Ok(())
}

fn wanted(api: &Api, request: RunTask, fingerprint: String) -> Result<Wanted, Refused> {
    let count = request.count.unwrap_or(1);
    let count = usize::try_from(count)
        .ok()
        .filter(|count| (1..=10).contains(count))
        .ok_or_else(|| Refused::parameter(format!("count is {count}, and must be between 1 and 10")))?;
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, request.cluster.as_deref())?.name.clone();
    let definition = Definition::parse(&api.owner, &request.task_definition)?;
    let document = &definition.usable(&snapshot)?.document;
    network(document, request.network_configuration.as_ref())?;
    for change in &request.overrides.container_overrides {
        if document.container(&change.name).is_none() {
            return Err(Refused::parameter(format!(
                "Override for container named {} is not a container in the TaskDefinition.",
                change.name
            )));
        }
    }
    let provider = request
        .capacity_provider_strategy
        .as_ref()
        .and_then(|list| list.first()?.get("capacityProvider")?.as_str().map(str::to_owned));
    let launch_type = request.launch_type.or_else(|| provider.is_none().then(|| "EC2".into()));
    let kept = [
        ("launchType", launch_type.map(Value::from)),
        ("capacityProviderName", provider.map(Value::from)),
        ("networkConfiguration", request.network_configuration),
        ("platformVersion", request.platform_version.map(Value::from)),
        ("placementConstraints", request.placement_constraints.map(Value::from)),
        ("placementStrategy", request.placement_strategy.map(Value::from)),
        ("referenceId", request.reference_id.map(Value::from)),
        ("volumeConfigurations", request.volume_configurations),
        ("enableExecuteCommand", request.enable_execute_command.then_some(Value::Bool(true))),
    ];
    let token = request.client_token.map(|token| (format!("RunTask/{cluster}/{token}"), fingerprint));
    Ok(Wanted {
        cluster,
        definition,
        count,
        group: request.group,
        started_by: request.started_by,
        overrides: request.overrides,
        tags: request.tags,
        propagate: request.propagate_tags.as_deref() == Some("TASK_DEFINITION"),
        managed_tags: request.enable_ecs_managed_tags,
        extra: kept.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
        token,
        capacity: api.host.capacity.clone(),
        architecture: api.host.architecture.clone(),
        owner: api.owner.clone(),
        source: Arc::clone(&api.source),
        now: api.source.now(),
    })
}

/// A network configuration is there exactly when the mode wants one.
pub(super) fn network(document: &Document, configuration: Option<&Value>) -> Result<(), Refused> {
    let awsvpc = document.network_mode() == NetworkMode::Awsvpc;
    let Some(configuration) = configuration else {
        if awsvpc {
            let message = "Network Configuration must be provided when networkMode 'awsvpc' is specified.";
            return Err(Refused::parameter(message));
        }
        return Ok(());
    };
    if !awsvpc {
        let message = "Network Configuration is not valid for the given networkMode of this task definition.";
        return Err(Refused::parameter(message));
    }
    let vpc = &configuration["awsvpcConfiguration"];
    let length = |member: &str| vpc[member].as_array().map_or(0, Vec::len);
    if !(1..=16).contains(&length("subnets")) {
        return Err(Refused::parameter("awsvpcConfiguration takes 1 to 16 subnets."));
    }
    if length("securityGroups") > 5 {
        return Err(Refused::parameter("awsvpcConfiguration takes at most 5 securityGroups."));
    }
    let public = vpc["assignPublicIp"].as_str();
    reference::words("assignPublicIp", public.as_slice(), &["ENABLED", "DISABLED"])
}

impl Wanted {
    /// Writes as many tasks as fit. The same token with the same request gives the tasks of the first time.
    fn place(self, draft: &mut Draft) -> Result<Placed, Refused> {
        if let Some((key, fingerprint)) = &self.token
            && let Some(known) = draft.client_token(key).filter(|token| token.expires_at >= self.now)
        {
            if known.fingerprint == *fingerprint {
                return Ok((known.tasks.clone(), Vec::new()));
            }
            let message = "The client token was used before with other parameters.";
            let mut conflict = Refused::new(Kind::ConflictException, message);
            let arn = |id: &TaskId| self.owner.task(&self.cluster, id);
            conflict.more.insert("resourceIds".into(), known.tasks.iter().map(arn).collect());
            return Err(conflict);
        }
        let definition = Arc::clone(self.definition.usable(draft)?);
        let reservation = Reservation::of(&definition.document, &self.overrides);
        let (mut placed, mut failures) = (Vec::new(), Vec::new());
        for _ in 0..self.count {
            if let Some(reason) = self.obstacle(&definition.document, &reservation, draft) {
                failures.push(reason);
            } else {
                let task = self.task(&definition);
                placed.push(task.id.clone());
                draft.put_task(task);
            }
        }
        if let Some((key, fingerprint)) = self.token.clone().filter(|_| !placed.is_empty()) {
            let life = u64::try_from(TOKEN_LIFE.as_millis()).unwrap_or(u64::MAX);
            let expires_at = Timestamp(self.now.0.saturating_add(life));
            draft.put_client_token(
                ClientToken { key, fingerprint, tasks: placed.clone(), expires_at },
                self.now,
            );
        }
        Ok((placed, failures))
    }

    /// Why this host cannot take one more, in the words of `failures`.
    fn obstacle(
        &self,
        document: &Document,
        reservation: &Reservation,
        draft: &Draft,
    ) -> Option<&'static str> {
        let platform = document.runtime_platform.as_ref();
        if let Some(word) = platform.and_then(|platform| platform.cpu_architecture.as_deref())
            && !word.eq_ignore_ascii_case(&self.architecture)
        {
            return Some("ATTRIBUTE");
        }
        let taken = draft.taken();
        let admitted = self.capacity.admit(taken.resources, reservation, |port| taken.has(port));
        admitted.err().map(crate::model::resources::Shortage::reason)
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
