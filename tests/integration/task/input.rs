//! Bad input: refused with its place, the nearest word, and nothing kept.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    stage::{FOREVER, container, definition},
    tasks::with,
};

/// What `task-def register` says of a file that it refuses.
#[track_caller]
fn refused(instance: &Instance, text: &str) -> String {
    let file = instance.path("bad.json");
    fs::write(&file, text).unwrap();
    let said = instance.cli(&["task-def", "register", &file.display().to_string()]);
    assert_eq!(said.code, 4, "{} {}", said.out, said.err);
    assert_eq!(said.out, "");
    assert!(
        instance.cli(&["task-def", "ls", "--output", "json"]).ok().find("bad").is_none(),
        "nothing is kept"
    );
    said.err
}

#[test]
fn a_misspelt_field_is_refused_with_its_place_and_the_nearest_word() {
    require!(host);
    let instance = Instance::start("misspelt");
    let text = "{\n  \"family\": \"bad\",\n  \"containerDefinitions\": [\n    { \"name\": \"a\", \"image\": \"b\", \"memori\": 64 }\n  ]\n}\n";
    let said = refused(&instance, text);
    assert!(said.contains("bad.json:4:34"), "{said}");
    assert!(said.contains("memori") && said.contains("memory"), "{said}");
}

#[test]
fn a_wrong_type_a_wrong_value_and_broken_json_are_refused_with_their_place() {
    require!(host);
    let instance = Instance::start("wrong");
    let at = |line: &str| {
        format!(
            "{{\n\"family\": \"bad\",\n\"containerDefinitions\": [{{ \"name\": \"a\", \"image\": \"b\", \"memory\": 64 }}],\n{line}\n}}\n"
        )
    };
    let said = refused(&instance, &at("\"volumes\": 7"));
    assert!(said.contains("bad.json:4:") && said.contains("volumes"), "{said}");
    let said = refused(&instance, &at("\"networkMode\": \"bridg\""));
    assert!(said.contains("bad.json:4:") && said.contains("bridge"), "{said}");
    let said = refused(&instance, &at("\"cpu\": \"lots\""));
    assert!(said.contains("bad.json:4:") && said.contains("lots"), "{said}");
    let said = refused(&instance, "{\n  \"family\": \"bad\",,\n}");
    assert!(said.contains("bad.json:2:"), "{said}");
    let missing = instance.cli(&["task-def", "register", "/no/such/file.json"]);
    assert!(missing.code != 0 && missing.err.contains("/no/such/file.json"), "{}", missing.err);
}

#[test]
fn the_api_refuses_what_the_command_line_refuses_with_the_errors_of_ecs() {
    require!(host);
    let instance = Instance::start("api-refuses");
    let code = |operation: &str, input: Value| {
        instance.call(operation, input).expect_err(operation).code().unwrap_or_default().to_owned()
    };
    let bad = with(definition("bad", &[container("a", "true")]), json!({ "volums": [] }));
    assert_eq!(code("RegisterTaskDefinition", bad), "ClientException");
    let undeclared = json!({ "mountPoints": [{ "sourceVolume": "v", "containerPath": "/v" }] });
    assert_eq!(
        code("RegisterTaskDefinition", definition("bad", &[with(container("a", "true"), undeclared)])),
        "ClientException"
    );
    assert_eq!(code("RunTask", json!({ "taskDefinition": "nobody" })), "ClientException");
    assert_eq!(code("StopTask", json!({ "task": "0".repeat(32) })), "InvalidParameterException");
    assert_eq!(code("DescribeTasks", json!({ "tasks": [] })), "InvalidParameterException");
    assert_eq!(code("ListTasks", json!({ "cluster": "nowhere" })), "ClusterNotFoundException");
    let update = json!({ "service": "nobody", "desiredCount": 1 });
    assert_eq!(code("UpdateService", update), "ServiceNotFoundException");
    let unknown = instance.api("DescribeTasks", json!({ "tasks": ["0".repeat(32)] }));
    assert_eq!(unknown["failures"][0]["reason"], "MISSING", "{unknown:#}");
}

#[test]
fn more_than_the_host_has_is_refused_with_the_name_of_the_resource() {
    require!(host);
    let instance = Instance::start_with(
        "too-much",
        crate::harness::instance::Wish {
            config: "[host]\nmemory = 256\ncpu = 1024\n".into(),
            ..Default::default()
        },
    );
    let arn =
        instance.register(definition("much", &[with(container("a", FOREVER), json!({ "memory": 512 }))]));
    let answer = instance.api("RunTask", json!({ "taskDefinition": arn }));
    assert_eq!(answer["failures"][0]["reason"], "RESOURCE:MEMORY", "{answer:#}");
    assert_eq!(answer["tasks"], json!([]));
    let said = instance.cli(&["run", "much"]);
    assert!(said.code != 0 && said.err.contains("RESOURCE:MEMORY"), "{} {}", said.code, said.err);
    let arn =
        instance.register(with(definition("much", &[container("a", FOREVER)]), json!({ "cpu": "2048" })));
    let answer = instance.api("RunTask", json!({ "taskDefinition": arn }));
    assert_eq!(answer["failures"][0]["reason"], "RESOURCE:CPU", "{answer:#}");
}
