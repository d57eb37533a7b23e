//! `hythe -o json` beside `aws ecs`: the same documents, member by member.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{aws, document, open_instance, stable};
use crate::harness::{Instance, require, tasks};

/// The document that `hythe` prints.
#[track_caller]
fn own(instance: &Instance, line: &str) -> Value {
    let words: Vec<&str> = ["--output", "json"].into_iter().chain(line.split_whitespace()).collect();
    let said = instance.cli(&words);
    assert_eq!(said.code, 0, "{line}: {}{}", said.out, said.err);
    serde_json::from_str(&said.out).unwrap_or_else(|why| panic!("{line}: {why}: {}", said.out))
}

/// Where two documents differ. Of what a call makes only the members are compared, because no two are the same thing.
fn differences(one: &Value, other: &Value, with_values: bool, path: &str, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for name in names {
                let path = format!("{path}.{name}");
                match (one.get(name), other.get(name)) {
                    (Some(one), Some(other)) => differences(one, other, with_values, &path, found),
                    (None, _) => found.push(format!("{path}: only hythe has it")),
                    (_, None) => found.push(format!("{path}: only aws has it")),
                }
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            if with_values && one.len() != other.len() {
                found.push(format!("{path}: {} and {} elements", one.len(), other.len()));
            }
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differences(one, other, with_values, &format!("{path}[{index}]"), found);
            }
        }
        (Value::Number(one), Value::Number(other)) if !with_values || one.as_f64() == other.as_f64() => {}
        _ if std::mem::discriminant(one) != std::mem::discriminant(other)
            || (with_values && one != other) =>
        {
            found.push(format!("{path}: {one} and {other}"));
        }
        _ => {}
    }
}

/// A verb of each that only looks: every value is the same.
#[track_caller]
fn looks_the_same(instance: &Instance, theirs: &str, ours: &str) {
    let mut found = Vec::new();
    differences(&aws(instance, theirs), &own(instance, ours), true, "", &mut found);
    assert!(found.is_empty(), "{theirs} and hythe {ours}: {found:#?}");
}

/// A verb of each that does something, each to a thing of its own: what is answered has the same members.
#[track_caller]
fn does_the_same(instance: &Instance, theirs: &str, ours: &str) -> (Value, Value) {
    let (one, other) = (aws(instance, theirs), own(instance, ours));
    let mut found = Vec::new();
    differences(&one, &other, false, "", &mut found);
    assert!(found.is_empty(), "{theirs} and hythe {ours}: {found:#?}");
    (one, other)
}

#[test]
fn what_hythe_prints_for_programs_is_what_aws_ecs_prints() {
    require!(host, busybox, clients);
    let instance = open_instance("same");
    does_the_same(&instance, "aws ecs create-cluster --cluster-name one", "cluster create two");
    looks_the_same(&instance, "aws ecs describe-clusters --clusters default one two", "cluster ls");
    let one = "aws ecs describe-clusters --clusters one --include TAGS";
    looks_the_same(&instance, one, "cluster show one");
    does_the_same(&instance, "aws ecs delete-cluster --cluster one", "cluster rm two");

    let file = instance.path("stay.json").display().to_string();
    let stay = document("stay", &tasks::idle("main"));
    std::fs::write(&file, stay.to_string()).expect("a file of the test's own");
    let register = format!("aws ecs register-task-definition --cli-input-json file://{file}");
    does_the_same(&instance, &register, &format!("task-def register {file}"));
    does_the_same(&instance, &register, &format!("task-def register {file}"));
    looks_the_same(&instance, "aws ecs list-task-definitions", "task-def ls");
    looks_the_same(
        &instance,
        "aws ecs describe-task-definition --task-definition stay:2 --include TAGS",
        "task-def show stay:2",
    );
    does_the_same(
        &instance,
        "aws ecs deregister-task-definition --task-definition stay:1",
        "task-def deregister stay:2",
    );
    // The newest two of four are left.

    let (theirs, ours) = does_the_same(&instance, "aws ecs run-task --task-definition stay", "run stay");
    let [theirs, ours] = [theirs, ours].map(|answer| tasks::text(&answer["tasks"][0]["taskArn"]));
    instance.running(&theirs);
    instance.running(&ours);
    looks_the_same(
        &instance,
        &format!("aws ecs describe-tasks --include TAGS --tasks {ours}"),
        &format!("show {ours}"),
    );
    looks_the_same(&instance, &format!("aws ecs describe-tasks --tasks {ours} {theirs}"), "ps");
    does_the_same(&instance, &format!("aws ecs stop-task --task {theirs}"), &format!("stop {ours}"));
    instance.stopped(&theirs);
    instance.stopped(&ours);

    services(&instance);
}

fn services(instance: &Instance) {
    does_the_same(
        instance,
        "aws ecs create-service --service-name one --task-definition stay:3 --desired-count 1",
        "service create two --task-definition stay:3 --desired-count 1",
    );
    stable(instance, "default", "one", 1);
    stable(instance, "default", "two", 1);
    instance.until_service("two", "COMPLETED", |service| {
        (service["deployments"][0]["rolloutState"] == "COMPLETED").then_some(())
    });
    looks_the_same(instance, "aws ecs describe-services --services one two", "service ls");
    looks_the_same(instance, "aws ecs describe-services --services two", "service show two");
    let listed = aws(instance, "aws ecs list-service-deployments --service two");
    let arn = tasks::text(&listed["serviceDeployments"][0]["serviceDeploymentArn"]);
    looks_the_same(
        instance,
        &format!("aws ecs describe-service-deployments --service-deployment-arns {arn}"),
        "service deployments two",
    );
    does_the_same(
        instance,
        "aws ecs update-service --service one --desired-count 2",
        "service update two --desired-count 2",
    );
    // A deployment that does not come to its end by itself.
    let image = tasks::with(tasks::idle("main"), json!({ "image": "127.0.0.1:1/none:1" }));
    instance.register(document("stuck", &image));
    let again = "update-service --task-definition stuck --service";
    let first = aws(instance, &format!("aws ecs {again} one"));
    aws(instance, &format!("aws ecs {again} two"));
    let arn = tasks::text(&first["service"]["currentServiceDeployment"]);
    does_the_same(
        instance,
        &format!("aws ecs stop-service-deployment --service-deployment-arn {arn}"),
        "service stop-deployment two",
    );
    does_the_same(instance, "aws ecs delete-service --force --service one", "service rm --force two");
}
