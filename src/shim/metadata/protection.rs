//! The task's protection from scaling in, asked for from inside: `$ECS_AGENT_URI/task-protection/v1/state`.
//!
//! The question is checked here and is about the task that asks, whatever it says; the rest is the API's to decide. In
//! ECS the task's role must allow it. Here every task may: what it protects is itself.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    document::TaskDocument,
    document_of,
    errand::{Order, Purpose, Reply, Trouble},
    request::Answer,
};
use crate::model::reading;
use crate::model::time::Timestamp;

/// What a task wants.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Wanted {
    protection_enabled: bool,
    #[serde(default)]
    expires_in_minutes: Option<i64>,
}

/// The errand that a question leads to; `change` is the body of one that wants something changed.
pub(super) fn ask(task: &TaskDocument, socket: Option<std::path::PathBuf>, change: Option<&[u8]>) -> Reply {
    let mut input = json!({ "cluster": task.cluster, "tasks": [task.task_arn] });
    let operation = match change.map(reading::from_slice::<Wanted>) {
        None => "GetTaskProtection",
        Some(Ok(wanted)) => {
            input["protectionEnabled"] = wanted.protection_enabled.into();
            if let Some(minutes) = wanted.expires_in_minutes {
                input["expiresInMinutes"] = minutes.into();
            }
            "UpdateTaskProtection"
        }
        Some(Err(why)) => {
            let message = format!(
                "the body must be {{\"ProtectionEnabled\": true or false, \"ExpiresInMinutes\": a number}}: {why}"
            );
            let trouble = Trouble { status: 400, code: "InvalidParameterException".to_owned(), message };
            return Reply::Answer(tell(&task.task_arn, Err(trouble)));
        }
    };
    let purpose = Purpose::Protection { task: task.task_arn.clone() };
    Reply::Errand(Box::new(Order { socket, operation, input, purpose }))
}

/// What a task is told, in the agent's words.
pub(super) fn tell(task: &str, outcome: Result<Value, Trouble>) -> Answer {
    let told = match outcome {
        Ok(told) => told,
        Err(Trouble { status, code, message }) => {
            let error = json!({ "error": { "Arn": task, "Code": code, "Message": message } });
            return Answer::refused_with(status, &error);
        }
    };
    if let Some(failure) = told["failures"].get(0) {
        let failure = json!({ "Arn": task, "Reason": failure["reason"], "Detail": failure["detail"] });
        return document_of(&json!({ "failure": failure }));
    }
    let found = &told["protectedTasks"][0];
    let mut protection = json!({ "ProtectionEnabled": found["protectionEnabled"], "TaskArn": task });
    if let Some(until) = found["expirationDate"].as_f64() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time of the API's own"
        )]
        let until = Timestamp((until * 1000.0).round() as u64);
        protection["ExpirationDate"] = until.to_rfc3339().into();
    }
    document_of(&json!({ "protection": protection }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: Answer) -> (String, Value) {
        let text = String::from_utf8(answer.into_bytes()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), serde_json::from_str(body).unwrap())
    }

    #[test]
    fn a_question_is_about_the_task_that_asks() {
        let task =
            TaskDocument { cluster: "c".to_owned(), task_arn: "arn:t".to_owned(), ..TaskDocument::default() };
        let order = |change: Option<&[u8]>| match ask(&task, None, change) {
            Reply::Errand(order) => (order.operation, order.input),
            Reply::Answer(answer) => panic!("{answer:?}"),
        };
        let own = json!({ "cluster": "c", "tasks": ["arn:t"] });
        assert_eq!(order(None), ("GetTaskProtection", own));
        let (operation, input) = order(Some(br#"{"ProtectionEnabled":true,"ExpiresInMinutes":60}"#));
        assert_eq!(operation, "UpdateTaskProtection");
        assert_eq!(input["expiresInMinutes"], 60);
        for bad in ["", "{}", r#"{"ProtectionEnabled":1}"#, r#"{"ProtectionEnabled":true,"Tasks":["x"]}"#] {
            let Reply::Answer(answer) = ask(&task, None, Some(bad.as_bytes())) else { panic!("{bad}") };
            let (status, body) = told(answer);
            assert_eq!(status, "400", "{bad}");
            assert_eq!(body["error"]["Code"], "InvalidParameterException", "{bad}");
        }
    }

    #[test]
    fn the_answer_has_the_agent_s_words() {
        let protected = json!({ "failures": [], "protectedTasks": [{ "protectionEnabled": true, "expirationDate": 951_782_400.5 }] });
        let (status, body) = told(tell("arn:t", Ok(protected)));
        let expected = json!({ "protection": {
            "ProtectionEnabled": true, "TaskArn": "arn:t", "ExpirationDate": "2000-02-29T00:00:00.500000000Z",
        } });
        assert_eq!((status.as_str(), body), ("200", expected));
        let failed =
            json!({ "failures": [{ "reason": "TASK_NOT_VALID", "detail": "why" }], "protectedTasks": [] });
        let expected = json!({ "failure": { "Arn": "arn:t", "Reason": "TASK_NOT_VALID", "Detail": "why" } });
        assert_eq!(told(tell("arn:t", Ok(failed))).1, expected);
        let trouble = Trouble::nobody(&std::io::ErrorKind::ConnectionRefused.into());
        let (status, body) = told(tell("arn:t", Err(trouble)));
        assert_eq!((status.as_str(), &body["error"]["Code"]), ("500", &json!("ServerException")));
    }
}
