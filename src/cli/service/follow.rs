//! Following a deployment: a line a change, until it is through.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cli::{failure::Failure, print, session::Session};

/// What an event says when something stands in the way; the rest can be seen in the counts.
const TROUBLE: [&str; 4] = ["was unable", "is unable", " ended: ", "rolling back"];

/// Follows what `service`, as a call answered it, has set going. Gives the service once it runs as it should.
///
/// Fails when the deployment failed, was stopped, or was rolled back.
pub(super) async fn deployment(session: &Session, service: &Value) -> Result<Value, Failure> {
    let name = print::text(&service["serviceName"]);
    let record = service["currentServiceDeployment"].clone();
    let mut teller = Teller::new(service);
    session
        .until(async || {
            let service = session.describe_service(&name).await?;
            let input = json!({ "serviceDeploymentArns": [record] });
            let answer = match record.as_str() {
                Some(_) => session.call("DescribeServiceDeployments", input).await?,
                None => json!({}),
            };
            let record = &answer["serviceDeployments"][0];
            teller.tell(&service, record);
            end(&name, &service, record)
        })
        .await
}

/// Whether it is through, and how.
fn end(name: &str, service: &Value, record: &Value) -> Result<Option<Value>, Failure> {
    if service["status"] != "ACTIVE" {
        return Err(Failure::failed(format!("the service '{name}' was deleted meanwhile")));
    }
    let reason = [&record["rollback"]["reason"], &record["statusReason"]];
    let reason = reason.into_iter().find_map(Value::as_str).unwrap_or("no reason is known");
    match record["status"].as_str() {
        Some("ROLLBACK_SUCCESSFUL") => {
            Err(Failure::failed(format!("the deployment of '{name}' was rolled back: {reason}")))
        }
        Some("ROLLBACK_FAILED") => Err(Failure::failed(format!(
            "the deployment of '{name}' failed, and so did its rollback: {reason}"
        ))),
        Some("STOPPED") => Err(Failure::failed(format!("the deployment of '{name}' failed: {reason}"))),
        Some("IN_PROGRESS" | "STOP_REQUESTED" | "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS") => Ok(None),
        Some(_) | None => {
            let deployments = service["deployments"].as_array().map_or(0, Vec::len);
            let steady = deployments == 1 && service["runningCount"] == service["desiredCount"];
            Ok(steady.then(|| service.clone()))
        }
    }
}

/// Says what has changed since it last said something, on standard error: the answer itself goes to the other one.
struct Teller {
    last: String,
    heard: BTreeSet<String>,
}

impl Teller {
    /// Events that are there already are no news.
    fn new(service: &Value) -> Self {
        let events = service["events"].as_array().into_iter().flatten();
        Self { last: String::new(), heard: events.map(|event| print::text(&event["id"])).collect() }
    }

    fn tell(&mut self, service: &Value, record: &Value) {
        for event in service["events"].as_array().into_iter().flatten().rev() {
            let message = print::text(&event["message"]);
            let is_news = self.heard.insert(print::text(&event["id"]));
            if is_news && TROUBLE.iter().any(|part| message.contains(part)) {
                eprintln!("{}  {message}", print::time(&event["createdAt"]));
            }
        }
        let line = line(service, record);
        if line != self.last {
            eprintln!("{}  {line}", print::utc(crate::cli::session::now()));
            self.last = line;
        }
    }
}

/// Where each deployment is, the newest first.
fn line(service: &Value, record: &Value) -> String {
    let deployments = service["deployments"].as_array().into_iter().flatten().map(|one| {
        let definition = print::text(&one["taskDefinition"]);
        let failed = match one["failedTasks"].as_u64() {
            Some(failed) if failed > 0 => format!(", {failed} failed"),
            Some(_) | None => String::new(),
        };
        format!(
            "{} {} {}/{} running, {} pending{failed}",
            print::last_part(&definition),
            print::text(&one["rolloutState"]),
            one["runningCount"],
            one["desiredCount"],
            one["pendingCount"],
        )
    });
    let deployments: Vec<String> = deployments.collect();
    let rollback = record["status"].as_str().filter(|status| status.starts_with("ROLLBACK"));
    let rollback = rollback.map_or_else(String::new, |status| format!("{status}; "));
    format!("{rollback}{}", deployments.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Value {
        json!({
            "status": "ACTIVE", "desiredCount": 2, "runningCount": 3,
            "deployments": [
                {"taskDefinition": "arn:aws:ecs:r:1:task-definition/web:2", "rolloutState": "IN_PROGRESS",
                 "desiredCount": 2, "runningCount": 1, "pendingCount": 1, "failedTasks": 1},
                {"taskDefinition": "arn:aws:ecs:r:1:task-definition/web:1", "rolloutState": "COMPLETED",
                 "desiredCount": 2, "runningCount": 2, "pendingCount": 0, "failedTasks": 0},
            ],
        })
    }

    #[test]
    fn a_line_says_where_each_deployment_is() {
        assert_eq!(
            line(&service(), &json!({"status": "IN_PROGRESS"})),
            "web:2 IN_PROGRESS 1/2 running, 1 pending, 1 failed; web:1 COMPLETED 2/2 running, 0 pending"
        );
    }

    #[test]
    fn a_deployment_that_did_not_stay_is_a_failure() {
        for status in ["ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED", "STOPPED"] {
            assert!(end("web", &service(), &json!({"status": status})).is_err(), "{status}");
        }
        assert_eq!(end("web", &service(), &json!({"status": "IN_PROGRESS"})).unwrap(), None);
        assert_eq!(end("web", &service(), &json!({"status": "SUCCESSFUL"})).unwrap(), None, "two are left");
        let mut steady = service();
        steady["runningCount"] = json!(2);
        steady["deployments"].as_array_mut().unwrap().truncate(1);
        assert!(end("web", &steady, &json!({"status": "SUCCESSFUL"})).unwrap().is_some());
    }
}
