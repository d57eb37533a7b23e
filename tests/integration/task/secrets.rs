//! What the operator keeps for definitions: secrets, registry logins, environment files.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

use serde_json::json;

use crate::harness::{
    Instance, PATIENCE, images,
    instance::Wish,
    registry::{Door, Registry},
    require,
    stage::{container, definition, word},
    tasks::with,
    wait_for,
};

/// Where a secret's configuration points; a test runs in a directory that only it can name.
fn keep(directory: &Path, name: &str, value: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, value).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn safe() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("hythe-test-safe-").tempdir().unwrap()
}

fn local(safe: &Path) -> String {
    format!("[local]\nsecrets = \"{0}/secrets\"\nenvironment_files = \"{0}/buckets\"\n", safe.display())
}

fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}")
}

#[test]
fn secrets_come_from_files_by_name_by_arn_and_by_member() {
    require!(host, busybox);
    let safe = safe();
    let secrets = safe.path().join("secrets");
    keep(&secrets, "token", "hush\n");
    keep(&secrets, "prod/db", r#"{"user": "app", "port": 5432}"#);
    keep(&secrets, "prod/db@AWSPREVIOUS", r#"{"user": "old"}"#);
    let instance = Instance::with_busybox_and("secrets", &local(safe.path()));
    let secret = |name: &str, from: String| json!({ "name": name, "valueFrom": from });
    let app = with(
        container("app", "echo $TOKEN $PARAMETER $USER_NAME $PORT $OLD"),
        json!({
            "secrets": [
                secret("TOKEN", "token".to_owned()),
                secret("PARAMETER", "arn:aws:ssm:us-east-1:000000000000:parameter/token".to_owned()),
                secret("USER_NAME", arn("prod/db-AbCdEf:user::")),
                secret("PORT", arn("prod/db-AbCdEf:port::")),
                secret("OLD", arn("prod/db-AbCdEf:user:AWSPREVIOUS:")),
            ],
        }),
    );
    assert_eq!(instance.says(&app), "hush hush app 5432 old\n");
}

#[test]
fn a_secret_that_is_missing_or_open_ends_the_task_before_anything_runs() {
    require!(host, busybox);
    let safe = safe();
    let secrets = safe.path().join("secrets");
    keep(&secrets, "open", "x");
    fs::set_permissions(secrets.join("open"), fs::Permissions::from_mode(0o644)).unwrap();
    let instance = Instance::with_busybox_and("no-secret", &local(safe.path()));
    for (name, why) in [("none", "there is no "), ("open", "its mode should be 0600")] {
        let secrets = json!({ "secrets": [{ "name": "TOKEN", "valueFrom": name }] });
        let (_, task) = instance.ran(&definition("no-secret", &[with(container("app", "true"), secrets)]));
        assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
        let reason = word(&task, "stoppedReason");
        let begin = "ResourceInitializationError: unable to pull secrets or registry auth: secret TOKEN of container app: ";
        assert!(reason.starts_with(begin) && reason.contains(why), "{reason}");
        assert_eq!(task.get("startedAt"), None, "{task:#}");
    }
    instance.nothing_is_left();
}

#[test]
fn the_secret_of_a_definition_opens_its_registry() {
    require!(host, busybox, registry);
    let safe = safe();
    keep(&safe.path().join("secrets"), "registry", r#"{"username": "hythe", "password": "secret"}"#);
    keep(&safe.path().join("secrets"), "wrong", r#"{"username": "hythe", "password": "guess"}"#);
    let config = local(safe.path());
    let instance = Instance::start_with("registry-secret", Wish { config, ..Wish::default() });
    let registry = Registry::start(Door::Password);
    let image = registry.push(&images::busybox(), "private/busybox:1");
    let app = |parameter: &str| {
        let credentials = json!({ "credentialsParameter": arn(parameter) });
        with(container("app", "echo in"), json!({ "image": image, "repositoryCredentials": credentials }))
    };
    let (_, refused) = instance.ran(&definition("private", &[app("wrong")]));
    assert!(word(&refused, "stoppedReason").starts_with("CannotPullContainer"), "{refused:#}");
    assert_eq!(instance.says(&app("registry")), "in\n");
}

#[test]
fn an_environment_file_of_a_bucket_is_a_file_of_the_operators() {
    require!(host, busybox);
    let safe = safe();
    keep(&safe.path().join("buckets"), "config-bucket/web/app.env", "GREETING=hello\n");
    let instance = Instance::with_busybox_and("bucket", &local(safe.path()));
    let file = json!({ "type": "s3", "value": "arn:aws:s3:::config-bucket/web/app.env" });
    let app = with(container("app", "echo $GREETING"), json!({ "environmentFiles": [file] }));
    assert_eq!(instance.says(&app), "hello\n");
}

#[test]
fn an_image_is_asked_for_again_while_its_registry_does_not_answer() {
    require!(host, busybox, registry);
    let instance = Instance::start("patient-pull");
    let registry = Registry::start(Door::Open);
    registry.push(&images::busybox(), "late/busybox:1");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let image = json!({ "image": format!("127.0.0.1:{port}/late/busybox:1") });
    let id = instance.launch(&definition("late", &[with(container("app", "echo here"), image)]));
    wait_for("the first attempt", PATIENCE, || {
        instance.log().contains("image asked for again").then_some(())
    });
    let _road = registry.road_at(port);
    let task = instance.stopped(&id);
    assert_eq!(instance.said(&id, "app"), "here\n", "{task:#}");
}
