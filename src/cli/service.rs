//! `hythe service`: counts that are held.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    arguments::{Bounds, ServiceCommand},
    failure::Failure,
    print,
    run::network_configuration,
    session::Session,
    table::{Cell, Table},
    task, task_definition,
};

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
            change(session, "CreateService", input, Some(&definition), &bounds, wait).await
        }
        ServiceCommand::Update {
            name,
            task_definition,
            desired_count,
            bounds,
            force_new_deployment,
            wait,
        } => {
            let mut input = json!({ "service": name });
            let mut definition = None;
            if let Some(text) = &task_definition {
                input["taskDefinition"] = json!(text);
                definition = Some(task_definition::describe(session, text).await?);
            }
            if let Some(count) = desired_count {
                input["desiredCount"] = json!(count);
            }
            if force_new_deployment {
                input["forceNewDeployment"] = json!(true);
            }
            change(session, "UpdateService", input, definition.as_ref(), &bounds, wait).await
        }
        ServiceCommand::Ls => list(session).await,
        ServiceCommand::Show { name } => show(session, &name).await,
        ServiceCommand::Events { name, follow } => events(session, &name, follow).await,
        ServiceCommand::Rm { names, force, wait } => remove(session, &names, force, wait).await,
    }
}

async fn change(
    session: &Session,
    operation: &str,
    mut input: Value,
    definition: Option<&Value>,
    bounds: &Bounds,
    wait: bool,
) -> Result<(), Failure> {
    if let Some(network) = definition.and_then(network_configuration) {
        input["networkConfiguration"] = network;
    }
    let mut configuration = json!({});
    if let Some(percent) = bounds.minimum_healthy_percent {
        configuration["minimumHealthyPercent"] = json!(percent);
    }
    if let Some(percent) = bounds.maximum_percent {
        configuration["maximumPercent"] = json!(percent);
    }
    if configuration != json!({}) {
        input["deploymentConfiguration"] = configuration;
    }
    let mut answer = session.call_in_cluster(operation, input).await?;
    let name = print::text(&answer["service"]["serviceName"]);
    if wait {
        answer["service"] = until_steady(session, &name).await?;
    }
    if session.json { session.print_json(&answer) } else { session.print(&format!("{name}\n")) }
}

/// The service as it is described once it runs as it should, as ECS's own waiter sees it.
async fn until_steady(session: &Session, name: &str) -> Result<Value, Failure> {
    session
        .until(async || {
            let service = session.describe_service(name).await?;
            let deployments = service["deployments"].as_array().map_or(&[][..], Vec::as_slice);
            if let Some(failed) = deployments.iter().find(|one| one["rolloutState"] == "FAILED") {
                let reason = print::text(&failed["rolloutStateReason"]);
                return Err(Failure::failed(format!("the deployment of '{name}' failed: {reason}")));
            }
            if service["status"] != "ACTIVE" {
                return Err(Failure::failed(format!("the service '{name}' was deleted meanwhile")));
            }
            let steady = deployments.len() == 1 && service["runningCount"] == service["desiredCount"];
            Ok(steady.then_some(service))
        })
        .await
}

async fn described(session: &Session, arns: &[String]) -> Result<Vec<Value>, Failure> {
    let mut services = Vec::new();
    // ECS takes ten names at a time.
    for some in arns.chunks(10) {
        let mut answer = session.call_in_cluster("DescribeServices", json!({ "services": some })).await?;
        if let Value::Array(found) = answer["services"].take() {
            services.extend(found);
        }
    }
    Ok(services)
}

async fn list(session: &Session) -> Result<(), Failure> {
    let input = json!({ "cluster": session.cluster, "maxResults": 100 });
    let arns = session.list("ListServices", input, "serviceArns").await?;
    let services = described(session, &arns).await?;
    if session.json {
        return session.print_json(&json!({ "services": services }));
    }
    let mut table =
        Table::new(&["SERVICE", "DEFINITION", "STATUS", "DESIRED", "RUNNING", "PENDING", "ROLLOUT"]);
    for service in &services {
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
    let service = session.describe_service(name).await?;
    if session.json {
        return session.print_json(&service);
    }
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
