//! `hythe run`: standalone tasks, and with `--wait` or `--follow` their end.
//!
//! A definition that is a file is registered first. On one host there is one network, so the network configuration
//! that ECS demands for the mode `awsvpc` is filled in here. With `--wait` the exit code is that of the container
//! that ended the task: the first essential one whose code is not 0.

use std::fmt::Write as _;

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    arguments::RunArguments,
    failure::{FAILED, Failure},
    logs::{self, Style},
    print,
    session::Session,
    task, task_definition,
};

/// How long the last lines may take after a task has stopped.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Runs tasks.
pub(super) async fn run(session: &Session, arguments: RunArguments) -> Result<u8, Failure> {
    if arguments.follow && arguments.count > 1 {
        return Err(Failure::usage("--follow prints one task: leave --count out, or use `hythe logs`"));
    }
    let definition = definition(session, &arguments.definition).await?;
    let mut input = json!({
        "taskDefinition": definition["taskDefinitionArn"],
        "count": arguments.count,
    });
    if let Some(overrides) = overrides(&definition, &arguments)? {
        input["overrides"] = overrides;
    }
    if let Some(group) = &arguments.group {
        input["group"] = json!(group);
    }
    if let Some(who) = &arguments.started_by {
        input["startedBy"] = json!(who);
    }
    if let Some(network) = network_configuration(&definition) {
        input["networkConfiguration"] = network;
    }
    let answer = session.call_in_cluster("RunTask", input).await?;
    if let Some(failure) = answer["failures"].get(0) {
        if session.json {
            session.print_json(&answer)?;
        }
        return Err(Failure::refused(format!("the task cannot be placed: {}", reason_of(failure))));
    }
    let arns: Vec<String> =
        answer["tasks"].as_array().into_iter().flatten().map(|task| print::text(&task["taskArn"])).collect();
    if !arguments.wait && !arguments.follow {
        tell(session, &answer, &arns)?;
        return Ok(0);
    }
    if arguments.follow {
        follow(session, &arns[0], &definition).await?;
    } else if !session.json {
        tell(session, &answer, &arns)?;
    }
    ends(session, &arns, &definition, &arguments).await
}

fn reason_of(failure: &Value) -> String {
    let reason = print::text(&failure["reason"]);
    match failure["detail"].as_str() {
        Some(detail) => format!("{reason} ({detail})"),
        None => reason,
    }
}

fn tell(session: &Session, answer: &Value, arns: &[String]) -> Result<(), Failure> {
    if session.json {
        return session.print_json(answer);
    }
    session.print(&print::lines(arns.iter().map(|arn| print::last_part(arn))))
}

/// The definition that the user means, registered first when it is a file.
async fn definition(session: &Session, text: &str) -> Result<Value, Failure> {
    let is_file = std::path::Path::new(text).extension().is_some_and(|ending| ending == "json");
    if is_file {
        return Ok(task_definition::register(session, text.as_ref()).await?["taskDefinition"].take());
    }
    task_definition::describe(session, text).await
}

/// What this run changes of the definition.
fn overrides(definition: &Value, arguments: &RunArguments) -> Result<Option<Value>, Failure> {
    if arguments.env.is_empty() && arguments.command.is_empty() {
        return match &arguments.container {
            Some(_) => Err(Failure::usage("--container changes nothing without --env or a command")),
            None => Ok(None),
        };
    }
    let name = match &arguments.container {
        Some(name) => json!(name),
        None => definition["containerDefinitions"][0]["name"].clone(),
    };
    let mut container = json!({ "name": name });
    if !arguments.command.is_empty() {
        container["command"] = json!(arguments.command);
    }
    let mut environment = Vec::new();
    for pair in &arguments.env {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Failure::usage(format!("'{pair}' is not NAME=VALUE")));
        };
        environment.push(json!({ "name": name, "value": value }));
    }
    if !environment.is_empty() {
        container["environment"] = json!(environment);
    }
    Ok(Some(json!({ "containerOverrides": [container] })))
}

/// What ECS demands for the mode `awsvpc`: this host has one network, which every subnet names.
pub(super) fn network_configuration(definition: &Value) -> Option<Value> {
    (definition["networkMode"] == "awsvpc")
        .then(|| json!({ "awsvpcConfiguration": { "subnets": ["subnet-local"] } }))
}

/// Prints the task's output until it has stopped.
async fn follow(session: &Session, arn: &str, definition: &Value) -> Result<(), Failure> {
    let several = definition["containerDefinitions"].as_array().is_some_and(|list| list.len() > 1);
    let lines = logs::follow(session, print::last_part(arn)).await?;
    let mut printing = Box::pin(logs::print_all(session, lines, Style { names: several, times: false }));
    tokio::select! {
        printed = &mut printing => return printed,
        stopped = task::until_stopped(session, arn) => stopped?,
    };
    tokio::time::timeout(LAST_LINES, printing).await.unwrap_or(Ok(()))
}

/// Waits for the tasks' ends, says what is worth saying, and gives the exit code.
async fn ends(
    session: &Session,
    arns: &[String],
    definition: &Value,
    arguments: &RunArguments,
) -> Result<u8, Failure> {
    let mut tasks = Vec::new();
    for arn in arns {
        tasks.push(task::until_stopped(session, arn).await?);
    }
    if session.json && !arguments.follow {
        session.print_json(&json!({ "tasks": tasks, "failures": [] }))?;
    }
    let mut code = 0;
    for task in &tasks {
        let own = exit_code(task, definition);
        if own != 0 {
            eprintln!("hythe: task {} {}", print::short_id(&print::text(&task["taskArn"])), why(task));
        }
        if code == 0 {
            code = own;
        }
    }
    Ok(code)
}

/// The code of the first essential container that did not end well.
fn exit_code(task: &Value, definition: &Value) -> u8 {
    let is_essential = |name: &Value| {
        let containers = definition["containerDefinitions"].as_array();
        containers.into_iter().flatten().any(|one| one["name"] == *name && one["essential"] != json!(false))
    };
    let essential = || {
        let containers = task["containers"].as_array();
        containers.into_iter().flatten().filter(|container| is_essential(&container["name"]))
    };
    let bad = essential().filter_map(|container| container["exitCode"].as_i64()).find(|code| *code != 0);
    match bad {
        Some(code) => u8::try_from(code).unwrap_or(FAILED),
        None if essential().all(|container| container["exitCode"].is_number()) => 0,
        None => FAILED,
    }
}

/// Why a task stopped, with what its containers have to say.
fn why(task: &Value) -> String {
    let mut text = format!("stopped: {}", print::text(&task["stoppedReason"]));
    for container in task["containers"].as_array().into_iter().flatten() {
        if let Some(code) = container["exitCode"].as_i64().filter(|code| *code != 0) {
            let _ = write!(text, "; {} exited with {code}", print::text(&container["name"]));
        }
        if let Some(reason) = container["reason"].as_str() {
            let _ = write!(text, "; {}: {reason}", print::text(&container["name"]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_essential_container_that_failed() {
        let definition = json!({ "containerDefinitions": [
            { "name": "sidecar", "essential": false }, { "name": "web", "essential": true }
        ] });
        let task = |web: Value| json!({ "containers": [{ "name": "sidecar", "exitCode": 9 }, { "name": "web", "exitCode": web }] });
        assert_eq!(exit_code(&task(json!(7)), &definition), 7);
        assert_eq!(exit_code(&task(json!(0)), &definition), 0);
        assert_eq!(exit_code(&task(Value::Null), &definition), FAILED, "it never ran");
        assert_eq!(exit_code(&task(json!(-1)), &definition), FAILED);
    }

    #[test]
    fn only_an_interface_of_its_own_needs_a_network_configuration() {
        assert!(network_configuration(&json!({ "networkMode": "awsvpc" })).is_some());
        assert!(network_configuration(&json!({ "networkMode": "bridge" })).is_none());
        assert!(network_configuration(&json!({})).is_none());
    }
}
