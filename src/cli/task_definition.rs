//! `hythe task-def`: documents become revisions.
//!
//! A file is read here with the same strictness as the daemon reads a request, because only here the text is at
//! hand: what is wrong is said with file, line, column and the nearest valid word.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use serde_json::{Value, json};

use super::{
    arguments::TaskDefinitionCommand,
    failure::Failure,
    print,
    session::Session,
    table::{Cell, Table},
};
use crate::model::{
    reading::{self, Refusal},
    task_definition::validate,
};

pub(super) async fn run(session: &Session, command: TaskDefinitionCommand) -> Result<(), Failure> {
    match command {
        TaskDefinitionCommand::Register { file } => {
            let answer = register(session, &file).await?;
            told(session, &answer)
        }
        TaskDefinitionCommand::Ls { family, inactive } => list(session, family, inactive).await,
        TaskDefinitionCommand::Show { definition } => {
            let answer = described(session, &definition).await?;
            if session.json {
                return session.print_json(&answer);
            }
            session.print(&summary(session, &answer["taskDefinition"]))
        }
        TaskDefinitionCommand::Deregister { definitions } => {
            for definition in definitions {
                let input = json!({ "taskDefinition": definition });
                let answer = session.call("DeregisterTaskDefinition", input).await?;
                told(session, &answer)?;
            }
            Ok(())
        }
    }
}

fn told(session: &Session, answer: &Value) -> Result<(), Failure> {
    if session.json {
        return session.print_json(answer);
    }
    let arn = print::text(&answer["taskDefinition"]["taskDefinitionArn"]);
    session.print(&format!("{}\n", print::last_part(&arn)))
}

/// Registers the document in a file.
pub(super) async fn register(session: &Session, file: &Path) -> Result<Value, Failure> {
    let text = read(file)?;
    let document = check(file, &text)?;
    session.call("RegisterTaskDefinition", document).await
}

fn read(file: &Path) -> Result<String, Failure> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    text.map_err(|error| {
        let message = format!("read {}: {error}", file.display());
        if error.kind() == io::ErrorKind::NotFound {
            Failure::not_found(message)
        } else {
            Failure::failed(message)
        }
    })
}

/// The document as JSON, if a task can be made of it.
fn check(file: &Path, text: &str) -> Result<Value, Failure> {
    let refused = |refusal: Refusal| Failure::refused(place(file, &refusal));
    let document = reading::parse(text).map_err(refused)?;
    validate::parse_document(text).map_err(refused)?;
    Ok(document)
}

/// `FILE:LINE:COLUMN: what is wrong`, as compilers write it.
fn place(file: &Path, refusal: &Refusal) -> String {
    match refusal.place {
        Some(place) => {
            let rest = Refusal { place: None, ..refusal.clone() };
            format!("{}:{}:{}: {rest}", file.display(), place.line, place.column)
        }
        None => format!("{}: {refusal}", file.display()),
    }
}

/// One revision, as ECS describes it.
pub(super) async fn describe(session: &Session, definition: &str) -> Result<Value, Failure> {
    Ok(described(session, definition).await?["taskDefinition"].take())
}

/// The whole answer of ECS about one revision.
async fn described(session: &Session, definition: &str) -> Result<Value, Failure> {
    let input = json!({ "taskDefinition": definition, "include": ["TAGS"] });
    session.call("DescribeTaskDefinition", input).await
}

async fn list(session: &Session, family: Option<String>, inactive: bool) -> Result<(), Failure> {
    let mut input = json!({ "status": if inactive { "INACTIVE" } else { "ACTIVE" } });
    if let Some(family) = family {
        input["familyPrefix"] = json!(family);
    }
    let arns = session.list("ListTaskDefinitions", input, "taskDefinitionArns").await?;
    if session.json {
        return session.print_json(&json!({ "taskDefinitionArns": arns }));
    }
    let mut table = Table::new(&["DEFINITION", "STATUS", "MODE", "CONTAINERS", "REGISTERED"]);
    for arn in &arns {
        let found = describe(session, arn).await?;
        let names = found["containerDefinitions"].as_array().into_iter().flatten();
        let names: Vec<String> = names.map(|container| print::text(&container["name"])).collect();
        table.row([
            print::last_part(arn).into(),
            Cell::status(print::text(&found["status"])),
            found["networkMode"].as_str().unwrap_or("bridge").into(),
            names.join(", ").into(),
            print::time(&found["registeredAt"]).into(),
        ]);
    }
    session.print(&table.render(session.colour))
}

fn summary(session: &Session, found: &Value) -> String {
    let mut table = Table::of_pairs();
    table.pair("Definition", print::last_part(&print::text(&found["taskDefinitionArn"])));
    table.pair("ARN", print::text(&found["taskDefinitionArn"]));
    table.pair("Status", Cell::status(print::text(&found["status"])));
    table.pair("Registered", print::time(&found["registeredAt"]));
    table.pair("Network mode", found["networkMode"].as_str().unwrap_or("bridge"));
    table.pair("CPU", print::text(&found["cpu"]));
    table.pair("Memory", print::text(&found["memory"]));
    let mut text = table.render(session.colour);
    let mut containers =
        Table::new(&["CONTAINER", "IMAGE", "ESSENTIAL", "CPU", "MEMORY", "PORTS", "COMMAND"]);
    for container in found["containerDefinitions"].as_array().into_iter().flatten() {
        containers.row([
            print::text(&container["name"]).into(),
            print::text(&container["image"]).into(),
            if container["essential"] == json!(false) { "no" } else { "yes" }.into(),
            number(&container["cpu"]).into(),
            number(&container["memory"]).into(),
            mappings(container).into(),
            print::strings(&container["command"]).join(" ").into(),
        ]);
    }
    text.push('\n');
    text.push_str(&containers.render(session.colour));
    text
}

fn number(value: &Value) -> String {
    value.as_u64().filter(|number| *number > 0).map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn mappings(container: &Value) -> String {
    let list = container["portMappings"].as_array();
    let all: Vec<String> = list
        .into_iter()
        .flatten()
        .map(|mapping| {
            let protocol = mapping["protocol"].as_str().unwrap_or("tcp");
            match mapping["containerPortRange"].as_str() {
                Some(range) => format!("{range}/{protocol}"),
                None => format!("{}/{protocol}", mapping["containerPort"]),
            }
        })
        .collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reading::{Fault, MemberPath, Place};

    #[test]
    fn what_is_wrong_is_said_as_compilers_say_it() {
        let refusal = Refusal {
            fault: Fault::UnknownMember,
            path: MemberPath::default(),
            message: "unknown member `imgae`".to_owned(),
            nearest: Some("image".to_owned()),
            place: Some(Place { line: 3, column: 7 }),
        };
        assert_eq!(
            place(Path::new("web.json"), &refusal),
            "web.json:3:7: unknown member `imgae`; did you mean `image`?"
        );
    }
}
