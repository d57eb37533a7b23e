//! RunTask: places as many tasks as fit, and remembers the answer under the client's token.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Answer, Api, input,
    launch::{self, Launch, Obstacle},
    reference,
    refused::{Kind, Refused},
    task_request::TaskRequest,
};
use crate::{
    model::{
        arn::Owner,
        ids::TaskId,
        task_definition::{Document, NetworkMode},
        time::Timestamp,
    },
    store::{ClientToken, Draft},
};

/// How long an answer is remembered.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Tasks that were placed, and why the others were not.
type Placed = (Vec<TaskId>, Vec<Obstacle>);

pub(super) async fn run(api: &Api, value: Value) -> Answer {
    let fingerprint = fingerprint(&value);
    let request: TaskRequest = input(value)?;
    let count = count(&request)?;
    let snapshot = api.store.snapshot();
    let cluster = reference::cluster(&snapshot, &api.owner, request.cluster.as_deref())?;
    let token = request.client_token.as_ref();
    let token = token.map(|token| Token { key: format!("RunTask/{}/{token}", cluster.name), fingerprint });
    let launch = Launch::new(api, &snapshot, cluster, request)?;
    let (name, owner) = (cluster.name.clone(), api.owner.clone());
    let (ids, obstacles) = api.store.write(move |draft| place(&launch, count, token, &owner, draft)).await?;
    Ok(launch::answer(api, &name, &ids, &obstacles, Vec::new()))
}

/// A digest of everything in a request but its token.
fn fingerprint(value: &Value) -> String {
    let mut value = value.clone();
    if let Some(members) = value.as_object_mut() {
        members.remove("clientToken");
    }
    value.sort_all_objects();
    URL_SAFE_NO_PAD.encode(Sha256::digest(value.to_string()))
}

fn count(request: &TaskRequest) -> Result<usize, Refused> {
    let count = request.count.unwrap_or(1);
    let bounded = usize::try_from(count).ok().filter(|count| (1..=10).contains(count));
    bounded.ok_or_else(|| Refused::parameter(format!("count is {count}, and must be between 1 and 10")))
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

/// What makes a request that comes again the same request.
struct Token {
    key: String,
    fingerprint: String,
}

impl Token {
    /// The tasks of the first time, where there was one.
    fn known(&self, owner: &Owner, launch: &Launch, draft: &Draft) -> Result<Option<Vec<TaskId>>, Refused> {
        let known = draft.client_token(&self.key).filter(|token| token.expires_at >= launch.now);
        let Some(known) = known else { return Ok(None) };
        if known.fingerprint == self.fingerprint {
            return Ok(Some(known.tasks.clone()));
        }
        let message = "The client token was used before with other parameters.";
        let mut conflict = Refused::new(Kind::ConflictException, message);
        let arn = |id: &TaskId| owner.task(&launch.cluster, id);
        conflict.more.insert("resourceIds".into(), known.tasks.iter().map(arn).collect());
        Err(conflict)
    }
}

/// Writes as many tasks as fit. The same token with the same request gives the tasks of the first time.
fn place(
    launch: &Launch,
    count: usize,
    token: Option<Token>,
    owner: &Owner,
    draft: &mut Draft,
) -> Result<Placed, Refused> {
    if let Some(token) = &token
        && let Some(tasks) = token.known(owner, launch, draft)?
    {
        return Ok((tasks, Vec::new()));
    }
    if !launch.is_open(draft) {
        return Err(Refused::parameter("No Container Instances were found in your cluster."));
    }
    let (placed, failures) = launch.place(count, draft)?;
    if let Some(Token { key, fingerprint }) = token.filter(|_| !placed.is_empty()) {
        let life = u64::try_from(TOKEN_LIFE.as_millis()).unwrap_or(u64::MAX);
        let expires_at = Timestamp(launch.now.0.saturating_add(life));
        let token = ClientToken { key, fingerprint, tasks: placed.clone(), expires_at };
        draft.put_client_token(token, launch.now);
    }
    Ok((placed, failures))
}
