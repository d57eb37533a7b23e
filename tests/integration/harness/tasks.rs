//! Short words for what most tests do with an instance: an image, a document, a task, its end.
//!
//! The images are made once, by `rootfs-tools`, and named by the path of their layout, so no registry is needed.
//! A container made by [`shell`] takes at most two seconds to stop: a shell that is a container's first process
//! does not hear SIGTERM.

use std::{path::PathBuf, sync::OnceLock};

use serde_json::{Value, json};

use super::{Instance, PATIENCE, images, wait_for};

/// The reference of Debian's busybox in the layout that the tests share.
pub fn busybox() -> &'static str {
    static REFERENCE: OnceLock<String> = OnceLock::new();
    REFERENCE.get_or_init(|| format!("oci:{}:latest", images::busybox().display()))
}

/// A container that runs a line of shell.
pub fn shell(name: &str, line: &str) -> Value {
    json!({ "name": name, "image": busybox(), "command": ["sh", "-c", line], "memory": 64, "stopTimeout": 2 })
}

/// A container that stays until it is told to stop, and then ends at once with code 0.
pub fn idle(name: &str) -> Value {
    shell(name, STAY)
}

/// A line of shell that stays until SIGTERM, and then ends at once with code 0.
pub const STAY: &str = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";

/// `container` with members set.
pub fn with(mut container: Value, members: Value) -> Value {
    let Value::Object(members) = members else { panic!("members are an object") };
    for (name, value) in members {
        container[name] = value;
    }
    container
}

/// A document in `bridge` mode.
pub fn document(family: &str, containers: &[Value]) -> Value {
    json!({ "family": family, "containerDefinitions": containers })
}

impl Instance {
    /// Registers a document; its ARN.
    #[track_caller]
    pub fn register(&self, document: Value) -> String {
        text(&self.api("RegisterTaskDefinition", document)["taskDefinition"]["taskDefinitionArn"])
    }

    /// Registers a document and runs one task of it; the task's ARN.
    #[track_caller]
    pub fn run(&self, document: Value) -> String {
        let is_awsvpc = document["networkMode"] == "awsvpc";
        let mut request = json!({ "taskDefinition": self.register(document) });
        if is_awsvpc {
            request["networkConfiguration"] =
                json!({ "awsvpcConfiguration": { "subnets": ["subnet-local"] } });
        }
        let answer = self.api("RunTask", request);
        assert_eq!(answer["failures"], json!([]), "{answer:#}");
        text(&answer["tasks"][0]["taskArn"])
    }

    /// A task as it is described now.
    #[track_caller]
    pub fn task(&self, arn: &str) -> Value {
        self.api("DescribeTasks", json!({ "tasks": [arn] }))["tasks"][0].clone()
    }

    /// A task once it runs; fails at once when it stopped instead.
    #[track_caller]
    pub fn running(&self, arn: &str) -> Value {
        wait_for("a running task", PATIENCE, || {
            let task = self.task(arn);
            assert_ne!(task["lastStatus"], "STOPPED", "{task:#}\n{}", self.log());
            (task["lastStatus"] == "RUNNING").then_some(task)
        })
    }

    /// A task once it has stopped.
    #[track_caller]
    pub fn stopped(&self, arn: &str) -> Value {
        wait_for("a stopped task", PATIENCE, || {
            let task = self.task(arn);
            (task["lastStatus"] == "STOPPED").then_some(task)
        })
    }

    /// Registers a document, runs a task of it to its end, and describes it.
    #[track_caller]
    pub fn run_to_end(&self, document: Value) -> Value {
        let arn = self.run(document);
        self.stopped(&arn)
    }

    /// Asks for a task's end and waits for it.
    #[track_caller]
    pub fn stop(&self, arn: &str) -> Value {
        self.api("StopTask", json!({ "task": arn }));
        self.stopped(arn)
    }

    /// What a task's container has written.
    #[track_caller]
    pub fn output(&self, arn: &str, container: &str) -> String {
        let said = self.cli(&["logs", "--container", container, arn]);
        assert_eq!(said.code, 0, "{}", said.err);
        said.out
    }

    /// Runs a line of shell in a container with more members, to its end; what it wrote.
    #[track_caller]
    pub fn shell_output(&self, line: &str, members: Value) -> String {
        let container = with(shell("main", line), members);
        let arn = self.run(document("output", &[container]));
        let task = self.stopped(&arn);
        let output = self.output(&arn, "main");
        assert_eq!(container_of(&task, "main")["exitCode"], 0, "{task:#}\n{output}");
        output
    }

    /// The pid of a container's first process on the host.
    #[track_caller]
    pub fn pid(&self, arn: &str, container: &str) -> i32 {
        let stored = self.get(&format!("/hythe/v1/tasks/{}", id(arn)));
        let pid = stored["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|one| one["name"] == container)
            .and_then(|one| one["pid"].as_i64());
        i32::try_from(pid.unwrap_or_else(|| panic!("no pid of {container} in {stored:#}")))
            .expect("a pid fits")
    }

    /// Waits until nothing of any task is left on the host.
    #[track_caller]
    pub fn nothing_is_left(&self) {
        let mut left = Vec::new();
        wait_for("nothing left by tasks", PATIENCE, || {
            left = self.left_by_tasks();
            left.is_empty().then_some(())
        });
    }
}

/// The container of a described task.
#[track_caller]
pub fn container_of(task: &Value, name: &str) -> Value {
    let found =
        task["containers"].as_array().into_iter().flatten().find(|container| container["name"] == name);
    found.unwrap_or_else(|| panic!("no container {name} in {task:#}")).clone()
}

/// The host port that a container's port is published on.
#[track_caller]
pub fn host_port(task: &Value, container: &str, port: u16) -> u16 {
    let container = container_of(task, container);
    let binding = container["networkBindings"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| one["containerPort"] == port);
    let host = binding.and_then(|one| one["hostPort"].as_u64());
    u16::try_from(host.unwrap_or_else(|| panic!("port {port} is not published: {container:#}")))
        .expect("a port fits")
}

/// A task's address on the instance's network.
#[track_caller]
pub fn address(task: &Value) -> String {
    let containers = task["containers"].as_array().into_iter().flatten();
    let mut found = containers.filter_map(|one| one["networkInterfaces"][0]["privateIpv4Address"].as_str());
    found.next().unwrap_or_else(|| panic!("no address in {task:#}")).to_owned()
}

/// The last part of an ARN.
pub fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// A JSON string.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

/// A directory of the test's own inside the instance's.
pub fn directory(instance: &Instance, name: &str) -> PathBuf {
    let path = instance.path(name);
    std::fs::create_dir_all(&path).expect("a directory of the test's own");
    path
}
