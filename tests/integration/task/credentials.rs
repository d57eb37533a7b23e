//! The credentials of a task's role: who gets them, from whom, and who does not.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use super::metadata::{Inside, awsvpc, variable};
use crate::harness::{
    Instance, PATIENCE, clients,
    instance::Said,
    require,
    stage::{FOREVER, container, definition, word},
    tasks::with,
    wait_for,
};

const APP: &str = "arn:aws:iam::000000000000:role/app";
const JOB: &str = "arn:aws:iam::000000000000:role/job";
const VARIABLE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";

/// A place of the operator's: the file of one role and the program of another.
struct Keep(tempfile::TempDir);

impl Keep {
    fn new() -> Self {
        let keep = Self(tempfile::Builder::new().prefix("hythe-test-roles-").tempdir().unwrap());
        keep.write("app", "[default]\naws_access_key_id = AKAPP\naws_secret_access_key = hush/app\n", 0o600);
        keep.vends("JOB", 3600);
        keep
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What the program prints from now on: a key that ends after so many seconds. It counts its runs.
    fn vends(&self, id: &str, seconds: u32) {
        let script = format!(
            "#!/bin/sh\necho run >>{runs}\nend=$(date -u -d @$(($(date +%s) + {seconds})) +%Y-%m-%dT%H:%M:%SZ)\n\
             echo '{{\"Version\": 1, \"AccessKeyId\": \"{id}\", \"SecretAccessKey\": \"hush/job\", \
             \"SessionToken\": \"hush/token\", \"Expiration\": \"'$end'\"}}'\n",
            runs = self.path("runs").display()
        );
        let aside = self.path("vend.new");
        self.write("vend.new", &script, 0o700);
        fs::rename(aside, self.path("vend")).unwrap();
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.path("runs")).unwrap_or_default().lines().count()
    }

    fn config(&self) -> String {
        format!(
            "[roles.\"{APP}\"]\nstatic = \"{}\"\n[roles.\"{JOB}\"]\ncredential_process = [\"{}\"]\n",
            self.path("app").display(),
            self.path("vend").display()
        )
    }
}

fn of_role(role: &str) -> Value {
    with(awsvpc("role", &[container("app", FOREVER)]), json!({ "taskRoleArn": role }))
}

/// The credentials that a container is told.
#[track_caller]
fn credentials(inside: &Inside, path: &str) -> Value {
    let (status, body) = inside.get(path);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Whether a container is told this key now; asked too often, it is told nothing.
fn tells(inside: &Inside, path: &str, id: &str) -> bool {
    let (status, body) = inside.get(path);
    status == 200 && body.contains(&format!("\"{id}\""))
}

/// Whether any file below a directory that others than its owner may read holds a text.
fn is_open_anywhere(directory: &Path, text: &str) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { return false };
        if metadata.is_dir() {
            return is_open_anywhere(&path, text);
        }
        let is_open = metadata.is_file() && metadata.permissions().mode() & 0o077 != 0;
        is_open
            && fs::read(&path)
                .is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
    })
}

#[test]
fn a_task_gets_the_credentials_of_its_role_and_no_other_task_does() {
    require!(host, busybox);
    let keep = Keep::new();
    let instance = Instance::with_busybox_and("roles", &keep.config());
    let (app, job) = (instance.launch(&of_role(APP)), instance.launch(&of_role("job")));
    instance.running(&app);
    instance.running(&job);
    let path = |id: &str| variable(&instance, id, "app", VARIABLE);
    let (app_path, job_path) = (path(&app), path(&job));
    let (in_app, in_job) = (Inside::of(&instance, &app, "app"), Inside::of(&instance, &job, "app"));
    let told = credentials(&in_app, &app_path);
    assert_eq!((&told["RoleArn"], &told["AccessKeyId"]), (&json!(APP), &json!("AKAPP")), "{told:#}");
    assert_eq!((&told["SecretAccessKey"], &told["Token"]), (&json!("hush/app"), &json!("")), "{told:#}");
    assert!(word(&told, "Expiration").ends_with('Z'), "{told:#}");
    let told = credentials(&in_job, &job_path);
    assert_eq!((&told["RoleArn"], &told["Token"]), (&json!(JOB), &json!("hush/token")), "{told:#}");

    let (status, body) = in_app.get(&job_path);
    assert_eq!((status, body.contains("InvalidIdInRequest")), (400, true), "{body}");
    assert_eq!(in_job.get(&app_path).0, 400);

    // A second task of the role has the same keys under another name, and nobody was asked again.
    let more = instance.launch(&of_role(JOB));
    instance.running(&more);
    let more_path = path(&more);
    assert_ne!(more_path, job_path);
    let in_more = Inside::of(&instance, &more, "app");
    assert_eq!(credentials(&in_more, &more_path), credentials(&in_job, &job_path));
    assert_eq!((in_more.get(&job_path).0, keep.runs()), (400, 1));

    // A call may name another role than the definition.
    let other = instance.launch_with(&of_role(APP), json!({ "overrides": { "taskRoleArn": JOB } }));
    instance.running(&other);
    let told = credentials(&Inside::of(&instance, &other, "app"), &path(&other));
    assert_eq!(told["RoleArn"], JOB, "{told:#}");

    for id in [&app, &job] {
        let shown = instance.stored(id).to_string() + &instance.task(id).to_string();
        assert!(!shown.contains("hush") && !shown.contains("/v2/credentials"), "{shown}");
    }
    assert!(!instance.log().contains("hush"), "{}", instance.log());
    for text in ["hush/app", "hush/token", app_path.trim_start_matches("/v2/credentials/")] {
        assert!(!is_open_anywhere(&instance.path(""), text), "{text} can be read by others");
    }
}

#[test]
fn a_container_whose_first_deed_is_to_ask_is_answered() {
    require!(host, busybox);
    let keep = Keep::new();
    let instance = Instance::with_busybox_and("first-deed", &keep.config());
    let script =
        format!("exec wget -qO- http://169.254.170.2${VARIABLE} $ECS_CONTAINER_METADATA_URI_V4/task");
    let document =
        with(definition("first-deed", &[container("app", &script)]), json!({ "taskRoleArn": APP }));
    for _ in 0..5 {
        let said = instance.says_in(&document);
        assert!(said.contains("AKAPP") && said.contains("TaskARN"), "{said}");
    }
}

#[test]
fn credentials_are_renewed_and_outlive_the_daemon() {
    require!(host, busybox);
    let keep = Keep::new();
    keep.vends("FIRST", 8);
    let mut instance = Instance::with_busybox_and("renewed", &keep.config());
    let id = instance.launch(&of_role(JOB));
    instance.running(&id);
    let path = variable(&instance, &id, "app", VARIABLE);
    let inside = Inside::of(&instance, &id, "app");
    assert_eq!(credentials(&inside, &path)["AccessKeyId"], "FIRST");
    keep.vends("SECOND", 3600);
    wait_for("the next credentials", PATIENCE, || tells(&inside, &path, "SECOND").then_some(()));

    instance.kill_daemon();
    wait_for("the same without a daemon", PATIENCE, || tells(&inside, &path, "SECOND").then_some(()));
    keep.vends("THIRD", 6);
    instance.start_daemon();
    wait_for("the credentials of the next daemon", PATIENCE, || tells(&inside, &path, "THIRD").then_some(()));
    instance.kill_daemon();
    let body = wait_for("the end of the last credentials", PATIENCE, || {
        let (status, body) = inside.get(&path);
        (status == 503).then_some(body)
    });
    assert!(body.contains("CredentialsUninitialized") && !body.contains("hush"), "{body}");
    instance.start_daemon();
    wait_for("credentials again", PATIENCE, || tells(&inside, &path, "THIRD").then_some(()));
}

#[test]
fn a_role_without_a_source_is_said_and_one_whose_source_fails_ends_the_task() {
    require!(host, busybox);
    let keep = Keep::new();
    let instance = Instance::with_busybox_and("no-roles", &keep.config());
    let says = container("app", &format!("echo \"<${VARIABLE}>\""));
    let of = |role: &str, mode: &str| {
        with(
            definition("no-role", std::slice::from_ref(&says)),
            json!({ "taskRoleArn": role, "networkMode": mode }),
        )
    };
    for (document, why) in [
        (of("arn:aws:iam::000000000000:role/other", "bridge"), "name a source of them under [roles]"),
        (of(APP, "none"), "with networkMode none there is no network to ask over"),
    ] {
        let (id, _) = instance.ran(&document);
        assert_eq!(instance.said(&id, "app"), "<>\n");
        let notes = instance.stored(&id)["notEnforced"].to_string();
        assert!(notes.contains("get no credentials") && notes.contains(why), "{notes}");
    }
    fs::set_permissions(keep.path("app"), fs::Permissions::from_mode(0o644)).unwrap();
    keep.write("vend", "#!/bin/sh\necho hush; exit 7\n", 0o700);
    for (role, why) in [(APP, "its mode should be 0600"), (JOB, "ended with exit status: 7")] {
        let (_, task) = instance.ran(&of(role, "bridge"));
        let reason = word(&task, "stoppedReason");
        let begin = format!("ResourceInitializationError: unable to get the credentials of role {role}: ");
        assert!(reason.starts_with(&begin) && reason.contains(why), "{reason}");
        assert_eq!(task.get("pullStartedAt"), None, "{task:#}");
    }
    assert!(!instance.log().contains("hush"), "{}", instance.log());
    instance.nothing_is_left();
}

#[test]
fn a_task_on_the_host_s_network_gets_its_credentials_by_a_whole_address() {
    require!(host, busybox, clients);
    let keep = Keep::new();
    let instance = Instance::with_busybox_and("roles-host", &keep.config());
    let document = with(
        definition("role", &[container("app", FOREVER)]),
        json!({ "taskRoleArn": JOB, "networkMode": "host" }),
    );
    let id = instance.launch(&document);
    instance.running(&id);
    let full = variable(&instance, &id, "app", "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    assert!(full.starts_with("http://127.0.0.1:") && full.contains("/v2/credentials/"), "{full}");
    assert_eq!(variable(&instance, &id, "app", VARIABLE), "");
    assert_eq!(found_by_boto3(&instance, &id, ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &full)), VENDED);
}

#[test]
fn boto3_finds_the_credentials_by_itself() {
    require!(host, busybox, clients);
    let keep = Keep::new();
    let instance = Instance::with_busybox_and("roles-boto3", &keep.config());
    let id = instance.launch(&of_role(JOB));
    instance.running(&id);
    let path = variable(&instance, &id, "app", VARIABLE);
    assert_eq!(found_by_boto3(&instance, &id, (VARIABLE, &path)), VENDED);
    assert!(Inside::of(&instance, &id, "app").connect(Ipv4Addr::LOCALHOST, 80).is_err());
}

/// What boto3 finds of the program's credentials.
const VENDED: &str = "container-role JOB hush/job hush/token";

/// What boto3 finds in the network of a container, with this variable.
fn found_by_boto3(instance: &Instance, id: &str, (name, value): (&str, &str)) -> String {
    let script = "import boto3; found = boto3.Session().get_credentials(); frozen = found.get_frozen_credentials()\n\
                  print(found.method, *frozen[:3])";
    let output = Command::new("nsenter")
        .arg(format!("--net=/proc/{}/ns/net", instance.pid(id, "app")))
        .arg(clients::program("python"))
        .args(["-c", script])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", instance.path(""))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(name, value)
        .output()
        .expect("nsenter runs");
    Said::from(output).ok().trim().to_owned()
}
