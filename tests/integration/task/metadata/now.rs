//! What a task learns that was not so when it began, what it says of itself, and what it finds around it.

use serde_json::{Value, json};

use super::{Inside, awsvpc, path, told, variable};
use crate::harness::{
    Instance, PATIENCE, require,
    stage::{FOREVER, container, definition, one, word},
    tasks::with,
    wait_for,
};

#[test]
fn tags_are_those_of_now_and_without_a_daemon_those_of_the_begin() {
    require!(host, busybox);
    let mut instance = Instance::with_busybox("tags-now");
    let document = awsvpc("tags", &[container("web", FOREVER)]);
    let id = instance.launch_with(&document, json!({ "tags": [{ "key": "stage", "value": "begin" }] }));
    let task = instance.running(&id);
    let url = variable(&instance, &id, "web", "ECS_CONTAINER_METADATA_URI_V4");
    let inside = Inside::of(&instance, &id, "web");
    let tagged = || {
        let (status, body) = inside.get(&format!("{}/taskWithTags", path(&url)));
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    assert_eq!(tagged()["TaskTags"], json!({ "stage": "begin" }));
    let tag = |arn: &Value, value: &str| {
        instance
            .api("TagResource", json!({ "resourceArn": arn, "tags": [{ "key": "stage", "value": value }] }))
    };
    tag(&task["taskArn"], "now");
    tag(&task["containerInstanceArn"], "rack");
    let now = tagged();
    assert_eq!(now["TaskTags"], json!({ "stage": "now" }), "{now:#}");
    assert_eq!(
        (&now["ContainerInstanceTags"], now.get("Errors")),
        (&json!({ "stage": "rack" }), None),
        "{now:#}"
    );
    instance.kill_daemon();
    let left = tagged();
    assert_eq!(left["TaskTags"], json!({ "stage": "begin" }), "{left:#}");
    assert_eq!(left["Errors"][0]["ErrorField"], "TaskTags", "{left:#}");
    let why = word(&left["Errors"][0], "ErrorMessage");
    assert!(why.starts_with("the daemon does not answer: "), "{why}");
    instance.start_daemon();
    assert_eq!(tagged()["TaskTags"], json!({ "stage": "now" }));
}

#[test]
fn a_task_protects_itself_by_the_agent_s_address_and_nobody_else() {
    require!(host, busybox);
    let mut instance = Instance::with_busybox("protects-itself");
    let arn = instance.register(awsvpc("work", &[container("app", FOREVER)]));
    let network =
        json!({ "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-local"] } } });
    let service = with(json!({ "serviceName": "work", "taskDefinition": arn, "desiredCount": 1 }), network);
    instance.api("CreateService", service);
    let id = instance.steady("work", 1).remove(0);
    let url = variable(&instance, &id, "app", "ECS_AGENT_URI");
    let inside = Inside::of(&instance, &id, "app");
    let state = format!("{}/task-protection/v1/state", path(&url));
    let put = |body: &str| {
        let head = format!("PUT {state} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        let (status, answer) = inside.says(format!("{head}{body}").as_bytes());
        (status, serde_json::from_str::<Value>(&answer).unwrap_or_else(|why| panic!("{why}: {answer}")))
    };
    let get = || serde_json::from_str::<Value>(&inside.get(&state).1).unwrap();
    assert_eq!(get()["protection"]["ProtectionEnabled"], false);
    let (status, told) = put(r#"{"ProtectionEnabled":true,"ExpiresInMinutes":60}"#);
    let task_arn = instance.task(&id)["taskArn"].clone();
    assert_eq!((status, &told["protection"]["TaskArn"]), (200, &task_arn), "{told:#}");
    assert!(word(&told["protection"], "ExpirationDate").ends_with('Z'), "{told:#}");
    let known = instance.api("GetTaskProtection", json!({ "cluster": "default", "tasks": [id] }));
    assert_eq!(known["protectedTasks"][0]["protectionEnabled"], true, "{known:#}");
    assert_eq!(get()["protection"], told["protection"]);
    assert_eq!(put(r#"{"ProtectionEnabled":false}"#).1["protection"]["ProtectionEnabled"], false);
    for bad in ["{}", "[]", r#"{"ProtectionEnabled":true,"Tasks":["x"]}"#] {
        let (status, told) = put(bad);
        assert_eq!((status, &told["error"]["Code"]), (400, &json!("InvalidParameterException")), "{bad}");
    }
    let (status, told) = put(r#"{"ProtectionEnabled":true,"ExpiresInMinutes":0}"#);
    assert_eq!(
        (status, word(&told["error"], "Message").contains("expiresInMinutes")),
        (400, true),
        "{told:#}"
    );

    let alone = instance.launch(&awsvpc("alone", &[container("app", FOREVER)]));
    instance.running(&alone);
    let other = variable(&instance, &alone, "app", "ECS_AGENT_URI");
    let told =
        Inside::of(&instance, &alone, "app").get(&format!("{}/task-protection/v1/state", path(&other)));
    assert!(told.1.contains("TASK_NOT_VALID"), "{told:?}");
    instance.kill_daemon();
    let (status, told) = put(r#"{"ProtectionEnabled":true}"#);
    assert_eq!((status, &told["error"]["Code"]), (500, &json!("ServerException")), "{told:#}");
    instance.start_daemon();
}

#[test]
fn what_a_health_check_says_and_what_the_host_s_clock_is_worth_is_told() {
    require!(host, busybox);
    let instance = Instance::with_busybox("health-words");
    let check = |script: &str| json!({ "healthCheck": { "command": ["CMD-SHELL", script], "interval": 5, "timeout": 2, "retries": 1 } });
    let flood = "yes 0123456789 | head -n 100000; echo oops >&2; exit 3";
    let containers = [
        with(container("good", FOREVER), check("echo all is well; echo really >&2")),
        with(with(container("bad", FOREVER), check(flood)), json!({ "essential": false })),
        with(with(container("slow", FOREVER), check("echo begun; sleep 100")), json!({ "essential": false })),
    ];
    let document = with(awsvpc("words", &containers), json!({ "ephemeralStorage": { "sizeInGiB": 25 } }));
    let id = instance.launch(&document);
    instance.until(&id, "every verdict", |task| {
        let is = |name: &str, verdict: &str| one(task, name)["healthStatus"] == verdict;
        (is("good", "HEALTHY") && is("bad", "UNHEALTHY") && is("slow", "UNHEALTHY")).then_some(())
    });
    let task = told(&instance, &id, "good", "$ECS_CONTAINER_METADATA_URI_V4/task");
    let health = |at: usize| &task["Containers"][at]["Health"];
    assert_eq!((&health(0)["status"], &health(0)["exitCode"]), (&json!("HEALTHY"), &json!(0)), "{task:#}");
    assert_eq!(health(0)["output"], "all is well\nreally\n");
    assert!(word(health(0), "statusSince").ends_with('Z'));
    assert_eq!((&health(1)["status"], &health(1)["exitCode"]), (&json!("UNHEALTHY"), &json!(3)), "{task:#}");
    assert_eq!(word(health(1), "output").len(), 1024, "the begin of it is enough");
    assert_eq!(health(2)["exitCode"], -1, "{task:#}");
    assert_eq!(health(2)["output"], "Health check exceeded timeout (2s): begun\n");

    let clock = &task["ClockDrift"];
    assert!(clock["ClockErrorBound"].as_f64().is_some_and(|bound| bound > 0.0), "{clock:#}");
    assert!(word(clock, "ClockSynchronizationStatus").ends_with("SYNCHRONIZED"), "{clock:#}");
    let storage = &task["EphemeralStorageMetrics"];
    assert_eq!(storage["Reserved"], 25 * 1024, "{storage:#}");
    let before = storage["Utilized"].as_u64().unwrap();
    instance.cli(&["exec", &id, "good", "--", "dd", "if=/dev/zero", "of=/tmp/x", "bs=1M", "count=7"]).ok();
    wait_for("what was written to be counted", PATIENCE, || {
        let task = told(&instance, &id, "good", "$ECS_CONTAINER_METADATA_URI_V4/task");
        task["EphemeralStorageMetrics"]["Utilized"].as_u64().filter(|now| *now >= before + 7)
    });
}

#[test]
fn a_container_that_writes_to_firelens_finds_its_router() {
    require!(host, busybox);
    let instance = Instance::with_busybox("firelens");
    let router = with(
        container("router", &format!("nc -l -p 24224 >/tmp/got & {FOREVER}")),
        json!({ "firelensConfiguration": { "type": "fluentbit" } }),
    );
    let log = json!({ "logConfiguration": { "logDriver": "awsfirelens" }, "essential": false });
    let app = with(container("app", "echo \"<$FLUENT_HOST:$FLUENT_PORT>\""), log);
    let plain = with(container("plain", "echo \"<$FLUENT_HOST>\""), json!({ "essential": false }));
    for mode in ["bridge", "host"] {
        let containers = [router.clone(), app.clone(), plain.clone()];
        let id = instance.launch(&with(definition("routed", &containers), json!({ "networkMode": mode })));
        let expected = if mode == "host" { "<:>\n" } else { "<127.0.0.1:24224>\n" };
        assert_eq!(instance.printed(&id, "app", ">"), expected, "{mode}");
        assert_eq!(instance.printed(&id, "plain", ">"), "<>\n", "{mode}");
    }
}
