use std::net::SocketAddr;

use serde_json::{Value, json};

use super::*;
use crate::model::ids::{ClusterName, Family, TaskId};
use crate::model::task::NewTask;
use crate::model::task_definition::{TaskDefinition, validate::read_document};
use crate::model::time::Timestamp;
use crate::shim::spec::{SyslogForm, Target};

fn choose_with(log: &Value, secrets: &[(String, String)], mode: LogMode) -> Chosen {
    let container = json!({
        "name": "web", "image": "nginx:1", "memory": 64, "dockerLabels": { "team": "a", "other": "b" },
        "environment": [{ "name": "STAGE", "value": "test" }], "logConfiguration": log,
    });
    let document = json!({ "family": "fam", "containerDefinitions": [container] });
    let (document, _) = read_document(document).unwrap();
    let id = TaskDefinitionId { family: Family::parse("fam").unwrap(), revision: 3 };
    let definition = TaskDefinition::new(document, 3, Timestamp(0));
    let task = Task::from(NewTask::of(
        TaskId::from_random([0xab; 16]),
        ClusterName::parse("default").unwrap(),
        &definition,
        Timestamp(0),
    ));
    let asked = Asked {
        task: &task,
        revision: &id,
        definition: &definition.document.container_definitions[0],
        change: None,
        image_digest: "sha256:00112233445566778899",
        secrets,
        hostname: "box",
        journal: Path::new("/journal"),
        mode,
    };
    asked.choose(LogSpec::at("/logs/web.log".into()))
}

fn choose(driver: &str, options: &Value) -> Chosen {
    choose_with(&json!({ "logDriver": driver, "options": options }), &[], LogMode::NonBlocking)
}

fn driver(chosen: Chosen) -> Driver {
    chosen.log.unwrap().driver
}

#[test]
fn files_are_cut_as_the_definition_says() {
    let log = choose(
        "json-file",
        &json!({ "max-size": "1m", "max-file": "2", "labels": "team,none", "env": "STAGE" }),
    );
    let log = log.log.unwrap();
    assert_eq!((log.max_size, log.max_files), (1 << 20, 2));
    let Driver::JsonFile { attributes, compress: false } = log.driver else { panic!("{log:?}") };
    assert_eq!(serde_json::to_value(attributes).unwrap(), json!({ "STAGE": "test", "team": "a" }));
    let matched = json!({ "labels-regex": "^(tea|oth)", "env-regex": "AGE$", "labels": "com.amazonaws.ecs.container-name", "compress": "true" });
    let Driver::JsonFile { attributes, compress: true } = driver(choose("json-file", &matched)) else {
        panic!()
    };
    let expected =
        json!({ "STAGE": "test", "com.amazonaws.ecs.container-name": "web", "other": "b", "team": "a" });
    assert_eq!(serde_json::to_value(attributes).unwrap(), expected);
    let usual = choose("json-file", &json!({ "max-size": "-1" })).log.unwrap();
    assert_eq!((usual.max_size, usual.max_files), (10 << 20, 5));
}

#[test]
fn what_is_not_spoken_to_is_kept_in_files_and_said() {
    for driver in ["gelf", "fluentd", "splunk", "awsfirelens"] {
        let chosen = choose(driver, &json!({}));
        assert_eq!(chosen.log, Some(LogSpec::at("/logs/web.log".into())));
        let note = format!(
            "container web: log driver {driver} is not spoken to from this host: its output is in files"
        );
        assert_eq!(chosen.notes, [note]);
    }
    let aws = choose("awslogs", &json!({ "awslogs-region": "r", "awslogs-group": "g" }));
    assert_eq!((aws.log, aws.notes.len()), (Some(LogSpec::at("/logs/web.log".into())), 0));
    let joined = |option: &str, text: &str| {
        driver(choose("awslogs", &json!({ "awslogs-region": "r", "awslogs-group": "g", option: text })))
    };
    let begin = |text: &str| Driver::Events { begin: text.to_owned() };
    assert_eq!(joined("awslogs-multiline-pattern", "^INFO"), begin("^INFO"));
    assert_eq!(joined("awslogs-datetime-format", "^%y "), begin("^[0-9]{2} "));
    assert_eq!(choose("none", &json!({})), Chosen { log: None, notes: Vec::new() });
}

#[test]
fn an_entry_of_the_journal_has_docker_s_fields() {
    let options =
        json!({ "tag": "{{.Name}}/{{.ImageID}}", "labels": "com.amazonaws.ecs.task-definition-family" });
    let Driver::Journald { socket, fields, delivery } = driver(choose("journald", &options)) else {
        panic!()
    };
    assert_eq!(socket, Path::new("/journal"));
    assert_eq!(delivery, Delivery { blocking: false, most: 10 << 20 });
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let id = "ab".repeat(16);
    let expected = [
        "CONTAINER_ID=abababababab".to_owned(),
        format!("CONTAINER_ID_FULL={id}-web"),
        "CONTAINER_NAME=web".to_owned(),
        "CONTAINER_TAG=web/001122334455".to_owned(),
        "IMAGE_NAME=nginx:1".to_owned(),
        "SYSLOG_IDENTIFIER=web/001122334455".to_owned(),
        "COM_AMAZONAWS_ECS_TASK_DEFINITION_FAMILY=fam".to_owned(),
    ];
    assert_eq!(fields, expected);
}

#[test]
fn a_syslog_server_is_known_by_its_address() {
    let server = |options: Value| match driver(choose("syslog", &options)) {
        Driver::Syslog { server, .. } => server,
        other
        @ (Driver::File | Driver::Events { .. } | Driver::JsonFile { .. } | Driver::Journald { .. }) => {
            panic!("{other:?}")
        }
    };
    let usual = server(json!({}));
    assert_eq!((usual.facility, usual.form, usual.tag.as_str()), (3, SyslogForm::Local, "abababababab"));
    assert_eq!(usual.targets[0], Target::UnixDatagram("/dev/log".into()));
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let places = |text: &str| server(json!({ "syslog-address": text })).targets;
    assert_eq!(places("udp://127.0.0.1"), [Target::Udp(address("127.0.0.1:514"))]);
    assert_eq!(places("tcp://[::1]:601"), [Target::Tcp(address("[::1]:601"))]);
    assert_eq!(places("tcp://[::1]"), [Target::Tcp(address("[::1]:514"))]);
    assert_eq!(places("unixgram:///run/log"), [Target::UnixDatagram("/run/log".into())]);
    assert_eq!(places("unix:///run/log").first(), Some(&Target::UnixStream("/run/log".into())));
    let private =
        json!({ "syslog-address": "tcp+tls://127.0.0.1:6514", "syslog-tls-ca-cert": "/none/ca.pem" });
    let chosen = choose("syslog", &private);
    assert!(
        chosen.notes[0]
            .contains("has no TLS, and its output is dropped: read certificates from /none/ca.pem"),
        "{chosen:?}"
    );
    let given = server(private);
    assert_eq!(given.targets, [Target::Tcp(address("127.0.0.1:6514"))]);
    let tls = given.tls.unwrap();
    assert_eq!((tls.name.as_str(), tls.skip_verify, tls.certificate), ("127.0.0.1", false, None));
    let skips = server(json!({ "syslog-address": "tcp+tls://[::1]", "syslog-tls-skip-verify": "true" }));
    let tls = skips.tls.unwrap();
    assert_eq!((tls.name.as_str(), tls.skip_verify), ("::1", true));
    assert!(server(json!({ "syslog-address": "tcp://127.0.0.1" })).tls.is_none());
    let named = server(json!({ "syslog-address": "tcp://localhost:6514" })).host.unwrap();
    assert_eq!((named.name.as_str(), named.port, named.is_stream), ("localhost", 6514, true));
    assert!(!server(json!({ "syslog-address": "udp://localhost" })).host.unwrap().is_stream);
    let given = server(json!({ "syslog-facility": "local3", "syslog-format": "rfc5424micro" }));
    assert_eq!((given.facility, given.form, given.hostname.as_str()), (19, SyslogForm::Rfc5424Micro, "box"));
}

#[test]
fn a_secret_option_counts_as_an_option_and_is_not_repeated() {
    let log = json!({
        "logDriver": "syslog", "options": { "mode": "blocking" },
        "secretOptions": [{ "name": "syslog-address", "valueFrom": "where" }],
    });
    let secret = [("syslog-address".to_owned(), "udp://127.0.0.1:99".to_owned())];
    let Driver::Syslog { server, delivery } = driver(choose_with(&log, &secret, LogMode::NonBlocking)) else {
        panic!()
    };
    assert_eq!(server.targets, [Target::Udp("127.0.0.1:99".parse().unwrap())]);
    assert!(delivery.blocking);
    let gone = [("syslog-address".to_owned(), "udp://secret.invalid:99".to_owned())];
    let chosen = choose_with(&log, &gone, LogMode::NonBlocking);
    assert_eq!(
        chosen.notes,
        [
            "container web: the host of its syslog-address has no address now: its output is dropped until it has one"
        ]
    );
}

#[test]
fn the_account_says_what_holds_where_the_definition_does_not() {
    let delivery = |options: Value| {
        let log = json!({ "logDriver": "journald", "options": options });
        match driver(choose_with(&log, &[], LogMode::Blocking)) {
            Driver::Journald { delivery, .. } => delivery,
            other @ (Driver::File
            | Driver::Events { .. }
            | Driver::JsonFile { .. }
            | Driver::Syslog { .. }) => panic!("{other:?}"),
        }
    };
    assert!(delivery(json!({})).blocking);
    let own = delivery(json!({ "mode": "non-blocking", "max-buffer-size": "4k" }));
    assert_eq!(own, Delivery { blocking: false, most: 4096 });
}
