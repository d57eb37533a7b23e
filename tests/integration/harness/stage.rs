//! Tasks and services of busybox containers: written down in a line or two, run, waited for and looked at.
//!
//! A container is a shell script. Its first process gets no signal that it does not ask for, so a script that should
//! stay ends in [`FOREVER`], which heeds SIGTERM. Waiting follows what `DescribeTasks` says and nothing else.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use hyper::Method;
use hythe::api::client::Client;
use serde_json::{Value, json};

use super::{
    Instance, PATIENCE, images,
    instance::{Wish, strings},
    probe::cgroup_mounts,
    scaled,
    tasks::{id, with},
    wait_for,
};

/// A script's end that waits for SIGTERM and heeds it.
pub const FOREVER: &str = "trap 'exit 0' TERM; sleep 100000 & wait";

/// A script that is done when `SIGTERM` comes.
pub fn stays(script: &str) -> String {
    format!("{script}\n{FOREVER}")
}

/// A container on busybox that runs `script`.
pub fn container(name: &str, script: &str) -> Value {
    json!({ "name": name, "image": "busybox", "memory": 64, "command": ["sh", "-c", script] })
}

/// A task definition.
pub fn definition(family: &str, containers: &[Value]) -> Value {
    json!({ "family": family, "containerDefinitions": containers })
}

/// `dependsOn` with one condition.
pub fn after(other: &str, condition: &str) -> Value {
    json!({ "dependsOn": [{ "containerName": other, "condition": condition }] })
}

/// A container in a described task.
#[track_caller]
pub fn one<'a>(task: &'a Value, name: &str) -> &'a Value {
    let containers = task["containers"].as_array().into_iter().flatten();
    let mut found = containers.filter(|container| container["name"] == name);
    found.next().unwrap_or_else(|| panic!("no container {name} in {task:#}"))
}

/// A member that is a text; empty when it is not there.
pub fn word<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// What an HTTP server answers to `GET /`, once it does.
#[track_caller]
pub fn ask_http(address: Ipv4Addr, port: u16) -> String {
    wait_for(&format!("an answer from {address}:{port}"), PATIENCE, || try_http(address, port))
}

/// The same, asked once.
pub fn try_http(address: Ipv4Addr, port: u16) -> Option<String> {
    let limit = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&SocketAddrV4::new(address, port).into(), limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some(body.trim().to_owned())
}

/// A shell script that serves `word` on `port` until SIGTERM.
pub fn serves(word: &str, port: u16) -> String {
    stays(&format!("mkdir -p /tmp/www && echo {word} >/tmp/www/index.html && httpd -p {port} -h /tmp/www"))
}

/// Runs a program that must succeed.
#[track_caller]
pub fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().expect("sh runs");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Instance {
    /// A daemon that is ready and has the image `busybox`.
    #[track_caller]
    pub fn with_busybox(name: &str) -> Self {
        Self::with_busybox_and(name, "")
    }

    /// The same, with more lines of configuration.
    #[track_caller]
    pub fn with_busybox_and(name: &str, config: &str) -> Self {
        let config = format!("{config}\n[images]\npull_policy = \"prefer-cached\"\n");
        let instance = Self::start_with(name, Wish { config, ..Wish::default() });
        instance.load(&images::busybox(), "busybox");
        instance
    }

    /// Takes in the image tagged `latest` of a layout, under `name`.
    #[track_caller]
    pub fn load(&self, layout: &Path, name: &str) {
        self.cli(&["image", "load", &format!("oci:{}", layout.display()), "--name", name]).ok();
    }

    /// Packs a directory with busybox beneath it, and loads it under `name`.
    #[track_caller]
    pub fn load_packed(&self, directory: &Path, name: &str, options: &[&str]) {
        let base = self.path(format!("image-{name}-base"));
        let layout = self.path(format!("image-{name}"));
        images::rootfs_tools(&[
            "unpack",
            &format!("oci:{}", images::busybox().display()),
            &base.display().to_string(),
        ]);
        let (base, top, out) =
            (base.display().to_string(), directory.display().to_string(), layout.display().to_string());
        let mut words = vec!["pack", &base, &top, "-o", &out, "--env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
        words.extend(options);
        images::rootfs_tools(&words);
        self.load(&layout, name);
    }

    /// Registers a definition and runs a task of it; its id.
    #[track_caller]
    pub fn launch(&self, document: &Value) -> String {
        self.launch_with(document, json!({}))
    }

    /// The same, with more members in the RunTask call.
    #[track_caller]
    pub fn launch_with(&self, document: &Value, more: Value) -> String {
        let mut input = with(json!({ "taskDefinition": self.register(document.clone()) }), more);
        if document["networkMode"] == "awsvpc" {
            input["networkConfiguration"] = json!({ "awsvpcConfiguration": { "subnets": ["subnet-local"] } });
        }
        let answer = self.api("RunTask", input);
        let arn = answer["tasks"][0]["taskArn"].as_str();
        id(arn.unwrap_or_else(|| panic!("a task is placed: {answer:#}"))).to_owned()
    }

    /// A task, as it is stored.
    #[track_caller]
    pub fn stored(&self, id: &str) -> Value {
        self.get(&format!("/hythe/v1/tasks/{id}"))
    }

    /// Waits until `ask` has an answer about a task.
    #[track_caller]
    pub fn until<T>(&self, id: &str, what: &str, mut ask: impl FnMut(&Value) -> Option<T>) -> T {
        let begin = std::time::Instant::now();
        loop {
            let task = self.task(id);
            if let Some(answer) = ask(&task) {
                return answer;
            }
            assert!(begin.elapsed() < scaled(PATIENCE), "waited {PATIENCE:?} for {what}: {task:#}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Runs a task to its end.
    #[track_caller]
    pub fn ran(&self, document: &Value) -> (String, Value) {
        let id = self.launch(document);
        let task = self.stopped(&id);
        (id, task)
    }

    /// Runs one container to its end, which must be a good one; what it said.
    #[track_caller]
    pub fn says(&self, container: &Value) -> String {
        self.says_in(&definition("says", std::slice::from_ref(container)))
    }

    /// The same for the first container of a definition.
    #[track_caller]
    pub fn says_in(&self, document: &Value) -> String {
        let (id, task) = self.ran(document);
        let name = word(&document["containerDefinitions"][0], "name").to_owned();
        let said = self.said(&id, &name);
        assert_eq!(one(&task, &name)["exitCode"], 0, "{task:#}\n{said}\n{}", self.log());
        said
    }

    /// Everything that a container has written so far.
    #[track_caller]
    pub fn said(&self, id: &str, container: &str) -> String {
        let lines = self.lines(&format!("/hythe/v1/logs?task={id}&container={container}"));
        let texts: Vec<&str> = lines.iter().flat_map(|line| [word(line, "line"), "\n"]).collect();
        texts.concat()
    }

    /// Waits until a container has written `what`; everything that it has written.
    #[track_caller]
    pub fn printed(&self, id: &str, container: &str, what: &str) -> String {
        wait_for(&format!("{what:?} in the output of {container}"), PATIENCE, || {
            Some(self.said(id, container)).filter(|output| output.contains(what))
        })
    }

    /// The lines of one of hythe's own addresses.
    #[track_caller]
    pub fn lines(&self, path: &str) -> Vec<Value> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = Client::new(&self.socket());
        runtime.block_on(async {
            let mut lines =
                client.lines(Method::GET, path, None).await.unwrap_or_else(|e| panic!("{path}: {e:?}"));
            let mut found = Vec::new();
            while let Some(line) = lines.next().await.unwrap_or_else(|error| panic!("{path}: {error:?}")) {
                found.push(line);
            }
            found
        })
    }

    /// The text of a file in the cgroup of a task, or of one container of it (`ID/NAME`): `v1` names controller and
    /// file of version 1, `v2` the file of version 2.
    #[track_caller]
    pub fn cgroup_file(&self, group: &str, v1: (&str, &str), v2: &str) -> String {
        let (task, container) = group.split_once('/').unwrap_or((group, ""));
        let below = self.groups().task(task).join(container);
        let mut candidates = cgroup_mounts().into_iter().map(|mount| {
            let has = mount.options.split(',').any(|option| option == v1.0);
            mount.at.join(&below).join(if has { v1.1 } else { v2 })
        });
        let found = candidates.find_map(|path| fs::read_to_string(path).ok());
        found.unwrap_or_else(|| panic!("cgroup {} has {} or {v2}", below.display(), v1.1)).trim().to_owned()
    }

    /// Creates a service of a definition.
    #[track_caller]
    pub fn service(&self, name: &str, definition: &str, count: u32) {
        self.service_with(name, definition, count, json!({}));
    }

    /// The same, with more members in the CreateService call.
    #[track_caller]
    pub fn service_with(&self, name: &str, definition: &str, count: u32, more: Value) {
        let input = json!({ "serviceName": name, "taskDefinition": definition, "desiredCount": count });
        self.api("CreateService", with(input, more));
    }

    /// A service, as ECS describes it.
    #[track_caller]
    pub fn described(&self, service: &str) -> Value {
        let mut answer = self.api("DescribeServices", json!({ "services": [service] }));
        assert!(answer["services"][0].is_object(), "service {service} is known: {answer:#}");
        answer["services"][0].take()
    }

    /// Waits until `ask` has an answer about a service.
    #[track_caller]
    pub fn until_service<T>(&self, service: &str, what: &str, mut ask: impl FnMut(&Value) -> Option<T>) -> T {
        let begin = std::time::Instant::now();
        loop {
            let described = self.described(service);
            if let Some(answer) = ask(&described) {
                return answer;
            }
            assert!(
                begin.elapsed() < scaled(PATIENCE),
                "waited {PATIENCE:?} for {what}: {described:#}\n{}",
                self.log()
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until a service has one deployment and runs `count` tasks; their ids.
    #[track_caller]
    pub fn steady(&self, service: &str, count: u32) -> Vec<String> {
        self.until_service(service, &format!("{count} running tasks"), |described| {
            let one = described["deployments"].as_array().is_some_and(|list| list.len() == 1);
            let right = described["runningCount"] == count && described["pendingCount"] == 0;
            let ids = self.ids_of(service);
            (one && right && ids.len() == count as usize).then_some(ids)
        })
    }

    /// The ids of a service's tasks that should run.
    #[track_caller]
    pub fn ids_of(&self, service: &str) -> Vec<String> {
        let answer = self.api("ListTasks", json!({ "serviceName": service }));
        strings(&answer["taskArns"]).iter().map(|arn| id(arn).to_owned()).collect()
    }

    /// Everything that a service's events say, the newest first.
    #[track_caller]
    pub fn events(&self, service: &str) -> Vec<String> {
        let described = self.described(service);
        let events = described["events"].as_array().into_iter().flatten();
        events.map(|event| word(event, "message").to_owned()).collect()
    }
}
