//! The official Rust SDK against a running daemon: signed calls, waiters, paginators, typed errors.
//!
//!     aws-sdk URL IMAGE KEY SECRET    (IMAGE has a shell; the daemon knows the key)

use std::{error::Error, time::Duration};

use aws_sdk_ecs::{
    Client,
    client::Waiters as _,
    config::{
        AsyncSleep, Config, Credentials, Region, SharedAsyncSleep, Sleep, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::ProvideErrorMetadata as _,
    operation::RequestId as _,
    types::{
        ContainerDefinition, ContainerOverride, DesiredStatus, KeyValuePair, ServiceField, SortOrder, Tag,
        TaskField, TaskOverride, TaskStopCode,
    },
};

const STAY: &str = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";

/// Longer than any waiter of this program may take.
const LIMIT: Duration = Duration::from_secs(120);

type Done = Result<(), Box<dyn Error>>;

/// The waiters of ECS ask every 6 or 15 seconds, which is long beside what they wait for here.
#[derive(Debug)]
struct Hurry;

impl AsyncSleep for Hurry {
    fn sleep(&self, wanted: Duration) -> Sleep {
        let nothing = std::future::pending::<()>();
        Sleep::new(async move {
            let _ = tokio::time::timeout(wanted / 12, nothing).await;
        })
    }
}

fn client(url: &str, key: &str, secret: &str) -> Client {
    let config = Config::builder()
        .behavior_version_latest()
        .endpoint_url(url)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(key, secret, None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .sleep_impl(SharedAsyncSleep::new(Hurry))
        .timeout_config(TimeoutConfig::disabled())
        // A retry could hide a fault.
        .retry_config(RetryConfig::disabled());
    Client::from_conf(config.build())
}

fn container(image: &str, line: &str) -> ContainerDefinition {
    let words = ["sh", "-c", line].map(str::to_owned);
    ContainerDefinition::builder()
        .name("main")
        .image(image)
        .set_command(Some(words.to_vec()))
        .memory(32)
        .stop_timeout(2)
        .build()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, image, key, secret] = arguments.as_slice() else {
        return Err("aws-sdk URL IMAGE KEY SECRET".into());
    };
    let ecs = client(url, key, secret);
    errors(&ecs, &client(url, key, "a guess")).await?;
    definitions(&ecs, image).await?;
    tasks(&ecs).await?;
    services(&ecs).await?;
    pages(&ecs).await?;
    println!("done");
    Ok(())
}

/// Errors are the model's own types, with a request id; a wrong secret is found out.
async fn errors(ecs: &Client, stranger: &Client) -> Done {
    let refused =
        ecs.describe_tasks().cluster("nowhere").tasks("x").send().await.expect_err("no such cluster");
    assert_eq!(refused.request_id().map(str::len), Some(36), "{refused:?}");
    assert!(refused.into_service_error().is_cluster_not_found_exception());
    let refused =
        ecs.describe_task_definition().task_definition("none").send().await.expect_err("no such family");
    assert!(refused.into_service_error().is_client_exception());
    let refused = ecs.update_service().service("none").send().await.expect_err("no such service");
    assert!(refused.into_service_error().is_service_not_found_exception());
    let refused = stranger.list_clusters().send().await.expect_err("a wrong secret");
    assert_eq!(refused.code(), Some("InvalidSignatureException"), "{refused:?}");
    Ok(())
}

async fn definitions(ecs: &Client, image: &str) -> Done {
    for (family, line) in [("batch", "exit $CODE"), ("stay", STAY), ("stay", STAY)] {
        let made =
            ecs.register_task_definition().family(family).container_definitions(container(image, line));
        let made = made.tags(Tag::builder().key("team").value("a").build()).send().await?;
        assert_eq!(made.tags().len(), 1);
        let made = made.task_definition().expect("a definition");
        assert_eq!(made.family(), Some(family));
        assert!(made.container_definitions()[0].essential() == Some(true), "{made:?}");
    }
    let told = ecs.describe_task_definition().task_definition("stay").send().await?;
    assert_eq!(told.task_definition().map(|one| one.revision()), Some(2));
    Ok(())
}

async fn tasks(ecs: &Client) -> Done {
    let code = KeyValuePair::builder().name("CODE").value("3").build();
    let change = ContainerOverride::builder().name("main").environment(code).build();
    let run = || {
        let change = TaskOverride::builder().container_overrides(change.clone()).build();
        ecs.run_task().task_definition("batch").client_token("once").overrides(change)
    };
    let first = run().send().await?;
    let again = run().send().await?;
    let arn = first.tasks()[0].task_arn().expect("an ARN").to_owned();
    assert_eq!(again.tasks()[0].task_arn(), Some(arn.as_str()), "a token starts nothing twice");
    let refused =
        run().count(2).send().await.expect_err("another request under the same token").into_service_error();
    assert!(refused.is_conflict_exception(), "{refused:?}");
    ecs.wait_until_tasks_stopped().tasks(&arn).wait(LIMIT).await?;
    let told = ecs.describe_tasks().tasks(&arn).include(TaskField::Tags).send().await?;
    let ended = &told.tasks()[0];
    assert_eq!(ended.stop_code(), Some(&TaskStopCode::EssentialContainerExited));
    assert_eq!(ended.containers()[0].exit_code(), Some(3), "{ended:?}");
    assert!(
        ended.created_at() <= ended.started_at() && ended.started_at() <= ended.stopped_at(),
        "{ended:?}"
    );

    let ran = ecs.run_task().task_definition("stay").count(2).send().await?;
    let arns: Vec<String> =
        ran.tasks().iter().filter_map(|task| task.task_arn().map(str::to_owned)).collect();
    ecs.wait_until_tasks_running().set_tasks(Some(arns.clone())).wait(LIMIT).await?;
    for arn in &arns {
        ecs.stop_task().task(arn).reason("enough").send().await?;
    }
    let listed = ecs.list_tasks().desired_status(DesiredStatus::Running).send().await?;
    assert!(listed.task_arns().iter().all(|arn| !arns.contains(arn)), "{listed:?}");
    ecs.wait_until_tasks_stopped().set_tasks(Some(arns.clone())).wait(LIMIT).await?;
    let told = ecs.describe_tasks().set_tasks(Some(arns)).send().await?;
    assert!(told.tasks().iter().all(|task| task.stopped_reason() == Some("enough")), "{told:?}");
    Ok(())
}

async fn services(ecs: &Client) -> Done {
    ecs.create_service().service_name("web").task_definition("stay:1").desired_count(2).send().await?;
    ecs.wait_until_services_stable().services("web").wait(LIMIT).await?;
    let updated = ecs.update_service().service("web").task_definition("stay:2").send().await?;
    let arn = updated.service().and_then(|service| service.task_definition());
    assert!(arn.is_some_and(|arn| arn.ends_with("task-definition/stay:2")), "{updated:?}");
    ecs.wait_until_services_stable().services("web").wait(LIMIT).await?;
    let told = ecs.describe_services().services("web").include(ServiceField::Tags).send().await?;
    let service = &told.services()[0];
    assert_eq!((service.running_count(), service.deployments().len()), (2, 1), "{service:?}");
    assert!(service.events().iter().all(|event| event.message().is_some() && event.created_at().is_some()));
    let deployments = ecs.list_service_deployments().service("web").send().await?;
    assert_eq!(deployments.service_deployments().len(), 2, "{deployments:?}");
    let missing = ecs.wait_until_services_stable().services("nobody").wait(LIMIT).await;
    assert!(missing.is_err(), "a service that is missing never becomes stable");
    ecs.delete_service().service("web").force(true).send().await?;
    ecs.wait_until_services_inactive().services("web").wait(LIMIT).await?;
    Ok(())
}

/// Paginators lead through everything, once and in order.
async fn pages(ecs: &Client) -> Done {
    for number in 0..7 {
        ecs.create_cluster().cluster_name(format!("c{number}")).send().await?;
    }
    let clusters = ecs.list_clusters().into_paginator().page_size(3).items().send();
    let clusters: Vec<String> = clusters.collect::<Result<_, _>>().await?;
    let mut sorted = clusters.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((clusters.len(), &clusters), (8, &sorted));
    let newest =
        ecs.list_task_definitions().sort(SortOrder::Desc).into_paginator().page_size(1).items().send();
    let newest: Vec<String> = newest.collect::<Result<_, _>>().await?;
    let ends: Vec<&str> = newest.iter().filter_map(|arn| arn.rsplit('/').next()).collect();
    assert_eq!(ends, ["stay:2", "stay:1", "batch:1"]);
    let stopped =
        ecs.list_tasks().desired_status(DesiredStatus::Stopped).into_paginator().page_size(2).items().send();
    let stopped: Vec<String> = stopped.collect::<Result<_, _>>().await?;
    // One batch task, two that stayed, two of each revision of the service.
    assert_eq!(stopped.len(), 7, "{stopped:?}");
    Ok(())
}
