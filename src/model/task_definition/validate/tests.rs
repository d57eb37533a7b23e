use serde_json::json;

use super::*;

fn container(more: &Value) -> Value {
    let mut container = json!({"name": "web", "image": "nginx", "memory": 64});
    let members = container.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        members.insert(name.clone(), value.clone());
    }
    container
}

fn document(more: &Value, containers: &[Value]) -> Value {
    let mut document = json!({"family": "site", "containerDefinitions": containers});
    let members = document.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        members.insert(name.clone(), value.clone());
    }
    document
}

fn why(value: Value) -> String {
    read_document(value).unwrap_err().to_string()
}

#[test]
fn a_small_document_is_taken() {
    let (document, tags) =
        read_document(document(&json!({"tags": [{"key": "a", "value": "b"}]}), &[container(&json!({}))]))
            .unwrap();
    assert_eq!(document.container_definitions.len(), 1);
    assert_eq!(tags[0].key, "a");
}

#[test]
fn a_file_is_refused_by_line_and_column_for_members_and_for_rules() {
    let text = "{\n  \"family\": \"site\",\n  \"containerDefinitions\": [\n    {\"name\": \"web\", \"image\": \"nginx\", \"memroy\": 64}\n  ]\n}";
    assert_eq!(
        parse_document(text).unwrap_err().to_string(),
        "line 4, column 39: containerDefinitions[0].memroy: unknown member `memroy`; did you mean `memory`?"
    );
    let text = text.replace("\"memroy\": 64", "\"memory\": 64, \"memoryReservation\": 64");
    assert_eq!(
        parse_document(&text).unwrap_err().to_string(),
        "line 4, column 74: Invalid setting for container 'web'. The value of 'memory' must be greater than the \
         value of 'memoryReservation'."
    );
}

#[test]
fn the_sentences_of_ecs_are_used_where_they_are_known() {
    let none = json!({});
    assert_eq!(why(document(&none, &[])), "Container list cannot be empty.");
    let many: Vec<Value> = (0..11).map(|n| container(&json!({"name": format!("c{n}")}))).collect();
    assert_eq!(why(document(&none, &many)), "Too many containers.");
    assert_eq!(
        why(document(&none, &[json!({"image": "nginx", "memory": 64})])),
        "Container.name should not be null or empty."
    );
    assert_eq!(
        why(document(&none, &[json!({"name": "web", "image": "nginx"})])),
        "Invalid setting for container 'web'. At least one of 'memory' or 'memoryReservation' must be specified."
    );
    assert_eq!(
        why(document(&none, &[container(&json!({"portMappings": [{"hostPort": 80}]}))])),
        "Invalid 'containerPort' setting for container 'web'."
    );
    assert_eq!(
        why(document(
            &json!({"networkMode": "awsvpc"}),
            &[container(&json!({"portMappings": [{"hostPort": 80, "containerPort": 81}]}))]
        )),
        "When networkMode=awsvpc, the host ports and container ports in port mappings must match."
    );
    assert_eq!(
        why(document(&json!({"cpu": "256"}), &[container(&json!({"cpu": 512}))])),
        "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'."
    );
}

#[test]
fn dependencies_are_on_others_that_exist_and_lead_nowhere_back() {
    let other = |more: Value| {
        let mut other = container(&more);
        other["name"] = json!("db");
        other
    };
    let wants = |condition: &str, name: &str| {
        container(&json!({"dependsOn": [{"containerName": name, "condition": condition}]}))
    };
    let none = json!({});
    assert_eq!(
        why(document(&none, &[wants("SUCCESS", "db"), other(json!({}))])),
        "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container"
    );
    assert!(why(document(&none, &[wants("HEALTHY", "db"), other(json!({}))])).contains("has no healthCheck"));
    assert!(why(document(&none, &[wants("START", "db2"), other(json!({}))])).ends_with("did you mean `db`?"));
    assert!(why(document(&none, &[wants("START", "web")])).contains("itself"));
    let back = json!({"volumesFrom": [{"sourceContainer": "web"}]});
    assert!(why(document(&none, &[wants("START", "db"), other(back)])).contains("depends on itself"));
}

#[test]
fn words_that_are_almost_right_come_back_with_the_right_one() {
    let none = json!({});
    for (more, nearest) in [
        (json!({"ulimits": [{"name": "nofiles", "softLimit": 1, "hardLimit": 1}]}), "nofile"),
        (json!({"linuxParameters": {"capabilities": {"add": ["NET_ADMN"]}}}), "NET_ADMIN"),
        (json!({"portMappings": [{"containerPort": 1, "protocol": "tpc"}]}), "tcp"),
        (json!({"logConfiguration": {"logDriver": "jsonfile"}}), "json-file"),
        (json!({"dependsOn": [{"containerName": "db", "condition": "HEALTY"}]}), "HEALTHY"),
    ] {
        let refusal = read_document(document(&none, &[container(&more)])).unwrap_err();
        assert_eq!(refusal.nearest.as_deref(), Some(nearest), "{refusal}");
    }
}

#[test]
fn a_log_driver_takes_its_own_options_only() {
    let log = |driver: &str, options: serde_json::Value| {
        let log = json!({"logConfiguration": {"logDriver": driver, "options": options}});
        read_document(document(&json!({}), &[container(&log)])).map_err(|refusal| refusal.message)
    };
    for (driver, options) in [
        ("none", json!({})),
        ("json-file", json!({"max-size": "10m", "max-file": "3", "labels": "a", "mode": "blocking"})),
        ("json-file", json!({"max-size": "-1", "max-buffer-size": "4m"})),
        ("journald", json!({"tag": "{{.Name}}/{{.ID}}"})),
        (
            "syslog",
            json!({"syslog-address": "udp://10.0.0.1", "syslog-facility": "local7", "syslog-format": "rfc5424"}),
        ),
        ("syslog", json!({"syslog-address": "unixgram:///dev/log", "syslog-facility": "23"})),
        ("splunk", json!({"splunk-url": "https://splunk", "tag": "anything {{"})),
        ("awsfirelens", json!({"Name": "cloudwatch", "anything": "goes"})),
        ("awslogs", json!({"awslogs-region": "r", "awslogs-group": "g", "awslogs-create-group": "true"})),
    ] {
        assert!(log(driver, options.clone()).is_ok(), "{driver} {options}");
    }
    for (driver, options, why) in [
        (
            "json-file",
            json!({"maxsize": "1m", "b": ""}),
            "Log driver json-file disallows options: b, maxsize",
        ),
        ("journald", json!({"max-size": "1m"}), "Log driver journald disallows options: max-size"),
        ("none", json!({"tag": "x"}), "Log driver none disallows options: tag"),
        ("json-file", json!({"max-size": "big"}), "'big' is no size such as 10m"),
        ("json-file", json!({"max-file": "0"}), "'0' is no number of files from 1"),
        ("json-file", json!({"max-buffer-size": "0"}), "'0' is no size such as 10m"),
        ("journald", json!({"tag": "{{.Nane}}"}), "'{{.Nane}}' is not one of "),
        ("syslog", json!({"syslog-address": "http://a"}), "'http://a' is no address such as "),
        ("syslog", json!({"syslog-facility": "24"}), "'24' is no facility such as daemon, or 0 to 23"),
        ("awslogs", json!({"awslogs-group": "g"}), "Log driver awslogs requires options: awslogs-region"),
        (
            "awslogs",
            json!({"awslogs-region": "r", "awslogs-group": "g", "awslogs-multiline-pattern": "("}),
            "'(' is no regular expression: ",
        ),
        (
            "awslogs",
            json!({"awslogs-region": "r", "awslogs-group": "g", "awslogs-datetime-format": "%Q"}),
            "'%Q' is no format of times: ",
        ),
        ("json-file", json!({"labels-regex": "["}), "'[' is no regular expression: "),
        ("json-file", json!({"compress": "yes"}), "`yes` is not one of true, false"),
    ] {
        let refused = log(driver, options.clone()).unwrap_err();
        assert!(refused.starts_with(why), "{driver} {options}: {refused}");
    }
}

#[test]
fn numbers_have_their_ranges() {
    for more in [
        json!({"healthCheck": {"command": ["CMD", "true"], "interval": 4}}),
        json!({"healthCheck": {"command": ["CMD", "true"], "retries": 11}}),
        json!({"restartPolicy": {"enabled": true, "restartAttemptPeriod": 59}}),
        json!({"ulimits": [{"name": "nofile", "softLimit": 2, "hardLimit": 1}]}),
        json!({"memory": 3}),
        json!({"linuxParameters": {"swappiness": 101}}),
    ] {
        assert!(read_document(document(&json!({}), &[container(&more)])).is_err(), "{more}");
    }
    assert!(read_document(document(&json!({"cpu": "127"}), &[container(&json!({}))])).is_err());
}

#[test]
fn a_volume_is_declared_before_it_is_mounted_and_is_one_thing() {
    let mount = container(&json!({"mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}]}));
    assert!(why(document(&json!({}), std::slice::from_ref(&mount))).contains("Unknown volume 'data'"));
    assert!(
        read_document(document(&json!({"volumes": [{"name": "data"}]}), std::slice::from_ref(&mount)))
            .is_ok()
    );
    let both = json!({"volumes": [{"name": "data", "host": {}, "dockerVolumeConfiguration": {}}]});
    assert!(why(document(&both, std::slice::from_ref(&mount))).contains("both"));
    let cloud = json!({"volumes": [{"name": "data", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]});
    assert!(read_document(document(&cloud, &[mount])).is_ok(), "what only the cloud has is kept");
}

#[test]
fn fargate_sizes_are_held_when_fargate_is_asked_for() {
    let fargate = |cpu: &str, memory: &str| {
        document(
            &json!({"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": cpu, "memory": memory}),
            &[container(&json!({}))],
        )
    };
    assert!(read_document(fargate("256", "1024")).is_ok());
    assert!(read_document(fargate("16384", "40GB")).is_ok());
    assert!(why(fargate("256", "4096")).starts_with("No Fargate configuration exists"));
}

#[test]
fn a_text_with_a_nul_is_refused() {
    assert!(why(document(&json!({}), &[container(&json!({"command": ["a\0b"]}))])).contains("U+0000"));
}

#[test]
fn what_fargate_does_not_take_is_refused_for_it_alone() {
    let check = |task: &Value, own: &Value, compatible: &[&str]| {
        let mut task = task.clone();
        task["networkMode"] = json!("awsvpc");
        (task["cpu"], task["memory"]) = (json!("256"), json!("512"));
        task["requiresCompatibilities"] = json!(compatible);
        read_document(document(&task, &[container(own)])).map_err(|refusal| refusal.to_string())
    };
    let none = json!({});
    let start = "Fargate compatible task definitions do not support ";
    for (task, own, sentence) in [
        (
            json!({"ipcMode": "task"}),
            none.clone(),
            "Tasks using the Fargate launch type do not support ipcMode.",
        ),
        (json!({"volumes": [{"name": "v", "host": {"sourcePath": "/srv"}}]}), none.clone(), "sourcePath"),
        (
            json!({"placementConstraints": [{"type": "memberOf", "expression": "agentConnected == true"}]}),
            none.clone(),
            "placementConstraints",
        ),
        (none.clone(), json!({"privileged": true}), "privileged"),
        (none.clone(), json!({"linuxParameters": {"sharedMemorySize": 64}}), "sharedMemorySize"),
        (
            none.clone(),
            json!({"linuxParameters": {"capabilities": {"add": ["NET_ADMIN"]}}}),
            "capabilities to add other than SYS_PTRACE",
        ),
        (none.clone(), json!({"logConfiguration": {"logDriver": "json-file"}}), "log driver json-file"),
        (
            none.clone(),
            json!({"logConfiguration": {
                "logDriver": "awslogs", "options": {"awslogs-region": "us-east-1", "awslogs-group": "g"},
            }}),
            "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        ),
        (
            none.clone(),
            json!({"stopTimeout": 300}),
            "containerDefinitions[0].stopTimeout: 300 is not between 2 and 120",
        ),
    ] {
        let told = check(&task, &own, &["FARGATE"]).unwrap_err();
        assert!(told == sentence || told == format!("{start}{sentence}"), "{told}");
        assert!(check(&task, &own, &["EC2"]).is_ok(), "{task} {own}");
    }
    let external = check(&none, &none, &["EXTERNAL"]).unwrap_err();
    assert_eq!(external, "External instances do not support network mode 'awsvpc'.");
}
