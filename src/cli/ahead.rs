//! `hythe plan` and `hythe explain`: what would be done, and why things are as they are.

use hyper::Method;
use serde_json::{Value, json};

use super::{
    arguments::{Changes, ExplainArguments},
    failure::Failure,
    print, service,
    session::{Session, query},
    table::{Cell, Table, Tone},
};

/// Shows what an update would start and stop, in order, without doing it.
pub(super) async fn plan(session: &Session, changes: &Changes) -> Result<(), Failure> {
    let mut input = service::update_input(session, changes).await?;
    input["cluster"] = json!(session.cluster);
    let answer = session.client.send(Method::POST, "/hythe/v1/services/plan", Some(input)).await?;
    if session.json {
        return session.print_json(&answer);
    }
    let steps = answer["steps"].as_array().map_or(&[][..], Vec::as_slice);
    if steps.is_empty() {
        return session.print("nothing would be started or stopped\n");
    }
    let mut table = Table::new(&["AFTER", "STEP", "WHY"]);
    for step in steps {
        table.row([
            format!("{}s", step["afterSeconds"]).into(),
            sentence(step).into(),
            print::text(&step["why"]).into(),
        ]);
    }
    session.print(&table.render(session.colour))
}

fn sentence(step: &Value) -> String {
    let definition = print::text(&step["taskDefinition"]);
    let count = step["count"].as_u64().unwrap_or_default();
    match step["action"].as_str() {
        Some("start") => format!("start {count} of {definition}"),
        Some("stop") => {
            let tasks: Vec<String> =
                print::strings(&step["tasks"]).iter().map(|id| print::short_id(id)).collect();
            if tasks.is_empty() {
                format!("stop {count} new")
            } else {
                format!("stop {} of {definition}", tasks.join(" "))
            }
        }
        Some("complete") => format!("{definition} is COMPLETED"),
        Some(_) | None => "no further step is possible".to_owned(),
    }
}

/// Names each constraint of a task or a service, with need and have.
pub(super) async fn explain(session: &Session, arguments: &ExplainArguments) -> Result<(), Failure> {
    let is_service = session.describe_service(&arguments.subject).await.is_ok();
    let (kind, subject) = if is_service {
        ("service", arguments.subject.clone())
    } else {
        ("task", session.task(&arguments.subject).await?)
    };
    let path = query("/hythe/v1/explain", &[(kind, &subject), ("cluster", &session.cluster)]);
    let answer = session.client.get(&path).await?;
    if session.json {
        return session.print_json(&answer);
    }
    let mut table = Table::new(&["CONSTRAINT", "NEED", "HAVE", ""]);
    for one in answer["constraints"].as_array().into_iter().flatten() {
        let is_met = one["met"] == true;
        let (word, tone) = if is_met { ("met", Tone::Good) } else { ("not met", Tone::Bad) };
        table.row([
            print::text(&one["constraint"]).into(),
            print::text(&one["need"]).into(),
            print::text(&one["have"]).into(),
            Cell::toned(word, tone),
        ]);
    }
    session.print(&table.render(session.colour))
}
