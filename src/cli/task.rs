//! `hythe ps`, `hythe show`, `hythe stop`: tasks that are there.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    arguments::{PsArguments, ShowArguments, StopArguments},
    failure::Failure,
    print,
    session::{self, Session},
    table::{Cell, Table, Tone},
};
use crate::model::reading;
use crate::model::task::Span;

/// Lists tasks.
pub(super) async fn list(session: &Session, arguments: PsArguments) -> Result<(), Failure> {
    let mut filter = json!({});
    if let Some(service) = &arguments.service {
        filter["serviceName"] = json!(service);
    }
    if let Some(family) = &arguments.family {
        filter["family"] = json!(family);
    }
    let arns = session.task_arns(&filter, arguments.all).await?;
    let mut answer = session.describe_all("DescribeTasks", "tasks", &arns, 100).await?;
    let created = |task: &Value| task["createdAt"].as_f64().unwrap_or_default();
    if let Some(tasks) = answer["tasks"].as_array_mut() {
        tasks.sort_by(|one, other| created(other).total_cmp(&created(one)));
    }
    if session.json {
        return session.print_json(&answer);
    }
    let tasks = answer["tasks"].as_array().map_or(&[][..], Vec::as_slice);
    if arguments.quiet {
        let ids = tasks.iter().map(id);
        return session.print(&print::lines(ids));
    }
    let now = session::now();
    let mut table =
        Table::new(&["TASK", "DEFINITION", "GROUP", "STATUS", "HEALTH", "PORTS", "STARTED", "IMAGE"]);
    for task in tasks {
        table.row(row(task, now));
    }
    session.print(&table.render(session.colour))
}

/// A task's whole id.
fn id(task: &Value) -> String {
    print::last_part(&print::text(&task["taskArn"])).to_owned()
}

fn row(task: &Value, now: f64) -> Vec<Cell> {
    let images = task["containers"].as_array().into_iter().flatten().map(|one| print::text(&one["image"]));
    let status = print::text(&task["lastStatus"]);
    let desired = print::text(&task["desiredStatus"]);
    let status = if desired == "STOPPED" && status == "RUNNING" { "STOPPING".to_owned() } else { status };
    vec![
        print::short_id(&print::text(&task["taskArn"])).into(),
        print::last_part(&print::text(&task["taskDefinitionArn"])).into(),
        print::text(&task["group"]).into(),
        Cell::status(status),
        Cell::status(print::text(&task["healthStatus"])),
        print::ports(&task["containers"]).into(),
        print::ago(&task["startedAt"], now).into(),
        images.collect::<Vec<_>>().join(", ").into(),
    ]
}

/// Shows one task.
pub(super) async fn show(session: &Session, arguments: ShowArguments) -> Result<(), Failure> {
    let task = session.task(&arguments.task).await?;
    let answer = session.described_task(&task).await?;
    let described = &answer["tasks"][0];
    let id = print::last_part(described["taskArn"].as_str().unwrap_or(&task)).to_owned();
    let stored = session.client.get(&format!("/hythe/v1/tasks/{id}")).await?;
    if session.json {
        return session.print_json(if arguments.timing { &stored } else { &answer });
    }
    if arguments.timing {
        return session.print(&timing(&stored, session.colour)?);
    }
    let mut text = summary(described, &stored).render(session.colour);
    text.push('\n');
    text.push_str(&containers(described).render(session.colour));
    for sentence in print::strings(&stored["notEnforced"]) {
        let _ = write!(text, "\n{} {sentence}", Tone::Middling.paint("not enforced:", session.colour));
    }
    text = format!("{}\n", text.trim_end());
    text.push_str(&last_words(described, &stored, session.colour));
    session.print(&text)
}

/// What the containers of a task that failed said last.
fn last_words(task: &Value, stored: &Value, colour: bool) -> String {
    let mut text = String::new();
    if task["lastStatus"] != "STOPPED" {
        return text;
    }
    let described = task["containers"].as_array().into_iter().flatten();
    let has_failed = |container: &Value| {
        let exit = container["exitCode"].as_i64();
        exit.is_some_and(|code| code != 0) || container["reason"].is_string()
    };
    if !described.clone().any(has_failed) {
        return text;
    }
    for container in stored["containers"].as_array().into_iter().flatten() {
        let Some(lines) = container["lastLines"].as_array().filter(|lines| !lines.is_empty()) else {
            continue;
        };
        let title = format!("last output of {}:", print::text(&container["name"]));
        let _ = writeln!(text, "\n{}", Tone::Faint.paint(&title, colour));
        for line in lines {
            let _ = writeln!(text, "  {}", print::text(&line["line"]).trim_end());
        }
    }
    text
}

fn summary(task: &Value, stored: &Value) -> Table {
    let now = session::now();
    let mut table = Table::of_pairs();
    let when = |time: &Value| match time.as_f64() {
        Some(_) => format!("{} ({})", print::time(time), print::ago(time, now)),
        None => "-".to_owned(),
    };
    table.pair("Task", print::last_part(&print::text(&task["taskArn"])));
    table.pair("ARN", print::text(&task["taskArn"]));
    table.pair("Definition", print::last_part(&print::text(&task["taskDefinitionArn"])));
    table.pair("Group", print::text(&task["group"]));
    table.pair("Started by", print::text(&task["startedBy"]));
    table.pair("Status", Cell::status(print::text(&task["lastStatus"])));
    table.pair("Desired", print::text(&task["desiredStatus"]));
    table.pair("Health", Cell::status(print::text(&task["healthStatus"])));
    table.pair("Address", address(task));
    if let (Some(first), Some(count)) = (stored["users"]["first"].as_u64(), stored["users"]["count"].as_u64())
    {
        let last = (first + count).saturating_sub(1);
        table.pair("Users", format!("its own; on the host {first} to {last}"));
    }
    table.pair("Created", when(&task["createdAt"]));
    table.pair("Started", when(&task["startedAt"]));
    table.pair("Stopping", when(&task["stoppingAt"]));
    table.pair("Stopped", when(&task["stoppedAt"]));
    table.pair("Stop code", print::text(&task["stopCode"]));
    table.pair("Reason", print::text(&task["stoppedReason"]));
    for path in print::strings(&stored["logPaths"]) {
        table.pair("Log", path);
    }
    table
}

/// The task's address on the instance's network.
fn address(task: &Value) -> String {
    let mut interfaces = task["containers"].as_array().into_iter().flatten();
    interfaces
        .find_map(|container| container["networkInterfaces"][0]["privateIpv4Address"].as_str())
        .unwrap_or("-")
        .to_owned()
}

fn containers(task: &Value) -> Table {
    let mut table = Table::new(&["CONTAINER", "STATUS", "HEALTH", "EXIT", "PORTS", "IMAGE", "REASON"]);
    for container in task["containers"].as_array().into_iter().flatten() {
        let exit = container["exitCode"].as_i64();
        table.row([
            print::text(&container["name"]).into(),
            Cell::status(print::text(&container["lastStatus"])),
            Cell::status(print::text(&container["healthStatus"])),
            match exit {
                Some(0) => "0".into(),
                Some(code) => Cell::toned(code.to_string(), Tone::Bad),
                None => "-".into(),
            },
            print::ports(&json!([container])).into(),
            print::text(&container["image"]).into(),
            print::text(&container["reason"]).into(),
        ]);
    }
    table
}

/// Where a task's start spent its time: a line a step, with a bar on one scale for all.
fn timing(stored: &Value, colour: bool) -> Result<String, Failure> {
    const WIDTH: u64 = 40;

    let mut spans: Vec<Span> = reading::from_value(stored["timing"].clone())
        .map_err(|error| Failure::failed(format!("read the daemon's timing: {error}")))?;
    if spans.is_empty() {
        return Ok("nothing was measured yet\n".to_owned());
    }
    spans.sort_by_key(|span| span.start_us);
    let end = spans.iter().map(|span| span.start_us + span.took_us).max().unwrap_or(0).max(1);
    let mut table = Table::new(&["STEP", "CONTAINER", "AFTER", "TOOK", ""]);
    for span in &spans {
        let from = span.start_us * WIDTH / end;
        let length = (span.took_us * WIDTH / end).clamp(1, WIDTH);
        let blank = |count: u64| " ".repeat(usize::try_from(count.min(WIDTH - 1)).unwrap_or_default());
        let bar = "=".repeat(usize::try_from(length).unwrap_or_default());
        table.row([
            span.name.as_str().into(),
            span.container.as_ref().map_or("-", |name| name.as_str()).into(),
            print::millis(span.start_us).into(),
            print::millis(span.took_us).into(),
            Cell::toned(format!("{}{bar}", blank(from)), Tone::Faint),
        ]);
    }
    let mut text = table.render(colour);
    let _ = writeln!(text, "in all {}", print::millis(end));
    Ok(text)
}

/// Stops tasks.
pub(super) async fn stop(session: &Session, arguments: StopArguments) -> Result<(), Failure> {
    let mut stopped = Vec::new();
    for text in &arguments.tasks {
        let task = session.task(text).await?;
        let mut input = json!({ "task": task });
        if let Some(reason) = &arguments.reason {
            input["reason"] = json!(reason);
        }
        stopped.push(session.call_in_cluster("StopTask", input).await?["task"].take());
    }
    if arguments.wait {
        for task in &mut stopped {
            let arn = print::text(&task["taskArn"]);
            *task = until_stopped(session, &arn).await?;
        }
    }
    if session.json {
        return stopped.iter().try_for_each(|task| session.print_json(&json!({ "task": task })));
    }
    session.print(&print::lines(stopped.iter().map(id)))
}

/// The task as it is described once it has stopped.
pub(super) async fn until_stopped(session: &Session, task: &str) -> Result<Value, Failure> {
    session
        .until(async || {
            let described = session.describe_task(task).await?;
            Ok((described["lastStatus"] == "STOPPED").then_some(described))
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_drawn_on_one_scale() {
        let stored = json!({ "timing": [
            { "name": "network", "container": null, "start_us": 500, "took_us": 500 },
            { "name": "pull", "container": "web", "start_us": 0, "took_us": 500 },
        ] });
        let text = timing(&stored, false).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].starts_with("pull     web        0.000 ms  0.500 ms  ===================="),
            "{text}"
        );
        assert!(lines[2].ends_with(&format!("{}{}", " ".repeat(20), "=".repeat(20))), "{text}");
        assert_eq!(lines[3], "in all 1.000 ms");
    }

    #[test]
    fn a_task_that_failed_is_shown_with_its_last_words() {
        let stored = json!({ "containers": [
            { "name": "web", "lastLines": [
                { "at": 1, "stream": "stdout", "line": "starting" },
                { "at": 2, "stream": "stderr", "line": "no\u{1b}[0m database" },
            ] },
            { "name": "quiet" },
        ] });
        let task =
            |status: &str, code: i64| json!({ "lastStatus": status, "containers": [{ "exitCode": code }] });
        let shown = last_words(&task("STOPPED", 1), &stored, false);
        assert_eq!(shown, "\nlast output of web:\n  starting\n  no\\u{1b}[0m database\n");
        assert_eq!(last_words(&task("STOPPED", 0), &stored, false), "");
        assert_eq!(last_words(&task("DEPROVISIONING", 1), &stored, false), "");
    }

    #[test]
    fn a_task_is_one_row() {
        let task = json!({
            "taskArn": "arn:aws:ecs:local:000000000000:task/default/0123456789abcdef0123456789abcdef",
            "taskDefinitionArn": "arn:aws:ecs:local:000000000000:task-definition/web:3",
            "group": "service:web", "lastStatus": "RUNNING", "desiredStatus": "RUNNING",
            "healthStatus": "HEALTHY", "startedAt": 40.0,
            "containers": [{ "image": "nginx" }, { "image": "busybox" }],
        });
        let mut table = Table::of_pairs();
        table.row(row(&task, 100.0));
        assert_eq!(
            table.render(false),
            "01234567  web:3  service:web  RUNNING  HEALTHY  -  1m ago  nginx, busybox\n"
        );
    }
}
