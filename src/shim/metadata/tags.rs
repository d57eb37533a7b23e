//! A task's document with the tags of the task and of its container instance, as they are now.
//!
//! Without a daemon the tags of the task's begin are told, and a word that they may not be those of now.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Value, json};

use super::{
    document::{TagError, TaskDocument},
    document_of,
    errand::{Order, Purpose, Reply, Trouble},
    request::{Answer, Version},
};

/// The errand for a task's own.
pub(super) fn ask(document: TaskDocument, version: Version, socket: Option<PathBuf>) -> Reply {
    let input = json!({ "cluster": &document.cluster, "tasks": [&document.task_arn], "include": ["TAGS"] });
    let purpose = Purpose::TaskTags { document: Box::new(document), version };
    Reply::Errand(Box::new(Order { socket, operation: "DescribeTasks", input, purpose }))
}

/// The errand for those of its container instance, or the answer where the first came to nothing.
pub(super) fn of_task(
    mut document: TaskDocument,
    version: Version,
    outcome: Result<Value, Trouble>,
    socket: Option<PathBuf>,
) -> Reply {
    match outcome {
        Ok(described) => {
            let task = &described["tasks"][0];
            document.task_tags = map(&task["tags"]);
            let input = json!({ "resourceArn": task["containerInstanceArn"] });
            let purpose = Purpose::InstanceTags { document: Box::new(document), version };
            Reply::Errand(Box::new(Order { socket, operation: "ListTagsForResource", input, purpose }))
        }
        Err(trouble) => {
            document.errors.push(error("TaskTags", &document.task_arn, trouble));
            Reply::Answer(answer(document, version))
        }
    }
}

/// The answer.
pub(super) fn of_instance(
    mut document: TaskDocument,
    version: Version,
    outcome: Result<Value, Trouble>,
) -> Answer {
    match outcome {
        Ok(listed) => document.container_instance_tags = map(&listed["tags"]),
        Err(trouble) => {
            document.errors.push(error("ContainerInstanceTags", &document.task_arn, trouble));
        }
    }
    answer(document, version)
}

fn answer(document: TaskDocument, version: Version) -> Answer {
    document_of(&match version {
        Version::Three => document.before_v4(),
        Version::Four => document,
    })
}

/// Tags as a map; none without any.
fn map(tags: &Value) -> Option<BTreeMap<String, String>> {
    let pair = |tag: &Value| Some((tag["key"].as_str()?.to_owned(), tag["value"].as_str()?.to_owned()));
    let map: BTreeMap<String, String> = tags.as_array()?.iter().filter_map(pair).collect();
    (!map.is_empty()).then_some(map)
}

fn error(field: &str, arn: &str, trouble: Trouble) -> TagError {
    TagError {
        error_field: field.to_owned(),
        error_code: trouble.code,
        error_message: trouble.message,
        status_code: trouble.status,
        resource_arn: arn.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> TaskDocument {
        let task_tags = Some(BTreeMap::from([("stage".to_owned(), "old".to_owned())]));
        TaskDocument { task_arn: "arn:t".to_owned(), task_tags, ..TaskDocument::default() }
    }

    fn told(answer: Answer) -> Value {
        let text = String::from_utf8(answer.into_bytes()).unwrap();
        serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    #[test]
    fn the_tags_of_now_take_the_place_of_those_of_the_begin() {
        let described = json!({ "tasks": [{ "tags": [{ "key": "stage", "value": "new" }], "containerInstanceArn": "arn:i" }] });
        let Reply::Errand(order) = of_task(document(), Version::Four, Ok(described), None) else { panic!() };
        assert_eq!((order.operation, &order.input["resourceArn"]), ("ListTagsForResource", &json!("arn:i")));
        let tags = json!({ "tags": [{ "key": "rack", "value": "7" }] });
        let Reply::Answer(answer) = order.finish(Ok(tags)) else { panic!() };
        let answer = told(answer);
        assert_eq!(answer["TaskTags"], json!({ "stage": "new" }));
        assert_eq!((&answer["ContainerInstanceTags"], answer.get("Errors")), (&json!({ "rack": "7" }), None));
    }

    #[test]
    fn without_a_daemon_the_tags_of_the_begin_are_told_with_a_word() {
        let trouble = Trouble::nobody(&std::io::ErrorKind::ConnectionRefused.into());
        let Reply::Answer(answer) = of_task(document(), Version::Four, Err(trouble), None) else { panic!() };
        let answer = told(answer);
        assert_eq!(answer["TaskTags"], json!({ "stage": "old" }));
        assert_eq!(answer["Errors"][0]["ErrorField"], "TaskTags");
        assert_eq!(answer["Errors"][0]["ErrorMessage"], "the daemon does not answer: connection refused");
    }
}
