//! Tasks that want another host than this one: refused when they are asked for, with what is missing.

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    stage::{container, definition},
    tasks::with,
};

fn asked(instance: &Instance, document: Value) -> Value {
    let definition = instance.register(document);
    instance.api("RunTask", json!({ "taskDefinition": definition }))
}

#[test]
fn another_processor_is_a_failure_of_placement() {
    require!(host, busybox);
    let instance = Instance::with_busybox("other-host");
    let platform = json!({ "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" });
    let document =
        with(definition("other", &[container("app", "true")]), json!({ "runtimePlatform": platform }));
    let answer = asked(&instance, document);
    assert_eq!(answer["tasks"], json!([]), "{answer:#}");
    assert_eq!(answer["failures"][0]["reason"], "ATTRIBUTE", "{answer:#}");
}

#[test]
fn a_graphics_processor_is_a_failure_of_placement_and_a_service_says_so() {
    require!(host, busybox);
    let instance = Instance::with_busybox("gpu");
    let gpu = json!({ "resourceRequirements": [{ "type": "GPU", "value": "1" }] });
    let document = definition("gpu", &[with(container("app", "true"), gpu)]);
    let answer = asked(&instance, document);
    assert_eq!(answer["failures"][0]["reason"], "RESOURCE:GPU", "{answer:#}");
    instance.service("gpu", "gpu", 1);
    instance.until_service("gpu", "an event about the GPU", |_| {
        instance.events("gpu").iter().any(|event| event.contains("insufficient GPU")).then_some(())
    });
}
