//! `hythe logs`: the output of a task, of all tasks of a service, or of a group of the log driver awslogs.

use std::fmt::Write as _;

use std::io::{self, Write as _};

use hyper::Method;
use serde_json::json;

use super::{
    arguments::LogsArguments,
    failure::Failure,
    print,
    session::{self, Session, query},
    table::{Cell, Table, Tone},
};
use crate::api::{client::Lines, live::LogLine};
use crate::model::reading;

/// Colours of the names in front of lines, one a container.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];

/// How lines are printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Task and container in front of each line.
    pub(super) names: bool,
    /// The time in front of each line.
    pub(super) times: bool,
}

/// Prints the output of a task, a service or a group; or lists the groups.
pub(super) async fn run(session: &Session, arguments: LogsArguments) -> Result<(), Failure> {
    if arguments.groups {
        return groups(session).await;
    }
    let (kind, name, several) = match (&arguments.source, &arguments.group) {
        (Some(source), _) => self::source(session, source).await?,
        (None, Some(group)) => ("group", group.clone(), arguments.stream.is_none()),
        (None, None) => return Err(Failure::usage("name a task, a service or a group")),
    };
    let moment = |text: &Option<String>| {
        let millis = text.as_deref().map(|text| print::moment(text, session::now())).transpose()?;
        Ok::<_, Failure>(millis.map(|millis| millis.to_string()))
    };
    let (since, until) = (moment(&arguments.since)?, moment(&arguments.until)?);
    let tail = arguments.tail.map(|lines| lines.to_string());
    let mut pairs = vec![(kind, name.as_str()), ("cluster", session.cluster.as_str())];
    if arguments.follow {
        pairs.push(("follow", "true"));
    }
    let options = [
        ("stream", &arguments.stream),
        ("since", &since),
        ("until", &until),
        ("tail", &tail),
        ("container", &arguments.container),
    ];
    pairs.extend(options.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
    let lines = session.lines(Method::GET, &query("/hythe/v1/logs", &pairs), None).await?;
    let style = Style { names: several && arguments.container.is_none(), times: arguments.timestamps };
    print_all(session, lines, style).await
}

/// Lists the groups of the driver awslogs: a line a stream.
async fn groups(session: &Session) -> Result<(), Failure> {
    let found = session.client.get("/hythe/v1/logs/groups").await?;
    if session.json {
        return session.print_json(&found);
    }
    let mut table = Table::new(&["GROUP", "STREAM", "STATUS", "STARTED"]);
    for group in found["groups"].as_array().into_iter().flatten() {
        for stream in group["streams"].as_array().into_iter().flatten() {
            table.row([
                print::text(&group["name"]).into(),
                print::text(&stream["name"]).into(),
                Cell::status(print::text(&stream["lastStatus"])),
                print::ago(&stream["createdAt"], session::now()).into(),
            ]);
        }
    }
    session.print(&table.render(session.colour))
}

/// Whether `text` means a task or a service, its full name, and whether several containers speak.
async fn source(session: &Session, text: &str) -> Result<(&'static str, String, bool), Failure> {
    let input = json!({ "services": [text] });
    let looks_like_a_task = text.contains(":task/") || text.len() == 32;
    if !looks_like_a_task {
        let answer = session.call_in_cluster("DescribeServices", input).await?;
        if let Some(service) = answer["services"].get(0) {
            return Ok(("service", print::text(&service["serviceName"]), true));
        }
    }
    let task = session.task(text).await.map_err(|failure| {
        if looks_like_a_task {
            failure
        } else {
            Failure::not_found(format!("no service is called '{text}', and {failure}"))
        }
    })?;
    let described = session.describe_task(&task).await?;
    let several = described["containers"].as_array().is_some_and(|containers| containers.len() > 1);
    Ok(("task", print::last_part(&task).to_owned(), several))
}

/// The output of one task as it comes.
pub(super) async fn follow(session: &Session, task: &str) -> Result<Lines, Failure> {
    let pairs = [("task", task), ("cluster", session.cluster.as_str()), ("follow", "true")];
    session.lines(Method::GET, &query("/hythe/v1/logs", &pairs), None).await
}

/// Prints lines to the end: what containers wrote to standard error goes there too, and so does what is said about the
/// output itself.
pub(super) async fn print_all(session: &Session, mut lines: Lines, style: Style) -> Result<(), Failure> {
    let mut seen: Vec<String> = Vec::new();
    while let Some(value) = lines.next().await? {
        if session.json {
            session.print(&format!("{value}\n"))?;
            continue;
        }
        let line: LogLine = reading::from_value(value)
            .map_err(|error| Failure::failed(format!("read the daemon's log line: {error}")))?;
        let text = render(&line, style, session.colour, &mut seen);
        if line.stream == "stdout" {
            session.print(&text)?;
        } else {
            // Nobody is left to tell when standard error is gone.
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "seconds are shown")]
fn render(line: &LogLine, style: Style, colour: bool, seen: &mut Vec<String>) -> String {
    let mut text = String::new();
    if style.times {
        text.push_str(&Tone::Faint.paint(&print::utc(line.time.0 as f64 / 1000.0), colour));
        text.push(' ');
    }
    if style.names {
        let name = format!("{}/{}", line.task.short(), line.container);
        let at = seen.iter().position(|other| *other == name).unwrap_or_else(|| {
            seen.push(name.clone());
            seen.len() - 1
        });
        if colour {
            let _ = write!(text, "\x1b[{}m{name} |\x1b[0m ", COLOURS[at % COLOURS.len()]);
        } else {
            let _ = write!(text, "{name} | ");
        }
    }
    if line.stream == "note" {
        text.push_str("hythe: ");
    }
    text.push_str(&line.line);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        ids::{ContainerName, TaskId},
        time::Timestamp,
    };

    fn line() -> LogLine {
        LogLine {
            task: TaskId::from_random([0xab; 16]),
            container: ContainerName::parse("web").unwrap(),
            stream: "stdout".to_owned(),
            time: Timestamp(1500),
            line: "hello".to_owned(),
        }
    }

    #[test]
    fn one_container_speaks_without_a_name() {
        let style = Style { names: false, times: false };
        assert_eq!(render(&line(), style, true, &mut Vec::new()), "hello\n");
    }

    #[test]
    fn several_containers_are_told_apart() {
        let style = Style { names: true, times: true };
        let text = render(&line(), style, false, &mut Vec::new());
        assert_eq!(text, "1970-01-01T00:00:01Z abababab/web | hello\n");
    }
}
