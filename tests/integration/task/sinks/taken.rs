//! Output that is taken away, as the definition asks, and what the daemon says about it.

use std::{fs, os::unix::fs::PermissionsExt, os::unix::net::UnixDatagram, path::Path};

use serde_json::{Value, json};

use super::{next, split};
use crate::harness::{
    Instance, PATIENCE, require, scaled,
    stage::{container, definition, stays},
    tasks::with,
};

fn bind(path: &Path) -> UnixDatagram {
    let server = UnixDatagram::bind(path).unwrap();
    server.set_read_timeout(Some(scaled(PATIENCE))).unwrap();
    server
}

fn safe() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("hythe-test-sinks-").tempdir().unwrap()
}

fn log(driver: &str, options: &Value) -> Value {
    json!({ "logConfiguration": { "logDriver": driver, "options": options } })
}

#[test]
fn whoever_asks_for_output_that_was_taken_away_is_told_where_it_is() {
    require!(host, busybox);
    let safe = safe();
    let journal = bind(&safe.path().join("journal"));
    let config = format!("[containers]\njournal = \"{}/journal\"\n", safe.path().display());
    let instance = Instance::with_busybox_and("journald", &config);
    let web =
        with(container("web", "echo hello"), log("journald", &json!({ "tag": "{{.Name}}", "env": "STAGE" })));
    let web = with(web, json!({ "environment": [{ "name": "STAGE", "value": "test" }], "essential": false }));
    let quiet = with(container("quiet", "echo unheard"), log("none", &json!({})));
    let quiet = with(quiet, json!({ "dependsOn": [{ "containerName": "web", "condition": "SUCCESS" }] }));
    let (id, task) = instance.ran(&definition("away", &[web, quiet]));
    let entry = String::from_utf8(next(&journal)).unwrap();
    let id_full = format!("{id}-web");
    for field in ["MESSAGE=hello", "PRIORITY=6", "CONTAINER_TAG=web", "STAGE=test", "IMAGE_NAME=busybox"] {
        assert!(entry.lines().any(|line| line == field), "{field}: {entry}");
    }
    assert!(entry.contains(&format!("CONTAINER_ID_FULL={id_full}\n")), "{entry}");
    let asked = instance.cli(&["logs", &id]);
    assert_ne!(asked.code, 0);
    let where_it_is = format!("is in the host's journal: journalctl CONTAINER_ID_FULL={id_full}");
    assert!(asked.err.contains(&where_it_is) && asked.err.contains("is thrown away: its log driver is none"));
    assert_eq!(instance.stored(&id)["logPaths"], json!([]), "{task:#}");
    assert_eq!(instance.stored(&id)["containers"][0]["lastLines"][0]["line"], "hello");
    let kept = container("kept", "echo kept");
    let gone = with(container("gone", "echo gone"), log("none", &json!({})));
    let (id, _) = instance.ran(&definition("half", &[with(kept, json!({ "essential": false })), gone]));
    let both = instance.cli(&["logs", &id]);
    assert_eq!((both.code, both.out.contains("kept | kept\n")), (0, true), "{both:?}");
    assert!(both.err.contains("gone | hythe: the output of container gone of task "), "{}", both.err);
}

#[test]
fn a_secret_option_reaches_the_driver_and_nobody_else_and_a_killed_daemon_is_not_missed() {
    require!(host, busybox);
    let safe = safe();
    let server = bind(&safe.path().join("hidden-server"));
    let secrets = safe.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    let secret = format!("unixgram://{}/hidden-server", safe.path().display());
    fs::write(secrets.join("where"), &secret).unwrap();
    fs::set_permissions(secrets.join("where"), fs::Permissions::from_mode(0o600)).unwrap();
    let config = format!("[local]\nsecrets = \"{}\"\n", secrets.display());
    let mut instance = Instance::with_busybox_and("secret-option", &config);
    let app = with(
        container("app", &stays("echo first; until [ -e /tmp/go ]; do usleep 20000; done; echo second")),
        json!({ "logConfiguration": {
            "logDriver": "syslog",
            "options": { "tag": "{{.Name}}", "syslog-format": "rfc3164", "syslog-facility": "local0" },
            "secretOptions": [{ "name": "syslog-address", "valueFrom": "where" }],
        } }),
    );
    let id = instance.launch(&definition("hidden", std::slice::from_ref(&app)));
    let (head, line) = split(&next(&server));
    assert!(head.starts_with("<134>") && head.contains(" app[") && line == "first", "{head}: {line}");
    let task = instance.running(&id);
    let definition_of = instance.api("DescribeTaskDefinition", json!({ "taskDefinition": "hidden" }));
    for shown in [task.to_string(), definition_of.to_string(), instance.stored(&id).to_string()] {
        assert!(!shown.contains("hidden-server"), "{shown}");
    }
    assert!(!instance.log().contains("hidden-server"), "{}", instance.log());
    let spec = instance.path(format!("state/tasks/{id}/spec.json"));
    assert_eq!(fs::metadata(spec).unwrap().permissions().mode() & 0o777, 0o600);
    let pid = instance.pid(&id, "app");
    instance.kill_daemon();
    fs::write(format!("/proc/{pid}/root/tmp/go"), "").unwrap();
    assert_eq!(split(&next(&server)).1, "second", "the shim needs no daemon");
    instance.start_daemon();
    let mut missing = app;
    missing["logConfiguration"]["secretOptions"][0]["valueFrom"] = json!("nowhere");
    let (_, refused) = instance.ran(&definition("missing", &[missing]));
    let reason = refused["stoppedReason"].as_str().unwrap();
    assert!(reason.contains("secret syslog-address of container app: there is no "), "{reason}");
}

#[test]
fn the_account_says_who_waits_where_the_definition_does_not() {
    require!(host, busybox);
    let safe = safe();
    let _journal = bind(&safe.path().join("journal"));
    let config = format!("[containers]\njournal = \"{}/journal\"\n", safe.path().display());
    let instance = Instance::with_busybox_and("log-mode", &config);
    let setting = |value: &str| json!({ "name": "defaultLogDriverMode", "value": value });
    for (mode, is_blocking) in [("blocking", true), ("non-blocking", false)] {
        instance.api("PutAccountSettingDefault", setting(mode));
        let app = with(container("app", &stays("echo here")), log("journald", &json!({})));
        let id = instance.launch(&definition("mode", &[app]));
        instance.running(&id);
        let spec = fs::read(instance.path(format!("state/tasks/{id}/spec.json"))).unwrap();
        let spec: Value = serde_json::from_slice(&spec).unwrap();
        assert_eq!(spec["containers"][0]["log"]["driver"]["delivery"]["blocking"], is_blocking, "{spec:#}");
    }
}

#[test]
fn drivers_that_are_not_spoken_to_are_named_and_their_output_is_kept() {
    require!(host, busybox);
    let instance = Instance::with_busybox("unspoken");
    let app = with(
        container("app", "echo kept"),
        log("splunk", &json!({ "splunk-url": "https://splunk.invalid" })),
    );
    let (id, _) = instance.ran(&definition("splunk", &[app]));
    assert_eq!(instance.said(&id, "app"), "kept\n");
    let note = "container app: log driver splunk is not spoken to from this host: its output is in files";
    assert!(instance.stored(&id)["notEnforced"].as_array().unwrap().contains(&json!(note)));
    let wrong = with(container("app", "true"), log("journald", &json!({ "max-size": "1m" })));
    let refused = instance.call("RegisterTaskDefinition", definition("wrong", &[wrong])).unwrap_err();
    assert!(refused.to_string().contains("Log driver journald disallows options: max-size"), "{refused}");
}
