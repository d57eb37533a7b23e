//! One command's conversation with the daemon: where it is, which cluster is meant, how answers are printed.
//!
//! What several commands need is here: reading lists page by page, finding a task by the beginning of its id, and
//! waiting for a change. Waiting follows the daemon's own stream of changes, so nothing is asked in vain.

use std::fmt::Write as _;

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    arguments::{Format, Global},
    failure::Failure,
    print,
};
use crate::api::client::{Client, Lines};

/// A change that the stream did not tell of is noticed after this long.
const PATIENCE: Duration = Duration::from_secs(2);

/// What one command works with.
pub(super) struct Session {
    /// The daemon.
    pub(super) client: Client,
    /// The cluster, as the user named it.
    pub(super) cluster: String,
    /// Whether programs read the answer.
    pub(super) json: bool,
    /// Whether the answer is coloured.
    pub(super) colour: bool,
}

impl Session {
    /// A session as the command line asks for it.
    pub(super) fn new(global: &Global) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            client: Client::new(&global.socket),
            cluster: global.cluster.clone(),
            json: global.output == Format::Json,
            colour: io::stdout().is_terminal() && !refused && !dumb,
        }
    }

    /// Calls an operation of ECS.
    pub(super) async fn call(&self, operation: &str, input: Value) -> Result<Value, Failure> {
        Ok(self.client.call(operation, input).await?)
    }

    /// Calls an operation on this session's cluster.
    pub(super) async fn call_in_cluster(&self, operation: &str, mut input: Value) -> Result<Value, Failure> {
        input["cluster"] = json!(self.cluster);
        self.call(operation, input).await
    }

    /// Opens a stream of one of hythe's own addresses.
    pub(super) async fn lines(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Lines, Failure> {
        Ok(self.client.lines(method, path, body).await?)
    }

    /// Every string that `operation` lists under `key`, all pages.
    pub(super) async fn list(
        &self,
        operation: &str,
        input: Value,
        key: &str,
    ) -> Result<Vec<String>, Failure> {
        let mut input = input;
        let mut found = Vec::new();
        loop {
            let page = self.call(operation, input.clone()).await?;
            found.extend(print::strings(&page[key]));
            match page["nextToken"].as_str() {
                Some(token) => input["nextToken"] = json!(token),
                None => return Ok(found),
            }
        }
    }

    /// ARNs of this cluster's tasks: those that should run, and the stopped ones too when `all`.
    pub(super) async fn task_arns(&self, filter: &Value, all: bool) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        for desired in if all { &["RUNNING", "STOPPED"][..] } else { &["RUNNING"] } {
            let mut input = filter.clone();
            input["cluster"] = json!(self.cluster);
            input["desiredStatus"] = json!(desired);
            found.extend(self.list("ListTasks", input, "taskArns").await?);
        }
        Ok(found)
    }

    /// The full id, or the ARN, of the task that the user means.
    pub(super) async fn task(&self, text: &str) -> Result<String, Failure> {
        if text.starts_with("arn:") || text.len() == 32 {
            return Ok(text.to_owned());
        }
        let mut found: Vec<String> = self
            .task_arns(&json!({}), true)
            .await?
            .iter()
            .map(|arn| print::last_part(arn).to_owned())
            .filter(|id| id.starts_with(text))
            .collect();
        found.sort();
        found.dedup();
        match found.as_slice() {
            [] => {
                Err(Failure::not_found(format!("no task of cluster '{}' begins with '{text}'", self.cluster)))
            }
            [one] => Ok(one.clone()),
            several => Err(Failure::usage(format!(
                "'{text}' begins the ids of {} tasks: {}",
                several.len(),
                several.join(", ")
            ))),
        }
    }

    /// One task, as ECS describes it.
    pub(super) async fn describe_task(&self, task: &str) -> Result<Value, Failure> {
        Ok(self.described_task(task).await?["tasks"][0].take())
    }

    /// The whole answer of ECS about one task.
    pub(super) async fn described_task(&self, task: &str) -> Result<Value, Failure> {
        let input = json!({ "tasks": [task], "include": ["TAGS"] });
        self.found(self.call_in_cluster("DescribeTasks", input).await?, "tasks", task)
    }

    /// One service, as ECS describes it.
    pub(super) async fn describe_service(&self, name: &str) -> Result<Value, Failure> {
        Ok(self.described_service(name).await?["services"][0].take())
    }

    /// The whole answer of ECS about one service.
    pub(super) async fn described_service(&self, name: &str) -> Result<Value, Failure> {
        let input = json!({ "services": [name] });
        self.found(self.call_in_cluster("DescribeServices", input).await?, "services", name)
    }

    /// An answer that has something in the list of that name.
    fn found(&self, answer: Value, list: &str, name: &str) -> Result<Value, Failure> {
        if answer[list].get(0).is_some() {
            return Ok(answer);
        }
        let kind = list.trim_end_matches('s');
        Err(Failure::not_found(format!("there is no {kind} '{name}' in cluster '{}'", self.cluster)))
    }

    /// Describes many things of this cluster, or many clusters, `at_once` in a call: one answer with all that was found and all that was not.
    pub(super) async fn describe_all(
        &self,
        operation: &str,
        list: &str,
        names: &[String],
        at_once: usize,
    ) -> Result<Value, Failure> {
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for some in names.chunks(at_once) {
            let mut input = json!({ list: some });
            if operation != "DescribeClusters" {
                input["cluster"] = json!(self.cluster);
            }
            let mut answer = self.call(operation, input).await?;
            for (into, from) in [(&mut found, list), (&mut failures, "failures")] {
                if let Value::Array(more) = answer[from].take() {
                    into.extend(more);
                }
            }
        }
        Ok(json!({ list: found, "failures": failures }))
    }

    /// Asks at once, and again after each change, until there is an answer.
    pub(super) async fn until<T>(
        &self,
        mut ask: impl AsyncFnMut() -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let mut changes = self.lines(Method::GET, "/hythe/v1/events?follow=true", None).await.ok();
        loop {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            match &mut changes {
                Some(lines) => match timeout(PATIENCE, lines.next()).await {
                    // Changes come in bursts, and the past comes first: one question is enough for all of them.
                    Ok(Ok(Some(_))) => {
                        while let Ok(Ok(Some(_))) = timeout(Duration::ZERO, lines.next()).await {}
                    }
                    Err(_) => {}
                    Ok(Ok(None) | Err(_)) => changes = None,
                },
                None => tokio::time::sleep(PATIENCE / 4).await,
            }
        }
    }

    /// Prints JSON for programs, indented as `aws` does it.
    pub(super) fn print_json(&self, answer: &Value) -> Result<(), Failure> {
        let mut text = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut writer = serde_json::Serializer::with_formatter(&mut text, format);
        // A value can be written: its keys are strings, and memory takes what it is given.
        let _ = serde::Serialize::serialize(answer, &mut writer);
        self.print(&format!("{}\n", String::from_utf8_lossy(&text)))
    }

    /// Prints text. A reader that has gone away (`| head`) is no failure worth a word.
    #[expect(clippy::unused_self, reason = "printing belongs to the session, whatever it needs of it")]
    pub(super) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::failed("")),
            Err(error) => Err(Failure::failed(format!("write the answer: {error}"))),
        }
    }
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// `path?name=value&…` with everything escaped that has to be.
pub(super) fn query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut whole = path.to_owned();
    for (at, (name, value)) in pairs.iter().enumerate() {
        whole.push(if at == 0 { '?' } else { '&' });
        whole.push_str(name);
        whole.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/:@".contains(&byte) {
                whole.push(char::from(byte));
            } else {
                let _ = write!(whole, "%{byte:02X}");
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_cannot_hold_is_escaped() {
        assert_eq!(
            query("/hythe/v1/images/inspect", &[("ref", "a b&c=d"), ("x", "é")]),
            "/hythe/v1/images/inspect?ref=a%20b%26c%3Dd&x=%C3%A9"
        );
    }
}
