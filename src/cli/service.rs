//! `hythe service`: counts that are held.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};

use super::{
    arguments::{Bounds, Changes, ServiceCommand},
    failure::Failure,
    print,
    run::network_configuration,
    session::Session,
    table::{Cell, Table},
    task, task_definition,
};

mod follow;

pub(super) async fn run(session: &Session, command: ServiceCommand) -> Result<(), Failure> {
    match command {
        ServiceCommand::Create { name, task_definition, desired_count, bounds, daemon, wait } => {
            let mut input = json!({ "serviceName": name, "taskDefinition": task_definition });
            if daemon {
                input["schedulingStrategy"] = json!("DAEMON");
            } else {
                input["desiredCount"] = json!(desired_count.unwrap_or(1));
            }
            let definition = task_definition::describe(session, &task_definition).await?;
            if let Some(network) = network_configuration(&definition) {
                input["networkConfiguration"] = network;
            }
            set_bounds(&mut input, &bounds);
            let answer = session.call_in_cluster("CreateService", input).await?;
            follow(session, answer, wait).await
        }
        ServiceCommand::Update { changes, wait } => {
            let input = update_input(session, &changes).await?;
            let answer = session.call_in_cluster("UpdateService", input).await?;
            follow(session, answer, wait).await
        }
        ServiceCommand::Rollback { name, revision, wait } => {
            let mut input = json!({ "cluster": session.cluster, "service": name });
            if let Some(revision) = revision {
                input["revision"] = json!(revision);
            }
            let answer =
                session.client.send(Method::POST, "/hythe/v1/services/rollback", Some(input)).await?;
            follow(session, answer, wait).await
        }
        ServiceCommand::Deployments { name } => deployments(session, &name).await,
        ServiceCommand::StopDeployment { name, abort } => stop_deployment(session, &name, abort).await,
        ServiceCommand::Ls => list(session).await,
        ServiceCommand::Show { name } => show(session, &name).await,
        ServiceCommand::Events { name, follow } => events(session, &name, follow).await,
        ServiceCommand::Rm { names, force, wait } => remove(session, &names, force, wait).await,
    }
}

/// The input of UpdateService.
pub(super) async fn update_input(session: &Session, changes: &Changes) -> Result<Value, Failure> {
    let mut input = json!({ "service": changes.name });
    if let Some(text) = &changes.task_definition {
        input["taskDefinition"] = json!(text);
        let definition = task_definition::describe(session, text).await?;
        if let Some(network) = network_configuration(&definition) {
            input["networkConfiguration"] = network;
        }
    }
    if let Some(count) = changes.desired_count {
        input["desiredCount"] = json!(count);
    }
    if changes.force_new_deployment {
        input["forceNewDeployment"] = json!(true);
    }
    set_bounds(&mut input, &changes.bounds);
    Ok(input)
}

fn set_bounds(input: &mut Value, bounds: &Bounds) {
    let mut configuration = json!({});
    if let Some(percent) = bounds.minimum_healthy_percent {
        configuration["minimumHealthyPercent"] = json!(percent);
    }
    if let Some(percent) = bounds.maximum_percent {
        configuration["maximumPercent"] = json!(percent);
    }
    if bounds.circuit_breaker || bounds.rollback {
        configuration["deploymentCircuitBreaker"] = json!({ "enable": true, "rollback": bounds.rollback });
    }
    if configuration != json!({}) {
        input["deploymentConfiguration"] = configuration;
    }
}

/// Prints what came of a call, after the deployment that it began is through when that is waited for.
async fn follow(session: &Session, mut answer: Value, wait: bool) -> Result<(), Failure> {
    if wait {
        answer["service"] = follow::deployment(session, &answer["service"]).await?;
    }
    let name = print::text(&answer["service"]["serviceName"]);
    if session.json { session.print_json(&answer) } else { session.print(&format!("{name}\n")) }
}

async fn deployments(session: &Session, name: &str) -> Result<(), Failure> {
    let arns =
        session.call_in_cluster("ListServiceDeployments", json!({ "service": name, "maxResults": 20 }));
    let arns = arns.await?;
    let list = arns["serviceDeployments"].as_array().map_or(&[][..], Vec::as_slice);
    let arns: Vec<&Value> = list.iter().map(|one| &one["serviceDeploymentArn"]).collect();
    let answer = if arns.is_empty() {
        json!({ "serviceDeployments": [], "failures": [] })
    } else {
        session.call("DescribeServiceDeployments", json!({ "serviceDeploymentArns": arns })).await?
    };
    if session.json {
        return session.print_json(&answer);
    }
    let mut table =
        Table::new(&["DEPLOYMENT", "STATUS", "REVISION", "STARTED", "FINISHED", "FAILURES", "REASON"]);
    for one in answer["serviceDeployments"].as_array().into_iter().flatten() {
        let breaker = &one["deploymentCircuitBreaker"];
        table.row([
            print::last_part(&print::text(&one["serviceDeploymentArn"])).into(),
            Cell::status(print::text(&one["status"])),
            print::last_part(&print::text(&one["targetServiceRevision"]["arn"])).into(),
            print::time(&one["startedAt"]).into(),
            print::time(&one["finishedAt"]).into(),
            format!("{}/{}", breaker["failureCount"], breaker["threshold"]).into(),
            print::text(&one["statusReason"]).into(),
        ]);
    }
    session.print(&table.render(session.colour))
}

async fn stop_deployment(session: &Session, name: &str, abort: bool) -> Result<(), Failure> {
    let service = session.describe_service(name).await?;
    let how = if abort { "ABORT" } else { "ROLLBACK" };
    let input = json!({ "serviceDeploymentArn": service["currentServiceDeployment"], "stopType": how });
    let answer = session.call("StopServiceDeployment", input).await?;
    if session.json { session.print_json(&answer) } else { session.print(&format!("{name}\n")) }
}

async fn list(session: &Session) -> Result<(), Failure> {
    let input = json!({ "cluster": session.cluster, "maxResults": 100 });
    let arns = session.list("ListServices", input, "serviceArns").await?;
    // ECS takes ten names at a time.
    let answer = session.describe_all("DescribeServices", "services", &arns, 10).await?;
    if session.json {
        return session.print_json(&answer);
    }
    let mut table =
        Table::new(&["SERVICE", "DEFINITION", "STATUS", "DESIRED", "RUNNING", "PENDING", "ROLLOUT"]);
    for service in answer["services"].as_array().into_iter().flatten() {
        table.row([
            print::text(&service["serviceName"]).into(),
            print::last_part(&print::text(&service["taskDefinition"])).into(),
            Cell::status(print::text(&service["status"])),
            service["desiredCount"].to_string().into(),
            service["runningCount"].to_string().into(),
            service["pendingCount"].to_string().into(),
            Cell::status(print::text(&service["deployments"][0]["rolloutState"])),
        ]);
    }
    session.print(&table.render(session.colour))
}

async fn show(session: &Session, name: &str) -> Result<(), Failure> {
    let answer = session.described_service(name).await?;
    if session.json {
        return session.print_json(&answer);
    }
    let service = &answer["services"][0];
    let mut table = Table::of_pairs();
    table.pair("Service", print::text(&service["serviceName"]));
    table.pair("ARN", print::text(&service["serviceArn"]));
    table.pair("Status", Cell::status(print::text(&service["status"])));
    table.pair("Definition", print::last_part(&print::text(&service["taskDefinition"])));
    table.pair("Strategy", print::text(&service["schedulingStrategy"]));
    table.pair("Desired", service["desiredCount"].to_string());
    table.pair("Running", service["runningCount"].to_string());
    table.pair("Pending", service["pendingCount"].to_string());
    table.pair("Created", print::time(&service["createdAt"]));
    let mut text = table.render(session.colour);
    let mut deployments =
        Table::new(&["DEPLOYMENT", "STATUS", "DEFINITION", "RUNNING", "FAILED", "ROLLOUT", "REASON"]);
    for deployment in service["deployments"].as_array().into_iter().flatten() {
        deployments.row([
            print::last_part(&print::text(&deployment["id"])).into(),
            Cell::status(print::text(&deployment["status"])),
            print::last_part(&print::text(&deployment["taskDefinition"])).into(),
            format!("{}/{}", deployment["runningCount"], deployment["desiredCount"]).into(),
            deployment["failedTasks"].to_string().into(),
            Cell::status(print::text(&deployment["rolloutState"])),
            print::text(&deployment["rolloutStateReason"]).into(),
        ]);
    }
    text.push('\n');
    text.push_str(&deployments.render(session.colour));
    let newest: Vec<String> = service["events"]
        .as_array()
        .into_iter()
        .flatten()
        .take(5)
        .map(|event| line(session, event))
        .collect();
    if !newest.is_empty() {
        text.push('\n');
        text.push_str(&newest.into_iter().rev().collect::<String>());
    }
    session.print(&text)
}

fn line(session: &Session, event: &Value) -> String {
    if session.json {
        return format!("{event}\n");
    }
    format!("{}  {}\n", print::time(&event["createdAt"]), print::text(&event["message"]))
}

/// Prints events, the oldest first; with `follow` until the service is gone.
async fn events(session: &Session, name: &str, follow: bool) -> Result<(), Failure> {
    let mut printed: BTreeSet<String> = BTreeSet::new();
    session
        .until(async || {
            let service = session.describe_service(name).await?;
            for event in service["events"].as_array().into_iter().flatten().rev() {
                if printed.insert(print::text(&event["id"])) {
                    session.print(&line(session, event))?;
                }
            }
            Ok((!follow || service["status"] == "INACTIVE").then_some(()))
        })
        .await
}

async fn remove(session: &Session, names: &[String], force: bool, wait: bool) -> Result<(), Failure> {
    for name in names {
        let tasks = session.task_arns(&json!({ "serviceName": name }), false).await?;
        let answer =
            session.call_in_cluster("DeleteService", json!({ "service": name, "force": force })).await?;
        if wait {
            until_gone(session, name, &tasks).await?;
        }
        if session.json {
            session.print_json(&answer)?;
        } else {
            session.print(&format!("{name}\n"))?;
        }
    }
    Ok(())
}

/// Waits until the service is gone, and with it the tasks that it had.
async fn until_gone(session: &Session, name: &str, tasks: &[String]) -> Result<(), Failure> {
    session
        .until(async || {
            let answer = session.call_in_cluster("DescribeServices", json!({ "services": [name] })).await?;
            let service = answer["services"].get(0);
            Ok(service.is_none_or(|service| service["status"] == "INACTIVE").then_some(()))
        })
        .await?;
    for task in tasks {
        task::until_stopped(session, task).await?;
    }
    Ok(())
}
