//! The official clients against a running daemon: the `aws` command as tutorials print it, boto3, the SDK for Rust, and
//! signatures.

mod same;

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use serde_json::{Value, json};

use crate::harness::{
    Instance, PATIENCE, clients,
    instance::{Said, Wish},
    require,
    tasks::{self, busybox},
    wait_for,
};

const URL: &str = "http://127.0.0.1:8080";

const SECRET: &str = "secret/of+ada";

/// An instance that anybody on the host may call over TCP. Every test has loopback for itself.
fn open_instance(name: &str) -> Instance {
    let config = "[api]\nlisten = \"127.0.0.1:8080\"\nallow_unsigned = true\n[services]\nhealthy_after = 1\n";
    Instance::start_with(name, Wish { config: config.to_owned(), ..Wish::default() })
}

/// Runs a line of shell in the instance's directory, as a user would who has followed a tutorial.
fn shell(instance: &Instance, line: &str, key: (&str, &str)) -> Said {
    let path = std::env::var("PATH").unwrap_or_default();
    let bin = clients::program("aws").parent().expect("a program is in a directory").display().to_string();
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(instance.path(""))
        .env("PATH", format!("{bin}:{path}"))
        .env("HOME", instance.path(""))
        .env("AWS_ENDPOINT_URL_ECS", URL)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", key.0)
        .env("AWS_SECRET_ACCESS_KEY", key.1)
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("AWS_PAGER", "")
        .output()
        .expect("a shell runs");
    output.into()
}

/// The document that a command prints.
#[track_caller]
fn aws(instance: &Instance, line: &str) -> Value {
    let said = shell(instance, line, ("anybody", "anything"));
    assert_eq!(said.code, 0, "{line}: {}{}\n{}", said.out, said.err, instance.log());
    serde_json::from_str(&said.out).unwrap_or(Value::Null)
}

/// Waits until a service has what it should have and nothing else.
#[track_caller]
fn stable(instance: &Instance, cluster: &str, service: &str, running: u64) -> Value {
    wait_for("a stable service", PATIENCE, || {
        let described =
            aws(instance, &format!("aws ecs describe-services --cluster {cluster} --services {service}"));
        let service = described["services"][0].clone();
        let is_stable = service["runningCount"] == running
            && service["deployments"].as_array().is_some_and(|deployments| deployments.len() == 1);
        is_stable.then_some(service)
    })
}

fn document(family: &str, container: &Value) -> Value {
    json!({ "family": family, "containerDefinitions": [container] })
}

#[test]
fn the_commands_of_the_tutorials_work_unchanged() {
    require!(host, clients);
    let instance = open_instance("tutorial");
    let write = |name: &str, document: &Value| {
        fs::write(instance.path(name), document.to_string()).expect("a file of the test's own");
    };
    let register = |document: &Value| {
        write("task-def.json", document);
        aws(&instance, "aws ecs register-task-definition --cli-input-json file://task-def.json")
    };
    aws(&instance, "aws ecs create-cluster --cluster-name production-cluster");
    aws(&instance, "aws ecs create-cluster --cluster-name my-cluster");
    register(&document("my-app", &tasks::idle("app")));
    register(&document(
        "my-app",
        &tasks::with(tasks::idle("app"), json!({ "environment": [{ "name": "V", "value": "2" }] })),
    ));
    register(&document("batch-job", &tasks::shell("job", "exit 0")));

    let made = aws(
        &instance,
        "aws ecs create-service --cluster production-cluster --service-name my-app --task-definition my-app:1 --desired-count 3",
    );
    assert_eq!(made["service"]["status"], "ACTIVE", "{made:#}");
    stable(&instance, "production-cluster", "my-app", 3);
    aws(
        &instance,
        "aws ecs update-service --cluster production-cluster --service my-app --task-definition my-app:2",
    );
    let service = stable(&instance, "production-cluster", "my-app", 3);
    assert!(service["taskDefinition"].as_str().is_some_and(|arn| arn.ends_with("my-app:2")), "{service:#}");
    aws(&instance, "aws ecs wait services-stable --cluster production-cluster --services my-app");

    let ran = aws(&instance, "aws ecs run-task --cluster my-cluster --task-definition batch-job:1 --count 1");
    let task = tasks::text(&ran["tasks"][0]["taskArn"]);
    aws(&instance, &format!("aws ecs wait tasks-stopped --cluster my-cluster --tasks {task}"));
    let ended = aws(&instance, &format!("aws ecs describe-tasks --cluster my-cluster --tasks {task}"));
    assert_eq!(ended["tasks"][0]["containers"][0]["exitCode"], 0, "{ended:#}");

    register(&fargate());
    let made = aws(
        &instance,
        "aws ecs create-service --cluster my-cluster --service-name my-api-service --task-definition my-api:1 --desired-count 2 --launch-type FARGATE \
         --network-configuration \"awsvpcConfiguration={subnets=[subnet-12345ab],securityGroups=[sg-67890cd],assignPublicIp=ENABLED}\"",
    );
    let network = &made["service"]["networkConfiguration"]["awsvpcConfiguration"];
    assert_eq!(network["subnets"], json!(["subnet-12345ab"]), "{made:#}");
    let service = stable(&instance, "my-cluster", "my-api-service", 2);
    assert_eq!(service["launchType"], "FARGATE", "{service:#}");
    let refused = shell(&instance, "aws ecs describe-tasks --cluster nowhere --tasks x", ("a", "b"));
    assert!(refused.err.contains("ClusterNotFoundException"), "{}", refused.err);
}

/// A definition as it is written for Fargate.
fn fargate() -> Value {
    let logs = json!({
        "logDriver": "awslogs",
        "options": { "awslogs-group": "/ecs/my-api", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs" },
    });
    let container = json!({
        "name": "api", "image": busybox(), "essential": true, "command": ["sh", "-c", tasks::STAY], "stopTimeout": 2,
        "portMappings": [{ "containerPort": 8080, "protocol": "tcp" }], "logConfiguration": logs,
    });
    json!({
        "family": "my-api", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256",
        "memory": "512", "executionRoleArn": "arn:aws:iam::000000000000:role/ecsTaskExecutionRole",
        "containerDefinitions": [container],
    })
}

#[test]
fn boto3_waits_pages_and_reads_every_error() {
    require!(host, clients);
    let instance = open_instance("boto3");
    let output = Command::new(clients::program("python"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/sdk.py"))
        .args([URL, busybox()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python runs");
    let said = Said::from(output);
    assert_eq!((said.code, said.out.trim()), (0, "done"), "{}\n{}", said.err, instance.log());
}

/// An instance that only the key `AKADA` may call over TCP.
fn signed_instance(name: &str) -> (Instance, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("keys");
    fs::write(&file, format!("[ada]\naws_access_key_id = AKADA\naws_secret_access_key = {SECRET}\n"))
        .expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    let config = format!(
        "[api]\nlisten = \"127.0.0.1:8080\"\nkeys_file = \"{}\"\n[services]\nhealthy_after = 1\n",
        file.display()
    );
    (Instance::start_with(name, Wish { config, ..Wish::default() }), directory)
}

#[test]
fn the_rust_sdk_signs_waits_pages_and_reads_every_error() {
    require!(host, busybox, rust_sdk);
    let (instance, _keys) = signed_instance("rust-sdk");
    let said = Command::new(clients::program("aws-sdk")).args([URL, busybox(), "AKADA", SECRET]).output();
    let said = Said::from(said.expect("the program runs"));
    assert_eq!((said.code, said.out.trim()), (0, "done"), "{}\n{}", said.err, instance.log());
}

#[test]
fn the_aws_command_signs_and_only_a_known_key_is_let_in() {
    require!(host, clients);
    let (instance, _keys) = signed_instance("signed");
    let list = |id: &str, secret: &str| shell(&instance, "aws ecs list-clusters", (id, secret));
    assert!(list("AKADA", SECRET).ok().contains("cluster/default"));
    assert!(list("AKADA", "a guess").err.contains("InvalidSignatureException"));
    assert!(list("AKEVE", SECRET).err.contains("UnrecognizedClientException"));
    let unsigned = shell(&instance, "aws ecs list-clusters --no-sign-request", ("AKADA", SECRET));
    assert!(unsigned.err.contains("MissingAuthenticationTokenException"), "{}", unsigned.err);
}

#[test]
fn keys_that_others_can_read_keep_the_daemon_from_starting() {
    require!(host);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("keys");
    fs::write(&file, "[ada]\naws_access_key_id = A\naws_secret_access_key = s\n").expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    let config = format!("[api]\nlisten = \"127.0.0.1:8080\"\nkeys_file = \"{}\"\n", file.display());
    let mut instance = Instance::prepare("open-keys", Wish { config, ..Wish::default() });
    let why = instance.spawn_daemon(&[]).ready().expect_err("the daemon does not start");
    assert!(why.contains("exit status: 2"), "{why}");
    assert!(instance.log().contains("chmod 600"), "{}", instance.log());
}
