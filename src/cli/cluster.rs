//! `hythe cluster`: name spaces for services and tasks.

use serde_json::{Value, json};

use super::{
    arguments::ClusterCommand,
    failure::Failure,
    print,
    session::Session,
    table::{Cell, Table},
};

pub(super) async fn run(session: &Session, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Create { name } => {
            let answer = session.call("CreateCluster", json!({ "clusterName": name })).await?;
            told(session, &answer, "clusterName")
        }
        ClusterCommand::Ls => list(session).await,
        ClusterCommand::Show { name } => show(session, name.as_deref().unwrap_or(&session.cluster)).await,
        ClusterCommand::Rm { name } => {
            let answer = session.call("DeleteCluster", json!({ "cluster": name })).await?;
            told(session, &answer, "clusterName")
        }
    }
}

/// Prints the cluster's name for people, the answer for programs.
fn told(session: &Session, answer: &Value, key: &str) -> Result<(), Failure> {
    if session.json {
        return session.print_json(answer);
    }
    session.print(&format!("{}\n", print::text(&answer["cluster"][key])))
}

async fn list(session: &Session) -> Result<(), Failure> {
    let arns = session.list("ListClusters", json!({}), "clusterArns").await?;
    let answer = session.describe_all("DescribeClusters", "clusters", &arns, 100).await?;
    if session.json {
        return session.print_json(&answer);
    }
    let mut table = Table::new(&["CLUSTER", "STATUS", "SERVICES", "RUNNING", "PENDING"]);
    for cluster in answer["clusters"].as_array().into_iter().flatten() {
        table.row([
            print::text(&cluster["clusterName"]).into(),
            Cell::status(print::text(&cluster["status"])),
            cluster["activeServicesCount"].to_string().into(),
            cluster["runningTasksCount"].to_string().into(),
            cluster["pendingTasksCount"].to_string().into(),
        ]);
    }
    session.print(&table.render(session.colour))
}

async fn show(session: &Session, name: &str) -> Result<(), Failure> {
    let answer = session.call("DescribeClusters", json!({ "clusters": [name], "include": ["TAGS"] })).await?;
    let Some(cluster) = answer["clusters"].get(0) else {
        return Err(Failure::not_found(format!("there is no cluster '{name}'")));
    };
    if session.json {
        return session.print_json(&answer);
    }
    let mut table = Table::of_pairs();
    table.pair("Cluster", print::text(&cluster["clusterName"]));
    table.pair("ARN", print::text(&cluster["clusterArn"]));
    table.pair("Status", Cell::status(print::text(&cluster["status"])));
    table.pair("Services", cluster["activeServicesCount"].to_string());
    table.pair("Running tasks", cluster["runningTasksCount"].to_string());
    table.pair("Pending tasks", cluster["pendingTasksCount"].to_string());
    session.print(&table.render(session.colour))
}
